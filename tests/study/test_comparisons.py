"""Pairwise comparisons on simulated studies: what one replicate, other bounds and other images would change."""

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pipeline.analysis.verdicts import decide
from pipeline.params import Params
from pipeline.study import comparisons
from pipeline.study.comparisons import Judged, VariantPair
from pipeline.study.groups import StudyData, VariantGroup
from pipeline.trials.ledger import Entry
from pipeline.trials.plan import Study
from tests.support import study_runs

PAIRS = {True: ("cnn_24_epochs", "cnn"), False: ("cnn", "mlp_rmsprop")}
TESTED, HELD_OUT = 400, 200
PARTS = (slice(None, TESTED), slice(TESTED, None))


@pytest.fixture(autouse=True)
def no_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the garbage collection that statsmodels demands for each study."""
    monkeypatch.setattr("gc.collect", lambda: 0)


def planned(*pairs: tuple[str, str]) -> Study:
    """Return the project's study with these comparisons alone."""
    of = study_runs.project()
    return of.model_copy(update={"statistics": of.statistics.model_copy(update={"comparisons": pairs})})


def group(study: Study, name: str, right: np.ndarray) -> VariantGroup:
    """Return replicates by their correct answers, (seeds, images): first to the test images, then to the held-out."""
    tested, held_out = right[:, :TESTED], right[:, TESTED:]
    entries = {}
    for seed, (own, others) in enumerate(zip(tested, held_out, strict=True)):
        counts = {"test": own, "validation": others}
        splits = {split: {"count": len(some), "accuracy": float(some.mean())} for split, some in counts.items()}
        errors = pd.DataFrame({"image": np.flatnonzero(~own), "label": 0, "answer": 1})
        entries[seed] = Entry(name, seed, {"splits": splits}, pd.DataFrame(), errors)
    analyses: Any = dict.fromkeys(entries)  # no outcome here is one of the histories
    return VariantGroup(name, study.variants[name], entries, analyses, 0, 0)


def simulate(random: np.random.Generator, paired: bool, n: tuple[int, int] = (5, 5)) -> dict[str, np.ndarray]:
    """Return the correct answers of two variants: to images of their own, with seeds of their own."""
    images = TESTED + HELD_OUT
    hard, apart = random.normal(0, 1, images), random.normal(0.1, 0.5, images)
    luck = random.normal(0, 0.1, (n[0], 1))
    theirs = luck if paired else random.normal(0, 0.1, (n[1], 1))
    shared, seeds = hard + 1.2, (len(luck), len(theirs))
    first, second = (random.normal(0, 0.6, (count, images)) for count in seeds)
    return dict(zip(PAIRS[paired], (shared + apart + luck + first > 0, shared + theirs + second > 0), strict=True))


def judge(values: Params, answers: dict[str, np.ndarray], smallest: float = 0.001) -> VariantPair:
    """Return the comparison of the two variants that have these answers."""
    study = planned(tuple(answers))  # type: ignore[arg-type]
    groups = {name: group(study, name, right) for name, right in answers.items()}
    rules = study_runs.rules(values)._replace(smallest_effects={"mnist": smallest})
    (pair,) = comparisons.compare_variants(StudyData(study, rules, groups))
    return pair


def judged(values: Params, answers: dict[str, np.ndarray]) -> Judged:
    """Return what their replicates tell."""
    found = judge(values, answers).judged
    assert found is not None
    return found


def interval(first: np.ndarray, second: np.ndarray, paired: bool) -> Any:
    """Return scipy's 95% interval of a difference: that of a family of one."""
    test = stats.ttest_rel(first, second) if paired else stats.ttest_ind(first, second, equal_var=False)
    return test.confidence_interval(0.95)


@pytest.mark.parametrize(("paired", "n"), [(True, (6, 6)), (False, (4, 6)), (False, (3, 4)), (True, (3, 3))])
def test_each_replicate_is_left_out_in_turn(values: Params, paired: bool, n: tuple[int, int]) -> None:
    """The interval without one is scipy's, of a pair without both; with fewer than three seeds there is none."""
    answers = simulate(np.random.default_rng(1), paired, n)
    one, two = PAIRS[paired]
    first, second = (right[:, :TESTED].mean(axis=1) for right in answers.values())
    expected = {}
    if paired and n[0] > 3:
        for seed in range(n[0]):
            expected[one, seed] = interval(np.delete(first, seed), np.delete(second, seed), True)
    if not paired:
        if n[0] > 3:
            expected |= {(one, seed): interval(np.delete(first, seed), second, False) for seed in range(n[0])}
        expected |= {(two, seed): interval(first, np.delete(second, seed), False) for seed in range(n[1])}

    found = judged(values, answers)

    assert set(found.without) == set(expected)
    for key, ends in expected.items():
        assert found.without[key] == pytest.approx(tuple(ends))


def test_what_one_replicate_less_changes(values: Params) -> None:
    """It is the verdict on scipy's interval, of those replicates alone without which it is another."""
    changes = set()
    for seed in range(20):
        answers = simulate(np.random.default_rng(seed), True, (4, 4))
        first, second = (right[:, :TESTED].mean(axis=1) for right in answers.values())
        verdict = decide(interval(first, second, True), 0.001)
        others = [decide(interval(np.delete(first, i), np.delete(second, i), True), 0.001) for i in range(4)]

        found = judged(values, answers)

        assert found.judgement.verdict is verdict
        assert found.changed == {f"seed {i}": one for i, one in enumerate(others) if one is not verdict}
        changes.add(len(found.changed))
    assert {0, 1} < changes


