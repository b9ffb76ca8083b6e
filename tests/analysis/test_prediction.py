"""What one more seed may give, against statsmodels' regression, scipy's chi-square distribution and simulation."""

from collections.abc import Callable
from functools import partial
from math import nan
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from pipeline.analysis.prediction import prediction_interval, sd_upper_bound


@pytest.mark.parametrize("confidence", [0.5, 0.95])
@pytest.mark.parametrize("n", [2, 5, 10])
def test_the_interval_is_that_of_a_regression_on_a_constant(n: int, confidence: float) -> None:
    """It is the interval of one more observation of statsmodels' regression on a constant."""
    values = np.random.default_rng(n).normal(0.98, 0.001, n)
    fitted = sm.OLS(values, np.ones(n)).fit().get_prediction([[1.0]])
    expected = fitted.conf_int(obs=True, alpha=1 - confidence)[0]

    assert prediction_interval(values, confidence) == pytest.approx(tuple(expected))


def test_one_more_seed_lies_within_as_often_as_stated() -> None:
    """Of many studies with five seeds, the sixth lies within in the stated share."""
    values = np.random.default_rng(0).normal(0, 1, (1000, 6))

    inside = [low <= more <= high for *seeds, more in values for low, high in [prediction_interval(seeds, 0.8)]]

    assert np.mean(inside) == pytest.approx(0.8, abs=0.04)


def test_equal_values_predict_themselves() -> None:
    """Without any spread the interval is the value itself."""
    assert prediction_interval([0.3, 0.3, 0.3]) == (0.3, 0.3)


@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("freedom", [1, 4, 9.5])
def test_at_the_bound_a_spread_as_small_as_the_observed_one_is_rare(freedom: float, confidence: float) -> None:
    """If the true standard deviation were the bound, the observed one or less would have probability 1 - confidence."""
    bound = sd_upper_bound(0.3, freedom, confidence)

    assert stats.chi2.cdf(freedom * 0.3**2 / bound**2, freedom) == pytest.approx(1 - confidence)


def test_the_bound_is_above_the_true_spread_as_often_as_stated() -> None:
    """Of many samples, the stated share has a bound above the true standard deviation."""
    samples = np.random.default_rng(0).normal(0, 2, (1000, 5)).std(axis=1, ddof=1)

    assert np.mean([sd_upper_bound(sd, 4, 0.8) >= 2 for sd in samples]) == pytest.approx(0.8, abs=0.04)


def test_no_spread_has_no_bound_above_it() -> None:
    """Equal results are bounded by 0."""
    assert sd_upper_bound(0.0, 4) == 0


@pytest.mark.parametrize(
    "impossible",
    [
        *(partial(prediction_interval, values, 0.9) for values in ([], [1.0], [1.0, nan])),
        *(partial(prediction_interval, [1, 2], confidence) for confidence in (0, 1)),
        *(partial(sd_upper_bound, sd, 4, 0.8) for sd in (-1.0, nan)),
        partial(sd_upper_bound, 1.0, 0, 0.8),
        *(partial(sd_upper_bound, 1.0, 4, confidence) for confidence in (0.0, 1.0)),
    ],
)
def test_what_cannot_be_is_rejected(impossible: Callable[[], Any]) -> None:
    """A single value, one that is not finite, a negative spread, no degrees of freedom: each is a ValueError.

    So is an impossible confidence.
    """
    with pytest.raises(ValueError, match="expected"):
        impossible()
