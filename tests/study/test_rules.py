"""The claims of the original report: other measurements get other verdicts, and too few seeds get none."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pytest
from scipy import stats

from pipeline.analysis import means, multitest
from pipeline.analysis.multitest import Verdict
from pipeline.errors import InputError
from pipeline.params import Params
from pipeline.study import audit, comparisons, convergence, groups, rules
from pipeline.study.convergence import Seconds
from pipeline.study.findings import Row
from pipeline.study.groups import Evidence, Look
from pipeline.study.ledger import State
from pipeline.study.plan import Study
from pipeline.study.rules import Finding, Interval
from tests.support import study_runs
from tests.support.study_runs import Made

YES, NO, OPEN, CONFOUNDED = Finding.SUPPORTED, Finding.NOT_SUPPORTED, Finding.UNDECIDED, Finding.CONFOUNDED
BETTER, WORSE, SAME, UNTOLD = Verdict.BETTER, Verdict.WORSE, Verdict.EQUIVALENT, Verdict.UNDECIDED
PACE = convergence.seconds(study_runs.BENCHMARKS, 55_000)
READINGS = (1, 2, 2, 3, 3, 3, 4, 4, 4, 4, 5, 6, 6, 7, 7)
USUAL = (YES, CONFOUNDED, YES, YES, YES, NO, YES, YES, NO, YES, NO, YES, NO, YES, NO)
# Which lines of the audit need a variant.
NEEDS = {
    "mlp_rmsprop": (0, 2, *range(3, 10), 11, 12),
    "mlp_adadelta": (2, *range(3, 10), 11, 12, 13, 14),
    "mlp_rmsprop_no_dropout": (2,),
    "mlp_adadelta_no_dropout": (2,),
    "mlp_adadelta_permuted": (13, 14),
    "cnn": (*range(3, 10), 10, 12, 13, 14),
    "cnn_24_epochs": (10,),
    "cnn_permuted": (13, 14),
    "cnn_no_dropout": (),
}


def five() -> Study:
    """Return the project's study with five seeds for each variant."""
    found = study_runs.study()
    return study_runs.study(**dict.fromkeys(found.variants, 5))


@pytest.fixture(scope="module")
def usual() -> list[Look]:
    """Return replicates of which the report's figures are typical."""
    return study_runs.looks(five())


def evidence(looks: list[Look], values: Params, study: Study | None = None) -> Evidence:
    """Return the evidence in these replicates."""
    return groups.gather(study or five(), values.overfitting, looks)


def rows(found: Evidence, pace: Mapping[str, Seconds] = PACE) -> list[Row]:
    """Return the audit of this evidence."""
    return audit.audit(found, comparisons.judge(found), study_runs.REPRODUCED, pace)


def verdicts(found: Evidence, pace: Mapping[str, Seconds] = PACE) -> list[Finding]:
    """Return the verdicts of this evidence."""
    return [row.answer.verdict for row in rows(found, pace)]


def without(looks: list[Look], variant: str, kept: int) -> list[Look]:
    """Return the replicates without those of a variant beyond the first few seeds."""
    return [
        (one, None, State.MISSING) if one.variant == variant and one.seed >= kept else (one, entry, state)
        for one, entry, state in looks
    ]


@pytest.mark.parametrize(
    ("rise", "finding"),
    [((1.25, 1.4), YES), ((1.24, 1.4), OPEN), ((1.0, 1.04), NO), ((1.0, 1.05), OPEN), ((1.1, 1.2), OPEN)],
)
def test_claim_1_follows_the_rise(rise: Interval, finding: Finding) -> None:
    """It needs the whole interval in the range of one verdict on a history."""
    assert rules.gets_worse(rise, 1.05, 1.25) is finding


