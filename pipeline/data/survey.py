"""Files on a disk -> what data/sets/ says of them: format, classes, size, splits. What is unclear is asked back."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from pipeline.data import dataset, survey_arrays
from pipeline.data.formats import pictures as readable
from pipeline.data.surveyed import SPLITS, Stated, Survey, held_out, label_column, natural
from pipeline.errors import InputError

# Of images that have no common size which fits.
_SIDE = 32


def survey(place: Path, stated: Stated) -> Survey:
    """Return what the file or the folder at `place` holds.

    Raises:
        InputError: It holds nothing of a known kind, or what could be read in more than one way.
    """
    if not place.exists():
        raise InputError("no such file or folder", path=place)
    found = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())
    root = place.parent if place.is_file() else place
    found = [path for path in found if not any(step.startswith(".") for step in path.relative_to(root).parts)]
    pictures = [path for path in found if path.suffix.lower() in readable.ENDINGS]
    others = {kind: [path for path in found if path.suffix.lower() == kind] for kind in (".npz", ".csv", ".parquet")}
    kinds = [kind for kind, paths in others.items() if paths]
    if pictures and (not kinds or kinds == [".csv"]):
        return _of_pictures(root, pictures, others[".csv"], stated)
    if pictures or len(kinds) != 1:
        seen = ", ".join([*(["pictures"] if pictures else []), *kinds]) or "none of these"
        what = f"expected pictures ({', '.join(readable.ENDINGS)}), or .npz, .csv or .parquet files, found {seen}"
        raise InputError(what, path=place, fix="name one of them with FROM")
    return {".npz": survey_arrays.of_npz, ".csv": survey_arrays.of_csv, ".parquet": survey_arrays.of_parquet}[kinds[0]](
        others[kinds[0]], stated
    )


def _of_pictures(root: Path, pictures: Sequence[Path], listed: Sequence[Path], stated: Stated) -> Survey:
    named = _listed(root, pictures, listed, stated) if listed else _by_folder(root, pictures, stated)
    sizes: Counter[tuple[int, int]] = Counter()
    modes: Counter[str] = Counter()
    transparent, damaged = 0, []
    for path in sorted(named):
        try:
            with readable.opened(path.read_bytes()) as (image, mode, _):
                image.load()
                sizes[image.size] += 1
                modes[mode] += 1
                transparent += image.has_transparency_data
        except (OSError, ValueError):
            damaged.append(path.relative_to(root).as_posix())
    if not sizes:
        raise InputError("no picture that can be read", path=root)
    copies = _targets(
        root, {path: at for path, at in named.items() if path.relative_to(root).as_posix() not in damaged}
    )
    grey = all(mode.partition(";")[0] in ("1", "L", "LA", "I") for mode in modes)
    (width, height), same = next(iter(sizes)), len(sizes) == 1
    fits = same and all(dataset.MIN_SIDE <= side <= dataset.MAX_SIDE for side in (width, height))
    size = stated.size or ((height, width) if fits else (_SIDE, _SIDE))
    parts = sorted({target.partition("/")[0] for target in copies}, key=list(SPLITS.values()).index)
    options: dict[str, Any] = {part: part for part in parts}
    if not same or size != (height, width):
        options["resize"] = "stretch"
    options["convert"] = bool(transparent or modes.keys() - {"1", "L", *(() if grey else ("RGB", "P"))})
    notes = [
        f"sizes: {', '.join(f'{w}x{h} ({count})' for (w, h), count in sizes.most_common(3))}"
        f"{f' and {len(sizes) - 3} more' if len(sizes) > 3 else ''}; all become {size[1]}x{size[0]}"
        f"{'' if fits or stated.size else ' (SIZE=64 or SIZE=48x64 says otherwise)'}",
        f"modes: {', '.join(f'{mode} ({count})' for mode, count in modes.most_common())}; all become"
        f" {'grey' if grey else 'colour'}",
    ]
    if transparent:
        notes.append(f"{transparent} have transparent parts: `convert` in docs/datasets.md says what becomes of these")
    if damaged:
        more = ", ..." if len(damaged) > 20 else ""
        notes.append(f"{len(damaged)} cannot be read and are not copied: {', '.join(damaged[:20])}{more}")
    content = {
        "format": "folder",
        "image": {"height": size[0], "width": size[1], "channels": 1 if grey else 3},
        "classes": natural({target.split("/")[1] for target in copies}),
        "options": options,
    }
    return Survey(held_out(content, tests="test" in parts), copies, notes)


def _by_folder(root: Path, pictures: Sequence[Path], stated: Stated) -> dict[Path, tuple[str, str]]:
    """Return the split and the class of each picture, by the folders in which it is."""
    steps = {path: path.relative_to(root).parts[:-1] for path in pictures}
    depths = {len(parts) for parts in steps.values()}
    if depths == {0}:
        raise InputError("expected a folder for each class, or a CSV with names and labels", path=root)
    if len(depths) > 1:
        odd = min(steps, key=lambda path: len(steps[path]))
        what = f"pictures are {min(depths)} to {max(depths)} folders deep, such as {odd.relative_to(root).as_posix()}"
        raise InputError(what, path=root, fix="move them to one depth, or name a folder further down with FROM")
    levels = [sorted({parts[level] for parts in steps.values()}) for level in range(depths.pop())]
    split_at = next((at for at, names in enumerate(levels) if all(name.lower() in SPLITS for name in names)), None)
    varying = [at for at, names in enumerate(levels) if at != split_at and len(names) > 1]
    if stated.level is not None:
        varying = [stated.level - 1] if 0 < stated.level <= len(levels) else []
    if len(varying) != 1:
        shown = "; ".join(f"{at + 1}: {', '.join(names[:3])}" for at, names in enumerate(levels))
        raise InputError(f"which level of folders has the classes? {shown}", path=root, fix="say LEVEL=1, for instance")
    split = {path: "train" if split_at is None else SPLITS[parts[split_at].lower()] for path, parts in steps.items()}
    if "train" not in split.values():
        raise InputError("no pictures to train on, only those of other splits", path=root)
    return {path: (split[path], parts[varying[0]]) for path, parts in steps.items()}


def _listed(
    root: Path, pictures: Sequence[Path], listed: Sequence[Path], stated: Stated
) -> dict[Path, tuple[str, str]]:
    """Return the split and the class of each picture, by a table of their names and labels."""
    if len(listed) > 1:
        raise InputError(f"which table has the labels? {', '.join(path.name for path in listed)}", path=root)
    table = pd.read_csv(listed[0], dtype=str, keep_default_na=False)
    known = {path.relative_to(root).as_posix(): path for path in pictures}
    for key in ("name", "stem"):
        short = Counter(getattr(path, key) for path in pictures)
        known |= {getattr(path, key): path for path in pictures if short[getattr(path, key)] == 1}
    columns = [column for column in table if table[column].isin(known).mean() > 0.5]
    # A label may be the name of a picture, too, but it is rarely unique.
    columns = [column for column in columns if len(columns) == 1 or table[column].is_unique]
    if len(columns) != 1:
        raise InputError(f"expected one column with names of the pictures, found {len(columns)}", path=listed[0])
    label = label_column([column for column in table if column != columns[0]], listed[0], stated)
    absent = [name for name in table[columns[0]] if name not in known]
    unnamed = set(pictures) - {known[name] for name in table[columns[0]] if name in known}
    if absent or unnamed:
        what = f"{len(absent)} rows without a picture ({', '.join(absent[:3])}), {len(unnamed)} pictures without a row"
        raise InputError(f"{what} ({', '.join(sorted(path.name for path in unnamed)[:3])})", path=listed[0])
    if table[columns[0]].duplicated().any():
        twice = table[columns[0]][table[columns[0]].duplicated()].iloc[0]
        raise InputError(f"{twice} is there twice", path=listed[0])
    pairs = zip(table[columns[0]], table[label], strict=True)
    return {known[name]: ("train", re.sub(r"[/\\]", "-", text)) for name, text in pairs}


def _targets(root: Path, named: Mapping[Path, tuple[str, str]]) -> dict[str, Path]:
    """Return where each picture goes, SPLIT/CLASS/NAME; its folders are part of the name where names are the same."""
    found: dict[str, Path] = {}
    doubles = Counter((*at, path.name.lower()) for path, at in named.items())
    for path, (split, label) in named.items():
        plain = doubles[(split, label, path.name.lower())] == 1
        name = path.name if plain else "-".join(path.relative_to(root).parts)
        found[str(PurePosixPath(split, label, name))] = path
    return found
