"""The forward pass of training against Keras' own layers, and its dropout against binomial arithmetic."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from pipeline import schema
from pipeline.data.dataset import Dataset
from pipeline.params import Params
from pipeline.training import forward, networks
from pipeline.training.backend import keras, tf
from pipeline.training.settings import Sequential

POOLED = [
    {"name": "conv2d", "filters": 5, "kernel": 3, "stride": 1, "padding": "same"},
    {"name": "max_pool", "size": 3},
    {"name": "relu"},
    {"name": "conv2d", "filters": 3, "kernel": 2, "stride": 1, "padding": "valid"},
    {"name": "flatten"},
]
# A pooled convolution inside, and one whose result a shortcut needs, too.
HALVED = {"name": "max_pool", "size": 2}
RESIDUAL = [
    {"name": "residual", "layers": [POOLED[0], HALVED]},
    POOLED[0],
    {"name": "residual", "layers": [HALVED, {"name": "relu"}]},
    {"name": "flatten"},
]
LAYERS = {"sequential": POOLED, "residual": RESIDUAL}


def calm(values: Params, name: str) -> keras.Sequential:
    """Return a network without dropout, whose biases are not zero."""
    if name in LAYERS:
        network = schema.validate(Sequential, {"name": "sequential", "layers": LAYERS[name]})
    else:
        network = values.models[name].network.model_copy(update={"dropout": 0.0, "pool_dropout": 0.0})
    built = networks.build(network, (28, 28), 10, seed=0, precision="float32")
    rng = np.random.default_rng(0)
    built.set_weights([w if w.ndim > 1 else rng.normal(0, 0.1, w.shape) for w in built.get_weights()])
    return built


@pytest.mark.parametrize("name", ["cnn", "sequential", "residual"])
def test_without_dropout_it_is_keras_own_pass(values: Params, digits: Dataset, name: str) -> None:
    """A convolution that is pooled does not change the probabilities and the gradients of the layers."""
    network, images = calm(values, name), digits.train.images[:16]
    labels = digits.train.labels[:16]

    def gradients(probabilities: object) -> list[np.ndarray]:
        with tf.GradientTape() as tape:
            found = probabilities(images)  # type: ignore[operator]
            loss = keras.losses.sparse_categorical_crossentropy(labels, found)
        weights = [variable.value for variable in network.trainable_variables]
        return [np.asarray(found), *map(np.asarray, tape.gradient(loss, weights))]

    ours = gradients(lambda some: forward.forward(network, [some], [1.0])[0])
    theirs = gradients(lambda some: network(some, training=True))

    assert len(ours) == len(network.trainable_variables) + 1
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("activation", "precision", "error"),
    [
        ("linear", "float32", 1e-5),
        ("relu", "float32", 1e-5),
        ("linear", "mixed_bfloat16", 0.01),
        ("relu", "mixed_bfloat16", 0.01),
        # Others than these two are not computed together with the pooling.
        ("gelu", "float32", 1e-5),
        ("tanh", "float32", 1e-5),
    ],
)
def test_a_pooled_convolution_has_the_gradients_of_keras_in_float32(
    activation: str, precision: str, error: float
) -> None:
    """They are those of Keras' own layers, in bfloat16 too, where sums of many values must not be rounded as they grow.

    With gradients of one sign a sum kept in bfloat16 stops at the 256th value or so of these 9216.
    """
    ours, theirs = (
        keras.Sequential(
            [
                keras.Input((26, 26, 1)),
                keras.layers.Conv2D(5, 3, activation=activation, dtype=dtype),
                keras.layers.MaxPooling2D(2, dtype=dtype),
            ]
        )
        for dtype in (precision, "float32")
    )
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=variable.shape) for variable in ours.weights]
    images, upstream = rng.uniform(size=(64, 26, 26, 1)).astype("float32"), rng.uniform(size=(64, 12, 12, 5))

    def gradients(network: keras.Sequential, results: Callable[[np.ndarray], Any]) -> list[np.ndarray]:
        network.set_weights(weights)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.cast(results(images), tf.float32) * upstream.astype("float32"))
        return [np.asarray(one) for one in tape.gradient(loss, [variable.value for variable in network.weights])]

    compiled = tf.function(lambda some: forward.forward(ours, [some], [1.0])[0], autograph=False)
    for one, other in zip(gradients(ours, compiled), gradients(theirs, theirs), strict=True):
        assert np.linalg.norm(one - other) < error * np.linalg.norm(other)


def dropped_out(rate: float, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Return ones of this shape after dropout."""
    network = keras.Sequential([keras.Input(shape[1:]), keras.layers.Dropout(rate, seed=seed)])
    return np.asarray(forward.forward(network, [tf.ones(shape)], [1.0])[0])


@pytest.mark.parametrize(("rate", "true"), [(0.25, 0.25), (0.5, 0.5), (0.2, 13107 / 65536), (0.75, 0.75)])
def test_values_are_dropped_at_the_rate_and_scaled_by_it(rate: float, true: float) -> None:
    """As many values are dropped as a binomial count has, in each column too; others are divided by the share kept."""
    shape = (4000, 9, 7)
    values = dropped_out(rate, shape)
    kept = values > 0

    assert abs(true - rate) <= 2**-17
    assert set(np.unique(values)) == {np.float32(0), np.float32(1 / (1 - true))}
    assert stats.binomtest(int(kept.sum()), kept.size, 1 - true).pvalue > 1e-4
    columns = kept.reshape(4000, -1).sum(axis=0)
    spread = ((columns - 4000 * (1 - true)) ** 2).sum() / (4000 * true * (1 - true))
    assert 1e-4 < stats.chi2.cdf(spread, columns.size) < 1 - 1e-4


def test_masks_are_independent_of_each_other() -> None:
    """Neighbours, which are cut from one random word, and successive calls are dropped independently."""
    network = keras.Sequential([keras.Input((64,)), keras.layers.Dropout(0.25, seed=1)])
    first, second = (np.asarray(forward.forward(network, [tf.ones((5000, 64))], [1.0])[0]) > 0 for _ in range(2))
    pairs = [(first[:, :-1], first[:, 1:]), (first[:, :-4], first[:, 4:]), (first[:-1], first[1:]), (first, second)]

    for one, other in pairs:
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 4 / np.sqrt(one.size)


@pytest.mark.parametrize("rate", [1e-7, 1 - 1e-7])
def test_extreme_rates_keep_and_drop_finite_values(rate: float) -> None:
    """A rate near 0 drops nothing, and one near 1 neither keeps all nor divides by zero."""
    values = dropped_out(rate, (100, 10))

    assert np.isfinite(values).all()
    assert (values.mean() == 1) == (rate < 0.5)


def test_bfloat16_is_scaled_like_float32(values: Params, digits: Dataset) -> None:
    """In mixed precision the pass gives float32 probabilities close to those of float32."""
    single, mixed = (
        networks.build(values.models["cnn"].network, (28, 28), 10, seed=0, precision=precision)
        for precision in ("float32", "mixed_bfloat16")
    )
    for network in (single, mixed):
        networks.seed_dropout(network, 0, 1)
    one, other = (forward.forward(network, [digits.train.images[:50]], [1.0])[0] for network in (single, mixed))

    assert other.dtype == tf.float32
    assert np.abs(one - other).max() < 0.05
