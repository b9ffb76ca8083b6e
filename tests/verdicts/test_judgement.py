"""Judgements on scores of two sides: signs, families, images, and what would decide."""

from math import inf

import numpy as np
import pytest
from scipy import stats

from pipeline.analysis import sequential
from pipeline.analysis.verdicts import Verdict
from pipeline.verdicts import judgement
from pipeline.verdicts.judgement import ImageSample, Question, Scores, SideVerdict
from tests.support import looks

ACCURACY, LOSS = Question("accuracy", 0.01), Question("loss", 0.01)


def scores(difference: float, spread: float, seeds: int = 12) -> tuple[Scores, Scores]:
    """Return A and B with a mean difference and a standard deviation of differences of exactly these."""
    first = np.random.default_rng(0).normal(0.9, 0.02, seeds)
    noise = np.random.default_rng(1).normal(size=seeds)
    noise = (noise - noise.mean()) / noise.std(ddof=1)
    return Scores(first), Scores(first + difference + spread * noise)


def judge(difference: float, spread: float, question: Question = ACCURACY, seeds: int = 12) -> SideVerdict:
    """Return the judgement on such scores, as if they were of images without number."""
    return judgement.judge(*scores(difference, spread, seeds), question, None)


@pytest.mark.parametrize(
    ("difference", "spread", "expected"),
    [
        (0.1, 0.001, Verdict.BETTER),
        (-0.1, 0.001, Verdict.WORSE),
        (0.012, 0.01, Verdict.BETTER_OPEN),
        (0.0, 0.001, Verdict.EQUIVALENT),
        (0.0, 0.1, Verdict.UNDECIDED),
    ],
)
def test_the_whole_interval_decides(difference: float, spread: float, expected: Verdict) -> None:
    """Its position among 0 and the smallest effect is the verdict; where less is better, the opposite one."""
    assert judge(difference, spread).verdict is expected
    assert judge(difference, spread, LOSS).verdict is expected.reverse
    assert judge(difference, spread).difference == pytest.approx(difference)


def test_the_interval_is_that_of_any_number_of_looks() -> None:
    """It is the mean and the spread times the factor that stays valid at every look, wider in a family."""
    one = judge(0.0, 0.1)
    half = sequential.factor(12.0, 0.95) * 0.1 / np.sqrt(12)
    assert one.interval == pytest.approx((-half, half), abs=1e-12)
    joint = judgement.judge(*scores(0.0, 0.1), ACCURACY, None, family=6)
    assert joint.confidence == pytest.approx(1 - 0.05 / 6)
    assert joint.interval.high > half


def test_steps_of_one_image_are_the_least_spread() -> None:
    """Equal differences in few seeds do not mean that there is no spread; of a loss they do."""
    stepped, any_number = (Scores(np.full(8, 0.9), step=step) for step in (1 / 50, 0.0))
    assert judgement.judge(stepped, stepped, ACCURACY, ImageSample(50)).verdict is Verdict.UNDECIDED
    assert judgement.judge(any_number, any_number, LOSS, ImageSample(50)).verdict is Verdict.EQUIVALENT
    assert judgement.same_results(stepped, ACCURACY).verdict is Verdict.EQUIVALENT


def test_other_images_are_counted_where_the_answers_are_known() -> None:
    """A change that matters on these 200 images need not on others; then more images would decide, not more seeds."""
    correct = np.ones((30, 200), dtype=bool)
    changed = correct.copy()
    changed[:, :2] = False
    correct[:, 2] = False
    before, after = (Scores(one.mean(axis=1), one) for one in (correct, changed))

    one = judgement.judge(before, after, Question("accuracy", 0.001), ImageSample(200))

    assert (one.verdict, one.verdict_here) == (Verdict.UNDECIDED, Verdict.WORSE)
    assert one.seeds_needed is None
    assert one.final
    assert 1 < one.images_needed < inf
    # That many times as many images, the same share of which reacts, are just enough.
    times = int(np.ceil(one.images_needed)) + 1
    more = [Scores(one.mean(axis=1), np.tile(one, times)) for one in (correct, changed)]
    assert (
        judgement.judge(more[0], more[1], Question("accuracy", 0.001), ImageSample(200 * times)).seeds_needed
        is not None
    )


