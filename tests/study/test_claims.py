"""The claims of the original: other measurements lead to other verdicts, and too few seeds to none."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from scipy import stats

from pipeline import params
from pipeline.analysis import verdicts as verdicts_on
from pipeline.analysis.power import Assumed
from pipeline.analysis.verdicts import Interval, Verdict
from pipeline.errors import InputError
from pipeline.params import Params
from pipeline.study import audit, comparisons, convergence, groups
from pipeline.study.claims import ContrastReading, PairReading
from pipeline.study.contrasts import Evidence, Measured
from pipeline.study.convergence import EpochSeconds
from pipeline.study.findings import ClaimRow, ClaimVerdict
from pipeline.study.groups import StudyData
from pipeline.trials.ledger import EntryState, Lookup
from pipeline.trials.plan import Study
from tests.support import study_runs
from tests.support.frozen import FROZEN
from tests.support.study_runs import Made

YES, NO, OPEN, CONFOUNDED = (
    ClaimVerdict.SUPPORTED,
    ClaimVerdict.NOT_SUPPORTED,
    ClaimVerdict.UNDECIDED,
    ClaimVerdict.CONFOUNDED,
)
BETTER, WORSE, SAME, UNSURE = Verdict.BETTER, Verdict.WORSE, Verdict.EQUIVALENT, Verdict.UNDECIDED
MORE, LESS = Verdict.BETTER_OPEN, Verdict.WORSE_OPEN
TIMINGS = convergence.epoch_seconds(study_runs.BENCHMARKS, 55_000)
READINGS = (1, 2, 2, 3, 3, 3, 4, 4, 4, 4, 5, 6, 6, 7, 7)
USUAL = (YES, CONFOUNDED, YES, YES, YES, NO, CONFOUNDED, CONFOUNDED, NO, YES, OPEN, YES, NO, YES, NO)
# The rows of the audit that depend on each variant.
NEEDS = {
    "mlp_rmsprop": (0, 2, *range(3, 10), 11, 12),
    "mlp_adadelta": (2, *range(3, 10), 11, 12, 13, 14),
    "mlp_rmsprop_no_dropout": (2, 6, 7),
    "mlp_adadelta_no_dropout": (2, 6, 7),
    "mlp_adadelta_permuted": (13, 14),
    "cnn": (*range(3, 10), 10, 12, 13, 14),
    "cnn_24_epochs": (10,),
    "cnn_permuted": (13, 14),
    "cnn_no_dropout": (6, 7),
}


def five() -> Study:
    """Return the project's study with five seeds for each variant."""
    found = study_runs.study()
    return study_runs.study(**dict.fromkeys(found.variants, 5))


@pytest.fixture(scope="module")
def usual() -> list[Lookup]:
    """Return replicates for which the results of the original are typical."""
    return study_runs.lookups(five())


def study_data(lookups: list[Lookup], values: Params, study: Study | None = None) -> StudyData:
    """Return the data in these replicates."""
    return groups.gather(study or five(), study_runs.rules(values), lookups)


@pytest.fixture(scope="module")
def found(usual: list[Lookup]) -> StudyData:
    """Return the data in the usual replicates."""
    return study_data(usual, params.load(FROZEN / "params.yaml"))


def rows(found: StudyData, timings: Mapping[str, EpochSeconds] = TIMINGS) -> list[ClaimRow]:
    """Return the audit of this data."""
    evidence = Evidence(found, comparisons.compare_variants(found), study_runs.REPRODUCED, timings)
    return audit.audit(study_runs.claims(found.study), evidence)


def verdicts(found: StudyData, timings: Mapping[str, EpochSeconds] = TIMINGS) -> list[ClaimVerdict]:
    """Return the verdicts on this data."""
    return [row.finding.verdict for row in rows(found, timings)]


def without(lookups: list[Lookup], variant: str, kept: int) -> list[Lookup]:
    """Return the replicates without those of a variant beyond the first few seeds."""
    return [
        (one, None, EntryState.MISSING) if one.variant == variant and one.seed >= kept else (one, entry, state)
        for one, entry, state in lookups
    ]