def test_claim_2_is_confounded_where_the_optimizer_alone_was_changed() -> None:
    """The project's two MLPs differ in nothing else; pairs that differ in dropout, or in it too, are not confounded."""
    variants = five().variants

    assert rules.caused_by_dropout(variants["mlp_rmsprop"], variants["mlp_adadelta"]) is CONFOUNDED
    for other in ("mlp_adadelta_no_dropout", "mlp_rmsprop_no_dropout", "cnn"):
        assert rules.caused_by_dropout(variants["mlp_rmsprop"], variants[other]) is OPEN


@pytest.mark.parametrize(
    ("main", "simple", "finding"),
    [
        ((-0.3, -0.1), [(-0.4, -0.2), (-0.1, 0.1)], YES),
        ((-0.3, -0.1), [(-0.9, -0.6), (0.1, 0.2)], OPEN),
        ((-0.3, 0.1), [(-0.4, -0.2), (-0.1, 0.1)], OPEN),
        ((-0.04, -0.01), [(-0.04, -0.01)] * 2, NO),
        ((0.1, 0.2), [(0.1, 0.2)] * 2, NO),
        ((-0.06, -0.01), [(-0.06, -0.01)] * 2, YES),
    ],
)
def test_claim_2_of_dropout_follows_its_effects(main: Interval, simple: list[Interval], finding: Finding) -> None:
    """A sure reduction supports it unless one optimizer says the opposite; one that is surely too small does not."""
    assert rules.reduces(main, simple, 0.05) is finding


@pytest.mark.parametrize(
    ("scores", "finding"),
    [
        ([(0.988, 0.99), (0.99, 0.999)], YES),
        ([(0.9879, 0.99), (0.99, 0.999)], OPEN),
        ([(0.98, 0.9879), (0.99, 0.999)], NO),
        ([(0.98, 0.9879), (0.98, 0.99)], NO),
    ],
)
def test_claim_3_speaks_of_every_model(scores: list[Interval], finding: Finding) -> None:
    """One model that is surely below refutes it, and one that may be below leaves it open."""
    assert rules.reach(scores, 0.988) is finding


@pytest.mark.parametrize(
    ("lags", "unfinished", "others", "finding"),
    [
        ([(1, 2), (0.1, 3)], False, False, YES),
        ([(1, 2), (0, 3)], False, False, OPEN),
        ([(-2, -1), (-3, -0.1)], False, False, NO),
        ([(-2, -1), (1, 2)], False, False, OPEN),
        ([(1, 2), (1, 2)], True, False, YES),
        ([(1, 2), (1, 2)], False, True, OPEN),
        ([(-2, -1), (-2, -1)], True, False, OPEN),
        ([(-2, -1), (-2, -1)], False, True, NO),
    ],
)
def test_claim_4_needs_both_mlps(lags: list[Interval], unfinished: bool, others: bool, finding: Finding) -> None:
    """Both have to agree, and a seed that never got there may only be counted against the verdict."""
    assert rules.slower(lags, unfinished=unfinished, others_unfinished=others) is finding


@pytest.mark.parametrize(
    ("verdict", "within", "finding"),
    [(BETTER, False, YES), (BETTER, True, NO), (SAME, True, NO), (WORSE, False, NO), (UNTOLD, False, OPEN)],
)
def test_claim_5_needs_a_gain_that_matters(verdict: Verdict, within: bool, finding: Finding) -> None:
    """A gain that is there but too small to matter does not make 12 epochs too few."""
    assert rules.too_few_epochs(verdict, within_smallest_effect=within) is finding


@pytest.mark.parametrize(
    ("found", "finding"),
    [
        ([BETTER], NO),
        ([WORSE], NO),
        ([SAME], YES),
        ([UNTOLD], OPEN),
        ([BETTER, WORSE], NO),
        ([BETTER, SAME], OPEN),
        ([SAME, SAME], YES),
        ([SAME, UNTOLD], OPEN),
    ],
)
def test_claim_6_follows_the_judgements(found: list[Verdict], finding: Finding) -> None:
    """Not being told apart is no support: that takes an interval without a relevant difference."""
    assert rules.chance(found) is finding


