"""The processor as a factor: whether replicates of a variant differ between the processors that made them.

On another processor the last digits of a training differ, and the difference grows: with the same seed it ends in
another network. That is like another seed unless one processor is better on average, which is what is measured here.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.analysis import means
from pipeline.analysis.verdicts import MIN_SEEDS
from pipeline.study.comparisons import OUTCOME
from pipeline.study.groups import StudyData, VariantGroup
from pipeline.trials import plan


def made_on(record: Mapping[str, Any]) -> str:
    """Return the processor that made the replicate of this record."""
    return str(record["processor"])


def _made_by(group: VariantGroup) -> list[str]:
    return [made_on(entry.record) for entry in group.entries.values()]


def apart(data: StudyData) -> Sequence[tuple[str, str]]:
    """Return the comparisons in which no processor made replicates of both variants.

    What a processor does to the scores, if anything, is part of such a difference.
    """
    made = {name: {*_made_by(group)} for name, group in data.groups.items() if group.entries}
    return [
        (first, second)
        for first, second in data.study.statistics.every
        if {first, second} <= made.keys() and made[first].isdisjoint(made[second])
    ]


def effects(data: StudyData) -> list[dict[str, object]]:
    """Return the rows of processors.csv, for the variants of which two processors have MIN_SEEDS seeds.

    A row has the difference between the variant's test accuracy on one `processor` and that on the `other`, by Welch's
    t over their seeds. The first is the one that made most replicates of the study.
    """
    rows: list[dict[str, object]] = []
    order = [name for name, _ in data.makers(made_on)]
    for group in data.groups.values():
        made = _made_by(group)
        enough = [name for name in order if made.count(name) >= MIN_SEEDS]
        seeds = {name: [seed for seed, by in zip(group.entries, made, strict=True) if by == name] for name in enough}
        for other in enough[1:]:
            values = (group.values(OUTCOME, seeds[name]) for name in (enough[0], other))
            comparison = means.compare(*values, paired=False)
            counts = {"n": comparison.n_first, "n_other": comparison.n_second}
            names = {"variant": group.name, "processor": enough[0], "other": other}
            rows.append({**names, **counts, "difference": comparison.estimate, **comparison.interval()._asdict()})
    return rows


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
    return sum(len(processors) > 1 for processors in pairs), len(pairs)
