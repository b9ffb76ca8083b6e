"""Means over seeds: t intervals, sums and differences of means, probability of superiority.

A group is one number per seed. Two groups are paired if the same positions share a seed, that is initial weights and
order of the images; groups of different networks have nothing in common that a seed could fix, and are compared
unpaired.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import nan, sqrt

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from pipeline.analysis import permutation
from pipeline.analysis.verdicts import Interval

Floats = NDArray[np.float64]

# A spread or difference below this share of the numbers that it comes from is their rounding: 0.3 - 0.2 is not 0.1.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Estimate:
    """An estimate and its standard error, both in the unit of the values; their ratio follows Student's t.

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
        return float(2 * scipy.stats.t.sf(abs(self.estimate) / self.standard_error, self.degrees_of_freedom))

    @property
    def sd(self) -> float:
        """The standard deviation of the values, where the estimate is the mean of one sample."""
        return self.standard_error * sqrt(self.degrees_of_freedom + 1)

    def interval(self, confidence: float = 0.95) -> Interval:
        """Return the two-sided t interval; without any spread both ends are the estimate.

        Raises:
            ValueError: `confidence` is not strictly between 0 and 1.
        """
        if not 0 < confidence < 1:
            raise ValueError(f"expected a confidence between 0 and 1, found {confidence}")
        half = float(scipy.stats.t.isf((1 - confidence) / 2, self.degrees_of_freedom)) * self.standard_error
        return Interval(self.estimate - half, self.estimate + half)


@dataclass(frozen=True)
class SampleSummary:
    """Descriptive statistics of a sample: `sd` divides by n - 1, `interval` is the 95% t interval of the mean.

    A single value has no measurable spread, so these are then NaN.
    """

    n: int
    mean: float
    sd: float
    interval: Interval
    smallest: float
    largest: float


@dataclass(frozen=True)
class Comparison(Estimate):
    """The mean of the first group minus that of the second: paired t, or Welch's t if the groups are independent.

    `permutation_p` is the p value of the same difference without an assumed distribution.
    """

    n_first: int
    n_second: int
    paired: bool
    permutation_p: float

    @property
    def smallest_permutation_p(self) -> float:
        """The smallest `permutation_p` that groups of these sizes can give, whatever their values."""
        return permutation.smallest_p(self.n_first, self.n_second, self.paired)


def describe(values: ArrayLike) -> SampleSummary:
    """Return the summary of `values`, (n,), in their unit.

    Source: Student, Biometrika 6 (1908) 1-25.

    Raises:
        ValueError: There is no value, or one is not finite.
    """
    array = _sample(values)
    smallest, largest = float(array.min()), float(array.max())
    if len(array) == 1:
        return SampleSummary(1, smallest, nan, Interval(nan, nan), smallest, largest)
    mean, sd = _moments(array, _scale([array]))
    interval = Estimate(mean, sd / sqrt(len(array)), len(array) - 1).interval()
    return SampleSummary(len(array), mean, sd, interval, smallest, largest)


def sum_of_means(samples: Sequence[ArrayLike], *, scale: float | None = None) -> Estimate:
    """Return the sum of the means of independent samples, each (n,), in their unit.

    A sample may hold a contrast computed seed by seed, that is any weighted sum of results that share a seed; alone, it
    has the one-sample t test of a mean of 0. A difference of samples is the sum with the negative of the second one.
    `scale` is the largest magnitude among the results, relative to which rounding counts as 0; by default that of the
    samples.
    Sources: Student, Biometrika 6 (1908) 1-25; B. L. Welch, Biometrika 34 (1947) 28-35; F. E. Satterthwaite, Biometrics
    Bulletin 2 (1946) 110-114.

    Raises:
        ValueError: There is no sample, or one has fewer than 2 values, or one that is not finite.
    """
    if not samples:
        raise ValueError("expected at least one sample")
    arrays = [_sample(values, least=2) for values in samples]
    return _sum(arrays, _scale(arrays) if scale is None else scale)


def pseudo_values(rows: Floats, statistic: Callable[[Floats], Floats]) -> Floats:
    """Return the jackknife's pseudo-values, (n,), of a statistic of the mean of `rows`, (n, m) with n above 1.

    `statistic` takes several such means, (k, m), and gives a value for each, (k,).
    Their mean is the statistic without its bias of order 1/n, and t intervals and contrasts of them are those of the
    statistic.
    Sources: J. W. Tukey, Ann. Math. Stat. 29 (1958) 614; R. G. Miller, Biometrika 61 (1974) 1-15.
    """
    n, total = len(rows), rows.sum(axis=0)
    return np.asarray(n * statistic(total[None] / n) - (n - 1) * statistic((total - rows) / (n - 1)))