def reading(claim: int, place: int = 0) -> Any:
    """Return a reading of the project's claims."""
    return study_runs.claims(study_runs.whole()).claims[claim].readings[place]


def measured(
    of: ContrastReading, ends: Sequence[Interval], *, above: bool = False, below: bool = False
) -> list[Measured]:
    """Return contrasts with these intervals, in the form of the page; some seeds may never have reached the target."""
    to = math.log if of.show == "factor" else float
    assumed = Assumed(0.0, (1.0,), (9.0,))
    return [Measured("", of.show, 0.0, Interval(*map(to, pair)), assumed, above, below) for pair in ends]


def judged(claim: int, place: int, *sets: Sequence[Interval], opposed: Sequence[Interval] = ()) -> ClaimVerdict:
    """Return the verdict on a reading from the intervals of its contrasts, and of its confounder's if it has one."""
    of = reading(claim, place)
    return audit.verdict(of, [measured(of, each) for each in sets], measured(of, opposed))


@pytest.mark.parametrize(
    ("rise", "finding"),
    [((1.25, 1.4), YES), ((1.24, 1.4), OPEN), ((1.0, 1.04), NO), ((1.0, 1.05), OPEN), ((1.1, 1.2), OPEN)],
)
def test_claim_1_follows_the_rise(rise: Interval, finding: ClaimVerdict) -> None:
    """The whole interval has to lie within the range of one verdict on a single history."""
    assert judged(1, 0, [rise]) is finding


def test_claim_2_is_confounded_where_the_optimizer_alone_was_changed(found: StudyData) -> None:
    """The study's two MLPs differ in nothing else; pairs that differ in dropout or epochs (too) are not confounded."""
    assert verdicts(found)[1] is CONFOUNDED
    variants = found.study.variants
    longer = variants["mlp_adadelta"].model_copy(update={"epochs": 21})
    for other in (variants["mlp_adadelta_no_dropout"], variants["mlp_rmsprop_no_dropout"], longer):
        study = found.study.model_copy(update={"variants": {**variants, "mlp_adadelta": other}})
        assert verdicts(dataclasses.replace(found, study=study))[1] is OPEN


@pytest.mark.parametrize(
    ("main", "simple", "finding"),
    [
        ((0.74, 0.9), [(0.67, 0.82), (0.9, 1.1)], YES),
        ((0.74, 0.9), [(0.4, 0.55), (1.1, 1.22)], OPEN),
        ((0.74, 1.1), [(0.67, 0.82), (0.9, 1.1)], OPEN),
        ((0.96, 0.99), [(0.96, 0.99)] * 2, NO),
        ((1.1, 1.22), [(1.1, 1.22)] * 2, NO),
        ((0.94, 0.99), [(0.94, 0.99)] * 2, OPEN),
        ((0.92, 0.952), [(0.92, 0.952)] * 2, YES),
    ],
)
def test_claim_2_of_dropout_follows_its_effects(main: Interval, simple: list[Interval], finding: ClaimVerdict) -> None:
    """A reduction that matters supports it unless one optimizer shows the opposite; a smaller one refutes it."""
    assert judged(2, 1, [main], opposed=simple) is finding


@pytest.mark.parametrize(
    ("scores", "finding"),
    [
        ([(0.988, 0.99), (0.99, 0.999)], YES),
        ([(0.9879, 0.99), (0.99, 0.999)], OPEN),
        ([(0.98, 0.9879), (0.99, 0.999)], NO),
        ([(0.98, 0.9879), (0.98, 0.99)], NO),
    ],
)
def test_claim_3_is_about_every_model(scores: list[Interval], finding: ClaimVerdict) -> None:
    """One model below the bound refutes it, and one whose interval contains the bound leaves it undecided."""
    assert {judged(3, place, scores) for place in range(3)} == {finding}