@pytest.mark.parametrize(
    ("loss", "first", "second"),
    [((0.0011, 0.01), YES, NO), ((0.001, 0.01), OPEN, OPEN), ((-0.01, 0.0009), NO, YES), ((0, 0.002), OPEN, OPEN)],
)
def test_claim_7_has_two_opposite_halves(loss: Interval, first: Finding, second: Finding) -> None:
    """What shape is worth has to exceed the smallest effect, and MNIST shows it or does not accordingly."""
    assert rules.uses_shape(loss, 0.001) is first
    assert rules.cannot_show(first) is second


def test_the_audit_has_a_line_for_each_reading(usual: list[Look], values: Params) -> None:
    """With figures like the report's, each claim has its known verdict under each reading."""
    found = rows(evidence(usual, values))

    assert tuple(row.claim for row in found) == READINGS
    assert tuple(row.answer.verdict for row in found) == USUAL
    assert all(row.answer.numbers for row in found[:-1])
    assert set(READINGS) == set(rules.SENTENCES)


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
        ({"cnn": dataclasses.replace(study_runs.MADE["cnn"], half=3.0)}, {8: YES}),
        ({"cnn_24_epochs": Made(test=0.9935, train=0.9975, running=0.992)}, {10: YES}),
        ({"mlp_rmsprop": Made(test=0.979, rise=1.55)}, {11: NO}),
        ({"cnn_permuted": dataclasses.replace(study_runs.MADE["cnn"])}, {13: NO, 14: YES}),
    ],
)
def test_other_measurements_flip_the_verdicts(
    made: Mapping[str, Made], changed: Mapping[int, Finding], usual: list[Look], values: Params
) -> None:
    """What is changed in the replicates changes the verdicts that it decides."""
    looks = [
        (one, study_runs.entry(one, made[one.variant]) if one.variant in made else entry, state)
        for one, entry, state in usual
    ]

    found = verdicts(evidence(looks, values))

    assert {line: found[line] for line in changed} == changed
    assert all(USUAL[line] is not verdict for line, verdict in changed.items())


@pytest.mark.parametrize("variant", NEEDS)
def test_too_few_seeds_leave_a_claim_undecided(variant: str, usual: list[Look], values: Params) -> None:
    """Two seeds of a variant decide nothing that needs it, which the reason says; all else is as before."""
    found = rows(evidence(without(usual, variant, 2), values))

    for line, row in enumerate(found):
        if line in NEEDS[variant]:
            assert row.answer.verdict is OPEN
            assert row.needs[variant] == 2
            assert f"`{variant}` 2" in row.answer.reason or line == 14
        else:
            assert row.answer.verdict is USUAL[line]


@pytest.mark.parametrize("variant", NEEDS)
def test_a_variant_that_is_not_in_the_study_is_no_crash(variant: str, usual: list[Look], values: Params) -> None:
    """What needs it is undecided, and so is the attribution of claim 2 without one of its two networks."""
    study = five()
    pairs = tuple(pair for pair in study.statistics.comparisons if variant not in pair)
    variants = {name: block for name, block in study.variants.items() if name != variant}
    statistics = study.statistics.model_copy(update={"comparisons": pairs})
    smaller = study.model_copy(update={"variants": variants, "statistics": statistics})
    looks = [look for look in usual if look[0].variant != variant]

    found = verdicts(evidence(looks, values, smaller))

    expected = [OPEN if line in NEEDS[variant] else verdict for line, verdict in enumerate(USUAL)]
    if variant in ("mlp_rmsprop", "mlp_adadelta"):
        expected[1] = OPEN
    assert found == expected


def test_the_attribution_is_confounded_without_any_seed(usual: list[Look], values: Params) -> None:
    """The design alone decides it; all else is undecided."""
    nothing = [(one, None, State.MISSING) for one, _, _ in usual]

    assert verdicts(evidence(nothing, values)) == [OPEN, CONFOUNDED, *[OPEN] * 13]


