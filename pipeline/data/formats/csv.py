"""Images as rows of a CSV table: a label, and a column for each pixel, as in Kaggle's label,pixel0,pixel1,..."""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import schema
from pipeline.data.dataset import Split
from pipeline.data.formats import checks
from pipeline.data.formats.checks import Place
from pipeline.data.tables import CsvSet

# Characters of a line, and of the lines that are held at a time.
_LINE, _BLOCK = 2**24, 2**22
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


def read(directory: Path, image_set: CsvSet) -> tuple[Split, Split | None]:
    """Return training and test images in the order of the rows; test is None if there is no such table.

    Raises:
        InputError: A table cannot be read, a column is missing, or a cell is not a whole number in its range; rows are
            counted from 0, without the header.
    """
    train = _split(directory, image_set, "train", [file.name for file in image_set.files.train])
    if image_set.files.test is None:
        return train, None
    return train, _split(directory, image_set, "test", [file.name for file in image_set.files.test])


def _split(directory: Path, image_set: CsvSet, name: str, tables: list[str]) -> Split:
    places = [Place(directory / table) for table in tables]
    parts: list[tuple[NDArray[Any], NDArray[Any]]] = []
    size = 0
    for place in places:
        for part in _parts(place, image_set):
            size += part[0].nbytes
            if size > checks.MAX_BYTES:
                raise place.fault(f"{name}: expected at most {checks.MAX_BYTES} bytes of images, found more")
            parts.append(part)
    if not parts:
        raise places[0].fault(f"{name}: no rows")
    return checks.split(parts, image_set, name, places[0])


def _parts(place: Place, image_set: CsvSet) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    options = image_set.options
    with _opened(place) as text:
        header = next(csv.reader([_line(text, place, "header")]), [])
        _check_columns(header, place, image_set)
        label = header.index(options.label)
        low, high = np.zeros(len(header)), np.full(len(header), 255)
        low[label], high[label] = options.first_label, options.first_label + len(image_set.classes) - 1
        for first, lines in _blocks(text, place):
            numbers = _numbers(lines, header, low, high)
            if numbers is None:
                raise place.fault(_fault(first, lines, header, low, high))
            images = np.delete(numbers, label, axis=1).astype(np.uint8).reshape(-1, *image_set.image.shape)
            yield images, checks.labels(numbers[:, label].astype(np.int64), image_set, place, options.first_label)


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


def _check_columns(header: Sequence[str], place: Place, image_set: CsvSet) -> None:
    """Check that there are a label and the pixels: a prefix and numbers that rise by one, from 0 or 1."""
    options, count = image_set.options, math.prod(image_set.image.shape)
    found = [column for column in header if column != options.label]
    if len(found) != len(header) - 1:
        names = f"found {', '.join(map(schema.shown, header[:3]))}, ..."
        raise place.fault(f"{'more than one' if options.label in header else 'no'} column {options.label!r}, {names}")
    first = 0 if f"{options.pixels}0" in found else 1
    expected = [f"{options.pixels}{number}" for number in range(first, first + count)]
    unknown = next((column for column in found if column not in {*expected}), None)
    if len(found) != count:
        which = f", one of them {schema.shown(unknown)}" if unknown is not None else ""
        raise place.fault(f"expected {count} columns of pixels, found {len(found)}{which}")
    for column, name in zip(found, expected, strict=True):
        if column != name:
            raise place.fault(f"expected a column {name!r}, found {schema.shown(column)}")


def _numbers(
    lines: Sequence[str], header: Sequence[str], low: NDArray[Any], high: NDArray[Any]
) -> NDArray[np.float64] | None:
    """Return the numbers in lines, (lines, columns); None if a cell is not a whole number from `low` to `high`."""
    try:
        numbers = np.loadtxt(lines, np.float64, delimiter=",", quotechar='"', comments=None, ndmin=2)
    except ValueError:
        return None
    if numbers.shape != (len(lines), len(header)):
        return None
    return numbers if ((numbers >= low) & (numbers <= high) & (np.floor(numbers) == numbers)).all() else None


def _fault(first: int, lines: Sequence[str], header: Sequence[str], low: NDArray[Any], high: NDArray[Any]) -> str:
    """Return what is wrong with the first cell that is no such number; `first` is the row of the first line."""
    for row, line in enumerate(lines, first):
        cells = next(csv.reader([line]))
        where = f"row {row}, counted from 0"
        if len(cells) != len(header):
            return f"{where}: expected {len(header)} cells, found {len(cells)}"
        for column, cell in enumerate(cells):
            if not cell.strip() or _numbers([cell], header[:1], low[column], high[column]) is None:
                found = cell.strip()[:60] or "nothing"
                expected = f"expected a whole number from {low[column]:.0f} to {high[column]:.0f}, found {found}"
                return f"{where}, column {header[column]!r}: {expected}"
    return "not a CSV table of numbers"
