"""What the data sets of all formats have: image shape, class names, files, counts, how pictures become images."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from pipeline import errors, schema
from pipeline.data import dataset
from pipeline.data.sources import IdxSources
from pipeline.schema import Block, FileName, Seed, Sha256

# The splits that files may have, in the order in which they are read.
SPLITS = ("train", "validation", "test")
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


Prefix = Annotated[str, StringConstraints(max_length=500), AfterValidator(_printable)]
Text = Annotated[Prefix, StringConstraints(min_length=1)]


def _class_names(names: tuple[str, ...]) -> tuple[str, ...]:
    fault = dataset.fault_of(names)
    if fault:
        raise PydanticCustomError("classes", "{fault}", {"fault": fault})
    return names


def _resize(value: Any) -> Any:
    # What a file said before there were several ways.
    return ("stretch" if value else None) if isinstance(value, bool) else value


def _colour(value: str) -> str:
    # Imported here: MNIST needs no Pillow.
    from PIL import ImageColor

    try:
        opaque = len(ImageColor.getrgb(value)) == 3
    except ValueError:
        opaque = False
    if not opaque:
        text = "expected the name of a colour, or #rrggbb, found {value}"
        raise PydanticCustomError("colour", text, {"value": schema.shown(value)})
    return value


class PictureOptions(Block):
    """How pictures become images of the data set."""

    resize: Annotated[Literal["stretch", "pad", "crop"] | None, BeforeValidator(_resize)] = None
    """How a picture of another size is fitted: stretched, whole on the background, or cut; left out: it is a fault."""
    convert: bool = False
    """Whether other modes become grey or colour, 16 bits become 8 and transparency background; else it is a fault."""
    background: Annotated[str, AfterValidator(_colour)] = "white"
    """The colour behind what is transparent, and around what is padded: a name, or `#rrggbb`."""
    # Left out of what is recorded where it is not stated, as it was before there was this key.
    scale: Annotated[Scale | None, Field(exclude_if=lambda scale: scale is None)] = None
    """The number that is white, if it is not the largest of the 8 or 16 bits of the files: 4095 of pictures of 12."""

    @property
    def lenient(self) -> PictureOptions:
        """The options for a picture that need not fit: whatever is a fault here is stretched or converted."""
        return self.model_copy(update={"resize": self.resize or "stretch", "convert": True})


class PixelOptions(Block):
    """How numbers become labels and pixels."""

    first_label: FirstLabel = 0
    """The label of the first class."""
    scale: Scale | None = None
    """The number that becomes 255, if pixels are not from 0 to 255: 1.0 for fractions."""


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


class File(Block):
    """One file, with its checksum."""

    name: FileName
    """Its name, in every source."""
    size: Annotated[int, Field(gt=0)] | None = None
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

    # The module of pipeline/data/formats that reads the files, and the block that says where each split is.
    reader: ClassVar[str]
    parts_in: ClassVar[str]
    # What `held_out.group` can be.
    grouped_by: ClassVar[Literal["a column", "a regular expression", None]] = None

    @property
    def shown_negative(self) -> bool:
        """Whether figures show the images with white as black."""
        return self.image.channels == 1 and (bool(self.handwriting) if self.negative is None else self.negative)

    @property
    def parts(self) -> dict[str, Any]:
        """What each split that the files have is read from: a folder, tables, members, or images and labels."""
        block = vars(getattr(self, self.parts_in))
        pairs = {split: (block.get(f"{split}_images"), block.get(f"{split}_labels")) for split in SPLITS}
        return {split: block.get(split) or pair for split, pair in pairs.items() if block.get(split) or pair[0]}

    @property
    def all_files(self) -> tuple[File, ...]:
        """The files, in the order in which the set's file has them; none if it is a folder."""
        some = dict(getattr(self, "files", {})).values()
        return tuple(file for one in some for file in ([one] if isinstance(one, File) else one or ()))

    def limit(self, file: File) -> int:
        """Return the largest number of bytes that a file may have: 2 GiB where its size is not known."""
        return file.size or 2**31

    @property
    def group(self) -> str | None:
        """What no split divides: a column of the tables, or a regular expression for the path of a file."""
        return self.held_out.group if self.held_out else None

    @property
    def pictures(self) -> PictureOptions:
        """How pictures become images of the data set."""
        options = getattr(self, "options", None)
        return options if isinstance(options, PictureOptions) else PictureOptions()

    @model_validator(mode="after")
    def _has_test_images(self) -> Self:
        has_files = "test" in self.parts
        if has_files == (self.held_out is not None and self.held_out.share is not None):
            found = "both" if has_files else "neither"
            text = "expected either test images in files or a share held_out, found {found}"
            raise PydanticCustomError("test_images", text, {"found": found})
        if self.counts and has_files != (self.counts.test is not None):
            text = "expected test if files have test images, and only then"
            raise PydanticCustomError("counts", text, {"below": "counts"})
        return self

    @model_validator(mode="after")
    def _group_fits(self) -> Self:
        group = self.group
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
