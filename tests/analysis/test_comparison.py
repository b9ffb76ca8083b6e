from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from itertools import combinations, product
from math import comb, inf, nan, sqrt
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats
from statsmodels.stats.anova import AnovaRM
from statsmodels.stats.weightstats import CompareMeans, ttost_ind, ttost_paired

from pipeline.analysis import comparison
from pipeline.analysis.comparison import Comparison, Proportion, Verdict, compare, factorial, judge, ratio, superiority
from pipeline.analysis.statistics import holm

SIZES = [(2, 2), (3, 3), (2, 5), (6, 4), (10, 5), (7, 7)]
# Bad groups, whatever is done with them.
UNUSABLE = [([0.5], [0.5, 0.6]), ([0.5, 0.6], []), ([0.5, nan], [0.5, 0.6]), ([0.5, 0.6], [inf, 0.6])]


def groups(n_first: int, n_second: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return two random groups of accuracies with different means and spreads."""
    random = np.random.default_rng(seed)
    return random.normal(0.983, 0.001, n_first), random.normal(0.982, 0.003, n_second)


def grid(n_first: int, n_second: int, seed: int) -> tuple[list[int], list[int]]:
    """Return two random groups of right answers, of few different numbers, so that their statistics tie often."""
    random = np.random.default_rng(seed)
    return random.integers(9800, 9806, n_first).tolist(), random.integers(9800, 9805, n_second).tolist()


def sign_flip_p(first: list[int], second: list[int]) -> float:
    """Go through all signs of the differences, in whole numbers."""
    differences = [a - b for a, b in zip(first, second, strict=True)]
    sums = [abs(sum(flipped)) for flipped in product(*((d, -d) for d in differences))]
    return sum(one >= abs(sum(differences)) for one in sums) / len(sums)


def relabelling_p(first: list[int], second: list[int]) -> float:
    """Go through all ways to deal the values out to the groups, in fractions."""
    pooled, n = first + second, len(first)

    def statistic(chosen: tuple[int, ...]) -> Fraction:
        one = sum(pooled[index] for index in chosen)
        return abs(Fraction(one, n) - Fraction(sum(pooled) - one, len(second)))

    seen = statistic(tuple(range(n)))
    every = [statistic(chosen) >= seen for chosen in combinations(range(len(pooled)), n)]
    return sum(every) / len(every)


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
@pytest.mark.parametrize("function", [compare, superiority, ratio])
@pytest.mark.parametrize(("first", "second"), UNUSABLE)
def test_two_groups_need_two_finite_values_each(
    function: Callable[..., Any], first: list[float], second: list[float], paired: bool
) -> None:
    """Fewer than two values and values that are not finite are a ValueError."""
    with pytest.raises(ValueError, match="expected"):
        function(first, second, paired=paired)


@pytest.mark.parametrize("function", [compare, superiority, ratio])
def test_pairs_need_equal_lengths(function: Callable[..., Any]) -> None:
    """Paired groups of different lengths are a ValueError; as independent groups they are compared."""
    with pytest.raises(ValueError, match="equal lengths"):
        function([0.5, 0.6], [0.5, 0.6, 0.8], paired=True)
    function([0.5, 0.6], [0.5, 0.6, 0.8], paired=False)


@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_sign_flips_are_counted_exactly(n: int) -> None:
    """The paired permutation p is that of whole-number enumeration, though the accuracies' ties are blurred."""
    for seed in range(12):
        first, second = grid(n, n, seed)

        result = compare(np.array(first) / 10000, np.array(second) / 10000, paired=True)
        assert result.permutation_p == sign_flip_p(first, second)


@pytest.mark.parametrize(("n_first", "n_second"), [(2, 2), (3, 3), (2, 5), (6, 4), (5, 5)])
def test_relabellings_are_counted_exactly(n_first: int, n_second: int) -> None:
    """The two-sample permutation p is that of enumeration in fractions, though the accuracies' ties are blurred."""
    for seed in range(8):
        first, second = grid(n_first, n_second, seed)

        result = compare(np.array(first) / 10000, np.array(second) / 10000, paired=False)
        assert result.permutation_p == relabelling_p(first, second)


@pytest.mark.parametrize(("paired", "kind"), [(True, "samples"), (False, "independent")])
def test_permutation_p_is_scipys(paired: bool, kind: str) -> None:
    """Where nothing ties, the exact p value is that of scipy's permutation test."""
    first, second = groups(7, 7)
    oracle = stats.permutation_test(
        (first, second),
        lambda x, y, axis: np.abs(np.mean(x, axis=axis) - np.mean(y, axis=axis)),
        permutation_type=kind,
        alternative="greater",
        n_resamples=inf,
        vectorized=True,
    )

    assert compare(first, second, paired=paired).permutation_p == pytest.approx(oracle.pvalue, rel=1e-12)


@pytest.mark.parametrize(("n_first", "n_second"), SIZES)
def test_separated_groups_give_the_smallest_relabelling_p(n_first: int, n_second: int) -> None:
    """Groups that do not overlap reach the smallest p value that their sizes allow."""
    result = compare([1.0] * n_first, [0.0] * n_second, paired=False)

    assert result.smallest_permutation_p == (1 + (n_first == n_second)) / comb(n_first + n_second, n_first)
    assert result.permutation_p == result.smallest_permutation_p


@pytest.mark.parametrize("n", [2, 5, 10, 17])
def test_a_win_with_every_seed_gives_the_smallest_sign_flip_p(n: int) -> None:
    """Differences of one sign reach the smallest p value that their number allows."""
    result = compare(np.arange(n) + 1.0, np.zeros(n), paired=True)

    assert result.permutation_p == result.smallest_permutation_p == 2 / 2**n


@pytest.mark.parametrize("paired", [True, False])
def test_drawn_arrangements_estimate_the_exact_p(monkeypatch: pytest.MonkeyPatch, paired: bool) -> None:
    """Beyond the bound, p is within four standard errors of the exact one, and the same each time."""
    first, second = groups(8, 8, seed=5)
    exact = compare(first, second, paired=paired).permutation_p
    monkeypatch.setattr(comparison, "EXACT", 0)

    drawn = compare(first, second, paired=paired).permutation_p

    assert 0.01 < exact < 0.99
    assert drawn == pytest.approx(exact, abs=4 * sqrt(exact * (1 - exact) / comparison.DRAWS))
    assert drawn == compare(first, second, paired=paired).permutation_p != exact


@pytest.mark.parametrize("paired", [True, False])
def test_drawn_arrangements_never_give_zero(paired: bool) -> None:
    """For groups too large to go through all arrangements, the smallest p value is one among those drawn and seen."""
    result = compare(np.arange(30) + 100.0, np.arange(30) / 100, paired=paired)

    assert result.permutation_p == result.smallest_permutation_p == 1 / (comparison.DRAWS + 1)


def test_a_difference_of_differences_is_a_comparison_of_contrasts() -> None:
    """Differences of two networks' seeds are compared as independent groups: the formula by hand."""
    (a, c), (b, d) = groups(6, 6, seed=1), groups(5, 5, seed=2)

    result = compare(a - c, b - d, paired=False)

    assert result.estimate == pytest.approx((a.mean() - b.mean()) - (c.mean() - d.mean()))
    assert result.standard_error**2 == pytest.approx(np.var(a - c, ddof=1) / 6 + np.var(b - d, ddof=1) / 5)


def with_estimates(estimates: list[float], error: float = 1.0) -> dict[int, Comparison]:
    """Return comparisons with these estimates, their standard error and ten seeds per group."""
    return {
        key: Comparison(estimate, error, 9, n_first=10, n_second=10, paired=True, permutation_p=0.5)
        for key, estimate in enumerate(estimates)
    }


def test_the_verdicts_are_two_tests_and_a_rest() -> None:
    """Better and worse come from the adjusted p value, equivalence from the narrow interval, doubt is what remains."""
    verdicts = {
        key: one.verdict for key, one in judge(with_estimates([9, -9, 0.1, 2, -2]), smallest_effect=2.5).items()
    }

    assert verdicts == dict(enumerate(["better", "worse", "no relevant difference", "cannot tell", "cannot tell"]))


def test_verdicts_are_read_as_words() -> None:
    """A verdict is the words that a table prints."""
    assert [str(one) for one in Verdict] == ["better", "worse", "no relevant difference", "cannot tell"]


def test_a_difference_can_be_too_small_to_matter() -> None:
    """A difference that is certain and within the smallest effect is better, and said to be within it."""
    small, large = (judge(with_estimates([9.0]), smallest_effect=effect)[0] for effect in (20, 10))

    assert (small.verdict, small.within_smallest_effect) == (Verdict.BETTER, True)
    assert (large.verdict, large.within_smallest_effect) == (Verdict.BETTER, False)


def test_exchanged_groups_exchange_better_and_worse() -> None:
    """The verdict on the second group is the mirror image of that on the first."""
    first, second = groups(10, 10)
    order, reverse = compare(first + 1, second, paired=False), compare(second, first + 1, paired=False)
    one, other = (judge({0: comparison}, smallest_effect=0.0001)[0] for comparison in (order, reverse))

    assert (one.verdict, other.verdict) == (Verdict.BETTER, Verdict.WORSE)
    assert (one.low, one.high, one.narrow_low, one.narrow_high) == pytest.approx(
        (-other.high, -other.low, -other.narrow_high, -other.narrow_low)
    )


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.1])
@pytest.mark.parametrize("paired", [True, False])
def test_equivalence_is_two_one_sided_tests(paired: bool, alpha: float) -> None:
    """The narrow interval is within the smallest effect exactly where statsmodels' TOST has p < alpha."""
    found = set()
    for seed, effect in product(range(2), [0.0005, 0.002, 0.004, 0.008]):
        first, second = groups(8, 8, seed)
        oracle = (
            ttost_paired(first, second, -effect, effect)
            if paired
            else ttost_ind(first, second, -effect, effect, usevar="unequal")
        )

        judgement = judge({0: compare(first, second, paired=paired)}, effect, alpha)[0]
        assert judgement.within_smallest_effect == (oracle[0] < alpha)
        assert (judgement.narrow_low, judgement.narrow_high) == judgement.comparison.interval(1 - 2 * alpha)
        found.add(judgement.within_smallest_effect)
    assert found == {True, False}


