"""What is said of two groups of replicates: difference, chance to win, ratio, 2x2 design, verdicts over a family.

A group is one number per seed. Two groups are paired where the same positions share a seed, that is initial weights and
order of the images; groups of different networks share nothing that a seed could fix, and are compared unpaired.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations, product
from math import comb, exp, inf, sqrt
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.analysis import statistics
from pipeline.analysis.statistics import Contrast, Estimate

Group = NDArray[np.float64]
Key = TypeVar("Key")

# Up to so many arrangements a permutation test goes through all; beyond, it draws some.
EXACT = 200_000
DRAWS = 19_999
RESAMPLES = 10_000
# Two seeds leave the spread one degree of freedom, on which no verdict should rest.
LEAST_SEEDS = 3
CELLS = ((0, 0), (0, 1), (1, 0), (1, 1))


@dataclass(frozen=True)
class Comparison(Estimate):
    """The mean of the first group less that of the second: paired t, or Welch's t where the groups are independent.

    `permutation_p` is the p value of the same difference without any distribution assumed.
    """

    n_first: int
    n_second: int
    paired: bool
    permutation_p: float

    @property
    def smallest_permutation_p(self) -> float:
        """The smallest `permutation_p` that groups of these sizes can give, whatever their values."""
        arrangements = _arrangements(self.n_first, self.n_second, self.paired)
        if arrangements > EXACT:
            return 1 / (DRAWS + 1)
        # With groups of one size, exchanging them gives the same absolute difference once more.
        return (2 if self.paired or self.n_first == self.n_second else 1) / arrangements


@dataclass(frozen=True)
class Proportion:
    """A probability and its 95% interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Ratio:
    """A ratio with its 95% interval, and the two-sided p value of a ratio of 1."""

    estimate: float
    low: float
    high: float
    p_value: float


@dataclass(frozen=True)
class Factorial:
    """What two factors do: the effect of each, averaged over the other, and A's effect at b = 1 less that at b = 0."""

    main_a: Contrast
    main_b: Contrast
    interaction: Contrast


class Verdict(StrEnum):
    """What a comparison says of its first group."""

    BETTER = "better"
    WORSE = "worse"
    EQUIVALENT = "no relevant difference"
    UNDECIDED = "cannot tell"


@dataclass(frozen=True)
class Judgement:
    """A comparison as one of a family.

    `adjusted_p` is Holm's; (`low`, `high`) is the interval at `confidence`, which agrees with it (see
    statistics.simultaneous_confidences); (`narrow_low`, `narrow_high`) is the interval at 1 - 2 alpha, not adjusted.
    `within_smallest_effect` says that the latter lies strictly between -smallest_effect and +smallest_effect. A verdict
    of better or worse together with it means: there is a difference, and it is too small to matter.
    """

    comparison: Comparison
    adjusted_p: float
    confidence: float
    low: float
    high: float
    narrow_low: float
    narrow_high: float
    within_smallest_effect: bool
    verdict: Verdict


def compare(first: ArrayLike, second: ArrayLike, *, paired: bool) -> Comparison:
    """Compare the means of two groups of replicates, (n_first,) and (n_second,), in one unit.

    The permutation test flips the signs of the differences where `paired`, else it deals the values out to the groups
    anew. Its statistic is the absolute difference of the means; what differs from it by rounding alone is a tie. It is
    exact up to EXACT arrangements; beyond, DRAWS are drawn, always the same, and p is (extreme ones + 1) / (DRAWS + 1).
    Independent differences of differences are `compare(a - c, b - d, paired=False)`, where a and c share their seeds,
    and b and d theirs.
    Sources: Student, Biometrika 6 (1908) 1-25; B. L. Welch, Biometrika 34 (1947) 28-35; R. A. Fisher, The Design of
    Experiments (1935), section 21; E. J. G. Pitman, Suppl. J. R. Stat. Soc. 4 (1937) 119-130; for drawn arrangements
    B. Phipson and G. K. Smyth, Stat. Appl. Genet. Mol. Biol. 9 (2010) 39.

    Raises:
        ValueError: A group has fewer than 2 values, or one that is not finite, or paired groups differ in length.
    """
    x, y = _groups(first, second, paired)
    scale = _scale((x, y))
    t = statistics.mean_estimate(x - y, scale) if paired else _welch(x, y, scale)
    return Comparison(
        t.estimate,
        t.standard_error,
        t.degrees_of_freedom,
        n_first=len(x),
        n_second=len(y),
        paired=paired,
        permutation_p=_permutation_p(x, y, paired, statistics.ROUNDING * scale),
    )


