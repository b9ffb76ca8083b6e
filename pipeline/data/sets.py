"""data/sets/NAME.yaml as frozen, validated objects: a block for each format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from pipeline import files, schema
from pipeline.data.image_set import Counts, File, Files, ImageSet, Text
from pipeline.data.sources import FileSources, FolderSources, IdxSources, PathBelow
from pipeline.errors import InputError
from pipeline.schema import Block, Name, Sha256

FirstLabel = Annotated[int, Field(ge=0, lt=2**16)]


class IdxFiles(Block):
    """The four files of a data set in MNIST's format."""

    train_images: File
    train_labels: File
    test_images: File
    test_labels: File

    def all(self) -> tuple[File, File, File, File]:
        """Return the four files, training first, images before labels."""
        return (self.train_images, self.train_labels, self.test_images, self.test_labels)


class IdxOptions(Block):
    """Whether the images are stored column by column, and the label of the first class."""

    transposed: bool = False
    first_label: FirstLabel = 0


class IdxSet(ImageSet):
    """Four IDX files, as those of MNIST."""

    reader: ClassVar[str] = "idx_files"

    format: Literal["idx"]
    counts: Counts
    files: IdxFiles
    options: IdxOptions = IdxOptions()
    sources: IdxSources

    @property
    def all_files(self) -> tuple[File, ...]:
        """The four files."""
        return self.files.all()


class NpzArray(Block):
    """An array: the key of its file in `files`, and its own key in that file."""

    file: Name
    key: Annotated[str, StringConstraints(min_length=1, max_length=200)]


class NpzArrays(Block):
    """Which array is which."""

    train_images: NpzArray
    train_labels: NpzArray
    test_images: NpzArray | None = None
    test_labels: NpzArray | None = None

    @model_validator(mode="after")
    def _labelled(self) -> Self:
        if (self.test_images is None) != (self.test_labels is None):
            raise PydanticCustomError("arrays", "expected test_images and test_labels, or neither")
        return self


class NpzOptions(Block):
    """The label of the first class."""

    first_label: FirstLabel = 0


class NpzSet(ImageSet):
    """Arrays in one npz file or more."""

    reader: ClassVar[str] = "npz_arrays"

    format: Literal["npz"]
    files: Annotated[Mapping[Name, File], Field(min_length=1)]
    arrays: NpzArrays
    options: NpzOptions = NpzOptions()
    sources: FileSources

    @property
    def all_files(self) -> tuple[File, ...]:
        """The files in their order."""
        return tuple(self.files.values())

    @property
    def tests(self) -> bool:
        """Whether there are arrays of test images."""
        return self.arrays.test_images is not None

    @model_validator(mode="after")
    def _files_are_known(self) -> Self:
        for name in NpzArrays.model_fields:
            array = getattr(self.arrays, name)
            if array and array.file not in self.files:
                values = {"known": ", ".join(self.files), "found": array.file, "below": f"arrays.{name}.file"}
                raise PydanticCustomError("file", "expected one of the files: {known}, found {found}", values)
        return self


class CifarFiles(Block):
    """The archive."""

    archive: File


Members = Annotated[tuple[PathBelow, ...], BeforeValidator(schema.as_tuple), Field(min_length=1)]


class CifarOptions(Block):
    """The archive's members, and the bytes before each image, of which the last one is its label."""

    train: Members
    test: Members
    label_bytes: Literal[1, 2] = 1


class CifarSet(ImageSet):
    """A tar archive of the binary version of CIFAR-10 or CIFAR-100."""

    reader: ClassVar[str] = "cifar"

    format: Literal["cifar"]
    files: CifarFiles
    options: CifarOptions
    sources: FileSources

    @property
    def all_files(self) -> tuple[File, ...]:
        """The archive."""
        return (self.files.archive,)


class FolderOptions(Block):
    """The folders with one folder per class, and whether images of another size or mode are converted."""

    train: PathBelow
    test: PathBelow | None = None
    resize: bool = False
    convert: bool = False

    @property
    def parts(self) -> tuple[str, ...]:
        """The folders of training and of test images."""
        return tuple(part for part in (self.train, self.test) if part is not None)

    @model_validator(mode="after")
    def _parts_are_apart(self) -> Self:
        paths = [Path(part) for part in self.parts]
        if len(paths) == 2 and (paths[0].is_relative_to(paths[1]) or paths[1].is_relative_to(paths[0])):
            raise PydanticCustomError("parts", "expected two folders, neither of them in the other")
        return self


class FolderSet(ImageSet):
    """PNG or JPEG files in one folder per class; `checksum` is that of all of them together."""

    reader: ClassVar[str] = "folder"

    format: Literal["folder"]
    checksum: Sha256 | None = None
    options: FolderOptions
    sources: FolderSources

    @property
    def tests(self) -> bool:
        """Whether there is a folder of test images."""
        return self.options.test is not None


class TableFiles(Block):
    """The tables, one or more for each split, in their order."""

    train: Files
    test: Files | None = None


class CsvOptions(Block):
    """The column of the labels, what the columns of pixels have before their number, and the first class's label."""

    label: Text = "label"
    pixels: Text = "pixel"
    first_label: FirstLabel = 0


class ParquetOptions(Block):
    """The columns of images and labels, and whether images of another size or mode are converted."""

    image: Text = "image"
    label: Text = "label"
    resize: bool = False
    convert: bool = False


class TableSet(ImageSet):
    """Tables with a row per image."""

    files: TableFiles
    sources: FileSources

    @property
    def all_files(self) -> tuple[File, ...]:
        """The tables, training before test."""
        return (*self.files.train, *(self.files.test or ()))

    @property
    def tests(self) -> bool:
        """Whether there are tables of test images."""
        return self.files.test is not None


class CsvSet(TableSet):
    """CSV tables with a column per pixel, as Kaggle's."""

    reader: ClassVar[str] = "csv"

    format: Literal["csv"]
    options: CsvOptions = CsvOptions()


class ParquetSet(TableSet):
    """Parquet tables with PNG or JPEG files in a column, as Hugging Face's."""

    reader: ClassVar[str] = "parquet"

    format: Literal["parquet"]
    options: ParquetOptions = ParquetOptions()


FORMATS: dict[Any, type[ImageSet]] = {
    "idx": IdxSet, "npz": NpzSet, "cifar": CifarSet, "folder": FolderSet, "csv": CsvSet, "parquet": ParquetSet,
}  # fmt: skip


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
    chosen = content.get("format")
    if not isinstance(chosen, str) or chosen not in FORMATS:
        fault = (
            f"expected one of {', '.join(FORMATS)}, found {schema.shown(chosen)}" if "format" in content else "missing"
        )
        raise InputError(f"format: {fault}", path=path)
    return schema.validate(FORMATS[chosen], content, path)
