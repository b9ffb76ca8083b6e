"""The project with a small set of real digits, in a folder of its own: what tests and `.ci/digits` run."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from pipeline import files
from pipeline.data.dataset import Dataset, Split
from pipeline.data.formats import idx
from tests.support import frozen

ROOT = Path(__file__).parents[2]
PROJECT = (
    *("pipeline", "params.yaml", "dvc.yaml", ".dvcignore", ".gitignore", "data/report_history.csv", "data/sets"),
    *(path.relative_to(ROOT).as_posix() for path in (ROOT / "data" / "local").glob("*/.gitkeep")),
)
DIGITS = tuple("0123456789")


def digits() -> Dataset:
    """Return scikit-learn's 1,797 digits of 8x8 pixels, enlarged to 28x28: 1,400 to train on, 397 to test."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    enlarged = np.kron(bunch.images * 255 / 16, np.ones((3, 3)))
    images = np.pad(enlarged, ((0, 0), (2, 2), (2, 2))).astype(np.uint8)
    labels = bunch.target.astype(np.uint8)
    return Dataset(Split(images[:1400], labels[:1400]), None, Split(images[1400:], labels[1400:]), DIGITS)


def write_set(repository: Path, small: Dataset) -> None:
    """Write the digits as IDX files into a local directory, and data/sets/digits.yaml, which describes them."""
    spec = yaml.safe_load((ROOT / "data" / "sets" / "mnist.yaml").read_text())
    spec |= {
        "title": "Digits",
        "credit": "E. Alpaydin, C. Kaynak (1998)",
        "sources": [{"directory": "data/local"}],
    }
    spec["counts"] = {"train": len(small.train), "test": len(small.test)}
    arrays = {
        "train_images": small.train.images,
        "train_labels": small.train.labels,
        "test_images": small.test.images,
        "test_labels": small.test.labels,
    }
    for key, array in arrays.items():
        file = spec["files"][key]
        path = repository / "data" / "local" / file["name"]
        files.write_bytes(path, idx.encode(array))
        file["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    path = repository / "data" / "sets" / "digits.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(spec, sort_keys=False))


def write_params(repository: Path, small: Dataset) -> None:
    """Write the digits, and params that train on them for three epochs.

    The gate then asks of each model what three epochs suffice for.
    """
    write_set(repository, small)
    # Of the folder that DVC watches there is no file, so that the set may be used where these are not.
    kept = repository / "data" / "local" / "digits" / ".gitkeep"
    kept.parent.mkdir(exist_ok=True)
    kept.touch()
    with edited(repository / "params.yaml") as values:
        values["data"]["dataset"] = "digits"
        for model in values["models"].values():
            model["epochs"] = 3
        values["gate"] = {"digits": {"default": {"test_accuracy": {"min": 0.7}}}}


@contextmanager
def edited(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the content of a YAML file, which is written again with what was changed in it."""
    values = yaml.safe_load(path.read_text())
    yield values
    path.write_text(yaml.safe_dump(values, sort_keys=False))


def shrink(repository: Path) -> None:
    """Leave one MLP in a repository's params, and a CNN with half of its filters, which learns as fast."""
    with edited(repository / "params.yaml") as values:
        del values["models"]["mlp_adadelta"]
        values["models"]["cnn"]["network"]["filters"] = [16, 32]


def copy(folder: Path, *names: str) -> None:
    """Copy files and folders of this project, as they are now, to the same places in another folder.

    What is a user's to change is not this project's, but the tests' own.
    """
    for name in names:
        source, target = frozen.own(name), folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        else:
            shutil.copy(source, target)


def environment() -> dict[str, str]:
    """Return the environment in which a repository made here depends on no one's own configuration.

    A DVC cache that is shared with other runs would hand out what is to be made. No one's account with a cloud is used,
    nor the service that hands credentials to a cloud's machines. A make that is called here is no part of the one that
    runs the tests, of which it would print the folder and take over the options.
    """
    own = ("AWS_", "PG", "MLFLOW_TRACKING_", "MAKE", "MFLAGS", "GNUMAKEFLAGS")
    return {key: value for key, value in os.environ.items() if not key.startswith(own)} | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "DVC_GLOBAL_CONFIG_DIR": "/nonexistent",
        "DVC_SYSTEM_CONFIG_DIR": "/nonexistent",
        "DVC_NO_ANALYTICS": "1",
        "AWS_CONFIG_FILE": "/nonexistent",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def execute(folder: Path, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run `command` in `folder` as make does, with `more` in its environment; its output holds its errors."""
    return subprocess.run(
        command,
        cwd=folder,
        env=environment() | more,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def run(folder: Path, *command: str, **more: str) -> str:
    """Run `command` as `execute` does, and return what it printed; it must succeed."""
    done = execute(folder, *command, **more)
    assert done.returncode == 0, done.stdout
    return done.stdout


def commit(folder: Path, message: str) -> None:
    """Commit everything that git does not ignore, as somebody."""
    run(folder, "git", "add", "--all")
    run(folder, "git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "--quiet", "--message", message)


def start(folder: Path) -> None:
    """Make a repository with this project's files as they are now; no stage has run."""
    copy(folder, *PROJECT)
    for program in ("git", "dvc"):
        run(folder, program, "init", "--quiet")
    copy(folder, *(f".dvc/plots/{path.name}" for path in (ROOT / ".dvc" / "plots").glob("*.json")))


def make(folder: Path) -> None:
    """Make a repository as `start` does, with the digits and small params."""
    start(folder)
    write_params(folder, digits())


if __name__ == "__main__":
    make(Path(sys.argv[1]))
