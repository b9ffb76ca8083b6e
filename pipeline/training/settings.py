"""A model as params.yaml describes it: network, optimizer, loss, epochs, and what may be added to them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator
from pydantic_core import PydanticCustomError

from pipeline.schema import Block, Fraction, Positive, Positives, Seed
from pipeline.training import architecture
from pipeline.training.architecture import Layer, Network, Shape
from pipeline.training.layers import BatchNorm, Conv2d, Dense, Dropout, Flatten, Layers, MaxPool
from pipeline.training.optimizer_settings import AnyOptimizer, AnySchedule, Step

Instructions = Literal["native", "avx2"]
UpToHalf = Annotated[float, Field(ge=0, le=0.5)]


class Training(Block):
    """The settings that all models share."""

    seed: Seed
    """Decides initial weights, the order of the images, dropout and augmentation."""
    batch_size: Positive
    """The number of images per step; at most as many as there are to train on."""
    precision: Literal["float32", "mixed_bfloat16"]
    """`mixed_bfloat16` computes with 16 bits and keeps weights in 32."""
    threads: Annotated[int, Field(gt=0, le=256)]
    """Part of the result: a batch is cut into as many parts, one per thread, whose gradients are added."""
    instructions: Instructions = "native"
    """`avx2`: the same bits on every x86-64 processor, at some cost in time."""

    @model_serializer(mode="wrap")
    def _omit_native(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = dump(self)
        # So that results keep the recipe under which they were made.
        return {key: value for key, value in values.items() if (key, value) != ("instructions", "native")}


class Mlp(Network):
    """Dense layers with ReLU, each followed by dropout."""

    activation = "relu"
    name: Literal["mlp"]
    units: Positives
    """The number of outputs of each dense layer, one number or more."""
    dropout: Fraction
    """The share of the values that each dropout sets to 0."""

    def hidden(self) -> dict[str, Layer]:
        """Return a pair of layers for each number of units."""
        hidden: dict[str, Layer] = {"flatten": Flatten(name="flatten")}
        for number, units in enumerate(self.units, start=1):
            hidden[f"dense_{number}"] = Dense(name="dense", units=units)
            hidden[f"dropout_{number}"] = Dropout(name="dropout", rate=self.dropout)
        return hidden


class Cnn(Network):
    """Convolutions with ReLU, one max-pooling, dropout, one dense layer with ReLU, dropout."""

    activation = "relu"
    name: Literal["cnn"]
    filters: Positives
    """The number of channels that each convolution gives, one number or more."""
    kernel: Positive
    """The side of the convolutions' kernels in pixels."""
    pool: Positive
    """The side in pixels of the squares of which the pooling takes the maximum."""
    pool_dropout: Fraction
    """The share of the values that the dropout after the pooling sets to 0."""
    units: Positive
    """The number of outputs of the dense layer."""
    dropout: Fraction
    """The share of the values that the last dropout sets to 0."""

    def hidden(self) -> dict[str, Layer]:
        """Return the layers; convolutions have stride 1 and no padding."""
        hidden: dict[str, Layer] = {}
        for number, filters in enumerate(self.filters, start=1):
            convolution = Conv2d(name="conv2d", filters=filters, kernel=self.kernel, stride=1, padding="valid")
            hidden[f"convolution_{number}"] = convolution
        return hidden | {
            "pool": MaxPool(name="max_pool", size=self.pool),
            "pool_dropout": Dropout(name="dropout", rate=self.pool_dropout),
            "flatten": Flatten(name="flatten"),
            "dense": Dense(name="dense", units=self.units),
            "dropout": Dropout(name="dropout", rate=self.dropout),
        }

    def check_shape(self, shape: Shape) -> None:
        """Check that images of `shape`, (h, w) or (h, w, c), fit.

        Raises:
            ValueError: They are too small.
        """
        try:
            super().check_shape(shape)
        except ValueError:
            convolutions = f"{len(self.filters)} convolutions with kernel {self.kernel} and pool {self.pool}"
            raise ValueError(f"a {shape[0]}x{shape[1]} image is too small for {convolutions}") from None


class Sequential(Network):
    """Layers in their order; the dense layer with a softmax over the classes is added as the last one."""

    name: Literal["sequential"]
    layers: Layers
    """Layers of any kind, in their order; the last one has to give one row of numbers per image."""

    def hidden(self) -> dict[str, Layer]:
        """Return the layers."""
        return {f"{layer.name}_{number}": layer for number, layer in enumerate(self.layers, start=1)}


