"""A model as params.yaml describes it: network, optimizer, loss, epochs, and what may be added to them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from pipeline import schema
from pipeline.schema import Block, Fraction, Positive, Positives, Seed, tag
from pipeline.training.optimizer_settings import (
    AdadeltaParams,
    AdamParams,
    AdamwParams,
    Constant,
    Cosine,
    Epsilon,
    RmspropParams,
    SgdParams,
    Step,
)

Shape = tuple[int, ...]


Instructions = Literal["native", "avx2"]


class Training(Block):
    """The settings that all models share."""

    seed: Seed
    batch_size: Positive
    precision: Literal["float32", "mixed_bfloat16"]
    threads: Annotated[int, Field(gt=0, le=256)]
    instructions: Instructions = "native"

    @model_serializer(mode="wrap")
    def _as_before_there_was_a_choice(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = dump(self)
        # So that results keep the recipe under which they were made.
        return {key: value for key, value in values.items() if (key, value) != ("instructions", "native")}


class Mlp(Block):
    """Dense layers with ReLU, each followed by dropout."""

    name: Literal["mlp"]
    units: Positives
    dropout: Fraction

    def check_shape(self, shape: Shape) -> None:
        """Do nothing: images of every shape are flattened."""


class Cnn(Block):
    """Convolutions with ReLU, one max-pooling, dropout, one dense layer, dropout."""

    name: Literal["cnn"]
    filters: Positives
    kernel: Positive
    pool: Positive
    pool_dropout: Fraction
    units: Positive
    dropout: Fraction

    def check_shape(self, shape: Shape) -> None:
        """Raise ValueError with the reason if images of `shape` (h, w) or (h, w, c) are too small."""
        if min(shape[:2]) - len(self.filters) * (self.kernel - 1) < self.pool:
            convolutions = f"{len(self.filters)} convolutions with kernel {self.kernel} and pool {self.pool}"
            raise ValueError(f"a {shape[0]}x{shape[1]} image is too small for {convolutions}")


class Conv2d(Block):
    """A convolution with a square kernel, without an activation."""

    name: Literal["conv2d"]
    filters: Positive
    kernel: Positive
    stride: Positive
    padding: Literal["valid", "same"]


class MaxPool(Block):
    """The maximum of each square of `size` by `size`."""

    name: Literal["max_pool"]
    size: Positive


class AveragePool(Block):
    """The mean of each square of `size` by `size`."""

    name: Literal["average_pool"]
    size: Positive


class BatchNorm(Block):
    """Batch normalization over the whole batch (Ioffe and Szegedy, 2015); `momentum` is that of the moving averages."""

    name: Literal["batch_norm"]
    momentum: Fraction
    epsilon: Epsilon


class Dropout(Block):
    """Dropout of the share `rate`."""

    name: Literal["dropout"]
    rate: Fraction


class Dense(Block):
    """A dense layer without an activation."""

    name: Literal["dense"]
    units: Positive


class Relu(Block):
    """The activation max(0, x)."""

    name: Literal["relu"]


class Flatten(Block):
    """An image as one row of numbers."""

    name: Literal["flatten"]


class GlobalAveragePool(Block):
    """The mean of each channel."""

    name: Literal["global_average_pool"]


Layer = Annotated[
    Annotated[Conv2d, Tag(tag("conv2d"))]
    | Annotated[MaxPool, Tag(tag("max_pool"))]
    | Annotated[AveragePool, Tag(tag("average_pool"))]
    | Annotated[BatchNorm, Tag(tag("batch_norm"))]
    | Annotated[Dropout, Tag(tag("dropout"))]
    | Annotated[Dense, Tag(tag("dense"))]
    | Annotated[Relu, Tag(tag("relu"))]
    | Annotated[Flatten, Tag(tag("flatten"))]
    | Annotated[GlobalAveragePool, Tag(tag("global_average_pool"))],
    schema.by_name,
]


class Sequential(Block):
    """Layers in their order; the dense layer with a softmax over the classes is added as the last one."""

    name: Literal["sequential"]
    layers: Annotated[tuple[Layer, ...], BeforeValidator(schema.as_tuple), Field(min_length=1)]

    def check_shape(self, shape: Shape) -> None:
        """Raise ValueError that names the first layer that images of `shape` (h, w) or (h, w, c) do not fit."""
        current = shape if len(shape) == 3 else (*shape, 1)
        for number, layer in enumerate(self.layers, start=1):
            try:
                current = after(layer, current)
            except ValueError as error:
                raise ValueError(f"layer {number}, {layer.name}: {error}") from None
        if len(current) != 1:
            raise ValueError("the last layer has to give one row per image: end with flatten or global_average_pool")


def after(layer: Any, shape: Shape) -> Shape:
    """Return the shape of one image of `shape` (h, w, c) or (n,) after `layer`.

    Raises:
        ValueError: The layer does not fit it.
    """
    flat = len(shape) == 1
    if isinstance(layer, Conv2d | MaxPool | AveragePool | GlobalAveragePool | Flatten) and flat:
        raise ValueError("needs an image, and the layers before it give one row of numbers")
    if isinstance(layer, Dense) and not flat:
        raise ValueError("needs one row of numbers: put flatten or global_average_pool before it")
    match layer:
        case Conv2d():
            lost = layer.kernel - 1 if layer.padding == "valid" else 0
            sides = [(side - lost - 1) // layer.stride + 1 if side > lost else 0 for side in shape[:2]]
            return _sides(sides, shape, layer.filters)
        case MaxPool() | AveragePool():
            return _sides([side // layer.size for side in shape[:2]], shape, shape[2])
        case GlobalAveragePool():
            return (shape[2],)
        case Flatten():
            return (shape[0] * shape[1] * shape[2],)
        case Dense():
            return (layer.units,)
    return shape


def _sides(sides: list[int], before: Shape, channels: int) -> Shape:
    if min(sides) < 1:
        raise ValueError(f"is too large for the {before[0]}x{before[1]} that are left of the image")
    return (*sides, channels)


class Loss(Block):
    """Cross-entropy of probabilities clipped to [clip, 1 - clip]; `clip: null` is Keras 3's unbounded loss."""

    name: Literal["crossentropy"]
    clip: Annotated[float, Field(gt=0, lt=0.1)] | None


