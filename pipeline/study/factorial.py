"""The 2x2 factorial design of optimizer and dropout, which the original did not have: claim 2."""

from __future__ import annotations

from collections.abc import Iterator
from math import exp, log

from pipeline.analysis import means, power
from pipeline.analysis.means import Estimate
from pipeline.analysis.power import Assumed, Decision
from pipeline.analysis.verdicts import MIN_SEEDS
from pipeline.study import findings, rules
from pipeline.study.findings import ClaimRow, Finding, Reading
from pipeline.study.groups import StudyData
from pipeline.study.rules import ADADELTA, ADADELTA_PLAIN, RMSPROP, RMSPROP_PLAIN, ClaimVerdict

# By optimizer (1 is Adadelta) and dropout (1 is on).
CELLS = {(0, 0): RMSPROP_PLAIN, (0, 1): RMSPROP, (1, 0): ADADELTA_PLAIN, (1, 1): ADADELTA}
OUTCOMES = ("log_rise", "generalization_gap", "test_accuracy", "test_calibration_error")
MAIN, WITH_RMSPROP, WITH_ADADELTA = "dropout", "dropout with RMSprop", "dropout with Adadelta"
OPTIMIZER, INTERACTION = "Adadelta instead of RMSprop", "interaction"


def effects(data: StudyData, outcome: str) -> dict[str, Estimate]:
    """Return the effects of both factors on an outcome, over the seeds that all four cells share; empty if too few.

    Main effects are averaged over the other factor: with dropout minus without, Adadelta minus RMSprop. Dropout's
    simple effects are those with each optimizer; the interaction is their difference, Adadelta minus RMSprop.
    """
    seeds = data.common(CELLS.values())
    if len(seeds) < MIN_SEEDS:
        return {}
    values = {cell: data.groups[name].values(outcome, seeds) for cell, name in CELLS.items()}
    both = means.factorial(values)
    return {
        MAIN: both.main_b,
        WITH_RMSPROP: means.paired_contrast(values[0, 1] - values[0, 0]),
        WITH_ADADELTA: means.paired_contrast(values[1, 1] - values[1, 0]),
        OPTIMIZER: both.main_a,
        INTERACTION: both.interaction,
    }


def table(data: StudyData) -> list[dict[str, object]]:
    """Return the rows of factorial.csv."""
    return [
        {"outcome": outcome, "effect": name, "estimate": one.estimate, **one.interval()._asdict()}
        | {"p_value": one.p_value, "n": int(one.degrees_of_freedom) + 1}
        for outcome in OUTCOMES
        for name, one in effects(data, outcome).items()
    ]


def attribution(data: StudyData) -> ClaimRow:
    """Return the row for claim 2 as the original made it, of the change of optimizer: the design alone decides it."""
    first, second = (data.study.variants.get(name) for name in (RMSPROP, ADADELTA))
    needs = {name: len(data.common([name])) for name in (RMSPROP, ADADELTA)}
    if first is None or second is None:
        finding = Finding(ClaimVerdict.UNDECIDED, (), "One of the two variants is not in the study.")
    elif rules.caused_by_dropout(first, second) is ClaimVerdict.UNDECIDED:
        remark = "Here the two variants do not differ in the optimizer alone."
        finding = Finding(ClaimVerdict.UNDECIDED, (), remark)
    else:
        remark = (
            f"Both networks have dropout {getattr(first.network, 'dropout', 0)}, and only the optimizer differs "
            "between them: this change cannot show anything about dropout."
        )
        enough = min(needs.values()) >= MIN_SEEDS
        label = f"rise of `val_loss`, `{ADADELTA}` over `{RMSPROP}`"
        change = [findings.variant_difference(data, "log_rise", ADADELTA, RMSPROP)] if enough else []
        measured = tuple(findings.estimate(label, "factor", one, exp) for one in change)
        finding = Finding(ClaimVerdict.CONFOUNDED, measured, remark)
    measure = "the settings in which the two MLPs differ"
    return ClaimRow(
        2, "dropout caused the change", measure, "confounded if they differ in the optimizer alone", needs, finding
    )


def readings(data: StudyData) -> Iterator[Reading]:
    """Yield the reading of claim 2 about dropout itself."""
    yield Reading(
        2,
        "dropout reduces overfitting here",
        "the factor by which dropout multiplies the rise of `val_loss`, averaged over both optimizers, within seeds",
        f"supported if the factor is below {1 / data.rule.slight:.3f}, since one closer to 1 does not matter, and not "
        "above 1 with either optimizer; not supported if it is above that",
        [list(CELLS.values())],
        lambda: _decide(data),
    )


def _decide(data: StudyData) -> Finding:
    found = {name: effects(data, "log_rise")[name] for name in (MAIN, WITH_RMSPROP, WITH_ADADELTA)}
    main, *simple = (one.interval() for one in found.values())
    least = log(data.rule.slight)
    numbers = tuple(findings.estimate(name, "factor", one, exp) for name, one in found.items())
    observed = Assumed.of_mean(found[MAIN])
    ways = ((power.below(observed, -least),), (power.above(observed, -least),))
    return Finding(rules.reduces(main, simple, least), numbers, decision=Decision(ways))
