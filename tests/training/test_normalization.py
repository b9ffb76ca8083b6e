"""Batch normalization in parts against its formulas in float64."""

from typing import Any

import numpy as np
import pytest

from pipeline.training import normalization
from pipeline.training.backend import keras, tf

EDGES = [slice(0, 9), slice(9, 40), slice(40, 41)]
# The last part is one that does not count.
SHARES = [9 / 40, 31 / 40, 0.0]
GAMMA, BETA = np.array([1.0, -0.5, 2.0]), np.array([0.3, 0.0, -0.2])


@pytest.mark.parametrize("shape", [(6, 4), ()])
@pytest.mark.parametrize(("dtype", "mean", "error"), [("float32", 100, 3e-3), ("bfloat16", 0, 0.02)])
def test_parts_are_normalized_together(dtype: str, mean: float, error: float, shape: tuple[int, ...]) -> None:
    """Results, moving averages and gradients are those of the formula for all images, and of its derivative.

    In float32 the mean is many times the deviation, so that a variance from sums of squares would be wrong.
    """
    rng = np.random.default_rng(0)
    values = tf.cast(rng.normal(mean, 1.5, (41, *shape, 3)), dtype)
    weights = np.append(np.ones(40), 0).reshape(-1, *(1 for _ in shape), 1)
    upstream = tf.cast(rng.uniform(size=values.shape) * weights, dtype)
    layer = keras.layers.BatchNormalization(momentum=0.75, epsilon=1e-3)
    layer.build(values.shape)
    layer.set_weights([GAMMA, BETA, np.zeros(3), np.ones(3)])

    @tf.function(autograph=False)
    def compute() -> Any:
        with tf.GradientTape() as tape:
            tape.watch(values)
            parts = [values[edge] for edge in EDGES]
            results = tf.concat(normalization.normalize(layer, 2.0, None, None, parts, SHARES), axis=0)
        return results, *tape.gradient(results, [values, layer.gamma.value, layer.beta.value], upstream)

    found = [np.asarray(tf.cast(one, tf.float32))[:40] for one in compute()]

    x, dy = (np.asarray(tf.cast(one, tf.float64))[:40] for one in (values, upstream))
    axes = tuple(range(x.ndim - 1))
    scale = 1 / np.sqrt(x.var(axes) + 1e-3)
    normalized = (x - x.mean(axes)) * scale
    slope = GAMMA * scale * (dy - dy.mean(axes) - normalized * (dy * normalized).mean(axes))
    expected = [GAMMA * normalized + BETA, slope, (dy * normalized).sum(axes), dy.sum(axes)]
    for one, other in zip(found, expected, strict=True):
        assert np.linalg.norm(one - other) < error * np.linalg.norm(other)
    np.testing.assert_allclose(layer.moving_mean, 0.25 * (x.mean(axes) + 2), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, 0.75 + 0.25 * x.var(axes), rtol=1e-4)