def test_intervals_agree_with_verdicts() -> None:
    """In random families of real comparisons, an interval excludes 0 exactly where the verdict is better or worse."""
    random = np.random.default_rng(0)
    seen = set()
    for _ in range(12):
        family = {
            key: compare(random.normal(shift, 1, 5), random.normal(0, 1, 5), paired=bool(key % 2))
            for key, shift in enumerate(random.choice([0, 2, 4], 5))
        }
        extra = int(random.integers(0, 3))
        judgements = judge(family, smallest_effect=1.0, family_size=5 + extra)

        expected = holm([one.p_value for one in family.values()] + [1.0] * extra)
        for key, judgement in judgements.items():
            told_apart = judgement.verdict in {Verdict.BETTER, Verdict.WORSE}
            assert judgement.adjusted_p == expected[key]
            assert (judgement.low, judgement.high) == judgement.comparison.interval(judgement.confidence)
            assert (not judgement.low <= 0 <= judgement.high) == told_apart == (judgement.adjusted_p < 0.05)
            seen.add(judgement.verdict)
    assert seen >= {Verdict.BETTER, Verdict.UNDECIDED}


def test_missing_comparisons_do_not_lighten_the_correction() -> None:
    """A family of planned size is judged as if the missing comparisons had p = 1."""
    family = with_estimates([2.7])
    alone, planned = judge(family, 1.0)[0], judge(family, 1.0, family_size=4)[0]

    assert planned.adjusted_p == pytest.approx(4 * alone.adjusted_p)
    assert (alone.verdict, planned.verdict) == (Verdict.BETTER, Verdict.UNDECIDED)
    assert planned.confidence == pytest.approx(1 - 0.05 / 4)
    assert (planned.narrow_low, planned.narrow_high) == (alone.narrow_low, alone.narrow_high)


