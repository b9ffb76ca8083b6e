"""What is trained for a verdict: both sides of each changed model with the same seeds, on data with held-out images.

A seed stands for initial weights, order and dropout masks. All runs share one split: verdicts are judged on images that
were held out of the training images, never on test images.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline import dvc_lock, files
from pipeline.change.difference import ModelChange
from pipeline.change.side import PROCESSED, Side
from pipeline.data import dataset, raw
from pipeline.data.dataset import Dataset
from pipeline.errors import InputError
from pipeline.training.settings import Model, Training
from pipeline.trials import plan
from pipeline.trials.plan import Replicate
from pipeline.trials.prepared import PreparedData

# Where the params hold no images out: so many, but at most this share of the training images.
HELD_OUT, LARGEST_SHARE = 5000, 0.1


@dataclass(frozen=True)
class Trial:
    """A changed model with the replicates of A and of B, seed by seed."""

    change: ModelChange
    before: tuple[Replicate, ...]
    after: tuple[Replicate, ...]


def held_out(side: Side, summary_path: Path, folder: Path) -> PreparedData:
    """Return the preprocessed data of a side; where it has no validation images, a copy in `folder` that has some.

    Raises:
        InputError: The data is missing or damaged, or is other data than the side's.
    """
    path = PROCESSED / f"{side.dataset}.npz"
    summary = files.read_json(summary_path)
    found = {key: summary.get(key) for key in ("dataset", "validation", "split_seed")}
    fix = "check out its params and data, then `dvc repro preprocess`"
    for key, value in found.items():
        if (expected := getattr(side.params.data, key)) != value:
            raise InputError(f"describes {key} {value}, and {side} has {expected}", path=summary_path, fix=fix)
    dvc_lock.verify(path)
    if side.data_md5 is not None and (md5 := files.md5(path)) != side.data_md5:
        raise InputError(f"has md5 {md5}, not {side.data_md5} as dvc.lock of {side} records", path=path, fix=fix)
    data = dataset.load(path)
    if data.validation is None:
        data = _hold_out(data, side.params.data.split_seed)
        path = folder / f"{side.dataset}-{len(data.monitored)}-{side.params.data.split_seed}.npz"
        dataset.save(path, data)
    splits = {name: {"count": len(split)} for name, split in data.splits().items()}
    summary |= {"image": list(data.shape), "classes": list(data.classes), "splits": splits}
    return PreparedData(path, summary | {"validation": len(data.monitored), "sha256": files.sha256(path)})


def _hold_out(data: Dataset, seed: int) -> Dataset:
    count = max(1, min(HELD_OUT, int(LARGEST_SHARE * len(data.train))))
    left, validation = raw.split(data.train, count, seed)
    return dataclasses.replace(data, train=left, validation=validation)


def plan_trials(changes: Sequence[ModelChange], seeds: int, sha256: str) -> list[Trial]:
    """Return the replicates of each change with the seeds from 0 to `seeds` - 1 on the data with this SHA-256."""

    def of(name: str, model: Model, training: Training) -> tuple[Replicate, ...]:
        found = plan.seeded(name, model, training, range(seeds), sha256)
        # What determines a result, the seed apart, is part of the name: no replicate of the ledger is ever replaced.
        variant = f"{name}-{found[0].recipe[:12]}"
        return tuple(dataclasses.replace(one, variant=variant) for one in found)

    return [Trial(change, *(of(change.model, *side) for side in (change.before, change.after))) for change in changes]


def in_turn(trials: Sequence[Trial]) -> list[Replicate]:
    """Return all replicates, seed by seed, so that what an interrupted call leaves are pairs."""
    turns = zip(*([*zip(one.before, one.after, strict=True)] for one in trials), strict=True)
    return [replicate for turn in turns for pair in turn for replicate in pair]
