"""What is known about a training before it starts, in the form in which MLflow is told."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.params import Model, Training
from pipeline.tracking import store

# The tag of the runs that `dvc exp` made.
DVC_EXPERIMENT = "dvc.exp_name"
# The tag that tells the runs of one clone from those of others on the same server.
WORKSPACE = "workspace"
# The tag that MLflow shows beside a run or an experiment, as Markdown.
NOTE = "mlflow.note.content"


@dataclass(frozen=True)
class Facts:
    """What is known about a training before it starts: who, by what recipe, on what data.

    `data` is the part of params.yaml that says what the model is trained on: dataset, validation, split_seed.
    `restored_from` is the stage of dvc.lock that tells of a training at some other time.
    """

    name: str
    recipe: str
    data_md5: str
    model: Model
    train: Training
    data: Mapping[str, Any]
    restored_from: str | None = None

    def flat(self) -> dict[str, Any]:
        """Return the params that make this model, under keys that do not have its name in them."""
        return flatten(self.model.model_dump()) | flatten({"train": self.train.model_dump(), "data": self.data})

    def tags(self) -> dict[str, str]:
        """Return the tags that a run carries from its start."""
        tags = {
            "model": self.name,
            "recipe": self.recipe,
            "data.md5": self.data_md5,
            "seed": str(self.train.seed),
            WORKSPACE: workspace(),
            NOTE: self._description(),
        }
        if self.restored_from:
            return tags | {"restored": "true", "dvc.stage": self.restored_from}
        environment = {"dvc.stage": os.environ.get("DVC_STAGE"), DVC_EXPERIMENT: os.environ.get("DVC_EXP_NAME")}
        return tags | {"git.dirty": _git_dirty()} | {key: value for key, value in environment.items() if value}

    def _description(self) -> str:
        return (
            f"**{self.name}**: {self.model.network.name} trained with {self.model.optimizer.name} for "
            f"{self.model.epochs} epochs on {self.data['dataset']}; batches of {self.train.batch_size}, "
            f"seed {self.train.seed}.\n\n"
            "`loss` and `accuracy` are running means over an epoch, with dropout on; "
            "`train_*` and `test_*` are measured after the last one, with dropout off."
        )


def workspace() -> str:
    """Return where this clone is: its lock files tell what trains here, and its files which runs are current."""
    return f"{socket.gethostname()}:{store.root()}"


def flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one, keys joined by dots: `optimizer.epsilon`."""
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat |= flatten(item, f"{prefix}{key}.") if isinstance(item, Mapping) else {prefix + key: item}
    return flat


def _git_dirty() -> str:
    """Return whether the code that runs differs from what git has: "true", "false", or "unknown"."""
    command = ["git", "--no-optional-locks", "status", "--porcelain", "--untracked-files=no", "--"]
    command += ["pipeline", "params.yaml", "dvc.yaml"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return str(bool(done.stdout)).lower()
