"""The audit: each claim of the original under each reading, what is measured for it, and the verdict that follows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from math import exp, log

from pipeline.analysis import means, power
from pipeline.analysis.power import Assumed, Decision
from pipeline.reporting import render
from pipeline.study import comparisons, convergence, factorial, findings, rules
from pipeline.study.comparisons import VariantPair
from pipeline.study.convergence import MODELS, EpochSeconds
from pipeline.study.findings import ClaimRow, Finding, Measurement, Reading
from pipeline.study.groups import StudyData
from pipeline.study.rules import ADADELTA, CNN, CNN_PERMUTED, LONGER, MLP_PERMUTED, RMSPROP, ClaimVerdict

Reproduced = Mapping[str, Mapping[str, float]]


def audit(
    data: StudyData, pairs: Sequence[VariantPair], reproduced: Reproduced, timings: Mapping[str, EpochSeconds]
) -> list[ClaimRow]:
    """Return a row for each claim and reading, in their order.

    `pairs` are the pairwise comparisons; `reproduced` has the scores of each model of the reproduction
    (reports/metrics.json); `timings` has the seconds per epoch of the models that were benchmarked.
    """
    first, *others = [
        reading.evaluate(data)
        for reading in chain(
            _claim_1(data),
            factorial.readings(data),
            _claim_3(data, reproduced),
            convergence.readings(data, timings),
            _claim_5(data, pairs),
            _claim_6(data, pairs),
            _claim_7(data),
        )
    ]
    return [first, factorial.attribution(data), *others, _cannot_show(others[-1])]


def _claim_1(data: StudyData) -> Iterator[Reading]:
    rule = data.rule
    yield Reading(
        1,
        "by the rise of `val_loss`",
        f"mean `val_loss` of the last {rule.window} epochs divided by the lowest, geometric mean over seeds",
        f"supported at {rule.strong:.2f} or above, not supported below {rule.slight:.2f}",
        [[RMSPROP]],
        lambda: _gets_worse(data),
    )


def _gets_worse(data: StudyData) -> Finding:
    rule, group = data.rule, data.groups[RMSPROP]
    rise = means.describe(group.values("log_rise"))
    verdict = rules.gets_worse(rise.interval, log(rule.slight), log(rule.strong))
    mean = findings.mean(f"`{RMSPROP}`", group.values("log_rise"), "factor", exp)
    single = [analysis.verdict for analysis in group.analyses.values()]
    counts = [f"*{name}* {single.count(name)}" for name in dict.fromkeys(sorted(single))]
    remark = (
        "By the rule for a single history, which also asks whether accuracy is kept, the verdicts on the seeds are: "
        f"{', '.join(counts)}."
    )
    observed = Assumed.observed(group.values("log_rise"))
    ways = ((power.above(observed, log(rule.strong)),), (power.below(observed, log(rule.slight)),))
    return Finding(verdict, (mean,), remark, decision=Decision(ways))


def _claim_3(data: StudyData, reproduced: Reproduced) -> Iterator[Reading]:
    bound = render.percent(rules.RECOGNISED)
    rule = f"supported if all three means are at or above {bound}, not supported if one is below"
    for outcome, name, measure in (
        ("running_accuracy", "running training accuracy", "`accuracy` of the last epoch, dropout on"),
        ("train_accuracy", "training accuracy in inference mode", "accuracy on all training images, dropout off"),
        ("test_accuracy", "test accuracy", "accuracy on the test images"),
    ):
        decide = partial(_recognise, data, reproduced, outcome)
        yield Reading(3, f"by {name}", measure, rule, [[model] for model in MODELS], decide)


def _recognise(data: StudyData, reproduced: Reproduced, outcome: str) -> Finding:
    numbers = [findings.mean(f"`{name}`", data.groups[name].values(outcome), "share") for name in MODELS]
    further = [
        Measurement(f"`{name}` in the reproduction, a single run", "share", reproduced[name][outcome])
        for name in MODELS
        if outcome in reproduced.get(name, {})
    ]
    verdict = rules.reach([number.interval for number in numbers if number.interval], rules.RECOGNISED)
    observed = [Assumed.observed(data.groups[name].values(outcome)) for name in MODELS]
    reached = tuple(power.above(one, rules.RECOGNISED) for one in observed)
    missed = [(power.below(one, rules.RECOGNISED),) for one in observed]
    return Finding(verdict, tuple(numbers), further=tuple(further), decision=Decision((reached, *missed)))


def _claim_5(data: StudyData, pairs: Sequence[VariantPair]) -> Iterator[Reading]:
    yield Reading(
        5,
        "by training twice as long",
        f"test accuracy of `{LONGER}` minus that of `{CNN}`, paired by seed, simultaneous interval",
        "supported if *better*, not supported if *no relevant difference* or worse, otherwise undecided",
        [[LONGER, CNN]],
        lambda: _too_few_epochs(data, pairs),
    )


def _too_few_epochs(data: StudyData, pairs: Sequence[VariantPair]) -> Finding:
    found = comparisons.find_pair(pairs, LONGER, CNN)
    if found is None or found[0].judgement is None:
        return _unlisted(LONGER, CNN)
    pair, verdict = found
    loss = findings.variant_difference(data, "validation_loss", LONGER, CNN)
    change = findings.estimate(f"`{LONGER}` minus `{CNN}`, validation loss", "loss", loss)
    accepted = [one if pair.first == LONGER else one.reverse for one in rules.ON_EPOCHS]
    decided, decision = rules.too_few_epochs(verdict), comparisons.decision(pair, data, accepted)
    return Finding(decided, _measured(pair), _pairwise([pair]), (change,), decision)


def _claim_6(data: StudyData, pairs: Sequence[VariantPair]) -> Iterator[Reading]:
    measure = "difference in test accuracy, simultaneous interval"
    yield Reading(
        6,
        "between the two MLPs",
        measure,
        "not supported if one is *better*, supported if *no relevant difference*",
        [[ADADELTA, RMSPROP]],
        lambda: _chance(data, pairs, [(ADADELTA, RMSPROP)]),
    )
    yield Reading(
        6,
        "between the CNN and the MLPs",
        measure,
        "not supported if it is *better* or *worse* than both, supported if *no relevant difference* from either",
        [[name] for name in MODELS],
        lambda: _chance(data, pairs, [(CNN, RMSPROP), (CNN, ADADELTA)]),
    )


def _chance(data: StudyData, pairs: Sequence[VariantPair], couples: Sequence[tuple[str, str]]) -> Finding:
    found = []
    for couple in couples:
        if (one := comparisons.find_pair(pairs, *couple)) is None:
            return _unlisted(*couple)
        found.append(one)
    listed = [pair for pair, _ in found]
    numbers = tuple(chain.from_iterable(map(_measured, listed)))
    decisions = [comparisons.decision(pair, data, rules.ON_CHANCE) for pair in listed]
    parts = tuple(chain.from_iterable(way for one in decisions if one for way in one.ways))
    decision = Decision((parts,))
    return Finding(rules.chance([verdict for _, verdict in found]), numbers, _pairwise(listed), decision=decision)


def _claim_7(data: StudyData) -> Iterator[Reading]:
    least = render.fixed(100 * data.study.statistics.smallest_effect, 2)
    yield Reading(
        7,
        "the CNN uses shape",
        "test accuracy that permuting the pixels costs the CNN, minus what it costs the MLP",
        f"supported above the smallest effect that matters, {least} points, not supported below",
        [[CNN, CNN_PERMUTED], [ADADELTA, MLP_PERMUTED]],
        lambda: _uses_shape(data),
    )


def _uses_shape(data: StudyData) -> Finding:
    costs = []
    for original, permuted in ((CNN, CNN_PERMUTED), (ADADELTA, MLP_PERMUTED)):
        seeds = data.common((original, permuted))
        before, after = (data.groups[name].values("test_accuracy", seeds) for name in (original, permuted))
        costs.append(before - after)
    shape = means.compare(*costs, paired=False)
    number = findings.estimate("cost to the CNN minus cost to the MLP", "points", shape)
    further = (
        findings.mean(f"cost to the CNN: `{CNN}` minus `{CNN_PERMUTED}`", costs[0], "points"),
        findings.mean(f"cost to the MLP: `{ADADELTA}` minus `{MLP_PERMUTED}`", costs[1], "points"),
    )
    least = data.study.statistics.smallest_effect
    observed = Assumed.observed(costs[0], -costs[1])
    ways = ((power.above(observed, least),), (power.below(observed, least),))
    return Finding(rules.uses_shape(shape.interval(), least), (number,), further=further, decision=Decision(ways))


def _cannot_show(shape: ClaimRow) -> ClaimRow:
    verdict = rules.cannot_show(shape.finding.verdict)
    remark = "What the CNN does with shape was measured on MNIST itself."
    if verdict is ClaimVerdict.UNDECIDED:
        remark = "It depends on the reading above."
    rule = "the opposite of the reading above"
    finding = Finding(verdict, (), remark, decision=shape.finding.decision)
    return ClaimRow(7, "MNIST cannot show it", "as above", rule, shape.needs, finding)


def _unlisted(first: str, second: str) -> Finding:
    remark = f"`{first}` and `{second}` are not among the comparisons of study/params.yaml."
    return Finding(ClaimVerdict.UNDECIDED, (), remark)


def _measured(pair: VariantPair) -> tuple[Measurement, ...]:
    one = pair.judgement
    if one is None:
        return ()
    return (
        Measurement(pair.label, "points", one.comparison.estimate, one.simultaneous, one.confidence),
        Measurement("adjusted p", "p", one.adjusted_p),
    )


def _pairwise(pairs: Sequence[VariantPair]) -> str:
    verdicts = (f"`{pair.first}` against `{pair.second}`: *{pair.verdict}*" for pair in pairs)
    return f"Pairwise verdicts: {'; '.join(verdicts)}."
