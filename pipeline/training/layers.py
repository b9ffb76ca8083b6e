"""The kinds of layers, as params.yaml describes them: params, the shape of the output, the cost. No TensorFlow.

A new kind is a class here, named in `AnyLayer`, and an entry in the table of `networks` that constructs it.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from pipeline import schema
from pipeline.schema import Epsilon, Fraction, Positive
from pipeline.training.architecture import Layer, Shape, multiply_adds, output_shape

Padding = Literal["valid", "same"]


class Conv2d(Layer):
    """A convolution with a square kernel, without an activation."""

    name: Literal["conv2d"]
    filters: Positive
    """The number of channels of the output."""
    kernel: Positive
    """The side of the kernel in pixels."""
    stride: Positive
    """By how many pixels the kernel moves."""
    padding: Padding
    """`same`: zeros around the image keep its size, divided by the stride; `valid`: no zeros."""

    def output_shape(self, shape: Shape) -> Shape:
        """Return (h, w, filters)."""
        return (*_convolved(shape, self.kernel, self.stride, self.padding), self.filters)

    def multiply_adds(self, shape: Shape) -> int:
        """Return outputs times kernel times input channels."""
        return math.prod(self.output_shape(shape)) * self.kernel**2 * shape[2]

    @property
    def reduction(self) -> int:
        """The stride."""
        return self.stride


class DepthwiseConv2d(Layer):
    """A convolution of each channel by itself; a conv2d of kernel 1 after it makes it separable (arXiv:1704.04861)."""

    name: Literal["depthwise_conv2d"]
    kernel: Positive
    """The side of the kernels in pixels."""
    stride: Positive
    """By how many pixels the kernels move."""
    padding: Padding
    """`same`: zeros around the image keep its size, divided by the stride; `valid`: no zeros."""

    def output_shape(self, shape: Shape) -> Shape:
        """Return (h, w, c) with as many channels as before."""
        return (*_convolved(shape, self.kernel, self.stride, self.padding), shape[2])

    def multiply_adds(self, shape: Shape) -> int:
        """Return outputs times kernel."""
        return math.prod(self.output_shape(shape)) * self.kernel**2

    @property
    def reduction(self) -> int:
        """The stride."""
        return self.stride


class _Free(Layer):
    """A layer without multiply-adds; what a pool, a mean or batch normalization computes is not counted."""

    def output_shape(self, shape: Shape) -> Shape:
        """Return `shape`."""
        return shape

    def multiply_adds(self, shape: Shape) -> int:  # noqa: ARG002
        """Return 0."""
        return 0


class _Pool(_Free):
    size: Positive
    """The side of the squares in pixels; rows and columns that fill none are left out."""

    def output_shape(self, shape: Shape) -> Shape:
        """Return (h, w, c) with each side divided by the size."""
        return (*_fitting(shape, [side // self.size for side in _image(shape)[:2]]), shape[2])

    @property
    def reduction(self) -> int:
        """The size."""
        return self.size


class MaxPool(_Pool):
    """The maximum of each square of `size` by `size`."""

    name: Literal["max_pool"]


class AveragePool(_Pool):
    """The mean of each square of `size` by `size`."""

    name: Literal["average_pool"]


class BatchNorm(_Free):
    """Batch normalization over the whole batch (Ioffe and Szegedy, 2015, arXiv:1502.03167)."""

    name: Literal["batch_norm"]
    momentum: Fraction
    """Decay rate of the moving averages of mean and variance, which are used in inference."""
    epsilon: Epsilon
    """Added to the variance."""


class Dropout(_Free):
    """Dropout: in training, values are set to 0 at random, and the others scaled up."""

    name: Literal["dropout"]
    rate: Fraction
    """The share that is set to 0."""


class Relu(_Free):
    """The activation max(0, x)."""

    name: Literal["relu"]


class Flatten(_Free):
    """An image as one row of numbers."""

    name: Literal["flatten"]

    def output_shape(self, shape: Shape) -> Shape:
        """Return (h w c,)."""
        return (math.prod(_image(shape)),)


class GlobalAveragePool(_Free):
    """The mean of each channel."""

    name: Literal["global_average_pool"]

    def output_shape(self, shape: Shape) -> Shape:
        """Return (c,)."""
        return (_image(shape)[2],)


class Dense(Layer):
    """A dense layer without an activation."""

    name: Literal["dense"]
    units: Positive
    """The number of outputs."""

    def output_shape(self, shape: Shape) -> Shape:
        """Return (units,)."""
        if len(shape) != 1:
            raise ValueError("needs one row of numbers: put flatten or global_average_pool before it")
        return (self.units,)

    def multiply_adds(self, shape: Shape) -> int:
        """Return outputs times inputs."""
        return self.units * shape[0]


class Residual(Layer):
    """What `layers` make of the input, plus the input itself (He et al., 2015, arXiv:1512.03385).

    Where `layers` change the size or the number of channels, a convolution of 1x1, whose stride follows from theirs,
    does the same to the input.
    """

    name: Literal["residual"]
    layers: Layers
    """Layers of any kind, in their order."""

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape that `layers` give."""
        return output_shape(self.shortcut(shape), shape)

    def multiply_adds(self, shape: Shape) -> int:
        """Return those of `layers` and of the shortcut."""
        return multiply_adds(self.layers, shape) + multiply_adds(self.shortcut(shape), shape)

    def shortcut(self, shape: Shape) -> tuple[Conv2d, ...]:
        """Return what an input of `shape` passes before it is added: nothing, or a convolution; errors as above."""
        wanted = output_shape(self.layers, shape)
        if wanted == shape:
            return ()
        change = f"its layers turn {_shown(shape)} into {_shown(wanted)}"
        if not len(wanted) == len(shape) == 3:
            raise ValueError(f"{change}, but only from image to image may they change the shape")
        convolution = Conv2d(name="conv2d", filters=wanted[2], kernel=1, stride=self.reduction, padding="same")
        if convolution.output_shape(shape) != wanted:
            fix = "use padding same, and pools that divide the sides"
            raise ValueError(f"{change}, and a 1x1 convolution with stride {self.reduction} cannot: {fix}")
        return (convolution,)

    @property
    def inner(self) -> tuple[Layer, ...]:
        """The layers."""
        return self.layers


AnyLayer = Annotated[
    Conv2d | DepthwiseConv2d | MaxPool | AveragePool | GlobalAveragePool | BatchNorm | Dropout | Relu | Flatten | Dense
    | Residual,
    Field(discriminator="name"),
]  # fmt: skip
Layers = Annotated[tuple[AnyLayer, ...], BeforeValidator(schema.as_tuple), Field(min_length=1)]
Residual.model_rebuild()


def _image(shape: Shape) -> Shape:
    if len(shape) != 3:
        raise ValueError("needs an image, and the layers before it give one row of numbers")
    return shape


def _convolved(shape: Shape, kernel: int, stride: int, padding: Padding) -> list[int]:
    lost = kernel - 1 if padding == "valid" else 0
    return _fitting(shape, [(side - lost - 1) // stride + 1 if side > lost else 0 for side in _image(shape)[:2]])


def _fitting(before: Shape, sides: list[int]) -> list[int]:
    if min(sides) < 1:
        raise ValueError(f"is too large for the {before[0]}x{before[1]} that are left of the image")
    return sides


def _shown(shape: Shape) -> str:
    return "x".join(map(str, shape))
