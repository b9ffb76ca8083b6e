"""What chance alone shows, from simulated histories and answers whose noise is known."""

import math
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pipeline.params import Params
from pipeline.study import noise
from pipeline.study.groups import StudyData, VariantGroup
from pipeline.study.noise import Noise
from pipeline.trials.ledger import Entry
from tests.support import study_runs

NAME, WINDOW, SLIGHT, STRONG = "mlp_rmsprop", 3, 1.05, 1.25
FALLING = 0.1 + 0.5 ** np.arange(1, 21)


def log_rise(loss: np.ndarray) -> float:
    """Return the logarithm of the rise of a history by its definition."""
    smooth = [loss[start : start + WINDOW].mean() for start in range(len(loss) - WINDOW + 1)]
    return math.log(smooth[-1] / min(smooth)) if smooth[-1] else 0.0


def data(values: Params, losses: np.ndarray, right: np.ndarray | None = None) -> StudyData:
    """Return a study of one variant with these losses, (seeds, epochs), and correct answers, (seeds, images)."""
    study, entries = study_runs.project(), {}
    right = np.random.default_rng(9).random((len(losses), 50)) < 0.9 if right is None else right
    study = study.model_copy(update={"variants": {NAME: study.variants[NAME]}})
    for seed, (loss, own) in enumerate(zip(losses, right, strict=True)):
        wrong = np.flatnonzero(~own)
        errors = pd.DataFrame({"image": wrong, "label": 3, "answer": np.where(wrong % 2, 5, 8)})
        splits = {"test": {"count": right.shape[1], "accuracy": float(own.mean())}}
        entries[seed] = Entry(NAME, seed, {"splits": splits}, pd.DataFrame({"val_loss": loss}), errors)
    known = {("log_rise", seed): log_rise(loss) for seed, loss in enumerate(losses)}
    analyses: Any = dict.fromkeys(entries)
    group = VariantGroup(NAME, study.variants[NAME], entries, analyses, 0, 0, known)
    return StudyData(study, study_runs.rules(values), {NAME: group})


def of(values: Params, losses: np.ndarray, right: np.ndarray | None = None) -> Noise:
    """Return the noise of that variant."""
    (found,) = noise.of_variants(data(values, losses, right))
    return found


def test_rises_are_those_of_single_histories_and_of_their_mean(values: Params) -> None:
    """One is a geometric mean, the other that of the mean history with its jackknife interval, each by hand."""
    losses = FALLING * np.random.default_rng(0).normal(1, 0.05, (6, 20))
    pseudo = [
        6 * log_rise(losses.mean(axis=0)) - 5 * log_rise(np.delete(losses, one, axis=0).mean(axis=0))
        for one in range(6)
    ]

    found = of(values, losses)

    assert (found.variant, found.n) == (NAME, 6)
    assert found.rise == pytest.approx(stats.gmean([math.exp(log_rise(loss)) for loss in losses]))
    assert found.rise_of_mean == pytest.approx(math.exp(np.mean(pseudo)))
    assert found.interval == pytest.approx(tuple(np.exp(stats.ttest_1samp(pseudo, 0).confidence_interval())))


@pytest.mark.parametrize("curve", [FALLING, FALLING[::-1], np.zeros(20)], ids=["falls", "rises", "is 0"])
def test_equal_histories_have_no_noise(values: Params, curve: np.ndarray) -> None:
    """Whatever their common curve does, even at a loss of 0, nothing of it is by chance."""
    found = of(values, np.stack([curve] * 4))

    assert (found.flat_slight, found.flat_strong) == (0, 0)
    assert found.rise == pytest.approx(found.rise_of_mean)


@pytest.mark.parametrize(("spread", "expected"), [(0.01, (0, 0)), (0.06, (0.5, 0)), (0.4, (0.9, 0.6))])
def test_a_rise_by_chance_is_as_frequent_as_in_flat_histories(
    values: Params, spread: float, expected: tuple[float, float]
) -> None:
    """Of histories that vary about a falling or rising curve, the shares are those of as much noise about none."""
    random = np.random.default_rng(1)
    flat = np.exp([log_rise(row) for row in np.maximum(random.normal(1, spread, (4000, 20)), 0.01)])
    shares = [np.mean(flat >= bound) for bound in (SLIGHT, STRONG)]

    for curve in (FALLING, FALLING[::-1]):
        found = of(values, curve * np.maximum(random.normal(1, spread, (400, 20)), 0.01))

        assert (found.flat_slight, found.flat_strong) == pytest.approx(shares, abs=0.08)
    assert shares == pytest.approx(expected, abs=0.25)


def test_seeds_of_one_network_are_told_apart_as_often_as_the_binomial_test_says(values: Params) -> None:
    """Of all pairs of seeds, it is the share with a p value below 5%."""
    random = np.random.default_rng(3)
    right = random.random((6, 300)) < np.linspace(0.8, 0.95, 6)[:, None]
    rejected = [
        stats.binomtest(int(np.sum(one & ~two)), int(np.sum(one ^ two))).pvalue < 0.05
        for one, two in combinations(right, 2)
    ]

    assert 0 < sum(rejected) < len(rejected)
    assert of(values, np.stack([FALLING] * 6), right).mcnemar == pytest.approx(np.mean(rejected))


@pytest.mark.parametrize("apart", [0.0, 0.02])
def test_the_spread_is_of_images_and_of_networks(values: Params, apart: float) -> None:
    """If each image is missed independently, networks do not differ; else as much as they were made to."""
    random, found = np.random.default_rng(4), []
    chances = random.uniform(0.7, 1, 500)
    for _ in range(30):
        own = np.clip(chances + random.normal(0, apart, (12, 1)), 0, 1)
        found.append(of(values, np.stack([FALLING] * 12), random.random((12, 500)) < own))

    of_images = math.sqrt((chances * (1 - chances)).sum()) / 500
    assert np.mean([one.sd_of_images for one in found]) == pytest.approx(of_images, rel=0.03)
    between = [one.sd**2 - one.sd_of_images**2 for one in found]
    assert np.mean(between) == pytest.approx(apart**2, rel=0.35, abs=2e-5)
    assert [one.sd_of_networks for one in found] == pytest.approx(np.sqrt(np.maximum(between, 0)))


def test_images_that_half_of_the_replicates_miss_are_listed(values: Params) -> None:
    """They come with their shares, the most missed first, the answer that most give, and whether people doubt them."""
    right = np.ones((4, 10), bool)
    right[:, 3], right[:2, 6], right[0, 7] = False, False, False

    missed = data(values, np.stack([FALLING] * 4), right)
    rows = noise.missed(missed, {"mnist": [6, 7]})

    assert [(*map(row.get, ("dataset", "image", "label", "share", "answer", "doubted")),) for row in rows] == [
        ("mnist", 3, 3, 1.0, 5, False),
        ("mnist", 6, 3, 0.5, 8, True),
    ]
    assert not any("doubted" in row for row in noise.missed(missed, {}))


def test_too_few_seeds_and_no_replicates_say_nothing(values: Params) -> None:
    """Of two seeds there is no noise to be known; without an error no image is missed."""
    none = data(values, np.stack([FALLING] * 2), np.ones((2, 5), bool))

    assert list(noise.of_variants(none)) == []
    assert noise.missed(none, {}) == []
    assert noise.missed(StudyData(none.study, none.rules, {NAME: none.groups[NAME].without(0).without(1)}), {}) == []