def test_verdicts_at_other_bounds_are_those_on_the_same_interval(values: Params) -> None:
    """At half, once and twice the smallest effect the same interval is judged again."""
    answers, several = simulate(np.random.default_rng(0), True, (8, 8)), set()
    for smallest in (0.005, 0.01, 0.02, 0.04, 0.08):
        found = judge(values, answers, smallest).judged
        assert found is not None
        ends = found.judgement.simultaneous
        assert found.multiples == {times: decide(ends, times * smallest) for times in (0.5, 1.0, 2.0)}
        several.add(len({*found.multiples.values()}))
    assert {1, 2} <= several


@pytest.mark.parametrize("paired", [True, False])
def test_the_held_out_difference_is_scipys(values: Params, paired: bool) -> None:
    """Estimate and standard error are those of its t test; the distance is the test difference minus that one."""
    answers = simulate(np.random.default_rng(2), paired, (6, 6))
    tested, held_out = ([right[:, part].mean(axis=1) for right in answers.values()] for part in PARTS)

    found = judged(values, answers).agreement

    low, high = interval(*held_out, paired)
    assert found.held_out.estimate == pytest.approx((low + high) / 2)
    assert found.held_out.interval() == pytest.approx((low, high))
    distance = np.subtract(*map(np.mean, tested)) - np.subtract(*map(np.mean, held_out))
    assert found.distance == pytest.approx(distance)
    assert found.agrees is bool(abs(distance) <= 1.96 * found.error)


@pytest.mark.slow
@pytest.mark.parametrize("paired", [True, False])
def test_the_standard_errors_are_the_spread_of_studies(
    values: Params, paired: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over studies with other seeds and other images of both samples, differences vary as stated; distances as well."""
    # What else is found out about a pair takes most of the time.
    monkeypatch.setattr(comparisons.means, "rank_p", lambda *_, **__: 1.0)
    monkeypatch.setattr(comparisons.means.permutation, "p_value", lambda *_: 1.0)
    monkeypatch.setattr(comparisons, "told_apart", lambda *_: np.zeros(1, bool))
    monkeypatch.setattr(comparisons, "mcnemar_p", lambda *_: 1.0)
    monkeypatch.setattr(comparisons, "_without", lambda *_: ())
    found = [judged(values, simulate(np.random.default_rng(seed), paired)) for seed in range(300)]

    over, apart = [one.over_images for one in found], [one.agreement for one in found]
    assert np.mean([one.standard_error**2 for one in over]) == pytest.approx(
        np.var([one.estimate for one in over]), rel=0.2
    )
    assert np.mean([one.error**2 for one in apart]) == pytest.approx(np.var([one.distance for one in apart]), rel=0.2)
    assert np.mean([one.agrees for one in apart]) > 0.9


@pytest.mark.parametrize("paired", [True, False])
def test_new_images_are_judged_by_both_samples(values: Params, paired: bool) -> None:
    """The difference is that over all 600 images, and the verdict that on its interval, wider than over seeds alone."""
    for seed in range(5):
        answers = simulate(np.random.default_rng(seed), paired)
        accuracies = [right.mean(axis=1) for right in answers.values()]
        alone = interval(*accuracies, paired)

        found = judged(values, answers)

        ends = found.over_images.interval()
        assert found.over_images.estimate == pytest.approx(np.subtract(*map(np.mean, accuracies)))
        assert ends.low <= alone.low + 1e-12
        assert ends.high >= alone.high - 1e-12
        assert found.new_images is decide(ends, 0.001)


def test_the_base_rate_is_that_of_mcnemars_test_between_seeds(values: Params) -> None:
    """Of all pairs of seeds of either variant, it is the share for which scipy's binomial test rejects."""
    answers = simulate(np.random.default_rng(4), False, (5, 4))
    rejected = []
    for right in answers.values():
        for one, other in combinations(right[:, :TESTED], 2):
            alone = int(np.sum(one & ~other)), int(np.sum(other & ~one))
            rejected.append(stats.binomtest(alone[0], sum(alone)).pvalue < 0.05)

    assert 0 < sum(rejected) < len(rejected)
    assert judged(values, answers).base_rate == pytest.approx(np.mean(rejected))


def test_equal_replicates_differ_in_nothing(values: Params) -> None:
    """Of two variants with the same answers every difference, distance and error is 0, and no test rejects."""
    right = np.broadcast_to(np.random.default_rng(0).random(TESTED + HELD_OUT) < 0.9, (3, TESTED + HELD_OUT))

    found = judge(values, dict.fromkeys(PAIRS[True], right))

    assert found.judged is not None
    assert found.verdict == "no relevant difference"
    assert (found.significant, found.tested, found.judged.base_rate, found.judged.rank_p) == (0, 3, 0, 1)
    assert (found.judged.agreement.distance, found.judged.agreement.error) == (0, 0)
    assert found.judged.agreement.agrees
    assert found.judged.new_images is found.judged.judgement.verdict
