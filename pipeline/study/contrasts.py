"""Contrasts measured: their 95% intervals from the replicates, and whether these meet the conditions of a reading."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import exp, log

import numpy as np

from pipeline.analysis import means, overfitting, power, time_to_target
from pipeline.analysis.means import Estimate
from pipeline.analysis.power import Assumed, Part
from pipeline.analysis.verdicts import Interval
from pipeline.errors import InputError
from pipeline.study import groups
from pipeline.study.comparisons import VariantPair
from pipeline.study.convergence import EpochSeconds
from pipeline.study.findings import Form, Measurement
from pipeline.study.groups import SeedValues, StudyData
from pipeline.study.readings import Quantities
from pipeline.study.terms import Condition, Contrast, Contrasts, Outcome


@dataclass(frozen=True)
class Evidence:
    """What claims are judged by: the replicates, their pairwise comparisons, and what is known of models by name.

    `reproduced` has the scores of those in the reproduction, and `timings` the seconds per epoch of those benchmarked.
    """

    data: StudyData
    pairs: Sequence[VariantPair]
    reproduced: Mapping[str, Mapping[str, float]]
    timings: Mapping[str, EpochSeconds]


@dataclass(frozen=True)
class Measured:
    """A contrast, the samples that it sums, and its 95% interval: all of logarithms if it is shown as a factor.

    A seed that never reached a target is counted as reaching it an epoch after its last, which is too early: so the
    contrast may truly be `higher`, or `lower` where such seeds are subtracted.
    """

    label: str
    form: Form
    estimate: Estimate
    interval: Interval
    samples: Sequence[SeedValues]
    higher: bool = False
    lower: bool = False

    def shown(self, *conditions: Condition) -> Measurement:
        """Return the measurement for the page, with the bounds of the conditions that it is to meet."""
        back = exp if self.form == "factor" else float
        bounds = tuple(condition.bound for condition in conditions)
        return Measurement(self.label, self.form, back(self.estimate.estimate), self.interval.to(back), bounds=bounds)

    def meets(self, condition: Condition) -> bool:
        """Return whether the whole interval is on the condition's side of its bound."""
        bound, (low, high) = self._bound(condition), self.interval
        if condition.sign == "<":
            return high < bound and not self.higher
        return (low > bound or (condition.sign == ">=" and low == bound)) and not self.lower

    def part(self, condition: Condition) -> Part:
        """Return what it contributes to a decision by the condition."""
        side = power.below if condition.sign == "<" else power.above
        return side(Assumed.observed(*self.samples), self._bound(condition))

    def _bound(self, condition: Condition) -> float:
        return log(condition.bound) if self.form == "factor" else condition.bound


def met(condition: Condition, measured: Sequence[Measured]) -> bool:
    """Return whether all contrasts meet the condition, or any if that is what it takes."""
    return (all if condition.quantifier == "all" else any)(contrast.meets(condition) for contrast in measured)


def measure(evidence: Evidence, of: Quantities, contrasts: Contrasts, *, widened: bool = False) -> list[Measured]:
    """Return contrasts measured in the outcome and the form of these quantities.

    `widened` intervals of seconds also cover the extremes of the benchmark.

    Raises:
        InputError: A value does not exist, or has no logarithm.
    """
    measured = []
    for label, contrast in contrasts.items():
        samples, estimate = _sum(evidence, of, contrast)
        ends = [estimate.interval()]
        if widened and of.outcome.in_seconds:
            ends += (_sum(evidence, of, contrast, fast=fast)[1].interval() for fast in (True, False))
        interval = Interval(min(end.low for end in ends), max(end.high for end in ends))
        weights = chain.from_iterable(block.items() for block in contrast)
        late = {weight > 0 for name, weight in weights if weight and unfinished(evidence, of.outcome, name)}
        measured.append(Measured(label, of.show, estimate, interval, samples, True in late, False in late))
    return measured


def unfinished(evidence: Evidence, outcome: Outcome, name: str) -> int:
    """Return how many of a variant's seeds never reached the target, if the outcome has one."""
    epochs = evidence.data.groups[name].variant.epochs
    return 0 if outcome.target is None else int((_until(evidence, outcome, name) > epochs).sum())


def _sum(
    evidence: Evidence, of: Quantities, contrast: Contrast, *, fast: bool | None = None
) -> tuple[list[SeedValues], Estimate]:
    """Return the weighted sum of each block for each of its seeds, and the sum of their means.

    `fast`: as if what counts positively had been as fast (if false, as slow) as ever, and the rest the opposite.
    """
    samples, scale = [], 0.0
    for block in contrast:
        seeds, parts = evidence.data.common(block), []
        for name, weight in block.items():
            pace = "median" if fast is None else "smallest" if fast == (weight > 0) else "largest"
            parts.append(weight * _values(evidence, of, name, seeds, pace))
        samples.append(np.sum(parts, axis=0))
        scale = max(scale, float(np.abs(parts).max()))
    return samples, means.sum_of_means(samples, scale=scale)


def _values(evidence: Evidence, of: Quantities, name: str, seeds: Sequence[int], pace: str) -> SeedValues:
    group, outcome = evidence.data.groups[name], of.outcome
    if outcome.name == groups.RISE:
        window = evidence.data.rules.overfitting.window
        losses = group.curves("val_loss", seeds)
        values = np.exp(means.pseudo_values(losses, lambda loss: np.log(overfitting.rise(loss, window))))
    elif outcome.epoch is not None:
        values = group.curves(outcome.name, seeds)[:, outcome.epoch - 1]
    elif outcome.target is not None:
        values = _until(evidence, outcome, name, seeds)
        values *= getattr(evidence.timings[name], pace) if outcome.in_seconds else 1
    else:
        values = group.values(outcome.name, seeds)
    if of.show != "factor":
        return values
    if not (values > 0).all():
        raise InputError(f"`{name}` has a value that is not above 0, so that there is no ratio")
    return np.log(values)


def _until(evidence: Evidence, outcome: Outcome, name: str, seeds: Sequence[int] | None = None) -> SeedValues:
    """Return each seed's epochs to the target; a seed that never reached it counts one epoch more than were trained."""
    group = evidence.data.groups[name]
    first = time_to_target.epochs_to(group.curves(outcome.name, seeds), outcome.target or 0).epochs
    return np.array([group.variant.epochs + 1 if epoch is None else epoch for epoch in first], np.float64)
