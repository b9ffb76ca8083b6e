"""Both sides of each changed model, trained with the same seeds by the study's engine; its ledger keeps the results.

A seed stands for initial weights, order and dropout masks. All runs share one split: verdicts are judged on images that
were held out of the training images, never on test images.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pipeline import dvc_lock, files, tracking
from pipeline.change.difference import ModelChange
from pipeline.change.side import PROCESSED, Side
from pipeline.data import dataset, raw
from pipeline.data.dataset import Dataset
from pipeline.errors import InputError, PipelineError
from pipeline.study import cluster, ledger, plan
from pipeline.study import run as stage
from pipeline.study.ledger import Entry, EntryState
from pipeline.study.plan import Replicate
from pipeline.study.tracker import Tracker
from pipeline.training import recipe
from pipeline.training.settings import Model, Training

# Where the params hold no images out: so many, but at most this share of the training images.
HELD_OUT, LARGEST_SHARE = 5000, 0.1
# What the study's tracker shows of these runs: nobody is to choose by a test score.
_SPLITS = ("train", "validation")


@dataclass(frozen=True)
class HeldOutData:
    """An npz with validation images, and the summary of it.

    `count` training images of `shape` are left, verdicts are judged on `judged` images.
    """

    path: Path
    summary: Mapping[str, Any]
    shape: tuple[int, ...]
    count: int
    judged: int

    @property
    def sha256(self) -> str:
        """The SHA-256 of the npz."""
        return str(self.summary["sha256"])


@dataclass(frozen=True)
class Trial:
    """A changed model with the replicates of A and of B, seed by seed."""

    change: ModelChange
    before: tuple[Replicate, ...]
    after: tuple[Replicate, ...]


@dataclass(frozen=True)
class Engine:
    """Where training runs take place, and the folder in which results are kept."""

    scheduler: str | None
    workers: int
    folder: Path


def held_out(side: Side, summary_path: Path, folder: Path) -> HeldOutData:
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
    summary |= {"validation": len(data.monitored), "sha256": files.sha256(path)}
    return HeldOutData(path, summary, data.shape, len(data.train), len(data.monitored))


def _hold_out(data: Dataset, seed: int) -> Dataset:
    count = max(1, min(HELD_OUT, int(LARGEST_SHARE * len(data.train))))
    mask = raw.hold_out(data.train.labels, count, seed, data.train.groups)
    return dataclasses.replace(data, train=raw.select(data.train, ~mask), validation=raw.select(data.train, mask))


def plan_trials(changes: Sequence[ModelChange], seeds: int, sha256: str) -> list[Trial]:
    """Return the replicates of each change with the seeds from 0 to `seeds` - 1 on the data with this SHA-256."""
    common = {"data": sha256, **recipe.implementation()}

    def of(name: str, model: Model, training: Training) -> tuple[Replicate, ...]:
        # What determines a result, the seed apart, is part of the name: no replicate of the ledger is ever replaced.
        variant = f"{name}-{recipe.digest(plan.ingredients(model, training) | common)[:12]}"
        seeded = [training.model_copy(update={"seed": seed}) for seed in range(seeds)]
        return tuple(Replicate(variant, one.seed, plan.ingredients(model, one) | common) for one in seeded)

    return [Trial(change, *(of(change.model, *side) for side in (change.before, change.after))) for change in changes]


def complete(trials: Sequence[Trial], data: HeldOutData, engine: Engine, score: str) -> dict[str, Entry]:
    """Train the replicates that are missing from the ledger, and return all of them by their recipes.

    Each is kept as soon as it is done. Progress goes to stderr, and the runs to MLflow.

    Raises:
        InputError: Replicates were made before `score` existed, by which they are to be judged.
        PipelineError: A training run failed.
        UnavailableError: No scheduler answers at the address, or it was lost.
    """
    # Seed by seed, so that what an interrupted call leaves are pairs.
    turns = zip(*([*zip(one.before, one.after, strict=True)] for one in trials), strict=True)
    planned = [replicate for turn in turns for pair in turn for replicate in pair]
    found = list(ledger.look_up(engine.folder, planned))
    entries = {one.recipe: entry for one, entry, state in found if entry and state is EntryState.CURRENT}
    if earlier := [entry for entry in entries.values() if not entry.has("validation", score)]:
        what = f"{len(earlier)} of {len(planned)} replicates have no {score} yet: made before that score existed"
        variants = ", ".join(dict.fromkeys(entry.variant for entry in earlier))
        fix = f"delete the files of {variants} in it, to train them again, or choose another --metric"
        raise InputError(what, path=engine.folder, fix=fix)
    missing = [one for one, _, state in found if state is not EntryState.CURRENT]
    _say(f"{len(planned)} training runs, {len(entries)} of them in {engine.folder}")
    tracker = Tracker(data.summary, experiment=tracking.of_verdict, splits=_SPLITS, command="make verdict")
    for entry in entries.values():
        tracker.add(entry)
    entries |= _train(missing, data, engine, tracker) if missing else {}
    # After an interruption nobody waits for MLflow: the next call adds the runs.
    tracker.close()
    if failed := len(planned) - len(entries):
        raise PipelineError(f"{failed} of {len(planned)} results are missing: training failed, see above")
    return entries


def _train(missing: Sequence[Replicate], data: HeldOutData, engine: Engine, tracker: Tracker) -> dict[str, Entry]:
    done: dict[str, Entry] = {}
    with cluster.connected(engine.scheduler, engine.workers) as client:
        paths, summaries = {data.sha256: data.path}, {data.summary["dataset"]: data.summary}
        for entry in stage.run(client, missing, paths, summaries, engine.folder, "verdict"):
            if isinstance(entry, str):
                _say(f"error: {entry}")
                continue
            tracker.add(entry)
            done[entry.record["recipe"]] = entry
            accuracy = entry.score("validation", "accuracy")
            place = f"{len(done)}/{len(missing)}"
            _say(f"{place}  {entry.variant}  seed {entry.seed}: validation accuracy {accuracy:.4f}")
    return done


def _say(text: str) -> None:
    # Not over the progress bar.
    tqdm.write(text, file=sys.stderr)
