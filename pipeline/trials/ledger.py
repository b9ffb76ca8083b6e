"""The ledger: the results of replicates, a line of JSON each in `VARIANT.jsonl` of a folder that is committed to git.

A line ends with the checksum of what it says, and is appended in one piece: so a replicate is complete or absent.
Lines may come in any order, so git merges two ledgers by keeping the lines of both (see .gitattributes); of two lines
for one seed, the later counts.
"""

import fcntl
import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any, NoReturn, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from pipeline.errors import InputError, PipelineError
from pipeline.training import recipe
from pipeline.trials.plan import Replicate

_CHECKSUM = ', "sha256": "'
# What every replicate has: splits with scores, columns of its history, and of its errors.
_SPLITS, _ERRORS = ("train", "test"), ("image", "label", "answer")
_HISTORY = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "train_loss", "train_accuracy")


class EntryState(Enum):
    """How a replicate in the ledger relates to the recipe that is planned now."""

    CURRENT = auto()  # made with this recipe
    OTHER_VERSIONS = auto()  # the same experiment and version of results, other library versions
    STALE = auto()  # the same experiment, another version of results
    FOREIGN = auto()  # another experiment: other params or data
    MISSING = auto()


class _Ingredients(BaseModel):
    model: dict[str, Any]
    train: dict[str, Any]
    permutation_seed: int | None
    data: str
    results: int
    versions: dict[str, str]


class _Content(BaseModel):
    """What a line has to hold; later versions may add to it."""

    model_config = ConfigDict(allow_inf_nan=False)

    variant: str
    seed: int
    recipe: str
    ingredients: _Ingredients
    parameters: int
    processor: str
    commit: str | None
    splits: dict[str, dict[str, int | float]]
    history: dict[str, list[int | float]]
    errors: dict[str, list[int]]

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        for part, names in ((self.splits, _SPLITS), (self.history, _HISTORY), (self.errors, _ERRORS)):
            if missing := [name for name in names if name not in part]:
                raise PydanticCustomError("part", "{name} is missing", {"name": missing[0]})
        if any(not {"count", "errors", "accuracy"} <= self.splits[split].keys() for split in _SPLITS):
            raise PydanticCustomError("scores", "splits: count, errors or accuracy is missing")
        if not all(0 <= image < self.splits["test"]["count"] for image in self.errors["image"]):
            raise PydanticCustomError("image", "errors: expected test images")
        return self