class Augmentation(Block):
    """Training images moved by up to `shift` pixels in each direction, and mirrored with probability 1/2 if `flip`."""

    shift: Annotated[int, Field(ge=0, le=32)]
    flip: bool


class Model(Block):
    """A named experiment. What a block leaves out, `augmentation`, `schedule` and `keep`, is not used.

    `keep` names the epoch whose weights are evaluated: the last one, or the best one by a score on held-out images.
    """

    network: Annotated[
        Annotated[Mlp, Tag(tag("mlp"))]
        | Annotated[Cnn, Tag(tag("cnn"))]
        | Annotated[Sequential, Tag(tag("sequential"))],
        schema.by_name,
    ]
    optimizer: Annotated[
        Annotated[RmspropParams, Tag(tag("rmsprop"))]
        | Annotated[AdadeltaParams, Tag(tag("adadelta"))]
        | Annotated[SgdParams, Tag(tag("sgd"))]
        | Annotated[AdamParams, Tag(tag("adam"))]
        | Annotated[AdamwParams, Tag(tag("adamw"))],
        schema.by_name,
    ]
    loss: Loss
    epochs: Annotated[int, Field(gt=0, le=10_000)]
    augmentation: Augmentation | None = None
    schedule: (
        Annotated[
            Annotated[Constant, Tag(tag("constant"))]
            | Annotated[Cosine, Tag(tag("cosine"))]
            | Annotated[Step, Tag(tag("step"))],
            schema.by_name,
        ]
        | None
    ) = None
    keep: Literal["last", "best_val_loss", "best_val_accuracy"] = "last"

    @property
    def normalizes_batches(self) -> bool:
        """Whether a step needs the whole batch at once, since a layer normalizes over it."""
        return isinstance(self.network, Sequential) and any(isinstance(one, BatchNorm) for one in self.network.layers)

    @model_validator(mode="after")
    def _schedule_fits(self) -> Self:
        if isinstance(self.schedule, Step) and self.schedule.epochs >= self.epochs:
            text = "schedule.epochs: expected less than the {epochs} epochs of the model, found {found}"
            raise PydanticCustomError("schedule", text, {"epochs": self.epochs, "found": self.schedule.epochs})
        return self

    def settings(self) -> dict[str, Any]:
        """Return the block as plain values, without the optional parts that it leaves out."""
        return self.model_dump(mode="json", exclude_unset=True)
