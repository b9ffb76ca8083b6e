"""Intervals and tests of proportions, against scipy, R, the likelihood and enumeration."""

from collections.abc import Callable
from functools import partial
from itertools import combinations, product
from math import log, nan, sqrt
from typing import Any

import numpy as np
import pytest
from scipy import optimize, stats

from pipeline.analysis.proportions import McNemar, mcnemar, mcnemar_among, tango_lower_bound, wilson

Z = float(stats.norm.ppf(0.95))


def correct_answers(both: int, only_first: int, only_second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    """Mark two classifiers' correct answers with these four counts."""
    counts = [both, only_first, only_second, neither]
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
@pytest.mark.parametrize(("successes", "n"), [(1, 2), (9834, 10000), (9902, 10000), (3, 17), (0, 5), (5, 5), (1, 1)])
def test_wilson_is_scipys(successes: int, n: int, confidence: float) -> None:
    """The interval is that of scipy."""
    expected = stats.binomtest(successes, n).proportion_ci(confidence, "wilson")

    assert wilson(successes, n, confidence) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("errors", "interval"), [(166, (0.9807, 0.9857)), (169, (0.9804, 0.9854)), (98, (0.9881, 0.9920))]
)
def test_wilson_gives_the_intervals_of_the_original(errors: int, interval: tuple[float, float]) -> None:
    """The accuracies printed in the original have the intervals from which the gate's floors are taken."""
    assert tuple(round(limit, 4) for limit in wilson(10000 - errors, 10000)) == interval


@pytest.mark.parametrize("n", [1, 7, 10, 10000])
def test_wilson_ends_are_exact(n: int) -> None:
    """Without a success the lower limit is 0 itself, without a failure the upper one is 1 itself."""
    assert wilson(0, n)[0] == 0
    assert wilson(n, n)[1] == 1
    assert 0 < wilson(0, n)[1] < 1
    assert 0 < wilson(n, n)[0] < 1


@pytest.mark.parametrize(("only_first", "only_second"), list(product([0, 1, 2, 5, 30], repeat=2)))
def test_mcnemar_is_an_exact_binomial_test(only_first: int, only_second: int) -> None:
    """The p value is scipy's two-sided binomial one of the discordant images, and 1 where there are none."""
    n = only_first + only_second
    expected = stats.binomtest(only_first, n).pvalue if n else 1

    result = mcnemar(*correct_answers(4, only_first, only_second, 3))

    assert result == McNemar(only_first, only_second, pytest.approx(expected, rel=1e-9))


def test_mcnemar_leaves_agreement_out() -> None:
    """Images that both classify correctly, or both wrongly, change nothing."""
    assert mcnemar(*correct_answers(0, 7, 2, 0)) == mcnemar(*correct_answers(9000, 7, 2, 500))


def score_by_likelihood(only_first: int, only_second: int, n: int, difference: float) -> float:
    """Return Tango's statistic with the probability of the second alone found by maximising the likelihood."""

    def loss(alone: float) -> float:
        counts = (only_first, only_second, n - only_first - only_second)
        chances = (alone + difference, alone, 1 - difference - 2 * alone)
        return -sum(count * log(max(chance, 1e-300)) for count, chance in zip(counts, chances, strict=True) if count)

    bounds = (max(0.0, -difference), (1 - difference) / 2)
    alone = optimize.minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-13}).x
    return float((only_first - only_second - n * difference) / sqrt(n * (2 * alone + difference - difference**2)))


@pytest.mark.parametrize(
    "counts", [(1, 1, 40), (5, 12, 100), (30, 0, 100), (0, 30, 100), (43, 121, 10_000), (9, 10, 397), (3, 2, 7)]
)
def test_the_score_test_is_at_its_limit_there(counts: tuple[int, int, int]) -> None:
    """At the bound, the observed difference is 1.645 standard errors away, these by the likelihood itself."""
    bound = tango_lower_bound(*counts)

    assert score_by_likelihood(*counts, bound) == pytest.approx(Z, rel=1e-4)
    assert bound < (counts[0] - counts[1]) / counts[2]


@pytest.mark.parametrize(
    ("counts", "confidence", "bound"),
    [((60, 20, 1000), 0.975, 0.0231), ((20, 60, 1000), 0.975, -0.0584), ((28, 25, 618), 0.95, -0.0148)],
)
def test_it_is_the_bound_that_r_gives(counts: tuple[int, int, int], confidence: float, bound: float) -> None:
    """The figures are the lower ends of two-sided intervals that `PropCIs::scoreci.mp` prints."""
    assert round(tango_lower_bound(*counts, confidence), 4) == bound