def superiority(first: ArrayLike, second: ArrayLike, *, paired: bool, seed: int = 0) -> Proportion:
    """Return the probability that the first group's value is the higher one, ties counted one half.

    Paired, it is the share of the n positions, with Clopper and Pearson's interval; a tie makes half a success, for
    which the interval is continued between whole counts, and is then no longer guaranteed to be exact. Unpaired, it
    is the share of all n_first * n_second pairs, with the percentile bootstrap's interval from RESAMPLES resamples of
    each group, drawn with `seed`. That one is rough for few values; if one group wins every pair, no resample says
    otherwise, and the interval shrinks to the estimate, which is no certainty.
    Sources: C. J. Clopper and E. S. Pearson, Biometrika 26 (1934) 404-413; A. Vargha and H. D. Delaney, J. Educ.
    Behav. Stat. 25 (2000) 101-132; B. Efron and R. J. Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.

    Raises:
        ValueError: As for `compare`.
    """
    x, y = _groups(first, second, paired)
    wins = (np.sign(x - y if paired else x[:, None] - y) + 1) / 2
    interval = _clopper_pearson(float(wins.sum()), len(wins)) if paired else _percentiles(wins, seed)
    return Proportion(float(wins.mean()), *interval)


def ratio(first: ArrayLike, second: ArrayLike, *, paired: bool) -> Ratio:
    """Return the ratio of the groups' geometric means: the t analysis of `compare`, made of the logarithms.

    Source: J. M. Bland and D. G. Altman, BMJ 312 (1996) 1153.

    Raises:
        ValueError: A value is not above 0, or as for `compare`.
    """
    x, y = _groups(first, second, paired)
    if min(x.min(), y.min()) <= 0:
        raise ValueError(f"expected values above 0, found {min(x.min(), y.min())}")
    comparison = compare(np.log(x), np.log(y), paired=paired)
    low, high = comparison.interval()
    return Ratio(exp(comparison.estimate), exp(low), exp(high), comparison.p_value)


def factorial(cells: Mapping[tuple[int, int], ArrayLike]) -> Factorial:
    """Analyse a 2x2 design; `cells[a, b]`, (n,), are the results at levels a and b (0 or 1), the same seeds in each.

    Each effect is the mean of its per-seed contrast, in the unit of the results; the squares of their t statistics are
    the F statistics of the analysis of variance with both factors within seeds.
    Source: S. E. Maxwell and H. D. Delaney, Designing Experiments and Analyzing Data, 2nd ed. (2004), chapter 12.

    Raises:
        ValueError: The cells are not these four, have different lengths, fewer than 2 values or one that is not finite.
    """
    if set(cells) != set(CELLS):
        raise ValueError(f"expected the cells {CELLS}, found {tuple(cells)}")
    low, b_only, a_only, both = groups = [statistics.sample(cells[cell], least=2) for cell in CELLS]
    if len({len(group) for group in groups}) > 1:
        raise ValueError(f"expected equal lengths, found {[len(group) for group in groups]}")
    scale = _scale(groups)
    return Factorial(
        main_a=statistics.paired_contrast((a_only + both) / 2 - (low + b_only) / 2, scale=scale),
        main_b=statistics.paired_contrast((b_only + both) / 2 - (low + a_only) / 2, scale=scale),
        interaction=statistics.paired_contrast((both - a_only) - (b_only - low), scale=scale),
    )


def judge(
    comparisons: Mapping[Key, Comparison], smallest_effect: float, alpha: float = 0.05, family_size: int | None = None
) -> dict[Key, Judgement]:
    """Judge a family of comparisons; `smallest_effect`, in the unit of their estimates, is the least that would matter.

    The first group is better (its mean is the higher one) or worse if the p value of the t test, adjusted by Holm's
    rule for the family, is below `alpha`. Else there is no relevant difference if the interval at 1 - 2 alpha lies
    strictly within the smallest effect on both sides: two one-sided tests, each at alpha, not adjusted for the family.
    Else one cannot tell.
    `family_size` counts the comparisons that were planned, by default those given: each that could not be made has
    p = 1, so that missing evidence makes the correction no lighter.
    Sources: S. Holm, Scand. J. Stat. 6 (1979) 65-70; D. J. Schuirmann, J. Pharmacokinet. Biopharm. 15 (1987) 657-680;
    D. Lakens, Soc. Psychol. Personal. Sci. 8 (2017) 355-362.

    Raises:
        ValueError: A group has fewer than LEAST_SEEDS values, `smallest_effect` is not above 0, `alpha` not strictly
            between 0 and 0.5, or `family_size` is less than the comparisons given.
    """
    if not 0 < smallest_effect < inf:
        raise ValueError(f"expected a smallest effect above 0, found {smallest_effect}")
    if not 0 < alpha < 0.5:
        raise ValueError(f"expected alpha between 0 and 0.5, found {alpha}")
    missing = 0 if family_size is None else family_size - len(comparisons)
    if missing < 0:
        raise ValueError(f"expected a family of at least {len(comparisons)}, found {family_size}")
    for key, one in comparisons.items():
        if min(one.n_first, one.n_second) < LEAST_SEEDS:
            raise ValueError(f"{key}: expected {LEAST_SEEDS} seeds per group, found {one.n_first} and {one.n_second}")
    p_values = [one.p_value for one in comparisons.values()] + [1.0] * missing
    adjusted, confidences = statistics.holm(p_values), statistics.simultaneous_confidences(p_values, alpha)
    return {
        key: _judgement(one, p, confidence, smallest_effect, alpha)
        for (key, one), p, confidence in zip(comparisons.items(), adjusted, confidences, strict=False)
    }