class Loss(Block):
    """Cross-entropy: minus the logarithm of the true class's probability. Scores do not have its last two keys."""

    name: Literal["crossentropy"]
    clip: Annotated[float, Field(gt=0, lt=0.1)] | None
    """Probabilities are clipped to [clip, 1 - clip]; `null`: they are not, as in Keras 3."""
    label_smoothing: Fraction = 0.0
    """The share of each image's target that is spread evenly over all classes (arXiv:1512.00567, section 7)."""
    class_weight: Literal["balanced"] | None = None
    """`balanced`: images count by the inverse of how many training images their class has; left out: all alike."""

    @property
    def scored(self) -> Self:
        """The loss in the history: the same without smoothing and weights, so that it compares with other models'."""
        return self.model_copy(update={"label_smoothing": 0.0, "class_weight": None})


class Augmentation(Block):
    """Random changes of each training image, in the order of the keys; what is 0, false or left out is not done.

    What comes in from outside the image is black, on white paper, too.
    """

    shift: Annotated[int, Field(ge=0, le=128)] = 0
    """The largest shift in pixels, in each direction; zeros come in at the border."""
    flip: bool = False
    """Whether images are mirrored, left to right, with probability 1/2."""
    rotate: Annotated[float, Field(ge=0, le=180)] = 0.0
    """The largest angle in degrees, in both directions, by which images turn about their centre; zeros come in."""
    zoom: UpToHalf = 0.0
    """The largest share by which images grow or shrink about their centre; zeros come in where they shrink."""
    crop: UpToHalf = 0.0
    """The largest share of each side that is cut off at random places; what remains is stretched to the whole image."""
    contrast: UpToHalf = 0.0
    """The largest share by which values move away from the image's mean, or towards it."""
    brightness: UpToHalf = 0.0
    """The largest share of the range of values that is added to, or taken from, all values of an image."""
    erase: UpToHalf = 0.0
    """The largest share of each side that a rectangle of zeros has, put at a random place (arXiv:1708.04896)."""

    @property
    def steps(self) -> dict[str, Augmentation]:
        """Nothing, each key's change by itself, and all of them, by what they are called."""
        steps = {"original": Augmentation()}
        for name in type(self).model_fields:
            if value := getattr(self, name):
                steps[name if value is True else f"{name} {value:g}"] = Augmentation(**{name: value})
        return steps | ({"all": self} if len(steps) > 2 else {})

    def check_shape(self, shape: Shape) -> None:
        """Check that images of `shape`, (h, w) or (h, w, c), can be changed so.

        Raises:
            ValueError: The largest shift would leave less than a quarter of an image.
        """
        if self.shift > (half := min(shape[:2]) // 2):
            image = f"{shape[0]}x{shape[1]} image"
            raise ValueError(f"shift: expected at most half a side of a {image}, {half}, found {self.shift}")


class Model(Block):
    """A named experiment."""

    network: Annotated[Mlp | Cnn | Sequential, Field(discriminator="name")]
    """The layers."""
    optimizer: AnyOptimizer
    """The update rule of the weights."""
    loss: Loss
    """What is minimized."""
    epochs: Annotated[int, Field(gt=0, le=10_000)]
    """How often each training image is trained on."""
    scaling: Literal["unit", "standardized"] = "unit"
    """`unit`: pixels are divided by 255; `standardized`: each channel has mean 0 and deviation 1 in training."""
    augmentation: Augmentation | None = None
    """Changes of the training images, drawn anew in each epoch; left out: none."""
    schedule: AnySchedule | None = None
    """How the learning rate changes from epoch to epoch; left out: not at all."""
    keep: Literal["last", "best_val_loss", "best_val_accuracy"] = "last"
    """The epoch whose weights are evaluated; the best one, by validation images, needs `data.validation` not `test`."""

    @property
    def normalizes_batches(self) -> bool:
        """Whether a step needs the whole batch at once, since a layer, at any depth, normalizes over it."""
        return any(isinstance(layer, BatchNorm) for layer in architecture.walk(self.network.hidden().values()))

    @model_validator(mode="after")
    def _schedule_fits(self) -> Self:
        if isinstance(self.schedule, Step) and self.schedule.epochs >= self.epochs:
            text = "schedule.epochs: expected less than the {epochs} epochs of the model, found {found}"
            raise PydanticCustomError("schedule", text, {"epochs": self.epochs, "found": self.schedule.epochs})
        return self

    def settings(self) -> dict[str, Any]:
        """Return the block as plain values, without the optional parts that it leaves out."""
        return self.model_dump(mode="json", exclude_unset=True)
