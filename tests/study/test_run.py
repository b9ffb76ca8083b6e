"""The study on real digits: training runs in separate processes, the ledger they fill, and what a second run does."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from pipeline import files
from pipeline.data import dataset
from pipeline.data.dataset import Dataset, Split
from pipeline.study import ledger, plan, replicate
from pipeline.study.ledger import EntryState
from pipeline.study.plan import Replicate, Trajectory
from tests.support.study_ledger import ROOT, params, write_params


@pytest.fixture(scope="module")
def held_out(digits: Dataset) -> Dataset:
    """Return the digits with 200 of the training images held out."""
    train, validation = (
        Split(digits.train.images[part], digits.train.labels[part]) for part in (slice(200, None), slice(200))
    )
    return Dataset(train, validation, digits.test, digits.classes)


def study(**seeds: int) -> dict[str, Any]:
    """Return params of a study with the named variants and the given number of seeds of each."""
    variants = params()["variants"]
    named = {name: variants[name] | {"seeds": count} for name, count in seeds.items()}
    return params(variants=named, statistics=params()["statistics"] | {"comparisons": [["short", "long"]]})


@pytest.fixture
def folder(tmp_path: Path, held_out: Dataset, empty_store: Path) -> Path:
    """Return a folder with params, data and a tracking store, in which nothing has run."""
    write_params(tmp_path / "params.yaml", study(short=1, long=1, permuted=1))
    dataset.save(tmp_path / "mnist.npz", held_out)
    files.write_json(tmp_path / "data.json", {"sha256": files.sha256(tmp_path / "mnist.npz")})
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return tmp_path


def command(folder: Path, *options: str) -> dict[str, Any]:
    """Return the arguments for starting the stage in the folder."""
    words = [sys.executable, "-m", "pipeline.study.run", "--study", "params.yaml", "--data", "mnist.npz"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    return {"args": [*words, "--summary", "data.json", "--runs", "runs", *options], "cwd": folder, "env": environment}


def run(folder: Path, *options: str, code: int = 0) -> list[str]:
    """Run the stage, which must end with `code`; return the lines of its output, then those of its errors."""
    done = subprocess.run(**command(folder, *options), capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return [*done.stdout.splitlines(), *done.stderr.splitlines()]


def trained(lines: list[str]) -> list[str]:
    """Return the replicates that a run reports as trained, sorted."""
    return sorted(line.partition(":")[0] for line in lines if ": test accuracy " in line)


def states(folder: Path) -> list[EntryState]:
    """Return the state of every planned replicate."""
    study, sha256 = plan.load_study(folder / "params.yaml"), files.read_json(folder / "data.json")["sha256"]
    return [state for _, _, state in ledger.look_up(folder / "runs", plan.replicates(study, sha256))]


def recipes(folder: Path) -> list[str]:
    """Return the recipe of every finished run in MLflow, sorted."""
    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("mnist-study")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert {one.info.status for one in runs} == {"FINISHED"}
    return sorted(one.data.tags["recipe"] for one in runs)


@pytest.mark.fault("study: replicate lost, store lost")
def test_only_what_is_missing_is_run(folder: Path) -> None:
    """All are trained once, then only what was lost or added, then nothing; MLflow has each once, even after a loss."""
    assert trained(run(folder)) == ["long  seed 0", "permuted  seed 0", "short  seed 0"]
    kept = {path: path.read_bytes() for path in (folder / "runs").rglob("*.*")}
    shutil.rmtree(folder / "runs" / "short")
    write_params(folder / "params.yaml", study(short=1, long=1, permuted=2))
    (folder / "mlflow.db").unlink()

    assert trained(run(folder)) == ["permuted  seed 1", "short  seed 0"]
    assert run(folder) == ["4 replicates planned, 4 of them in runs"]

    assert states(folder) == [EntryState.CURRENT] * 4
    assert {path: path.read_bytes() for path in kept} == kept
    entries = [files.read_json(path) for path in (folder / "runs").rglob("record.json")]
    assert recipes(folder) == sorted(entry["recipe"] for entry in entries)


@pytest.mark.fault("study: training that diverges")
def test_a_training_run_that_fails_stops_no_other(folder: Path) -> None:
    """It is named with its reason, the others are in the ledger, and the exit code is 1."""
    values = study(short=1, long=1, permuted=1)
    permuted = values["variants"]["permuted"]
    permuted["optimizer"] = permuted["optimizer"] | {"learning_rate": 1e38}
    write_params(folder / "params.yaml", values)

    lines = run(folder, code=1)

    assert trained(lines) == ["long  seed 0", "short  seed 0"]
    assert any(line.startswith("error: permuted-0: diverged in epoch 1: ") for line in lines)
    assert lines[-1] == "error: 1 training run failed; the others are in runs"
    assert sorted(states(folder), key=str) == [EntryState.CURRENT, EntryState.CURRENT, EntryState.MISSING]


@pytest.mark.fault("study: worker with other code")
def test_a_worker_with_other_code_is_refused(folder: Path) -> None:
    """A training run on a worker whose code differs from the driver's ends with a line that says so."""
    shutil.copytree(ROOT / "pipeline", folder / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    (planned,) = [one for one in _planned(folder) if one.variant == "short"]
    edited = folder / "pipeline" / "training" / "networks.py"
    edited.write_text(edited.read_text().replace("1 / 255", "1 / 256"))
    line = json.dumps([dataclasses.asdict(planned)])

    done = _replicate(folder, line, PYTHONPATH=str(folder))

    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "has code" in done.stderr
    assert "install the same package on every worker" in done.stderr
    assert not (folder / "results.json").exists()


def _planned(folder: Path) -> list[Replicate]:
    return plan.replicates(plan.load_study(folder / "params.yaml"), files.sha256(folder / "mnist.npz"))


def _replicate(folder: Path, line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "pipeline.study.replicate", "--data", "mnist.npz", "--output", "results.json"]
    with subprocess.Popen(
        words,
        cwd=folder,
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(line + "\n")
        process.stdin.flush()
        errors = process.stderr.read()
        process.wait()
    return subprocess.CompletedProcess(words, process.returncode, "", errors)


@pytest.mark.slow
@pytest.mark.fault("study: kill -9 of the whole run")
def test_a_killed_run_leaves_no_process_and_loses_what_was_in_flight_at_most(folder: Path) -> None:
    """Killed after its first replicate, it leaves no process behind; the next run does only the rest."""
    with subprocess.Popen(**command(folder, "--workers", "1"), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = next(line for line in process.stdout if ": test accuracy " in line)
        processes = _descendants(process.pid)
        process.send_signal(signal.SIGKILL)
    assert len(processes) >= 2
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in processes) and time.monotonic() < deadline:
        time.sleep(0.1)

    assert [pid for pid in processes if Path(f"/proc/{pid}").exists()] == []
    assert first.partition(":")[0] not in trained(run(folder))
    assert states(folder) == [EntryState.CURRENT] * 3


def _descendants(pid: int) -> list[int]:
    table = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True, check=True).stdout
    parents = {int(child): int(parent) for child, parent in (line.split() for line in table.splitlines()[1:])}
    found = [pid]
    for ancestor in found:
        found += [child for child, parent in parents.items() if parent == ancestor]
    return found[1:]


@pytest.mark.fault("study: data that is not the one that was prepared")
def test_other_data_is_refused(folder: Path, digits: Dataset) -> None:
    """A data file that differs from its summary is named, with the command that restores it; nothing is run."""
    dataset.save(folder / "mnist.npz", digits)

    (line,) = run(folder, code=2)

    assert line.startswith("error: mnist.npz: has sha256 ")
    assert line.endswith("`dvc repro --force prepare` in study/ creates both again")


@pytest.mark.fault("study: no scheduler at the address")
def test_a_scheduler_that_does_not_answer_ends_the_run(folder: Path) -> None:
    """Exit 3 within 30 seconds, in one line; nothing is run on this machine instead."""
    started = time.monotonic()

    lines = run(folder, "--scheduler", "tcp://127.0.0.1:9", code=3)

    assert time.monotonic() - started < 30
    assert lines[-1].startswith("error: tcp://127.0.0.1:9: no Dask scheduler answers")
    assert not (folder / "runs").exists()


@pytest.fixture(scope="module")
def results(held_out: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, replicate.Result]:
    """Return the results of `short` and `long` trained together, of `short` trained alone, and of `permuted`."""
    planned = plan.replicates(
        plan.load_study(write_params(tmp_path_factory.mktemp("study") / "params.yaml", params())), "d" * 64
    )
    short, long, permuted, *_ = planned
    together = replicate.run(Trajectory((short, long)), held_out)
    (alone,) = replicate.run(Trajectory((short,)), held_out)
    (other,) = replicate.run(Trajectory((permuted,)), held_out)
    return {"short": together[0], "long": together[1], "alone": alone, "permuted": other}


def test_a_longer_training_run_passes_through_the_shorter_one(results: dict[str, replicate.Result]) -> None:
    """The results of a variant do not depend on whether its training run continued for another one."""
    assert results["short"] == results["alone"]
    assert results["long"].history.startswith(results["short"].history)
    assert results["long"].record["splits"] != results["short"].record["splits"]


def test_a_result_covers_every_image(results: dict[str, replicate.Result], held_out: Dataset) -> None:
    """Scores cover every image of all three splits, and the errors are the misclassified test images."""
    long = results["long"]
    splits = long.record["splits"]
    errors = pd.read_csv(pd.io.common.StringIO(long.errors))

    assert {name: split["count"] for name, split in splits.items()} == {"train": 1200, "validation": 200, "test": 397}
    assert len(errors) == splits["test"]["errors"] > 0
    assert (held_out.test.labels[errors["image"]] == errors["label"]).all()
    assert (errors["label"] != errors["answer"]).all()
    history = pd.read_csv(pd.io.common.StringIO(long.history))
    assert history["val_accuracy"].iloc[-1] == pytest.approx(splits["validation"]["accuracy"])
    # All training images are within the sample here.
    assert history["train_accuracy"].iloc[-1] == splits["train"]["accuracy"]


def test_permuted_pixels_are_the_same_ones_for_all_images(held_out: Dataset) -> None:
    """One fixed permutation for every image of every split: the values of an image stay, their places change."""
    moved = replicate.permuted(held_out, 0)

    places = np.arange(28 * 28)
    for name, split in held_out.splits().items():
        flat = split.images.reshape(len(split), -1)
        order = np.random.default_rng(0).permutation(places)
        assert np.array_equal(moved.splits()[name].images.reshape(len(split), -1), flat[:, order])
        assert np.array_equal(moved.splits()[name].labels, split.labels)
    assert not np.array_equal(moved.test.images, held_out.test.images)
    assert not np.array_equal(replicate.permuted(held_out, 1).test.images, moved.test.images)
