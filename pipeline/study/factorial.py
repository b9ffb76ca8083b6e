"""The 2x2 factorial design of optimizer and dropout, which the original did not have."""

from __future__ import annotations

from pipeline.analysis import means
from pipeline.analysis.means import Estimate
from pipeline.analysis.verdicts import MIN_SEEDS
from pipeline.study.groups import StudyData

# By optimizer (1 is Adadelta) and dropout (1 is on).
CELLS = {
    (0, 0): "mlp_rmsprop_no_dropout",
    (0, 1): "mlp_rmsprop",
    (1, 0): "mlp_adadelta_no_dropout",
    (1, 1): "mlp_adadelta",
}
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
