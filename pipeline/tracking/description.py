"""What is known about a training run before it starts, as MLflow's params and tags."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import machine
from pipeline.tracking import store
from pipeline.training import recipe
from pipeline.training.settings import Model, Training

# The tag of the runs that `dvc exp` made.
DVC_EXPERIMENT = "dvc.exp_name"
# The tag that separates the runs of one clone from those of others on the same server.
WORKSPACE = "workspace"
# The tag that MLflow shows as the description of a run or an experiment, in Markdown.
NOTE = "mlflow.note.content"
# The tag that MLflow gives a run with the commit of the code that it ran.
COMMIT = "mlflow.source.git.commit"


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

    def params(self) -> dict[str, Any]:
        """Return the params of this model, under keys without its name, so that models can be compared."""
        return flatten(self.model.settings()) | flatten({"train": self.train.model_dump(), "data": self.data})

    def tags(self) -> dict[str, str]:
        """Return the tags that a run carries from its start."""
        tags = {
            "model": self.name,
            "recipe": self.recipe,
            "data.md5": self.data_md5,
            "seed": str(self.train.seed),
            WORKSPACE: clone(),
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


def clone() -> str:
    """Return the host and path of this clone: only its own files say which of its runs are current or in progress."""
    return f"{socket.gethostname()}:{store.root()}"


def flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one, keys joined by dots: `optimizer.epsilon`; lists become JSON: `[32, 64]`."""
    flat: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            flat |= flatten(item, f"{prefix}{key}.")
        else:
            flat[prefix + key] = json.dumps(item) if isinstance(item, list | tuple) else item
    return flat


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
