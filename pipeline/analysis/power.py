"""How many seeds decide a question: the probabilities of the verdicts for planned numbers of seeds.

Results are normal, as t intervals assume. Every independent sample has the same number of seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from pipeline.analysis import verdicts
from pipeline.analysis.prediction import SPREAD_CONFIDENCE, sd_upper_bound
from pipeline.analysis.verdicts import MIN_SEEDS, Verdict

# scipy takes a second to import, so each function imports the part it needs.

Floats = NDArray[np.float64]

# The largest number of seeds that is looked at.
MOST_SEEDS = 100_000
# Points at which the distribution of the observed spread is evaluated.
_POINTS = 400
DECIDED = frozenset(Verdict) - {Verdict.UNDECIDED}


@dataclass(frozen=True)
class Assumed:
    """The true values that are planned with: an effect, and the standard deviation of each of its independent samples.

    One standard deviation is that of a mean, or of differences within seeds (a paired t interval); two are those of a
    difference of independent means (Welch's interval). `degrees_of_freedom` tell how well each of them is known.
    """

    effect: float
    sds: tuple[float, ...]
    degrees_of_freedom: tuple[float, ...]

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
    _POINTS equally probable spreads. It is exact for one sample and, with Welch's degrees of freedom at the assumed
    spreads, close for two.

    Raises:
        ValueError: `n` is below 2, `smallest_effect` not above 0, or `confidence` not strictly between 0 and 1.
    """
    verdicts.check_smallest_effect(smallest_effect)
    half, error = _half_widths(assumed, n, confidence), assumed.standard_error(n)
    d = smallest_effect

    def below(limit: Floats) -> Floats:
        return _normal_below(limit - assumed.effect, error)

    # The estimate at which each verdict begins and ends, for each half-width.
    inner = np.maximum(d - half, 0)
    better, worse = 1 - below(d + half), below(-d - half)
    equivalent = np.where(half < d, below(inner) - below(-inner), 0)
    above_0, below_0 = 1 - below(np.maximum(half, inner)), below(-np.maximum(half, inner))
    found = {
        Verdict.BETTER: better,
        Verdict.WORSE: worse,
        Verdict.EQUIVALENT: equivalent,
        Verdict.BETTER_OPEN: above_0 - better,
        Verdict.WORSE_OPEN: below_0 - worse,
    }
    shares = {verdict: float(np.clip(values, 0, 1).mean()) for verdict, values in found.items()}
    return {**shares, Verdict.UNDECIDED: max(0.0, 1 - sum(shares.values()))}


def probability_beyond(assumed: Assumed, n: int, bound: float, confidence: float = 0.95) -> float:
    """Return the probability that the whole t interval from `n` seeds is on the effect's side of `bound`.

    It is the power of the one-sided t test at (1 - confidence) / 2, by the noncentral t distribution.
    Source: J. Cohen, Statistical Power Analysis for the Behavioral Sciences, 2nd ed. (1988), chapter 2.

    Raises:
        ValueError: As for `verdict_probabilities`.
    """
    error, freedom, quantile = assumed.standard_error(n), assumed.freedom(n), _quantile(assumed, n, confidence)
    distance = abs(assumed.effect - bound)
    if not error:
        return float(distance > 0)
    from scipy import stats

    return float(np.nan_to_num(stats.nct.sf(quantile, freedom, distance / error), nan=1.0))


def seeds_needed(probability: Callable[[int], float], power: float, least: int = MIN_SEEDS) -> int | None:
    """Return the least number of seeds, from `least` on, with which `probability` reaches `power`.

    `probability` grows with the number of seeds. None: not even MOST_SEEDS suffice.

    Raises:
        ValueError: `power` is not strictly between 0 and 1.
    """
    if not 0 < power < 1:
        raise ValueError(f"expected a power between 0 and 1, found {power}")
    low, high = least - 1, least
    while probability(high) < power:
        if high >= MOST_SEEDS:
            return None
        low, high = high, min(2 * high, MOST_SEEDS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if probability(middle) >= power else (middle, high)
    return high


def seeds_to_decide(
    assumed: Assumed,
    smallest_effect: float,
    *,
    power: float = 0.8,
    confidence: float = 0.95,
    accepted: Collection[Verdict] = DECIDED,
) -> int | None:
    """Return the least number of seeds in each sample whose verdict is one of `accepted` with probability `power`.

    None: not even MOST_SEEDS suffice.

    Raises:
        ValueError: A number is out of its range.
    """

    def probability(n: int) -> float:
        found = verdict_probabilities(assumed, n, smallest_effect, confidence)
        return sum(found[verdict] for verdict in accepted)

    return seeds_needed(probability, power)


def _quantile(assumed: Assumed, n: int, confidence: float) -> float:
    if n < 2:
        raise ValueError(f"expected at least 2 seeds, found {n}")
    if not 0 < confidence < 1:
        raise ValueError(f"expected a confidence between 0 and 1, found {confidence}")
    from scipy import stats

    return float(stats.t.isf((1 - confidence) / 2, assumed.freedom(n)))


def _half_widths(assumed: Assumed, n: int, confidence: float) -> Floats:
    """Return the half-width of the interval for each of _POINTS equally probable observed spreads: (_POINTS,)."""
    quantile, freedom = _quantile(assumed, n, confidence), assumed.freedom(n)
    from scipy import stats

    ratios = np.sqrt(stats.chi2.ppf((np.arange(_POINTS) + 0.5) / _POINTS, freedom) / freedom)
    return np.asarray(quantile * assumed.standard_error(n) * ratios)


def _normal_below(distance: Floats, error: float) -> Floats:
    """Return the probability that a normal error with this standard deviation is below `distance`."""
    if not error:
        return np.asarray(distance >= 0, np.float64)
    from scipy import special

    return np.asarray(special.ndtr(distance / error))
