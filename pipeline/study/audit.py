"""The audit: each claim of the original report under each reading, what decides it here, and what comes of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from math import exp, log

from pipeline.analysis import means, multitest
from pipeline.reporting import render
from pipeline.study import comparisons, convergence, factorial, findings, rules
from pipeline.study.comparisons import Pair
from pipeline.study.convergence import MODELS, Seconds
from pipeline.study.findings import Answer, Number, Question, Row
from pipeline.study.groups import Evidence
from pipeline.study.rules import ADADELTA, CNN, CNN_PERMUTED, LONGER, MLP_PERMUTED, RMSPROP, Finding

Reproduced = Mapping[str, Mapping[str, float]]


def audit(evidence: Evidence, pairs: Sequence[Pair], reproduced: Reproduced, pace: Mapping[str, Seconds]) -> list[Row]:
    """Return a row for each claim and reading, in their order.

    `pairs` are the judged comparisons; `reproduced` scores each model of the report done again (reports/metrics.json);
    `pace` has the seconds of the models that were measured alone.
    """
    first, *others = [
        question.answer(evidence)
        for question in chain(
            _claim_1(evidence),
            factorial.questions(evidence),
            _claim_3(evidence, reproduced),
            convergence.questions(evidence, pace),
            _claim_5(evidence, pairs),
            _claim_6(pairs),
            _claim_7(evidence),
        )
    ]
    return [first, factorial.attribution(evidence), *others, _cannot_show(others[-1])]


def _claim_1(evidence: Evidence) -> Iterator[Question]:
    rule = evidence.rule
    yield Question(
        1,
        "by the rise of `val_loss`",
        f"mean `val_loss` of the last {rule.window} epochs over the lowest, geometric mean over the seeds",
        f"supported from {rule.strong:.2f} on, not supported below {rule.slight:.2f}",
        [[RMSPROP]],
        lambda: _gets_worse(evidence),
    )


def _gets_worse(evidence: Evidence) -> Answer:
    rule, group = evidence.rule, evidence.groups[RMSPROP]
    rise = means.describe(group.values("log_rise"))
    verdict = rules.gets_worse((rise.low, rise.high), log(rule.slight), log(rule.strong))
    mean = findings.mean(f"`{RMSPROP}`, rise", group.values("log_rise"), "factor", exp)
    beside = [findings.mean(f"`{RMSPROP}`, calibration error", group.values("test_calibration_error"), "share")]
    if len(evidence.common([ADADELTA])) >= multitest.MIN_SEEDS:
        other = evidence.groups[ADADELTA]
        beside += [
            findings.mean(f"`{ADADELTA}`, rise", other.values("log_rise"), "factor", exp),
            findings.mean(f"`{ADADELTA}`, calibration error", other.values("test_calibration_error"), "share"),
        ]
    judged = [analysis.verdict for analysis in group.analyses.values()]
    counts = [f"*{verdict}* {judged.count(verdict)}" for verdict in dict.fromkeys(sorted(judged))]
    reason = (
        f"On average `val_loss` ends at {mean.text} times its lowest value. By the rule for a single history, "
        f"which also asks whether accuracy is kept, the seeds are: {', '.join(counts)}."
    )
    return Answer(verdict, (mean,), reason, tuple(beside))


def _claim_3(evidence: Evidence, reproduced: Reproduced) -> Iterator[Question]:
    bound = render.percent(rules.RECOGNISED)
    rule = f"supported if all three means are at or above {bound}, not supported if one is below"
    for outcome, name, measure in (
        ("running_accuracy", "running training accuracy", "`accuracy` of the last epoch, dropout on"),
        ("train_accuracy", "training accuracy in inference mode", "accuracy on all training images, dropout off"),
        ("test_accuracy", "test accuracy", "accuracy on the test images"),
    ):
        decide = partial(_recognise, evidence, reproduced, outcome)
        yield Question(3, f"by {name}", measure, rule, [[model] for model in MODELS], decide)


def _recognise(evidence: Evidence, reproduced: Reproduced, outcome: str) -> Answer:
    numbers = [findings.mean(f"`{name}`", evidence.groups[name].values(outcome), "share") for name in MODELS]
    beside = [
        Number(f"`{name}` in `dvc repro`, one training", "share", reproduced[name][outcome])
        for name in MODELS
        if outcome in reproduced.get(name, {})
    ]
    verdict = rules.reach([number.interval for number in numbers if number.interval], rules.RECOGNISED)
    return Answer(verdict, tuple(numbers), f"The means are: {findings.listed(numbers)}.", tuple(beside))


def _claim_5(evidence: Evidence, pairs: Sequence[Pair]) -> Iterator[Question]:
    yield Question(
        5,
        "by training twice as long",
        f"test accuracy of `{LONGER}` less that of `{CNN}`, by seed, judged in the family",
        "supported if better, and not by less than the smallest effect; undecided if one cannot tell",
        [[LONGER, CNN]],
        lambda: _too_few_epochs(evidence, pairs),
    )


def _too_few_epochs(evidence: Evidence, pairs: Sequence[Pair]) -> Answer:
    found = comparisons.find(pairs, LONGER, CNN)
    if found is None or found[0].judgement is None:
        return _unlisted(LONGER, CNN)
    pair, verdict = found
    within = found[0].judgement.within_smallest_effect
    loss = findings.compare(evidence, "validation_loss", LONGER, CNN)
    change = findings.difference(f"`{LONGER}` less `{CNN}`, validation loss", "loss", loss)
    reason = f"{_said(pair)}; the validation loss changes by {change.text}."
    decided = rules.too_few_epochs(verdict, within_smallest_effect=within)
    return Answer(decided, _judged(pair), reason, (change,))


def _claim_6(pairs: Sequence[Pair]) -> Iterator[Question]:
    measure = "difference in test accuracy over the seeds, judged in the family"
    yield Question(
        6,
        "between the two MLPs",
        measure,
        "not supported if they are told apart, supported if there is no relevant difference",
        [[ADADELTA, RMSPROP]],
        lambda: _chance(pairs, [(ADADELTA, RMSPROP)]),
    )
    yield Question(
        6,
        "between the CNN and the MLPs",
        measure,
        "not supported if it is told apart from both, supported if there is no relevant difference from either",
        [[name] for name in MODELS],
        lambda: _chance(pairs, [(CNN, RMSPROP), (CNN, ADADELTA)]),
    )


def _chance(pairs: Sequence[Pair], couples: Sequence[tuple[str, str]]) -> Answer:
    found = []
    for couple in couples:
        if (one := comparisons.find(pairs, *couple)) is None:
            return _unlisted(*couple)
        found.append(one)
    numbers = tuple(chain.from_iterable(_judged(pair) for pair, _ in found))
    return Answer(rules.chance([verdict for _, verdict in found]), numbers, f"{'; '.join(_said(p) for p, _ in found)}.")


def _claim_7(evidence: Evidence) -> Iterator[Question]:
    least = render.fixed(100 * evidence.study.statistics.smallest_effect, 2)
    yield Question(
        7,
        "the CNN uses shape",
        "test accuracy that permuting the pixels costs the CNN, less what it costs the MLP",
        f"supported above the smallest effect, {least} points, not supported below",
        [[CNN, CNN_PERMUTED], [ADADELTA, MLP_PERMUTED]],
        lambda: _uses_shape(evidence),
    )


def _uses_shape(evidence: Evidence) -> Answer:
    costs = []
    for original, permuted in ((CNN, CNN_PERMUTED), (ADADELTA, MLP_PERMUTED)):
        seeds = evidence.common((original, permuted))
        before, after = (evidence.groups[name].values("test_accuracy", seeds) for name in (original, permuted))
        costs.append(before - after)
    shape = means.compare(*costs, paired=False)
    number = findings.difference("cost to the CNN less cost to the MLP", "points", shape)
    beside = (
        findings.mean(f"`{CNN}` less `{CNN_PERMUTED}`", costs[0], "points"),
        findings.mean(f"`{ADADELTA}` less `{MLP_PERMUTED}`", costs[1], "points"),
        *(
            findings.difference(f"`{a}` less `{b}`", "points", findings.compare(evidence, "test_accuracy", a, b))
            for a, b in ((CNN, ADADELTA), (CNN_PERMUTED, MLP_PERMUTED))
        ),
    )
    reason = (
        f"The permutation costs the CNN {beside[0].text} of test accuracy and the MLP {beside[1].text}: a difference "
        f"of {number.text}."
    )
    verdict = rules.uses_shape(shape.interval(), evidence.study.statistics.smallest_effect)
    return Answer(verdict, (number,), reason, beside)


def _cannot_show(shape: Row) -> Row:
    verdict = rules.cannot_show(shape.answer.verdict)
    reason = "What the CNN does with shape was measured on MNIST itself."
    if verdict is Finding.UNDECIDED:
        reason = "It stands and falls with the reading above."
    rule = "the opposite of the reading above"
    return Row(7, "MNIST cannot show it", "as above", rule, shape.needs, Answer(verdict, (), reason))


def _unlisted(first: str, second: str) -> Answer:
    reason = f"`{first}` and `{second}` are not among the comparisons of study/params.yaml."
    return Answer(Finding.UNDECIDED, (), reason)


def _judged(pair: Pair) -> tuple[Number, ...]:
    one = pair.judgement
    if one is None:
        return ()
    label = f"`{pair.first}` less `{pair.second}`"
    return (
        Number(label, "points", one.comparison.estimate, (one.low, one.high), one.confidence),
        Number(f"{label}, adjusted p", "p", one.adjusted_p),
    )


def _said(pair: Pair) -> str:
    number, p = _judged(pair)
    return f"{number.label} is {number.text}, adjusted p = {p.value}: {pair.words}"
