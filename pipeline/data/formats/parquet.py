"""Images as files of pictures in a column of a parquet table, as Hugging Face's data sets have them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.data import dataset
from pipeline.data.dataset import CHANGE, Split
from pipeline.data.formats import checks, pictures
from pipeline.data.formats.checks import Faults, Place
from pipeline.data.formats.pictures import Decoded
from pipeline.data.tables import ParquetSet
from pipeline.errors import InputError

# Rows that are held at a time: each may have a picture of pictures.MAX_FILE. And bytes that are read at a time.
_ROWS = 4
_BUFFER = 2**20
_MAX_ROWS = 2**24


def read(directory: Path, image_set: ParquetSet) -> dict[str, Split]:
    """Return the images of each split for which there are tables, in the order of the rows.

    Raises:
        InputError: A table cannot be read, a column is missing or of another type, its class names are others, or a row
            has no such picture; rows are counted from 0.
    """
    places = {
        name: [Place(directory / file.name) for file in tables]
        for name in ("train", "validation", "test")
        if (tables := getattr(image_set.files, name)) is not None
    }
    faults = checks.Faults()
    found = {name: _images(tables, image_set, faults) for name, tables in places.items()}
    faults.end()
    return {name: checks.split([images], image_set, name, places[name][0]) for name, images in found.items()}


def _images(tables: Sequence[Place], image_set: ParquetSet, faults: Faults) -> Split:
    """Return the pictures in tables, those with a fault unfilled."""
    lengths = [_length(table, image_set) for table in tables]
    ends = np.cumsum(lengths)
    images = checks.room(int(ends[-1]), image_set, tables[0])
    arrays = images, np.zeros(len(images), dataset.label_type(image_set.classes)), np.zeros(len(images), CHANGE)
    for table, begin, end in zip(tables, [0, *ends], ends, strict=False):
        _fill([array[begin:end] for array in arrays], table, image_set, faults)
    origins = np.concatenate([table.rows(range(count)) for table, count in zip(tables, lengths, strict=True)])
    return Split(*arrays[:2], groups=_groups(tables, image_set), origins=origins, changes=arrays[2])


def _groups(tables: Sequence[Place], image_set: ParquetSet) -> NDArray[np.int64] | None:
    """Return the number of each row's group: of the text in the column that says what belongs together."""
    column = image_set.held_out and image_set.held_out.group
    if not column:
        return None
    values = []
    for table in tables:
        with _opened(table) as file:
            if column not in file.schema_arrow.names:
                raise table.fault(f"held_out.group: no column {column!r}")
            values += file.read(columns=[column]).column(column).to_pylist()
    return checks.groups(values)


def _length(table: Place, image_set: ParquetSet) -> int:
    """Return how many rows a table has."""
    with _opened(table) as file:
        if file.metadata.num_rows > _MAX_ROWS:
            raise table.fault(f"expected at most {_MAX_ROWS} rows, found {file.metadata.num_rows}")
        _check_schema(file.schema_arrow, image_set, table)
        return int(file.metadata.num_rows)


def _fill(arrays: Sequence[NDArray[Any]], table: Place, image_set: ParquetSet, faults: Faults) -> None:
    """Fill images, labels and changes from the rows of a table."""
    images, all_labels, changes = arrays
    first, columns = 0, [image_set.options.image, image_set.options.label]
    with _opened(table) as file:
        for batch in file.iter_batches(batch_size=_ROWS, columns=columns):
            contents, labels = (batch.column(name) for name in columns)
            if pa.types.is_struct(contents.type):
                contents = contents.field("bytes")
            for row, content in enumerate(contents, first):
                try:
                    images[row], changes[row] = _picture(content.as_py(), image_set, table, row)
                except InputError as error:
                    faults.add(error)
            if labels.null_count:
                empty = next(row for row, label in enumerate(labels, first) if not label.is_valid)
                raise table.fault(f"row {empty}, counted from 0: no label")
            values = labels.to_numpy(zero_copy_only=False)
            values = values.astype(np.str_) if values.dtype.kind == "O" else values
            all_labels[first : first + len(values)] = checks.labels(values, image_set, table, row=first)
            first += len(values)
    if first != len(images):
        raise table.fault(f"expected {len(images)} rows, found {first}")


def _picture(content: bytes | None, image_set: ParquetSet, table: Place, row: int) -> Decoded:
    where = Place(table.path, f"row {row}, counted from 0")
    if content is None:
        raise where.fault("no image in it")
    try:
        return pictures.decode(content, image_set.image, image_set.options)
    except ValueError as error:
        raise where.fault(str(error)) from None


@contextmanager
def _opened(table: Place) -> Iterator[Any]:
    try:
        # Without a buffer, all pictures of a group of rows are read at once.
        with pq.ParquetFile(table.path, buffer_size=_BUFFER) as file:
            yield file
    # ArrowException: what is not a table, or is damaged; MemoryError and OSError as well.
    except (pa.ArrowException, OSError, MemoryError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise table.fault(f"not a parquet table that can be read ({reason})") from None


def _check_schema(found: Any, image_set: ParquetSet, place: Place) -> None:
    options = image_set.options
    for column in (options.image, options.label):
        if found.names.count(column) != 1:
            raise place.fault(f"expected one column {column!r}, found {', '.join(found.names)[:200]}")
    image, label = found.field(options.image).type, found.field(options.label).type
    content = image.field("bytes").type if pa.types.is_struct(image) and image.get_field_index("bytes") >= 0 else image
    if not (pa.types.is_binary(content) or pa.types.is_large_binary(content)):
        raise place.fault(f"column {options.image!r}: expected bytes, found {str(image)[:100]}")
    if not (pa.types.is_integer(label) or pa.types.is_string(label) or pa.types.is_large_string(label)):
        raise place.fault(f"column {options.label!r}: expected whole numbers or names, found {str(label)[:100]}")
    names = class_names(found.metadata or {}, options.label)
    if names is not None and [*map(checks.composed, names)] != [*map(checks.composed, image_set.classes)]:
        raise place.fault(
            f"class names: expected {', '.join(image_set.classes)}, found {', '.join(map(str, names))}"[:300]
        )


def class_names(metadata: Any, label: str) -> list[Any] | None:
    """Return the class names in Hugging Face's metadata, None if there are none."""
    try:
        names = json.loads(metadata[b"huggingface"])["info"]["features"][label]["names"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return names if isinstance(names, list) else None
