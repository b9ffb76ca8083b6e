"""The study on real digits: training runs in forked processes, the ledger they fill, and what a second run does."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import psutil
import pytest
from distributed import Client

from pipeline import files, machine
from pipeline.data import dataset
from pipeline.data.dataset import Dataset, Split
from pipeline.errors import InputError, PipelineError, UnavailableError
from pipeline.study import run as stage
from pipeline.trials import cluster, ledger, plan, replicate
from pipeline.trials import run as engine
from pipeline.trials.ledger import EntryState
from pipeline.trials.plan import Replicate, Trajectory
from tests.support.processes import descendants, gone, wait_until
from tests.support.study_ledger import ROOT, params, write_params

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def held_out(digits: Dataset) -> Dataset:
    """Return the digits with 200 of the training images held out."""
    train, validation = (
        Split(digits.train.images[part], digits.train.labels[part]) for part in (slice(200, None), slice(200))
    )
    return Dataset(train, validation, digits.test, digits.classes)


@pytest.fixture(scope="module")
def data(held_out: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file that all training runs of this module use, so that they can share a fork server."""
    path = tmp_path_factory.mktemp("data") / "mnist.npz"
    dataset.save(path, held_out)
    return path


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """Return a cluster with one worker."""
    with cluster.connected(None, workers=1) as client:
        yield client


def summary(name: str, data: Path, count: int = 1200) -> dict[str, Any]:
    """Return what the stage needs to know of a data set with so many training images."""
    shape, splits = (
        {"image": [28, 28], "classes": list("0123456789")},
        {"train": {"count": count}, "test": {"count": 1}},
    )
    return {"dataset": name, "sha256": files.sha256(data), **shape, "splits": splits}


def study(**seeds: int) -> dict[str, Any]:
    """Return params of a study with the named variants and the given number of seeds of each."""
    variants = params()["variants"]
    named = {name: variants[name] | {"seeds": count} for name, count in seeds.items()}
    return params(variants=named, statistics=params()["statistics"] | {"comparisons": [["short", "long"]]})


