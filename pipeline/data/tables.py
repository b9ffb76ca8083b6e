"""Data sets in tables: a row for each image, in CSV or parquet files."""

from __future__ import annotations

from typing import ClassVar, Literal

from pipeline.data.image_set import File, Files, FileSources, FirstLabel, ImageSet, Scale, Text
from pipeline.data.picture_options import PictureOptions
from pipeline.schema import Block


class TableFiles(Block):
    """The tables, in their order."""

    train: Files
    """The tables to train on."""
    test: Files | None = None
    """Those to test with, if there are any."""
    validation: Files | None = None
    """Those to validate with, if there are any."""


class CsvOptions(Block):
    """How CSV tables are read."""

    label: Text = "label"
    """The column of the labels."""
    pixels: Text = "pixel"
    """What the columns of pixels have before their number, from 0 or 1."""
    first_label: FirstLabel = 0
    """The label of the first class."""
    scale: Scale | None = None
    """The number that becomes 255, if pixels are not from 0 to 255: 1.0 for fractions."""


class ParquetOptions(PictureOptions):
    """How Parquet tables are read."""

    image: Text = "image"
    """The column of the images."""
    label: Text = "label"
    """The column of the labels."""


class TableSet(ImageSet):
    """Tables with a row per image."""

    grouped_by = "a column"
    files: TableFiles
    """The tables."""
    sources: FileSources

    @property
    def all_files(self) -> tuple[File, ...]:
        """The tables, training before test before validation."""
        return (*self.files.train, *(self.files.test or ()), *(self.files.validation or ()))

    @property
    def tests(self) -> bool:
        """Whether there are tables of test images."""
        return self.files.test is not None

    @property
    def validates(self) -> bool:
        """Whether there are tables of images to validate with."""
        return self.files.validation is not None


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

    @property
    def pictures(self) -> PictureOptions:
        """How pictures become images of the data set."""
        return self.options
