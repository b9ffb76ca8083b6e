"""The networks and their loss, built from params."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.training import settings
from pipeline.training.backend import keras
from pipeline.training.settings import Cnn, Loss, Mlp, Sequential

# Streams of random numbers: initial weights and dropout never share one.
_INITIAL, _DROPOUT = 0, 1


def build(
    params: Mlp | Cnn | Sequential, shape: Sequence[int], classes: int, *, seed: int, precision: str
) -> keras.Sequential:
    """Return the network that `params` describe, its initial weights a function of `seed`.

    It takes uint8 images (n, *shape), where `shape` is (h, w) or (h, w, c), and returns float32 probabilities (n,
    classes). Its first layer scales to [0, 1]. Kernels are Glorot uniform (Glorot and Bengio 2010), biases zero. A
    kernel's random numbers depend on its position among the layers with a kernel, so networks that differ only in
    dropout start from the same weights. Every layer is named: the names that Keras generates depend on what was built
    before.
    """
    layers = [_scaling(), *_HIDDEN[params.name](params, shape), _output(classes)]
    with_kernels = [layer for layer in layers if hasattr(layer, "kernel_initializer")]
    for position, layer in enumerate(with_kernels):
        layer.kernel_initializer = keras.initializers.GlorotUniform(seed=_draw(seed, _INITIAL, position))
    for layer in layers:
        layer.dtype_policy = keras.DTypePolicy(precision)
    layers[-1].dtype_policy = keras.DTypePolicy("float32")
    return keras.Sequential([keras.Input(tuple(shape), dtype="uint8", name="images"), *layers], name=params.name)


def _mlp(params: Mlp, _: Sequence[int]) -> list[keras.Layer]:
    hidden: list[keras.Layer] = []
    for number, units in enumerate(params.units, start=1):
        hidden.append(keras.layers.Dense(units, activation="relu", name=f"dense_{number}"))
        hidden.append(keras.layers.Dropout(params.dropout, name=f"dropout_{number}"))
    return [keras.layers.Flatten(name="flatten"), *hidden]


def _cnn(params: Cnn, shape: Sequence[int]) -> list[keras.Layer]:
    convolutions = [
        keras.layers.Conv2D(filters, params.kernel, activation="relu", name=f"convolution_{number}")
        for number, filters in enumerate(params.filters, start=1)
    ]
    return [
        *_channel(shape),
        *convolutions,
        keras.layers.MaxPooling2D(params.pool, name="pool"),
        keras.layers.Dropout(params.pool_dropout, name="pool_dropout"),
        keras.layers.Flatten(name="flatten"),
        keras.layers.Dense(params.units, activation="relu", name="dense"),
        keras.layers.Dropout(params.dropout, name="dropout"),
    ]


def _sequential(params: Sequential, shape: Sequence[int]) -> list[keras.Layer]:
    layers = [_layer(layer, f"{layer.name}_{number}") for number, layer in enumerate(params.layers, start=1)]
    return [*_channel(shape), *layers]


def _layer(layer: Any, name: str) -> keras.Layer:
    match layer:
        case settings.Conv2d():
            arguments = {"strides": layer.stride, "padding": layer.padding, "name": name}
            return keras.layers.Conv2D(layer.filters, layer.kernel, **arguments)
        case settings.MaxPool():
            return keras.layers.MaxPooling2D(layer.size, name=name)
        case settings.AveragePool():
            return keras.layers.AveragePooling2D(layer.size, name=name)
        case settings.BatchNorm():
            return keras.layers.BatchNormalization(momentum=layer.momentum, epsilon=layer.epsilon, name=name)
        case settings.Dropout():
            return keras.layers.Dropout(layer.rate, name=name)
        case settings.Dense():
            return keras.layers.Dense(layer.units, name=name)
        case settings.Relu():
            return keras.layers.ReLU(name=name)
        case settings.Flatten():
            return keras.layers.Flatten(name=name)
        case _:
            return keras.layers.GlobalAveragePooling2D(name=name)


_HIDDEN: Mapping[str, Callable[..., list[keras.Layer]]] = {"mlp": _mlp, "cnn": _cnn, "sequential": _sequential}


def _channel(shape: Sequence[int]) -> list[keras.Layer]:
    """Return the layer that gives grey images a channel, which convolutions need; nothing for images with channels."""
    return [keras.layers.Reshape((*shape, 1), name="channel")] if len(shape) == 2 else []


def _scaling() -> keras.Layer:
    return keras.layers.Rescaling(1 / 255, name="scaling")


def _output(classes: int) -> keras.Layer:
    return keras.layers.Dense(classes, activation="softmax", name="probabilities")


def seed_dropout(network: keras.Sequential, seed: int, epoch: int) -> None:
    """Set each dropout layer's random state to a function of (seed, epoch, position) and of nothing else.

    Keras does not save that state; by this rule a resumed run draws the same masks as an uninterrupted one.
    """
    dropouts = [layer for layer in network.layers if isinstance(layer, keras.layers.Dropout) and layer.rate > 0]
    for position, layer in enumerate(dropouts):
        state = np.random.SeedSequence([seed, _DROPOUT, epoch, position]).generate_state(2)
        layer.seed_generator.state.assign(state.astype("uint32"))


def _draw(*key: int) -> int:
    return int(np.random.SeedSequence(key).generate_state(1)[0])


@keras.saving.register_keras_serializable(package="pipeline")
class ClippedCrossentropy(keras.losses.Loss):
    """Cross-entropy of the true class's probability, clipped to [clip, 1 - clip]: at most -log(clip) per image.

    This was Keras' loss at the time of the original, with clip 1e-7. Outside the clip its gradient is zero.
    """

    def __init__(self, clip: float, name: str = "clipped_crossentropy") -> None:
        super().__init__(name=name)
        self.clip = clip

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss (n,) for labels `y_true` (n,) or (n, 1) and probabilities `y_pred` (n, classes)."""
        truth = keras.ops.one_hot(keras.ops.reshape(y_true, (-1,)), y_pred.shape[-1], dtype=y_pred.dtype)
        probability = keras.ops.sum(truth * y_pred, axis=-1)
        return -self.log(keras.ops.clip(probability, self.clip, 1 - self.clip))

    def log(self, probability: Any) -> Any:
        """Return the natural logarithm of `probability`."""
        return keras.ops.log(probability)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that create this loss."""
        return {"clip": self.clip, "name": self.name}


def loss(params: Loss) -> keras.losses.Loss:
    """Return the loss that `params` describe; without a clip it is Keras 3's, taken from the logits and unbounded."""
    if params.clip is None:
        return keras.losses.SparseCategoricalCrossentropy()
    return ClippedCrossentropy(params.clip)
