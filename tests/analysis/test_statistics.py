from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from itertools import product
from math import comb, inf, isnan, nan, sqrt
from typing import Any

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.weightstats import DescrStatsW

from pipeline.analysis.statistics import (
    Contrast,
    Convergence,
    Estimate,
    McNemar,
    Summary,
    describe,
    epochs_to,
    holm,
    mcnemar,
    paired_contrast,
    simultaneous_confidences,
    wilson,
)


def wilson_by_formula(successes: int, n: int, confidence: float) -> tuple[float, float]:
    """Evaluate Wilson's formula as printed."""
    z = stats.norm.ppf((1 + confidence) / 2)
    p = successes / n
    centre = p + z**2 / (2 * n)
    half = z * sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return (centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n)


def two_sided_binomial(first: int, second: int) -> float:
    """Sum the chances of all outcomes of fair coins that are no likelier than the one seen."""
    n = first + second
    return sum(comb(n, k) for k in range(n + 1) if comb(n, k) <= comb(n, first)) / 2**n


def right_answers(both: int, only_first: int, only_second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two classifiers' right answers with these four counts."""
    counts = [both, only_first, only_second, neither]
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
@pytest.mark.parametrize(("successes", "n"), [(1, 2), (9834, 10000), (9902, 10000), (3, 17), (0, 5), (5, 5), (1, 1)])
def test_wilson_follows_the_formula(successes: int, n: int, confidence: float) -> None:
    """The interval is that of Wilson's formula, and scipy's."""
    interval = wilson(successes, n, confidence)

    assert interval == pytest.approx(wilson_by_formula(successes, n, confidence), abs=1e-12)
    assert interval == pytest.approx(stats.binomtest(successes, n).proportion_ci(confidence, "wilson"), abs=1e-12)


@pytest.mark.parametrize(
    ("errors", "interval"), [(166, (0.9807, 0.9857)), (169, (0.9804, 0.9854)), (98, (0.9881, 0.9920))]
)
def test_wilson_gives_the_reports_intervals(errors: int, interval: tuple[float, float]) -> None:
    """The accuracies that the report prints have the intervals from which the gate's floors are taken."""
    assert tuple(round(limit, 4) for limit in wilson(10000 - errors, 10000)) == interval


@pytest.mark.parametrize("n", [1, 7, 10, 10000])
def test_wilson_ends_are_exact(n: int) -> None:
    """Without a success the lower limit is 0 itself, without a failure the upper one is 1 itself."""
    assert wilson(0, n)[0] == 0
    assert wilson(n, n)[1] == 1
    assert 0 < wilson(0, n)[1] < 1
    assert 0 < wilson(n, n)[0] < 1


@pytest.mark.parametrize(
    "arguments", [(0, 0), (1, -1), (-1, 5), (6, 5), (1, 5, 0.0), (1, 5, 1.0), (1, 5, float("nan"))]
)
def test_wilson_refuses_impossible_counts(arguments: tuple[int, int]) -> None:
    """Counts that no experiment gives, and a confidence that is no probability, are a ValueError."""
    with pytest.raises(ValueError, match="expected"):
        wilson(*arguments)


@pytest.mark.parametrize(("only_first", "only_second"), list(product([0, 1, 2, 5, 30], repeat=2)))
def test_mcnemar_is_an_exact_binomial_test(only_first: int, only_second: int) -> None:
    """The p value is the two-sided binomial one of the discordant images, by enumeration and by scipy."""
    result = mcnemar(*right_answers(4, only_first, only_second, 3))

    expected = two_sided_binomial(only_first, only_second)
    assert result == McNemar(only_first, only_second, pytest.approx(expected, rel=1e-9))
    if only_first + only_second:
        assert expected == pytest.approx(stats.binomtest(only_first, only_first + only_second).pvalue)


def test_mcnemar_leaves_agreement_out() -> None:
    """Images that both get right or both get wrong change nothing."""
    assert mcnemar(*right_answers(0, 7, 2, 0)) == mcnemar(*right_answers(9000, 7, 2, 500))


def test_mcnemar_of_equal_answers_is_one() -> None:
    """Classifiers that never differ give p = 1, not 0/0."""
    same = np.array([True, False, True])

    assert mcnemar(same, same) == McNemar(0, 0, 1.0)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (np.ones(3, bool), np.ones(4, bool)),
        (np.ones(0, bool), np.ones(0, bool)),
        (np.ones(3, int), np.ones(3, bool)),
        (np.ones((3, 1), bool), np.ones((3, 1), bool)),
    ],
)
def test_mcnemar_refuses_what_is_not_paired(first: np.ndarray, second: np.ndarray) -> None:
    """Unequal lengths, no images, numbers and tables are a ValueError."""
    with pytest.raises(ValueError, match="expected"):
        mcnemar(first, second)


