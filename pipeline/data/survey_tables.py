"""Tables on a disk -> what data/sets/ says of them: CSV and parquet, in blocks. What is unclear is asked back."""

import io
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.data import dataset
from pipeline.data.formats import csv, parquet
from pipeline.data.formats.checks import Faults, Place
from pipeline.data.looks import Looks
from pipeline.data.survey import (
    SPLIT_WORDS,
    Stated,
    Survey,
    header_of,
    held_out,
    label_column,
    names_splits,
)
from pipeline.data.survey_arrays import RELABEL, Range, classes_of, scale_of
from pipeline.errors import InputError


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
    classes, first_label = classes_of(_values(columns[label], label, path), path)
    count, found = _range(path, [name for name in names if name != label])
    options = {"label": label, "pixels": prefixes[0], "first_label": first_label} | scale_of(found, stated, path)
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
    classes, first_label = classes_of(labels, path)
    if first_label:
        raise InputError(f"labels begin with {first_label}, expected 0 or names", path=path, fix=RELABEL)
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


def _shape(pixels: int, stated: Stated, path: Path) -> tuple[int, int, int]:
    for channels in (1, 3):
        side = math.isqrt(pixels // channels)
        if stated.size and math.prod(stated.size) * channels == pixels:
            return (*stated.size, channels)
        if not stated.size and side**2 * channels == pixels:
            return side, side, channels
    raise InputError(f"which height and width have {pixels} pixels?", path=path, fix="say SIZE=28x20, for instance")
