"""Arrays and tables on a disk -> what data/sets/ says of them: npz, CSV and parquet. What is unclear is asked back."""

import io
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline import errors
from pipeline.data import dataset
from pipeline.data.formats import checks, csv, npz, parquet
from pipeline.data.formats.checks import Faults, Place
from pipeline.data.looks import Looks
from pipeline.data.survey import (
    LABEL_WORDS,
    SPLIT_WORDS,
    Stated,
    Survey,
    header_of,
    held_out,
    label_column,
    names_splits,
    natural,
)
from pipeline.errors import InputError

_IMAGE_WORDS = ("image", "images", "data", "x")
# What to do with numbers as labels that have gaps, or begin where the format's do not.
_RELABEL = "number the classes from 0 on without gaps, or write names, such as class-10"


class Range(NamedTuple):
    """The smallest and the largest pixel, and whether all are whole numbers."""

    low: float
    high: float
    are_whole: bool


def of_npz(paths: Sequence[Path], stated: Stated) -> Survey:
    """Return what one npz file holds, or raise InputError."""
    if len(paths) > 1:
        raise InputError(f"which file? {', '.join(path.name for path in paths)}", path=paths[0].parent)
    path = paths[0]
    try:
        arrays = npz.arrays(path, limit=checks.MAX_BYTES)
    except OSError as error:
        raise errors.unreadable(path, error) from None
    keys = _keys(arrays, path)
    if not {"train_images", "train_labels"} <= keys.keys():
        what = "expected arrays such as x_train and y_train, train_images and train_labels, or images and labels"
        raise InputError(f"{what}, found {', '.join(arrays)[:200]}", path=path)
    images = arrays[keys["train_images"]]
    if images.ndim not in (3, 4) or images.shape[3:] not in ((), (1,), (3,)):
        what = f"expected images (n, h, w), (n, h, w, 1) or (n, h, w, 3), found {images.shape}"
        fix = "np.moveaxis(images, 1, -1) puts channels last, images[..., :3] leaves out a fourth"
        raise InputError(what, path=path, fix=fix)
    height, width, channels = (*images.shape[1:], 1)[:3]
    labels = [arrays[key] for name, key in keys.items() if name.endswith("labels")]
    for array in labels:
        if array.dtype.kind not in "iuU" or array.shape[:1] != (array.size,):
            what = f"expected a whole number or a name for each image, found {array.dtype}{array.shape}"
            fix = "astype(int) or astype(str) makes these, np.argmax(labels, axis=1) those of rows of 0 and 1"
            raise InputError(what, path=path, fix=fix)
    classes, first_label = _classes({*np.concatenate([array.ravel() for array in labels]).tolist()}, path)
    content = {
        "format": "npz",
        "image": {"height": height, "width": width, "channels": channels},
        "classes": classes,
        "files": {"data": {"name": "data.npz"}},
        "arrays": {name: {"file": "data", "key": key} for name, key in keys.items()},
        "options": {"first_label": first_label} | _scale_of(arrays, keys, stated, path),
        **held_out(["test"] if "test_images" in keys else [], stated),
    }
    others = ", ".join(key for key in arrays if key not in keys.values())
    return Survey(content, {"data.npz": path}, [f"left out: the arrays {others}"] if others else [])


def _scale_of(
    arrays: Mapping[str, NDArray[Any]], keys: Mapping[str, str], stated: Stated, path: Path
) -> dict[str, float]:
    """Return the option that makes the images of all splits 0 to 255, if one is needed: of others than uint8, it is."""
    images = {key: arrays[key] for name, key in keys.items() if name.endswith("images")}
    if len({array.dtype.kind == "f" for array in images.values()}) > 1:
        kinds = ", ".join(f"{key} is {array.dtype}" for key, array in images.items())
        raise InputError(
            f"{kinds}, of which white is not one number", path=path, fix="save all with one type and one range"
        )
    kept = {} if all(array.dtype == np.uint8 for array in images.values()) else {"scale": 255.0}
    return kept | _scale(_range_of(images.values(), path), stated, path)


