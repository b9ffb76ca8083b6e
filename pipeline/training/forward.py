"""The forward pass of training: a network's layers, two things of which are computed in a quicker way than by Keras."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pipeline.training.backend import keras, tf


def training(network: keras.Sequential, images: Any) -> Any:
    """Return the probabilities (n, classes) of uint8 `images` (n, ...), with dropout on."""
    values, layers = images, [*network.layers]
    while layers:
        layer = layers.pop(0)
        if isinstance(layer, keras.layers.Dropout):
            values = _dropout(layer, values)
        elif isinstance(layer, keras.layers.Conv2D) and layers and isinstance(layers[0], keras.layers.MaxPooling2D):
            values = _pooled_convolution(layer, layers.pop(0), values)
        else:
            values = layer(values, training=True)
    return values


def _pooled_convolution(convolution: keras.layers.Conv2D, pool: keras.layers.MaxPooling2D, values: Any) -> Any:
    """Return pool(activation(convolution + bias)) as activation(pool(convolution) + bias): the same, on fewer values.

    ReLU and adding a bias do not change which of several values is the largest. In the backward pass there are fewer
    values too: summing those of the whole convolution for the bias takes oneDNN a sixth of the kernel's gradient.
    """
    kernel, bias = (tf.cast(variable, values.dtype) for variable in (convolution.kernel, convolution.bias))
    return convolution.activation(tf.nn.bias_add(pool(convolution.convolution_op(values, kernel)), bias))


def _dropout(layer: keras.layers.Dropout, values: Any) -> Any:
    """Return float `values` (n, ...) with dropout of the layer's rate, from 8 or 16 random bits per value.

    8 are exact where the rate is a multiple of 1/256. With 16 it is the multiple of 1/65536 next to the given rate,
    0.19999695 for 0.2. What is kept is divided by the share that this rate keeps, so its mean is exactly the input.
    Keras draws a float for each value, from 32 bits: that takes longer than all else in dropout.
    """
    if layer.rate == 0:
        return values
    bits = 8 if (256 * layer.rate).is_integer() else 16
    dropped = min(round(2**bits * layer.rate), 2**bits - 1)
    drawn = _random(bits, tf.shape(values)[0], values.shape[1:], layer.seed_generator.next())
    return values * (tf.cast(drawn >= dropped, values.dtype) * (2**bits / (2**bits - dropped)))


def _random(bits: int, count: Any, shape: Sequence[int], seed: Any) -> Any:
    """Return random integers (count, *shape) of 8 or 16 bits, cut from words of 32: a function of `seed` (2,)."""
    values, per_word = math.prod(shape), 32 // bits
    words = math.ceil(values / per_word)
    drawn = tf.random.stateless_uniform((count, words), seed, None, None, tf.uint32)
    pieces = tf.reshape(tf.bitcast(drawn, tf.as_dtype(f"uint{bits}")), (count, words * per_word))
    return tf.reshape(pieces[:, :values], (count, *shape))
