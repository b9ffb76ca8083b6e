"""Images as rows of a CSV table: a label, and a column for each pixel, as in Kaggle's label,pixel0,pixel1,..."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline import schema
from pipeline.data.dataset import Split
from pipeline.data.formats import checks
from pipeline.data.formats.checks import Place
from pipeline.data.tables import CsvSet

# Rows that are held as numbers of eight bytes at a time.
_ROWS = 2048


def read(directory: Path, image_set: CsvSet) -> dict[str, Split]:
    """Return the images of each split for which there are tables, in the order of the rows.

    Raises:
        InputError: A table cannot be read, a column is missing, or a cell is not a whole number in its range; rows are
            counted from 0, without the header.
    """
    return {
        name: _split(directory, image_set, name, [file.name for file in tables])
        for name in ("train", "validation", "test")
        if (tables := getattr(image_set.files, name)) is not None
    }


def _split(directory: Path, image_set: CsvSet, name: str, tables: list[str]) -> Split:
    places = [Place(directory / table) for table in tables]
    parts = [part for place in places for part in _parts(place, image_set)]
    if not parts:
        raise places[0].fault(f"{name}: no rows")
    found = checks.split(parts, image_set, name, places[0])
    if image_set.held_out is None or (column := image_set.held_out.group) is None:
        return found
    return dataclasses.replace(found, groups=checks.groups([text for at in places for text in _texts(at, column)]))


def _texts(place: Place, column: str) -> list[str]:
    """Return the texts in a column, which says what belongs together."""
    try:
        table = pd.read_csv(place.path, usecols=[column], dtype=str, keep_default_na=False, index_col=False)
    except ValueError:
        raise place.fault(f"held_out.group: no column {column!r}") from None
    return list(table[column])


def _parts(place: Place, image_set: CsvSet) -> Iterator[tuple[NDArray[Any], ...]]:
    options, last = image_set.options, image_set.options.first_label + len(image_set.classes) - 1
    for table in _chunks(place):
        columns = _columns(table, place, image_set)
        if table.empty:
            continue
        pixels = _pixels(table, columns, place, options.scale)
        # Where some are numbers, the others are wrong, unless all are names of classes.
        given = table[options.label]
        if pd.to_numeric(given, errors="coerce").notna().any() and not given.isin(image_set.classes).all():
            labels = _whole(table, [options.label], place, options.first_label, last)[:, 0]
        else:
            labels = given.fillna("").to_numpy(np.str_)
        images = checks.images(pixels.reshape(-1, *image_set.image.shape), image_set, place)
        found = checks.labels(labels, image_set, place, options.first_label, int(table.index[0]))
        yield images, found, place.rows(table.index)


def _pixels(table: pd.DataFrame, columns: list[str], place: Place, scale: float | None) -> NDArray[np.uint8]:
    if scale is None:
        return _whole(table, columns, place, 0, 255).astype(np.uint8)
    numbers = table[columns].apply(lambda column: pd.to_numeric(column, errors="coerce")).to_numpy(np.float64)
    return checks.scaled(numbers, scale, place, int(table.index[0]))


def _chunks(place: Place) -> Iterator[pd.DataFrame]:
    try:
        with pd.read_csv(
            place.path, chunksize=_ROWS, low_memory=False, skip_blank_lines=False, index_col=False, on_bad_lines="error"
        ) as chunks:
            yield from chunks
    except OSError as error:
        raise place.fault(f"cannot be read ({error.strerror or error})") from None
    # ValueError: pandas' own errors of a table, and of bytes that are not UTF-8; OverflowError: of a huge number.
    except (ValueError, OverflowError) as error:
        raise place.fault(f"not a CSV table ({' '.join(str(error).split())[:200]})") from None


def _columns(table: pd.DataFrame, place: Place, image_set: CsvSet) -> list[str]:
    """Return the columns of pixels: a prefix and numbers that rise by one, from 0 or 1."""
    options, count = image_set.options, math.prod(image_set.image.shape)
    others = (options.label, image_set.held_out and image_set.held_out.group)
    found = [str(column) for column in table.columns if column not in others]
    if options.label not in table.columns:
        raise place.fault(f"no column {options.label!r}, found {', '.join(map(schema.shown, found[:3]))}, ...")
    if len(found) != count:
        raise place.fault(f"expected {count} columns of pixels, found {len(found)}")
    first = 1 if found[0] == f"{options.pixels}1" else 0
    for position, column in enumerate(found):
        if column != (expected := f"{options.pixels}{position + first}"):
            raise place.fault(f"expected a column {expected!r}, found {schema.shown(column)}")
    return found


def _whole(table: pd.DataFrame, columns: list[str], place: Place, low: int, high: int) -> NDArray[Any]:
    """Return the `columns` of the table as whole numbers from `low` to `high`, (n, columns)."""
    chosen = table[columns]
    if all(kind.kind in "iu" for kind in chosen.dtypes):
        values: NDArray[Any] = chosen.to_numpy()
        right = (values >= low) & (values <= high)
    else:
        numbers = chosen.apply(lambda column: pd.to_numeric(column, errors="coerce")).to_numpy(np.float64)
        # A column of floats is wrong as a whole, but the first cell that is no whole number is what to look at.
        right = (np.floor(numbers) == numbers) & (numbers >= low) & (numbers <= high)
        right = right if not right.all() else np.array([[kind.kind in "iu" for kind in chosen.dtypes]] * len(right))
        values = numbers
    if right.all():
        return values
    row, column = np.argwhere(~right)[0]
    cell = chosen.iloc[row, column]
    where = f"row {table.index[row]}, counted from 0, column {columns[column]!r}"
    raise place.fault(f"{where}: expected a whole number from {low} to {high}, found {str(cell)[:60]}")