@pytest.mark.parametrize(
    ("lags", "unfinished", "others", "finding"),
    [
        ([(1, 2), (0.1, 3)], False, False, YES),
        ([(1, 2), (0, 3)], False, False, OPEN),
        ([(-2, -1), (-3, -0.1)], False, False, NO),
        ([(-2, -1), (1, 2)], False, False, OPEN),
        ([(0, 0), (0, 0)], False, False, OPEN),
        ([(1, 2), (1, 2)], True, False, YES),
        ([(1, 2), (1, 2)], False, True, OPEN),
        ([(-2, -1), (-2, -1)], True, False, OPEN),
        ([(-2, -1), (-2, -1)], False, True, NO),
    ],
)
def test_claim_4_needs_both_mlps(lags: list[Interval], unfinished: bool, others: bool, finding: ClaimVerdict) -> None:
    """Both have to agree, and a seed that never reached it may only be counted against the verdict."""
    for place in (2, 3):
        of = reading(4, place)
        assert audit.verdict(of, [measured(of, lags, above=unfinished, below=others)]) is finding


@pytest.mark.parametrize(
    ("with_dropout", "without", "finding"),
    [
        (-1, -1, YES),
        (1, 1, NO),
        (-1, 1, CONFOUNDED),
        (1, -1, CONFOUNDED),
        (-1, 0, OPEN),
        (0, 1, OPEN),
        (0, 0, OPEN),
    ],
)
def test_claim_4_is_confounded_where_dropout_reverses_it(
    with_dropout: int, without: int, finding: ClaimVerdict
) -> None:
    """An order that is the opposite without dropout is dropout's doing; one that is open without it stays open."""
    sets = [[(lead - 0.5, lead + 0.5)] * 2 for lead in (with_dropout, without)]

    assert {judged(4, place, *sets) for place in (0, 1)} == {finding}


@pytest.mark.parametrize(
    ("verdict", "finding"), [(BETTER, YES), (SAME, NO), (WORSE, NO), (LESS, NO), (MORE, OPEN), (UNSURE, OPEN)]
)
def test_claim_5_needs_a_gain_that_matters(verdict: Verdict, finding: ClaimVerdict) -> None:
    """A gain that is too small to matter does not make 12 epochs too few, and one of open size leaves it open."""
    assert audit.agreed(reading(5), [verdict]) is finding


@pytest.mark.parametrize(
    ("found", "finding"),
    [
        ([BETTER], NO),
        ([WORSE], NO),
        ([SAME], YES),
        ([UNSURE], OPEN),
        ([MORE], OPEN),
        ([LESS], OPEN),
        ([BETTER, WORSE], NO),
        ([BETTER, MORE], OPEN),
        ([BETTER, SAME], OPEN),
        ([SAME, SAME], YES),
        ([SAME, UNSURE], OPEN),
    ],
)
def test_claim_6_follows_the_judgements(found: list[Verdict], finding: ClaimVerdict) -> None:
    """It takes a difference that matters, or an interval without one; a difference of open size decides nothing."""
    assert {audit.agreed(reading(6, place), found) for place in (0, 1)} == {finding}


CORRECT = {0.0: (NO, YES), 0.0005: (NO, YES), 0.002: (YES, NO)}


@pytest.mark.parametrize("true", CORRECT, ids=["none", "half", "twice"])
def test_claims_5_and_6_only_become_surer(true: float) -> None:
    """With more seeds the correct verdicts on both become more probable, and wrong ones stay below the level."""
    random, shares = np.random.default_rng(0), []
    both: tuple[PairReading, ...] = (reading(5), reading(6))
    for n in (5, 30, 300):
        values = random.normal(true, 0.0012, (1000, n))
        half = stats.t.isf(0.025, n - 1) * values.std(axis=1, ddof=1) / np.sqrt(n)
        ends = np.stack([values.mean(axis=1) - half, values.mean(axis=1) + half], axis=1)
        pairwise = [verdicts_on.decide((low, high), 0.001) for low, high in ends]
        for of, correct in zip(both, CORRECT[true], strict=True):
            found = [audit.agreed(of, [one]) for one in pairwise]
            shares.append(np.mean([one is correct for one in found]))
            assert np.mean([one not in (correct, OPEN) for one in found]) < 0.05 + 0.02
    assert shares[0] <= shares[2] + 0.05 <= shares[4] + 0.1
    assert shares[1] <= shares[3] + 0.05 <= shares[5] + 0.1
    assert min(shares[4:]) > 0.95