def holm_by_definition(p_values: list[float]) -> list[float]:
    """Multiply by the number of p values not yet passed; never let the product fall or exceed 1."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, (len(p_values) - rank) * p_values[index])
        adjusted[index] = min(1.0, highest)
    return adjusted


def test_holm_follows_its_definition() -> None:
    """Adjusted p values are Holm's, in the order given, for random sets with ties and extremes."""
    random = np.random.default_rng(0)
    for size in range(1, 8):
        p_values = random.choice([0.0, 0.001, 0.02, 0.03, 0.03, 0.5, 1.0], size).tolist()

        assert holm(p_values) == pytest.approx(holm_by_definition(p_values))


def test_holm_of_nothing_is_nothing() -> None:
    """Without pairs there is nothing to adjust."""
    assert holm([]) == []


@pytest.mark.parametrize("p_value", [-0.1, 1.1, float("nan")])
def test_holm_refuses_what_is_no_p_value(p_value: float) -> None:
    """A number outside [0, 1] is a ValueError."""
    with pytest.raises(ValueError, match="p values within"):
        holm([0.5, p_value])


def number_left_when_reached(p_values: list[float], alpha: float) -> list[int]:
    """Walk through Holm's rule: for each p value, how many are not yet rejected when it is looked at or ruled out."""
    left = [0] * len(p_values)
    waiting = list(range(len(p_values)))
    while waiting:
        least = min(waiting, key=lambda index: p_values[index])
        if p_values[least] * len(waiting) >= alpha:
            for index in waiting:
                left[index] = len(waiting)
            break
        left[least] = len(waiting)
        waiting.remove(least)
    return left


def test_simultaneous_confidences_follow_the_rule() -> None:
    """Each confidence is 1 - alpha / k with Holm's k of that test, for random sets with ties and extremes."""
    random = np.random.default_rng(0)
    for size, alpha in product(range(1, 8), [0.03, 0.3]):
        p_values = random.choice([0.0, 0.001, 0.012, 0.02, 0.02, 0.06, 1.0], size).tolist()

        expected = [1 - alpha / k for k in number_left_when_reached(p_values, alpha)]
        assert simultaneous_confidences(p_values, alpha) == pytest.approx(expected)


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
def test_intervals_at_these_confidences_agree_with_holm(alpha: float) -> None:
    """A t interval at its confidence excludes 0 exactly where Holm's adjusted p value is below alpha."""
    random = np.random.default_rng(1)
    verdicts = set()
    for size in random.integers(1, 9, 30):
        estimates = [Estimate(random.normal(0, 4), 1.0, degrees) for degrees in random.integers(4, 20, size)]
        p_values = [estimate.p_value for estimate in estimates]

        rejected = [p < alpha for p in holm_by_definition(p_values)]
        confidences = simultaneous_confidences(p_values, alpha)
        limits = [estimate.interval(confidence) for estimate, confidence in zip(estimates, confidences, strict=True)]
        assert [not low <= 0 <= high for low, high in limits] == rejected
        verdicts.add((any(rejected), all(rejected)))
    assert verdicts == {(False, False), (True, False), (True, True)}


def test_confidences_without_a_rejection_are_bonferronis() -> None:
    """Where Holm rejects nothing, every interval is Bonferroni's."""
    assert simultaneous_confidences([0.9, 0.02, 0.5], 0.03) == pytest.approx([0.99] * 3)


def test_confidences_of_nothing_are_none() -> None:
    """Without tests there are no intervals."""
    assert simultaneous_confidences([]) == []


@pytest.mark.parametrize(
    ("p_values", "alpha"), [([1.1], 0.05), ([nan], 0.05), ([0.5], 0.0), ([0.5], 1.0), ([0.5], nan)]
)
def test_confidences_refuse_what_is_no_probability(p_values: list[float], alpha: float) -> None:
    """A p value outside [0, 1] and an alpha that no test can have are a ValueError."""
    with pytest.raises(ValueError, match="expected"):
        simultaneous_confidences(p_values, alpha)


@pytest.mark.parametrize("n", [2, 3, 10, 41])
def test_a_summary_follows_the_formulas(n: int) -> None:
    """Mean, sd and the interval of the mean are those of statsmodels; the extremes are the sample's."""
    values = np.random.default_rng(n).normal(0.98, 0.002, n)
    oracle = DescrStatsW(values)

    low, high = oracle.tconfint_mean()
    expected = [n, values.mean(), sqrt(oracle.var_ddof(1)), low, high, values.min(), values.max()]
    assert list(vars(describe(values)).values()) == pytest.approx(expected)


