"""MLflow brought up to date with the files: what was lost or interrupted is there once, and nothing else changes."""

import dataclasses
import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import mlflow
import numpy as np
import pytest
from matplotlib.figure import Figure

from pipeline import cli, files, params, sync, tracking
from pipeline.data import dataset
from pipeline.tracking import experiments, live, logged_model
from pipeline.tracking import store as mlflow_store
from pipeline.tracking.artifacts import EvaluationArtifacts
from pipeline.tracking.description import RunDescription
from pipeline.training import recipe
from pipeline.training.checkpoint import Checkpoints
from tests.support import changes, forks, programs, small

ROOT = Path(__file__).parents[1]
MODEL = "mlp_rmsprop"
# Another model of which a workspace may have the files: those of the first under other names.
TWIN = "mlp_twin"
FIGURES = ("curves.png", "confusion.png", "mistakes.png", "samples.png")
# The tags that a restored run has as the first one had them.
TAGS = ("model", "recipe", "seed", "data.md5", "model.md5", "overfitting", "mlflow.runColor", "version.keras")


def leave_one_model(repository: Path) -> None:
    """Remove the other models from a repository as if they had never been there."""
    with small.edited(repository / "params.yaml") as values, small.edited(repository / "dvc.lock") as lock:
        others = [name for name in values["models"] if name != MODEL]
        for name in others:
            del values["models"][name]
            for path in [*repository.glob(f"models/{name}.*"), *repository.glob(f"reports/*/{name}.*")]:
                path.unlink()
        for name in ("report", *(f"{stage}@{name}" for stage in ("train", "evaluate") for name in others)):
            del lock["stages"][name]