def _keys(arrays: Sequence[str] | dict[str, Any], path: Path) -> dict[str, str]:
    """Return the key of the images and labels of each split, by the words in it."""
    keys: dict[str, str] = {}
    for key in arrays:
        words = key.lower().split("_")
        split = next((SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS), "train")
        usual = {"labels": LABEL_WORDS, "images": _IMAGE_WORDS}
        kinds = [f"{split}_{kind}" for kind, names in usual.items() if set(names) & set(words)]
        if len(kinds) == 1 and keys.setdefault(kinds[0], key) != key:
            what = f"which array has {kinds[0].replace('_', ' ')}? {keys[kinds[0]]}, {key}"
            raise InputError(what, path=path)
    return keys


def of_tables(paths: Sequence[Path], stated: Stated) -> Survey:
    """Return what CSV or parquet tables of pixels hold, or parquet tables of pictures; or raise InputError."""
    tables = _tables(paths)
    if tables["train"].suffix.lower() == ".parquet":
        with parquet.opened(Place(tables["train"])) as file:
            columns = file.schema_arrow
        names = [column.name for column in columns if _has_pictures(column.type)]
        if len(names) > 1:
            raise InputError(f"which column has the pictures? {', '.join(names)}", path=tables["train"])
        if names:
            return _of_pictures(tables, columns, names[0], stated)
    return _of_pixels(tables, stated)


def _has_pictures(kind: Any) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind)) or (
        pa.types.is_struct(kind) and int(kind.get_field_index("bytes")) >= 0
    )


def _of_pixels(tables: dict[str, Path], stated: Stated) -> Survey:
    path = tables["train"]
    with _opened(path) as (header, _):
        names = [name for name in header if name != stated.group]
    texts = [name for name in names if name == stated.label or not name[-1:].isdigit()]
    columns = _counted(path, texts)
    _refuse_splits(columns, path)
    label = label_column(texts or names, path, stated)
    prefixes = sorted({re.sub(r"\d+$", "", name) for name in names if name != label})
    if len(prefixes) != 1:
        what = f"expected columns of pixels with one prefix, found {', '.join(prefixes[:3])}"
        raise InputError(what, path=path, fix="say GROUP=column if one says what belongs together, or remove it")
    for name, table in tables.items():
        _count(columns[label], _counted(table, [label]).get(label, ()) if name != "train" else ())
    classes, first_label = _classes(_values(columns[label], label, path), path)
    count, found = _range(path, [name for name in names if name != label])
    options = {"label": label, "pixels": prefixes[0], "first_label": first_label} | _scale(found, stated, path)
    content = {
        "format": "csv",
        "image": dict(zip(("height", "width", "channels"), _shape(count, stated, path), strict=True)),
        "classes": classes,
        "files": {name: [{"name": f"{name}.csv"}] for name in tables},
        "options": options,
        **held_out(tables, stated),
    }
    return Survey(content, {f"{name}.csv": path for name, path in tables.items()})


@contextmanager
def _opened(path: Path) -> Iterator[tuple[list[str], Iterator[tuple[int, list[str]]]]]:
    """Yield the names of the columns of a table, and its lines in CSV, in blocks, each after its first row."""
    place = Place(path)
    if path.suffix.lower() == ".parquet":
        pieces = parquet.as_csv(place)
        header = header_of(io.StringIO(next(pieces)), place)
        yield header, _blocks(pieces, place, len(header))
    else:
        with csv.opened(place) as text:
            header = header_of(text, place)
            yield header, csv.blocks(text, place, len(header))


def _blocks(pieces: Iterable[str], place: Place, width: int) -> Iterator[tuple[int, list[str]]]:
    row = 0
    for piece in pieces:
        for _, lines in csv.blocks(io.StringIO(piece), place, width):
            yield row, lines
            row += len(lines)


