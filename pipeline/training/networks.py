"""The networks and their loss, built from params."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.data.dataset import CLASSES, SIDE
from pipeline.params import Cnn, Loss, Mlp
from pipeline.training.backend import keras

# Streams of random numbers: initial weights and dropout never share one.
_INITIAL, _DROPOUT = 0, 1


def build(params: Mlp | Cnn, *, seed: int, precision: str) -> keras.Sequential:
    """Return the network that `params` describe, its initial weights a function of `seed`.

    It takes uint8 images (n, 28, 28) and returns float32 probabilities (n, 10). Its first layer scales to [0, 1].
    Kernels are Glorot uniform (Glorot and Bengio 2010), biases zero. A kernel's random numbers depend on its position
    among the layers with a kernel, so networks that differ only in dropout start from the same weights. Every layer is
    named: the names that Keras generates depend on what was built before.
    """
    layers = _mlp(params) if isinstance(params, Mlp) else _cnn(params)
    with_kernels = [layer for layer in layers if hasattr(layer, "kernel_initializer")]
    for position, layer in enumerate(with_kernels):
        layer.kernel_initializer = keras.initializers.GlorotUniform(seed=_draw(seed, _INITIAL, position))
    for layer in layers:
        layer.dtype_policy = keras.DTypePolicy(precision)
    layers[-1].dtype_policy = keras.DTypePolicy("float32")
    return keras.Sequential([keras.Input((SIDE, SIDE), dtype="uint8", name="images"), *layers], name=params.name)


def _mlp(params: Mlp) -> list[keras.Layer]:
    hidden: list[keras.Layer] = []
    for number, units in enumerate(params.units, start=1):
        hidden.append(keras.layers.Dense(units, activation="relu", name=f"dense_{number}"))
        hidden.append(keras.layers.Dropout(params.dropout, name=f"dropout_{number}"))
    return [_scaling(), keras.layers.Flatten(name="flatten"), *hidden, _output()]


def _cnn(params: Cnn) -> list[keras.Layer]:
    convolutions = [
        keras.layers.Conv2D(filters, params.kernel, activation="relu", name=f"convolution_{number}")
        for number, filters in enumerate(params.filters, start=1)
    ]
    return [
        _scaling(),
        keras.layers.Reshape((SIDE, SIDE, 1), name="channel"),
        *convolutions,
        keras.layers.MaxPooling2D(params.pool, name="pool"),
        keras.layers.Dropout(params.pool_dropout, name="pool_dropout"),
        keras.layers.Flatten(name="flatten"),
        keras.layers.Dense(params.units, activation="relu", name="dense"),
        keras.layers.Dropout(params.dropout, name="dropout"),
        _output(),
    ]


def _scaling() -> keras.Layer:
    return keras.layers.Rescaling(1 / 255, name="scaling")


def _output() -> keras.Layer:
    return keras.layers.Dense(CLASSES, activation="softmax", name="probabilities")


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
        return -keras.ops.log(keras.ops.clip(probability, self.clip, 1 - self.clip))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that create this loss."""
        return {"clip": self.clip, "name": self.name}


def loss(params: Loss) -> keras.losses.Loss:
    """Return the loss that `params` describe; without a clip it is Keras 3's, taken from the logits and unbounded."""
    if params.clip is None:
        return keras.losses.SparseCategoricalCrossentropy()
    return ClippedCrossentropy(params.clip)
