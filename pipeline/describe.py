"""Command: look at images on a disk, copy them to data/local/NAME, and write data/sets/NAME.yaml."""

from __future__ import annotations

import argparse
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import cli, files, schema
from pipeline.data import audit, raw, sets, survey
from pipeline.data.dataset import Split
from pipeline.data.image_set import ImageSet
from pipeline.data.surveyed import Named, Stated
from pipeline.errors import InputError

LOCAL, SETS = Path("data/local"), Path("data/sets")


def describe(name: str, place: Path, stated: Stated, credit: str) -> list[str]:
    """Copy what is at `place` to data/local/NAME, write data/sets/NAME.yaml, and return what to know before training.

    Raises:
        InputError: There is such a set already, or `place` holds no images, or such as could be read in several ways.
    """
    schema.validate(Named, {"name": name})
    target, described = LOCAL / name, SETS / f"{name}.yaml"
    for path in (target, described):
        if path.exists():
            raise InputError("is there already", path=path, fix="remove it, or choose another NAME")
    found = survey.survey(place, stated)
    about = {"title": name, "noun": "image", "credit": credit}
    content = {**about, **found.content, "sources": [{"directory": target.as_posix()}]}
    LOCAL.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=LOCAL) as folder:
        copy = Path(folder) / name
        for within, source in found.copies.items():
            (copy / within).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy / within)
        image_set = schema.validate(sets.FORMATS[content["format"]], content, described)
        splits = raw.read(copy, image_set)
        copy.rename(target)
    files.write_yaml(described, content)
    copied = f"{len(found.copies)} files copied from {place} to {target}; {described} describes them"
    return [copied, *found.notes, *_counts(splits, image_set), *_findings(splits, image_set), *_params(name, splits)]


def _counts(splits: dict[str, Split], image_set: ImageSet) -> list[str]:
    made = []
    for name, split in splits.items():
        counts = np.bincount(split.labels, minlength=len(image_set.classes))
        listed = ", ".join(f"{one} {count}" for one, count in zip(image_set.classes, counts, strict=True))
        many = f"of {len(counts)} classes with {counts.min()} to {counts.max()}"
        made.append(f"{name}: {len(split)} images {many}: {listed}" if len(listed) < 400 else f"{name}: {many}")
    return made


def _findings(splits: dict[str, Split], image_set: ImageSet) -> list[str]:
    return audit.sentences(audit.audit(splits, image_set.classes), image_set.noun)


def _params(name: str, splits: dict[str, Split]) -> list[str]:
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
    parser.add_argument("--credit", default="own images", help="whom to credit, and the licence")
    arguments = parser.parse_args()
    stated = Stated(_size(arguments.size), arguments.scale, arguments.label, arguments.level)
    print("\n".join(describe(arguments.name, arguments.place.expanduser(), stated, arguments.credit)))
    return 0


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    if not (match := re.fullmatch(r"(\d{1,4})(?:x(\d{1,4}))?", text)):
        raise InputError(f"SIZE: expected a height and a width such as 32 or 48x64, found {text!r}")
    return int(match[1]), int(match[2] or match[1])


if __name__ == "__main__":
    cli.run(main)