def test_a_family_of_none_has_no_verdicts() -> None:
    """Where no comparison could be made, nothing is judged."""
    assert judge({}, 0.001, family_size=3) == {}


def test_two_seeds_are_not_judged() -> None:
    """A comparison with two seeds in a group is a ValueError that names it; with three it is judged."""
    with pytest.raises(ValueError, match="pair: expected 3 seeds"):
        judge({"pair": compare([0.1, 0.2], [0.1, 0.2, 0.4], paired=False)}, 0.001)
    judge({"pair": compare([0.1, 0.2, 0.3], [0.1, 0.2, 0.4], paired=False)}, 0.001)


@pytest.mark.parametrize(
    "arguments",
    [
        {"smallest_effect": 0.0},
        {"smallest_effect": -1.0},
        {"smallest_effect": nan},
        {"smallest_effect": inf},
        {"smallest_effect": 1.0, "alpha": 0.0},
        {"smallest_effect": 1.0, "alpha": 0.5},
        {"smallest_effect": 1.0, "family_size": 1},
    ],
)
def test_judge_refuses_what_is_no_rule(arguments: dict[str, Any]) -> None:
    """An effect or a level that decides nothing, and a family smaller than what is given, are a ValueError."""
    with pytest.raises(ValueError, match="expected"):
        judge(with_estimates([1.0, 2.0]), **arguments)


