"""Intervals and paired tests for classifiers that were scored on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# statsmodels takes more than a second to import, so each function imports the part it needs.


@dataclass(frozen=True)
class McNemar:
    """How many images only one of two classifiers gets right, and the exact two-sided p value of that difference."""

    only_first: int
    only_second: int
    p_value: float


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the score interval (lower, upper) of a proportion, both within [0, 1].

    Source: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209-212.

    Raises:
        ValueError: `n` is not above 0, `successes` not within 0..n, or `confidence` not strictly between 0 and 1.
    """
    if n <= 0:
        raise ValueError(f"expected n above 0, found {n}")
    if not 0 <= successes <= n:
        raise ValueError(f"expected successes within 0..{n}, found {successes}")
    if not 0 < confidence < 1:
        raise ValueError(f"expected a confidence between 0 and 1, found {confidence}")
    from statsmodels.stats.proportion import proportion_confint

    lower, upper = proportion_confint(successes, n, alpha=1 - confidence, method="wilson")
    # At the ends the limits are exactly 0 and 1, which rounding can miss.
    return float(lower) if successes else 0.0, float(upper) if successes < n else 1.0


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> McNemar:
    """Compare two classifiers on the same images; `first` and `second`, (n,) bool, say which images each gets right.

    The p value is the exact binomial one: under equal error rates, an image that one classifier alone gets right is the
    first's or the second's with probability 1/2 each. It speaks of these two fitted models only.
    Source: Q. McNemar, Psychometrika 12 (1947) 153-157.

    Raises:
        ValueError: The arrays are not one-dimensional, not boolean, empty or of different lengths.
    """
    for array in (first, second):
        if array.ndim != 1 or array.dtype != np.bool_ or not array.size:
            raise ValueError(f"expected a boolean array (n,) with n above 0, found {array.dtype}{array.shape}")
    if len(first) != len(second):
        raise ValueError(f"expected equal lengths, found {len(first)} and {len(second)}")
    from statsmodels.stats.contingency_tables import mcnemar as exact_test

    only_first, only_second = int(np.sum(first & ~second)), int(np.sum(second & ~first))
    table = [[int(np.sum(first & second)), only_first], [only_second, int(np.sum(~first & ~second))]]
    return McNemar(only_first, only_second, float(exact_test(table, exact=True).pvalue))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p values adjusted for their number by Holm's step-down rule, in the order given.

    Source: S. Holm, Scand. J. Stat. 6 (1979) 65-70.

    Raises:
        ValueError: A p value is not within [0, 1].
    """
    if not all(0 <= p <= 1 for p in p_values):
        raise ValueError(f"expected p values within [0, 1], found {list(p_values)}")
    from statsmodels.stats.multitest import multipletests

    return [float(p) for p in multipletests(p_values, method="holm")[1]]
