"""Bring MLflow up to the files in the workspace: make runs that it lacks, complete those that an outage cut short.

What a run has to hold is taken from dvc.lock and from the files that it records, not from params.yaml as it is now.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from pipeline import cli, dvc_lock, files, params, tracking
from pipeline.data import dataset, original
from pipeline.errors import InputError, PipelineError, UnavailableError
from pipeline.params import Model, Training
from pipeline.tracking import promotion
from pipeline.tracking.artifacts import Evidence
from pipeline.tracking.description import Facts
from pipeline.training.checkpoint import Checkpoints

DATA_FACTS = ("dataset", "validation", "split_seed")


@dataclass(frozen=True)
class Outcome:
    """A trained and evaluated model in the workspace: the params that dvc.lock records for it, and its files."""

    name: str
    stage: str
    model: Model
    train: Training
    data_facts: Mapping[str, Any]
    data: Path
    file: Path
    timing: Path
    evidence: Evidence

    def verify(self) -> None:
        """Refuse files that are not those of dvc.lock, with InputError."""
        dvc_lock.verify(self.data, self.file, self.timing, self.evidence.history, self.evidence.metrics)

    def sums(self) -> dict[str, str]:
        """Return the tags by which the model's run is known."""
        recorded = dvc_lock.recorded()
        sums = {"model.md5": recorded[self.file.as_posix()], "data.md5": recorded[self.data.as_posix()]}
        return {"model": self.name, **sums}

    def facts(self) -> Facts:
        """Return what was known before the training."""
        recipe = files.read_json(self.evidence.metrics)["made_with"]["recipe"]
        md5 = self.sums()["data.md5"]
        return Facts(self.name, recipe, md5, self.model, self.train, self.data_facts, restored_from=self.stage)

    def rows(self) -> list[dict[str, float]]:
        """Return the history with the seconds of each epoch."""
        history, timing = files.read_csv(self.evidence.history), files.read_csv(self.timing)
        rows: list[dict[str, float]] = history.merge(timing, on="epoch").to_dict("records")
        return rows


def stages() -> dict[str, Any]:
    """Return the stages of dvc.lock by name; without that file, nothing."""
    return (params.read(dvc_lock.LOCK) or {}).get("stages", {}) if dvc_lock.LOCK.exists() else {}


def outcome(stages: Mapping[str, Any], name: str) -> Outcome | None:
    """Return what `stages`, those of dvc.lock, have of the model `name`; None if it is not evaluated as it is now.

    Raises:
        InputError: dvc.lock lacks what DVC writes there.
    """
    stage = f"train@{name}"
    trained, evaluated = stages.get(stage), stages.get(f"evaluate@{name}")
    try:
        if not trained or not evaluated or not (_is_fresh(trained) and _is_fresh(evaluated)):
            return None
        recorded, preprocessed = (body["params"]["params.yaml"] for body in (trained, stages["preprocess"]))
        data_facts = {key: preprocessed[f"data.{key}"] for key in DATA_FACTS}
        of_train, of_evaluate = _paths(trained["cmd"]), _paths(evaluated["cmd"])
        reported = of_evaluate["reported"] if data_facts["dataset"] == original.DATASET else None
        return Outcome(
            name,
            stage,
            params.validate(Model, recorded[f"models.{name}"], f"{dvc_lock.LOCK}: models.{name}"),
            params.validate(Training, recorded["train"], f"{dvc_lock.LOCK}: train"),
            data_facts,
            of_train["data"],
            of_train["output"],
            of_train["timing"],
            Evidence(name, of_evaluate["output"], of_train["history"], reported),
        )
    except KeyError as error:
        raise InputError(f"{dvc_lock.LOCK}: {name}: lacks {error}; `dvc repro` writes it anew") from None


def _is_fresh(stage: Mapping[str, Any]) -> bool:
    """Return whether what the stage was run on is what the stages before it made last."""
    made = dvc_lock.recorded()
    return all(made.get(dep["path"], dep.get("md5")) == dep.get("md5") for dep in stage["deps"])


def _paths(command: str) -> dict[str, Path]:
    words = shlex.split(command)
    return {word[2:]: Path(value) for word, value in pairwise(words) if word.startswith("--")}


def sync(outcome: Outcome, work: Path) -> tuple[Any, bool]:
    """Give MLflow what it lacks of `outcome`, make its run the current one; return the run and whether it lacked any.

    `work` is where checkpoints lie: while a training of the same recipe is at work there, nothing is touched.

    Raises:
        InputError: A file is not the one that dvc.lock records.
        PipelineError: A training of the recipe is at work.
    """
    outcome.verify()
    facts = outcome.facts()
    checkpoints = Checkpoints(work, facts.name, facts.recipe)
    with checkpoints.alone():
        found = tracking.find_run(outcome.sums())
        run = found or tracking.complete(facts, dataset.load(outcome.data), outcome.rows(), outcome.file)
        tracking.end_left(facts.recipe)
        checkpoints.discard()
    added = tracking.add_evidence(run, outcome.evidence)
    tracking.mark_current(run)
    return run, found is None or added


def _sync_all(outcomes: list[Outcome], work: Path) -> int:
    """Sync each of `outcomes`, say what came of it, and return the exit code: one that is refused stops no other."""
    runs, code = [], 0
    for one in outcomes:
        try:
            with tracking.reachable():
                run, added = sync(one, work)
        except UnavailableError:
            raise
        except PipelineError as error:
            print(f"error: {one.name}: {error}", file=sys.stderr)
            code = max(code, error.exit_code)
        else:
            runs.append(run)
            print(f"{one.name}: {'added to MLflow' if added else 'complete in MLflow'}", flush=True)
    code = max(code, _restore_champion())
    if runs:
        print(f"current runs: {tracking.page_of(runs)}")
    return code


def _restore_champion() -> int:
    """Give MLflow the champion of the file that tells of one, say what came of it, and return the exit code."""
    try:
        with tracking.reachable():
            done = promotion.restore()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    if done:
        print(done)
    return 0


def main() -> int:
    """Give MLflow what it lacks of the trained models in the workspace."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.sync", description=main.__doc__)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--work", type=Path, default=Path(os.environ.get("DVC_ROOT", ".")) / "work", help="checkpoints")
    arguments = parser.parse_args()
    recorded = stages()
    outcomes = {name: outcome(recorded, name) for name in params.load(arguments.params).models}
    for name, found in outcomes.items():
        if found is None:
            print(f"{name}: not trained and evaluated as it is now; `make repro` does it")
    return _sync_all([found for found in outcomes.values() if found], arguments.work)


if __name__ == "__main__":
    cli.run(main)
