"""Images as files of pictures in a column of a parquet table, as Hugging Face's data sets have them."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from pipeline import errors
from pipeline.data.dataset import Split
from pipeline.data.formats import checks, pictures, tables
from pipeline.data.formats.checks import Faults, Place
from pipeline.data.sets import ParquetSet

# Rows that are held at a time: each may have a picture of pictures.MAX_FILE. And bytes that are read at a time.
_ROWS = 4
_BUFFER = 2**20
_MAX_ROWS = 2**24
# Bytes of a group of rows with a column for each pixel: parts of all its columns are held at a time.
_MAX_GROUP = 2**30


def read(directory: Path, image_set: ParquetSet) -> dict[str, Split]:
    """Return the images of each split for which there are tables, in the order of the rows.

    Raises:
        InputError: A table cannot be read, a column is missing or of another type, its class names are others, or a row
            has no such picture; rows are counted from 0.
    """
    return tables.read(directory, image_set, _count, _fill)


def _count(image_set: ParquetSet, table: Place) -> int:
    with opened(table) as file:
        if file.metadata.num_rows > _MAX_ROWS:
            raise table.fault(f"expected at most {_MAX_ROWS} rows, found {file.metadata.num_rows}")
        _check_schema(file.schema_arrow, image_set, table)
        return int(file.metadata.num_rows)


def _fill(image_set: ParquetSet, table: Place, rows: Split, faults: Faults) -> list[Any]:
    images, changes, group = rows.images, np.asarray(rows.changes), image_set.group
    first, groups = 0, list[Any]()
    columns = [image_set.options.image, image_set.options.label, *([group] if group else [])]
    with opened(table) as file:
        for batch in file.iter_batches(batch_size=_ROWS, columns=list(dict.fromkeys(columns))):
            contents, labels, *grouped = (batch.column(name) for name in columns)
            if pa.types.is_struct(contents.type):
                contents = contents.field("bytes")
            for row, content in enumerate(contents, first):
                with faults.at(_row(table, row)):
                    if not content.is_valid:
                        raise ValueError("no image in it")
                    images[row], changes[row] = pictures.decode(content.as_py(), image_set.image, image_set.options)
            if labels.null_count:
                empty = next(row for row, label in enumerate(labels, first) if not label.is_valid)
                raise table.fault(f"row {empty}, counted from 0: no label")
            values = labels.to_numpy(zero_copy_only=False)
            values = values.astype(np.str_) if values.dtype.kind == "O" else values
            rows.labels[first : first + len(values)] = checks.labels(values, image_set, table, row=first)
            groups += [value for column in grouped for value in column.to_pylist()]
            first += len(values)
    if first != len(rows):
        raise table.fault(f"expected {len(rows)} rows, found {first}")
    return groups


def values(table: Place, column: str) -> Iterator[tuple[Place, Any]]:
    """Yield each row's place, and what is in this column."""
    with opened(table) as file:
        rows = (cell for batch in file.iter_batches(batch_size=_ROWS, columns=[column]) for cell in batch.column(0))
        for row, cell in enumerate(rows):
            yield _row(table, row), cell.as_py()


def names(columns: Any) -> list[str]:
    """Return the names of the columns of a schema, without those in which pandas has kept its index."""
    index = (columns.pandas_metadata or {}).get("index_columns", ())
    return [name for name in columns.names if name not in index]


def as_csv(table: Place) -> Iterator[str]:
    """Yield the header, and then blocks of rows, that a table of numbers and texts has in CSV.

    Raises:
        InputError: It cannot be read, has columns of something else, or rows that take too much memory together.
    """
    with opened(table) as file:
        columns = names(file.schema_arrow)
        for name in columns:
            if pa.types.is_nested(kind := file.schema_arrow.field(name).type):
                where = f"row 0, counted from 0, column {name!r}"
                raise table.fault(f"{where}: expected a number, found {str(kind)[:100]}")
        groups = [file.metadata.row_group(number).total_byte_size for number in range(file.num_row_groups)]
        if max(groups, default=0) > _MAX_GROUP:
            what = f"expected groups of rows of at most {_MAX_GROUP} bytes, found {max(groups)}"
            raise table.fault(what, "to_parquet(..., row_group_size=1000) writes smaller ones")
        yield _text(file.schema_arrow.empty_table().select(columns), header=True)
        rows = max(1, _BUFFER // (8 * max(1, len(columns))))
        for batch in file.iter_batches(batch_size=rows, columns=columns):
            yield _text(batch, header=False)


def _text(table: Any, *, header: bool) -> str:
    text = io.BytesIO()
    pc.write_csv(table, text, pc.WriteOptions(include_header=header))
    return text.getvalue().decode()


def _row(table: Place, row: int) -> Place:
    return Place(table.path, f"row {row}, counted from 0")


@contextmanager
def opened(table: Place) -> Iterator[Any]:
    """Yield a parquet table; raise InputError if it cannot be read."""
    try:
        # Without a buffer, all pictures of a group of rows are read at once.
        with pq.ParquetFile(table.path, buffer_size=_BUFFER) as file:
            yield file
    # ArrowException: what is not a table, or is damaged; MemoryError and OSError as well.
    except (pa.ArrowException, OSError, MemoryError) as error:
        raise table.fault(f"not a parquet table that can be read ({errors.reason(error)})") from None


def _check_schema(columns: Any, image_set: ParquetSet, place: Place) -> None:
    options = image_set.options
    for name in (options.image, options.label):
        if columns.names.count(name) != 1:
            raise place.fault(f"expected one column {name!r}, found {', '.join(columns.names)[:200]}")
    if image_set.group and image_set.group not in columns.names:
        raise place.fault(f"held_out.group: no column {image_set.group!r}")
    image, label = columns.field(options.image).type, columns.field(options.label).type
    content = image.field("bytes").type if pa.types.is_struct(image) and image.get_field_index("bytes") >= 0 else image
    if not (pa.types.is_binary(content) or pa.types.is_large_binary(content)):
        raise place.fault(f"column {options.image!r}: expected bytes, found {str(image)[:100]}")
    if not (pa.types.is_integer(label) or pa.types.is_string(label) or pa.types.is_large_string(label)):
        raise place.fault(f"column {options.label!r}: expected whole numbers or names, found {str(label)[:100]}")
    names = class_names(columns.metadata or {}, options.label)
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