@pytest.mark.parametrize(
    ("loss", "first"),
    [((0.0011, 0.01), YES), ((0.001, 0.01), OPEN), ((-0.01, 0.0009), NO), ((0, 0.002), OPEN)],
)
def test_claim_7_needs_a_benefit_that_matters(loss: Interval, first: ClaimVerdict) -> None:
    """The benefit of shape has to exceed the smallest effect."""
    assert judged(7, 0, [loss]) is first


@pytest.mark.parametrize(
    ("lags", "verdict"),
    [
        ([(-0.03, -0.02), (-0.02, -0.0011)], YES),
        ([(-0.03, -0.02), (-0.02, -0.0009)], OPEN),
        ([(-0.0009, 0.01), (0.0, 0.01)], NO),
        ([(-0.0011, 0.01), (0.0, 0.01)], OPEN),
        ([(-0.03, -0.02), (0.01, 0.02)], OPEN),
    ],
)
def test_claim_8_needs_both_mlps(lags: list[Interval], verdict: ClaimVerdict) -> None:
    """The whole interval of each lies on one side of the smallest effect, or the claim stays undecided."""
    assert {judged(8, place, lags) for place in (0, 1)} == {verdict}


def test_the_audit_has_a_line_for_each_reading(found: StudyData) -> None:
    """With results like the original's, each claim has its known verdict under each reading."""
    audited = rows(found)

    assert tuple(row.claim for row in audited) == READINGS
    assert tuple(row.finding.verdict for row in audited) == USUAL
    assert all(row.finding.measurements for row in audited[:-1])


@pytest.mark.parametrize(
    ("made", "changed"),
    [
        ({"mlp_rmsprop": Made(rise=1.01), "mlp_rmsprop_no_dropout": Made(rise=1.01)}, {0: NO}),
        ({"mlp_rmsprop_no_dropout": Made(rise=1.3), "mlp_adadelta_no_dropout": Made(rise=1.06)}, {2: NO}),
        ({"mlp_adadelta_no_dropout": Made(test=0.982, rise=1.02)}, {2: OPEN}),
        ({"cnn": dataclasses.replace(study_runs.MADE["cnn"], running=0.986)}, {3: NO}),
        ({"cnn": dataclasses.replace(study_runs.MADE["cnn"], train=0.98)}, {4: NO}),
        ({"mlp_rmsprop": Made(test=0.99, rise=1.55), "mlp_adadelta": Made(test=0.99)}, {5: YES, 12: OPEN}),
        ({"cnn": dataclasses.replace(study_runs.MADE["cnn"], running=0.999)}, {6: NO}),
        ({"cnn": dataclasses.replace(study_runs.MADE["cnn"], train=0.9999)}, {7: NO}),
        ({"cnn_no_dropout": dataclasses.replace(study_runs.MADE["cnn_no_dropout"], running=0.99)}, {6: YES}),
        ({"cnn_no_dropout": dataclasses.replace(study_runs.MADE["cnn_no_dropout"], train=0.995)}, {7: YES}),
        ({"cnn": dataclasses.replace(study_runs.MADE["cnn"], half=3.0)}, {8: YES}),
        ({"cnn_24_epochs": Made(test=0.9935, train=0.9975, running=0.992)}, {10: YES}),
        ({"mlp_rmsprop": Made(test=0.979, rise=1.55)}, {11: NO}),
        ({"cnn_permuted": dataclasses.replace(study_runs.MADE["cnn"])}, {13: NO, 14: YES}),
    ],
)
def test_other_measurements_flip_the_verdicts(
    made: Mapping[str, Made], changed: Mapping[int, ClaimVerdict], usual: list[Lookup], values: Params
) -> None:
    """A change in the replicates changes the verdicts that depend on it."""
    lookups = [
        (one, study_runs.entry(one, made[one.variant]) if one.variant in made else entry, state)
        for one, entry, state in usual
    ]

    found = verdicts(study_data(lookups, values))

    assert {line: found[line] for line in changed} == changed
    assert all(USUAL[line] is not verdict for line, verdict in changed.items())


