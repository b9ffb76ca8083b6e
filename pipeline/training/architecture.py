"""What layers and networks of every kind say of themselves: the shape of the output, and the cost. No TensorFlow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from math import prod
from typing import ClassVar, Literal

from pipeline.schema import Block

# Of one image, (height, width, channels), or of one row of numbers, (n,).
Shape = tuple[int, ...]


class Layer(Block, ABC):
    """What every kind of layer has to say of itself."""

    name: str

    @abstractmethod
    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of the output for an input of `shape`.

        Raises:
            ValueError: The layer does not fit `shape`; why.
        """

    @abstractmethod
    def multiply_adds(self, shape: Shape) -> int:
        """Return the multiply-adds for an input of `shape`: the number of outputs times that of the inputs to each."""

    @property
    def reduction(self) -> int:
        """How many rows of an input image there are for each row of the output, up to what the border adds or takes."""
        return prod(layer.reduction for layer in self.inner)

    @property
    def inner(self) -> tuple[Layer, ...]:
        """The layers that this one consists of, if it does."""
        return ()


def output_shape(layers: Iterable[Layer], shape: Shape) -> Shape:
    """Return the shape after all `layers`, one after another, for an input of `shape`.

    Raises:
        ValueError: One of the layers does not fit; it is named by its number and kind.
    """
    for number, layer in enumerate(layers, start=1):
        try:
            shape = layer.output_shape(shape)
        except ValueError as error:
            raise ValueError(f"layer {number}, {layer.name}: {error}") from None
    return shape


def multiply_adds(layers: Iterable[Layer], shape: Shape) -> int:
    """Return the multiply-adds of all `layers`, one after another, for an input of `shape`."""
    total = 0
    for layer in layers:
        total += layer.multiply_adds(shape)
        shape = layer.output_shape(shape)
    return total


def walk(layers: Iterable[Layer]) -> Iterator[Layer]:
    """Yield all `layers` in their order, and after each one those that it consists of, at any depth."""
    for layer in layers:
        yield layer
        yield from walk(layer.inner)


def with_channels(shape: Shape) -> Shape:
    """Return the shape (h, w, c) of an image; that of a grey one may be (h, w)."""
    return shape if len(shape) == 3 else (*shape, 1)


class Network(Block, ABC):
    """Hidden layers; a dense layer with a softmax over the classes is added as the last one."""

    # What hidden layers with weights apply to their results.
    activation: ClassVar[Literal["linear", "relu"]] = "linear"
    name: str

    @abstractmethod
    def hidden(self) -> dict[str, Layer]:
        """Return the hidden layers in their order, by their names in Keras."""

    def check_shape(self, shape: Shape) -> None:
        """Check that images of `shape`, (h, w) or (h, w, c), fit.

        Raises:
            ValueError: They do not; the reason, and the first layer that they do not fit.
        """
        if len(output_shape(self.hidden().values(), with_channels(shape))) != 1:
            raise ValueError("the last layer has to give one row per image: end with flatten or global_average_pool")