def _counted(path: Path, names: Sequence[str]) -> dict[str, Counter[str]]:
    """Return how often each text is in those columns that the table has, as `_count` does."""
    with _opened(path) as (header, blocks):
        counted = {name: Counter[str]() for name in names if name in header}
        for _, lines in blocks if counted else ():
            cells = csv.texts_of(lines, [header.index(name) for name in counted], Place(path))
            for known, column in zip(counted.values(), cells.T, strict=True):
                _count(known, [cell.strip()[: csv.LETTERS] for cell in column])
    return counted


def _count(known: Counter[Any], cells: Iterable[Any]) -> None:
    """Count cells; once MAX_CLASSES and one more are known, only those."""
    for cell in cells:
        if cell in known or len(known) <= dataset.MAX_CLASSES:
            known[cell] += 1


def _refuse_splits(columns: Mapping[str, Counter[Any]], path: Path) -> None:
    """Raise InputError if a column says which rows are of which split, for which nobody would look."""
    for name, cells in columns.items():
        if len(cells) > 1 and names_splits(cells):
            what = f"the column {name!r} has {', '.join([*map(str, cells)][:3])}"
            raise InputError(what, path=path, fix="write a table for each, called train, test and val, without it")


def _values(texts: Collection[str], label: str, path: Path) -> Collection[Any]:
    """Return labels as the numbers that all of them are, or else as they are."""
    if "" in texts:
        raise InputError(f"column {label!r}: expected a label in each row, found nothing in some", path=path)
    are_whole = all(csv.is_number(text) and float(text).is_integer() for text in texts)
    return [int(float(text)) for text in texts] if are_whole else texts


def _range(path: Path, names: Sequence[str]) -> tuple[int, Range]:
    """Return how many columns of pixels there are, and the range of these."""
    low, high, are_whole = math.inf, -math.inf, True
    with _opened(path) as (header, blocks):
        columns = csv.Columns(header, [header.index(name) for name in names], [])
        for first, lines in blocks:
            numbers = csv.numbers_of(lines, columns, math.inf, Place(path), first)
            low, high = min(low, float(numbers.min())), max(high, float(numbers.max()))
            are_whole = are_whole and bool((numbers == np.floor(numbers)).all())
    return len(names), Range(int(low), int(high), True) if are_whole else Range(low, high, False)


def _of_pictures(tables: dict[str, Path], columns: Any, image: str, stated: Stated) -> Survey:
    path = tables["train"]
    label = label_column([name for name in columns.names if name not in (image, stated.group)], path, stated)
    texts = [column.name for column in columns if "string" in str(column.type) and column.name not in (label, image)]
    _refuse_splits(_counted_values(path, texts), path)
    labels = Counter[Any]()
    for table in tables.values():
        with parquet.opened(Place(table)) as file:
            if not {label, image} <= {*file.schema_arrow.names}:
                raise InputError(f"expected the columns {image!r} and {label!r}, as in that to train on", path=table)
        _count(labels, _counted_values(table, [label])[label])
    classes, first_label = _classes(labels, path)
    if first_label:
        raise InputError(f"labels begin with {first_label}, expected 0 or names", path=path, fix=_RELABEL)
    looks, faults = Looks(stated.size, stated.scale), Faults()
    for table in tables.values():
        for row, cell in parquet.values(Place(table), image):
            with faults.at(row):
                looks.add((cell["bytes"] if isinstance(cell, dict) else cell) or b"")
    faults.end()
    content = {
        "format": "parquet",
        "image": looks.image,
        "classes": parquet.class_names(columns.metadata or {}, label) or classes,
        "files": {name: [{"name": f"{name}.parquet"}] for name in tables},
        "options": {"image": image, "label": label} | looks.options,
        **held_out(tables, stated),
    }
    return Survey(content, {f"{name}.parquet": path for name, path in tables.items()}, looks.notes)


