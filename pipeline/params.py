"""params.yaml as frozen, validated objects. The only reader of that file."""

from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from pipeline import files, schema
from pipeline.errors import InputError
from pipeline.schema import Block, Fraction, Name, Positive, Seed
from pipeline.training import architecture
from pipeline.training.architecture import Layer, Network, Shape
from pipeline.training.settings import Model, Training

# Keras takes minutes to build more.
MOST_LAYERS = 500


def _held_out(value: Any) -> Any:
    number = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31
    if value not in ("test", "own") and not number:
        text = "expected 'test', 'own' or a number of images above 0, found {value}"
        raise PydanticCustomError("validation", text, {"value": schema.shown(value)})
    return value


class Data(Block):
    """The data set, by its name in data/sets/, and how it is split."""

    dataset: Name
    """The data set: the name of its file in `data/sets/`, without `.yaml`."""
    validation: Annotated[Literal["test", "own"] | Positive, BeforeValidator(_held_out)]
    """What is scored after each epoch: `test` images, `own` validation images, or so many held-out training images."""
    split_seed: Seed
    """Decides which images are held out."""


class OverfittingRule(Block):
    """When a history counts as overfitting."""

    window: Positive
    """The number of epochs in a running mean."""
    onset: Annotated[float, Field(gt=1)]
    """The loss counts as rising once its running mean stays at or above this many times its minimum."""
    slight: Annotated[float, Field(ge=1)]
    """A rise (mean of the last epochs, divided by the lowest such mean) below this is no sign of overfitting."""
    strong: Annotated[float, Field(ge=1)]
    """From this rise on, the model grows overconfident, or overfits."""
    tolerance: Fraction
    """Accuracy that is lost by no more than this, from its best running mean, counts as kept."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.slight > self.strong:
            values = {"slight": self.slight, "strong": self.strong}
            raise PydanticCustomError("order", "slight is {slight}, above strong, which is {strong}", values)
        return self


class Params(Block):
    """The whole of params.yaml."""

    # The last two are left as read: their only users know their schemas. Older revisions have no `verdict`.

    data: Data
    """What the models are trained on."""
    train: Training
    """What all models share."""
    models: Annotated[Mapping[Name, Model], AfterValidator(schema.distinct), Field(min_length=1)]
    """The models, by name."""
    overfitting: OverfittingRule
    """The rule by which a history counts as overfitting."""
    gate: Mapping[str, Any]
    """What `make gate` requires, by data set."""
    verdict: Mapping[str, Any] = Field(default_factory=dict)
    """The smallest difference that matters to `make verdict` and the study, by data set and metric."""

    @model_validator(mode="after")
    def _chosen_on_held_out_images(self) -> Self:
        for name, model in self.models.items():
            if model.keep != "last" and self.data.validation == "test":
                text = (
                    "models.{name}.keep: {keep} would choose on the test images; set data.validation to a number or own"
                )
                raise PydanticCustomError("keep", text, {"name": name, "keep": model.keep})
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


def check_images(
    models: Mapping[str, Model],
    training: Training,
    shape: tuple[int, ...],
    count: int,
    path: Path,
    section: str = "models",
    memory: int | None = None,
) -> None:
    """Check that `count` images of `shape` can be trained on by the models in a section of the file at `path`.

    `memory` has the bytes of the machine that trains, where this is the one.

    Raises:
        InputError: A batch is larger, a network or an augmentation does not fit the shape, or a network is too large; a
            line per fault.
    """
    faults = []
    if training.batch_size > count:
        faults.append(f"train.batch_size: expected at most the {count} training images, found {training.batch_size}")
    if training.threads > training.batch_size:
        faults.append(
            f"train.threads: expected at most one per image of a batch, {training.batch_size}, found {training.threads}"
        )
    for name, model in models.items():
        for key, block in (("network", model.network), ("augmentation", model.augmentation)):
            try:
                if block is not None:
                    block.check_shape(shape)
                if block is model.network:
                    _check_size(model.network, training.batch_size, shape, memory)
            except ValueError as error:
                faults.append(f"{section}.{name}.{key}: {error}")
    if faults:
        raise InputError(f"\n{path}: ".join(faults), path=path)


def _check_size(network: Network, batch_size: int, shape: tuple[int, ...], memory: int | None) -> None:
    """Check the number of layers, and whether what training needs at least fits into the memory, if that is known.

    That is weights, gradients and the outputs for one batch.

    Raises:
        ValueError: There are too many, or it does not fit.
    """
    if (layers := sum(1 for _ in architecture.walk(network.hidden().values()))) > MOST_LAYERS:
        raise ValueError(f"expected at most {MOST_LAYERS} layers, found {layers:,}")
    weights, outputs = _numbers(network.hidden().values(), architecture.with_channels(shape))
    if memory is not None and (needed := 4 * (2 * weights + batch_size * outputs)) > memory:
        gigabytes = f"{needed / 1e9:,.0f} GB or more, and this machine has {memory / 1e9:,.0f}"
        raise ValueError(f"its {weights:,} weights and {outputs:,} outputs per image take {gigabytes}")


def _numbers(layers: Iterable[Layer], shape: Shape) -> tuple[int, int]:
    """Return how many weights `layers` have at least, and outputs per image of `shape`."""
    weights = outputs = 0
    for layer in layers:
        after = layer.output_shape(shape)
        if layer.inner:
            own = _numbers(layer.inner, shape)
        else:
            # Each weight is used once at each place of the output.
            own = layer.multiply_adds(shape) // prod(after[:-1]), prod(after)
        weights, outputs, shape = weights + own[0], outputs + own[1], after
    return weights, outputs
