"""Adjustment for several tests, the intervals that match it, and verdicts, against definitions and statsmodels."""

from __future__ import annotations

from itertools import product
from math import inf, nan
from typing import Any

import numpy as np
import pytest
from statsmodels.stats.weightstats import ttost_ind, ttost_paired

from pipeline.analysis.means import Comparison, Estimate, compare
from pipeline.analysis.multitest import holm, judge, simultaneous_confidences
from pipeline.analysis.verdicts import Verdict
from tests.support.samples import groups


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
def test_holm_rejects_what_is_not_a_p_value(p_value: float) -> None:
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
def test_confidences_reject_what_is_not_a_probability(p_values: list[float], alpha: float) -> None:
    """A p value outside [0, 1] and an alpha that no test can have are a ValueError."""
    with pytest.raises(ValueError, match="expected"):
        simultaneous_confidences(p_values, alpha)


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
            significant = judgement.verdict in {Verdict.BETTER, Verdict.WORSE}
            assert judgement.adjusted_p == expected[key]
            assert (judgement.low, judgement.high) == judgement.comparison.interval(judgement.confidence)
            assert (not judgement.low <= 0 <= judgement.high) == significant == (judgement.adjusted_p < 0.05)
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
def test_judge_rejects_impossible_rules(arguments: dict[str, Any]) -> None:
    """An effect or a level that decides nothing, and a family smaller than what is given, are a ValueError."""
    with pytest.raises(ValueError, match="expected"):
        judge(with_estimates([1.0, 2.0]), **arguments)