@pytest.fixture(scope="module")
def repository(reproduced: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository with this project's files and small params, of which DVC has evaluated the model."""
    folder = Path(shutil.copytree(reproduced, tmp_path_factory.mktemp("repository") / "a clone", symlinks=True))
    leave_one_model(folder)
    return folder


@pytest.fixture
def whole_runs() -> None:
    """Have runs with a model and figures, as a test that is about them asks for."""


@pytest.fixture
def workspace(
    request: pytest.FixtureRequest, repository: Path, tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Return a copy of the repository's files, as current directory, with an empty store of its own.

    The model and the figures of its runs take no time to make, but for `whole_runs`.
    """
    folder = tmp_path / "workspace"
    shutil.copytree(repository, folder, ignore=shutil.ignore_patterns(".dvc", ".git", "mlflow.db*", "mlruns", "work"))
    monkeypatch.chdir(folder)
    assert store.exists()
    if "whole_runs" in request.fixturenames:
        return folder

    def save(path: Path, folder: Path, *_: Any) -> None:
        folder.mkdir()
        (folder / "MLmodel").write_text("flavors: {}\n")
        (folder / "data").mkdir()
        shutil.copy(path, folder / logged_model.LOGGED_FILE)

    monkeypatch.setattr(logged_model, "_save", save)
    monkeypatch.setattr(logged_model, "FILES", {"MLmodel", logged_model.LOGGED_FILE})
    monkeypatch.setattr(EvaluationArtifacts, "figures", lambda _: dict.fromkeys(FIGURES, Figure(figsize=(1, 1))))
    return folder


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    output: str
    errors: str


Call = Callable[..., Ended]


@pytest.fixture
def call(workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Return a function that calls `python -m pipeline.sync` in the workspace, as `make ui` does, without a process."""
    assert Path.cwd() == workspace
    monkeypatch.setenv("MLFLOW_PORT", "5000")

    def call(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["sync", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.run(sync.main)
        captured = capsys.readouterr()
        return Ended(int(ended.value.code or 0), captured.out, captured.err)

    return call


def runs(uri: str | None = None, name: str = "digits") -> list[Any]:
    """Return the runs of the experiment of a data set, the latest first."""
    api = mlflow.MlflowClient(uri or mlflow_store.uri())
    experiment = api.get_experiment_by_name(name)
    return list(api.search_runs([experiment.experiment_id])) if experiment else []


def content(run: Any, uri: str | None = None) -> dict[str, Any]:
    """Return all that a run holds: params, points, data, artifacts by checksum, the predictions of its model."""
    uri = uri or mlflow_store.uri()
    api = mlflow.MlflowClient(uri)
    mlflow.set_tracking_uri(uri)
    points = {
        name: sorted((p.step, p.value) for p in api.get_metric_history(run.info.run_id, name))
        for name in run.data.metrics
    }
    with tempfile.TemporaryDirectory() as folder:
        artifacts = {
            file.path: files.md5(Path(api.download_artifacts(run.info.run_id, file.path, folder)))
            for file in api.list_artifacts(run.info.run_id)
        }
    (output,) = run.outputs.model_outputs
    network = mlflow.keras.load_model(f"models:/{output.model_id}")
    images = np.random.default_rng(0).integers(0, 256, (4, 28, 28), dtype=np.uint8)
    (logged,) = api.search_logged_models([run.info.experiment_id], f"source_run_id = '{run.info.run_id}'")
    return {
        "name": run.info.run_name,
        "status": run.info.status,
        "params": run.data.params,
        "points": points,
        "data": sorted((one.dataset.name, one.dataset.digest) for one in run.inputs.dataset_inputs),
        "tags": {name: run.data.tags[name] for name in TAGS},
        "artifacts": artifacts,
        "model": (logged.name, str(logged.status), logged.params, network(images).numpy().tolist()),
        "model's scores": sorted((metric.key, metric.value) for metric in logged.metrics),
    }


@pytest.fixture(scope="module")
def reference(repository: Path) -> dict[str, Any]:
    """Return what the run holds that DVC's stages made."""
    uri = f"sqlite:///{repository}/mlflow.db"
    (first,) = [run for run in runs(uri) if run.info.run_name == MODEL]
    return content(first, uri)


def without_store(repository: Path, folder: Path) -> str:
    """Copy a repository whose store is lost, and return the address of the one that its copy will have."""
    clone = Path(shutil.copytree(repository, folder, symlinks=True))
    for path in clone.glob("mlflow.db*"):
        path.unlink()
    shutil.rmtree(clone / "mlruns")
    return f"sqlite:///{clone}/mlflow.db"


def assert_equal(restored: dict[str, Any], first: dict[str, Any]) -> None:
    """Check that two runs hold the same, except what a timing file rounds: it has three digits of a second."""
    for run in (restored, first):
        run["points"]["epoch_seconds"] = [(step, round(value, 3)) for step, value in run["points"]["epoch_seconds"]]
    assert restored == first


def everything(store: Path) -> tuple[list[str], dict[str, str]]:
    """Return the whole content of a store: each row of each table, and each artifact."""
    with closing(sqlite3.connect(store)) as database:
        rows = sorted(database.iterdump())
    folder = store.parent / "mlruns"
    return rows, {str(path): files.md5(path) for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.fault("mlflow.db deleted after `dvc repro`")
def test_a_lost_store_is_filled_again(repository: Path, reference: dict[str, Any], tmp_path: Path) -> None:
    """DVC runs nothing; sync makes each run again, equal in all but the tag that says so, in a process of its own."""
    clone = tmp_path / "clone"
    uri = without_store(repository, clone)

    repeated = forks.run(clone, "dvc", "repro", "evaluate")
    printed = forks.run(clone, "python", "-m", "pipeline.sync")

    assert "Running stage" not in repeated
    assert f"{MODEL}: added to MLflow" in printed.splitlines()
    (restored,) = runs(uri)
    assert restored.data.tags["restored"] == "true"
    assert restored.data.tags["dvc.state"] == "current"
    assert restored.data.tags["dvc.stage"] == f"train@{MODEL}"
    assert_equal(content(restored, uri), reference)
    assert [path.name for path in (clone / "work").iterdir()] == ["sync.lock"]


# In a process of its own: MLflow remembers where a run's artifacts are as long as a process lives.
MOVED = """
import sys, tempfile
from pathlib import Path
import mlflow
from pipeline import sync, tracking
sys.argv = ["sync"]
assert sync.main() == sync.main() == 0
with tempfile.TemporaryDirectory() as folder:
    for model in mlflow.MlflowClient().search_logged_models(["1"]):
        assert model.artifact_location.startswith(Path.cwd().as_uri() + "/mlruns/"), model.artifact_location
        print("loaded", tracking.fetch(f"models:/{model.model_id}", Path(folder)).name)
"""


@pytest.mark.fault("the folder moved, renamed or copied after `dvc repro`")
def test_a_moved_folder_takes_its_store_along(repository: Path, tmp_path: Path) -> None:
    """A copy next to the original, then renamed: models load, sync adds nothing, and nothing is written elsewhere."""
    # Whatever a busy machine's stages did not send in time.
    forks.run(repository, "python", "-m", "pipeline.sync")
    before = everything(repository / "mlflow.db")
    copied, renamed = tmp_path / '50% of #1? it\'s "mine"', tmp_path / "日本語 %20"
    shutil.copytree(repository, copied, symlinks=True)
    for place in (copied, renamed):
        if place == renamed:
            copied.rename(place)

        printed = forks.run(place, "python", "-c", MOVED).splitlines()

        assert [line for line in printed if line.startswith(MODEL)] == [f"{MODEL}: complete in MLflow"] * 2
        # The store also has the model that the repository was left without.
        assert [line for line in printed if line.startswith("loaded")] == ["loaded model.keras"] * 2
        assert len(everything(place / "mlflow.db")[1]) == len(before[1])
    assert everything(repository / "mlflow.db") == before
    assert not copied.exists()


START = """
import sys
from pipeline import sync
sys.argv = ["sync"]
code = sync.main()
assert not {"tensorflow", "keras", "matplotlib"} & set(sys.modules)
sys.exit(code)
"""


def test_where_nothing_is_missing_sync_is_quick_and_changes_nothing(repository: Path, tmp_path: Path) -> None:
    """A second sync writes no byte of the store, loads no TensorFlow, and computes for a few seconds at most."""
    clone = Path(shutil.copytree(repository, tmp_path / "clone", symlinks=True))
    forks.run(clone, "python", "-m", "pipeline.sync")
    before = everything(clone / "mlflow.db")

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    second = subprocess.run(
        [sys.executable, "-c", START], cwd=clone, env=small.environment(), capture_output=True, text=True, check=False
    )
    now = resource.getrusage(resource.RUSAGE_CHILDREN)

    assert second.returncode == 0, second.stderr
    assert second.stderr == ""
    assert second.stdout.startswith(f"{MODEL}: complete in MLflow\n")
    assert everything(clone / "mlflow.db") == before
    # Under three seconds on an idle machine; far less than loading TensorFlow and a model would take on a busy one.
    assert now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime < 30


def trained(name: str = MODEL) -> tracking.TrainedModel:
    """Return what the current directory has of a model."""
    found = tracking.trained_model(name, params.load(Path("params.yaml")).overfitting)
    assert found is not None
    return found


def begun_description() -> RunDescription:
    """Return the description of the model's run at its start."""
    return dataclasses.replace(trained().description(), restored_from=None)


def begin(epochs: int) -> live.TrainingRun:
    """Begin a run as the training of the model did, and log some epochs."""
    found = trained()
    begun = live.TrainingRun(begun_description(), dataset.load(found.data))
    if epochs:
        begun.log_epochs(found.rows()[:epochs])
    return begun


def cut_before_params() -> None:
    """Leave a run as its making does."""
    experiment = experiments.connect(experiments.of_dataset("digits"))
    mlflow.MlflowClient().create_run(experiment, tags=begun_description().tags(), run_name=MODEL)


def cut_before_the_first_epoch() -> None:
    """Leave a run with its params and data."""
    assert begin(0).leave(120) == ""


def cut_in_mid_training() -> None:
    """Leave a run with one epoch of three."""
    assert begin(1).leave(120) == ""


def cut_within_an_epoch() -> None:
    """Leave a run with one epoch and a part of the second."""
    cut_in_mid_training()
    mlflow.MlflowClient().log_metric(runs()[0].info.run_id, "loss", trained().rows()[1]["loss"], step=2)


def cut_before_the_model() -> None:
    """Leave a run with all epochs."""
    assert begin(3).leave(120) == ""


def cut_within_the_model() -> None:
    """Leave a run whose model has few of its files."""
    cut_before_the_model()
    (run,) = runs()
    api, experiment, params = mlflow.MlflowClient(), run.info.experiment_id, run.data.params
    begun = api.create_logged_model(experiment, MODEL, run.info.run_id, {}, params, "classifier")
    api.log_model_artifact(begun.model_id, str(Path("params.yaml").resolve()))


def cut_before_the_end() -> None:
    """Leave a run that only counts as running."""
    begun = begin(3)
    begun.log_model(trained().file)
    assert begun.leave(120) == ""


def cut_before_the_checksums() -> None:
    """Leave a run with its model, but without the tag by which it is known."""
    cut_before_the_end()
    mlflow.MlflowClient().delete_tag(runs()[0].info.run_id, "model.md5")


CUTS = [cut_before_params, cut_within_an_epoch, cut_within_the_model, cut_before_the_checksums]
# Each a step before or after one of those.
MORE_CUTS = [cut_before_the_first_epoch, cut_in_mid_training, cut_before_the_model, cut_before_the_end]


@pytest.mark.fault("an outage cuts a run short")
@pytest.mark.parametrize("cut", [*CUTS, *(pytest.param(cut, marks=pytest.mark.slow) for cut in MORE_CUTS)])
@pytest.mark.usefixtures("whole_runs")
def test_a_run_that_was_cut_short_is_completed(reference: dict[str, Any], call: Call, cut: Callable[[], None]) -> None:
    """Whatever is missing is added to the run itself, once; it lasted as long as its epochs, and is the current one."""
    cut()
    (left,) = runs()
    assert left.info.status == "RUNNING"

    ended = call()

    assert ended.code == 0, ended.errors
    (completed,) = runs()
    assert completed.info.run_id == left.info.run_id
    assert completed.data.tags["dvc.state"] == "current"
    assert "restored" not in completed.data.tags
    seconds = sum(row["seconds"] for row in trained().rows())
    assert completed.info.end_time - left.info.start_time == pytest.approx(1000 * seconds, abs=2)
    assert_equal(content(completed), reference)


def rewrite_lock(change: Callable[[dict[str, Any]], object]) -> None:
    """Change the stages of dvc.lock."""
    lock = files.read_yaml(Path("dvc.lock"))
    change(lock["stages"])
    Path("dvc.lock").write_text(json.dumps(lock))


def recipe_of(name: str) -> str:
    """Return the recipe of a model with the params of the one that was trained."""
    values = params.load(Path("params.yaml"))
    return recipe.of_model(name, values.models[MODEL], values.train, files.md5(Path("data/processed/digits.npz")))


def add_twin() -> None:
    """Make it so that DVC has a second model: the first one's files under other names, of another recipe."""
    for path in Path().glob(f"*/**/{MODEL}.*"):
        if path.parts[0] in ("models", "reports"):
            shutil.copy(path, path.with_name(path.name.replace(MODEL, TWIN)))
    metrics = Path(f"reports/metrics/{TWIN}.json")
    scores = files.read_json(metrics)
    made_with = {**scores["made_with"], "recipe": recipe_of(TWIN)}
    files.write_json(metrics, scores | {"made_with": made_with})

    def add(stages: dict[str, Any]) -> None:
        for stage in ("train", "evaluate"):
            text = json.dumps(stages[f"{stage}@{MODEL}"]).replace(MODEL, TWIN)
            stages[f"{stage}@{TWIN}"] = json.loads(text)
        (entry,) = [out for out in stages[f"evaluate@{TWIN}"]["outs"] if out["path"] == str(metrics)]
        entry["md5"] = files.md5(metrics)

    rewrite_lock(add)
    changes.edit(Path(), lambda values: values["models"].update({TWIN: values["models"][MODEL]}))


FILES = [
    f"models/{MODEL}.keras",
    f"reports/history/{MODEL}.csv",
    f"reports/timing/{MODEL}.csv",
    f"reports/metrics/{MODEL}.json",
]


@pytest.mark.fault("a result was edited, or is missing, when sync runs")
@pytest.mark.parametrize("state", ["edited", "missing"])
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_dvc_did_not_make_is_refused(call: Call, name: str, state: str) -> None:
    """Exit code 2, one line with its name, and no run; another model is added all the same."""
    add_twin()
    path = Path(name)
    if state == "edited":
        path.write_bytes(path.read_bytes() + b"\n")
    else:
        path.unlink()

    ended = call()

    assert ended.code == 2
    assert ended.errors.startswith(f"error: {MODEL}: {name}: ")
    assert ended.errors.count("\n") == 1
    assert [run.info.run_name for run in runs()] == [TWIN]


@pytest.mark.fault("the data set was edited when sync runs")
def test_data_that_dvc_did_not_make_is_refused(call: Call) -> None:
    """Exit code 2, the name of the file, and no run."""
    data = Path("data/processed/digits.npz")
    data.write_bytes(data.read_bytes() + b"\n")

    ended = call()

    assert ended.code == 2
    assert f"{data}: " in ended.errors
    assert runs() == []


@pytest.mark.fault("params.yaml edited after the training")
def test_params_are_those_of_the_training(call: Call, reference: dict[str, Any]) -> None:
    """The run has the params that dvc.lock records, whatever params.yaml says by now."""
    changes.edit(Path(), lambda values: values["models"][MODEL].update(epochs=7))
    changes.edit(Path(), lambda values: values["train"].update(seed=8))

    assert call().code == 0

    (restored,) = runs()
    assert restored.data.params == reference["params"]


def test_a_model_that_has_left_params_yaml_is_left_alone(call: Call) -> None:
    """Its files and its part of dvc.lock remain, and no run is made of them."""
    add_twin()
    changes.edit(Path(), lambda values: values["models"].pop(TWIN))

    assert call().code == 0

    assert [run.info.run_name for run in runs()] == [MODEL]


def test_a_training_of_another_recipe_is_not_touched(call: Call) -> None:
    """A run that counts as running stays as it is if its recipe is another one."""
    experiment = experiments.connect(experiments.of_dataset("digits"))
    description = dataclasses.replace(begun_description(), recipe="3" * 64)
    mlflow.MlflowClient().create_run(experiment, tags=description.tags(), run_name=MODEL)
    (other,) = runs()

    assert call().code == 0

    assert len(runs()) == 2
    assert other.to_dictionary() in [run.to_dictionary() for run in runs()]


@pytest.mark.fault("sync while the recipe is being trained")
def test_a_training_at_work_is_not_touched(workspace: Path, call: Call) -> None:
    """It is refused by the number of its process, and its run stays as it is."""
    cut_in_mid_training()
    with Checkpoints(workspace / "work", MODEL, begun_description().recipe).alone():
        ended = call()

    assert ended.code == 1
    assert f"process {os.getpid()} is already training this" in ended.errors
    (left,) = runs()
    assert left.info.status == "RUNNING"


@pytest.mark.fault("two syncs at once")
def test_a_sync_waits_for_another(workspace: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says nothing of a training, and adds nothing twice; one that never ends is named with what finds it."""
    monkeypatch.setattr(mlflow_store, "LOCK_TIMEOUT_S", 0.2)
    with mlflow_store.alone(workspace / "work" / "sync.lock"):
        refused = call()
    monkeypatch.undo()
    monkeypatch.chdir(workspace)
    holding = threading.Event()

    def hold() -> None:
        with mlflow_store.alone(workspace / "work" / "sync.lock"):
            holding.set()
            time.sleep(0.5)

    other = threading.Thread(target=hold)
    other.start()
    holding.wait()
    waited = call("--optional")
    other.join()

    assert refused.code == 3
    assert "sync.lock: locked by another process; wait for it, or find it with `fuser " in refused.errors
    assert "training" not in refused.errors + waited.errors
    assert waited.code == 0


@pytest.mark.fault("a killed attempt is left with the status RUNNING next to the finished run")
def test_what_is_left_running_beside_a_finished_run_was_killed(call: Call) -> None:
    """Where a finished run has the result, one of the same recipe that still counts as running is marked as killed."""
    assert call().code == 0
    (finished,) = runs()
    cut_in_mid_training()

    assert call().code == 0

    assert {run.info.run_id: run.info.status for run in runs()}[finished.info.run_id] == "FINISHED"
    assert sorted(run.info.status for run in runs()) == ["FINISHED", "KILLED"]


@pytest.mark.fault("the store lost a figure, a table or scores of a finished run")
@pytest.mark.usefixtures("whole_runs")
def test_what_is_missing_from_a_finished_run_is_added(workspace: Path, store: Path, call: Call) -> None:
    """A figure or table that is not there is made again; changed scores are added with the figures that show them."""
    assert call().code == 0
    (run,) = runs()
    whole = content(run)
    for name in ("confusion.png", "history.csv"):
        next((store.parent / "mlruns").rglob(name)).unlink()
        ended = call()
        assert f"{MODEL}: added to MLflow" in ended.output
        assert content(runs()[0]) == whole

    metrics = workspace / f"reports/metrics/{MODEL}.json"
    scores = files.read_json(metrics)
    scores["splits"]["test"]["brier"] = 0.125
    files.write_json(metrics, scores)

    def evaluated_again(stages: dict[str, Any]) -> None:
        (entry,) = [out for out in stages[f"evaluate@{MODEL}"]["outs"] if out["path"].startswith("reports/metrics/")]
        entry["md5"] = files.md5(metrics)

    rewrite_lock(evaluated_again)
    assert "added to MLflow" in call().output
    (run,) = runs()
    assert run.data.metrics["test_brier"] == 0.125
    assert content(run)["artifacts"]["scores.json"] == files.md5(metrics)
    assert "complete in MLflow" in call().output


@pytest.mark.fault("mlflow.db lost rows of a finished run")
def test_rows_that_are_missing_from_a_finished_run_are_added(store: Path, call: Call) -> None:
    """Params, data, points of each epoch, and the latest of each, which decide what MLflow's charts can show."""
    assert call().code == 0
    api = mlflow.MlflowClient()

    def shown() -> tuple[Any, ...]:
        (run,) = runs()
        points = {name: {(p.step, p.value) for p in api.get_metric_history(run.info.run_id, name)} for name in POINTS}
        data = sorted((one.dataset.name, one.dataset.digest) for one in run.inputs.dataset_inputs)
        return run.data.params, run.data.metrics, points, data

    whole = shown()
    for table, condition in LOST_ROWS:
        with closing(sqlite3.connect(store)) as database, database:
            assert database.execute(f"DELETE FROM {table} WHERE {condition}").rowcount > 0  # noqa: S608
        assert shown() != whole

        content = json.loads(call("--json").output)
        assert content.keys() == programs.keys("sync")
        assert (content["exit_code"], content["models"]) == (0, {MODEL: "added to MLflow"}), table
        assert shown() == whole, table
        assert f"{MODEL}: complete in MLflow" in call().output, table


POINTS = ("loss", "accuracy", "val_loss", "val_accuracy", "epoch_seconds")
LOST_ROWS = (
    ("params", "1"),
    ("params", "key = 'optimizer.rho'"),
    ("metrics", "1"),
    ("metrics", "key = 'val_loss' AND step = 2"),
    ("latest_metrics", "1"),
    ("latest_metrics", "key = 'accuracy'"),
    ("inputs", "destination_type = 'RUN' AND source_type = 'DATASET'"),
)


def finish_another(**tags: str) -> str:
    """Finish another training of the model, with other checksums, and return its id."""
    description = dataclasses.replace(begun_description(), recipe="4" * 64)
    made = trained()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live, "END_TIMEOUT_S", 120.0)
        for name, value in tags.items():
            patch.setenv(name, value)
        with tracking.training_run(description, dataset.load(made.data)) as run:
            run.log_model(made.file)
    (finished,) = [run for run in runs() if run.data.tags["recipe"] == description.recipe]
    mlflow.MlflowClient().set_tag(finished.info.run_id, "model.md5", "5" * 32)
    return str(finished.info.run_id)


def states() -> dict[str, str | None]:
    """Return the runs' tags that tell the current from the superseded, by id."""
    return {run.info.run_id: run.data.tags.get("dvc.state") for run in runs()}


def test_the_current_run_is_that_of_the_files(call: Call) -> None:
    """A new training supersedes a run; where the files are the old ones again, so is the current run."""
    assert call().code == 0
    (old,) = states()
    new = finish_another()
    assert states() == {old: "superseded", new: "current"}

    ended = call()

    assert f"{MODEL}: complete in MLflow" in ended.output
    assert states() == {old: "current", new: "superseded"}


@pytest.mark.parametrize("same", [False, True], ids=["another result", "the same result"])
def test_runs_of_dvc_exp_are_neither_current_nor_superseded(call: Call, same: bool) -> None:
    """An experiment's run supersedes nothing and is not superseded; the current one is the workspace's, if older."""
    assert call().code == 0
    (own,) = states()
    experiment = finish_another(DVC_EXP_NAME="brave-owl")
    assert states() == {own: "current", experiment: None}
    if same:
        mlflow.MlflowClient().set_tag(experiment, "model.md5", trained().checksums()["model.md5"])

    ended = call()

    assert ended.code == 0
    assert states() == {own: "current", experiment: None}
    assert experiment not in ended.output


def test_an_experiment_that_was_applied_is_not_doubled(call: Call) -> None:
    """Where the files are those of an experiment's run, that one is shown, and the workspace's old one superseded."""
    assert call().code == 0
    (applied,) = states()
    mlflow.MlflowClient().set_tag(applied, "dvc.exp_name", "brave-owl")
    mlflow.MlflowClient().delete_tag(applied, "dvc.state")
    old = finish_another()

    ended = call()

    assert states() == {applied: None, old: "superseded"}
    assert applied in ended.output
    assert old not in ended.output


OTHER = "data/processed/stones.npz"


def preprocess_another(stages: dict[str, Any]) -> None:
    """Change dvc.lock as DVC does when another data set is preprocessed: its npz has the other's bytes here."""
    shutil.copy("data/processed/digits.npz", OTHER)
    stages["preprocess"] = json.loads(json.dumps(stages["preprocess"]).replace("digits", "stones"))
    data = files.read_json(Path("reports/data.json"))
    files.write_json(Path("reports/data.json"), data | {"dataset": "stones", "title": "Stones"})
    (entry,) = [out for out in stages["preprocess"]["outs"] if out["path"] == "reports/data.json"]
    entry["md5"] = files.md5(Path("reports/data.json"))


def train_on_another(stages: dict[str, Any]) -> None:
    """Change dvc.lock as DVC does when the model is then trained and evaluated on it."""
    for stage in ("train", "evaluate"):
        stages[f"{stage}@{MODEL}"] = json.loads(json.dumps(stages[f"{stage}@{MODEL}"]).replace("digits", "stones"))


@pytest.mark.fault("another data set is chosen, and the first one again")
def test_each_data_set_has_its_current_runs(call: Call) -> None:
    """A model on another data set is a run of that one's experiment; the first one's stays current, and is again."""
    assert call().code == 0
    (first,) = states()
    kept = {path: path.read_bytes() for path in (Path("dvc.lock"), *map(Path, FILES))}
    rewrite_lock(preprocess_another)
    rewrite_lock(train_on_another)
    changes.edit(Path(), lambda values: values["data"].update(dataset="stones"))

    switched = call()

    assert (switched.code, switched.errors) == (0, "")
    assert "not current" not in switched.output
    (second,) = runs(name="stones")
    assert (second.data.tags["dvc.state"], second.data.params["data.dataset"]) == ("current", "stones")
    assert sorted(one.dataset.name for one in second.inputs.dataset_inputs) == ["stones-test", "stones-train"]
    assert shown(switched.output) == [second.info.run_id]
    experiment = mlflow.MlflowClient().get_experiment(second.info.experiment_id)
    assert experiment.tags["mlflow.note.content"].startswith("Models trained on Stones by ")
    assert states() == {first: "current"}
    for path, content in kept.items():
        path.write_bytes(content)
    again = call()
    assert f"{MODEL}: complete in MLflow" in again.output
    assert "trained on digits; params.yaml names stones" in again.output
    assert shown(again.output) == [first]
    assert (states(), runs(name="stones")[0].data.tags["dvc.state"]) == ({first: "current"}, "current")


@pytest.mark.fault("`dvc repro` ended after another data set was preprocessed")
def test_a_model_of_another_data_set_is_out_of_date(call: Call) -> None:
    """It is left for `make repro`; its run is not given to the other data set, and stays the current one of its own."""
    add_twin()
    assert call().code == 0
    before = states()
    rewrite_lock(preprocess_another)

    half = call()

    assert (half.code, half.errors) == (0, "")
    assert half.output.startswith(f"{MODEL}: out of date: ")
    assert (states(), runs(name="stones")) == (before, [])
    assert mlflow.MlflowClient().get_experiment_by_name("stones") is None
    rewrite_lock(train_on_another)
    assert f"{MODEL}: added to MLflow" in call().output
    assert [run.info.run_name for run in runs(name="stones")] == [MODEL]
    assert states() == before


@pytest.mark.fault("a model leaves params.yaml after it was trained on two data sets")
def test_only_runs_on_the_data_set_of_dvc_lock_are_retired(call: Call) -> None:
    """A model that is removed is not current any more on this data set; what it was on another one stays."""
    add_twin()
    assert call().code == 0
    before = states()
    rewrite_lock(preprocess_another)
    rewrite_lock(train_on_another)
    assert call().code == 0
    changes.edit(Path(), lambda values: values["models"].update({"next": values["models"].pop(MODEL)}))

    ended = call()

    assert f"{MODEL}: its run is not current any more" in ended.output
    assert runs(name="stones")[0].data.tags["dvc.state"] == "removed"
    assert states() == before


@pytest.mark.fault("the overfitting rule is changed after the evaluation")
def test_the_overfitting_rule_is_that_of_the_report(call: Call) -> None:
    """The analysis in MLflow is by params.yaml until a report is made, and then by the rule of that report."""
    changes.edit(Path(), lambda values: values["overfitting"].update(window=1, slight=1.0, strong=1.0))
    assert call().code == 0
    verdict = runs()[0].data.tags["overfitting"]
    assert verdict in ("grows overconfident", "overfits")
    rule = files.read_yaml(Path("params.yaml"))["overfitting"]
    report = {"cmd": "report", "params": {"params.yaml": {"overfitting": rule | {"window": 3}}}, "outs": []}
    rewrite_lock(lambda stages: stages.update(report=report))

    ended = call()

    assert f"{MODEL}: added to MLflow" in ended.output
    assert runs()[0].data.tags["overfitting"] == "cannot be judged"
    assert f"{MODEL}: complete in MLflow" in call().output


LOSSES: dict[str, Callable[[Path], object]] = {
    "all artifacts": shutil.rmtree,
    "all logged models": lambda artifacts: shutil.rmtree(artifacts / "models"),
    "the model file": lambda artifacts: next(artifacts.rglob("model.keras")).unlink(),
    "the model's description": lambda artifacts: next(artifacts.rglob("MLmodel")).unlink(),
    "bytes of the model file": lambda artifacts: next(artifacts.rglob("model.keras")).write_bytes(b"damaged"),
}


@pytest.mark.fault("mlruns/ deleted or damaged, and mlflow.db kept")
@pytest.mark.usefixtures("whole_runs")
def test_a_logged_model_that_lost_its_files_gets_them_back(workspace: Path, store: Path, call: Call) -> None:
    """Whatever the store has lost or damaged is put back into the same run, equal in all; then it is complete."""
    assert call().code == 0
    (run,) = runs()
    whole = content(run)
    for name, lose in LOSSES.items():
        lose(store.parent / "mlruns")

        ended = call()

        assert (ended.code, ended.errors) == (0, ""), name
        assert f"{MODEL}: added to MLflow" in ended.output, name
        (same,) = runs()
        assert same.info.run_id == run.info.run_id
        assert content(same) == whole, name
        (file,) = (store.parent / "mlruns").rglob("model.keras")
        assert file.read_bytes() == (workspace / f"models/{MODEL}.keras").read_bytes()
        before = everything(store)
        assert f"{MODEL}: complete in MLflow" in call().output, name
        assert everything(store) == before, name


@pytest.mark.fault("a logged model deleted in MLflow's pages")
def test_a_logged_model_that_was_deleted_is_logged_again(call: Call) -> None:
    """The run gets another one with the model's file, once."""
    assert call().code == 0
    (run,) = runs()
    api, (output,) = mlflow.MlflowClient(), run.outputs.model_outputs
    api.delete_logged_model(output.model_id)

    assert f"{MODEL}: added to MLflow" in call().output

    assert f"{MODEL}: complete in MLflow" in call().output
    (logged,) = api.search_logged_models([run.info.experiment_id])
    assert logged.model_id in {one.model_id for one in runs()[0].outputs.model_outputs} - {output.model_id}


@pytest.mark.fault("a run deleted in MLflow's pages")
def test_a_run_that_was_deleted_is_added_again(call: Call) -> None:
    """Sync adds the model's run anew, once, as the current one."""
    assert call().code == 0
    (deleted,) = states()
    mlflow.MlflowClient().delete_run(deleted)

    assert f"{MODEL}: added to MLflow" in call().output

    assert f"{MODEL}: complete in MLflow" in call().output
    assert list(states().values()) == ["current"]
    assert deleted not in states()


@pytest.mark.fault("the experiment deleted in MLflow's pages")
def test_an_experiment_that_was_deleted_is_named_with_the_way_out(call: Call) -> None:
    """Exit code 3, one line with a command that restores it, from any directory; after that, nothing is missing."""
    assert call().code == 0
    api = mlflow.MlflowClient()
    api.delete_experiment(api.get_experiment_by_name("digits").experiment_id)

    ended = call()

    assert ended.code == 3
    assert ended.errors.startswith("error: MLflow's experiment 'digits' was deleted; `")
    assert ended.errors.count("\n") == 1
    bare = {"PATH": "/usr/bin:/bin"}
    subprocess.run(ended.errors.split("`")[1], shell=True, cwd="/", check=True, env=bare)  # noqa: S602
    assert f"{MODEL}: complete in MLflow" in call().output


@pytest.mark.fault("a model leaves params.yaml, or dvc.lock, after its training")
@pytest.mark.parametrize("left", ["params.yaml", "dvc.lock"])
def test_the_run_of_a_model_that_has_left_is_not_current(call: Call, left: str) -> None:
    """It is said once, the saved view shows the others alone, and a model that comes back is current again."""
    add_twin()
    assert call().code == 0
    before = {name: Path(name).read_text() for name in ("params.yaml", "dvc.lock")}
    if left == "params.yaml":
        changes.edit(Path(), lambda values: values["models"].pop(TWIN))
    else:
        rewrite_lock(lambda stages: [stages.pop(f"{stage}@{TWIN}") for stage in ("train", "evaluate")])

    first, second = call(), call()

    assert f"{TWIN}: its run is not current any more" in first.output
    assert "not current any more" not in second.output
    found = {run.info.run_name: run for run in runs()}
    assert found[MODEL].data.tags["dvc.state"] == "current"
    assert found[TWIN].data.tags["dvc.state"] == ("removed" if left == "params.yaml" else "superseded")
    for ended in (first, second):
        assert shown(ended.output) == [found[MODEL].info.run_id]
        assert "viewStateShareKey" in ended.output
    for name, text in before.items():
        Path(name).write_text(text)
    assert sorted(shown(call().output)) == sorted(run.info.run_id for run in found.values())


@pytest.mark.fault("MLflow away, or a result edited, at the end of `make repro`")
@pytest.mark.parametrize("fault", ["store", "file"])
def test_optional_sync_fails_nothing(call: Call, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """With --optional the exit code is 0, and one line says what went wrong."""
    if fault == "store":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://somebody:hunter2@127.0.0.1:9")
    else:
        Path(FILES[0]).unlink()

    ended = call("--optional")

    assert ended.code == 0
    assert ended.errors.count("\n") == 1
    assert ended.errors.startswith("notice: http://***@127.0.0.1:9: " if fault == "store" else f"error: {MODEL}: ")


def test_make_repro_ends_with_what_sync_does(repository: Path, tmp_path: Path) -> None:
    """After files come back from DVC's cache and nothing is trained, the tags call the run of these files current."""
    clone = tmp_path / "clone"
    uri = without_store(repository, clone)
    small.copy(clone, "Makefile")
    # As make sees it, the environment is complete; what is in use is found behind it, on PATH.
    (clone / ".venv").mkdir(exist_ok=True)
    for name in ("requirements.lock", ".venv/complete", ".dvc/scm"):
        (clone / name).touch()
    (clone / "dvc.yaml").write_text("stages:\n  nothing:\n    cmd: 'true'\n")

    printed = forks.run(clone, "make", "repro")

    assert f"{MODEL}: added to MLflow" in printed
    (run,) = runs(uri)
    mlflow.MlflowClient(uri).set_tag(run.info.run_id, "dvc.state", "superseded")
    assert f"{MODEL}: complete in MLflow" in forks.run(clone, "make", "repro")
    assert runs(uri)[0].data.tags["dvc.state"] == "current"
    # Nor does it need MLflow.
    forks.run(clone, "make", "repro", MLFLOW_TRACKING_URI="http://127.0.0.1:9")


def shown(output: str) -> list[str]:
    """Return the ids of the runs that the printed address shows."""
    address = urlsplit(output.splitlines()[-1].removeprefix("current runs: "))
    assert f"{address.scheme}://{address.netloc}{address.path}" == "http://127.0.0.1:5000/"
    path, query = address.fragment.split("?")
    _, _, experiment, page = path.split("/")
    assert page == "runs"
    asked, api = parse_qs(query), mlflow.MlflowClient()
    if "searchFilter" in asked:
        (search,) = asked["searchFilter"]
    else:
        saved = api.get_experiment(experiment).tags[f"mlflow.sharedViewState.{asked['viewStateShareKey'][0]}"]
        search = json.loads(json.loads(saved)["state"])["searchFilter"]
    return [run.info.run_id for run in api.search_runs([experiment], search)]


def test_the_address_shows_the_current_runs_alone(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the run of each model whose files are here: by the tag, or by ids where the tag would show others.

    Of a store that nobody serves there is no address.
    """
    with monkeypatch.context() as unserved:
        unserved.delenv("MLFLOW_PORT")
        assert call().output.endswith("\n`make ui` shows the current runs\n")
    finish_another(DVC_EXP_NAME="brave-owl")
    add_twin()
    by_tag = call().output
    current = {run.info.run_name: run.info.run_id for run in runs() if run.data.tags.get("dvc.state") == "current"}
    assert sorted(shown(by_tag)) == sorted(current.values())
    # As where the files are those of an experiment's run.
    mlflow.MlflowClient().set_tag(current[TWIN], "dvc.exp_name", "brave-owl")
    mlflow.MlflowClient().delete_tag(current[TWIN], "dvc.state")
    by_id = call().output

    assert sorted(shown(by_id)) == sorted(current.values())
    assert "viewStateShareKey" in by_tag
    assert "viewStateShareKey" not in by_id


@pytest.mark.fault("all models leave params.yaml's pipeline: no dvc.lock, and no store")
def test_where_nothing_is_trained_that_is_said(
    call: Call, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without dvc.lock, sync ends well, names the command that trains, and writes and creates nothing."""
    before = everything(store)
    Path("dvc.lock").unlink()

    ended = call()

    assert (ended.code, ended.errors) == (0, "")
    assert ended.output.startswith(f"{MODEL}: out of date: ")
    assert ended.output.endswith("run `make repro`\n")
    assert everything(store) == before
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none/mlflow.db")
    assert call().code == 0
    assert not (tmp_path / "none").exists()


@pytest.mark.fault("`dvc repro` ended between training and evaluation")
def test_scores_of_an_older_model_are_not_given_to_a_newer_one(call: Call) -> None:
    """A model that was trained again and not yet evaluated is left for `make repro`."""
    model = Path(f"models/{MODEL}.keras")
    model.write_bytes(model.read_bytes() + b"\n")

    def trained_again(stages: dict[str, Any]) -> None:
        (entry,) = [out for out in stages[f"train@{MODEL}"]["outs"] if out["path"] == str(model)]
        entry["md5"] = files.md5(model)

    rewrite_lock(trained_again)
    ended = call()

    assert ended.code == 0
    assert "run `make repro`" in ended.output
    assert runs() == []


@pytest.mark.fault("dvc.lock was edited by hand")
def test_a_lock_that_dvc_did_not_write_is_refused(call: Call) -> None:
    """Exit code 2 and one line that names the file and what is missing there."""
    rewrite_lock(lambda stages: stages["preprocess"].pop("params"))

    ended = call()

    assert ended.code == 2
    assert ended.errors == f"error: dvc.lock: {MODEL}: 'params' is missing; `dvc repro` writes it again\n"


@pytest.mark.fault("tracking server away when sync runs")
def test_a_store_that_cannot_be_reached_is_reported(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 3, one line with the address, and no password."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://somebody:hunter2@127.0.0.1:9")

    ended = call()

    assert ended.code == 3
    assert ended.errors.startswith("error: http://***@127.0.0.1:9: ")
    assert "Connection refused" in ended.errors
    assert ended.errors.count("\n") == 1
    assert "hunter2" not in ended.errors


@pytest.mark.fault("mlflow.db broken when sync runs")
def test_a_store_that_is_broken_is_reported(call: Call, store: Path) -> None:
    """Exit code 3, one line with the command to run; what is there is left."""
    store.write_text("broken")

    ended = call()

    assert ended.code == 3
    assert f"`mv {store}" in ended.errors
    assert ended.errors.count("\n") == 1
    assert store.read_text() == "broken"


@pytest.mark.slow
@pytest.mark.fault("`dvc repro` twice by force, other params, and back through the run cache")
def test_one_run_of_each_result_is_current_through_real_repros(repository: Path, tmp_path: Path) -> None:
    """Forced again: the newer run. With another seed: that one. With the old params, from DVC's cache: the old one."""
    clone = tmp_path / "clone"
    # Its artifacts are addressed in the repository that it was copied from.
    uri = without_store(repository, clone)

    def current() -> tuple[str, int]:
        (found,) = [run.info.run_id for run in runs(uri) if run.data.tags.get("dvc.state") == "current"]
        return found, len(runs(uri))

    small.run(clone, "dvc", "repro", "--force", "evaluate")
    first, count = current()
    assert count == 1
    small.run(clone, "dvc", "repro", "--force", "evaluate")
    second, count = current()
    assert (second != first, count) == (True, 2)
    old_params = (clone / "params.yaml").read_text()
    (clone / "params.yaml").write_text(old_params.replace("\n  seed: 0\n", "\n  seed: 1\n"))
    small.run(clone, "dvc", "repro", "evaluate")
    third, count = current()
    assert (third not in (first, second), count) == (True, 3)

    (clone / "params.yaml").write_text(old_params)
    assert "is cached" in small.run(clone, "dvc", "repro", "evaluate")
    printed = small.run(clone, sys.executable, "-m", "pipeline.sync")

    assert f"{MODEL}: complete in MLflow" in printed
    assert current() == (second, 3)
    assert sorted(run.data.tags["dvc.state"] for run in runs(uri)) == ["current", "superseded", "superseded"]