def beta_cdf(limit: float, a: float, b: float) -> float:
    """Integrate the beta density up to a limit."""
    return (
        integrate.quad(lambda x: x ** (a - 1) * (1 - x) ** (b - 1), 0, limit)[0]
        / (integrate.quad(lambda x: x ** (a - 1) * (1 - x) ** (b - 1), 0, 1)[0])
    )


@pytest.mark.parametrize(("wins", "n"), [(0, 2), (1, 5), (3, 5), (7, 10), (10, 10)])
def test_paired_superiority_has_the_exact_binomial_interval(wins: int, n: int) -> None:
    """Without ties the estimate is the share of wins and the interval that of scipy's binomial test."""
    result = superiority([1.0] * wins + [-1.0] * (n - wins), [0.0] * n, paired=True)

    interval = stats.binomtest(wins, n).proportion_ci(0.95, "exact")
    assert vars(result) == pytest.approx({"estimate": wins / n, "low": interval.low, "high": interval.high})


def test_a_tie_is_half_a_win() -> None:
    """Paired ties count one half, and the limits solve Clopper and Pearson's equations for that count."""
    result = superiority([2.0, 2.0, 0.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0, 0.0], paired=True)

    assert result.estimate == pytest.approx(3.5 / 5)
    assert beta_cdf(result.low, 3.5, 2.5) == pytest.approx(0.025, abs=1e-6)
    assert 1 - beta_cdf(result.high, 4.5, 1.5) == pytest.approx(0.025, abs=1e-6)


@pytest.mark.parametrize(("n_first", "n_second"), SIZES)
def test_unpaired_superiority_is_mann_whitneys_share(n_first: int, n_second: int) -> None:
    """The estimate is U / (n1 n2) with ties one half, and lies within its interval."""
    first, second = grid(n_first, n_second, seed=4)

    result = superiority(first, second, paired=False)

    assert result.estimate == pytest.approx(stats.mannwhitneyu(first, second).statistic / (n_first * n_second))
    assert 0 <= result.low <= result.estimate <= result.high <= 1


