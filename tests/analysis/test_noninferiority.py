"""The bound of what a classifier may lose: against the likelihood, closed forms, R, and all possible outcomes."""

from __future__ import annotations

from math import log, sqrt
from typing import Any

import numpy as np
import pytest
from scipy import optimize, stats

from pipeline.analysis.noninferiority import lower_bound
from pipeline.analysis.statistics import wilson

Z = float(stats.norm.ppf(0.95))


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
    bound = lower_bound(*counts)

    assert score_by_likelihood(*counts, bound) == pytest.approx(Z, rel=1e-4)
    assert bound < (counts[0] - counts[1]) / counts[2]


@pytest.mark.parametrize(
    ("counts", "confidence", "bound"),
    [((60, 20, 1000), 0.975, 0.0231), ((20, 60, 1000), 0.975, -0.0584), ((28, 25, 618), 0.95, -0.0148)],
)
def test_it_is_the_bound_that_r_gives(counts: tuple[int, int, int], confidence: float, bound: float) -> None:
    """The figures are the lower ends of two-sided intervals that `PropCIs::scoreci.mp` prints."""
    assert round(lower_bound(*counts, confidence), 4) == bound


@pytest.mark.parametrize("n", [1, 44, 397, 5000, 10_000])
def test_without_a_discordant_image_the_bound_has_a_closed_form(n: int) -> None:
    """Two classifiers that never differ may still differ on images that were not seen: by z^2 / (n + z^2)."""
    assert lower_bound(0, 0, n) == pytest.approx(-(Z**2) / (n + Z**2), rel=1e-9)


@pytest.mark.parametrize(("only_first", "n"), [(0, 9), (1, 9), (5, 9), (9, 9), (5000, 10_000), (10_000, 10_000)])
def test_with_discordant_images_alone_it_is_wilsons(only_first: int, n: int) -> None:
    """Where exactly one is right on each image, the difference is twice a proportion less one."""
    low, _ = wilson(only_first, n, confidence=0.9)

    assert lower_bound(only_first, n - only_first, n) == pytest.approx(2 * low - 1, abs=1e-9)


@pytest.mark.parametrize(("only_first", "only_second"), [(40, 20), (34, 22), (33, 22), (20, 40), (3, 0), (2, 0)])
def test_it_is_above_zero_where_mcnemars_statistic_is_significant(only_first: int, only_second: int) -> None:
    """At a difference of 0 the score test is McNemar's, whatever the number of images that both got right."""
    significant = (only_first - only_second) / sqrt(only_first + only_second) > Z

    assert all((lower_bound(only_first, only_second, n) > 0) == significant for n in (60, 10_000))


def test_equal_answers_of_the_projects_size_are_not_inferior() -> None:
    """On the 10,000 test images, and on 5,000 held out, a model that never differs passes the gate's 0.003."""
    assert lower_bound(0, 0, 10_000) > -0.003
    assert lower_bound(0, 0, 5_000) > -0.003


def test_more_images_lost_never_raise_it() -> None:
    """Each further image that only the second gets right lowers the bound, each that only the first does raises it."""
    assert np.all(np.diff([lower_bound(20, lost, 500) for lost in range(60)]) < 0)
    assert np.all(np.diff([lower_bound(won, 20, 500) for won in range(60)]) > 0)


@pytest.mark.parametrize(("discordant", "margin"), [(0.1, 0.05), (0.2, 0.05), (0.3, 0.2)])
def test_a_model_that_loses_the_margin_is_rarely_taken(discordant: float, margin: float) -> None:
    """By all outcomes of 100 images, a true loss of the whole margin passes about one time in twenty, not more."""
    n, worse, better = 100, (discordant + margin) / 2, (discordant - margin) / 2
    chance = 0.0
    for won in range(n + 1):
        for lost in range(n + 1 - won):
            likely = float(stats.multinomial.pmf([won, lost, n - won - lost], n, [better, worse, 1 - discordant]))
            if likely > 1e-7 and lower_bound(won, lost, n) > -margin:
                chance += likely

    assert 0.02 < chance < 0.065


@pytest.mark.parametrize(
    "arguments", [(0, 0, 0), (-1, 0, 5), (0, -1, 5), (3, 3, 5), (1, 1, 5, 0.5), (1, 1, 5, 1.0), (1, 1, 5, float("nan"))]
)
def test_impossible_counts_are_refused(arguments: tuple[Any, ...]) -> None:
    """Counts that no comparison gives, and a confidence that is no bound's, are a ValueError."""
    with pytest.raises(ValueError, match="expected"):
        lower_bound(*arguments)
