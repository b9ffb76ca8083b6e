"""The permutation test of a difference in means: exact for few values, sampled for many.

The statistic is the absolute difference of the means; values that differ from it by rounding alone are ties.
Paired, the test flips the signs of the differences; unpaired, it reassigns the values to the groups. It is exact up to
EXACT arrangements; beyond that, DRAWS are drawn, always the same, and p is (extreme ones + 1) / (DRAWS + 1).
Sources: R. A. Fisher, The Design of Experiments (1935), section 21; E. J. G. Pitman, Suppl. J. R. Stat. Soc. 4 (1937)
119-130; for drawn arrangements B. Phipson and G. K. Smyth, Stat. Appl. Genet. Mol. Biol. 9 (2010) 39.
"""

from itertools import combinations, product
from math import comb

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

EXACT = 200_000
DRAWS = 19_999


def p_value(first: Floats, second: Floats, paired: bool, rounding: float) -> float:
    """Return the two-sided p value of equal means of `first`, (n_first,), and `second`, (n_second,).

    Differences up to `rounding`, in the unit of the values, count as ties. Paired groups have one length.
    """
    exact = _arrangements(len(first), len(second), paired) <= EXACT
    differences = _flipped(first - second, exact) if paired else _reassigned(first, second, exact)
    extreme = int(np.sum(np.abs(differences) >= abs(first.mean() - second.mean()) - rounding))
    # The observed arrangement counts as one of those drawn, so that p is never 0.
    return extreme / len(differences) if exact else (extreme + 1) / (len(differences) + 1)


def smallest_p(n_first: int, n_second: int, paired: bool) -> float:
    """Return the smallest p value that groups of these sizes can give, whatever their values."""
    arrangements = _arrangements(n_first, n_second, paired)
    if arrangements > EXACT:
        return 1 / (DRAWS + 1)
    # Exchanging groups of one size gives the same absolute difference once more.
    return (2 if paired or n_first == n_second else 1) / arrangements


def _arrangements(n_first: int, n_second: int, paired: bool) -> int:
    return 2**n_first if paired else comb(n_first + n_second, n_first)


def _flipped(differences: Floats, exact: bool) -> Floats:
    """Return the mean difference under each choice of signs."""
    if exact:
        sums = np.fromiter(map(sum, product(*((d, -d) for d in differences.tolist()))), dtype=np.float64)
    else:
        sums = np.random.default_rng(0).choice((-1.0, 1.0), (DRAWS, len(differences))) @ differences
    return sums / len(differences)


def _reassigned(first: Floats, second: Floats, exact: bool) -> Floats:
    """Return the difference of the means under each choice of the values that make up the first group."""
    n, pooled = len(first), np.concatenate((first, second))
    if exact:
        sums = np.fromiter(map(sum, combinations(pooled.tolist(), n)), dtype=np.float64)
    else:
        dealt = np.random.default_rng(0).permuted(np.tile(pooled, (DRAWS, 1)), axis=1)
        sums = dealt[:, :n].sum(axis=1)
    return sums / n - (float(pooled.sum()) - sums) / len(second)