def test_a_pair_that_is_not_listed_is_not_judged(usual: list[Look], values: Params) -> None:
    """Claims 5 and 6 rest on the family that was fixed before, and on nothing beside it."""
    study = five()
    pairs = tuple(pair for pair in study.statistics.comparisons if pair != ("cnn_24_epochs", "cnn"))
    statistics = study.statistics.model_copy(update={"comparisons": pairs})

    row = rows(evidence(usual, values, study.model_copy(update={"statistics": statistics})))[10]

    assert row.answer.verdict is OPEN
    assert "not among the comparisons" in row.answer.reason


def test_a_pair_may_be_listed_the_other_way_round(usual: list[Look], values: Params) -> None:
    """`find` says what the judgement says of the variant that is asked for."""
    pairs = comparisons.judge(evidence(usual, values))

    for first, second, verdict in (("cnn", "mlp_rmsprop", BETTER), ("mlp_rmsprop", "cnn", WORSE)):
        found = comparisons.find(pairs, first, second)
        assert found is not None
        assert found[0].first == "cnn"
        assert found[1] is verdict
    assert comparisons.find(pairs, "cnn", "mlp_rmsprop_keras3") is None


def test_the_rise_is_a_geometric_mean_with_its_t_interval(usual: list[Look], values: Params) -> None:
    """Claim 1's number is computed from the histories: the last three losses over the lowest one, by seed."""
    losses = [e.history["val_loss"].to_numpy() for _, e, _ in usual if e is not None and e.variant == "mlp_rmsprop"]
    logs = np.log([loss[-3:].mean() / loss.min() for loss in losses])

    (number,) = rows(evidence(usual, values))[0].answer.numbers

    assert number.estimate == pytest.approx(stats.gmean(np.exp(logs)))
    low, high = stats.t.interval(0.95, 4, logs.mean(), stats.sem(logs))
    assert number.interval == pytest.approx((np.exp(low), np.exp(high)))


def test_dropouts_effect_is_that_within_seeds(usual: list[Look], values: Params) -> None:
    """Claim 2's number is the one-sample t interval of each seed's mean difference over both optimizers."""
    found = evidence(usual, values)
    logs = {name: found.groups[name].values("log_rise") for name in NEEDS if name.startswith("mlp")}
    contrast = (logs["mlp_rmsprop"] - logs["mlp_rmsprop_no_dropout"]) / 2
    contrast += (logs["mlp_adadelta"] - logs["mlp_adadelta_no_dropout"]) / 2

    number = rows(found)[2].answer.numbers[0]

    interval = stats.ttest_1samp(contrast, 0).confidence_interval()
    assert number.estimate == pytest.approx(np.exp(contrast.mean()))
    assert number.interval == pytest.approx((np.exp(interval.low), np.exp(interval.high)))


def test_the_worth_of_shape_is_a_welch_interval_of_paired_costs(usual: list[Look], values: Params) -> None:
    """Claim 7's number compares what the permutation costs each network, seed by seed."""
    found = evidence(without(usual, "cnn_permuted", 4), values)
    scores = {name: found.groups[name].values("test_accuracy") for name in NEEDS}
    costs = scores["cnn"][:4] - scores["cnn_permuted"], scores["mlp_adadelta"] - scores["mlp_adadelta_permuted"]

    (number,) = rows(found)[13].answer.numbers

    assert number.estimate == pytest.approx(costs[0].mean() - costs[1].mean())
    assert number.interval == pytest.approx(stats.ttest_ind(*costs, equal_var=False).confidence_interval())


def test_claim_4_compares_at_the_cnns_last_epoch(usual: list[Look], values: Params) -> None:
    """The running accuracies of epoch 12 are compared, not those of the last epochs."""
    at = {
        name: [e.history["accuracy"][11] for _, e, _ in usual if e is not None and e.variant == name]
        for name in ("cnn", "mlp_rmsprop", "mlp_adadelta")
    }

    numbers = rows(evidence(usual, values))[6].answer.numbers

    for number, name in zip(numbers, ("mlp_rmsprop", "mlp_adadelta"), strict=True):
        expected = stats.ttest_ind(at["cnn"], at[name], equal_var=False).confidence_interval()
        assert number.interval == pytest.approx(expected)


