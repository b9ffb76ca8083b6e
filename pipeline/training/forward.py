"""The forward pass of training: a network's layers, with a dropout that is quicker than Keras'."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pipeline.training.backend import keras, tf


def training(network: keras.Sequential, images: Any) -> Any:
    """Return the probabilities (n, classes) of uint8 `images` (n, ...), with dropout on."""
    values = images
    for layer in network.layers:
        values = _dropout(layer, values) if isinstance(layer, keras.layers.Dropout) else layer(values, training=True)
    return values


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
