"""Means over seeds, against the formulas, scipy and statsmodels."""

from collections.abc import Callable
from functools import partial
from math import inf, isnan, nan, sqrt
from typing import Any

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from pipeline.analysis.means import (
    Estimate,
    SampleSummary,
    compare,
    describe,
    pseudo_values,
    rank_p,
    sum_of_means,
    superiority,
)
from pipeline.analysis.verdicts import Interval
from tests.support.samples import SIZES, grid, groups

# Groups that cannot be used, whatever is done with them.
UNUSABLE = [([0.5], [0.5, 0.6]), ([0.5, 0.6], []), ([0.5, nan], [0.5, 0.6]), ([0.5, 0.6], [inf, 0.6])]
NO_SAMPLES: list[Any] = [[], [0.5, nan], [0.5, inf], [[0.5, 0.6]], 0.5]


@pytest.mark.parametrize("n", [2, 3, 10, 41])
def test_a_summary_follows_the_formulas(n: int) -> None:
    """Mean, sd and the interval of the mean are those of statsmodels; the extremes are the sample's."""
    values = np.random.default_rng(n).normal(0.98, 0.002, n)
    oracle = DescrStatsW(values)

    low, high = oracle.tconfint_mean()
    expected = [n, values.mean(), sqrt(oracle.var_ddof(1)), values.min(), values.max()]
    found = describe(values)
    assert [found.n, found.mean, found.sd, found.smallest, found.largest] == pytest.approx(expected)
    assert found.interval == pytest.approx((low, high))


def test_a_single_value_has_no_spread() -> None:
    """One seed has a mean and no sd and no interval, rather than a spread of 0."""
    summary = describe([0.98])

    assert (summary.n, summary.mean, summary.smallest, summary.largest) == (1, 0.98, 0.98, 0.98)
    assert all(isnan(figure) for figure in (summary.sd, *summary.interval))


@pytest.mark.parametrize("value", [0.1, 0.9834, -7.3, 0.0])
def test_equal_values_have_an_interval_of_one_point(value: float) -> None:
    """Rounding in the sum of equal values is not taken for spread."""
    assert describe([value] * 3) == SampleSummary(3, value, 0.0, Interval(value, value), value, value)


def test_a_contrast_is_a_one_sample_t_test() -> None:
    """Estimate, interval and p value are those of scipy's one-sample test."""
    values = np.random.default_rng(3).normal(0.3, 1, 12)
    oracle = stats.ttest_1samp(values, 0)

    found = sum_of_means([values])

    expected = [values.mean(), oracle.pvalue, 11, values.std(ddof=1)]
    assert [found.estimate, found.p_value, found.degrees_of_freedom, found.sd] == pytest.approx(expected)
    assert found.interval() == pytest.approx(tuple(oracle.confidence_interval(0.95)))


def test_a_contrast_that_is_rounding_is_none() -> None:
    """Differences that would be 0 without rounding are 0 relative to the numbers that they were computed from."""
    values = (np.array([0.3, 0.6, 0.9]) - np.array([0.1, 0.4, 0.7])) - 0.2

    assert values.any()
    assert sum_of_means([values], scale=0.9) == Estimate(0.0, 0.0, 2)


def test_a_constant_contrast_is_certain() -> None:
    """A contrast that is the same for every seed has p = 0, unless it is 0: then p = 1."""
    for value, p_value in ((0.1, 0.0), (0.0, 1.0)):
        found = sum_of_means([[value] * 4])
        assert (found.estimate, found.interval(), found.p_value, found.sd) == (value, (value, value), p_value, 0.0)


@pytest.mark.parametrize(
    "impossible",
    [
        *(partial(describe, values) for values in NO_SAMPLES),
        *(partial(sum_of_means, [values]) for values in (*NO_SAMPLES, [0.1])),
        partial(sum_of_means, []),
        *(partial(Estimate(1.0, 1.0, 5).interval, confidence) for confidence in (0.0, 1.0, -0.5, nan)),
    ],
)
def test_what_cannot_be_is_rejected(impossible: Callable[[], Any]) -> None:
    """No value, one that is not finite, a table, a bare number, a contrast of one seed or of none: a ValueError.

    So is a confidence that no interval can have.
    """
    with pytest.raises(ValueError, match=r"expected|at least"):
        impossible()


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.9996])
@pytest.mark.parametrize("n", [2, 3, 10])
def test_a_paired_comparison_is_the_paired_t_test(n: int, confidence: float) -> None:
    """Estimate, standard error, p value and interval are those of the formula and of scipy's paired test."""
    first, second = groups(n, n)
    oracle = stats.ttest_rel(first, second)

    result = compare(first, second, paired=True)

    assert (result.n_first, result.n_second, result.paired) == (n, n, True)
    assert result.estimate == pytest.approx(first.mean() - second.mean())
    assert result.standard_error == pytest.approx(np.std(first - second, ddof=1) / sqrt(n))
    assert result.degrees_of_freedom == oracle.df == n - 1
    assert result.p_value == pytest.approx(oracle.pvalue)
    assert result.interval(confidence) == pytest.approx(oracle.confidence_interval(confidence))


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.9996])
@pytest.mark.parametrize(("n_first", "n_second"), SIZES)
def test_an_unpaired_comparison_is_welchs_t_test(n_first: int, n_second: int, confidence: float) -> None:
    """Estimate, standard error, degrees of freedom, p value and interval are those of Welch in statsmodels."""
    first, second = groups(n_first, n_second)
    oracle = CompareMeans.from_data(first, second)
    _, p_value, degrees_of_freedom = oracle.ttest_ind(usevar="unequal")

    result = compare(first, second, paired=False)

    assert (result.n_first, result.n_second, result.paired) == (n_first, n_second, False)
    assert result.estimate == pytest.approx(first.mean() - second.mean())
    assert result.standard_error == pytest.approx(oracle.std_meandiff_separatevar)
    assert result.degrees_of_freedom == pytest.approx(degrees_of_freedom)
    assert result.p_value == pytest.approx(p_value)
    assert result.interval(confidence) == pytest.approx(oracle.tconfint_diff(1 - confidence, usevar="unequal"))


