"""What the data sets of all formats have: image shape, class names, files, counts, and what they are called."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from pipeline import schema
from pipeline.data import dataset
from pipeline.schema import Block, FileName, Positive, Seed, Sha256

# The shape of MNIST's and KMNIST's images.
HANDWRITTEN = (28, 28)

SideLength = Annotated[int, Field(ge=dataset.MIN_SIDE, le=dataset.MAX_SIDE)]
Count = Annotated[int, Field(gt=0, lt=2**24)]


def _printable(value: str) -> str:
    if not value.isprintable() or value.strip() != value:
        text = "expected printable text without spaces at its ends, found {value}"
        raise PydanticCustomError("text", text, {"value": schema.shown(value)})
    return value


Text = Annotated[str, StringConstraints(min_length=1, max_length=500), AfterValidator(_printable)]


def _class_names(names: tuple[str, ...]) -> tuple[str, ...]:
    fault = dataset.fault_of(names)
    if fault:
        raise PydanticCustomError("classes", "{fault}", {"fault": fault})
    return names


class ImageShape(Block):
    """The size of every image in pixels; one channel is grey, three are red, green and blue."""

    height: SideLength
    width: SideLength
    channels: Literal[1, 3]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array of one image: (height, width) if it is grey, else (height, width, 3)."""
        return (self.height, self.width) if self.channels == 1 else (self.height, self.width, self.channels)


class Counts(Block):
    """How many images the files have, to train on and to test with."""

    train: Count
    test: Count | None = None


class HeldOut(Block):
    """The share of the labelled images that is held out for testing, stratified, where no file has test images."""

    share: Annotated[float, Field(gt=0, lt=1)]
    seed: Seed

    def count(self, images: int) -> int:
        """Return how many of so many images are held out."""
        return max(1, round(self.share * images))


class File(Block):
    """One file: its name, the checksum of the file or of its .gz, and its size in bytes."""

    name: FileName
    size: Positive | None = None
    sha256: Sha256 | None = None
    gz_sha256: Sha256 | None = None

    @model_validator(mode="after")
    def _has_a_checksum(self) -> Self:
        if self.sha256 is None and self.gz_sha256 is None:
            raise PydanticCustomError("no_checksum", "expected sha256 or gz_sha256, found neither")
        return self


Files = Annotated[tuple[File, ...], BeforeValidator(schema.as_tuple), Field(min_length=1)]


class ImageSet(Block):
    """What the data sets of all formats have."""

    image: ImageShape
    classes: Annotated[tuple[str, ...], BeforeValidator(schema.as_tuple), AfterValidator(_class_names)]
    title: Text
    credit: Text
    # What one image is called in a sentence.
    noun: Text = "image"
    # Whether the images show ink, light on black, as MNIST's digits or KMNIST's characters do. It decides how a picture
    # becomes such an image, and whether the demo is drawn on; nothing that is trained depends on it.
    handwriting: Literal["digit", "character"] | None = None
    # The accuracy that counts as reached in "epochs until".
    target_accuracy: Annotated[float, Field(gt=0, lt=1)] | None = None
    counts: Counts | None = None
    held_out: HeldOut | None = None
    # Which kinds of source there are depends on the format.
    sources: tuple[Any, ...]

    # The module of pipeline/data/formats that reads the files.
    reader: ClassVar[str]

    @property
    def all_files(self) -> tuple[File, ...]:
        """The files, training before test, images before labels; none if it is a folder."""
        return ()

    @property
    def tests(self) -> bool:
        """Whether there are files with test images."""
        return True

    @model_validator(mode="after")
    def _has_test_images(self) -> Self:
        if self.tests == (self.held_out is not None):
            found = "both" if self.tests else "neither"
            text = "expected either test images in files of their own or held_out, found {found}"
            raise PydanticCustomError("test_images", text, {"found": found})
        if self.counts and self.tests != (self.counts.test is not None):
            text = "expected test if files have test images, and only then"
            raise PydanticCustomError("counts", text, {"below": "counts"})
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