def test_the_bootstrap_interval_is_that_of_all_resamples() -> None:
    """For groups of three the percentiles are those of all 27 x 27 resamples, each as likely as another."""
    first, second = [1.0, 4.0, 6.0], [2.0, 3.0, 5.0]
    shares = [
        np.mean(np.array(x)[:, None] > np.array(y)) for x in product(first, repeat=3) for y in product(second, repeat=3)
    ]

    result = superiority(first, second, paired=False)
    assert (result.low, result.high) == pytest.approx(np.quantile(shares, [0.025, 0.975]))


def test_the_bootstrap_is_deterministic() -> None:
    """One seed gives one interval, another seed another one near it."""
    first, second = groups(10, 10)

    one, other = (superiority(first, second, paired=False, seed=seed) for seed in (0, 1))
    assert one == superiority(first, second, paired=False)
    assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=0.03)


@pytest.mark.parametrize("paired", [True, False])
def test_superiority_of_the_second_is_the_complement(paired: bool) -> None:
    """Exchanging the groups gives the probability of the opposite."""
    first, second = grid(6, 6, seed=2)

    one, other = superiority(first, second, paired=paired), superiority(second, first, paired=paired)
    assert one.estimate == pytest.approx(1 - other.estimate)
    assert (one.low, one.high) == pytest.approx((1 - other.high, 1 - other.low), abs=0.03)


@pytest.mark.parametrize("paired", [True, False])
def test_equal_groups_beat_each_other_half_the_time(paired: bool) -> None:
    """All ties give one half."""
    assert superiority([0.5] * 4, [0.5] * 4, paired=paired).estimate == 0.5


def test_a_group_that_wins_every_pair_has_a_bootstrap_of_one_point() -> None:
    """The interval of separated groups is the estimate, as the docstring warns."""
    assert superiority([2.0, 3.0], [0.0, 1.0], paired=False) == Proportion(1.0, 1.0, 1.0)


def test_a_paired_ratio_is_a_t_test_of_logarithms() -> None:
    """Ratio, interval and p value are scipy's paired test of the logarithms."""
    first, second = groups(7, 7)
    oracle = stats.ttest_rel(np.log(first), np.log(second))

    expected = [stats.gmean(first) / stats.gmean(second), *np.exp(oracle.confidence_interval(0.95)), oracle.pvalue]
    assert list(vars(ratio(first, second, paired=True)).values()) == pytest.approx(expected)


@pytest.mark.parametrize(("n_first", "n_second"), SIZES)
def test_an_unpaired_ratio_is_welchs_test_of_logarithms(n_first: int, n_second: int) -> None:
    """Ratio, interval and p value are scipy's Welch test of the logarithms."""
    first, second = groups(n_first, n_second)
    oracle = stats.ttest_ind(np.log(first), np.log(second), equal_var=False)

    expected = [stats.gmean(first) / stats.gmean(second), *np.exp(oracle.confidence_interval(0.95)), oracle.pvalue]
    assert list(vars(ratio(first, second, paired=False)).values()) == pytest.approx(expected)


def test_a_ratio_has_no_unit() -> None:
    """Milliseconds give the same ratio as seconds, and exchanged groups the inverse."""
    first, second = groups(5, 5)
    one, inverse = ratio(first, second, paired=True), ratio(second, first, paired=True)

    assert vars(ratio(first * 1000, second * 1000, paired=True)) == pytest.approx(vars(one))
    assert (one.estimate, one.low, one.high) == pytest.approx((1 / inverse.estimate, 1 / inverse.high, 1 / inverse.low))


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_ratio_needs_positive_values(value: float) -> None:
    """A value that has no logarithm is a ValueError."""
    with pytest.raises(ValueError, match="above 0"):
        ratio([1.0, 2.0], [1.0, value], paired=True)


