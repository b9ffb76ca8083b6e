"""Command: look at images on a disk, copy them to data/local/NAME, and write data/sets/NAME.yaml."""

import argparse
import itertools
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import cli, errors, files, schema
from pipeline.data import audit, raw, sets, survey, survey_arrays, survey_labels, survey_tables
from pipeline.data.dataset import Split
from pipeline.data.formats import folder, parquet, pictures
from pipeline.data.formats.checks import Place
from pipeline.data.image_set import ImageSet
from pipeline.data.survey import Stated, Survey
from pipeline.errors import InputError, PipelineError

LOCAL, SETS = Path("data/local"), Path("data/sets")


def describe(name: str, place: Path, stated: Stated, credit: str) -> list[str]:
    """Copy what is at `place` to data/local/NAME, write data/sets/NAME.yaml, and return what to know before training.

    Raises:
        InputError: There is such a set already, or `place` holds no images, or such as could be read in several ways.
    """
    schema.validate(survey.Named, {"name": name})
    target, set_file = LOCAL / name, SETS / f"{name}.yaml"
    for path in (target, set_file):
        if path.exists():
            raise InputError("is there already", path=path, fix="remove it, or choose another NAME")
    surveyed = look(place, stated)
    about = {"title": name, "noun": "image", "credit": credit}
    content = {**about, **surveyed.content, "sources": [{"directory": target.as_posix()}]}
    LOCAL.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=LOCAL) as temporary:
        copy = Path(temporary) / name
        for within, source in surveyed.copies.items():
            try:
                _copy(source, copy / within)
            except OSError as error:
                raise InputError(f"cannot be copied ({error.strerror})", path=source) from None
        if "files" in content:
            content["files"] = _with_checksums(content["files"], copy)
        image_set = schema.validate(sets.FORMATS[content["format"]], content, place)
        try:
            splits = raw.read(copy, image_set)
        except InputError as error:
            raise _of_sources(error, copy, surveyed.copies, place) from None
        copy.rename(target)
    files.write_yaml(set_file, content)
    copied = f"{len(surveyed.copies)} files copied from {place} to {target}; {set_file} describes them"
    audited = audit.audit(splits, image_set.classes)
    findings = audit.sentences(audited, image_set.noun, audit.white(image_set, splits))
    return [copied, *surveyed.notes, *_counts(splits, image_set), *findings, *_params(name, splits)]


def look(place: Path, stated: Stated) -> Survey:
    """Return what the file or the folder at `place` holds.

    Raises:
        InputError: It holds nothing of a known kind, or what could be read in more than one way.
    """
    if not (place.is_file() or place.is_dir()):
        raise InputError("no such file or folder", path=place)
    root, paths = (place.parent, [place]) if place.is_file() else (place, _below(place))
    shown = [path for path in paths if path.suffix.lower() in pictures.ENDINGS]
    endings = {".npz": (".npz",), ".csv": (".csv", ".csv.gz"), ".parquet": (".parquet",)}
    tables = {kind: [path for path in paths if path.name.lower().endswith(some)] for kind, some in endings.items()}
    kinds = [kind for kind, some in tables.items() if some]
    if shown and kinds in ([], [".csv"]):
        if listed := tables[".csv"]:
            destinations = survey_labels.by_table(root, shown, listed, stated)
        else:
            destinations = survey.by_folder(root, shown, stated)
        surveyed = survey.of_pictures(root, destinations, stated)
    elif shown or len(kinds) != 1:
        seen = ", ".join([*(["pictures"] if shown else []), *kinds]) or "none of these"
        what = f"expected pictures ({', '.join(pictures.ENDINGS)}), or .npz, .csv or .parquet files, found {seen}"
        raise InputError(what, path=place, fix="name one of them with FROM")
    else:
        of_kind = survey_arrays.of_npz if kinds == [".npz"] else survey_tables.of_tables
        surveyed = of_kind(tables[kinds[0]], stated)
    used = {*shown, *itertools.chain(*tables.values())}
    surveyed.notes += _left_out([path for path in paths if path not in used])
    return surveyed


def _below(place: Path) -> list[Path]:
    """Return the files below a folder, as `fetch` takes them; raise InputError if some cannot be used."""
    try:
        return [place / name for name in sorted(itertools.chain(*folder.files_below(place, ["."], source=True)))]
    except PipelineError as error:
        raise InputError(str(error).removeprefix(".: "), path=place) from None
    except OSError as error:
        raise errors.unreadable(Path(error.filename), error) from None


