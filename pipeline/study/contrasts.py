"""Contrasts measured: their 95% intervals from the replicates, and whether these meet the conditions of a reading."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import log

import numpy as np

from pipeline.analysis import means, power, time_to_target
from pipeline.analysis.power import Assumed, Part
from pipeline.analysis.verdicts import Interval
from pipeline.errors import InputError
from pipeline.study import findings
from pipeline.study.claims import Quantities
from pipeline.study.comparisons import VariantPair
from pipeline.study.convergence import EpochSeconds
from pipeline.study.findings import Form, Measurement
from pipeline.study.groups import SeedValues, StudyData
from pipeline.study.terms import Condition, Contrast, Contrasts, Outcome

Pace = Callable[[float], str]


@dataclass(frozen=True)
class Evidence:
    """What claims are judged by.

    `pairs` are the pairwise comparisons; `reproduced` has the scores of each model of the reproduction
    (reports/metrics.json), and `timings` the seconds per epoch of the models that were benchmarked.
    """

    data: StudyData
    pairs: Sequence[VariantPair]
    reproduced: Mapping[str, Mapping[str, float]]
    timings: Mapping[str, EpochSeconds]


class UnmeasurableError(Exception):
    """A reading cannot be measured: the text says why, for the page."""


@dataclass(frozen=True)
class Measured:
    """A contrast and its 95% interval, of logarithms if it is shown as a factor; `assumed` is for planning more seeds.

    Seeds that never reached a target count as reaching it an epoch after their last, which is too early: if there are
    any, the true value may be above the interval, or below it if they count negatively.
    """

    label: str
    form: Form
    estimate: float
    interval: Interval
    assumed: Assumed
    may_be_above: bool
    may_be_below: bool

    @property
    def shown(self) -> Measurement:
        """The measurement for the page."""
        return findings.measurement(self.label, self.form, self.estimate, self.interval)

    def meets(self, condition: Condition) -> bool:
        """Return whether the whole interval is on the condition's side of its bound."""
        bound, (low, high) = self._bound(condition), self.interval
        if condition.sign == "<":
            return high < bound and not self.may_be_above
        return (low > bound or (condition.sign == ">=" and low == bound)) and not self.may_be_below

    def part(self, condition: Condition) -> Part:
        """Return what it contributes to a decision by the condition."""
        side = power.below if condition.sign == "<" else power.above
        return side(self.assumed, self._bound(condition))

    def _bound(self, condition: Condition) -> float:
        return log(condition.bound) if self.form == "factor" else condition.bound


def met(condition: Condition, found: Sequence[Measured]) -> bool:
    """Return whether all contrasts meet the condition, or any if that is what it takes."""
    return (all if condition.quantifier == "all" else any)(one.meets(condition) for one in found)


def measure(
    evidence: Evidence, quantities: Quantities, contrasts: Contrasts | None = None, *, widened: bool = False
) -> list[Measured]:
    """Return the contrasts, by default those of `quantities`, measured in their outcome and form.

    `widened` intervals of seconds also cover the extremes of the benchmark.

    Raises:
        UnmeasurableError: A value does not exist, or has no logarithm.
    """
    chosen = quantities.contrasts if contrasts is None else contrasts
    return [_measured(evidence, quantities, *one, widened=widened) for one in chosen.items()]


def unfinished(evidence: Evidence, quantities: Quantities, name: str) -> int:
    """Return how many of a variant's seeds never reached the target, if the outcome has one."""
    if quantities.outcome.target is None:
        return 0
    return int((_until(evidence, quantities.outcome, name) > evidence.data.groups[name].variant.epochs).sum())


def _measured(evidence: Evidence, quantities: Quantities, label: str, contrast: Contrast, *, widened: bool) -> Measured:
    samples, scale = _samples(evidence, quantities, contrast, lambda _: "median")
    estimate = means.sum_of_means(samples, scale=scale)
    interval = estimate.interval()
    if widened and quantities.outcome.in_seconds:
        low, high = (_extreme(evidence, quantities, contrast, fast=fast) for fast in (True, False))
        interval = Interval(min(interval.low, low.low), max(interval.high, high.high))
    weights = chain.from_iterable(block.items() for block in contrast)
    late = {weight > 0 for name, weight in weights if weight and unfinished(evidence, quantities, name)}
    assumed = Assumed.observed(*samples)
    return Measured(label, quantities.show, estimate.estimate, interval, assumed, True in late, False in late)


def _extreme(evidence: Evidence, quantities: Quantities, contrast: Contrast, *, fast: bool) -> Interval:
    """Return the interval if what counts positively was as fast, or as slow, as ever, and the rest the opposite."""
    samples, scale = _samples(
        evidence, quantities, contrast, lambda weight: "smallest" if (weight > 0) == fast else "largest"
    )
    return means.sum_of_means(samples, scale=scale).interval()


def _samples(
    evidence: Evidence, quantities: Quantities, contrast: Contrast, pace: Pace
) -> tuple[list[SeedValues], float]:
    """Return the weighted sum of each block for each of its seeds, and the largest magnitude of what was added."""
    samples, scale = [], 0.0
    for block in contrast:
        seeds = evidence.data.common(block)
        parts = [weight * _values(evidence, quantities, name, seeds, pace(weight)) for name, weight in block.items()]
        samples.append(np.sum(parts, axis=0))
        scale = max(scale, float(np.abs(parts).max()))
    return samples, scale


def _values(evidence: Evidence, quantities: Quantities, name: str, seeds: Sequence[int], pace: str) -> SeedValues:
    group, outcome = evidence.data.groups[name], quantities.outcome
    if outcome.epoch is not None:
        values = group.curves(outcome.name, seeds)[:, outcome.epoch - 1]
    elif outcome.target is not None:
        values = _until(evidence, outcome, name, seeds)
        values *= getattr(evidence.timings[name], pace) if outcome.in_seconds else 1
    else:
        try:
            values = group.values(outcome.name, seeds)
        except InputError as error:
            raise UnmeasurableError(f"{error}.") from None
    if quantities.show != "factor":
        return values
    if not (values > 0).all():
        raise UnmeasurableError(f"`{name}` has a value that is not above 0, so that there is no ratio.")
    return np.log(values)


def _until(evidence: Evidence, outcome: Outcome, name: str, seeds: Sequence[int] | None = None) -> SeedValues:
    """Return each seed's epochs to the target; a seed that never reached it counts one epoch more than were trained."""
    group = evidence.data.groups[name]
    first = time_to_target.epochs_to(group.curves(outcome.name, seeds), outcome.target or 0).epochs
    return np.array([group.variant.epochs + 1 if epoch is None else epoch for epoch in first], np.float64)