def test_splits_that_overlap_are_counted() -> None:
    """Where each seed holds out other images, the spread has a part that more seeds do not take away."""
    one = judgement.judge(*scores(0.0, 0.1), ACCURACY, ImageSample(100, 900))
    assert one.estimate.image_error == pytest.approx(0.1 / 3)
    assert one.seeds_needed is None
    assert one.verdict_here is Verdict.UNDECIDED


@pytest.mark.parametrize(
    ("drop", "spread", "image_error", "least", "most"),
    [(0.0049, 0.00225, 0.00078, 0.95, 1), (0.003, 0.0023, 0.0007, 0.85, 1), (0.0, 0.0023, 0.0007, 0, 0.05)],
    ids=["labels of mlp_rmsprop", "three times what matters", "none"],
)
def test_labels_that_code_gets_wrong_are_found_with_the_default_budget(
    drop: float, spread: float, image_error: float, least: float, most: float
) -> None:
    """Of changes with such an effect so many are called worse within 40 seeds, and of none at most 5 of 100.

    The first numbers are those of 6 seeds of mlp_rmsprop with 2% of the training labels changed by B's code.
    """
    assert least <= looks.power(drop, spread, image_error).found <= most


def test_images_bound_what_more_seeds_find() -> None:
    """A drop of two standard errors of the images is missed by half of all single looks, also without any spread."""
    single = stats.norm.cdf(2 - stats.norm.isf(0.025))
    found = looks.power(2 * 0.0007, spread=0.0, image_error=0.0007)
    assert found.found < found.by_images < single < 0.55
    assert found.found > 0.3


@pytest.mark.parametrize("seeds", [5, 12, 40])
def test_simulations_have_the_intervals_of_verdicts(seeds: int) -> None:
    """All studies at once, and one judged by itself, have the same interval, with images and without."""
    values = np.random.default_rng(4).normal(0.9, 0.01, (2, seeds))
    by_image = np.random.default_rng(5).random((2, seeds, 300)) < values[..., None]
    sides = [Scores(one.mean(axis=1), one, 1 / 300) for one in by_image]
    one = judgement.judge(sides[0], sides[1], ACCURACY, ImageSample(300))
    error = one.estimate.image_error
    assert error is not None
    difference = (sides[1].values - sides[0].values)[None]
    for image_error, interval in ((error, one.interval), (0.0, one.estimate.interval_of_seeds())):
        found = looks.look(difference, step=1 / 300, image_error=image_error)
        assert (found.low[0, -1], found.high[0, -1]) == pytest.approx(interval)


@pytest.mark.parametrize("difference", [0.0, 0.004, 0.02])
def test_the_seeds_that_are_named_decide(difference: float) -> None:
    """With so many seeds, and difference and spread as they were, there is a verdict; with one fewer there is none."""
    needed = judge(difference, 0.03).seeds_needed
    assert needed is not None
    assert judge(difference, 0.03, seeds=needed).verdict is not Verdict.UNDECIDED
    assert judge(difference, 0.03, seeds=needed - 1).verdict is Verdict.UNDECIDED
    assert judge(difference, 30.0).seeds_needed is None


def test_the_best_may_be_several() -> None:
    """Sides that none was found to be better than may be the best."""
    values = np.random.default_rng(3).normal(0.9, 0.001, 10)
    sides = {name: Scores(values + shift) for name, shift in (("a", 0.0), ("b", 0.05), ("c", 0.05), ("d", 0.01))}
    judged = judgement.judge_all(sides, ACCURACY, None, 6)
    assert len(judged) == 6
    assert judgement.best(judged, list(sides)) == ["b", "c"]


@pytest.mark.parametrize("values", [([0.5], [0.5]), ([0.5, 0.6], [0.5]), ([0.5, float("nan")], [0.5, 0.5])])
def test_scores_that_are_none_are_rejected(values: tuple[list[float], list[float]]) -> None:
    """One seed, other numbers of seeds and NaN are a ValueError."""
    with pytest.raises(ValueError, match="expected"):
        judgement.judge(*(Scores(np.array(one)) for one in values), ACCURACY, None)
