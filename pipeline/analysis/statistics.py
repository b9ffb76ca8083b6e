"""What is said of one sample or one table: intervals, t estimates, McNemar's test, Holm's rule, epochs to a target.

A sample is one number per seed or per image; what is said of two samples stands in comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, nan, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

# statsmodels and scipy take more than a second to import, so each function imports the part it needs.

# A spread or difference below this share of the numbers that it comes from is their rounding: 0.3 - 0.2 is not 0.1.
ROUNDING = 1e-12


@dataclass(frozen=True)
class McNemar:
    """How many images only one of two classifiers gets right, and the exact two-sided p value of that difference."""

    only_first: int
    only_second: int
    p_value: float


@dataclass(frozen=True)
class Estimate:
    """An estimate and its standard error, both in the unit of the values, whose ratio follows Student's t.

    Source: Student, Biometrika 6 (1908) 1-25.
    """

    estimate: float
    standard_error: float
    degrees_of_freedom: float

    @property
    def p_value(self) -> float:
        """The two-sided p value of a true value of 0; without any spread it is 1 for an estimate of 0, else 0."""
        if not self.standard_error:
            return 0.0 if self.estimate else 1.0
        from scipy import stats

        return float(2 * stats.t.sf(abs(self.estimate) / self.standard_error, self.degrees_of_freedom))

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return the two-sided t interval (low, high); without any spread both are the estimate.

        Raises:
            ValueError: `confidence` is not strictly between 0 and 1.
        """
        if not 0 < confidence < 1:
            raise ValueError(f"expected a confidence between 0 and 1, found {confidence}")
        from scipy import stats

        half = float(stats.t.isf((1 - confidence) / 2, self.degrees_of_freedom)) * self.standard_error
        return self.estimate - half, self.estimate + half


@dataclass(frozen=True)
class Summary:
    """A sample in numbers: `sd` divides by n - 1, `low` and `high` are the 95% t interval of the mean.

    A single value tells nothing of spread, so these three are then NaN.
    """

    n: int
    mean: float
    sd: float
    low: float
    high: float
    smallest: float
    largest: float


@dataclass(frozen=True)
class Contrast:
    """The mean of a contrast over `n` seeds with its 95% t interval, and the two-sided p value of a mean of 0."""

    estimate: float
    low: float
    high: float
    p_value: float
    n: int


@dataclass(frozen=True)
class Convergence:
    """The first epoch, counted from 1, at which each of `n` seeds reached a target; None where none of its epochs did.

    `median`, `smallest` and `largest` count such a seed as later than every epoch, and are None where it decides them.
    """

    epochs: tuple[int | None, ...]
    n: int
    reached: int
    median: float | None
    smallest: int | None
    largest: int | None


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the score interval (lower, upper) of a proportion, both within [0, 1].

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
    from statsmodels.stats.proportion import proportion_confint

    lower, upper = proportion_confint(successes, n, alpha=1 - confidence, method="wilson")
    # At the ends the limits are exactly 0 and 1, which rounding can miss.
    return float(lower) if successes else 0.0, float(upper) if successes < n else 1.0


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> McNemar:
    """Compare two classifiers on the same images; `first` and `second`, (n,) bool, say which images each gets right.

    The p value is the exact binomial one: under equal error rates, an image that one classifier alone gets right is the
    first's or the second's with probability 1/2 each. It speaks of these two fitted models only.
    Source: Q. McNemar, Psychometrika 12 (1947) 153-157.

    Raises:
        ValueError: The arrays are not one-dimensional, not boolean, empty or of different lengths.
    """
    for array in (first, second):
        if array.ndim != 1 or array.dtype != np.bool_ or not array.size:
            raise ValueError(f"expected a boolean array (n,) with n above 0, found {array.dtype}{array.shape}")
    if len(first) != len(second):
        raise ValueError(f"expected equal lengths, found {len(first)} and {len(second)}")
    from statsmodels.stats.contingency_tables import mcnemar as exact_test

    only_first, only_second = int(np.sum(first & ~second)), int(np.sum(second & ~first))
    table = [[int(np.sum(first & second)), only_first], [only_second, int(np.sum(~first & ~second))]]
    return McNemar(only_first, only_second, float(exact_test(table, exact=True).pvalue))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p values adjusted for their number by Holm's step-down rule, in the order given.

    Source: S. Holm, Scand. J. Stat. 6 (1979) 65-70.

    Raises:
        ValueError: A p value is not within [0, 1].
    """
    if not all(0 <= p <= 1 for p in p_values):
        raise ValueError(f"expected p values within [0, 1], found {list(p_values)}")
    from statsmodels.stats.multitest import multipletests

    return [float(p) for p in multipletests(p_values, method="holm")[1]]


def simultaneous_confidences(p_values: Sequence[float], alpha: float = 0.05) -> list[float]:
    """Return, in the order given, the confidence at which each test's interval agrees with Holm's verdict at `alpha`.

    It is 1 - alpha / k, where k is the number of tests that Holm's rule has not rejected before it comes to this one;
    all that it does not reject at all share the last k. Equal p values are taken in the order given. An interval that
    belongs to its test, such as the t interval to the t test, then excludes 0 exactly where the adjusted p value is
    below alpha. That is all these intervals promise. Their confidences are chosen after seeing the p values, so that
    all of them cover together with probability 1 - alpha is not proven: Bonferroni's, all with k = len(p_values), do.
    Sources: R. C. Serlin, J. Exp. Educ. 61 (1993) 350-360; for Hochberg's rule instead of Holm's, J. T. Efird and
    S. S. Nielsen, Int. J. Environ. Res. Public Health 5 (2008) 394-398.

    Raises:
        ValueError: A p value is not within [0, 1], or `alpha` not strictly between 0 and 1.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"expected alpha between 0 and 1, found {alpha}")
    rejected = sum(p < alpha for p in holm(p_values))
    confidences = [nan] * len(p_values)
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        confidences[index] = 1 - alpha / (len(p_values) - min(rank, rejected))
    return confidences