@pytest.mark.filterwarnings("ignore:Precision loss")  # all seeds of the CNN take two epochs
def test_seconds_are_epochs_times_the_benchmarks_seconds(usual: list[Look], values: Params) -> None:
    """An epoch of 55,000 images takes 3 and 40 seconds; the interval holds the extremes of the benchmark too."""
    found = evidence(usual, values)
    until = {
        name: np.argmax(found.groups[name].curves("val_accuracy") >= 0.98, axis=1) + 1
        for name in ("cnn", "mlp_rmsprop")
    }

    number = rows(found)[9].answer.numbers[0]

    assert PACE["cnn"] == Seconds(40.0, 39.0, 50.0)
    assert number.estimate == pytest.approx(40 * until["cnn"].mean() - 3 * until["mlp_rmsprop"].mean())
    assert number.interval is not None
    for cnn, mlp in ((40, 3), (39, 3.2), (50, 2.8)):
        ends = stats.ttest_ind(cnn * until["cnn"], mlp * until["mlp_rmsprop"], equal_var=False).confidence_interval()
        assert number.interval[0] <= ends.low + 1e-9
        assert number.interval[1] >= ends.high - 1e-9


def test_seconds_may_flip_what_epochs_say(usual: list[Look], values: Params) -> None:
    """A CNN whose epochs were as quick as the MLPs' would be faster by the clock; without a benchmark it is open."""
    found = evidence(usual, values)
    quick = dict.fromkeys(PACE, Seconds(3.0, 2.9, 3.1))

    assert verdicts(found, quick)[9] is NO
    row = rows(found, {"cnn": PACE["cnn"]})[9]
    assert row.answer.verdict is OPEN
    assert row.answer.reason == "There is no benchmark of `mlp_rmsprop` and `mlp_adadelta`."


def test_a_benchmark_without_its_numbers_is_an_error() -> None:
    """The model that lacks them is named."""
    with pytest.raises(InputError, match=r"training\.cnn: cannot be read"):
        convergence.seconds({"training": {"cnn": {"images": 10, "epoch": {}}}}, 10)


@pytest.mark.parametrize(("slow", "finding"), [("cnn", YES), ("mlp_rmsprop", OPEN)])
def test_a_seed_that_never_gets_there_is_said(slow: str, finding: Finding, usual: list[Look], values: Params) -> None:
    """A CNN that never reaches 98% is slower; an MLP that does not leaves open whether it is, and the page says so."""
    made = {slow: Made(test=0.97), **({} if slow == "cnn" else {"cnn": Made(half=3.0, test=0.9905)})}
    looks = [
        (one, study_runs.entry(one, made[one.variant]) if one.variant in made else entry, state)
        for one, entry, state in usual
    ]

    row = rows(evidence(looks, values))[8]

    assert row.answer.verdict is finding
    assert f"5 seeds of `{slow}` never got there" in row.answer.reason


@pytest.mark.parametrize(
    ("gain", "words"),
    [
        (0.0003, "*better*, by less than matters"),
        (-0.0003, "*worse*, by less than matters"),
        (0.003, "*better*"),
        (0.0, "*no relevant difference*"),
    ],
)
def test_a_difference_too_small_to_matter_is_said(gain: float, words: str) -> None:
    """What is told apart within the smallest effect is worded so; what is not told apart keeps its verdict."""
    base = np.array([0.98, 0.981, 0.982, 0.983])
    noise = np.array([1, -1, 1, -1]) * 1e-5
    found = means.compare(base + gain + noise, base, paired=True)
    (judgement,) = multitest.judge({"pair": found}, 0.001).values()
    pair = comparisons.Pair("a", "b", True, 4, 4, judgement, None, 0, 0)

    assert pair.words == words