@dataclass(frozen=True)
class Entry:
    """A replicate in the ledger.

    `record` holds recipe, ingredients, parameters, processor, the commit at which it was recorded, and the scores of
    each split; `history` has a row per epoch (epoch, loss, accuracy, val_loss, val_accuracy, train_loss,
    train_accuracy; the last two in inference mode on the first training images); `errors` a row per misclassified test
    image (image, label, answer).
    """

    variant: str
    seed: int
    record: Mapping[str, Any]
    history: pd.DataFrame
    errors: pd.DataFrame

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Which test images it classifies correctly, (images,)."""
        correct = np.ones(self.record["splits"]["test"]["count"], bool)
        correct[self.errors["image"]] = False
        return correct

    def has(self, split: str, name: str) -> bool:
        """Return whether it has a score: not if it was made before that existed, or has no such images."""
        return name in self.record["splits"].get(split, {})

    def score(self, split: str, name: str) -> float:
        """Return a score after the last epoch, in inference mode; `split` is `train`, `validation` or `test`.

        Raises:
            InputError: It was made before this score existed, or has no such images.
        """
        if not self.has(split, name):
            known = split in self.record["splits"]
            what = f"made before the score {name} existed" if known else f"no {split} images are held out"
            raise InputError(f"{self.variant}, seed {self.seed}: {what}")
        return float(self.record["splits"][split][name])


# A planned replicate, with its entry in the ledger and the state of that.
Lookup = tuple[Replicate, Entry | None, EntryState]


def append(folder: Path, content: Mapping[str, Any]) -> Entry:
    """Add a replicate to the ledger and return its entry.

    `content` has its `variant`, `seed`, `recipe`, `ingredients`, `parameters`, `processor`, `commit` and `splits`, and
    the columns of its `history` and `errors` as lists.

    Raises:
        PipelineError: It is of another shape.
    """
    text = json.dumps(content, allow_nan=False)
    line = f'{text[:-1]}{_CHECKSUM}{_checksum(text[:-1])}"}}\n'
    try:
        entry = _entry(line)
    except ValueError as error:
        what = (
            f"{content['variant']}, seed {content['seed']}: the results of its code cannot be kept ({_reason(error)})"
        )
        raise PipelineError(what) from None
    folder.mkdir(parents=True, exist_ok=True)
    with _path(folder, content["variant"]).open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        # A write that was cut off has left no end of its line.
        cut_off = file.seek(0, os.SEEK_END) and os.pread(file.fileno(), 1, file.tell() - 1) != b"\n"
        file.write(b"\n" * bool(cut_off) + line.encode())
        file.flush()
        os.fsync(file.fileno())
    return entry


def read(folder: Path) -> Iterator[Entry]:
    """Yield the replicates in the ledger, variant by variant and by seed; a line that is damaged is reported."""
    for path in sorted(folder.glob("*.jsonl")):
        yield from _variant(path).values()


def look_up(folder: Path, replicates: Iterable[Replicate]) -> Iterator[Lookup]:
    """Yield each replicate with its entry in the ledger and the state of that."""
    known: dict[str, dict[int, Entry]] = {}
    for replicate in replicates:
        if replicate.variant not in known:
            known[replicate.variant] = _variant(_path(folder, replicate.variant))
        entry = known[replicate.variant].get(replicate.seed)
        yield replicate, entry, entry_state(entry, replicate)


def entry_state(entry: Entry | None, replicate: Replicate) -> EntryState:
    """Return how `entry` relates to the replicate that is planned now."""
    if entry is None:
        return EntryState.MISSING
    made, wanted = dict(entry.record["ingredients"]), dict(replicate.ingredients)
    if made == wanted:
        return EntryState.CURRENT
    code = (*recipe.IMPLEMENTATION, recipe.REVISIONS)
    experiments = [
        {key: value for key, value in ingredients.items() if key not in code} for ingredients in (made, wanted)
    ]
    if experiments[0] != experiments[1]:
        return EntryState.FOREIGN
    same_numbers = all(made.get(key) == wanted.get(key) for key in ("results", recipe.REVISIONS))
    return EntryState.OTHER_VERSIONS if same_numbers else EntryState.STALE


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
        fix = f"give these variants new names, delete their files in {folder}, or use another --runs"
        raise InputError(what, path=folder, fix=fix)


def unplanned(folder: Path, replicates: Iterable[Replicate]) -> int:
    """Return the number of replicates in the ledger that are not among `replicates`."""
    planned = {(replicate.variant, replicate.seed) for replicate in replicates}
    return sum((entry.variant, entry.seed) not in planned for entry in read(folder))


def _path(folder: Path, variant: str) -> Path:
    return folder / f"{variant}.jsonl"


def _variant(path: Path) -> dict[int, Entry]:
    """Return the replicates in the file of a variant by seed, in ascending order."""
    entries: dict[int, Entry] = {}
    lines = path.read_bytes().splitlines() if path.exists() else []
    for number, line in enumerate(lines, start=1):
        try:
            entry = _entry(line.decode())
            if entry.variant != path.stem:
                raise ValueError(f"belongs to {entry.variant}")
        except ValueError as error:
            print(f"notice: {path}, line {number}: damaged ({_reason(error)}); ignored", file=sys.stderr)
        else:
            entries[entry.seed] = entry
    return dict(sorted(entries.items()))


def _reason(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return ": ".join(filter(None, [".".join(map(str, first["loc"])), first["msg"]]))
    return str(error)


def _entry(line: str) -> Entry:
    text, _, rest = line.rstrip("\n").rpartition(_CHECKSUM)
    if rest != f'{_checksum(text)}"}}':
        raise ValueError("its checksum does not match")
    content = json.loads(f"{text}}}", parse_constant=_refuse)
    _Content.model_validate(content, strict=True)
    history, errors = pd.DataFrame(content.pop("history")), pd.DataFrame(content.pop("errors"), dtype="int64")
    return Entry(content["variant"], content["seed"], content, history, errors)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number")


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
