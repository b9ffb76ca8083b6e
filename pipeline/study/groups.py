"""The ledger as numbers: which replicates of each variant are used, and their scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import log
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline import smallest_effect
from pipeline.analysis import metrics, overfitting
from pipeline.analysis.overfitting import Analysis
from pipeline.errors import InputError
from pipeline.params import OverfittingRule, Params
from pipeline.trials.ledger import Entry, EntryState, Lookup
from pipeline.trials.plan import Study, Variant

SeedValues = NDArray[np.float64]
Measure = Callable[[Entry, Analysis], float]

# The outcomes of a replicate in addition to its scores. `running_accuracy` is the training accuracy that Keras prints,
# a mean over the last epoch with dropout on; `log_rise` is the logarithm of the rise of val_loss (see
# analysis.overfitting).
DERIVED: Mapping[str, Measure] = {
    "running_accuracy": lambda entry, _: float(entry.history["accuracy"].iloc[-1]),
    "generalization_gap": lambda entry, _: entry.score("train", "accuracy") - entry.score("test", "accuracy"),
    "log_rise": lambda _, analysis: log(analysis.rise),
}
# Those that claims are about, and no table.
CLAIMED: Mapping[str, Measure] = {"test_error": lambda entry, _: 1 - entry.score("test", "accuracy")}
# An outcome of several: the rise of their mean val_loss, which has less of the luck of a single history in it.
RISE = "rise"


class Rules(NamedTuple):
    """What counts as overfitting, and the smallest difference in accuracy that matters on each data set."""

    overfitting: OverfittingRule
    smallest_effects: Mapping[str, float]

    def times(self, multiple: float) -> Rules:
        """Return them with a multiple of the smallest differences."""
        effects = {name: multiple * effect for name, effect in self.smallest_effects.items()}
        return self._replace(smallest_effects=effects)


@dataclass(frozen=True)
class VariantGroup:
    """A variant's replicates that are used, by seed; `stale` of them were made with different code.

    `foreign` replicates are of another experiment: they are not used.
    """

    name: str
    variant: Variant
    entries: Mapping[int, Entry]
    analyses: Mapping[int, Analysis]
    stale: int
    foreign: int
    _known: dict[tuple[str, int], float] = field(default_factory=dict, compare=False, repr=False)
    _columns: dict[tuple[str, int], SeedValues] = field(default_factory=dict, compare=False, repr=False)

    def outcomes(self) -> list[str]:
        """Return the outcomes that all its replicates have; some may have been made before a score existed."""
        # Without replicates, those of all data.
        scores = metrics.names(lambda score: score.study if self.entries or score.min_classes == 2 else ())
        every = self.entries.values()
        return [*(name for name in scores if all(entry.has(*_score(name)) for entry in every)), *DERIVED]

    def values(self, outcome: str, seeds: Iterable[int] | None = None) -> SeedValues:
        """Return an outcome for each of `seeds`, by default all, in ascending order: (seeds,).

        It is one of DERIVED or CLAIMED, or SPLIT_NAME for a score after the last epoch, in inference mode. The losses
        of all variants clip probabilities at 1e-7, or the one that trains without clipping would not be comparable.
        """
        measure = {**DERIVED, **CLAIMED}.get(outcome) or (lambda entry, _: entry.score(*_score(outcome)))
        chosen = list(self.entries if seeds is None else seeds)
        for seed in chosen:
            if (outcome, seed) not in self._known:
                self._known[outcome, seed] = measure(self.entries[seed], self.analyses[seed])
        return np.array([self._known[outcome, seed] for seed in chosen], np.float64)

    def curves(self, column: str, seeds: Iterable[int] | None = None) -> SeedValues:
        """Return a column of the histories of `seeds`, at least one, by default all: (seeds, epochs)."""
        chosen = list(self.entries if seeds is None else seeds)
        for seed in chosen:
            if (column, seed) not in self._columns:
                self._columns[column, seed] = self.entries[seed].history[column].to_numpy(np.float64)
        return np.array([self._columns[column, seed] for seed in chosen])

    def without(self, seed: int) -> VariantGroup:
        """Return the same without one of its replicates."""
        return replace(self, entries={other: entry for other, entry in self.entries.items() if other != seed})


@dataclass(frozen=True)
class StudyData:
    """The results of the study: each variant of its params with its replicates, and the rules that judge them."""

    study: Study
    rules: Rules
    groups: Mapping[str, VariantGroup]

    def common(self, names: Iterable[str]) -> tuple[int, ...]:
        """Return the seeds that all these variants have, in ascending order; none if a variant is not in the study."""
        seeds = [set(self.groups[name].entries) if name in self.groups else set() for name in names]
        return tuple(sorted(set.intersection(*seeds)))

    def without(self, name: str, seed: int) -> StudyData:
        """Return the same without one replicate of a variant."""
        return replace(self, groups={**self.groups, name: self.groups[name].without(seed)})

    def smallest_effect(self, variant: str) -> float:
        """Return the smallest difference in accuracy that matters on the data set of a variant."""
        return self.rules.smallest_effects[self.study.variants[variant].dataset]

    def makers(self, name: Callable[[Mapping[str, Any]], str]) -> list[tuple[str, int]]:
        """Return what made the replicates, as `name` finds it in a record, with their numbers, the largest first."""
        counts = Counter(name(entry.record) for group in self.groups.values() for entry in group.entries.values())
        return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def rules(values: Params, study: Study, path: Path) -> Rules:
    """Return the rules that the params file at `path` has for a study.

    Raises:
        InputError: It does not say which difference matters on one of the data sets.
    """
    effects = {name: smallest_effect.find(values, name, "accuracy", path) for name in study.data.sets}
    return Rules(values.overfitting, effects)


def gather(study: Study, rules: Rules, lookups: Iterable[Lookup]) -> StudyData:
    """Group the results of `ledger.look_up` by variant and seed.

    Library versions are ignored, or the report would depend on what is installed where it is made.

    Raises:
        InputError: A history cannot be analysed.
    """
    by_variant: dict[str, list[Lookup]] = {name: [] for name in study.variants}
    for lookup in lookups:
        by_variant[lookup[0].variant].append(lookup)
    unused = (EntryState.FOREIGN, EntryState.MISSING)
    groups = {}
    for name, of_variant in by_variant.items():
        states = Counter(state for _, _, state in of_variant)
        used = {
            replicate.seed: entry for replicate, entry, state in of_variant if entry is not None and state not in unused
        }
        entries = dict(sorted(used.items()))
        groups[name] = VariantGroup(
            name,
            study.variants[name],
            entries,
            {seed: _analyse(entry, rules.overfitting) for seed, entry in entries.items()},
            stale=states[EntryState.STALE],
            foreign=states[EntryState.FOREIGN],
        )
    return StudyData(study, rules, groups)


def of_one_replicate() -> set[str]:
    """Return the names of all outcomes that a replicate can have."""
    return {*metrics.names(lambda _: metrics.SPLITS), *DERIVED, *CLAIMED}


def _score(outcome: str) -> tuple[str, str]:
    """Return the split and the score of an outcome SPLIT_NAME."""
    split, _, name = outcome.partition("_")
    return split, metrics.comparable(name)


def _analyse(entry: Entry, rule: OverfittingRule) -> Analysis:
    try:
        return overfitting.analyse(entry.history, rule, int(metrics.monitored(entry.record["splits"])["count"]))
    except InputError as error:
        raise InputError(f"{entry.variant}, seed {entry.seed}: {error}") from None
