"""The verdict on a difference: its whole interval compared with the smallest effect of interest.

The verdicts converge: the interval shrinks around the true difference as the number of seeds grows, so the probability
of the correct verdict grows with it, and a wrong one needs an interval that misses the true difference.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from math import inf
from typing import NamedTuple

# Two seeds leave the standard deviation one degree of freedom, too few for a verdict.
MIN_SEEDS = 3


class Interval(NamedTuple):
    """An interval of an estimate, in its unit."""

    low: float
    high: float

    @property
    def negative(self) -> Interval:
        """The interval of the opposite estimate."""
        return Interval(-self.high, -self.low)

    def to(self, unit: Callable[[float], float]) -> Interval:
        """Return the interval in another unit, by a function that increases."""
        return Interval(unit(self.low), unit(self.high))


class Verdict(StrEnum):
    """How the first group of a comparison compares with the second."""

    BETTER = "better"
    WORSE = "worse"
    EQUIVALENT = "no relevant difference"
    BETTER_OPEN = "better, by how much is open"
    WORSE_OPEN = "worse, by how much is open"
    UNDECIDED = "cannot tell"

    @property
    def reverse(self) -> Verdict:
        """The verdict on the second group."""
        return _REVERSE.get(self, self)


_REVERSE = {
    Verdict.BETTER: Verdict.WORSE,
    Verdict.WORSE: Verdict.BETTER,
    Verdict.BETTER_OPEN: Verdict.WORSE_OPEN,
    Verdict.WORSE_OPEN: Verdict.BETTER_OPEN,
}


def decide(interval: Interval, smallest_effect: float) -> Verdict:
    """Return the verdict on a difference (more is better) from its interval in the same unit.

    BETTER or WORSE: the whole interval lies beyond the smallest effect. EQUIVALENT: it lies strictly within the
    smallest effect on both sides of 0, also where it excludes 0. BETTER_OPEN or WORSE_OPEN: it excludes 0, but not
    whether the difference is smaller than the smallest effect. UNDECIDED: all else. If the interval contains the true
    difference, no verdict is wrong; so an interval at 1 - alpha is wrong with probability alpha at most.
    Sources: D. Lakens, A. M. Scheel and P. M. Isager, Adv. Meth. Pract. Psychol. Sci. 1 (2018) 259-269; J. K. Kruschke,
    Adv. Meth. Pract. Psychol. Sci. 1 (2018) 270-280.

    Raises:
        ValueError: The interval is reversed or has a NaN, or `smallest_effect` is not above 0 or not finite.
    """
    low, high = interval
    if not low <= high:
        raise ValueError(f"expected an interval (low, high), found {interval}")
    check_smallest_effect(smallest_effect)
    if low > smallest_effect:
        return Verdict.BETTER
    if high < -smallest_effect:
        return Verdict.WORSE
    if -smallest_effect < low and high < smallest_effect:
        return Verdict.EQUIVALENT
    if low > 0:
        return Verdict.BETTER_OPEN
    return Verdict.WORSE_OPEN if high < 0 else Verdict.UNDECIDED


def check_smallest_effect(smallest_effect: float) -> None:
    """Check that a smallest effect is one.

    Raises:
        ValueError: It is not above 0, or not finite.
    """
    if not 0 < smallest_effect < inf:
        raise ValueError(f"expected a smallest effect above 0, found {smallest_effect}")
