"""Intervals of a mean difference that hold at every look: values may be added until the answer is sure enough.

An ordinary interval is wrong in 5% of all cases if one looks once. Whoever looks after every value, and stops as soon
as the interval says something, is wrong several times as often.
"""

from dataclasses import dataclass
from math import inf, isinf, sqrt
from typing import overload

import numpy as np
import scipy
from numpy.typing import NDArray

from pipeline.analysis.means import Estimate
from pipeline.analysis.verdicts import Interval

Floats = NDArray[np.float64]

# The variance that a true difference has beforehand, in units of the variance of the values. Any is valid; with this
# one an interval is finite from 5 values on, and differences of about one standard deviation are decided soonest.
_PRIOR = 1.0


@dataclass(frozen=True)
class SequentialEstimate:
    """A mean difference over seeds with the standard errors of what is a sample in it, all in one unit.

    `over_seeds` has the standard error of more seeds, which shrinks with their number. `image_error` is that of other
    images, which more seeds cannot change: None where nothing is known of it, so that all is about these images alone.
    `same`: the results are known to be the same to the last bit, so that no chance is left. No spread does not say so.
    """

    over_seeds: Estimate
    image_error: float | None = None
    same: bool = False

    def interval(self, confidence: float = 0.95) -> Interval:
        """Return the interval for other seeds and other images, valid at every look.

        The two half-widths are added as variances are. That of the images, looked at once, has half the probability of
        error: simulations, which the tests repeat, then find the joint one below 1 - `confidence`.

        Raises:
            ValueError: `confidence` is not strictly between 0 and 1.
        """
        half = sqrt(self._half_of_seeds(confidence) ** 2 + self._half_of_images(confidence) ** 2)
        return self._around(half)

    def interval_of_seeds(self, confidence: float = 0.95) -> Interval:
        """Return the interval for other seeds on these very images, valid at every look."""
        return self._around(self._half_of_seeds(confidence))

    def interval_of_images(self, confidence: float = 0.95) -> Interval:
        """Return the interval that is left when any number of seeds has been trained."""
        return self._around(self._half_of_images(confidence))

    def _half_of_seeds(self, confidence: float) -> float:
        if not 0 < confidence < 1:
            raise ValueError(f"expected a confidence between 0 and 1, found {confidence}")
        multiple = factor(self.over_seeds.degrees_of_freedom + 1, confidence)
        return 0.0 if self.same else inf if isinf(multiple) else multiple * self.over_seeds.standard_error

    def _half_of_images(self, confidence: float) -> float:
        if not self.image_error:
            return 0.0
        return float(scipy.stats.t.isf((1 - confidence) / 4, self.over_seeds.degrees_of_freedom)) * self.image_error

    def _around(self, half: float) -> Interval:
        return Interval(self.over_seeds.estimate - half, self.over_seeds.estimate + half)


@overload
def factor(n: float, confidence: float) -> float: ...
@overload
def factor(n: Floats, confidence: float) -> Floats: ...
def factor(n: float | Floats, confidence: float) -> float | Floats:
    """Return by which multiple of its standard error a mean of `n` values has its interval; infinite below 5.

    It replaces the quantile of Student's t. The probability that the intervals of any number of looks all contain the
    true mean is at least `confidence` for normal values of unknown variance: the interval has those means against which
    the Bayes factor of the t test is below 1 / (1 - confidence), and that factor is a martingale of mean 1.
    Sources: T. L. Lai, Ann. Statist. 4 (1976) 265-280; H. Wang and A. Ramdas, Sequential Analysis 44 (2025) 56-110.
    """
    size = np.asarray(n, np.float64)
    shrinkage = 1 + _PRIOR * size
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        power = (np.sqrt(shrinkage) / (1 - confidence)) ** (2 / size)
        squared = (size - 1) * (power - 1) / (1 - power / shrinkage)
        result = np.where((size >= 2) & (power < shrinkage), np.sqrt(squared), np.inf)
    return result if np.ndim(n) else float(result)


def split_error(sd: float, held_out: int, trained: int) -> float:
    """Return the standard error from the images where each seed holds out others of the same set.

    `sd` is the standard deviation of the differences over seeds. Their training images overlap, so they are no
    independent samples: with J seeds the variance of the mean is (1/J + held_out/trained) times theirs, and this is the
    root of the second part.
    Source: C. Nadeau and Y. Bengio, Machine Learning 52 (2003) 239-281.
    """
    return sd * sqrt(held_out / trained)
