"""Intervals that hold at every look: the formula against its integral, and error rates by simulation."""

import numpy as np
import pytest
from scipy import optimize, stats
from statsmodels.stats.power import TTestPower

from pipeline.analysis import crossed, sequential
from pipeline.analysis.means import Estimate
from pipeline.analysis.sequential import SequentialEstimate, factor
from tests.support.looks import look

# The smallest difference that matters, and the most seeds of a call.
EFFECT, MOST = 0.001, 200
N = np.arange(1, MOST + 1, dtype=np.float64)


@pytest.mark.parametrize("n", [5, 8, 30, 200])
@pytest.mark.parametrize("confidence", [0.95, 0.99])
def test_the_interval_has_the_means_that_the_bayes_factor_does_not_exclude(n: int, confidence: float) -> None:
    """At the end of the interval, the t test's Bayes factor, integrated numerically, is 1 / (1 - confidence)."""

    def excess(t: float) -> float:
        null = stats.t.pdf(t, n - 1)
        effects = np.linspace(-6, 6, 4001)
        likelihood = stats.nct.pdf(t, n - 1, effects * np.sqrt(n)) * stats.norm.pdf(effects)
        density = np.trapezoid(np.nan_to_num(likelihood), effects)
        return float(density / null * (1 - confidence) - 1)

    if np.isinf(factor(float(n), confidence)):
        assert excess(200.0) < 0
    else:
        end = optimize.brentq(excess, 0.1, 60)
        assert factor(float(n), confidence) == pytest.approx(end, rel=1e-4)


def test_few_values_say_nothing() -> None:
    """Fewer than five values have an infinite interval, also without any spread, unless the results are the same."""
    assert [np.isinf(factor(float(n), 0.95)) for n in range(1, 7)] == [True] * 4 + [False] * 2
    assert SequentialEstimate(Estimate(0.0, 0.0, 2.0)).interval() == (-np.inf, np.inf)
    assert SequentialEstimate(Estimate(0.0, 0.0, 2.0), same=True).interval() == (0.0, 0.0)


@pytest.mark.parametrize("confidence", [0.0, 1.0, -1.0, float("nan")])
def test_a_confidence_that_is_none_is_rejected(confidence: float) -> None:
    """A confidence is strictly between 0 and 1."""
    with pytest.raises(ValueError, match="expected a confidence"):
        SequentialEstimate(Estimate(0.0, 1.0, 9.0)).interval(confidence)


@pytest.mark.parametrize("sd", [0.0012, 0.0018])
@pytest.mark.parametrize("true", [0.0, EFFECT / 2, EFFECT, 2 * EFFECT])
def test_looking_after_every_seed_is_wrong_in_at_most_5_percent(sd: float, true: float) -> None:
    """With a look after every seed from 3 to 200, at most 5% of studies ever give a wrong verdict."""
    looks = look(np.random.default_rng(7).normal(true, sd, (4000, MOST)))
    assert looks.wrong(true, EFFECT) <= 0.05


@pytest.mark.parametrize("images", [200, 1000, 5000])
@pytest.mark.parametrize("changed", [0.02, 0.3, 1.0, 10.0])
@pytest.mark.parametrize("true", [0.0, EFFECT / 2, EFFECT])
def test_steps_of_one_image_are_no_certainty(images: int, changed: float, true: float) -> None:
    """It holds for accuracies, where few seeds often give equal differences: `changed` images each way per seed."""
    random = np.random.default_rng(8)
    won, lost = changed + max(true * images / 2, 0), max(changed - true * images / 2, 0.0)
    won = max(won, true * images) if lost == 0 else won
    counts = random.poisson(won, (3000, MOST)) - random.poisson(lost, (3000, MOST))
    expected = (won - lost) / images
    assert look(counts / images, step=1 / images).wrong(expected, EFFECT) <= 0.05


@pytest.mark.parametrize("sd", [0.0012, 0.0018])
def test_a_large_difference_takes_hardly_more_seeds_than_a_fixed_plan(sd: float) -> None:
    """At twice the smallest effect, the whole interval is beyond it after at most 1.3 times the seeds of a plan."""
    looks = look(np.random.default_rng(9).normal(2 * EFFECT, sd, (4000, MOST)))
    beyond = looks.low > EFFECT
    assert beyond.any(axis=1).all()
    fixed = TTestPower().solve_power(effect_size=EFFECT / sd, alpha=0.05, power=0.8)
    assert (beyond.argmax(axis=1) + 1).mean() <= 1.3 * fixed


@pytest.mark.parametrize("true", [0.0, 0.0007])
def test_a_verdict_for_new_images_is_wrong_in_at_most_5_percent(true: float) -> None:
    """Of studies on 1,000 images each that react differently to a change, at most 5% are wrong about new images.

    An interval over seeds alone is wrong about new images several times as often.
    """
    random, share, seeds, studies = np.random.default_rng(10), 0.1, 40, 250
    values, errors = np.empty((studies, seeds)), np.zeros((studies, seeds))
    for study in range(studies):
        reacting = random.binomial(1000, share)
        first = random.uniform(0.3, 0.7, reacting)
        second = first + random.normal(true / share, 0.25, reacting)
        answers = [random.random((seeds, reacting)) < chance for chance in (first, second)]
        padded = [np.pad(one, ((0, 0), (0, 1000 - reacting))) for one in answers]
        values[study] = padded[1].mean(axis=1) - padded[0].mean(axis=1)
        for n in range(5, seeds + 1):
            errors[study, n - 1] = crossed.image_error(padded[1][:n], padded[0][:n], paired=True)
    assert look(values, step=0.001, image_error=errors).wrong(true, EFFECT) <= 0.05
    assert look(values, step=0.001).wrong(true, EFFECT) > 0.1


@pytest.mark.parametrize("images", [40, 200, 1000])
def test_other_splits_per_seed_count_the_images_that_they_share(images: int) -> None:
    """With another split per seed, the intervals of at most 5% of studies ever miss the true difference.

    Two linear classifiers on ten times as many images, of which one ignores three of twelve features.
    """
    random, seeds, studies = np.random.default_rng(11), 30, 200
    direction = np.full(12, 12**-0.5)
    values = np.empty((studies, seeds))
    for study in range(studies):
        labels = random.choice([-1.0, 1.0], 10 * images)
        features = random.normal(size=(10 * images, 12)) + np.outer(labels, direction)
        squares, products = features.T @ features, features.T @ labels
        for seed in range(seeds):
            order = random.permutation(len(labels))
            held = order[:images]
            rest = squares - features[held].T @ features[held], products - features[held].T @ labels[held]
            weights = np.linalg.solve(*rest)
            less = np.where(np.arange(12) < 9, weights, 0)
            right = [(features[held] @ one * labels[held] > 0).mean() for one in (weights, less)]
            values[study, seed] = right[1] - right[0]
    mean = values.cumsum(axis=1) / N[:seeds]
    sd = np.sqrt(
        np.maximum((values**2).cumsum(axis=1) / N[:seeds] - mean**2, 0) * N[:seeds] / np.maximum(N[:seeds] - 1, 1)
    )
    looks = look(values, step=1 / images, image_error=sequential.split_error(sd, images, 9 * images))
    true = values.mean()
    missed = ((looks.low > true) | (looks.high < true)).any(axis=1).mean()
    assert missed <= 0.05
