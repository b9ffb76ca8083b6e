"""The processor as a factor: whether replicates of a variant differ between the processors that made them.

On another processor the last digits of a training differ, and the difference grows: with the same seed it ends in
another network. That is like another seed unless one processor is better on average, which is what is measured here.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.analysis import means
from pipeline.analysis.means import Comparison
from pipeline.analysis.verdicts import MIN_SEEDS
from pipeline.study.comparisons import OUTCOME
from pipeline.study.groups import StudyData, VariantGroup
from pipeline.trials import plan


@dataclass(frozen=True)
class ProcessorEffect:
    """A variant's test accuracy on processor `first` minus that on `second`, by Welch's t over their seeds."""

    variant: str
    first: str
    second: str
    difference: Comparison
    n_first: int
    n_second: int


def made_on(record: Mapping[str, Any]) -> str:
    """Return the processor that made the replicate of this record."""
    return str(record["processor"])


def counts(data: StudyData) -> tuple[Sequence[str], Mapping[str, Sequence[int]]]:
    """Return the processors, and for each variant how many of its replicates each of them made.

    The processor that made most replicates of the study comes first.
    """
    made = {name: Counter(_made_by(group)) for name, group in data.groups.items()}
    order = [name for name, _ in data.makers(made_on)]
    return order, {name: [found[processor] for processor in order] for name, found in made.items() if found}


def apart(data: StudyData) -> Sequence[tuple[str, str]]:
    """Return the comparisons in which no processor made replicates of both variants.

    What a processor does to the scores, if anything, is part of such a difference.
    """
    _, made = counts(data)
    return [
        (first, second)
        for first, second in data.study.statistics.every
        if {first, second} <= made.keys() and not any(map(operator.mul, made[first], made[second]))
    ]


def effects(data: StudyData) -> Sequence[ProcessorEffect]:
    """Return the effects for the variants of which two processors have MIN_SEEDS seeds.

    Each processor is compared with the one that made most replicates of the study.
    """
    order, _ = counts(data)
    return [effect for group in data.groups.values() for effect in _effects(group, order)]


def _effects(group: VariantGroup, order: Sequence[str]) -> Iterator[ProcessorEffect]:
    made = _made_by(group)
    enough = [name for name in order if made.count(name) >= MIN_SEEDS]
    seeds = {name: [seed for seed, by in zip(group.entries, made, strict=True) if by == name] for name in enough}
    for other in enough[1:]:
        values = (group.values(OUTCOME, seeds[name]) for name in (enough[0], other))
        difference = means.compare(*values, paired=False)
        yield ProcessorEffect(group.name, enough[0], other, difference, len(seeds[enough[0]]), len(seeds[other]))


def _made_by(group: VariantGroup) -> list[str]:
    return [made_on(entry.record) for entry in group.entries.values()]


def mixed(data: StudyData) -> tuple[int, int]:
    """Return how many pairs of replicates in the paired comparisons are of two processors, and how many there are.

    A pair shares its seed; one of two processors does not share what the processor makes of it.
    """
    pairs = [
        {made_on(data.groups[name].entries[seed].record) for name in names}
        for names in data.study.statistics.every
        if plan.same_seeds(*(data.groups[name].variant for name in names))
        for seed in data.common(names)
    ]
    return sum(len(found) > 1 for found in pairs), len(pairs)