def test_a_single_value_has_no_spread() -> None:
    """One seed has a mean and no sd and no interval, rather than a spread of 0."""
    summary = describe([0.98])

    assert (summary.n, summary.mean, summary.smallest, summary.largest) == (1, 0.98, 0.98, 0.98)
    assert all(isnan(figure) for figure in (summary.sd, summary.low, summary.high))


@pytest.mark.parametrize("value", [0.1, 0.9834, -7.3, 0.0])
def test_equal_values_have_an_interval_of_one_point(value: float) -> None:
    """Rounding in the sum of equal values is not taken for spread."""
    assert describe([value] * 3) == Summary(3, value, 0.0, value, value, value, value)


def test_a_contrast_is_a_one_sample_t_test() -> None:
    """Estimate, interval and p value are those of scipy's one-sample test."""
    values = np.random.default_rng(3).normal(0.3, 1, 12)
    oracle = stats.ttest_1samp(values, 0)

    expected = [values.mean(), *oracle.confidence_interval(0.95), oracle.pvalue, 12]
    assert list(vars(paired_contrast(values)).values()) == pytest.approx(expected)


def test_a_contrast_that_is_rounding_is_none() -> None:
    """Differences that would be 0 without rounding are 0 beside the numbers that they were computed from."""
    values = (np.array([0.3, 0.6, 0.9]) - np.array([0.1, 0.4, 0.7])) - 0.2

    assert values.any()
    assert paired_contrast(values, scale=0.9) == Contrast(0.0, 0.0, 0.0, 1.0, 3)


def test_a_constant_contrast_is_certain() -> None:
    """A contrast that is the same for every seed has p = 0, unless it is 0: then p = 1."""
    assert paired_contrast([0.1] * 4) == Contrast(0.1, 0.1, 0.1, 0.0, 4)
    assert paired_contrast([0.0] * 4) == Contrast(0.0, 0.0, 0.0, 1.0, 4)


@pytest.mark.parametrize("function", [describe, paired_contrast])
@pytest.mark.parametrize("values", [[], [0.5, nan], [0.5, inf], [[0.5, 0.6]], 0.5])
def test_a_sample_is_a_row_of_finite_numbers(function: Callable[[Any], Any], values: Any) -> None:
    """No value, a value that is not finite, a table and a bare number are a ValueError."""
    with pytest.raises(ValueError, match="expected"):
        function(values)


def test_a_contrast_needs_two_seeds() -> None:
    """One seed says nothing of a mean contrast: a ValueError."""
    with pytest.raises(ValueError, match="at least 2"):
        paired_contrast([0.1])


@pytest.mark.parametrize("confidence", [0.0, 1.0, -0.5, nan])
def test_an_interval_refuses_what_is_no_confidence(confidence: float) -> None:
    """A confidence that no interval can have is a ValueError."""
    with pytest.raises(ValueError, match="expected a confidence"):
        Estimate(1.0, 1.0, 5).interval(confidence)


def test_epochs_to_counts_from_one_and_reaches_at_the_target() -> None:
    """The first epoch at or above the target counts, from 1, whatever comes after."""
    histories = [[0.5, 0.7, 0.6], [0.9, 0.1, 0.1], [0.1, 0.2, 0.7]]

    assert epochs_to(histories, 0.7) == Convergence((2, 1, 3), n=3, reached=3, median=2.0, smallest=1, largest=3)


def test_a_seed_that_never_reaches_the_target_is_later_than_all() -> None:
    """A censored seed makes the largest epoch unknown, and the median once half of the seeds are censored."""
    late, never = [0.0, 1.0, 1.0], [0.0, 0.0, 0.0]

    assert epochs_to([late, late, never], 0.5) == Convergence((2, 2, None), 3, 2, 2.0, 2, None)
    assert epochs_to([late, never], 0.5) == Convergence((2, None), 2, 1, None, 2, None)
    assert epochs_to([never, never], 0.5) == Convergence((None, None), 2, 0, None, None, None)


@pytest.mark.parametrize(
    ("histories", "target"),
    [([], 0.5), ([[]], 0.5), ([0.5], 0.5), ([[0.5, 0.6], [0.5]], 0.5), ([[0.5, nan]], 0.5), ([[0.5]], nan)],
)
def test_epochs_to_refuses_what_it_cannot_judge(histories: Any, target: float) -> None:
    """No seed, no epoch, unequal numbers of epochs and numbers that are not finite are a ValueError."""
    with pytest.raises(ValueError, match=r"expected|inhomogeneous"):
        epochs_to(histories, target)


def test_the_import_is_light() -> None:
    """Importing the module does not import statsmodels or scipy."""
    code = "import sys, pipeline.analysis.statistics; sys.exit(bool({'statsmodels', 'scipy'} & set(sys.modules)))"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
