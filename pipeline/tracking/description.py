"""A training run as MLflow's params and tags: what is known before it starts, and read back, to train it again."""

import ast
import json
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import dvc_lock, machine
from pipeline.errors import InputError
from pipeline.tracking import client
from pipeline.tracking.client import mlflow
from pipeline.training import recipe
from pipeline.training.settings import Model, Training

# The tag of the runs that `dvc exp` made.
DVC_EXPERIMENT = "dvc.exp_name"
# The tag that MLflow shows as the description of a run or an experiment, in Markdown.
NOTE = "mlflow.note.content"
# The tag that MLflow gives a run with the commit of the code that it ran.
COMMIT = "mlflow.source.git.commit"
# The sections of params.yaml among a run's params, next to the model's own.
_SECTIONS = ("train", "data")


@dataclass(frozen=True)
class RunDescription:
    """What is known about a training run before it starts: model, recipe, data.

    `data` is the part of params.yaml that says what the model is trained on: dataset, validation, split_seed.
    `restored_from` is the stage in dvc.lock that records the training run, where it is logged at some other time, and
    `versions` are those of the libraries that it ran with, None for those of now.
    """

    name: str
    recipe: str
    data_md5: str
    model: Model
    train: Training
    data: Mapping[str, Any]
    restored_from: str | None = None
    versions: Mapping[str, str] | None = None

    @property
    def dataset(self) -> str:
        """The name of the data set."""
        return str(self.data["dataset"])

    def data_source(self) -> dict[str, str]:
        """Return where the data came from: the files as fetched, and the arrays made of them, with their md5.

        Without the former where dvc.lock does not record them, as of data that were preprocessed before the last ones.
        """
        arrays, stage = {"arrays_md5": self.data_md5}, dvc_lock.stages().get(dvc_lock.PREPROCESS, {})
        paths = dvc_lock.paths(stage) if stage else {}
        made_last = self.data_md5 in [out.get("md5") for out in stage.get("outs", ())]
        if not made_last or not {"input", "set", "output"} <= paths.keys():
            return {"uri": f"data/sets/{self.dataset}.yaml", **arrays}
        md5s = {dep["path"]: dep.get("md5", "") for dep in stage["deps"]}
        raw = paths["input"].as_posix()
        return {
            "uri": raw,
            "md5": md5s.get(raw, ""),
            "set": paths["set"].as_posix(),
            "arrays": paths["output"].as_posix(),
            **arrays,
        }

    def params(self) -> dict[str, Any]:
        """Return the params of this model, under keys without its name, so that models can be compared."""
        return flatten(self.model.settings()) | flatten({"train": self.train.model_dump(), "data": self.data})

    def tags(self) -> dict[str, str]:
        """Return the tags that a run has from its start on."""
        tags = {
            "model": self.name,
            "recipe": self.recipe,
            "data.md5": self.data_md5,
            "seed": str(self.train.seed),
            NOTE: self._note(),
        }
        versions = recipe.versions() if self.versions is None else self.versions
        tags |= {f"version.{library}": version for library, version in versions.items()}
        if self.restored_from:
            commit = _git("rev-parse", "HEAD") if self._is_of_commit() else None
            return tags | {"restored": "true", "dvc.stage": self.restored_from} | ({COMMIT: commit} if commit else {})
        environment = {"dvc.stage": os.environ.get("DVC_STAGE"), DVC_EXPERIMENT: os.environ.get("DVC_EXP_NAME")}
        here = {"git.dirty": _git_dirty(), "processor": machine.processor()}
        return tags | here | {key: value for key, value in environment.items() if value}

    def _is_of_commit(self) -> bool:
        """Return whether the code of the last commit, with the versions of now, gives this recipe, as in `train`."""
        here = recipe.of_model(self.name, self.model, self.train, self.data_md5)
        return self.recipe == here and _git_dirty() == "false"

    def _note(self) -> str:
        keep = self.model.keep
        when = "after the last epoch" if keep == "last" else f"with the weights of the epoch that is kept, `{keep}`"
        return (
            f"**{self.name}**: {self.model.network.name} trained with {self.model.optimizer.name} for "
            f"{self.model.epochs} epochs on {self.dataset}; batches of {self.train.batch_size}, "
            f"seed {self.train.seed}.\n\n"
            "`loss` and `accuracy` are running means over an epoch, with dropout on; `train_*` and `test_*` are "
            f"measured {when}, with dropout off."
        )