@pytest.mark.parametrize("variant", NEEDS)
def test_too_few_seeds_leave_a_claim_undecided(variant: str, usual: list[Lookup], values: Params) -> None:
    """With two seeds of a variant, what needs it is undecided, and the remark says so; the rest is as before."""
    found = rows(study_data(without(usual, variant, 2), values))

    for line, row in enumerate(found):
        if line in NEEDS[variant]:
            assert row.finding.verdict is OPEN
            assert row.needs[variant] == 2
            assert f"`{variant}` 2" in row.finding.remark or line == 14
        else:
            assert row.finding.verdict is USUAL[line]


def test_the_attribution_is_confounded_without_any_seed(usual: list[Lookup], values: Params) -> None:
    """The design alone decides it; the rest is undecided."""
    nothing = [(one, None, EntryState.MISSING) for one, _, _ in usual]

    assert verdicts(study_data(nothing, values)) == [OPEN, CONFOUNDED, *[OPEN] * 13]


def test_a_pair_may_be_listed_the_other_way_round(found: StudyData) -> None:
    """`find_pair` returns the verdict on the variant that is asked for."""
    pairs = comparisons.compare_variants(found)

    for first, second, verdict in (("cnn", "mlp_rmsprop", BETTER), ("mlp_rmsprop", "cnn", WORSE)):
        pair, on_first = comparisons.find_pair(pairs, first, second)
        assert pair.first == "cnn"
        assert on_first is verdict


def test_the_rise_is_a_geometric_mean_with_its_t_interval(usual: list[Lookup], found: StudyData) -> None:
    """Claim 1 is measured from the histories: the mean of the last three losses over the lowest one, by seed."""
    losses = [e.history["val_loss"].to_numpy() for _, e, _ in usual if e is not None and e.variant == "mlp_rmsprop"]
    logs = np.log([loss[-3:].mean() / loss.min() for loss in losses])

    (number,) = rows(found)[0].finding.measurements

    assert number.estimate == pytest.approx(stats.gmean(np.exp(logs)))
    low, high = stats.t.interval(0.95, 4, logs.mean(), stats.sem(logs))
    assert number.interval == pytest.approx((np.exp(low), np.exp(high)))


def test_dropouts_effect_is_that_within_seeds(found: StudyData) -> None:
    """Claim 2 is measured by the one-sample t interval of each seed's mean difference over both optimizers."""
    logs = {name: found.groups[name].values("log_rise") for name in NEEDS if name.startswith("mlp")}
    contrast = (logs["mlp_rmsprop"] - logs["mlp_rmsprop_no_dropout"]) / 2
    contrast += (logs["mlp_adadelta"] - logs["mlp_adadelta_no_dropout"]) / 2

    number = rows(found)[2].finding.measurements[0]

    interval = stats.ttest_1samp(contrast, 0).confidence_interval()
    assert number.estimate == pytest.approx(np.exp(contrast.mean()))
    assert number.interval == pytest.approx((np.exp(interval.low), np.exp(interval.high)))


