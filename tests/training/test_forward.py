"""The forward pass of training against Keras' own layers, and its dropout against binomial arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pipeline.data.dataset import Dataset
from pipeline.params import Params
from pipeline.training import forward, networks
from pipeline.training.backend import keras, tf


def dropped_out(rate: float, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Return ones of this shape after dropout."""
    network = keras.Sequential([keras.Input(shape[1:]), keras.layers.Dropout(rate, seed=seed)])
    return np.asarray(forward.training(network, tf.ones(shape)))


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
    first, second = (np.asarray(forward.training(network, tf.ones((5000, 64)))) > 0 for _ in range(2))
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
    one, other = (forward.training(network, digits.train.images[:50]) for network in (single, mixed))

    assert other.dtype == tf.float32
    assert np.abs(one - other).max() < 0.05
