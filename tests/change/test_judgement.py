"""The verdict on a change from the scores of both sides: its level, its direction, the seeds that would decide it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pipeline.analysis.verdicts import Verdict
from pipeline.change import judgement
from pipeline.change.judgement import Question
from pipeline.errors import InputError
from pipeline.params import Params

CALLS = 200
Scores = tuple[np.ndarray, np.ndarray]
DECIDED_FOR = (Verdict.BETTER, Verdict.BETTER_OPEN)
DECIDED_AGAINST = (Verdict.WORSE, Verdict.WORSE_OPEN)


def ask(images: int = 5000, smallest: float = 0.001, metric: str = "accuracy") -> Question:
    """Return a question."""
    return Question(metric, smallest, images)


def draw(random: np.random.Generator, seeds: int, images: int, spread: float, gain: float = 0.0) -> Scores:
    """Return accuracies of both sides, of whole images: seeds have a share in common, and B gains `gain`."""
    common = random.normal(0.98, spread, seeds)
    first, second = (common + random.normal(0, spread, seeds) for _ in range(2))
    return np.round(first * images) / images, np.round((second + gain) * images) / images


def judge(first: np.ndarray, second: np.ndarray, question: Question) -> Verdict:
    """Return the verdict alone: the seeds that would decide it take a hundred times as long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judgement.power, "seeds_to_decide", lambda *_, **__: None)
        return judgement.judge_change(first, second, question).verdict


def simulate(seeds: int, images: int, spread: float, gain: float = 0.0) -> list[Verdict]:
    """Return the verdicts of simulated calls."""
    random = np.random.default_rng([seeds, images])
    return [judge(*draw(random, seeds, images, spread, gain), ask(images)) for _ in range(CALLS)]


@pytest.mark.parametrize("spread", [0.0002, 0.001, 0.004], ids=["of an image", "as on MNIST", "large"])
@pytest.mark.parametrize(("seeds", "images"), [(3, 140), (3, 5000), (10, 5000)])
def test_the_same_distribution_twice_is_rarely_better_or_worse(seeds: int, images: int, spread: float) -> None:
    """In 200 simulated calls, not more often than the level of .05 explains, also where accuracies are few steps."""
    wrong = sum(one in (*DECIDED_FOR, *DECIDED_AGAINST) for one in simulate(seeds, images, spread))

    # So many or more have a probability below 1 in 1,000 at the level.
    assert wrong < stats.binom.isf(0.001, CALLS, judgement.LEVEL) + 1


def test_a_difference_is_found() -> None:
    """A loss of three times what matters is worse in nearly all simulated calls, and never better."""
    found = simulate(10, 5000, 0.0005, gain=-0.003)

    assert sum(one in DECIDED_AGAINST for one in found) > 0.95 * CALLS
    assert not {*found} & {*DECIDED_FOR}


def test_the_interval_is_the_paired_t_interval() -> None:
    """It is scipy's for the differences B - A; for two models, each at 97.5%."""
    first, second = draw(np.random.default_rng(0), 10, 5000, 0.001)

    for family, confidence in ((1, 0.95), (2, 0.975)):
        found = judgement.judge_change(first, second, ask(), family)
        expected = stats.ttest_rel(second, first).confidence_interval(confidence)
        assert found.interval == pytest.approx((expected.low, expected.high))
        assert found.difference == pytest.approx((second - first).mean())
        assert found.confidence == confidence


@pytest.mark.parametrize(
    ("metric", "second", "verdict"),
    [
        ("accuracy", 0.95, Verdict.WORSE),
        ("accuracy", 0.99, Verdict.BETTER),
        ("loss", 0.95, Verdict.BETTER),
        ("brier", 0.99, Verdict.WORSE),
        ("accuracy", 0.98, Verdict.EQUIVALENT),
    ],
)
def test_the_verdict_is_on_b(metric: str, second: float, verdict: Verdict) -> None:
    """More accuracy is better, less loss is, and scores that do not differ are no relevant difference."""
    wobble = np.array([1, -1, 1, -1, 0]) * 1e-5

    assert judgement.judge_change(0.98 + wobble, second - wobble, ask(metric=metric)).verdict is verdict


def test_few_equal_differences_of_one_image_decide_nothing() -> None:
    """Three seeds that each gain one of 140 images have no spread by the steps of the score, not by certainty."""
    first = np.array([120, 122, 125]) / 140

    assert judgement.judge_change(first, first + 1 / 140, ask(140)).verdict is Verdict.UNDECIDED
    assert judgement.judge_change(first, first - 50 / 140, ask(140)).verdict is Verdict.WORSE


def test_an_open_question_names_the_seeds_that_would_decide_it() -> None:
    """With so many seeds, four of five simulated studies decide; with half as many, fewer do."""
    question, random = ask(10**6), np.random.default_rng(1)
    differences = np.array([-0.006, -0.003, -0.001, -0.002, 0.001])
    found = judgement.judge_change(np.full(5, 0.98), 0.98 + differences, question)
    assert found.verdict is Verdict.UNDECIDED
    assert found.seeds_needed is not None
    assert found.seeds_needed_at_most is not None
    assert 5 < found.seeds_needed < found.seeds_needed_at_most

    def decided(seeds: int) -> float:
        drawn = random.normal(differences.mean(), differences.std(ddof=1), (500, seeds))
        verdicts = [judge(np.zeros(seeds), row, question) for row in drawn]
        return sum(one is not Verdict.UNDECIDED for one in verdicts) / len(verdicts)

    assert decided(found.seeds_needed) > 0.8 - 3 * (0.8 * 0.2 / 500) ** 0.5
    assert decided(found.seeds_needed // 2) < 0.8


def test_what_is_decided_needs_no_seeds() -> None:
    """A verdict other than `cannot tell` has no number of seeds."""
    found = judgement.judge_change([0.9, 0.91, 0.9], [0.5, 0.51, 0.52], ask())

    assert (found.verdict, found.seeds_needed, found.seeds_needed_at_most) == (Verdict.WORSE, None, None)


@pytest.mark.parametrize("seeds", [0, 1, 2])
def test_two_seeds_are_no_verdict(seeds: int) -> None:
    """Fewer than three show no spread."""
    with pytest.raises(ValueError, match=f"at least 3 seeds, found {seeds} and {seeds}"):
        judgement.judge_change([0.5] * seeds, [0.9] * seeds, ask())


def with_section(values: Params, section: object) -> Params:
    """Return the params with another section `verdict`."""
    return values.model_copy(update={"verdict": section})


@pytest.mark.fault("verdict: no smallest difference that matters")
@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({}, "params.yaml: verdict.mnist.loss is not set"),
        ({"mnist": {"accuracy": 0.1}}, "params.yaml: verdict.mnist.loss is not set"),
        ({"mnist": {"loss": 0.0}}, "params.yaml: verdict.mnist.loss: expected greater than 0, found 0.0"),
        (
            {"mnist": {"los": 0.1}},
            f"params.yaml: verdict.mnist.los: expected one of {', '.join(judgement.metric_names())}, found",
        ),
        (3, "params.yaml: verdict: expected a mapping, found 3"),
    ],
    ids=["none", "other metric", "zero", "unknown metric", "no mapping"],
)
def test_without_a_smallest_difference_nothing_is_judged(values: Params, section: object, said: str) -> None:
    """The key is named, and what to write there."""
    with pytest.raises(InputError) as refused:
        judgement.smallest_effect(with_section(values, section), "mnist", "loss")

    assert str(refused.value).startswith(said)
    assert len(str(refused.value).splitlines()) == 1