def cells(n: int, seed: int = 0) -> dict[tuple[int, int], np.ndarray]:
    """Return a random 2x2 design with effects, whose seeds share their luck."""
    random = np.random.default_rng(seed)
    luck = random.normal(0, 2, n)
    return {
        (a, b): luck + 0.5 * a - 0.3 * b + 0.4 * a * b + random.normal(0, 0.5, n) for a, b in product([0, 1], repeat=2)
    }


@pytest.mark.parametrize("n", [2, 4, 10])
def test_a_factorial_is_the_repeated_measures_analysis(n: int) -> None:
    """The three p values are those of statsmodels' analysis of variance with both factors within seeds."""
    design = cells(n)
    rows = [(seed, a, b, value) for (a, b), values in design.items() for seed, value in enumerate(values)]
    table = pd.DataFrame(rows, columns=["seed", "a", "b", "score"])
    oracle = AnovaRM(table, "score", "seed", within=["a", "b"]).fit().anova_table["Pr > F"]

    result = factorial(design)

    found = [result.main_a.p_value, result.main_b.p_value, result.interaction.p_value]
    assert found == pytest.approx(oracle[["a", "b", "a:b"]].tolist())


def test_the_effects_of_a_factorial_are_differences_of_cell_means() -> None:
    """Main effects average over the other factor; the interaction is the difference of A's two simple effects."""
    design = cells(6)
    mean = {cell: values.mean() for cell, values in design.items()}

    result = factorial(design)

    a_at = [mean[1, b] - mean[0, b] for b in (0, 1)]
    b_at = [mean[a, 1] - mean[a, 0] for a in (0, 1)]
    assert result.main_a.estimate == pytest.approx(sum(a_at) / 2)
    assert result.main_b.estimate == pytest.approx(sum(b_at) / 2)
    assert result.interaction.estimate == pytest.approx(a_at[1] - a_at[0]) == pytest.approx(b_at[1] - b_at[0])


def test_exchanging_a_factors_levels_turns_its_effect_round() -> None:
    """With A's levels exchanged, A's effect and the interaction change sign, and B's effect does not."""
    design = cells(6)
    one, other = factorial(design), factorial({(1 - a, b): values for (a, b), values in design.items()})

    signs = [getattr(one, name).estimate / getattr(other, name).estimate for name in vars(one)]
    assert signs == pytest.approx([-1, 1, -1])


def test_a_factorial_without_noise_is_certain() -> None:
    """Effects that every seed shows alike have p = 0, and an interaction that is only rounding has p = 1."""
    luck = np.array([0.1, 0.4, 0.7])
    result = factorial({(a, b): luck + 0.1 * a + 0.2 * b for a, b in product([0, 1], repeat=2)})

    assert (result.main_a.p_value, result.main_b.p_value, result.interaction.p_value) == (0, 0, 1)
    assert (result.interaction.low, result.interaction.high) == (0, 0)


@pytest.mark.parametrize(
    ("cell", "values"),
    [((0, 2), [1.0, 2.0]), ((1, 1), [1.0, 2.0, 3.0]), ((1, 1), [1.0]), ((1, 1), [1.0, nan])],
)
def test_a_factorial_needs_four_full_cells(cell: tuple[int, int], values: list[float]) -> None:
    """A fifth cell, unequal lengths, one seed and a value that is not finite are a ValueError."""
    with pytest.raises(ValueError, match="expected"):
        factorial({**cells(2), cell: values})


def test_a_factorial_misses_no_cell() -> None:
    """Three cells are a ValueError."""
    design = cells(3)
    del design[1, 0]

    with pytest.raises(ValueError, match="expected the cells"):
        factorial(design)


def test_the_import_is_light() -> None:
    """Importing the module does not import statsmodels or scipy."""
    code = "import sys, pipeline.analysis.comparison; sys.exit(bool({'statsmodels', 'scipy'} & set(sys.modules)))"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