@pytest.mark.parametrize("paired", [True, False])
def test_the_order_of_the_groups_is_the_sign(paired: bool) -> None:
    """Exchanging the groups turns the estimate and the interval round, and leaves both p values as they are."""
    first, second = groups(6, 6)
    one, other = compare(first, second, paired=paired), compare(second, first, paired=paired)

    low, high = other.interval()
    assert (one.estimate, one.p_value, one.permutation_p) == (-other.estimate, other.p_value, other.permutation_p)
    assert one.interval() == (-high, -low)


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize(("one", "other"), [(0.1, 0.1), (0.9834, 0.9834), (0.0, 0.0), (0.3, 0.1 + 0.2)])
def test_equal_groups_without_spread_do_not_differ(one: float, other: float, paired: bool) -> None:
    """Zero spread and means that are equal up to rounding give p = 1 and an interval that is the point 0."""
    result = compare([one] * 3, [other] * 3, paired=paired)

    assert result.degrees_of_freedom == (2 if paired else 4)
    assert (result.estimate, result.standard_error, result.p_value, result.permutation_p) == (0, 0, 1, 1)
    assert result.interval(0.999) == (0, 0)


@pytest.mark.parametrize(
    ("first", "second", "paired"),
    [
        ([0.3] * 3, [0.1] * 3, True),
        ([0.3] * 3, [0.1] * 3, False),
        ([0.9, 0.6, 0.3], [0.7, 0.4, 0.1], True),
    ],
)
def test_a_constant_difference_is_certain(first: list[float], second: list[float], paired: bool) -> None:
    """Zero spread and different means give p = 0 and an interval of one point, even where rounding hides it."""
    result = compare(first, second, paired=paired)

    assert (result.standard_error, result.p_value) == (0, 0)
    assert result.interval(0.999) == pytest.approx((0.2, 0.2))


def test_spread_in_one_group_alone_is_enough() -> None:
    """Where one group has no spread, Welch's test has the other's degrees of freedom."""
    result = compare([0.5] * 4, [0.1, 0.2, 0.4], paired=False)

    assert result.degrees_of_freedom == pytest.approx(2)
    assert result.p_value == pytest.approx(stats.ttest_1samp([0.1, 0.2, 0.4], 0.5).pvalue)


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("function", [compare, superiority])
@pytest.mark.parametrize(("first", "second"), UNUSABLE)
def test_two_groups_need_two_finite_values_each(
    function: Callable[..., Any], first: list[float], second: list[float], paired: bool
) -> None:
    """Fewer than two values and values that are not finite are a ValueError."""
    with pytest.raises(ValueError, match="expected"):
        function(first, second, paired=paired)


@pytest.mark.parametrize("function", [compare, superiority])
def test_pairs_need_equal_lengths(function: Callable[..., Any]) -> None:
    """Paired groups of different lengths are a ValueError; as independent groups they are compared."""
    with pytest.raises(ValueError, match="equal lengths"):
        function([0.5, 0.6], [0.5, 0.6, 0.8], paired=True)
    function([0.5, 0.6], [0.5, 0.6, 0.8], paired=False)


def test_a_difference_of_differences_is_a_comparison_of_contrasts() -> None:
    """Differences of two networks' seeds are compared as independent groups: the formula by hand."""
    (a, c), (b, d) = groups(6, 6, seed=1), groups(5, 5, seed=2)

    result = compare(a - c, b - d, paired=False)

    assert result.estimate == pytest.approx((a.mean() - b.mean()) - (c.mean() - d.mean()))
    assert result.standard_error**2 == pytest.approx(np.var(a - c, ddof=1) / 6 + np.var(b - d, ddof=1) / 5)


def test_superiority_counts_a_tie_as_half_a_win() -> None:
    """Paired it is the share of seeds won: here three and a tie of five."""
    assert superiority([2.0, 2.0, 0.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0, 0.0], paired=True) == pytest.approx(3.5 / 5)


