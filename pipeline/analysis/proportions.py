"""Proportions: confidence intervals, McNemar's test, and the non-inferiority bound of a paired difference.

A proportion is an accuracy: images that a classifier gets right, of those it was asked.
"""

from dataclasses import dataclass
from math import sqrt
from sys import float_info

import numpy as np
import scipy
from numpy.typing import NDArray

from pipeline.analysis.verdicts import Interval


@dataclass(frozen=True)
class McNemar:
    """McNemar's exact test of two classifiers on the same images.

    `only_first` and `only_second` count the discordant pairs: images that only that classifier gets right. `p_value` is
    two-sided.
    """

    only_first: int
    only_second: int
    p_value: float


def wilson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Return Wilson's score interval of a proportion, both within [0, 1].

    Source: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209-212.

    Raises:
        ValueError: `n` is not above 0, `successes` not within 0..n, or `confidence` not strictly between 0 and 1.
    """
    if n <= 0:
        raise ValueError(f"expected n above 0, found {n}")
    if not 0 <= successes <= n:
        raise ValueError(f"expected successes within 0..{n}, found {successes}")
    if not 0 < confidence < 1:
        raise ValueError(f"expected a confidence between 0 and 1, found {confidence}")
    # statsmodels takes more than a second to import.
    from statsmodels.stats.proportion import proportion_confint

    lower, upper = proportion_confint(successes, n, alpha=1 - confidence, method="wilson")
    # At the ends the limits are exactly 0 and 1, which rounding can miss.
    return Interval(float(lower) if successes else 0.0, float(upper) if successes < n else 1.0)


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> McNemar:
    """Compare two classifiers on the same images; `first` and `second`, (n,) bool, mark the correct answers of each.

    The p value is the exact binomial one: under equal error rates, each classifier wins a discordant pair with
    probability 1/2. The test compares these two fitted models, not the procedures that trained them.
    Source: Q. McNemar, Psychometrika 12 (1947) 153-157.

    Raises:
        ValueError: The arrays are not one-dimensional, not boolean, empty or of different lengths.
    """
    for array in (first, second):
        if array.ndim != 1 or array.dtype != np.bool_ or not array.size:
            raise ValueError(f"expected a boolean array (n,) with n above 0, found {array.dtype}{array.shape}")
    if len(first) != len(second):
        raise ValueError(f"expected equal lengths, found {len(first)} and {len(second)}")
    (p_value,) = mcnemar_among(np.stack((first, second)))
    return McNemar(int(np.sum(first & ~second)), int(np.sum(second & ~first)), float(p_value))


def mcnemar_among(correct: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the p value of McNemar's exact test of each two of several classifiers, (n (n - 1) / 2,).

    `correct`, (n, images), marks the correct answers of each. Of equally good ones, the share of p values below a level
    tells how often the test finds a difference that is not the classifiers' but that of their seeds.
    """
    # float32 holds the counts exactly, of up to 16 million images.
    wrong = (~correct).astype(np.float32)
    both = (wrong @ wrong.T).astype(np.float64)
    first, second = np.triu_indices(len(correct), 1)
    alone = np.diag(both)[:, None] - both
    fewer = np.minimum(alone[first, second], alone[second, first])
    discordant = alone[first, second] + alone[second, first]
    return np.asarray(np.minimum(2 * scipy.stats.binom.cdf(fewer, discordant, 0.5), 1))


def tango_lower_bound(only_first: int, only_second: int, n: int, confidence: float = 0.95) -> float:
    """Return the one-sided lower bound of accuracy(first) - accuracy(second): two classifiers on the same `n` images.

    `only_first` and `only_second` count the discordant pairs, as in McNemar; the other images enter through n alone.
    It is Tango's: the smallest difference that the score test does not reject, with the variance of the constrained
    maximum likelihood estimate at that difference. So the bound lies above -margin exactly where that test rejects a
    loss of margin or more. Wald's interval has no width where two classifiers always agree; this bound is then
    -z^2 / (n + z^2).
    Source: T. Tango, Stat. Med. 17 (1998) 891-908, equations 24 to 26.

    Raises:
        ValueError: The counts are not within 0..n, n is not above 0, or `confidence` not strictly between 0.5 and 1.
    """
    if n <= 0 or min(only_first, only_second) < 0 or only_first + only_second > n:
        raise ValueError(f"expected counts with a sum within 0..n, n above 0, found {only_first}, {only_second}, {n}")
    if not 0.5 < confidence < 1:
        raise ValueError(f"expected a confidence between 0.5 and 1, found {confidence}")
    if only_second == n:
        return -1.0
    z = float(scipy.stats.norm.ppf(confidence))

    def excess(difference: float) -> float:
        return _score(only_first, only_second, n, difference) - z

    # The score falls from infinity at a difference of -1 to 0 at the observed one.
    return float(scipy.optimize.brentq(excess, -1.0, (only_first - only_second) / n, xtol=1e-14))


def _score(only_first: int, only_second: int, n: int, difference: float) -> float:
    """Return by how many standard errors the observed difference lies above `difference`."""
    a = 2 * n
    b = (2 * n - only_first + only_second) * difference - only_first - only_second
    c = -only_second * difference * (1 - difference)
    # The likeliest probability that only the second is right. Rounding can take a discriminant of 0 below it.
    alone = (sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
    variance = n * (2 * alone + difference * (1 - difference))
    # At both ends of the range it can be 0.
    return (only_first - only_second - n * difference) / sqrt(max(variance, float_info.min))