def _judgement(
    one: Comparison, adjusted_p: float, confidence: float, smallest_effect: float, alpha: float
) -> Judgement:
    low, high = one.interval(confidence)
    narrow_low, narrow_high = one.interval(1 - 2 * alpha)
    within = -smallest_effect < narrow_low and narrow_high < smallest_effect
    if adjusted_p < alpha:
        verdict = Verdict.BETTER if one.estimate > 0 else Verdict.WORSE
    else:
        verdict = Verdict.EQUIVALENT if within else Verdict.UNDECIDED
    return Judgement(one, adjusted_p, confidence, low, high, narrow_low, narrow_high, within, verdict)


def _groups(first: ArrayLike, second: ArrayLike, paired: bool) -> tuple[Group, Group]:
    x, y = statistics.sample(first, least=2), statistics.sample(second, least=2)
    if paired and len(x) != len(y):
        raise ValueError(f"expected equal lengths, found {len(x)} and {len(y)}")
    return x, y


def _scale(groups: Iterable[Group]) -> float:
    return max(float(np.abs(group).max()) for group in groups)


def _welch(first: Group, second: Group, scale: float) -> Estimate:
    (mean_first, sd_first), (mean_second, sd_second) = (statistics.moments(one, scale) for one in (first, second))
    difference = mean_first - mean_second
    estimate = difference if abs(difference) > statistics.ROUNDING * scale else 0.0
    square_first, square_second = sd_first**2 / len(first), sd_second**2 / len(second)
    error = sqrt(square_first + square_second)
    if not error:
        return Estimate(estimate, 0.0, len(first) + len(second) - 2)
    share = square_first / (square_first + square_second)
    return Estimate(estimate, error, 1 / (share**2 / (len(first) - 1) + (1 - share) ** 2 / (len(second) - 1)))


def _arrangements(n_first: int, n_second: int, paired: bool) -> int:
    return 2**n_first if paired else comb(n_first + n_second, n_first)


def _permutation_p(first: Group, second: Group, paired: bool, rounding: float) -> float:
    exact = _arrangements(len(first), len(second), paired) <= EXACT
    differences = _flipped(first - second, exact) if paired else _relabelled(first, second, exact)
    extreme = int(np.sum(np.abs(differences) >= abs(first.mean() - second.mean()) - rounding))
    # Among drawn arrangements the one seen counts as well, so that p is never 0.
    return extreme / len(differences) if exact else (extreme + 1) / (len(differences) + 1)


def _flipped(differences: Group, exact: bool) -> Group:
    """Return the mean difference under each flip of signs."""
    if exact:
        sums = np.fromiter(map(sum, product(*((d, -d) for d in differences.tolist()))), dtype=np.float64)
    else:
        sums = np.random.default_rng(0).choice((-1.0, 1.0), (DRAWS, len(differences))) @ differences
    return sums / len(differences)


def _relabelled(first: Group, second: Group, exact: bool) -> Group:
    """Return the difference of the means under each choice of the values that make up the first group."""
    n, pooled = len(first), np.concatenate((first, second))
    if exact:
        sums = np.fromiter(map(sum, combinations(pooled.tolist(), n)), dtype=np.float64)
    else:
        dealt = np.random.default_rng(0).permuted(np.tile(pooled, (DRAWS, 1)), axis=1)
        sums = dealt[:, :n].sum(axis=1)
    return sums / n - (float(pooled.sum()) - sums) / len(second)


def _clopper_pearson(successes: float, n: int) -> tuple[float, float]:
    from scipy import stats

    low = float(stats.beta.ppf(0.025, successes, n - successes + 1)) if successes > 0 else 0.0
    high = float(stats.beta.isf(0.025, successes + 1, n - successes)) if successes < n else 1.0
    return low, high


def _percentiles(wins: NDArray[np.float64], seed: int) -> tuple[float, float]:
    random = np.random.default_rng(seed)
    # How often each value is drawn into a resample of its group.
    rows, columns = (random.multinomial(n, np.full(n, 1 / n), RESAMPLES) for n in wins.shape)
    low, high = np.quantile(np.sum(rows @ wins * columns, axis=1) / wins.size, (0.025, 0.975))
    return float(low), float(high)
