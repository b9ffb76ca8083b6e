"""Bring MLflow up to the files in the workspace: make runs that it lacks, complete those that an outage cut short.

What a run has to hold is taken from dvc.lock and from the files that it records, not from params.yaml as it is now.
"""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from pipeline import cli, dataset, files, lock, params, tracking
from pipeline.checkpoint import Checkpoints
from pipeline.evidence import Evidence
from pipeline.facts import Facts
from pipeline.params import Model, Training

# The data set whose test images the original report's scores are for.
REPORT_DATA = "mnist"
DATA_FACTS = ("dataset", "validation", "split_seed")


@dataclass(frozen=True)
class Outcome:
    """A trained and evaluated model in the workspace: the params that dvc.lock records for it, and its files."""

    name: str
    model: Model
    train: Training
    data_facts: Mapping[str, Any]
    data: Path
    file: Path
    timing: Path
    evidence: Evidence

    def verify(self) -> None:
        """Refuse files that are not those of dvc.lock, with InputError."""
        lock.verify(self.data, self.file, self.timing, self.evidence.history, self.evidence.metrics)

    def sums(self) -> dict[str, str]:
        """Return the tags by which the model's run is known."""
        return {"model": self.name, "model.md5": files.md5(self.file), "data.md5": files.md5(self.data)}


def outcomes(stages: Mapping[str, Any], names: Mapping[str, Any]) -> Iterator[Outcome]:
    """Yield each of the models `names` that `stages`, those of dvc.lock, has trained and evaluated."""
    for name in names:
        trained, evaluated = stages.get(f"train@{name}"), stages.get(f"evaluate@{name}")
        if not trained or not evaluated:
            continue
        recorded = trained["params"]["params.yaml"]
        preprocessed = stages["preprocess"]["params"]["params.yaml"]
        data_facts = {key: preprocessed[f"data.{key}"] for key in DATA_FACTS}
        of_train, of_evaluate = _paths(trained["cmd"]), _paths(evaluated["cmd"])
        reported = of_evaluate["reported"] if data_facts["dataset"] == REPORT_DATA else None
        yield Outcome(
            name,
            params.validate(Model, recorded[f"models.{name}"], f"dvc.lock: models.{name}"),
            params.validate(Training, recorded["train"], "dvc.lock: train"),
            data_facts,
            of_train["data"],
            of_train["output"],
            of_train["timing"],
            Evidence(name, of_evaluate["output"], of_train["history"], reported),
        )


def _paths(command: str) -> dict[str, Path]:
    words = shlex.split(command)
    return {word[2:]: Path(value) for word, value in pairwise(words) if word.startswith("--")}


def sync(outcome: Outcome, work: Path) -> bool:
    """Give MLflow what it lacks of `outcome`, mark its run as the current one, and return whether it lacked anything.

    `work` is where checkpoints lie: while a training of the same recipe is at work there, nothing is touched.

    Raises:
        InputError: A file is not the one that dvc.lock records.
        PipelineError: A training of the recipe is at work.
    """
    outcome.verify()
    run = tracking.find_run(outcome.sums())
    lacked = run is None
    if run is None:
        run = _complete(outcome, work)
    lacked |= tracking.add_evidence(run, outcome.evidence)
    tracking.mark_current(outcome.name, run.info.run_id)
    return lacked


def _complete(outcome: Outcome, work: Path) -> Any:
    # Imported late, since it brings TensorFlow: where nothing is missing, there is no need to wait for it.
    from pipeline import model_file

    recipe = model_file.made_with(outcome.file)["recipe"]
    facts = Facts(outcome.name, recipe, files.md5(outcome.data), outcome.model, outcome.train, outcome.data_facts)
    history = files.read_csv(outcome.evidence.history)
    rows = history.merge(files.read_csv(outcome.timing), on="epoch").to_dict("records")
    checkpoints = Checkpoints(work, recipe)
    with checkpoints.alone():
        run = tracking.complete(facts, dataset.load(outcome.data), rows, outcome.file)
        checkpoints.discard()
    return run


def main() -> int:
    """Give MLflow what it lacks of the trained models in the workspace."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.sync", description=main.__doc__)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--work", type=Path, default=Path(os.environ.get("DVC_ROOT", ".")) / "work", help="checkpoints")
    arguments = parser.parse_args()
    stages = params.read(lock.LOCK)["stages"] if lock.LOCK.exists() else {}
    found = list(outcomes(stages, params.load(arguments.params).models))
    if not found:
        print("nothing is trained yet; `make repro` does it")
    with tracking.reachable():
        for outcome in found:
            print(f"{outcome.name}: {'added to MLflow' if sync(outcome, arguments.work) else 'complete in MLflow'}")
    return 0


if __name__ == "__main__":
    cli.run(main)
