"""data/sets/NAME.yaml as frozen, validated objects: a block for each format."""

import itertools
import math
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from pipeline import files, schema
from pipeline.data.image_set import (
    Counts,
    File,
    Files,
    FirstLabel,
    ImageSet,
    PictureOptions,
    PixelOptions,
    Prefix,
    Text,
)
from pipeline.data.sources import FileSources, FolderSources, PathBelow
from pipeline.errors import InputError
from pipeline.schema import Block, Name, Sha256


class FourFiles(Block):
    """A file each for images and labels, to train on and to test with."""

    train_images: File
    """The images to train on."""
    train_labels: File
    """Their labels."""
    test_images: File
    """The images to test with."""
    test_labels: File
    """Their labels."""


class IdxOptions(Block):
    """How the files are read."""

    transposed: bool = False
    """Whether images are stored column by column, as EMNIST's."""
    first_label: FirstLabel = 0
    """The label of the first class; EMNIST's letters begin with 1."""


class IdxSet(ImageSet):
    """Four IDX files, as those of MNIST."""

    reader: ClassVar[str] = "idx"
    parts_in = "files"
    files: FourFiles
    """The four files."""
    format: Literal["idx"]
    counts: Counts
    options: IdxOptions = IdxOptions()
    """How they are read."""

    def limit(self, file: File) -> int:
        """Return the largest number of bytes that a file may have: that of one with all images of a split."""
        return file.size or 16 + max(self.counts.train, self.counts.test or 0) * math.prod(self.image.shape)


class NpzArray(Block):
    """An array: the key of its file in `files`, and its own key in that file."""

    file: Name
    """The key of its file in `files`."""
    key: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    """Its name in that file."""


class NpzArrays(Block):
    """Which array is which."""

    train_images: NpzArray
    """The images to train on, uint8, (n, height, width) or with channels."""
    train_labels: NpzArray
    """Their labels, whole numbers."""
    test_images: NpzArray | None = None
    """The images to test with, if there are any."""
    test_labels: NpzArray | None = None
    """Their labels."""
    validation_images: NpzArray | None = None
    """The images to validate with, if there are any."""
    validation_labels: NpzArray | None = None
    """Their labels."""

    @model_validator(mode="after")
    def _labelled(self) -> Self:
        for name in ("test", "validation"):
            if (getattr(self, f"{name}_images") is None) != (getattr(self, f"{name}_labels") is None):
                text = "expected {name}_images and {name}_labels, or neither"
                raise PydanticCustomError("arrays", text, {"name": name})
        schema.once([f"{array.key} in {array.file}" for _, array in self if array], "array")
        return self


class NpzSet(ImageSet):
    """Arrays in one npz file or more."""

    reader: ClassVar[str] = "npz_arrays"
    parts_in = "arrays"
    format: Literal["npz"]
    files: Annotated[Mapping[Name, File], Field(min_length=1)]
    """The files, by keys of your choice."""
    arrays: NpzArrays
    """Which array is which."""
    options: PixelOptions = PixelOptions()
    """How they are read."""
    sources: FileSources

    @model_validator(mode="after")
    def _files_are_known(self) -> Self:
        for name, array in self.arrays:
            if array and array.file not in self.files:
                values = {"known": ", ".join(self.files), "found": array.file, "below": f"arrays.{name}.file"}
                raise PydanticCustomError("file", "expected one of the files: {known}, found {found}", values)
        return self


class CifarFiles(Block):
    """The file."""

    archive: File
    """The archive, such as `cifar-10-binary.tar.gz`."""


Members = Annotated[tuple[PathBelow, ...], BeforeValidator(schema.as_tuple), Field(min_length=1)]


class CifarOptions(Block):
    """How the archive is read."""

    train: Members
    """The members with images to train on."""
    test: Members
    """The members with images to test with."""
    validation: Members | None = None
    """Those with images to validate with, if there are any."""
    label_bytes: Annotated[Literal[1, 2], BeforeValidator(schema.number)] = 1
    """The bytes before each image, of which the last is its label; CIFAR-100 has 2."""

    @model_validator(mode="after")
    def _members_differ(self) -> Self:
        schema.once((*self.train, *self.test, *(self.validation or ())), "member")
        return self


class CifarSet(ImageSet):
    """A tar archive of the binary version of CIFAR-10 or CIFAR-100."""

    reader: ClassVar[str] = "cifar"
    parts_in = "options"
    format: Literal["cifar"]
    files: CifarFiles
    """The archive."""
    options: CifarOptions
    """How it is read."""
    sources: FileSources


class FolderOptions(PictureOptions):
    """Which folders are read, and how."""

    train: PathBelow
    """The folder with a folder of images to train on per class."""
    test: PathBelow | None = None
    """That of images to test with, if there are any."""
    validation: PathBelow | None = None
    """That of images to validate with, if there are any."""

    @model_validator(mode="after")
    def _parts_are_apart(self) -> Self:
        # Names that differ in case, or in how accents are written, are the same on some systems.
        parts = filter(None, (self.train, self.test, self.validation))
        paths = [Path(unicodedata.normalize("NFC", part).casefold()) for part in parts]
        if any(inner.is_relative_to(outer) for inner, outer in itertools.permutations(paths, 2)):
            raise PydanticCustomError("parts", "expected folders, none of them in another")
        return self


class FolderSet(ImageSet):
    """PNG, JPEG, WebP, BMP, GIF or TIFF files in one folder per class."""

    reader: ClassVar[str] = "folder"
    parts_in = "options"
    grouped_by = "a regular expression"
    format: Literal["folder"]
    checksum: Sha256 | None = None
    """The checksum of all files together, which `fetch` prints."""
    options: FolderOptions
    """How they are read."""
    sources: FolderSources


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
    pixels: Prefix = "pixel"
    """What the columns of pixels have before their number, from 0 or 1; it may be nothing."""


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


FORMATS: dict[Any, type[ImageSet]] = {
    "idx": IdxSet,
    "npz": NpzSet,
    "cifar": CifarSet,
    "folder": FolderSet,
    "csv": CsvSet,
    "parquet": ParquetSet,
}


def load(path: Path) -> ImageSet:
    """Return the validated content of the file at `path`, which describes a data set.

    Raises:
        InputError: The file is missing, is not YAML or breaks a rule: one line per fault with the key's path, what was
            expected and what was found.
    """
    if not path.exists():
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.yaml"))) or "none"
        raise InputError(f"no such data set; described in {path.parent}: {known}", path=path)
    content = files.read_yaml(path)
    if not isinstance(content, Mapping):
        raise InputError(f"expected a mapping, found {schema.shown(content)}", path=path)
    if "format" not in content:
        raise InputError("format: missing", path=path)
    if not isinstance(chosen := content["format"], str) or chosen not in FORMATS:
        what = f"format: expected one of {', '.join(FORMATS)}, found {schema.shown(chosen)}"
        raise InputError(what, path=path)
    return schema.validate(FORMATS[chosen], content, path)
