"""A git repository with params and a small set of digits, and a stand-in for the training runs of its verdicts."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import files
from pipeline.analysis import metrics
from pipeline.data import dataset
from pipeline.trials import ledger
from pipeline.trials.ledger import Entry
from pipeline.trials.plan import Replicate
from tests.support import small

# The accuracy of a replicate on held-out images.
Accuracy = Callable[[Replicate], float]
IMAGES = 140


def git(folder: Path, *arguments: str) -> str:
    """Call git as somebody, without the user's own configuration; return what it printed."""
    environment = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    who = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    return subprocess.run(
        ["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True, env=environment
    ).stdout.strip()


def commit(folder: Path) -> str:
    """Commit everything there is; return the commit."""
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "state")
    return git(folder, "rev-parse", "HEAD")


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Write params.yaml again after a change in place."""
    with small.edited(folder / "params.yaml") as values:
        change(values)


def tiny(values: dict[str, Any]) -> None:
    """Leave two tiny networks, and say which differences matter."""
    models = {name: values["models"][name] for name in ("mlp_adadelta", "cnn")}
    models["mlp_adadelta"] |= {"epochs": 8}
    models["mlp_adadelta"]["network"]["units"] = [32]
    models["cnn"] |= {"epochs": 1}
    models["cnn"]["network"] |= {"filters": [2, 2], "units": 8}
    values |= {"models": models, "verdict": {"digits": {"accuracy": 0.01, "loss": 0.02}}}


def make(folder: Path) -> Path:
    """Make a repository in `folder`: its preprocessed digits are not committed, and it has no code."""
    small.copy(folder, "params.yaml", ".gitignore", "data/sets/mnist.yaml")
    digits = small.digits()
    small.write_params(folder, digits)
    edit(folder, tiny)
    path = folder / "data" / "processed" / "digits.npz"
    dataset.save(path, digits)
    summary = {"dataset": "digits", "title": "Digits", "validation": "test", "split_seed": 0}
    splits = {name: {"count": len(split)} for name, split in digits.splits().items()}
    summary |= {"image": list(digits.shape), "classes": list(digits.classes), "splits": splits}
    files.write_json(folder / "reports" / "data.json", summary | {"sha256": files.sha256(path)})
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder)
    return folder


class Stand:
    """Stands in for the study's engine: scores come from a function, and training is counted."""

    def __init__(self, accuracy: Accuracy) -> None:
        self.accuracy = accuracy
        self.trained: list[Replicate] = []
        self.failing: set[int] = set()
        self.reason = "diverged"
        self.interrupted_after: int | None = None

    @contextmanager
    def connected(self, *_: Any) -> Iterator[None]:
        """Stand in for the connection to a cluster."""
        yield None

    def train(self, _: Any, wanted: Sequence[Replicate], __: Any, folder: Path, *___: Any) -> Iterator[Entry | str]:
        """Write a made entry for each replicate into the ledger."""
        for replicate in wanted:
            if len(self.trained) == self.interrupted_after:
                raise KeyboardInterrupt
            self.trained.append(replicate)
            if replicate.seed in self.failing:
                yield f"{replicate.variant}-{replicate.seed}: {self.reason}"
                continue
            yield write_entry(folder, replicate, self.accuracy(replicate))


def write_entry(folder: Path, replicate: Replicate, accuracy: float) -> Entry:
    """Put a replicate with this accuracy on held-out images into a ledger."""
    scores = dict.fromkeys(metrics.SCORES, 0.1) | {"loss": 1 - accuracy, "negative_log_likelihood": 1 - accuracy}
    splits = {
        name: {**scores, "count": count, "errors": 0, "accuracy": value}
        for name, count, value in (("train", 1260, 1.0), ("test", IMAGES, accuracy))
    }
    record = {
        "variant": replicate.variant,
        "seed": replicate.seed,
        "recipe": replicate.recipe,
        "ingredients": replicate.ingredients,
    }
    record |= {"parameters": 1, "processor": "-", "commit": None, "splits": splits}
    row = {"epoch": 1, "loss": 1.0, "accuracy": accuracy, "val_loss": 1.0, "val_accuracy": accuracy}
    row |= {"train_loss": 1.0, "train_accuracy": 1.0}
    tables = {
        "history": {name: [value] for name, value in row.items()},
        "errors": {"image": [], "label": [], "answer": []},
    }
    return ledger.append(folder, record | tables)


def noise(replicate: Replicate, spread: float) -> float:
    """Return a random number that is the replicate's own, of a whole number of images, whatever code there is."""
    model = json.dumps(replicate.ingredients["model"], sort_keys=True)
    drawn = np.random.default_rng([replicate.seed, *model.encode()]).normal(0, spread)
    return round(drawn * IMAGES) / IMAGES
