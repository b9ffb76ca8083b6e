"""What one more seed may give: prediction intervals, and an upper bound of the standard deviation between seeds."""

from math import sqrt

import scipy
from numpy.typing import ArrayLike

from pipeline.analysis import means
from pipeline.analysis.verdicts import Interval

# How surely a standard deviation that is planned with lies below its bound. Source: R. H. Browne, Stat. Med. 14 (1995)
# 1933-1940, for sample sizes from a pilot study.
SPREAD_CONFIDENCE = 0.8


def prediction_interval(values: ArrayLike, confidence: float = 0.95) -> Interval:
    """Return the interval that holds the result of one more seed with probability `confidence`.

    `values`, (n,), are the results of other seeds, from the same normal distribution; the probability is over these
    seeds too. It is the mean -+ t sd sqrt(1 + 1/n) with n - 1 degrees of freedom.
    Source: G. J. Hahn and W. Q. Meeker, Statistical Intervals (1991), chapter 4.

    Raises:
        ValueError: There are fewer than 2 values, one is not finite, or `confidence` is not strictly between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"expected a confidence between 0 and 1, found {confidence}")
    summary = means.describe(values)
    if summary.n < 2:
        raise ValueError("expected at least 2 values, found 1")
    half = float(scipy.stats.t.isf((1 - confidence) / 2, summary.n - 1)) * summary.sd * sqrt(1 + 1 / summary.n)
    return Interval(summary.mean - half, summary.mean + half)


def sd_upper_bound(sd: float, degrees_of_freedom: float, confidence: float = SPREAD_CONFIDENCE) -> float:
    """Return the one-sided upper confidence bound of a standard deviation, in its unit, for normal values.

    Source: G. J. Hahn and W. Q. Meeker, Statistical Intervals (1991), chapter 4.

    Raises:
        ValueError: `sd` is below 0, `degrees_of_freedom` not above 0, or `confidence` not strictly between 0 and 1.
    """
    if not (sd >= 0 and degrees_of_freedom > 0 and 0 < confidence < 1):
        found = f"{sd}, {degrees_of_freedom}, {confidence}"
        raise ValueError(f"expected a spread, degrees of freedom and a confidence between 0 and 1, found {found}")
    return float(sd * sqrt(degrees_of_freedom / scipy.stats.chi2.ppf(1 - confidence, degrees_of_freedom)))
