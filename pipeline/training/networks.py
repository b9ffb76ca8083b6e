"""The networks and their loss, built from params."""

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.training import layers
from pipeline.training.architecture import Layer, Network, Shape, with_channels
from pipeline.training.backend import keras
from pipeline.training.settings import Loss, Mlp

# Streams of random numbers: initial weights and dropout never share one.
_INITIAL, _DROPOUT = 0, 1
# The most images in a batch that is scored, and the most bytes that one layer's inputs and outputs may take then. At
# 28x28 pixels the project's own networks are far from the second.
_SCORED_AT_ONCE, _SCORING_BYTES = 1000, 2**29
# The most bytes that the outputs of all layers may take at once in a thread that trains; their gradients take as many.
_TRAINING_BYTES = 2**28

# What the first layer multiplies pixels by and then adds: one number, or one for each channel.
Scaling = tuple[float, float] | tuple[list[float], list[float]]


def build(
    params: Network,
    shape: Sequence[int],
    classes: int,
    *,
    seed: int,
    precision: str,
    scaling: Scaling = (1 / 255, 0.0),
) -> keras.Model:
    """Return the network that `params` describe, its initial weights a function of `seed`.

    It takes uint8 images (n, *shape), where `shape` is (h, w) or (h, w, c), and returns float32 probabilities (n,
    classes). Its first layer scales to [0, 1], or as `scaling` says. Kernels are Glorot uniform (Glorot and Bengio
    2010), biases zero. A kernel's random numbers depend on its position among the layers with a kernel, so networks
    that differ only in dropout start from the same weights. Every layer is named: the names that Keras generates depend
    on what was built before.

    Raises:
        TypeError: There is no such kind of layer.
    """
    parts = [
        keras.layers.Rescaling(*scaling, name="scaling"),
        *([] if isinstance(params, Mlp) or len(shape) == 3 else [keras.layers.Reshape((*shape, 1), name="channel")]),
        *_built(params.hidden(), with_channels(tuple(shape))),
        keras.layers.Dense(classes, activation="softmax", name="probabilities"),
    ]
    flat = [*_walk(parts)]
    _set_seeds(flat, seed)
    for layer in flat[:-1]:
        layer.dtype_policy = keras.DTypePolicy(precision)
        if params.activation != "linear" and hasattr(layer, "activation"):
            layer.activation = keras.activations.get(params.activation)
    flat[-1].dtype_policy = keras.DTypePolicy("float32")
    images = keras.Input(tuple(shape), dtype="uint8", name="images")
    if flat == parts:
        return keras.Sequential([images, *flat], name=params.name)
    return keras.Model(images, _applied(parts, images), name=params.name)


