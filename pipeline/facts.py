"""What is known about a training before it starts, in the form in which MLflow is told."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline import store
from pipeline.params import Model, Training


@dataclass(frozen=True)
class Facts:
    """What is known about a training before it starts: who, by what recipe, on what data.

    `data` is the part of params.yaml that says what the model is trained on: dataset, validation, split_seed.
    """

    name: str
    recipe: str
    data_md5: str
    model: Model
    train: Training
    data: Mapping[str, Any]

    def flat(self) -> dict[str, Any]:
        """Return the params that make this model, under keys that do not have its name in them."""
        return _flat(self.model.model_dump()) | _flat({"train": self.train.model_dump(), "data": self.data})

    def tags(self) -> dict[str, str]:
        """Return the tags that a run carries from its start."""
        environment = {"dvc.stage": os.environ.get("DVC_STAGE"), "dvc.exp_name": os.environ.get("DVC_EXP_NAME")}
        return {
            "model": self.name,
            "recipe": self.recipe,
            "data.md5": self.data_md5,
            "seed": str(self.train.seed),
            "git.dirty": _git_dirty(),
            **{key: value for key, value in environment.items() if value},
        }

    def description(self) -> str:
        """Return what MLflow shows beside the run, as Markdown."""
        return (
            f"**{self.name}**: {self.model.network.name} trained with {self.model.optimizer.name} for "
            f"{self.model.epochs} epochs on {self.data['dataset']}; batches of {self.train.batch_size}, "
            f"seed {self.train.seed}.\n\n"
            "`loss` and `accuracy` are running means over an epoch, with dropout on; "
            "`train_*` and `test_*` are measured after the last one, with dropout off."
        )


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat |= _flat(item, f"{prefix}{key}.") if isinstance(item, Mapping) else {prefix + key: item}
    return flat


def _git_dirty() -> str:
    command = ["git", "status", "--porcelain", "--untracked-files=no", "--", "pipeline", "params.yaml", "dvc.yaml"]
    try:
        changes = subprocess.run(command, cwd=store.root(), capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return str(bool(changes)).lower()
