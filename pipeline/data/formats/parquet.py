"""Images as PNG or JPEG files in a column of a parquet table, as Hugging Face's data sets have them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.data.dataset import Split
from pipeline.data.formats import checks, pictures
from pipeline.data.formats.checks import Place
from pipeline.data.tables import ParquetSet

_ROWS = 1024
_MAX_ROWS = 2**24


def read(directory: Path, image_set: ParquetSet) -> dict[str, Split]:
    """Return the images of each split for which there are tables, in the order of the rows.

    Raises:
        InputError: A table cannot be read, a column is missing or of another type, its class names are others, or a row
            has no such picture; rows are counted from 0.
    """
    return {
        name: _split(directory, image_set, name, [file.name for file in tables])
        for name in ("train", "validation", "test")
        if (tables := getattr(image_set.files, name)) is not None
    }


def _split(directory: Path, image_set: ParquetSet, name: str, tables: list[str]) -> Split:
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
        return [str(value) for value in pq.read_table(place.path, columns=[column]).column(column).to_pylist()]
    except (KeyError, pa.ArrowException):
        raise place.fault(f"held_out.group: no column {column!r}") from None


def _parts(place: Place, image_set: ParquetSet) -> Iterator[tuple[NDArray[Any], ...]]:
    first = 0
    for batch in _batches(place, image_set):
        images, labels = batch.column(0), batch.column(1)
        if pa.types.is_struct(images.type):
            images = images.field("bytes")
        decoded = np.empty((len(images), *image_set.image.shape), np.uint8)
        for row, content in enumerate(images):
            decoded[row] = _picture(content.as_py(), image_set, place, first + row)
        if labels.null_count:
            empty = next(row for row, label in enumerate(labels) if not label.is_valid)
            raise place.fault(f"row {first + empty}, counted from 0: no label")
        values = labels.to_numpy(zero_copy_only=False)
        values = values.astype(np.str_) if values.dtype.kind == "O" else values
        rows = range(first, first + len(images))
        yield decoded, checks.labels(values, image_set, place, row=first), place.rows(rows)
        first = rows.stop


def _picture(content: bytes | None, image_set: ParquetSet, place: Place, row: int) -> NDArray[np.uint8]:
    options, where = image_set.options, Place(place.path, f"row {row}, counted from 0")
    if content is None:
        raise where.fault("no image in it")
    try:
        return pictures.decode(content, image_set.image, resize=options.resize, convert=options.convert)
    except ValueError as error:
        raise where.fault(str(error)) from None


def _batches(place: Place, image_set: ParquetSet) -> Iterator[Any]:
    options = image_set.options
    try:
        with pq.ParquetFile(place.path) as table:
            if table.metadata.num_rows > _MAX_ROWS:
                raise place.fault(f"expected at most {_MAX_ROWS} rows, found {table.metadata.num_rows}")
            _check_schema(table.schema_arrow, image_set, place)
            for batch in table.iter_batches(batch_size=_ROWS, columns=[options.image, options.label]):
                yield batch.select([options.image, options.label])
    # ArrowException: what is not a table, or is damaged; MemoryError and OSError as well.
    except (pa.ArrowException, OSError, MemoryError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise place.fault(f"not a parquet table that can be read ({reason})") from None


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
    if names is not None and names != list(image_set.classes):
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
