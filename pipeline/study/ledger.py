"""The ledger: the results of each replicate, in `VARIANT/SEED/` of a folder that is committed to git.

`record.json` is written last and holds the checksums of the other two files: without it, the replicate does not exist.
"""

from __future__ import annotations

import hashlib
import io
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import files
from pipeline.errors import InputError
from pipeline.study.plan import Replicate

HISTORY, ERRORS, RECORD = "history.csv", "errors.csv", "record.json"
# The ingredients of a recipe that are not the experiment itself, but what carries it out.
IMPLEMENTATION = ("code", "versions")


class EntryState(Enum):
    """How a replicate in the ledger relates to the recipe that is planned now."""

    CURRENT = auto()  # made with this recipe
    OTHER_VERSIONS = auto()  # the same experiment and code, other library versions
    STALE = auto()  # the same experiment, other code
    FOREIGN = auto()  # another experiment: other params or data
    MISSING = auto()


@dataclass(frozen=True)
class Entry:
    """A replicate in the ledger.

    `record` holds recipe, ingredients, parameters, processor and the scores of each split; `history` has a row per
    epoch (epoch, loss, accuracy, val_loss, val_accuracy, train_loss, train_accuracy; the last two in inference mode on
    the first training images); `errors` a row per misclassified test image (image, label, answer).
    """

    variant: str
    seed: int
    record: Mapping[str, Any]
    history: pd.DataFrame
    errors: pd.DataFrame

    def has(self, split: str, name: str) -> bool:
        """Return whether it has a score: one that was made before a score existed has not."""
        return name in self.record["splits"][split]

    def score(self, split: str, name: str) -> float:
        """Return a score after the last epoch, in inference mode; `split` is `train`, `validation` or `test`.

        Raises:
            InputError: It was made before this score existed.
        """
        if not self.has(split, name):
            raise InputError(f"{self.variant}, seed {self.seed}: made before the score {name} existed")
        return float(self.record["splits"][split][name])


# A planned replicate, with its entry in the ledger and the state of that.
Lookup = tuple[Replicate, Entry | None, EntryState]


def write_entry(folder: Path, variant: str, seed: int, record: Mapping[str, Any], history: str, errors: str) -> None:
    """Write one replicate; it exists once its record does."""
    place = _place(folder, variant, seed)
    checksums = {}
    for name, text in ((HISTORY, history), (ERRORS, errors)):
        files.write_text(place / name, text)
        checksums[name] = hashlib.sha256(text.encode()).hexdigest()
    files.write_json(place / RECORD, {"variant": variant, "seed": seed, **record, "files": checksums})


def read_entry(folder: Path, variant: str, seed: int) -> Entry | None:
    """Return a replicate; None if it does not exist, or if it is damaged, which is reported on stderr."""
    place = _place(folder, variant, seed)
    if not (place / RECORD).exists():
        return None
    try:
        record = files.read_json(place / RECORD)
        tables = {name: _table(place / name, record["files"][name]) for name in (HISTORY, ERRORS)}
        if (record["variant"], record["seed"]) != (variant, seed):
            raise InputError(f"belongs to {record['variant']}, seed {record['seed']}", path=place / RECORD)
    except (InputError, KeyError, TypeError) as error:
        print(f"notice: {place}: damaged ({error}); ignored", file=sys.stderr)
        return None
    return Entry(variant, seed, record, tables[HISTORY], tables[ERRORS])


def records(folder: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the record of each replicate, without its tables, which are not read; one that is damaged is reported."""
    for path in sorted(folder.glob(f"*/*/{RECORD}")):
        try:
            record = files.read_json(path)
            if _place(folder, record["variant"], record["seed"]) != path.parent:
                raise InputError(f"belongs to {record['variant']}, seed {record['seed']}", path=path)
        except (InputError, KeyError) as error:
            print(f"notice: {path.parent}: damaged ({error}); ignored", file=sys.stderr)
        else:
            yield record


def entry_state(entry: Entry | None, replicate: Replicate) -> EntryState:
    """Return how `entry` relates to the replicate that is planned now."""
    if entry is None:
        return EntryState.MISSING
    made, wanted = dict(entry.record["ingredients"]), dict(replicate.ingredients)
    if made == wanted:
        return EntryState.CURRENT
    experiments = [{key: value for key, value in one.items() if key not in IMPLEMENTATION} for one in (made, wanted)]
    if experiments[0] != experiments[1]:
        return EntryState.FOREIGN
    return EntryState.OTHER_VERSIONS if made.get("code") == wanted["code"] else EntryState.STALE


def look_up(folder: Path, replicates: Iterable[Replicate]) -> Iterator[Lookup]:
    """Yield each replicate with its entry in the ledger and the state of that."""
    for replicate in replicates:
        entry = read_entry(folder, replicate.variant, replicate.seed)
        yield replicate, entry, entry_state(entry, replicate)


def check_not_overwritten(lookups: Iterable[Lookup], folder: Path) -> None:
    """Check that running what `look_up` found would not overwrite the results of another experiment.

    Raises:
        InputError: It would; the message lists the variants and how many of their seeds.
    """
    foreign = Counter(replicate.variant for replicate, _, state in lookups if state is EntryState.FOREIGN)
    if foreign:
        named = ", ".join(f"{variant} ({count})" for variant, count in foreign.items())
        count = f"{foreign.total()} replicate{'s' * (foreign.total() > 1)}"
        what = f"{count} of another experiment (other params or data) would be overwritten: {named}"
        fix = f"give these variants new names, delete their folders in {folder}, or use another --runs"
        raise InputError(what, path=folder, fix=fix)


def unplanned(folder: Path, replicates: Iterable[Replicate]) -> int:
    """Return the number of replicates in the ledger that are not among `replicates`."""
    planned = {_place(folder, replicate.variant, replicate.seed) for replicate in replicates}
    return sum(path.parent not in planned for path in folder.glob(f"*/*/{RECORD}"))


def _place(folder: Path, variant: str, seed: int) -> Path:
    return folder / variant / str(seed)


def _table(path: Path, expected: str) -> pd.DataFrame:
    content = path.read_bytes() if path.exists() else b""
    if (found := hashlib.sha256(content).hexdigest()) != expected:
        raise InputError(f"{path.name} has sha256 {found[:12]}, not {expected[:12]}")
    return pd.read_csv(io.BytesIO(content))
