"""Data sets in tables: a row for each image, in CSV or parquet files."""

from __future__ import annotations

from typing import ClassVar, Literal

from pipeline.data.image_set import Files, ImageSet, PictureOptions, PixelOptions, Text
from pipeline.data.sources import FileSources
from pipeline.schema import Block


class TableFiles(Block):
    """The tables, in their order."""

    train: Files
    """The tables to train on."""
    test: Files | None = None
    """Those to test with, if there are any."""
    validation: Files | None = None
    """Those to validate with, if there are any."""


class CsvOptions(PixelOptions):
    """How CSV tables are read."""

    label: Text = "label"
    """The column of the labels."""
    pixels: Text = "pixel"
    """What the columns of pixels have before their number, from 0 or 1."""


class ParquetOptions(PictureOptions):
    """How Parquet tables are read."""

    image: Text = "image"
    """The column of the images."""
    label: Text = "label"
    """The column of the labels."""


class TableSet(ImageSet):
    """Tables with a row per image."""

    grouped_by = "a column"
    parts_in = "files"
    files: TableFiles
    """The tables."""
    sources: FileSources


class CsvSet(TableSet):
    """CSV tables with a column per pixel, as Kaggle's."""

    reader: ClassVar[str] = "csv"
    format: Literal["csv"]
    options: CsvOptions = CsvOptions()
    """How they are read."""


class ParquetSet(TableSet):
    """Parquet tables with files of pictures in a column, as Hugging Face's."""

    reader: ClassVar[str] = "parquet"
    format: Literal["parquet"]
    options: ParquetOptions = ParquetOptions()
    """How they are read."""
