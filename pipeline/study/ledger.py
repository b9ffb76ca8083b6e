"""The ledger: what each replicate came to, in `VARIANT/SEED/` of a folder that is committed.

`record.json` is written last and holds the sums of the two files beside it: without it there is no replicate.
"""

from __future__ import annotations

import hashlib
import io
import sys
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
# What of a recipe is not the experiment itself but who carries it out.
MAKERS = ("code", "versions")


class State(Enum):
    """What the ledger has of a replicate."""

    CURRENT = auto()  # made by this recipe
    OTHER_VERSIONS = auto()  # the same experiment and code, other library versions
    STALE = auto()  # the same experiment, made by other code
    FOREIGN = auto()  # another experiment: other params or data
    MISSING = auto()


@dataclass(frozen=True)
class Entry:
    """A replicate in the ledger.

    `record` holds recipe, ingredients, parameters, processor and the scores of each split; `history` has a row per
    epoch (epoch, loss, accuracy, val_loss, val_accuracy, train_loss, train_accuracy; the last two in inference mode on
    the first training images); `errors` a row per test image that it gets wrong (image, label, answer).
    """

    variant: str
    seed: int
    record: Mapping[str, Any]
    history: pd.DataFrame
    errors: pd.DataFrame

    def score(self, split: str, name: str) -> float:
        """Return a score after the last epoch, in inference mode: `train`, `validation` or `test`, and its name."""
        return float(self.record["splits"][split][name])


def write(folder: Path, variant: str, seed: int, record: Mapping[str, Any], history: str, errors: str) -> None:
    """Write one replicate; it is there when its record is."""
    place = _place(folder, variant, seed)
    sums = {}
    for name, text in ((HISTORY, history), (ERRORS, errors)):
        files.write_text(place / name, text)
        sums[name] = hashlib.sha256(text.encode()).hexdigest()
    files.write_json(place / RECORD, {"variant": variant, "seed": seed, **record, "files": sums})


def read(folder: Path, variant: str, seed: int) -> Entry | None:
    """Return a replicate; None if it is not there, or if it is damaged, which is said."""
    place = _place(folder, variant, seed)
    if not (place / RECORD).exists():
        return None
    try:
        record = files.read_json(place / RECORD)
        tables = {name: _table(place / name, record["files"][name]) for name in (HISTORY, ERRORS)}
        if (record["variant"], record["seed"]) != (variant, seed):
            raise InputError(f"{place / RECORD}: is of {record['variant']}, seed {record['seed']}")
    except (InputError, KeyError, TypeError) as error:
        print(f"notice: {place}: damaged ({error}); not used", file=sys.stderr)
        return None
    return Entry(variant, seed, record, tables[HISTORY], tables[ERRORS])


def state(entry: Entry | None, replicate: Replicate) -> State:
    """Return what `entry` is, held against what would be made now."""
    if entry is None:
        return State.MISSING
    made, wanted = dict(entry.record["ingredients"]), dict(replicate.ingredients)
    if made == wanted:
        return State.CURRENT
    experiments = [{key: value for key, value in one.items() if key not in MAKERS} for one in (made, wanted)]
    if experiments[0] != experiments[1]:
        return State.FOREIGN
    return State.OTHER_VERSIONS if made.get("code") == wanted["code"] else State.STALE


def entries(folder: Path, replicates: Iterable[Replicate]) -> Iterator[tuple[Replicate, Entry | None, State]]:
    """Yield each replicate with what the ledger has of it."""
    for replicate in replicates:
        entry = read(folder, replicate.variant, replicate.seed)
        yield replicate, entry, state(entry, replicate)


def _place(folder: Path, variant: str, seed: int) -> Path:
    return folder / variant / str(seed)


def _table(path: Path, expected: str) -> pd.DataFrame:
    content = path.read_bytes() if path.exists() else b""
    if (found := hashlib.sha256(content).hexdigest()) != expected:
        raise InputError(f"{path.name}: has sha256 {found[:12]}, not {expected[:12]}")
    return pd.read_csv(io.BytesIO(content))
