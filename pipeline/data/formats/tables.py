"""What the readers of all tables share: a row for each image, in one file or more for each split."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.data import dataset, splits
from pipeline.data.dataset import CHANGE, Split
from pipeline.data.formats import checks
from pipeline.data.formats.checks import Faults, Place
from pipeline.data.sets import ParquetSet, TableSet

# Returns how many rows a table has; and fills the images, labels and changes of that part of a split, and returns the
# values by which its rows are grouped, if they are.
Count = Callable[[Any, Place], int]
Fill = Callable[[Any, Place, Split, Faults], Sequence[Any]]


def read(directory: Path, image_set: TableSet, count: Count, fill: Fill) -> dict[str, Split]:
    """Return the images of each split for which there are tables, in the order of the rows.

    The rows are counted before they are read, so that the images are in memory once.

    Raises:
        InputError: As `count` and `fill`; or rows have faults, of which one run names those of all tables.
    """
    faults = Faults()
    places = {name: [Place(directory / file.name) for file in tables] for name, tables in image_set.parts.items()}
    made = {name: _split(tables, image_set, count, fill, faults) for name, tables in places.items()}
    faults.end()
    return {name: checks.split(split, image_set, name, places[name][0]) for name, split in made.items()}


def _split(tables: Sequence[Place], image_set: TableSet, count: Count, fill: Fill, faults: Faults) -> Split:
    """Return the images in tables, those with a fault unfilled."""
    counts = [count(image_set, table) for table in tables]
    total, groups, first = sum(counts), list[Any](), 0
    labels = np.zeros(total, dataset.label_type(image_set.classes))
    changes = np.zeros(total, CHANGE) if isinstance(image_set, ParquetSet) else None
    rows = Split(checks.room(total, image_set, tables[0]), labels, changes=changes)
    for table, number in zip(tables, counts, strict=True):
        groups += fill(image_set, table, splits.select(rows, slice(first, first + number)), faults)
        first += number
    origins = [f"{at.path.name} row {row}" for at, number in zip(tables, counts, strict=True) for row in range(number)]
    grouped = np.array([*map(str, groups)]) if groups else None
    return dataclasses.replace(rows, groups=grouped, origins=np.array(origins, np.str_))