def sample(values: ArrayLike, least: int = 1) -> NDArray[np.float64]:
    """Return `values` as float64, (n,), once they are finite and at least `least`.

    Raises:
        ValueError: They are not.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) < least:
        raise ValueError(f"expected at least {least} values (n,), found shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"expected finite values, found {array[~np.isfinite(array)].tolist()}")
    return array


def moments(values: NDArray[np.float64], scale: float) -> tuple[float, float]:
    """Return mean and standard deviation (divided by n - 1) of `values`, (n,) with n above 1, in their unit.

    `scale` is the largest magnitude among the numbers that the values were computed from: what is rounding beside it
    is returned as 0.
    """
    # A rounded sum can put the mean of equal values beside them.
    mean = float(np.clip(values.mean(), values.min(), values.max()))
    sd = float(values.std(ddof=1))
    return (mean if abs(mean) > ROUNDING * scale else 0.0), (sd if sd > ROUNDING * scale else 0.0)


def mean_estimate(values: NDArray[np.float64], scale: float) -> Estimate:
    """Return the mean of `values`, (n,) with n above 1, as an estimate; `scale` as for `moments`."""
    mean, sd = moments(values, scale)
    return Estimate(mean, sd / sqrt(len(values)), len(values) - 1)


def describe(values: ArrayLike) -> Summary:
    """Return the summary of `values`, (n,), in their unit.

    Source: Student, Biometrika 6 (1908) 1-25.

    Raises:
        ValueError: There is no value, or one is not finite.
    """
    array = sample(values)
    smallest, largest = float(array.min()), float(array.max())
    if len(array) == 1:
        return Summary(1, smallest, nan, nan, nan, smallest, largest)
    mean, sd = moments(array, max(abs(smallest), abs(largest)))
    low, high = Estimate(mean, sd / sqrt(len(array)), len(array) - 1).interval()
    return Summary(len(array), mean, sd, low, high, smallest, largest)


def paired_contrast(values: ArrayLike, *, scale: float | None = None) -> Contrast:
    """Test whether a contrast, computed seed by seed, is 0 on average: the one-sample t test of `values`, (n,).

    It holds for any weighted sum of results that share a seed: a difference, a difference of differences. `scale` is
    the largest magnitude among these results, beside which rounding counts as 0; by default that among `values`.
    Source: Student, Biometrika 6 (1908) 1-25.

    Raises:
        ValueError: There are fewer than 2 values, or one is not finite.
    """
    array = sample(values, least=2)
    estimate = mean_estimate(array, float(np.abs(array).max()) if scale is None else scale)
    low, high = estimate.interval()
    return Contrast(estimate.estimate, low, high, estimate.p_value, len(array))


def epochs_to(histories: ArrayLike, target: float) -> Convergence:
    """Return when each seed first reaches `target`; `histories`, (seeds, epochs), hold a score, the higher the better.

    All seeds have the same number of epochs, so those that do not reach the target are censored at the same time, and
    the order of the others is known without a model. A score that falls below the target again does not count.
    Source: J. F. Lawless, Statistical Models and Methods for Lifetime Data, 2nd ed. (2003), chapter 2.

    Raises:
        ValueError: There is no seed or no epoch, the seeds have different numbers of epochs, or a number is not finite.
    """
    scores = np.asarray(histories, dtype=np.float64)
    if scores.ndim != 2 or not scores.size:
        raise ValueError(f"expected scores (seeds, epochs), found shape {scores.shape}")
    if not np.isfinite([*scores.flat, target]).all():
        raise ValueError("expected finite scores and a finite target")
    hits = scores >= target
    first = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, inf)

    def known(epoch: float) -> int | None:
        return int(epoch) if epoch < inf else None

    median = float(np.median(first))
    return Convergence(
        epochs=tuple(known(epoch) for epoch in first),
        n=len(first),
        reached=int(np.isfinite(first).sum()),
        median=median if median < inf else None,
        smallest=known(first.min()),
        largest=known(first.max()),
    )