def rank_p(first: ArrayLike, second: ArrayLike, *, paired: bool) -> float:
    """Return the two-sided p value of Wilcoxon's signed ranks, or of Mann and Whitney's ranks if not `paired`.

    One outlier weighs in them no more than any other value.
    Sources: F. Wilcoxon, Biometrics Bulletin 1 (1945) 80-83; H. B. Mann and D. R. Whitney, Ann. Math. Stat. 18 (1947)
    50-60.

    Raises:
        ValueError: As for `compare`.
    """
    x, y = _groups(first, second, paired)
    if not paired:
        return float(scipy.stats.mannwhitneyu(x, y).pvalue)
    # The same accuracies differ by their rounding.
    differences = np.round(x - y, 12)
    return float(scipy.stats.wilcoxon(differences).pvalue) if differences.any() else 1.0


def compare(first: ArrayLike, second: ArrayLike, *, paired: bool) -> Comparison:
    """Compare the means of two groups of replicates, (n_first,) and (n_second,), in one unit.

    Independent differences of differences are `compare(a - c, b - d, paired=False)`, where a and c share their seeds,
    and b and d theirs.
    Sources: Student, Biometrika 6 (1908) 1-25; B. L. Welch, Biometrika 34 (1947) 28-35; the permutation test's are in
    that module.

    Raises:
        ValueError: A group has fewer than 2 values, or one that is not finite, or paired groups differ in length.
    """
    x, y = _groups(first, second, paired)
    scale = _scale((x, y))
    t = _mean(x - y, scale) if paired else _sum([x, -y], scale)
    return Comparison(
        **vars(t),
        n_first=len(x),
        n_second=len(y),
        paired=paired,
        permutation_p=permutation.p_value(x, y, paired, ROUNDING * scale),
    )


def superiority(first: ArrayLike, second: ArrayLike, *, paired: bool) -> float:
    """Return the probability of superiority: that the first group's value is the higher one, ties counted one half.

    Paired, it is the share of the n seeds; unpaired, the share of all n_first * n_second pairs.
    Source: A. Vargha and H. D. Delaney, J. Educ. Behav. Stat. 25 (2000) 101-132.

    Raises:
        ValueError: As for `compare`.
    """
    x, y = _groups(first, second, paired)
    return float((np.sign(x - y if paired else x[:, None] - y).mean() + 1) / 2)


def _sample(values: ArrayLike, least: int = 1) -> Floats:
    """Return `values` as float64, (n,), if they are finite and at least `least`."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) < least:
        raise ValueError(f"expected at least {least} values (n,), found shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"expected finite values, found {array[~np.isfinite(array)].tolist()}")
    return array


def _groups(first: ArrayLike, second: ArrayLike, paired: bool) -> tuple[Floats, Floats]:
    x, y = _sample(first, least=2), _sample(second, least=2)
    if paired and len(x) != len(y):
        raise ValueError(f"expected equal lengths, found {len(x)} and {len(y)}")
    return x, y


def _scale(groups: Iterable[Floats]) -> float:
    return max(float(np.abs(group).max()) for group in groups)


def _moments(values: Floats, scale: float) -> tuple[float, float]:
    """Return mean and standard deviation (divided by n - 1) of `values`, (n,) with n above 1, in their unit.

    `scale` is the largest magnitude among the numbers that the values were computed from; a result that is rounding
    relative to it is returned as 0.
    """
    # A rounded sum can put the mean of equal values outside their range.
    mean = float(np.clip(values.mean(), values.min(), values.max()))
    sd = float(values.std(ddof=1))
    return (mean if abs(mean) > ROUNDING * scale else 0.0), (sd if sd > ROUNDING * scale else 0.0)


def _mean(values: Floats, scale: float) -> Estimate:
    mean, sd = _moments(values, scale)
    return Estimate(mean, sd / sqrt(len(values)), len(values) - 1)


def _sum(samples: Sequence[Floats], scale: float) -> Estimate:
    if len(samples) == 1:
        return _mean(samples[0], scale)
    means, sds = zip(*(_moments(sample, scale) for sample in samples), strict=True)
    total, sizes = sum(means), [len(sample) for sample in samples]
    squares = [sd**2 / n for sd, n in zip(sds, sizes, strict=True)]
    error, estimate = sqrt(sum(squares)), total if abs(total) > ROUNDING * scale else 0.0
    if not error:
        return Estimate(estimate, 0.0, sum(sizes) - len(sizes))
    shares = [square / sum(squares) for square in squares]
    return Estimate(estimate, error, 1 / sum(share**2 / (n - 1) for share, n in zip(shares, sizes, strict=True)))
