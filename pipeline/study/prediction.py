"""What one more seed may give: the spread, the gate's drop, and whether the original's numbers are such."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, sqrt

import pandas as pd

from pipeline.analysis import means, overfitting, prediction
from pipeline.analysis.verdicts import MIN_SEEDS
from pipeline.data import original as originals
from pipeline.params import OverfittingRule
from pipeline.study.comparisons import OUTCOME
from pipeline.study.groups import StudyData
from pipeline.trials.prepared import Summaries

# The difference of two runs has sqrt(2) times the standard deviation of one; one above three of these is rarely
# due to the seed: Shewhart, Economic Control of Quality of Manufactured Product (1931).
ALLOWED = 3 * sqrt(2)
# How often the gate may fail by the seed alone.
FALSE_ALARMS = 0.001
# The outcomes: what each is called, the outcome of the study, whose interval is transformed back, and the original's
# number. Its `val_` columns are of the test images.
Original = Callable[[pd.DataFrame, OverfittingRule], float]
OUTCOMES: Mapping[str, tuple[str, Callable[[float], float], Original]] = {
    "test_accuracy": ("test_accuracy", float, lambda history, _: float(history["val_accuracy"].iloc[-1])),
    "test_loss": ("test_loss", float, lambda history, _: float(history["val_loss"].iloc[-1])),
    "running_accuracy": ("running_accuracy", float, lambda history, _: float(history["accuracy"].iloc[-1])),
    "rise": ("log_rise", exp, lambda history, rule: overfitting.analyse(history, rule, originals.TEST_IMAGES).rise),
}


@dataclass(frozen=True)
class SeedPrediction:
    """The 95% prediction interval of one more seed for an outcome of a variant, from `n` seeds.

    `original` is the original's number, None if there is none for this data.
    """

    variant: str
    outcome: str
    n: int
    low: float
    high: float
    original: float | None

    @property
    def within(self) -> bool | None:
        """Whether the original's number lies within; None if there is none."""
        return None if self.original is None else self.low <= self.original <= self.high


def predictions(
    data: StudyData, networks: Mapping[str, str], summaries: Summaries, original: Mapping[str, pd.DataFrame]
) -> list[SeedPrediction]:
    """Return a prediction for each outcome of each variant that has MIN_SEEDS seeds.

    `networks` has the variant by the name of the original's model that it repeats; `summaries` are those of the data
    sets, which prepare wrote, and `original` has the histories printed in the original.
    """
    printed = {}
    for model, name in networks.items():
        summary = summaries[data.study.variants[name].dataset]
        if (summary["dataset"], summary["splits"]["test"]["count"]) == (originals.DATASET, originals.TEST_IMAGES):
            printed[name] = original.get(model)
    predicted = []
    for name, group in data.groups.items():
        if (n := len(group.entries)) < MIN_SEEDS:
            continue
        history = printed.get(name)
        for outcome, (measured, to, of_original) in OUTCOMES.items():
            low, high = prediction.prediction_interval(group.values(measured))
            number = None if history is None else of_original(history, data.rules.overfitting)
            predicted.append(SeedPrediction(name, outcome, n, to(low), to(high), number))
    return predicted


def inside(predicted: Sequence[SeedPrediction]) -> tuple[int, int]:
    """Return how many of the original's numbers lie within their intervals, and of how many."""
    known = [prediction.within for prediction in predicted if prediction.within is not None]
    return sum(known), len(known)


def reproduced(held: int, n: int) -> bool:
    """Return whether so few of `n` 95% intervals hold their numbers by chance in 1 of 20 cases at least."""
    from scipy import stats

    return bool(stats.binom.cdf(held, n, 0.95) >= 0.05)


def spreads(data: StudyData, names: Iterable[str]) -> list[dict[str, object]]:
    """Return the rows of spread.csv: the spread of the test accuracy of each of these variants that has two seeds.

    `sd` is the standard deviation over `n` seeds, as a share, and `upper` its one-sided upper 80% bound: the seed alone
    rarely exceeds the `allowed_drop`, however few seeds tell of the spread. One more seed is below `lowest` once in a
    thousand cases.
    """
    rows: list[dict[str, object]] = []
    for name in dict.fromkeys(names):
        if len(data.common([name])) > 1:
            values = data.groups[name].values(OUTCOME)
            summary = means.describe(values)
            upper = prediction.sd_upper_bound(summary.sd, summary.n - 1)
            lowest = prediction.prediction_interval(values, 1 - 2 * FALSE_ALARMS).low
            row = {"variant": name, **vars(summary), "upper": upper, "allowed_drop": ALLOWED * upper, "lowest": lowest}
            rows.append(row)
    return rows
