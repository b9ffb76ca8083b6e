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
from typing import Any, NamedTuple, TextIO

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
LETTERS = 500
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
    with opened(table) as text:
        columns = _columns(text, table, image_set)
        for _, lines in blocks(text, table, len(columns.header)):
            checks.expect_room(count := count + len(lines), image_set, table)
    return count


def _fill(image_set: CsvSet, table: Place, rows: Split, _faults: Faults) -> list[str]:
    scale, labels, groups = image_set.options.scale, list[str](), list[str]()
    with opened(table) as text:
        columns = _columns(text, table, image_set)
        for first, lines in blocks(text, table, len(columns.header)):
            numbers = numbers_of(lines, columns, scale, table, first)
            pixels = numbers if scale is None else checks.scaled(numbers, scale, table, first)
            rows.images[first : first + len(lines)] = pixels.reshape(-1, *image_set.image.shape)
            names, *grouped = texts_of(lines, columns.texts, table).T.tolist()
            labels += names
            groups += [value for column in grouped for value in column]
    # Of all rows at once: they are names if one of them is not a number.
    rows.labels[:] = _labels(labels, image_set, table)
    return groups


def _labels(texts: Sequence[str], image_set: CsvSet, place: Place) -> NDArray[Any]:
    """Return the labels of a table. If one is a number the others are wrong, unless all are names of classes."""
    options, texts = image_set.options, [text.strip() for text in texts]
    are_numbers = {text: is_number(text) for text in set(texts)}
    known = {checks.composed(name) for name in image_set.classes}
    named = not all(are_numbers.values()) and all(checks.composed(text) in known for text in are_numbers)
    if named or not any(are_numbers.values()):
        # An array has room for the longest in each place.
        return checks.labels(np.array([text[:LETTERS] for text in texts], np.str_), image_set, place)
    low, high = options.first_label, options.first_label + len(image_set.classes) - 1
    for row, text in enumerate(texts):
        if not (are_numbers[text] and low <= (number := float(text)) <= high and number.is_integer()):
            expected = f"expected a whole number from {low} to {high}, found {text[:60] or 'nothing'}"
            raise place.fault(f"row {row}, counted from 0, column {options.label!r}: {expected}")
    return checks.labels(np.array([float(text) for text in texts]).astype(np.int64), image_set, place, low)


def is_number(text: str) -> bool:
    """Return whether a cell is a number, and not that of a word for none."""
    return _NUMBER.fullmatch(text) is not None


@contextmanager
def opened(place: Place) -> Iterator[io.TextIOWrapper]:
    """Yield the text of a table; raise InputError, while it is read, if it is not CSV in UTF-8."""
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
        raise place.fault(f"not a CSV table in UTF-8 ({error.reason})", "save it as UTF-8") from None
    except (OSError, EOFError, zlib.error) as error:
        raise place.fault(f"cannot be read ({getattr(error, 'strerror', None) or error})") from None
    except csv.Error as error:
        raise place.fault(f"not a CSV table ({error})") from None


def line_of(text: TextIO, place: Place, what: str) -> str:
    """Return the next line, or nothing at the end; raise InputError, which says `what` it is, if it is too long."""
    line = text.readline(_LINE + 1)
    if len(line) > _LINE:
        raise place.fault(f"{what}: expected at most {_LINE} characters, found more")
    return line


def header_of(text: TextIO, place: Place) -> list[str]:
    """Return the names of the columns, which are in the first line."""
    return next(csv.reader([line_of(text, place, "header")]), [])


def blocks(text: TextIO, place: Place, width: int) -> Iterator[tuple[int, list[str]]]:
    """Yield lines of so many cells, as many lines as fit, after the number of the first of them.

    Raises:
        InputError: A line has more cells or fewer, is too long, or is blank and not the last.
    """
    row, size, lines = 0, 0, list[str]()
    while line := line_of(text, place, f"row {row + len(lines)}, counted from 0"):
        if not line.strip():
            if any(after.strip() for after in iter(lambda: line_of(text, place, "the end"), "")):
                raise place.fault(f"row {row + len(lines)}, counted from 0: expected a label and pixels, found nothing")
            break
        if (found := _width(line)) != width:
            raise place.fault(f"row {row + len(lines)}, counted from 0: expected {width} cells, found {found}")
        lines.append(line)
        size += len(line)
        if size > _BLOCK:
            yield row, lines
            row, size, lines = row + len(lines), 0, []
    if lines:
        yield row, lines


def _columns(text: TextIO, place: Place, image_set: CsvSet) -> Columns:
    """Return the columns in the first line: those of pixels are a prefix and numbers that rise by one, from 0 or 1."""
    options, count, group = image_set.options, math.prod(image_set.image.shape), image_set.group
    header = header_of(text, place)
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


def texts_of(lines: Sequence[str], columns: Sequence[int], place: Place) -> NDArray[Any]:
    """Return the cells of some columns of lines, (lines, columns); raise InputError if one goes on in the next line."""
    try:
        return _cells(lines, object, columns)
    except ValueError:
        raise place.fault("not a CSV table with a row in each line") from None


def _cells(lines: Sequence[str], kind: Any, columns: Sequence[int]) -> NDArray[Any]:
    cells = np.loadtxt(lines, kind, delimiter=",", quotechar='"', comments=None, ndmin=2, usecols=columns)
    if len(cells) != len(lines):
        raise ValueError
    return cells


def numbers_of(
    lines: Sequence[str], columns: Columns, scale: float | None, place: Place, first: int
) -> NDArray[np.float64]:
    """Return the pixels in lines, (lines, pixels): from 0 to 255 and whole if `scale` is None, else any numbers.

    Raises:
        InputError: A cell is not what it has to be; `first` is the row of the first line.
    """
    try:
        numbers: NDArray[np.float64] = _cells(lines, np.float64, columns.pixels)
        if _are_pixels(numbers, scale):
            return numbers
    except ValueError:
        pass
    raise place.fault(_fault(first, lines, columns, scale))


def _width(line: str) -> int:
    return len(next(csv.reader([line]))) if '"' in line else line.count(",") + 1


def _are_pixels(numbers: NDArray[np.float64], scale: float | None) -> bool:
    if scale is not None:
        return bool(np.isfinite(numbers).all())
    return bool(((numbers >= 0) & (numbers <= 255) & (np.floor(numbers) == numbers)).all())


def _fault(first: int, lines: Sequence[str], columns: Columns, scale: float | None) -> str:
    """Return what is wrong with the first pixel that is no such number; `first` is the row of the first line."""
    expected = "a whole number from 0 to 255" if scale is None else f"a number from 0 to {scale:g}"
    expected = "a number" if scale == math.inf else expected
    for row, line in enumerate(lines, first):
        cells = next(csv.reader([line]))
        for column in columns.pixels:
            cell = cells[column].strip()
            if not is_number(cell) or not _are_pixels(np.array([float(cell)]), scale):
                name = columns.header[column]
                return (
                    f"row {row}, counted from 0, column {name!r}: expected {expected}, found {cell[:60] or 'nothing'}"
                )
    return "not a CSV table of numbers"
