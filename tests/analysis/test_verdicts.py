"""The verdict on an interval: by definition, and converging in simulated studies."""

from itertools import combinations_with_replacement, pairwise
from math import inf, nan

import numpy as np
import pytest
from scipy import stats

from pipeline.analysis.verdicts import Verdict, decide

D = 0.001
TRUE_OF = {
    Verdict.BETTER: lambda difference: difference >= D,
    Verdict.WORSE: lambda difference: difference <= -D,
    Verdict.EQUIVALENT: lambda difference: abs(difference) <= D,
    Verdict.BETTER_OPEN: lambda difference: difference > 0,
    Verdict.WORSE_OPEN: lambda difference: difference < 0,
    Verdict.UNDECIDED: lambda _: True,
}


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [
        ((1.1, 2.0), "better"),
        ((-2.0, -1.1), "worse"),
        ((-0.9, 0.9), "no relevant difference"),
        ((0.1, 0.9), "no relevant difference"),
        ((-0.9, -0.1), "no relevant difference"),
        ((0.1, 1.0), "better, by how much is open"),
        ((1.0, 2.0), "better, by how much is open"),
        ((-1.0, -0.1), "worse, by how much is open"),
        ((-0.1, 1.0), "cannot tell"),
        ((-1.0, 0.0), "cannot tell"),
        ((-2.0, 2.0), "cannot tell"),
        ((-inf, inf), "cannot tell"),
        ((0.5, 0.5), "no relevant difference"),
        ((1.5, 1.5), "better"),
    ],
)
def test_a_verdict_compares_the_whole_interval_with_the_smallest_effect(
    interval: tuple[float, float], verdict: str
) -> None:
    """All of it beyond the effect, all within, on one side of 0, or none of these; an end on a bound is not beyond."""
    assert str(decide(interval, 1.0)) == verdict


def test_a_verdict_is_the_sharpest_that_holds_for_every_difference_in_the_interval() -> None:
    """Of the verdicts, in order of what they tell, it is the first that is true of each value in the interval."""
    # No value is 0 or on a bound.
    grid = np.linspace(-2.55 * D, 2.55 * D, 18)
    seen = set()
    for low, high in combinations_with_replacement(grid, 2):
        inside = grid[(grid >= low) & (grid <= high)]
        expected = next(name for name, true in TRUE_OF.items() if all(map(true, inside)))
        assert decide((low, high), D) is expected
        seen.add(expected)
    assert seen == set(Verdict)


def test_the_reverse_is_the_verdict_on_the_mirrored_interval() -> None:
    """Exchanged groups have the mirrored interval, and the verdict on it is the reverse."""
    random = np.random.default_rng(0)
    seen = set()
    for low, high in np.sort(random.normal(0, D, (200, 2))):
        verdict = decide((low, high), D)
        assert decide((-high, -low), D) is verdict.reverse
        assert verdict.reverse.reverse is verdict
        seen.add(verdict)
    assert len(seen) >= 4


@pytest.mark.parametrize(
    ("interval", "effect"),
    [((1.0, 0.0), 1.0), ((nan, 1.0), 1.0), ((0.0, 1.0), 0.0), ((0.0, 1.0), -1.0), ((0.0, 1.0), inf), ((0.0, 1.0), nan)],
)
def test_what_is_no_interval_or_no_effect_is_rejected(interval: tuple[float, float], effect: float) -> None:
    """A reversed interval, a NaN and an effect that decides nothing are a ValueError."""
    with pytest.raises(ValueError, match="expected"):
        decide(interval, effect)


CORRECT = {
    0.0: {Verdict.EQUIVALENT},
    D / 2: {Verdict.EQUIVALENT},
    # At the bound itself the interval always reaches over it: that it is better is all that can be said.
    D: {Verdict.BETTER_OPEN},
    2 * D: {Verdict.BETTER},
}


@pytest.mark.parametrize("true", CORRECT, ids=["none", "half", "smallest", "twice"])
def test_more_seeds_make_verdicts_surer(true: float) -> None:
    """The probability of the correct verdict grows with the number of seeds; that of a false one stays at the level."""
    random = np.random.default_rng(0)
    studies, level, spread = 3000, 0.05, 0.0012
    shares = []
    for n in (5, 10, 30, 100, 300):
        values = random.normal(true, spread, (studies, n))
        half = stats.t.isf(level / 2, n - 1) * values.std(axis=1, ddof=1) / np.sqrt(n)
        means = values.mean(axis=1)
        found = [decide((low, high), D) for low, high in zip(means - half, means + half, strict=True)]

        shares.append(np.mean([verdict in CORRECT[true] for verdict in found]))
        false = np.mean([not TRUE_OF[verdict](true) for verdict in found])
        # Three standard errors of the simulation.
        assert false <= level + 3 * np.sqrt(level * (1 - level) / studies)
    rounding = 3 * np.sqrt(0.5 / studies)
    assert all(later >= earlier - rounding for earlier, later in pairwise(shares))
    assert shares[0] < 0.5
    assert shares[-1] > 0.93