@pytest.mark.parametrize("n", [1, 44, 397, 5000, 10_000])
def test_without_a_discordant_image_the_bound_has_a_closed_form(n: int) -> None:
    """Two classifiers that never differ may still differ on images that were not seen: by z^2 / (n + z^2)."""
    assert tango_lower_bound(0, 0, n) == pytest.approx(-(Z**2) / (n + Z**2), rel=1e-9)


@pytest.mark.parametrize(("only_first", "n"), [(0, 9), (1, 9), (5, 9), (9, 9), (5000, 10_000), (10_000, 10_000)])
def test_with_discordant_images_alone_it_is_wilsons(only_first: int, n: int) -> None:
    """If exactly one is correct on each image, the difference is twice a proportion minus one."""
    low, _ = wilson(only_first, n, confidence=0.9)

    assert tango_lower_bound(only_first, n - only_first, n) == pytest.approx(2 * low - 1, abs=1e-9)


@pytest.mark.parametrize(("only_first", "only_second"), [(40, 20), (34, 22), (33, 22), (20, 40), (3, 0), (2, 0)])
def test_it_is_above_zero_where_mcnemars_statistic_is_significant(only_first: int, only_second: int) -> None:
    """At a difference of 0 the score test is McNemar's, whatever the number of images that both classify correctly."""
    significant = (only_first - only_second) / sqrt(only_first + only_second) > Z

    assert all((tango_lower_bound(only_first, only_second, n) > 0) == significant for n in (60, 10_000))


def test_more_images_lost_never_raise_it() -> None:
    """Each further image that only the second gets right lowers the bound, each that only the first does raises it."""
    assert np.all(np.diff([tango_lower_bound(20, lost, 500) for lost in range(60)]) < 0)
    assert np.all(np.diff([tango_lower_bound(won, 20, 500) for won in range(60)]) > 0)


@pytest.mark.parametrize(("discordant", "margin"), [(0.1, 0.05), (0.2, 0.05), (0.3, 0.2)])
def test_a_model_that_loses_the_margin_is_rarely_taken(discordant: float, margin: float) -> None:
    """By all outcomes of 100 images, a true loss of the whole margin passes about one time in twenty, not more."""
    n, worse, better = 100, (discordant + margin) / 2, (discordant - margin) / 2
    chance = 0.0
    for won in range(n + 1):
        for lost in range(n + 1 - won):
            likely = float(stats.multinomial.pmf([won, lost, n - won - lost], n, [better, worse, 1 - discordant]))
            if likely > 1e-7 and tango_lower_bound(won, lost, n) > -margin:
                chance += likely

    assert 0.02 < chance < 0.065


@pytest.mark.parametrize(
    "impossible",
    [
        *(partial(wilson, *counts) for counts in ((0, 0), (1, -1), (-1, 5), (6, 5))),
        *(partial(wilson, 1, 5, confidence) for confidence in (0.0, 1.0, nan)),
        *(partial(tango_lower_bound, *counts) for counts in ((0, 0, 0), (-1, 0, 5), (0, -1, 5), (3, 3, 5))),
        *(partial(tango_lower_bound, 1, 1, 5, confidence) for confidence in (0.5, 1.0, nan)),
        partial(mcnemar, np.ones(3, bool), np.ones(4, bool)),
        partial(mcnemar, np.ones(0, bool), np.ones(0, bool)),
        partial(mcnemar, np.ones(3, int), np.ones(3, bool)),
        partial(mcnemar, np.ones((3, 1), bool), np.ones((3, 1), bool)),
    ],
)
def test_what_cannot_be_is_rejected(impossible: Callable[[], Any]) -> None:
    """Counts that no experiment gives, a confidence that is none, and answers that are not paired are a ValueError."""
    with pytest.raises(ValueError, match="expected"):
        impossible()


def test_mcnemar_among_several_is_that_of_each_two() -> None:
    """The p values are those of the test of each pair, in their order; of equal classifiers 1."""
    random = np.random.default_rng(0)
    correct = random.random((6, 200)) < np.linspace(0.7, 0.9, 6)[:, None]
    correct[5] = correct[4]

    found = mcnemar_among(correct)

    pairs = combinations(correct, 2)
    assert found == pytest.approx([mcnemar(*pair).p_value for pair in pairs])
    assert found[-1] == 1
    assert found.min() < 0.05
    assert mcnemar_among(correct[:1]).size == 0
