"""The pilot: the study that came before, with other seeds, from whose spread the numbers of seeds were chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline import files, schema
from pipeline.analysis.verdicts import Verdict
from pipeline.errors import InputError
from pipeline.schema import Block, Positive, Seed
from pipeline.study.findings import ClaimVerdict
from pipeline.trials.plan import Study


class Pilot(Block):
    """What is kept of the pilot."""

    commit: str  # it has the pilot's plan, ledger and report
    replicates: Positive
    first_seed: Seed
    last_seed: Seed
    verdicts: Mapping[str, str]  # by comparison or reading

    def both(self, now: Mapping[str, str]) -> list[Both]:
        """Return the comparisons and readings that have a verdict in both studies, in the order of `now`."""
        return [
            Both(subject, self.verdicts[subject], verdict)
            for subject, verdict in now.items()
            if subject in self.verdicts
        ]


@dataclass(frozen=True)
class Both:
    """A comparison or reading on which both studies have a verdict."""

    subject: str
    pilot: str
    now: str

    @property
    def held(self) -> bool:
        """Whether the verdict is still the pilot's."""
        return self.pilot == self.now

    @property
    def was_undecided(self) -> bool:
        """Whether the pilot had too few seeds for an answer, so that another one now does not contradict it."""
        return self.pilot in (Verdict.UNDECIDED, ClaimVerdict.UNDECIDED)


def read(path: Path, study: Study) -> Pilot:
    """Return the pilot that the file at `path` is of.

    Raises:
        InputError: The file is missing or breaks a rule, or a seed is one of `study` too: results from which the
            numbers of seeds were chosen must not be among those that confirm them.
    """
    before = schema.validate(Pilot, files.read_yaml(path), path)
    for name, variant in study.variants.items():
        seeds = study.seeds_of(variant)
        if before.first_seed <= seeds[-1] and seeds[0] <= before.last_seed:
            what = f"has seeds {before.first_seed} to {before.last_seed}, and {name} has {seeds[0]} to {seeds[-1]}"
            raise InputError(what, path=path, fix="give the study seeds of its own, by first_seed")
    return before
