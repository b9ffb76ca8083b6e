"""The results of the study by data set, each with the comparisons among its own variants."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pipeline.study import comparisons
from pipeline.study.comparisons import VariantPair
from pipeline.study.groups import StudyData
from pipeline.trials.prepared import Summaries, Summary


@dataclass(frozen=True)
class SetResults:
    """The results on one data set: a study of its own, whose comparisons are a family of their own."""

    name: str
    summary: Summary
    data: StudyData
    pairs: tuple[VariantPair, ...]

    @property
    def title(self) -> str:
        """What the data set is called."""
        return str(self.summary.get("title", self.name))

    @property
    def planned(self) -> int:
        """The number of replicates that are planned."""
        return sum(variant.seeds for variant in self.data.study.variants.values())

    @property
    def used(self) -> int:
        """The number of replicates that are used."""
        return sum(len(group.entries) for group in self.data.groups.values())

    @property
    def missing(self) -> int:
        """The number of planned replicates that are not used."""
        return self.planned - self.used


def results(data: StudyData, summaries: Summaries) -> dict[str, SetResults]:
    """Return the results on each data set of the study by name, in the order of data.sets."""
    return {name: _results(data, name, summaries[name]) for name in data.study.data.sets}


def on(data: StudyData, name: str) -> StudyData:
    """Return the part of `data` that is on the data set `name`: empty if the study has no variant on it."""
    variants = {key: one for key, one in data.study.variants.items() if one.dataset == name}
    pairs = tuple(pair for pair in data.study.statistics.comparisons if set(pair) <= variants.keys())
    statistics = data.study.statistics.model_copy(update={"comparisons": pairs})
    study = data.study.model_copy(update={"variants": variants, "statistics": statistics})
    return replace(data, study=study, groups={key: data.groups[key] for key in variants})


def _results(data: StudyData, name: str, summary: Summary) -> SetResults:
    part = on(data, name)
    return SetResults(name, summary, part, comparisons.compare_variants(part))
