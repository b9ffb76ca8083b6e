"""The trained models in the workspace, as dvc.lock records them, and MLflow brought up to one.

What a run has to hold is taken from dvc.lock and from the files that it records, not from params.yaml as it is now.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from pipeline import dvc_lock, files, schema
from pipeline.data import dataset, original
from pipeline.errors import InputError
from pipeline.params import Model, Training
from pipeline.tracking import runs
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


def trained(name: str) -> Outcome | None:
    """Return what dvc.lock has of the model `name`; None if it is not evaluated as it is now.

    Raises:
        InputError: dvc.lock lacks what DVC writes there.
    """
    stage = f"train@{name}"
    stages = dvc_lock.stages()
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
            schema.validate(Model, recorded[f"models.{name}"], dvc_lock.LOCK, f"models.{name}"),
            schema.validate(Training, recorded["train"], dvc_lock.LOCK, "train"),
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
        found = runs.find_run(outcome.sums())
        run = found or runs.complete(facts, dataset.load(outcome.data), outcome.rows(), outcome.file)
        runs.end_left(facts.recipe)
        checkpoints.discard()
    added = runs.add_evidence(run, outcome.evidence)
    runs.mark_current(run)
    return run, found is None or added
