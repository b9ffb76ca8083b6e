"""The 2x2 of optimizer and dropout, which the original report lacks: claim 2."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import exp, log

from pipeline.analysis import means
from pipeline.analysis.means import Contrast
from pipeline.analysis.multitest import MIN_SEEDS
from pipeline.study import findings, rules
from pipeline.study.findings import Answer, Question, Row
from pipeline.study.groups import Evidence
from pipeline.study.rules import ADADELTA, ADADELTA_PLAIN, RMSPROP, RMSPROP_PLAIN, Finding

# By optimizer (1 is Adadelta) and dropout (1 is on).
CELLS = {(0, 0): RMSPROP_PLAIN, (0, 1): RMSPROP, (1, 0): ADADELTA_PLAIN, (1, 1): ADADELTA}
OUTCOMES = ("log_rise", "generalization_gap", "test_accuracy", "test_calibration_error")
MAIN, WITH_RMSPROP, WITH_ADADELTA = "dropout", "dropout with RMSprop", "dropout with Adadelta"
OPTIMIZER, INTERACTION = "Adadelta for RMSprop", "interaction"


def effects(evidence: Evidence, outcome: str) -> dict[str, Contrast]:
    """Return what both factors do to an outcome, by seeds that all four cells share; empty if these are too few.

    An effect is the outcome with dropout (with Adadelta) less that without (with RMSprop): averaged over the other
    factor, and dropout's with each optimizer. The interaction is the latter's difference, Adadelta less RMSprop.
    """
    seeds = evidence.common(CELLS.values())
    if len(seeds) < MIN_SEEDS:
        return {}
    values = {cell: evidence.groups[name].values(outcome, seeds) for cell, name in CELLS.items()}
    both = means.factorial(values)
    return {
        MAIN: both.main_b,
        WITH_RMSPROP: means.paired_contrast(values[0, 1] - values[0, 0]),
        WITH_ADADELTA: means.paired_contrast(values[1, 1] - values[1, 0]),
        OPTIMIZER: both.main_a,
        INTERACTION: both.interaction,
    }


def table(evidence: Evidence) -> list[dict[str, object]]:
    """Return the rows of factorial.csv."""
    return [
        {"outcome": outcome, "effect": name, **vars(contrast)}
        for outcome in OUTCOMES
        for name, contrast in effects(evidence, outcome).items()
    ]


def attribution(evidence: Evidence) -> Row:
    """Claim 2 as it was said, of the change of the optimizer: the design decides it, whatever was measured."""
    first, second = (evidence.study.variants.get(name) for name in (RMSPROP, ADADELTA))
    needs = {name: len(evidence.common([name])) for name in (RMSPROP, ADADELTA)}
    if first is None or second is None:
        answer = Answer(Finding.UNDECIDED, (), "The study lacks one of the two variants.")
    elif rules.caused_by_dropout(first, second) is Finding.UNDECIDED:
        answer = Answer(Finding.UNDECIDED, (), "Here the two variants do not differ in the optimizer alone.")
    else:
        reason = (
            f"Both networks have dropout {first.network.dropout}, and the optimizer alone was changed between them: "
            "this change can show nothing about dropout."
        )
        answer = Answer(Finding.CONFOUNDED, (), reason)
        if min(needs.values()) >= MIN_SEEDS:
            change = _factor(f"`{ADADELTA}` over `{RMSPROP}`, rise", evidence)
            reason += f" It multiplies the rise of `val_loss` by {change.text}."
            answer = Answer(Finding.CONFOUNDED, (change,), reason)
    measure = "the settings in which the two MLPs differ"
    return Row(2, "the change was dropout's doing", measure, "confounded if it is the optimizer alone", needs, answer)


def questions(evidence: Evidence) -> Iterator[Question]:
    """Yield claim 2 of dropout itself."""
    yield Question(
        2,
        "dropout reduces overfitting here",
        "dropout's effect on the rise of `val_loss`, averaged over both optimizers, by seed",
        "supported if the factor is below 1, and not above 1 with either optimizer; not supported if it is above "
        f"{1 / evidence.rule.slight:.3f}, too close to 1 to count",
        [list(CELLS.values())],
        lambda: _decide(evidence),
    )


def _decide(evidence: Evidence) -> Answer:
    found = effects(evidence, "log_rise")
    labels = {name: f"factor of {name}, rise" for name in found} | {
        INTERACTION: "dropout's factor, Adadelta over RMSprop"
    }
    numbers = [findings.effect(labels[name], "factor", one, exp) for name, one in found.items()]
    others = [
        findings.effect(f"{name}, {outcome.replace('_', ' ')}", "points", effects(evidence, outcome)[name])
        for outcome, name in product(OUTCOMES[1:], (MAIN, OPTIMIZER))
    ]
    (low, high), *simple = ((found[name].low, found[name].high) for name in (MAIN, WITH_RMSPROP, WITH_ADADELTA))
    verdict = rules.reduces((low, high), simple, log(evidence.rule.slight))
    reason = (
        f"Averaged over both optimizers, dropout multiplies the rise by {numbers[0].text}; with RMSprop by "
        f"{numbers[1].text}, with Adadelta by {numbers[2].text}."
    )
    return Answer(verdict, tuple(numbers[:3]), reason, (*numbers[3:], *others))


def _factor(label: str, evidence: Evidence) -> findings.Number:
    change = findings.compare(evidence, "log_rise", ADADELTA, RMSPROP)
    low, high = change.interval()
    return findings.Number(label, "factor", exp(change.estimate), (exp(low), exp(high)))