@pytest.fixture
def folder(tmp_path: Path, data: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with params, data and a tracking store, in which nothing has run."""
    write_params(tmp_path / "params.yaml", study(short=1, long=1, permuted=1))
    (tmp_path / "data").mkdir()
    shutil.copy(data, tmp_path / "data" / "mnist.npz")
    files.write_json(tmp_path / "data" / "mnist.json", summary("mnist", data))
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return tmp_path


OPTIONS = ("--study", "params.yaml", "--data", "data", "--summaries", "data", "--runs", "runs")


class Stage:
    """The stage in this process, in the folder, on the cluster of this module."""

    def __init__(self, client: Client, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._client, self._patch, self._capsys = client, patch, capsys
        self.options: tuple[str, ...] = ()

    def run(self) -> list[str]:
        """Run the stage; return the lines of its output."""
        self._patch.setattr("sys.argv", ["run", *OPTIONS, *self.options])
        if not self.options:
            self._patch.setattr(cluster, "connected", lambda *_: nullcontext(self._client))
        assert stage.main() == 0
        return self._capsys.readouterr().out.splitlines()

    def fail(self, kind: type[PipelineError]) -> tuple[PipelineError, str]:
        """Run the stage, which must fail; return its error and what it printed."""
        with pytest.raises(kind) as caught:
            self.run()
        printed = self._capsys.readouterr()
        return caught.value, printed.out + printed.err


@pytest.fixture
def started(client: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Stage:
    """Return the stage."""
    return Stage(client, monkeypatch, capsys)


def trained(lines: list[str]) -> list[str]:
    """Return the replicates that a run reports as trained, sorted."""
    return sorted(line.partition(":")[0] for line in lines if ": test accuracy " in line)


def states(folder: Path) -> list[EntryState]:
    """Return the state of every planned replicate."""
    study = plan.load_study(folder / "params.yaml")
    sums = {name: files.read_json(folder / "data" / f"{name}.json")["sha256"] for name in study.data.sets}
    return [state for _, _, state in ledger.look_up(folder / "runs", plan.replicates(study, sums))]


def recipes(store: Path) -> list[str]:
    """Return the recipe of every finished run in MLflow, sorted."""
    client = mlflow.MlflowClient(f"sqlite:///{store}")
    experiment = client.get_experiment_by_name("mnist-study")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert {one.info.status for one in runs} == {"FINISHED"}
    return sorted(one.data.tags["recipe"] for one in runs)


@pytest.mark.fault("study: replicate lost, store lost")
def test_only_what_is_missing_is_run(
    folder: Path, started: Stage, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are trained once, then only what was lost or added, then nothing; MLflow has each once, even after a loss."""
    assert trained(started.run()) == ["long  seed 0", "permuted  seed 0", "short  seed 0"]
    kept = {name: (folder / "runs" / f"{name}.jsonl").read_bytes() for name in ("long", "permuted")}
    (folder / "runs" / "short.jsonl").unlink()
    write_params(folder / "params.yaml", study(short=1, long=1, permuted=2))
    # A process keeps the file of its store open, so the new store has another name.
    shutil.copy(empty_store, folder / "new.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/new.db")

    assert trained(started.run()) == ["permuted  seed 1", "short  seed 0"]
    monkeypatch.setattr(machine, "memory", lambda: 0)
    assert started.run() == ["4 replicates planned, 4 of them in runs"]

    assert states(folder) == [EntryState.CURRENT] * 4
    for name, content in kept.items():
        assert (folder / "runs" / f"{name}.jsonl").read_bytes().startswith(content)
    assert recipes(folder / "new.db") == sorted(entry.record["recipe"] for entry in ledger.read(folder / "runs"))


@pytest.mark.fault("study: the plan changed while it runs")
def test_a_plan_that_is_changed_meanwhile_is_not_recorded_as_done(
    folder: Path, started: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stage fails, since DVC would record the new plan; what was trained is kept, and another run does the rest."""
    (folder / "study").mkdir()
    shutil.copy(ROOT / "study" / "dvc.yaml", folder / "study")
    (folder / "study" / "params.yaml").symlink_to("../params.yaml")
    write_params(folder / "params.yaml", study(short=1, long=1))
    complete = engine.complete

    def changing(*arguments: Any) -> None:
        complete(*arguments)
        write_params(folder / "params.yaml", study(short=1, long=1, permuted=1))

    with monkeypatch.context() as patch:
        patch.setattr(engine, "complete", changing)
        error, _ = started.fail(PipelineError)

    assert str(error).startswith("variants in study/params.yaml: changed while this ran, ")
    assert (error.exit_code, error.fix.partition(";")[0]) == (1, "run again")
    assert trained(started.run()) == ["permuted  seed 0"]
    assert states(folder) == [EntryState.CURRENT] * 3


@pytest.mark.fault("study: training that diverges")
def test_a_training_run_that_fails_stops_no_other(folder: Path, started: Stage) -> None:
    """It is named with its reason, the others are in the ledger, and the exit code is 1."""
    values = study(short=1, long=1, permuted=1)
    permuted = values["variants"]["permuted"]
    permuted["optimizer"] = permuted["optimizer"] | {"learning_rate": 1e38}
    write_params(folder / "params.yaml", values)

    error, printed = started.fail(PipelineError)

    assert trained(printed.splitlines()) == ["long  seed 0", "short  seed 0"]
    assert "\nerror: permuted-0: diverged in epoch 1: " in printed
    assert (error.exit_code, str(error)) == (1, "1 training run failed; the others are in runs")
    assert sorted(states(folder), key=str) == [EntryState.CURRENT, EntryState.CURRENT, EntryState.MISSING]


def test_each_variant_is_trained_on_its_data_set(folder: Path, started: Stage, held_out: Dataset) -> None:
    """A study on two data sets trains each variant on its own one; MLflow has an experiment for each of them."""
    few = Split(held_out.train.images[:600], held_out.train.labels[:600])
    path = folder / "data" / "fewer.npz"
    dataset.save(path, dataclasses.replace(held_out, train=few))
    files.write_json(path.with_suffix(".json"), summary("fewer", path, 600))
    values = study(short=1, long=1, permuted=1)
    values["data"]["sets"].append("fewer")
    values["variants"]["permuted"]["dataset"] = "fewer"
    write_params(folder / "params.yaml", values)

    assert len(trained(started.run())) == 3

    counts = {one.variant: one.record["splits"]["train"]["count"] for one in ledger.read(folder / "runs")}
    assert counts == {"short": 1200, "long": 1200, "permuted": 600}
    store = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    names = {one.experiment_id: one.name for one in store.search_experiments()}
    runs = store.search_runs(list(names))
    assert {run.info.run_name: names[run.info.experiment_id] for run in runs} == {
        "short-0": "mnist-study",
        "long-0": "mnist-study",
        "permuted-0": "fewer-study",
    }


@pytest.mark.fault("study: network that does not fit the images of its data set, or batches larger than that")
def test_what_cannot_be_trained_on_a_data_set_is_refused(folder: Path, started: Stage) -> None:
    """One line per variant or data set, before anything is run."""
    path = folder / "data" / "mnist.json"
    files.write_json(path, summary("mnist", folder / "data" / "mnist.npz", 63) | {"image": [8, 8]})
    values = study(cnn=1, short=1, long=1)
    values["variants"]["cnn"]["network"] = values["variants"]["cnn"]["network"] | {"kernel": 7}
    write_params(folder / "params.yaml", values)

    error, printed = started.fail(InputError)

    first, second = str(error).splitlines()
    assert first == "params.yaml: train.batch_size: expected at most the 63 training images, found 64"
    assert second.startswith("params.yaml: variants.cnn.network: a 8x8 image is too small for ")
    assert printed == ""


@pytest.mark.fault("study: network that this machine cannot hold")
@pytest.mark.usefixtures("folder")
def test_what_fits_no_memory_is_refused_before_anything_is_trained(
    started: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line per variant that is to be trained here; workers elsewhere have a memory of their own."""
    monkeypatch.setattr(machine, "memory", lambda: 10**5)
    monkeypatch.setattr(cluster, "CONNECT_TIMEOUT_S", 1)
    started.options = ("--scheduler", "tcp://127.0.0.1:1")
    started.fail(UnavailableError)
    started.options = ()

    error, printed = started.fail(InputError)

    assert {line.split(": ")[1] for line in str(error).splitlines()} == {
        f"variants.{name}.network" for name in ("long", "permuted", "short")
    }
    assert printed == ""


@pytest.mark.slow
@pytest.mark.fault("study: kill -9 of the whole run")
def test_a_killed_run_leaves_no_process_and_loses_what_was_in_flight_at_most(folder: Path, started: Stage) -> None:
    """Killed after its first replicate, it leaves no process behind; the next run does only the rest."""
    command = [sys.executable, "-m", "pipeline.study.run", *OPTIONS, "--workers", "1"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = next(line for line in process.stdout if ": test accuracy " in line)
        processes = descendants(process.pid)
        process.send_signal(signal.SIGKILL)
    assert len(processes) >= 2
    wait_until(lambda: all(gone(pid) for pid in processes))

    assert first.partition(":")[0] not in trained(started.run())
    assert states(folder) == [EntryState.CURRENT] * 3


@pytest.mark.fault("study: data that is not the one that was prepared")
def test_other_data_is_refused(folder: Path, started: Stage, digits: Dataset) -> None:
    """A data file that differs from its summary is named, with the command that restores it; nothing is run."""
    dataset.save(folder / "data" / "mnist.npz", digits)

    error, printed = started.fail(InputError)

    assert error.path == Path("data/mnist.npz")
    assert error.what.startswith("has sha256 ")
    assert error.fix == "`dvc repro --force prepare@mnist` in study/ creates both again"
    assert printed == ""


@pytest.mark.fault("study: no scheduler at the address")
def test_a_scheduler_that_does_not_answer_ends_the_run(
    folder: Path, started: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 3 soon after the timeout, in one line; nothing is run on this machine instead."""
    monkeypatch.setattr(cluster, "CONNECT_TIMEOUT_S", 0.5)
    started.options = ("--scheduler", "tcp://127.0.0.1:9")
    before = time.monotonic()

    error, _ = started.fail(UnavailableError)

    assert time.monotonic() - before < 5
    assert error.exit_code == 3
    assert str(error).startswith("tcp://127.0.0.1:9: no Dask scheduler answers")
    assert not (folder / "runs").exists()


@pytest.mark.fault("study: no worker")
@pytest.mark.parametrize("workers", [0, -1])
@pytest.mark.usefixtures("folder")
def test_a_run_needs_a_worker(started: Stage, workers: int) -> None:
    """Without one it would wait for ever."""
    started.options = ("--workers", str(workers))

    error, printed = started.fail(InputError)

    assert (str(error), printed) == (f"--workers: expected at least 1, found {workers}", "")


Results = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def planned(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Replicate]:
    """Return the first replicate of each variant."""
    path = write_params(tmp_path_factory.mktemp("study") / "params.yaml", params())
    replicates = plan.replicates(plan.load_study(path), {"mnist": files.sha256(data)})
    return {one.variant: one for one in replicates if one.seed == 0}


@pytest.fixture(scope="module")
def results(client: Client, data: Path, planned: dict[str, Replicate]) -> Results:
    """Return the results of `short` and `long` trained together, of `short` trained alone, and of `cnn`, all forked."""

    def train(*names: str) -> list[dict[str, Any]]:
        trajectory = Trajectory(tuple(planned[name] for name in names))
        (outcome,) = cluster.outcomes(client, [trajectory], {files.sha256(data): data})
        return [dict(result) for result in outcome.results]

    short, long = train("short", "long")
    return {"short": short, "long": long, "alone": train("short")[0], "cnn": train("cnn")[0]}


@pytest.mark.usefixtures("results")
def test_the_process_that_forks_has_one_thread(client: Client) -> None:
    """With TensorFlow, NumPy and Arrow imported, it has no other thread that a fork would cut off at any place."""
    (worker,) = client.run(os.getpid).values()

    (server,) = [one for one in psutil.Process(worker).children() if "pipeline.trials.forkserver" in one.cmdline()]

    assert server.num_threads() == 1


FRESH = """
import json, sys
from pathlib import Path
from pipeline.data import dataset
from pipeline.trials import replicate
from pipeline.trials.plan import Replicate, Trajectory

first, second = (Trajectory((Replicate(**one),)) for one in json.loads(sys.argv[2]))
data = dataset.load(Path(sys.argv[1]))
results = [*replicate.run_alone(first, data), *replicate.run(second, data)]
print(json.dumps(results))
"""


def test_a_forked_run_gives_the_same_bytes_as_a_fresh_process(
    results: Results, data: Path, planned: dict[str, Replicate]
) -> None:
    """Record, history and errors of an MLP and of a CNN are those of a process that imported TensorFlow itself."""
    line = json.dumps([dataclasses.asdict(planned[name]) for name in ("short", "cnn")])

    fresh = subprocess.run([sys.executable, "-c", FRESH, data, line], cwd=ROOT, capture_output=True, check=True).stdout

    assert json.loads(fresh) == [results["alone"], results["cnn"]]


def test_a_longer_training_run_passes_through_the_shorter_one(results: Results) -> None:
    """The results of a variant do not depend on whether its training run continued for another one."""
    assert results["short"] == results["alone"]
    long, short = (results[name]["history"] for name in ("long", "short"))
    assert {name: values[: len(short[name])] for name, values in long.items()} == short
    assert results["long"]["splits"] != results["short"]["splits"]


def test_a_result_covers_every_image(results: Results, held_out: Dataset) -> None:
    """Scores cover every image of all three splits, and the errors are the misclassified test images."""
    long = results["long"]
    splits = long["splits"]
    errors = pd.DataFrame(long["errors"])

    assert {name: split["count"] for name, split in splits.items()} == {"train": 1200, "validation": 200, "test": 397}
    assert len(errors) == splits["test"]["errors"] > 0
    assert (held_out.test.labels[errors["image"]] == errors["label"]).all()
    assert (errors["label"] != errors["answer"]).all()
    history = long["history"]
    assert history["val_accuracy"][-1] == pytest.approx(splits["validation"]["accuracy"])
    # All training images are within the sample here.
    assert history["train_accuracy"][-1] == splits["train"]["accuracy"]


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


def test_permuted_pixels_keep_their_colours() -> None:
    """Of a colour image, pixels change places as those of a grey one do, each with its three values in their order."""
    random = np.random.default_rng(0)
    split = Split(random.integers(0, 256, (5, 9, 8, 3), np.uint8), np.zeros(5, np.uint8))

    moved = replicate.permuted(Dataset(split, None, split, ("a", "b")), 3).train.images

    grey = Split(split.images[..., 0], split.labels)
    alone = replicate.permuted(Dataset(grey, None, grey, ("a", "b")), 3).train.images
    assert np.array_equal(moved[..., 0], alone)
    for image, other in zip(split.images, moved, strict=True):
        assert not np.array_equal(image, other)
        assert sorted(map(tuple, image.reshape(-1, 3))) == sorted(map(tuple, other.reshape(-1, 3)))