@dataclass(frozen=True)
class LoggedTraining:
    """A finished training run: `commit` of the code, `params` nested as in params.yaml, and what it gave.

    `tags` has, among others, recipe, data.md5, model.md5, processor and version.LIBRARY.
    """

    run_id: str
    model: str
    commit: str
    params: Mapping[str, Any]
    tags: Mapping[str, str]
    metrics: Mapping[str, float]

    def block(self) -> dict[str, Any]:
        """Return the model's block in params.yaml."""
        return {key: value for key, value in self.params.items() if key not in _SECTIONS}


def logged_training(run_id: str) -> LoggedTraining:
    """Return the training run with this id.

    Raises:
        InputError: There is no such run, it is not a finished training run, or its commit or params are not recorded.
        UnavailableError: MLflow does not answer.
    """
    run = _run(run_id)
    tags, params = run.data.tags, nested(run.data.params)
    if run.info.status != "FINISHED" or not {"model", "model.md5", "data.md5", "recipe"} <= tags.keys():
        raise InputError(f"run {run_id}: not a finished training run of `dvc repro` ({run.info.status})")
    if COMMIT not in tags:
        what = f"run {run_id}: no commit is recorded with it"
        raise InputError(what, fix="it was trained or added without git, or with changes that were not committed")
    if absent := [key for key in ("network", "optimizer", "loss", "epochs", *_SECTIONS) if key not in params]:
        raise InputError(f"run {run_id}: its params are gone: {', '.join(absent)}")
    if other := [key for key in _SECTIONS if not isinstance(params[key], dict)]:
        raise InputError(f"run {run_id}: its params are others: {', '.join(other)}")
    return LoggedTraining(run_id, tags["model"], tags[COMMIT], params, tags, run.data.metrics)


def _run(run_id: str) -> Any:
    if not re.fullmatch(r"[0-9a-f]{32}", run_id):
        raise InputError(f"{run_id!r}: expected the id of a run, 32 hexadecimal digits", fix="`make ui` shows it")
    with client.reachable():
        with client.open_store():
            pass
        if run := client.existing(mlflow.MlflowClient().get_run, run_id):
            return run
    raise InputError(f"run {run_id}: MLflow has none with this id", fix="`make ui` shows which there are")


def flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one, keys joined by dots: `optimizer.epsilon`; lists become JSON: `[32, 64]`."""
    flat: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            flat |= flatten(item, f"{prefix}{key}.")
        else:
            flat[prefix + key] = json.dumps(item) if isinstance(item, list | tuple) else item
    return flat


def nested(params: Mapping[str, str]) -> dict[str, Any]:
    """Return params of MLflow, which are flat and texts, as `flatten` got them: nested, with their types."""
    found: dict[str, Any] = {}
    for key, text in params.items():
        *sections, name = key.split(".")
        place = found
        for section in sections:
            if not isinstance(inner := place.setdefault(section, {}), dict):
                raise InputError(f"the param {key} is below one that has a value")
            place = inner
        place[name] = _value(text)
    return found


def _value(text: str) -> Any:
    """Return a value of JSON or, where it was no list, of what `str` made of it: 1e-08, True, None, a word."""
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        # The last two for one that is nested thousands of times.
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            pass
    return text


def _git_dirty() -> str:
    """Return whether the running code differs from git's: "true", "false", or "unknown"."""
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", "pipeline", "params.yaml", "dvc.yaml")
    return "unknown" if changed is None else str(bool(changed)).lower()


def _git(*arguments: str) -> str | None:
    """Return what git answers in the folder of the running code; None if it fails."""
    command = ["git", "--no-optional-locks", *arguments]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace").strip()