def _left_out(paths: Sequence[Path]) -> list[str]:
    """Return a sentence on files that are no part of the data set, if there are any."""
    kinds = Counter(path.suffix.lower() or path.name for path in paths).most_common()
    named = ", ".join(f"{kind} ({count})" for kind, count in kinds[:10])
    return [f"left out: {named}{', ...' if len(kinds) > 10 else ''}"] if paths else []


def _copy(source: Path, target: Path) -> None:
    """Copy a file; a parquet table of pixels becomes one in CSV."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.suffix.lower() == ".parquet" and target.suffix == ".csv":
        with target.open("w", encoding="utf-8", newline="") as copy:
            copy.writelines(parquet.as_csv(Place(source)))
    else:
        shutil.copyfile(source, target)


def _of_sources(error: InputError, copy: Path, copies: Mapping[str, Path], place: Path) -> InputError:
    """Return an error that names the user's files, instead of their copies, which are gone."""
    text = str(error)
    for within, source in copies.items():
        text = text.replace(str(copy / within), str(source))
    return InputError(text.replace(str(copy), str(place)))


def _with_checksums(named: Any, copy: Path) -> Any:
    """Return what a set's file says of its files, each of which has a name, with the checksums of those in `copy`."""
    if isinstance(named, list):
        return [_with_checksums(part, copy) for part in named]
    if "name" in named:
        return {**named, "sha256": files.sha256(copy / named["name"])}
    return {key: _with_checksums(part, copy) for key, part in named.items()}


def _counts(splits: Mapping[str, Split], image_set: ImageSet) -> list[str]:
    """Return how many images of each class a split has, of many classes only the smallest and the largest count."""
    lines = []
    for name, split in splits.items():
        counts = np.bincount(split.labels, minlength=len(image_set.classes))
        by_class = ", ".join(f"{label} {count}" for label, count in zip(image_set.classes, counts, strict=True))
        line = f"{name}: {len(split)} images of {len(counts)} classes with {counts.min()} to {counts.max()}"
        lines.append(f"{line}: {by_class}" if len(by_class) < 400 else line)
    return lines


def _params(name: str, splits: Mapping[str, Split]) -> list[str]:
    """Return the lines for params.yaml: a gate at the largest class's share, a verdict at one test image in hundred."""
    test, train = splits["test"], splits["train"]
    largest = np.bincount(test.labels).max() / len(test)
    validation: Any = "own" if "validation" in splits else max(1, len(train) // 10)
    return [
        "For params.yaml; the accuracy of answering the largest class is the least that a model has to reach:",
        f"  data: {{dataset: {name}, validation: {validation}, split_seed: 0}}",
        f"  gate: {{{name}: {{default: {{test_accuracy: {{min: {largest:.4f}}}}}}}}}",
        f"  verdict: {{{name}: {{accuracy: {max(0.001, 1 / len(test)):.4f}}}}}",
        *([f"  train: batch_size of at most {len(train) - len(train) // 10}"] if len(train) < 256 else []),
    ]


def main() -> int:
    """Look at images on a disk, copy them to data/local/NAME, and write data/sets/NAME.yaml."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.describe", description=main.__doc__)
    parser.add_argument("name", help="what the data set is to be called")
    parser.add_argument("place", type=Path, help="a folder of pictures, or an npz, CSV or parquet file")
    parser.add_argument("--size", help="height and width of the images, such as 32 or 48x64")
    parser.add_argument("--scale", type=float, help="the number that is white, if it is not 255")
    parser.add_argument("--label", help="the column of the labels")
    parser.add_argument("--level", type=int, help="the level of folders that has the classes, from 1")
    parser.add_argument("--group", help="what no split divides: a column, or a regular expression for a picture's path")
    parser.add_argument("--credit", default="own images", help="whom to credit, and the licence")
    cli.add_json_argument(parser)
    arguments = parser.parse_args()
    stated = Stated(_size(arguments.size), arguments.scale, arguments.label, arguments.level, arguments.group)
    notes = describe(arguments.name, arguments.place.expanduser(), stated, arguments.credit)
    return cli.answer(arguments.json, "\n".join(notes), {"set": f"{SETS / arguments.name}.yaml", "notes": notes})


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    if not (match := re.fullmatch(r"(\d{1,4})(?:x(\d{1,4}))?", text)):
        raise InputError(f"SIZE: expected a height and a width such as 32 or 48x64, found {text!r}")
    return int(match[1]), int(match[2] or match[1])


if __name__ == "__main__":
    cli.run(main)
