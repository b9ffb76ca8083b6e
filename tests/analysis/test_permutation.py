"""The permutation test, against enumeration in whole numbers and fractions, and against scipy."""

from fractions import Fraction
from itertools import combinations, product
from math import comb, inf, sqrt

import numpy as np
import pytest
from scipy import stats

from pipeline.analysis import permutation
from pipeline.analysis.means import compare
from tests.support.samples import SIZES, grid, groups


def sign_flip_p(first: list[int], second: list[int]) -> float:
    """Go through all signs of the differences, in whole numbers."""
    differences = [a - b for a, b in zip(first, second, strict=True)]
    sums = [abs(sum(flipped)) for flipped in product(*((d, -d) for d in differences))]
    return sum(one >= abs(sum(differences)) for one in sums) / len(sums)


def relabelling_p(first: list[int], second: list[int]) -> float:
    """Go through all ways to deal the values out to the groups, in fractions."""
    pooled, n = first + second, len(first)

    def statistic(chosen: tuple[int, ...]) -> Fraction:
        one = sum(pooled[index] for index in chosen)
        return abs(Fraction(one, n) - Fraction(sum(pooled) - one, len(second)))

    seen = statistic(tuple(range(n)))
    every = [statistic(chosen) >= seen for chosen in combinations(range(len(pooled)), n)]
    return sum(every) / len(every)


@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_sign_flips_are_counted_exactly(n: int) -> None:
    """The paired permutation p is that of whole-number enumeration, though the accuracies' ties are blurred."""
    for seed in range(12):
        first, second = grid(n, n, seed)

        result = compare(np.array(first) / 10000, np.array(second) / 10000, paired=True)
        assert result.permutation_p == sign_flip_p(first, second)


@pytest.mark.parametrize(("n_first", "n_second"), [(2, 2), (3, 3), (2, 5), (6, 4), (5, 5)])
def test_relabellings_are_counted_exactly(n_first: int, n_second: int) -> None:
    """The two-sample permutation p is that of enumeration in fractions, though the accuracies' ties are blurred."""
    for seed in range(8):
        first, second = grid(n_first, n_second, seed)

        result = compare(np.array(first) / 10000, np.array(second) / 10000, paired=False)
        assert result.permutation_p == relabelling_p(first, second)


@pytest.mark.parametrize(("paired", "kind"), [(True, "samples"), (False, "independent")])
def test_permutation_p_is_scipys(paired: bool, kind: str) -> None:
    """Where nothing ties, the exact p value is that of scipy's permutation test."""
    first, second = groups(7, 7)
    oracle = stats.permutation_test(
        (first, second),
        lambda x, y, axis: np.abs(np.mean(x, axis=axis) - np.mean(y, axis=axis)),
        permutation_type=kind,
        alternative="greater",
        n_resamples=inf,
        vectorized=True,
    )

    assert compare(first, second, paired=paired).permutation_p == pytest.approx(oracle.pvalue, rel=1e-12)


@pytest.mark.parametrize(("n_first", "n_second"), SIZES)
def test_separated_groups_give_the_smallest_relabelling_p(n_first: int, n_second: int) -> None:
    """Groups that do not overlap reach the smallest p value that their sizes allow."""
    result = compare([1.0] * n_first, [0.0] * n_second, paired=False)

    assert result.smallest_permutation_p == (1 + (n_first == n_second)) / comb(n_first + n_second, n_first)
    assert result.permutation_p == result.smallest_permutation_p


@pytest.mark.parametrize("n", [2, 5, 10, 17])
def test_a_win_with_every_seed_gives_the_smallest_sign_flip_p(n: int) -> None:
    """Differences of one sign reach the smallest p value that their number allows."""
    result = compare(np.arange(n) + 1.0, np.zeros(n), paired=True)

    assert result.permutation_p == result.smallest_permutation_p == 2 / 2**n


@pytest.mark.parametrize("paired", [True, False])
def test_drawn_arrangements_estimate_the_exact_p(monkeypatch: pytest.MonkeyPatch, paired: bool) -> None:
    """Beyond the bound, p is within four standard errors of the exact one, and the same each time."""
    first, second = groups(8, 8, seed=5)
    exact = compare(first, second, paired=paired).permutation_p
    monkeypatch.setattr(permutation, "EXACT", 0)

    drawn = compare(first, second, paired=paired).permutation_p

    assert 0.01 < exact < 0.99
    assert drawn == pytest.approx(exact, abs=4 * sqrt(exact * (1 - exact) / permutation.DRAWS))
    assert drawn == compare(first, second, paired=paired).permutation_p != exact


@pytest.mark.parametrize("paired", [True, False])
def test_drawn_arrangements_never_give_zero(paired: bool) -> None:
    """For groups too large to go through all arrangements, the smallest p value is one among those drawn and seen."""
    result = compare(np.arange(30) + 100.0, np.arange(30) / 100, paired=paired)

    assert result.permutation_p == result.smallest_permutation_p == 1 / (permutation.DRAWS + 1)