def _counted_values(path: Path, names: Sequence[str]) -> dict[str, Counter[Any]]:
    """Return how often each value is in these columns, as `_count` does."""
    counted = {name: Counter[Any]() for name in names}
    for name, known in counted.items():
        for _, value in parquet.values(Place(path), name):
            _count(known, [value[: csv.LETTERS] if isinstance(value, str) else value])
    return counted


def _tables(paths: Sequence[Path]) -> dict[str, Path]:
    """Return the table of each split, by the word in its name; a single one is to train on."""
    if len(paths) == 1:
        return {"train": paths[0]}
    tables: dict[str, Path] = {}
    for path in paths:
        words = {SPLIT_WORDS[word] for word in re.split(r"[^a-z]+", path.stem.lower()) if word in SPLIT_WORDS}
        if len(words) != 1 or tables.setdefault(next(iter(words)), path) != path:
            what = f"which table is which? {', '.join(path.name for path in paths)}"
            raise InputError(what, path=path.parent, fix="name them train, test and val, one of each")
    if "train" not in tables:
        raise InputError(f"no table to train on among {', '.join(path.name for path in paths)}", path=paths[0].parent)
    return tables


def _classes(labels: Collection[Any], path: Path) -> tuple[list[str], int]:
    """Return the names of the classes, and the label of the first one; that of names is 0."""
    if not labels:
        raise InputError("no images", path=path)
    if len(labels) > dataset.MAX_CLASSES:
        what = f"expected at most {dataset.MAX_CLASSES} classes, found more labels than that"
        raise InputError(what, path=path, fix="say LABEL=column if others than these are the labels")
    if any(isinstance(label, str) or label != label // 1 for label in labels):
        return natural({str(label) for label in labels}), 0
    present = sorted(map(int, labels))
    if len(present) != present[-1] - present[0] + 1:
        gap = next(label for label in range(present[0], present[-1]) if label not in present)
        raise InputError(f"no image has the label {gap}, of {present[0]} to {present[-1]}", path=path, fix=_RELABEL)
    return [str(label) for label in present], present[0]


def _range_of(arrays: Iterable[NDArray[Any]], path: Path) -> Range:
    """Return the range of the pixels in arrays of which the first has the type of all."""
    made = list[Range]()
    for pixels in arrays:
        if pixels.dtype.kind not in "iuf" or not pixels.size:
            raise InputError(f"expected numbers as pixels, found {pixels.dtype}{pixels.shape}", path=path)
        made.append(Range(pixels.min(), pixels.max(), pixels.dtype.kind in "iu"))
    return Range(min(found.low for found in made), max(found.high for found in made), made[0].are_whole)


def _scale(found: Range, stated: Stated, path: Path) -> dict[str, float]:
    """Return the option that makes pixels 0 to 255, if one is needed."""
    low, high, are_whole = found
    # Not a number is neither.
    if not 0 <= low <= high:
        raise InputError(f"expected pixels of 0 or more, found {low} to {high}", path=path, fix="make black 0")
    if stated.scale is not None:
        return {} if stated.scale == 255 and are_whole else {"scale": stated.scale}
    # Whole numbers up to 1 are black and white.
    if 0.5 < high <= 1:
        return {"scale": 1.0}
    if are_whole and 128 <= high <= 255:
        return {}
    fix = f"say SCALE={high:g}" + (", or SCALE=255" if high < 255 else "")
    raise InputError(f"which number is white? pixels are {low} to {high}", path=path, fix=fix)


def _shape(pixels: int, stated: Stated, path: Path) -> tuple[int, int, int]:
    for channels in (1, 3):
        side = math.isqrt(pixels // channels)
        if stated.size and math.prod(stated.size) * channels == pixels:
            return (*stated.size, channels)
        if not stated.size and side**2 * channels == pixels:
            return side, side, channels
    raise InputError(f"which height and width have {pixels} pixels?", path=path, fix="say SIZE=28x20, for instance")
