"""What one more seed may give: the spread, the gate's drop, and whether the original's numbers are such."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
) -> tuple[SeedPrediction, ...]:
    """Return a prediction for each outcome of each variant that has MIN_SEEDS seeds.

    `networks` has the variant by the name of the original's model that it repeats; `summaries` are those of the data
    sets, which prepare wrote, and `original` has the histories printed in the original.
    """
    printed = {}
    for model, name in networks.items():
        summary = summaries[data.study.variants[name].dataset]
        if (summary["dataset"], summary["splits"]["test"]["count"]) == (originals.DATASET, originals.TEST_IMAGES):
            printed[name] = original.get(model)
    return tuple(one for name in data.groups for one in _of_variant(data, name, printed.get(name)))


def _of_variant(data: StudyData, name: str, history: pd.DataFrame | None) -> Iterator[SeedPrediction]:
    n = len(data.common([name]))
    if n < MIN_SEEDS:
        return
    for outcome, (measured, to, of_original) in OUTCOMES.items():
        low, high = prediction.prediction_interval(data.groups[name].values(measured))
        number = None if history is None else of_original(history, data.rules.overfitting)
        yield SeedPrediction(name, outcome, n, to(low), to(high), number)


def inside(found: Sequence[SeedPrediction]) -> tuple[int, int]:
    """Return how many of the original's numbers lie within their intervals, and of how many."""
    known = [one.within for one in found if one.within is not None]
    return sum(known), len(known)


def reproduced(held: int, n: int) -> bool:
    """Return whether so few of `n` 95% intervals hold their numbers by chance in 1 of 20 cases at least."""
    from scipy import stats

    return bool(stats.binom.cdf(held, n, 0.95) >= 0.05)


@dataclass(frozen=True)
class Spread:
    """The standard deviation of a variant's test accuracy over `n` seeds, as a share, and its upper 80% bound.

    One more seed is below `lowest` once in a thousand cases.
    """

    n: int
    sd: float
    lowest: float

    @property
    def upper(self) -> float:
        """The one-sided upper confidence bound of the standard deviation (see `prediction.sd_upper_bound`)."""
        return prediction.sd_upper_bound(self.sd, self.n - 1)

    @property
    def allowed_drop(self) -> float:
        """The drop in test accuracy that the seed alone rarely exceeds, however few seeds tell of the spread."""
        return ALLOWED * self.upper


def spreads(data: StudyData, names: Iterable[str]) -> Mapping[str, Spread]:
    """Return the spread of each of these variants that has two seeds; their spreads differ."""
    return {name: _spread(data, name) for name in names if len(data.common([name])) > 1}


def _spread(data: StudyData, name: str) -> Spread:
    values = data.groups[name].values(OUTCOME)
    summary = means.describe(values)
    return Spread(summary.n, summary.sd, prediction.prediction_interval(values, 1 - 2 * FALSE_ALARMS).low)
