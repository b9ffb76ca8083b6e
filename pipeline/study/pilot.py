"""The pilot: the study that came before, with other seeds, from whose spread the numbers of seeds were chosen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.analysis.verdicts import Verdict
from pipeline.errors import InputError
from pipeline.study import ledger, plan, prepared
from pipeline.study.ledger import Lookup
from pipeline.study.plan import Study
from pipeline.study.prepared import Summaries
from pipeline.study.rules import ClaimVerdict


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


def read(folder: Path, study: Study) -> tuple[Study, Summaries, Iterable[Lookup]]:
    """Return the plan of the pilot in `folder`, the summaries of its data, and its replicates as `ledger.look_up` does.

    Raises:
        InputError: A file is missing or breaks a rule, or a seed is one of `study` too: results from which the numbers
            of seeds were chosen must not be among those that confirm them.
    """
    path = folder / "params.yaml"
    before = plan.load_study(path)
    if set(before.seeds()) & set(study.seeds()):
        what = f"has seeds {_words(before)}, and the study has {_words(study)}"
        raise InputError(what, path=path, fix="give the study seeds of its own, by first_seed")
    summaries = prepared.load(folder / "data", before.data.sets)
    planned = plan.replicates(before, prepared.checksums(summaries))
    return before, summaries, ledger.look_up(folder / "runs", planned)


def _words(study: Study) -> str:
    return f"{study.seeds()[0]} to {study.seeds()[-1]}"


def both(pilot: Mapping[str, str], now: Mapping[str, str]) -> Sequence[Both]:
    """Return the comparisons and readings that have a verdict in both, in the order of `now`."""
    return [Both(subject, pilot[subject], verdict) for subject, verdict in now.items() if subject in pilot]
