"""Images as rows of a CSV table: a label, and a column for each pixel, as in Kaggle's label,pixel0,pixel1,..."""

import csv
import gzip
import io
import math
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline import schema
from pipeline.data.dataset import Split
from pipeline.data.formats import checks, tables
from pipeline.data.formats.checks import Faults, Place
from pipeline.data.sets import CsvSet

# Characters of a line, and of the lines that are held at a time.
_LINE, _BLOCK = 2**24, 2**22
# Of a label, which no name of a class has however it is composed.
_LETTERS = 500
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
# How files begin that are no text, and what they are.
_OTHERS = {
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"PK\x03\x04": "zip",
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
    b"PAR1": "parquet",
}


class Columns(NamedTuple):
    """The columns of a table: their names, and the positions of the pixels, and of the label and the group if any."""

    header: Sequence[str]
    pixels: Sequence[int]
    texts: Sequence[int]


def read(directory: Path, image_set: CsvSet) -> dict[str, Split]:
    """Return the images of each split for which there are tables, in the order of the rows.

    Raises:
        InputError: A table cannot be read, a column is missing, or a cell is not a number in its range; rows are
            counted from 0, without the header.
    """
    return tables.read(directory, image_set, _count, _fill)


def _count(image_set: CsvSet, table: Place) -> int:
    count = 0
    with _opened(table) as text:
        _columns(text, table, image_set)
        for _, lines in _blocks(text, table):
            checks.expect_room(count := count + len(lines), image_set, table)
    return count


def _fill(image_set: CsvSet, table: Place, rows: Split, _faults: Faults) -> list[str]:
    scale, labels, groups = image_set.options.scale, list[str](), list[str]()
    with _opened(table) as text:
        columns = _columns(text, table, image_set)
        for first, lines in _blocks(text, table):
            numbers = _numbers(lines, columns, scale)
            if numbers is None:
                raise table.fault(_fault(first, lines, columns, scale))
            pixels = numbers if scale is None else checks.scaled(numbers, scale, table, first)
            rows.images[first : first + len(lines)] = pixels.reshape(-1, *image_set.image.shape)
            names, *grouped = _cells(lines, object, columns.texts).T.tolist()
            labels += names
            groups += [value for column in grouped for value in column]
    # Of all rows at once: they are names if one of them is not a number.
    rows.labels[:] = _labels(labels, image_set, table)
    return groups


def _labels(texts: Sequence[str], image_set: CsvSet, place: Place) -> NDArray[Any]:
    """Return the labels of a table. If one is a number the others are wrong, unless all are names of classes."""
    options, texts = image_set.options, [text.strip() for text in texts]
    are_numbers = {text: _NUMBER.fullmatch(text) is not None for text in set(texts)}
    known = {checks.composed(name) for name in image_set.classes}
    named = not all(are_numbers.values()) and all(checks.composed(text) in known for text in are_numbers)
    if named or not any(are_numbers.values()):
        # An array has room for the longest in each place.
        return checks.labels(np.array([text[:_LETTERS] for text in texts], np.str_), image_set, place)
    low, high = options.first_label, options.first_label + len(image_set.classes) - 1
    for row, text in enumerate(texts):
        if not (are_numbers[text] and low <= (number := float(text)) <= high and number.is_integer()):
            expected = f"expected a whole number from {low} to {high}, found {text[:60] or 'nothing'}"
            raise place.fault(f"row {row}, counted from 0, column {options.label!r}: {expected}")
    return checks.labels(np.array([float(text) for text in texts]).astype(np.int64), image_set, place, low)


