"""How many seeds decide a question: the probabilities of the verdicts for planned numbers of seeds.

Results are normal, as t intervals assume. Every independent sample has the same number of seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from pipeline.analysis import means, verdicts
from pipeline.analysis.prediction import SPREAD_CONFIDENCE, sd_upper_bound
from pipeline.analysis.verdicts import MIN_SEEDS, Verdict

Floats = NDArray[np.float64]

# The largest number of seeds that is looked at.
MOST_SEEDS = 10_000
# Points at which the distribution of the observed spread is evaluated.
_POINTS = 200
DECIDED = frozenset(Verdict) - {Verdict.UNDECIDED}


@dataclass(frozen=True)
class Assumed:
    """The true values that are planned with: an effect, and the standard deviation of each of its independent samples.

    One standard deviation is that of a mean, or of differences within seeds (a paired t interval); several are those of
    a sum or difference of independent means (Welch's interval). `degrees_of_freedom` tell how well each is known.
    """

    effect: float
    sds: tuple[float, ...]
    degrees_of_freedom: tuple[float, ...]

    @classmethod
    def observed(cls, *samples: ArrayLike) -> Assumed:
        """Return what independent samples, each (n,), show: the sum of their means.

        For a difference, pass the negative of the second one; for results that share their seeds, their differences.

        Raises:
            ValueError: A sample has fewer than 2 values, or one that is not finite.
        """
        summaries = [means.describe(sample) for sample in samples]
        if min(summary.n for summary in summaries) < 2:
            raise ValueError("expected at least 2 values, found 1")
        effect = sum(summary.mean for summary in summaries)
        return cls(effect, tuple(summary.sd for summary in summaries), tuple(summary.n - 1.0 for summary in summaries))

    @property
    def negative(self) -> Assumed:
        """The same with the opposite effect."""
        return replace(self, effect=-self.effect)

    def at_upper_bound(self, confidence: float = SPREAD_CONFIDENCE) -> Assumed:
        """Return the same with the upper confidence bound of each standard deviation."""
        pairs = zip(self.sds, self.degrees_of_freedom, strict=True)
        return replace(self, sds=tuple(sd_upper_bound(sd, freedom, confidence) for sd, freedom in pairs))

    def standard_error(self, n: int) -> float:
        """Return the standard error of the effect with `n` seeds in each sample."""
        return sqrt(sum(sd**2 for sd in self.sds) / n)

    def freedom(self, n: int) -> float:
        """Return the degrees of freedom of its interval with `n` seeds in each sample, by Welch and Satterthwaite."""
        squares = [sd**2 for sd in self.sds]
        if not any(squares):
            return float(len(squares) * (n - 1))
        return float((n - 1) * sum(squares) ** 2 / sum(square**2 for square in squares))


def verdict_probabilities(
    assumed: Assumed, n: int, smallest_effect: float, confidence: float = 0.95
) -> Mapping[Verdict, float]:
    """Return the probability of each verdict of `verdicts.decide` on the t interval from `n` seeds.

    Given the observed spread, the half-width of the interval is fixed and the estimate is normal; the sum is over
    _POINTS equally probable spreads. It is exact for one sample but for that sum, and close for two, whose degrees of
    freedom are Welch's at the assumed spreads.

    Raises:
        ValueError: `n` is below 2, `smallest_effect` not above 0, or `confidence` not strictly between 0 and 1.
    """
    verdicts.check_smallest_effect(smallest_effect)
    half, error = _half_widths(assumed, n, confidence), assumed.standard_error(n)
    d = smallest_effect

    def up_to(limit: Floats) -> Floats:
        return _normal_below(limit - assumed.effect, error)

    # The estimate at which each verdict begins and ends, for each half-width.
    inner = np.maximum(d - half, 0)
    better, worse = 1 - up_to(d + half), up_to(-d - half)
    equivalent = np.where(half < d, up_to(inner) - up_to(-inner), 0)
    above_0, below_0 = 1 - up_to(np.maximum(half, inner)), up_to(-np.maximum(half, inner))
    probabilities = {
        Verdict.BETTER: better,
        Verdict.WORSE: worse,
        Verdict.EQUIVALENT: equivalent,
        Verdict.BETTER_OPEN: above_0 - better,
        Verdict.WORSE_OPEN: below_0 - worse,
    }
    shares = {verdict: float(np.clip(values, 0, 1).mean()) for verdict, values in probabilities.items()}
    return {**shares, Verdict.UNDECIDED: max(0.0, 1 - sum(shares.values()))}


def probability_above(assumed: Assumed, n: int, bound: float, confidence: float = 0.95) -> float:
    """Return the probability that the whole t interval from `n` seeds is above `bound`.

    It is the power of the one-sided t test at (1 - confidence) / 2, summed over the observed spread as above.
    Source: J. Cohen, Statistical Power Analysis for the Behavioral Sciences, 2nd ed. (1988), chapter 2.

    Raises:
        ValueError: `n` is below 2, or `confidence` is not strictly between 0 and 1.
    """
    half = _half_widths(assumed, n, confidence)
    return float((1 - _normal_below(bound + half - assumed.effect, assumed.standard_error(n))).mean())


@dataclass(frozen=True)
class Part:
    """A part of a decision: true values, and the probability that `n` seeds show what is needed, given such values."""

    assumed: Assumed
    probability: Callable[[Assumed, int], float]


@dataclass(frozen=True)
class Decision:
    """What decides a question: any one of several ways, each of which takes all of its parts."""

    ways: tuple[tuple[Part, ...], ...]

    def at_upper_bound(self) -> Decision:
        """Return the same at the upper confidence bound of each standard deviation."""
        return Decision(
            tuple(tuple(replace(part, assumed=part.assumed.at_upper_bound()) for part in way) for way in self.ways)
        )

    def probability(self, n: int) -> float:
        """Return a lower bound of the probability that `n` seeds of each variant decide it.

        It is Bonferroni's, whatever the parts have to do with each other, for the most probable way; exact for a single
        part.
        """
        return max(max(0.0, 1 - sum(1 - part.probability(part.assumed, n) for part in way)) for way in self.ways)

    def seeds(self, power: float) -> int | None:
        """Return the least number of seeds, from MIN_SEEDS on, that decides it with probability `power`.

        The probability grows with the number of seeds. None: not even MOST_SEEDS suffice.

        Raises:
            ValueError: `power` is not strictly between 0 and 1.
        """
        if not 0 < power < 1:
            raise ValueError(f"expected a power between 0 and 1, found {power}")
        low, high = MIN_SEEDS - 1, MIN_SEEDS
        while self.probability(high) < power:
            if high >= MOST_SEEDS:
                return None
            low, high = high, min(2 * high, MOST_SEEDS)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.probability(middle) >= power else (middle, high)
        return high


def above(assumed: Assumed, bound: float, confidence: float = 0.95) -> Part:
    """Return the part that is shown by an interval above `bound`."""
    return Part(assumed, lambda values, n: probability_above(values, n, bound, confidence))


def below(assumed: Assumed, bound: float, confidence: float = 0.95) -> Part:
    """Return the part that is shown by an interval below `bound`."""
    return above(assumed.negative, -bound, confidence)


def verdict_among(
    assumed: Assumed, smallest_effect: float, accepted: Collection[Verdict] = DECIDED, confidence: float = 0.95
) -> Part:
    """Return the part that is shown by one of these verdicts."""

    def probability(values: Assumed, n: int) -> float:
        probabilities = verdict_probabilities(values, n, smallest_effect, confidence)
        return sum(probabilities[verdict] for verdict in accepted)

    return Part(assumed, probability)


def _half_widths(assumed: Assumed, n: int, confidence: float) -> Floats:
    """Return the half-width of the interval for each of _POINTS equally probable observed spreads: (_POINTS,)."""
    if n < 2:
        raise ValueError(f"expected at least 2 seeds, found {n}")
    if not 0 < confidence < 1:
        raise ValueError(f"expected a confidence between 0 and 1, found {confidence}")
    freedom = assumed.freedom(n)
    quantile = scipy.special.stdtrit(freedom, (1 + confidence) / 2)
    ratios = np.sqrt(scipy.special.chdtri(freedom, (np.arange(_POINTS) + 0.5) / _POINTS) / freedom)
    return np.asarray(quantile * assumed.standard_error(n) * ratios)


def _normal_below(distance: Floats, error: float) -> Floats:
    """Return the probability that a normal error with this standard deviation is below `distance`."""
    if not error:
        return np.asarray(distance >= 0, np.float64)
    return np.asarray(scipy.special.ndtr(distance / error))
