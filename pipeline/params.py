"""params.yaml as frozen, validated objects. The only reader of that file."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline import errors
from pipeline.errors import InputError

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
MAX_BYTES = 1_000_000


class Block(BaseModel):
    """A mapping of params.yaml: every key known and given, every value of its exact type, nothing changeable."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: Any) -> Any:
        for key in value if isinstance(value, Mapping) else ():
            if key not in cls.model_fields:
                near = difflib.get_close_matches(str(key), cls.model_fields, n=1)
                hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(cls.model_fields)}"
                raise PydanticCustomError(
                    "unknown_key", "unknown key {key}; {hint}", {"key": _shown(key), "hint": hint}
                )
        return value


def _held_out(value: Any) -> Any:
    number = isinstance(value, int) and not isinstance(value, bool) and value > 0
    if value != "test" and not number:
        text = "expected 'test' or a number of images above 0, found {value}"
        raise PydanticCustomError("validation", text, {"value": _shown(value)})
    return value


def _plain_path(value: str) -> str:
    if not value or "\0" in value:
        raise PydanticCustomError("path", "expected a path, found {value}", {"value": _shown(value)})
    return value


def _items(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
PlainPath = Annotated[str, AfterValidator(_plain_path)]
Positive = Annotated[int, Field(gt=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Fraction = Annotated[float, Field(ge=0, lt=1)]


class Directory(Block):
    """A local directory, relative to the repository, with the four files plain or with `.gz`."""

    directory: PlainPath


class Mirror(Block):
    """An https address under which the four files lie with `.gz`."""

    mirror: Annotated[str, StringConstraints(pattern=r"^https://[^\s/@?#]+(/[^\s@?#]+)*$")]


class Wheel(Block):
    """A wheel on the Python package index with a gzipped pickle of float32 arrays (pixel/256), known by its sum."""

    wheel: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*==[0-9][0-9A-Za-z.]*$")]
    member: PlainPath
    sha256: Sha256


def _source_kind(value: Any) -> str:
    return next((kind for kind in ("mirror", "wheel") if isinstance(value, Mapping) and kind in value), "directory")


Source = Annotated[
    Annotated[Directory, Tag("directory")] | Annotated[Mirror, Tag("mirror")] | Annotated[Wheel, Tag("wheel")],
    Discriminator(_source_kind),
]


class File(Block):
    """One IDX file: its name, how many items it holds, and the sum that identifies it or its .gz."""

    name: Name
    count: Positive
    sha256: Sha256 | None = None
    gz_sha256: Sha256 | None = None

    @model_validator(mode="after")
    def _has_a_sum(self) -> Self:
        if self.sha256 is None and self.gz_sha256 is None:
            raise PydanticCustomError("no_sum", "expected sha256 or gz_sha256, found neither")
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
    sources: Annotated[tuple[Source, ...], BeforeValidator(_items), Field(min_length=1)]
    files: Files
    validation: Annotated[Literal["test"] | int, BeforeValidator(_held_out)]
    split_seed: Seed

    @property
    def train_count(self) -> int:
        """Images left for training."""
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
    """What all models share."""

    seed: Seed
    batch_size: Positive
    precision: Literal["float32", "mixed_bfloat16"]
    threads: Annotated[int, Field(gt=0, le=256)]


class Mlp(Block):
    """Dense layers with ReLU, each followed by dropout."""

    name: Literal["mlp"]
    units: Annotated[tuple[Positive, ...], BeforeValidator(_items), Field(min_length=1)]
    dropout: Fraction


class Cnn(Block):
    """Convolutions with ReLU, one max-pooling, dropout, one dense layer, dropout."""

    name: Literal["cnn"]
    filters: Annotated[tuple[Positive, ...], BeforeValidator(_items), Field(min_length=1)]
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
    """RMSprop; `epsilon_in_root: true` is Keras 3's rule, `false` the report's."""

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
    """Cross-entropy of probabilities clipped to [clip, 1 - clip]; without a clip, Keras 3's, which is unbounded."""

    name: Literal["crossentropy"]
    clip: Annotated[float, Field(gt=0, lt=0.1)] | None


class Model(Block):
    """A named experiment: network, optimizer, loss and how long it is trained."""

    network: Annotated[Mlp | Cnn, Field(discriminator="name")]
    optimizer: Annotated[RmspropParams | AdadeltaParams, Field(discriminator="name")]
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
    """The whole of params.yaml. `gate` is left as read: gate.py, its one user, knows its form."""

    data: Data
    train: Training
    models: Annotated[Mapping[Name, Model], Field(min_length=1)]
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


B = TypeVar("B", bound=Block)


def load(path: Path) -> Params:
    """Return the validated content of the params file at `path`.

    Raises:
        InputError: The file is missing, is not YAML or breaks a rule: one line per fault with the key's path, what was
            expected and what was found.
    """
    return validate(Params, read(path), str(path))


def read(path: Path) -> Any:
    """Return the content of the file at `path`, as `parse` gives it.

    Raises:
        InputError: The file cannot be read, or `parse` refuses it.
    """
    try:
        return parse(path.read_bytes(), str(path))
    except OSError as error:
        raise errors.unreadable(path, error) from None


def parse(text: bytes, where: str) -> Any:
    """Return `text` as DVC reads it: YAML 1.2, where `1e-8` is a number; a duplicate key is an error.

    Raises:
        InputError: It is too long or not YAML; `where` begins the line.
    """
    if len(text) > MAX_BYTES:
        raise InputError(f"{where}: expected at most {MAX_BYTES} bytes, found {len(text)}")
    try:
        return YAML(typ="safe", pure=True).load(text.decode())
    except (YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{where}: not YAML as DVC reads it ({_one_line(error)})") from None


def validate(block: type[B], value: Any, where: str) -> B:
    """Return `value` as a `block`; `where` (a file, or a file and a key) begins each line of the error.

    Raises:
        InputError: `value` breaks a rule of the block.
    """
    try:
        return block.model_validate(value)
    except ValidationError as error:
        lines = [f"{where}: {_describe(fault, value)}" for fault in error.errors()]
        raise InputError("\n".join(lines)) from None


def _describe(fault: ErrorDetails, value: Any) -> str:
    keys = _keys(fault["loc"], value, fault["type"] == "missing")
    path = ".".join([*keys, *filter(None, [fault.get("ctx", {}).get("below")])])
    found = fault.get("input")
    text = fault["msg"].removeprefix("Input should be ")
    match fault["type"]:
        case "missing":
            text = "missing"
        case "tuple_type":
            text = f"expected a list, found {_shown(found)}"
        case "string_pattern_mismatch":
            text = f"expected a text matching {fault['ctx']['pattern']}, found {_shown(found)}"
        case "union_tag_invalid":
            text = f"expected {fault['ctx']['expected_tags']} for name, found {fault['ctx']['tag']!r:.80}"
        case "union_tag_not_found":
            text = "missing name"
        case "too_short":
            text = f"expected one item or more, found {_shown(found)}"
        case "model_type" | "model_attributes_type" | "mapping_type" | "dict_type":
            text = f"expected a mapping, found {_shown(found)}"
        case _ if fault["msg"].startswith("Input should be"):
            text = f"expected {text}, found {_shown(found)}"
    return f"{path}: {text}" if path else text


def _keys(location: tuple[int | str, ...], value: Any, missing: bool) -> list[str]:
    """Return an error's location without the names of union members, which are no keys of the file."""
    keys: list[str] = []
    for position, key in enumerate(location):
        absent = missing and position == len(location) - 1
        if isinstance(value, Mapping) and (key in value or absent):
            keys.append(str(key) if re.fullmatch(NAME_PATTERN, str(key)) else _shown(key))
            value = value.get(key)
        elif isinstance(value, list) and isinstance(key, int):
            keys[-1] += f"[{key}]"
            value = value[key]
    return keys


def _shown(value: Any) -> str:
    """Return a short text for `value`; `repr` would write out in full what aliases in YAML repeat a billion times."""
    brief = reprlib.Repr()
    brief.maxlevel, brief.maxstring, brief.maxother = 3, 80, 80
    return brief.repr(value)[:80]


def _one_line(error: Exception) -> str:
    return " ".join(str(error).partition("To suppress this check")[0].split())[:300]
