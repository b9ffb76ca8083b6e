"""Adjustment for several tests, simultaneous intervals, and verdicts, against statsmodels and simulation."""

from collections.abc import Callable
from functools import partial
from math import inf, nan
from typing import Any

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from pipeline.analysis.means import Comparison, Estimate, compare
from pipeline.analysis.multitest import holm, judge, simultaneous_confidence
from pipeline.analysis.verdicts import Verdict, decide
from tests.support.samples import groups


def test_holm_is_statsmodels() -> None:
    """Adjusted p values are those of statsmodels, in the order given, for random sets with ties and extremes."""
    random = np.random.default_rng(0)
    for size in range(1, 8):
        p_values = random.choice([0.0, 0.001, 0.02, 0.03, 0.03, 0.5, 1.0], size).tolist()

        assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])
    assert holm([]) == []


@pytest.mark.parametrize("size", [1, 5, 14])
def test_all_intervals_hold_together(size: int) -> None:
    """Of many families, the share in which every interval has its true value is the stated one or more."""
    errors = np.random.default_rng(0).standard_t(6, (4000, size))
    confidence = simultaneous_confidence(size, 0.1)
    low, high = Estimate(0.0, 1.0, 6).interval(confidence)

    assert np.mean(((low < errors) & (errors < high)).all(axis=1)) == pytest.approx(0.9, abs=0.02)


def with_estimates(estimates: list[float], error: float = 1.0) -> dict[int, Comparison]:
    """Return comparisons with these estimates, their standard error and ten seeds per group."""
    return {
        key: Comparison(estimate, error, 9, n_first=10, n_second=10, paired=True, permutation_p=0.5)
        for key, estimate in enumerate(estimates)
    }


def test_verdicts_are_those_on_the_simultaneous_intervals() -> None:
    """Each verdict is the rule's on Bonferroni's interval, for random families, and both intervals are the t ones."""
    random = np.random.default_rng(0)
    seen = set()
    for _ in range(8):
        family = {
            key: compare(random.normal(shift, 1, 5), random.normal(0, 1, 5), paired=bool(key % 2))
            for key, shift in enumerate(random.choice([0, 2, 6], 5))
        }
        extra = int(random.integers(0, 3))
        judgements = judge(family, smallest_effect=1.0, family_size=5 + extra)

        expected = holm([one.p_value for one in family.values()] + [1.0] * extra)
        for key, judgement in judgements.items():
            confidence = 1 - 0.05 / (5 + extra)
            assert judgement.confidence == pytest.approx(confidence)
            simultaneous = judgement.comparison.interval(confidence)
            assert judgement.simultaneous == pytest.approx(simultaneous)
            assert judgement.interval == pytest.approx(judgement.comparison.interval(0.95))
            assert judgement.verdict is decide(simultaneous, 1.0)
            assert judgement.adjusted_p == expected[key]
            seen.add(judgement.verdict)
    assert len(seen) >= 3


def test_exchanged_groups_exchange_better_and_worse() -> None:
    """The verdict on the second group is the mirror image of that on the first."""
    first, second = groups(10, 10)
    order, reverse = compare(first + 1, second, paired=False), compare(second, first + 1, paired=False)
    one, other = (judge({0: comparison}, smallest_effect=0.0001)[0] for comparison in (order, reverse))

    assert (one.verdict, other.verdict) == (Verdict.BETTER, Verdict.WORSE)
    assert one.interval == pytest.approx((-other.interval.high, -other.interval.low))


def test_missing_comparisons_do_not_lighten_the_correction() -> None:
    """A family of planned size is judged as if the missing comparisons had p = 1."""
    family = with_estimates([2.7])
    alone, planned = judge(family, 0.1)[0], judge(family, 0.1, family_size=4)[0]

    assert planned.adjusted_p == pytest.approx(4 * alone.adjusted_p)
    assert (alone.verdict, planned.verdict) == (Verdict.BETTER, Verdict.UNDECIDED)
    assert planned.confidence == pytest.approx(1 - 0.05 / 4)
    assert planned.interval == alone.interval


def test_a_family_of_none_has_no_verdicts() -> None:
    """Where no comparison could be made, nothing is judged."""
    assert judge({}, 0.001, family_size=3) == {}


def test_two_seeds_are_not_judged() -> None:
    """A comparison with two seeds in a group is a ValueError that names it; with three it is judged."""
    with pytest.raises(ValueError, match="pair: expected 3 seeds"):
        judge({"pair": compare([0.1, 0.2], [0.1, 0.2, 0.4], paired=False)}, 0.001)
    judge({"pair": compare([0.1, 0.2, 0.3], [0.1, 0.2, 0.4], paired=False)}, 0.001)


@pytest.mark.parametrize(
    "impossible",
    [
        *(partial(holm, [0.5, p_value]) for p_value in (-0.1, 1.1, nan)),
        *(partial(simultaneous_confidence, size, alpha) for size, alpha in ((0, 0.05), (1, 0.0), (1, 1.0), (1, nan))),
        *(partial(judge, with_estimates([1.0, 2.0]), effect) for effect in (0.0, -1.0, nan, inf)),
        *(partial(judge, with_estimates([1.0, 2.0]), 1.0, alpha=alpha) for alpha in (0.0, 1.0)),
        partial(judge, with_estimates([1.0, 2.0]), 1.0, family_size=1),
    ],
)
def test_what_cannot_be_is_rejected(impossible: Callable[[], Any]) -> None:
    """A p value outside [0, 1], an effect or a level that decides nothing, and a family of none or of too few.

    Each is a ValueError.
    """
    with pytest.raises(ValueError, match="expected"):
        impossible()