def scoring_batch(network: keras.Model) -> int:
    """Return how many images to score at once: as many as take little memory; the scores do not depend on it."""
    # What a layer reads and what it writes is there at the same time.
    largest = max(_bytes(layer, layer.input) + _bytes(layer, layer.output) for layer in network.layers)
    return max(1, min(_SCORED_AT_ONCE, _SCORING_BYTES // largest))


def slices(network: keras.Model, images: int) -> int:
    """Return into how many slices to cut `images` that a thread trains on, so that they take little memory."""
    return min(
        images, math.ceil(images * sum(_bytes(layer, layer.output) for layer in network.layers) / _TRAINING_BYTES)
    )


def _bytes(layer: keras.Layer, tensors: Any) -> int:
    size = 2 if layer.compute_dtype == "bfloat16" else 4
    return sum(size * math.prod(tensor.shape[1:]) for tensor in keras.tree.flatten(tensors))


@dataclass(frozen=True)
class _Sum:
    """The sum `add` of what two lists of layers make of the same input."""

    branches: tuple[list[Any], list[Any]]
    add: keras.layers.Add

    def __call__(self, values: Any) -> Any:
        return self.add([_applied(branch, values) for branch in self.branches])


def _applied(parts: Iterable[Any], values: Any) -> Any:
    for part in parts:
        values = part(values)
    return values


def _walk(parts: Iterable[Any]) -> Iterator[keras.Layer]:
    """Yield the layers of Keras at any depth, in the order of params.yaml."""
    for part in parts:
        yield from _walk([*part.branches[0], *part.branches[1], part.add]) if isinstance(part, _Sum) else [part]


def _built(described: Mapping[str, Layer], shape: Shape) -> list[Any]:
    """Return the layers of Keras, or sums of them, that are described, by name, for an input of `shape`."""
    parts: list[Any] = []
    for name, layer in described.items():
        if type(layer) not in _BUILDERS:
            raise TypeError(f"nothing constructs a layer of the kind {type(layer).__name__}")
        parts += _BUILDERS[type(layer)](layer, name, shape)
        shape = layer.output_shape(shape)
    return parts


def _conv2d(layer: layers.Conv2d, name: str, _: Shape) -> list[keras.Layer]:
    convolution = functools.partial(keras.layers.Conv2D, layer.filters, layer.kernel, padding=layer.padding, name=name)
    if layer.kernel > 1 or layer.stride == 1:
        return [convolution(strides=layer.stride)]
    # With AVX2, oneDNN's convolution of 1x1 with a stride writes beyond its memory, unless the channels fill registers.
    # Leaving out the pixels between first is the same.
    return [keras.layers.MaxPooling2D(1, strides=layer.stride, name=f"{name}_stride"), convolution()]


def _depthwise_conv2d(layer: layers.DepthwiseConv2d, name: str, _: Shape) -> list[keras.Layer]:
    # Glorot's limit for the kernel**2 inputs to each output, and outputs of each input, that there are; Keras' own rule
    # would count those of all channels.
    limit = math.sqrt(6 / (2 * layer.kernel**2))
    initializer = keras.initializers.RandomUniform(-limit, limit)
    arguments = {"strides": layer.stride, "padding": layer.padding, "depthwise_initializer": initializer, "name": name}
    return [keras.layers.DepthwiseConv2D(layer.kernel, **arguments)]


def _residual(layer: layers.Residual, name: str, shape: Shape) -> list[_Sum]:
    inner = {f"{name}_{each.name}_{number}": each for number, each in enumerate(layer.layers, start=1)}
    shortcut = {f"{name}_shortcut": each for each in layer.shortcut(shape)}
    return [_Sum((_built(inner, shape), _built(shortcut, shape)), keras.layers.Add(name=name))]


# The layers of Keras, or sums of them, that make up each kind, from what describes it, its name, and its input's shape.
_BUILDERS: Mapping[type[Layer], Callable[[Any, str, Shape], list[Any]]] = {
    layers.Conv2d: _conv2d,
    layers.DepthwiseConv2d: _depthwise_conv2d,
    layers.MaxPool: lambda layer, name, _: [keras.layers.MaxPooling2D(layer.size, name=name)],
    layers.AveragePool: lambda layer, name, _: [keras.layers.AveragePooling2D(layer.size, name=name)],
    layers.GlobalAveragePool: lambda _, name, __: [keras.layers.GlobalAveragePooling2D(name=name)],
    layers.BatchNorm: lambda layer, name, _: [
        keras.layers.BatchNormalization(momentum=layer.momentum, epsilon=layer.epsilon, name=name)
    ],
    layers.Dropout: lambda layer, name, _: [keras.layers.Dropout(layer.rate, name=name)],
    layers.Relu: lambda _, name, __: [keras.layers.ReLU(name=name)],
    layers.Flatten: lambda _, name, __: [keras.layers.Flatten(name=name)],
    layers.Dense: lambda layer, name, _: [keras.layers.Dense(layer.units, name=name)],
    layers.Residual: _residual,
}


def _set_seeds(flat: Iterable[keras.Layer], seed: int) -> None:
    """Seed every initial value that is drawn at random by its position among all that are."""
    positions = count()
    for layer in flat:
        for name, value in sorted(vars(layer).items()):
            config = value.get_config() if isinstance(value, keras.initializers.Initializer) else {}
            if "seed" in config:
                drawn = int(np.random.SeedSequence([seed, _INITIAL, next(positions)]).generate_state(1)[0])
                setattr(layer, name, type(value).from_config(config | {"seed": drawn}))


def seed_dropout(network: keras.Model, seed: int, epoch: int) -> None:
    """Set each dropout layer's random state to a function of (seed, epoch, position) and of nothing else.

    Keras does not save that state; by this rule a resumed run draws the same masks as an uninterrupted one.
    """
    # A rate of 0 needs no generator. Layers are in the order in which they compute, at any depth.
    dropouts = [layer for layer in network.layers if hasattr(layer, "seed_generator")]
    for position, layer in enumerate(dropouts):
        state = np.random.SeedSequence([seed, _DROPOUT, epoch, position]).generate_state(2)
        layer.seed_generator.state.assign(state.astype("uint32"))


class ClippedCrossentropy(keras.losses.Loss):
    """Cross-entropy of the true class's probability, clipped to [clip, 1 - clip]: at most -log(clip) per image.

    This was Keras' loss at the time of the original, with clip 1e-7. Outside the clip its gradient is zero. With
    `label_smoothing` that share of it is the mean of the cross-entropies of all classes (arXiv:1512.00567, section 7).
    """

    def __init__(self, clip: float, label_smoothing: float = 0.0, name: str = "clipped_crossentropy") -> None:
        super().__init__(name=name)
        self.clip, self.label_smoothing = clip, label_smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss (n,) for labels `y_true` (n,) or (n, 1) and probabilities `y_pred` (n, classes)."""
        truth = keras.ops.one_hot(keras.ops.reshape(y_true, (-1,)), y_pred.shape[-1], dtype=y_pred.dtype)
        loss = self._entropy(keras.ops.sum(truth * y_pred, axis=-1))
        if self.label_smoothing == 0:
            return loss
        return (1 - self.label_smoothing) * loss + self.label_smoothing * keras.ops.mean(self._entropy(y_pred), axis=-1)

    def _entropy(self, probability: Any) -> Any:
        return -self.log(keras.ops.clip(probability, self.clip, 1 - self.clip))

    def log(self, probability: Any) -> Any:
        """Return the natural logarithm of `probability`."""
        return keras.ops.log(probability)


class SmoothedCrossentropy(keras.losses.CategoricalCrossentropy):
    """Keras 3's cross-entropy with label smoothing, of labels instead of one-hot rows."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss (n,) for labels `y_true` (n,) or (n, 1) and probabilities `y_pred` (n, classes)."""
        truth = keras.ops.one_hot(keras.ops.reshape(y_true, (-1,)), y_pred.shape[-1], dtype=y_pred.dtype)
        return super().call(truth, y_pred)


def loss(params: Loss) -> keras.losses.Loss:
    """Return the loss that `params` describe; without a clip it is Keras 3's, taken from the logits and unbounded."""
    if params.clip is not None:
        return ClippedCrossentropy(params.clip, params.label_smoothing)
    if params.label_smoothing:
        return SmoothedCrossentropy(label_smoothing=params.label_smoothing)
    return keras.losses.SparseCategoricalCrossentropy()


def class_weights(params: Loss, labels: NDArray[np.unsignedinteger[Any]], classes: int) -> NDArray[np.float32] | None:
    """Return by how much an image of each class counts, (classes,), or None if all count alike.

    Balanced weights are n / (k n_c) for n_c of the n `labels` in a class and k classes that have any, so that their
    mean over the images is 1; a class without images has 0. Source: King and Zeng, Logistic Regression in Rare Events
    Data, 2001.
    """
    if params.class_weight is None:
        return None
    counts = np.bincount(labels, minlength=classes)
    present = counts > 0
    return np.where(present, len(labels) / (present.sum() * np.maximum(counts, 1)), 0).astype(np.float32)