@pytest.mark.parametrize(("n_first", "n_second"), SIZES)
def test_unpaired_superiority_is_mann_whitneys_share(n_first: int, n_second: int) -> None:
    """It is U / (n1 n2) with ties one half."""
    first, second = grid(n_first, n_second, seed=4)

    expected = stats.mannwhitneyu(first, second).statistic / (n_first * n_second)
    assert superiority(first, second, paired=False) == pytest.approx(expected)


def test_a_sum_of_means_has_welchs_interval() -> None:
    """One sample has the t interval of its mean, two have scipy's Welch interval, and three cover their sum."""
    random = np.random.default_rng(0)
    first, second = random.normal(3, 1, 5), random.normal(2, 2, 9)

    one, two = sum_of_means([first]), sum_of_means([first, -second])

    assert one.interval() == pytest.approx(stats.ttest_1samp(first, 0).confidence_interval())
    assert two.interval() == pytest.approx(stats.ttest_ind(first, second, equal_var=False).confidence_interval())
    sizes, sds = (4, 6, 9), (0.001, 0.003, 0.002)
    studies = [sum_of_means([random.normal(1, sd, n) for n, sd in zip(sizes, sds, strict=True)]) for _ in range(2000)]
    covered = sum(low <= 3 <= high for low, high in (study.interval() for study in studies))
    assert stats.binomtest(covered, 2000, 0.95).pvalue > 1e-3


def test_pseudo_values_are_the_jackknifes() -> None:
    """Each is n times the statistic of all rows minus n - 1 times that of the others, by leaving it out by hand."""
    rows = np.random.default_rng(0).uniform(1, 2, (7, 5))

    found = pseudo_values(rows, lambda several: np.log(several.max(axis=1) / several.min(axis=1)))

    for one, value in enumerate(found):
        whole, others = rows.mean(axis=0), np.delete(rows, one, axis=0).mean(axis=0)
        expected = 7 * np.log(whole.max() / whole.min()) - 6 * np.log(others.max() / others.min())
        assert value == pytest.approx(expected)


def test_pseudo_values_of_a_mean_are_the_rows() -> None:
    """A statistic that is linear has no bias, and each row's pseudo-value is its own value."""
    rows = np.random.default_rng(1).normal(0, 1, (6, 3))

    assert pseudo_values(rows, lambda several: several @ [1, 2, 3]) == pytest.approx(rows @ [1, 2, 3])


def test_the_standard_error_of_pseudo_values_is_the_bootstraps() -> None:
    """That of their mean is about the spread of the statistic of resampled rows, and their mean about the statistic."""
    random = np.random.default_rng(2)
    rows = random.lognormal(0, 0.3, (40, 2)) * [1.0, 2.0]

    def ratio(several: np.ndarray) -> np.ndarray:
        return several[..., 1] / several[..., 0]

    found = sum_of_means([pseudo_values(rows, ratio)])

    spread = np.std([ratio(rows[random.integers(0, 40, 40)].mean(axis=0)) for _ in range(4000)])
    assert found.standard_error == pytest.approx(spread, rel=0.1)
    assert found.estimate == pytest.approx(ratio(rows.mean(axis=0)), abs=0.3 * found.standard_error)


@pytest.mark.parametrize("n", [3, 8, 30])
@pytest.mark.parametrize("paired", [True, False])
def test_the_p_value_of_ranks_is_scipys(n: int, paired: bool) -> None:
    """It is that of Wilcoxon's signed ranks, or of Mann and Whitney's, on the values as they are."""
    first, second = np.random.default_rng(n).normal([[0.3], [0]], 1, (2, n))
    oracle = stats.wilcoxon(first, second) if paired else stats.mannwhitneyu(first, second)

    assert rank_p(first, second, paired=paired) == pytest.approx(oracle.pvalue)
    assert rank_p(second, first, paired=paired) == pytest.approx(oracle.pvalue)


def test_ranks_count_ties_of_accuracies_as_ties() -> None:
    """Differences of 3 images are equal whatever their rounding, and those of 0 count for nothing."""
    first = np.array([9834, 9811, 9902, 9790, 9866, 9913, 9847])
    second = first - [3, -3, 0, 3, -6, 9, 6]
    images = stats.wilcoxon(first - second).pvalue

    assert len({*(first / 10_000 - second / 10_000)}) > len({*(first - second)})
    assert rank_p(first / 10_000, second / 10_000, paired=True) == pytest.approx(images)


@pytest.mark.parametrize("paired", [True, False])
def test_equal_groups_have_equal_ranks(paired: bool) -> None:
    """Where no difference is above 0, nothing speaks against equal groups; what is unusable is a ValueError."""
    assert rank_p([0.1, 0.2, 0.3], [0.1, 0.2, 0.3], paired=paired) == 1
    for groups_ in UNUSABLE:
        with pytest.raises(ValueError, match="expected"):
            rank_p(*groups_, paired=paired)