@contextmanager
def _opened(place: Place) -> Iterator[io.TextIOWrapper]:
    try:
        with place.path.open("rb") as file:
            head = file.read(8)
            file.seek(0)
            for begin, kind in _OTHERS.items():
                if head.startswith(begin):
                    raise place.fault(f"expected a CSV table in UTF-8, plain or gzipped, found {kind}")
            plain: Any = gzip.GzipFile(fileobj=file) if head.startswith(b"\x1f\x8b") else file
            # A byte-order mark is no part of the first column's name.
            yield io.TextIOWrapper(plain, encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise place.fault(f"not a CSV table in UTF-8 ({error.reason})") from None
    except (OSError, EOFError, zlib.error) as error:
        raise place.fault(f"cannot be read ({getattr(error, 'strerror', None) or error})") from None
    except csv.Error as error:
        raise place.fault(f"not a CSV table ({error})") from None


def _line(text: io.TextIOWrapper, place: Place, what: str) -> str:
    line = text.readline(_LINE + 1)
    if len(line) > _LINE:
        raise place.fault(f"{what}: expected at most {_LINE} characters, found more")
    return line


def _blocks(text: io.TextIOWrapper, place: Place) -> Iterator[tuple[int, list[str]]]:
    """Yield lines, as many as fit, after the number of the first of them; blank ones only before others."""
    row, size, lines = 0, 0, list[str]()
    while line := _line(text, place, f"row {row + len(lines)}, counted from 0"):
        if not line.strip():
            if any(after.strip() for after in iter(lambda: _line(text, place, "the end"), "")):
                raise place.fault(f"row {row + len(lines)}, counted from 0: expected a label and pixels, found nothing")
            break
        lines.append(line)
        size += len(line)
        if size > _BLOCK:
            yield row, lines
            row, size, lines = row + len(lines), 0, []
    if lines:
        yield row, lines


def _columns(text: io.TextIOWrapper, place: Place, image_set: CsvSet) -> Columns:
    """Return the columns in the first line: those of pixels are a prefix and numbers that rise by one, from 0 or 1."""
    options, count, group = image_set.options, math.prod(image_set.image.shape), image_set.group
    header = next(csv.reader([_line(text, place, "header")]), [])
    if header.count(options.label) != 1:
        some = f"found {', '.join(map(schema.shown, header[:3]))}, ..."
        raise place.fault(f"{'more than one' if options.label in header else 'no'} column {options.label!r}, {some}")
    if group is not None and header.count(group) != 1:
        raise place.fault(f"held_out.group: {'more than one' if group in header else 'no'} column {group!r}")
    texts = [header.index(column) for column in (options.label, group) if column is not None]
    pixels = [position for position in range(len(header)) if position not in texts]
    names = [header[position] for position in pixels]
    first = 0 if f"{options.pixels}0" in names else 1
    expected = [f"{options.pixels}{number}" for number in range(first, first + count)]
    unknown = next((name for name in names if name not in {*expected}), None)
    if len(names) != count:
        which = f", one of them {schema.shown(unknown)}" if unknown is not None else ""
        raise place.fault(f"expected {count} columns of pixels, found {len(names)}{which}")
    for name, wanted in zip(names, expected, strict=True):
        if name != wanted:
            raise place.fault(f"expected a column {wanted!r}, found {schema.shown(name)}")
    return Columns(header, pixels, texts)


def _cells(lines: Sequence[str], kind: Any, columns: Sequence[int]) -> NDArray[Any]:
    """Return the cells of some columns of lines, (lines, columns)."""
    return np.loadtxt(lines, kind, delimiter=",", quotechar='"', comments=None, ndmin=2, usecols=columns)


def _numbers(lines: Sequence[str], columns: Columns, scale: float | None) -> NDArray[np.float64] | None:
    """Return the pixels in lines, (lines, pixels); None if a cell is not what it has to be, or there are others."""
    if any(_width(line) != len(columns.header) for line in lines):
        return None
    try:
        numbers = _cells(lines, np.float64, columns.pixels)
    except ValueError:
        return None
    return numbers if len(numbers) == len(lines) and _are_pixels(numbers, scale) else None


def _width(line: str) -> int:
    return len(next(csv.reader([line]))) if '"' in line else line.count(",") + 1


def _are_pixels(numbers: NDArray[np.float64], scale: float | None) -> bool:
    if scale is not None:
        return bool(np.isfinite(numbers).all())
    return bool(((numbers >= 0) & (numbers <= 255) & (np.floor(numbers) == numbers)).all())


def _fault(first: int, lines: Sequence[str], columns: Columns, scale: float | None) -> str:
    """Return what is wrong with the first pixel that is no such number; `first` is the row of the first line."""
    expected = "a whole number from 0 to 255" if scale is None else f"a number from 0 to {scale:g}"
    for row, line in enumerate(lines, first):
        cells = next(csv.reader([line]))
        where = f"row {row}, counted from 0"
        if len(cells) != len(columns.header):
            return f"{where}: expected {len(columns.header)} cells, found {len(cells)}"
        for column in columns.pixels:
            cell = cells[column].strip()
            if not _NUMBER.fullmatch(cell) or not _are_pixels(np.array([float(cell)]), scale):
                name = columns.header[column]
                return f"{where}, column {name!r}: expected {expected}, found {cell[:60] or 'nothing'}"
    return "not a CSV table of numbers"
