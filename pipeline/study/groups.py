"""The ledger as numbers: which replicates of each variant count, and what they scored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray

from pipeline.analysis import overfitting
from pipeline.analysis.overfitting import Analysis
from pipeline.errors import InputError
from pipeline.params import OverfittingRule
from pipeline.study.ledger import Entry, State
from pipeline.study.plan import Replicate, Study, Variant

Floats = NDArray[np.float64]
Look = tuple[Replicate, Entry | None, State]

# What a replicate is judged by, after its last epoch and in inference mode. Losses are clipped at 1e-7 for all
# variants, or the one that trains without the clip could not be compared. `running_accuracy` is the training accuracy
# that Keras prints, a mean over the last epoch with dropout on; `log_rise` is the logarithm of overfitting's rise.
OUTCOMES: Mapping[str, Callable[[Entry, Analysis], float]] = {
    "test_accuracy": lambda entry, _: entry.score("test", "accuracy"),
    "test_loss": lambda entry, _: entry.score("test", "negative_log_likelihood"),
    "test_calibration_error": lambda entry, _: entry.score("test", "calibration_error"),
    "validation_accuracy": lambda entry, _: entry.score("validation", "accuracy"),
    "validation_loss": lambda entry, _: entry.score("validation", "negative_log_likelihood"),
    "train_accuracy": lambda entry, _: entry.score("train", "accuracy"),
    "running_accuracy": lambda entry, _: float(entry.history["accuracy"].iloc[-1]),
    "generalization_gap": lambda entry, _: entry.score("train", "accuracy") - entry.score("test", "accuracy"),
    "log_rise": lambda _, analysis: log(analysis.rise),
}


@dataclass(frozen=True)
class Group:
    """A variant's replicates that count, by seed; `stale` of them were made by other code than is here now.

    `foreign` replicates belong to another experiment, `missing` ones are not there: neither counts.
    """

    name: str
    variant: Variant
    entries: Mapping[int, Entry]
    analyses: Mapping[int, Analysis]
    stale: int
    foreign: int
    missing: int

    def values(self, outcome: str, seeds: Iterable[int] | None = None) -> Floats:
        """Return an outcome of OUTCOMES for each of `seeds`, by default for all that count, ascending: (seeds,)."""
        measure, chosen = OUTCOMES[outcome], self.entries if seeds is None else seeds
        return np.array([measure(self.entries[seed], self.analyses[seed]) for seed in chosen], np.float64)

    def curves(self, column: str) -> Floats:
        """Return a column of the histories, (seeds, epochs); there has to be a seed."""
        return np.stack([entry.history[column].to_numpy(np.float64) for entry in self.entries.values()])


@dataclass(frozen=True)
class Evidence:
    """All that the study has: each variant of its params with its replicates, and the rule for overfitting."""

    study: Study
    rule: OverfittingRule
    groups: Mapping[str, Group]

    def common(self, names: Iterable[str]) -> tuple[int, ...]:
        """Return the seeds that all these variants have, ascending; none if a variant is not in the study."""
        seeds = [set(self.groups[name].entries) if name in self.groups else set() for name in names]
        return tuple(sorted(set.intersection(*seeds)))


def gather(study: Study, rule: OverfittingRule, looks: Iterable[Look]) -> Evidence:
    """Sort what the ledger has (`ledger.entries`) by variant and seed.

    Other library versions make no difference, or the report would depend on what is installed where it is made.

    Raises:
        InputError: A history cannot be analysed.
    """
    by_variant: dict[str, list[Look]] = {name: [] for name in study.variants}
    for look in looks:
        by_variant[look[0].variant].append(look)
    return Evidence(study, rule, {name: _group(name, study, rule, found) for name, found in by_variant.items()})


def _group(name: str, study: Study, rule: OverfittingRule, looks: list[Look]) -> Group:
    states = [state for _, _, state in looks]
    unused = (State.FOREIGN, State.MISSING)
    used = {found.seed: entry for found, entry, state in looks if entry is not None and state not in unused}
    entries = dict(sorted(used.items()))
    return Group(
        name,
        study.variants[name],
        entries,
        {seed: _analyse(entry, rule) for seed, entry in entries.items()},
        *(states.count(state) for state in (State.STALE, State.FOREIGN, State.MISSING)),
    )


def _analyse(entry: Entry, rule: OverfittingRule) -> Analysis:
    try:
        return overfitting.analyse(entry.history, rule)
    except InputError as error:
        raise InputError(f"{entry.variant}, seed {entry.seed}: {error}") from None
