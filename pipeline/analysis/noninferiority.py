"""How much accuracy a classifier may lose at most against another one on the same images."""

from __future__ import annotations

from math import sqrt
from sys import float_info


def lower_bound(only_first: int, only_second: int, n: int, confidence: float = 0.95) -> float:
    """Return the one-sided lower bound of accuracy(first) - accuracy(second): two classifiers on the same `n` images.

    `only_first` of them are right with the first alone, `only_second` with the second alone; the others decide nothing
    but n. It is Tango's: the smallest difference that the score test does not reject, whose variance is that of the
    likeliest probabilities with this difference. So it lies above -margin exactly where that test rejects a loss of
    margin or more. Wald's would have no width where two classifiers never differ; this one is then -z^2 / (n + z^2).
    Source: T. Tango, Stat. Med. 17 (1998) 891-908, equations 24 to 26.

    Raises:
        ValueError: The counts are not within 0..n, n is not above 0, or `confidence` not strictly between 0.5 and 1.
    """
    if n <= 0 or min(only_first, only_second) < 0 or only_first + only_second > n:
        raise ValueError(f"expected counts with a sum within 0..n, n above 0, found {only_first}, {only_second}, {n}")
    if not 0.5 < confidence < 1:
        raise ValueError(f"expected a confidence between 0.5 and 1, found {confidence}")
    if only_second == n:
        return -1.0
    # Imported late: scipy takes a second.
    from scipy import optimize, stats

    z = float(stats.norm.ppf(confidence))

    def excess(difference: float) -> float:
        return _score(only_first, only_second, n, difference) - z

    # The score falls from infinity at a difference of -1 to 0 at the observed one.
    return float(optimize.brentq(excess, -1.0, (only_first - only_second) / n, xtol=1e-14))


def _score(only_first: int, only_second: int, n: int, difference: float) -> float:
    """Return by how many standard errors the observed difference lies above `difference`."""
    a = 2 * n
    b = (2 * n - only_first + only_second) * difference - only_first - only_second
    c = -only_second * difference * (1 - difference)
    # The likeliest probability that the second alone is right. Rounding can take the discriminant of 0 below it.
    alone = (sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
    variance = n * (2 * alone + difference * (1 - difference))
    # At both ends of the range it can be 0.
    return (only_first - only_second - n * difference) / sqrt(max(variance, float_info.min))