def test_the_benefit_of_shape_is_a_welch_interval_of_paired_costs(usual: list[Lookup], values: Params) -> None:
    """Claim 7 is measured by what the permutation costs each network, seed by seed."""
    found = study_data(without(usual, "cnn_permuted", 4), values)
    scores = {name: found.groups[name].values("test_accuracy") for name in NEEDS}
    costs = scores["cnn"][:4] - scores["cnn_permuted"], scores["mlp_adadelta"] - scores["mlp_adadelta_permuted"]

    (number,) = rows(found)[13].finding.measurements

    assert number.estimate == pytest.approx(costs[0].mean() - costs[1].mean())
    assert number.interval == pytest.approx(stats.ttest_ind(*costs, equal_var=False).confidence_interval())


def test_claim_4_compares_at_the_cnns_last_epoch(usual: list[Lookup], found: StudyData) -> None:
    """The running accuracies of epoch 12 are compared, not those of the last epochs."""
    at = {
        name: [e.history["accuracy"][11] for _, e, _ in usual if e is not None and e.variant == name]
        for name in ("cnn", "mlp_rmsprop", "mlp_adadelta")
    }

    numbers = rows(found)[6].finding.measurements[:2]

    for number, name in zip(numbers, ("mlp_rmsprop", "mlp_adadelta"), strict=True):
        expected = stats.ttest_ind(at["cnn"], at[name], equal_var=False).confidence_interval()
        assert number.interval == pytest.approx(expected)


@pytest.mark.filterwarnings("ignore:Precision loss")  # all seeds of the CNN take two epochs
def test_seconds_are_epochs_times_the_benchmarks_seconds(found: StudyData) -> None:
    """An epoch of 55,000 images takes 3 and 40 seconds; the interval also covers the extremes of the benchmark."""
    until = {
        name: np.argmax(found.groups[name].curves("val_accuracy") >= 0.98, axis=1) + 1
        for name in ("cnn", "mlp_rmsprop")
    }

    number = rows(found)[9].finding.measurements[0]

    assert TIMINGS["cnn"] == EpochSeconds(40.0, 39.0, 50.0)
    assert number.estimate == pytest.approx(40 * until["cnn"].mean() - 3 * until["mlp_rmsprop"].mean())
    assert number.interval is not None
    for cnn, mlp in ((40, 3), (39, 3.2), (50, 2.8)):
        ends = stats.ttest_ind(cnn * until["cnn"], mlp * until["mlp_rmsprop"], equal_var=False).confidence_interval()
        assert number.interval[0] <= ends.low + 1e-9
        assert number.interval[1] >= ends.high - 1e-9


def test_seconds_may_contradict_epochs(found: StudyData) -> None:
    """A CNN with epochs as fast as the MLPs' would be faster in seconds; without a benchmark it is undecided."""
    quick = dict.fromkeys(TIMINGS, EpochSeconds(3.0, 2.9, 3.1))

    assert verdicts(found, quick)[9] is NO
    row = rows(found, {"cnn": TIMINGS["cnn"]})[9]
    assert row.finding.verdict is OPEN
    assert row.finding.remark == "There is no benchmark of `mlp_rmsprop` and `mlp_adadelta`."


def test_a_benchmark_without_its_numbers_is_an_error() -> None:
    """The model whose numbers are missing is named."""
    with pytest.raises(InputError, match=r"training\.cnn: cannot be read"):
        convergence.epoch_seconds({"training": {"cnn": {"images": 10, "epoch": {}}}}, 10)


@pytest.mark.parametrize(("slow", "finding"), [("cnn", YES), ("mlp_rmsprop", OPEN)])
def test_a_seed_that_never_gets_there_is_said(
    slow: str, finding: ClaimVerdict, usual: list[Lookup], values: Params
) -> None:
    """A CNN that never reaches 98% is slower; an MLP that does not leaves open whether it is, and the page says so."""
    made = {slow: Made(test=0.97), **({} if slow == "cnn" else {"cnn": Made(half=3.0, test=0.9905)})}
    lookups = [
        (one, study_runs.entry(one, made[one.variant]) if one.variant in made else entry, state)
        for one, entry, state in usual
    ]

    row = rows(study_data(lookups, values))[8]

    assert row.finding.verdict is finding
    assert f"5 seeds of `{slow}` never reached it" in row.finding.remark
