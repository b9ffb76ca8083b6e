"""What MLflow has after training and evaluation, and what happens without it."""

import contextlib
import dataclasses
import hashlib
import json
import re
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from urllib.parse import unquote_plus

import mlflow
import numpy as np
import pandas as pd
import pytest
from packaging.requirements import Requirement

from pipeline import files, tracking
from pipeline.analysis import metrics
from pipeline.data import dataset
from pipeline.data.dataset import Dataset, Split
from pipeline.data.formats import npz
from pipeline.errors import UnavailableError
from pipeline.params import OverfittingRule, Params
from pipeline.tracking import experiments, live, logged_model, outbox
from pipeline.tracking import runs as finished_runs
from pipeline.tracking import store as mlflow_store
from pipeline.tracking.artifacts import EvaluationArtifacts
from pipeline.tracking.description import RunDescription
from pipeline.training import model_file, networks
from tests.support import made_sets, small
from tests.support.processes import wait_until

pytestmark = pytest.mark.usefixtures("store")
SCORES = ("loss", "accuracy", "val_loss", "val_accuracy")
ROWS = [
    {"epoch": e, **dict(zip(SCORES, (1 / e, 1 - 0.1 / e, 2 / e, 1 - 0.2 / e), strict=True)), "seconds": 3.0 + e}
    for e in range(1, 5)
]
MD5 = "d" * 32
RULE = OverfittingRule(window=1, onset=1.1, slight=1.05, strong=1.25, tolerance=0.002)


@pytest.fixture
def _short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "START_TIMEOUT_S", 1.0)
    monkeypatch.setattr(live, "END_TIMEOUT_S", 1.0)
    monkeypatch.setattr(live, "INTERRUPT_TIMEOUT_S", 0.5)
    monkeypatch.setattr(outbox, "RETRY_S", 0.1)


class Hang:
    """What can stand for any function: a call of it returns when the test has ended."""

    def __init__(self) -> None:
        self.reached, self.released = threading.Event(), threading.Event()

    def __call__(self, *_: object) -> None:
        """Hang."""
        self.reached.set()
        self.released.wait(60)


@pytest.fixture
def hang(store: Path) -> Iterator[Hang]:  # noqa: ARG001 - to be released before the store is left
    """Return a function that hangs until the test has ended."""
    before, hanging = set(threading.enumerate()), Hang()
    yield hanging
    hanging.released.set()
    # What went on from here in a later test would find that one's store.
    for thread in set(threading.enumerate()) - before:
        thread.join(60)


@pytest.fixture
def description(values: Params) -> RunDescription:
    """Return the description of a run."""
    return described(values, "mlp_rmsprop")


def described(values: Params, name: str) -> RunDescription:
    """Return the description about a model of the project."""
    data = {"dataset": "mnist", "validation": "test", "split_seed": 0}
    return RunDescription(name, "r" * 64, MD5, values.models[name], values.train, data)


@pytest.fixture(scope="module")
def saved(values: Params, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model file that stays as it is."""
    network = networks.build(values.models["mlp_rmsprop"].network, (28, 28), 10, seed=0, precision="float32")
    path = tmp_path_factory.mktemp("saved") / "m.keras"
    model_file.save(path, network, {"recipe": "r"})
    return path


@pytest.fixture
def model(saved: Path, tmp_path: Path) -> Path:
    """Return a model file of the test's own."""
    return Path(shutil.copy(saved, tmp_path))


def track(description: RunDescription, data: Dataset, model: Path) -> None:
    """Log a whole training, epoch by epoch."""
    with tracking.training_run(description, data) as run:
        for epoch in range(1, len(ROWS) + 1):
            run.log_epochs(ROWS[:epoch])
        run.log_model(model)


@pytest.fixture
def tracked(store: Path, description: RunDescription, digits: Dataset, model: Path) -> Any:  # noqa: ARG001
    """Return the run of a whole training in a store that has no other."""
    track(description, digits, model)
    (run,) = runs()
    return run


def evaluate(model: Path, accuracy: float = 0.9, *, required: bool = False, rule: OverfittingRule = RULE) -> None:
    """Log an evaluation of the model."""
    score = dict.fromkeys(metrics.SCORES, 0.5) | {"accuracy": accuracy, "count": 10_000}
    content = {"splits": {"train": score, "test": score}, "parameters": 1234, "classes": list("0123456789")}
    files.write_json(model.with_suffix(".json"), content)
    files.write_csv(model.with_suffix(".csv"), pd.DataFrame(ROWS))
    npz.write(model.with_suffix(".npz"), {"probabilities": np.eye(10), "labels": np.array([*range(9), 0])})
    paths = model.with_suffix(".json"), model.with_suffix(".csv"), None
    dataset.save(model.with_name("data.npz"), small.digits())
    of_test = model.with_suffix(".npz"), model.with_name("data.npz")
    shown = EvaluationArtifacts("mlp_rmsprop", *paths, rule, *of_test)
    tracking.log_evaluation("mnist", shown, {"model.md5": files.md5(model), "data.md5": MD5}, required=required)


def runs(status: str | None = None) -> list[Any]:
    """Return the runs of the experiment, the newest first."""
    found = mlflow.MlflowClient().search_runs(
        [experiments.connect(experiments.of_dataset("mnist"))], order_by=["attributes.start_time DESC"]
    )
    return [run for run in found if status in (None, run.info.status)]


def test_a_run_holds_the_whole_training(tracked: Any, digits: Dataset, model: Path) -> None:
    """Params, four epochs under their numbers, tags, data and checksums are in one finished run of the model's name."""
    assert (tracked.info.run_name, tracked.info.status) == ("mlp_rmsprop", "FINISHED")
    assert tracked.data.params["optimizer.epsilon"] == "1e-08"
    assert tracked.data.params["train.batch_size"] == "128"
    history = mlflow.MlflowClient().get_metric_history(tracked.info.run_id, "val_loss")
    assert [(point.step, point.value) for point in history] == [(row["epoch"], row["val_loss"]) for row in ROWS]
    expected = {"model.md5": files.md5(model), "data.md5": MD5, "recipe": "r" * 64, "seed": "0", "model": "mlp_rmsprop"}
    assert expected.items() <= tracked.data.tags.items()
    names = {(source.dataset.name, source.dataset.digest) for source in tracked.inputs.dataset_inputs}
    assert names == {("mnist-train", md5_of(digits.train)), ("mnist-test", md5_of(digits.test))}


def md5_of(split: Split) -> str:
    """Return the digest by which MLflow's pages tell a split from others: of its images, then its labels."""
    return hashlib.md5(split.images.tobytes() + split.labels.tobytes(), usedforsecurity=False).hexdigest()


@pytest.mark.parametrize("recorded", [True, False])
def test_the_data_of_a_run_say_where_they_came_from(
    description: RunDescription,
    digits: Dataset,
    model: Path,
    recorded: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The source is the fetched files and the arrays with their md5; where dvc.lock has neither, the set's file."""
    monkeypatch.chdir(tmp_path)
    command = "x --set data/sets/mnist.yaml --input data/raw/mnist --output data/processed/mnist.npz"
    stage = {
        "cmd": command,
        "deps": [{"path": "data/raw/mnist", "md5": "f.dir"}],
        "outs": [{"path": "d.npz", "md5": MD5}],
    }
    files.write_yaml(Path("dvc.lock"), {"stages": {"preprocess": stage if recorded else {}}})
    track(description, digits, model)

    (run,) = runs()
    (source,) = {one.dataset.source for one in run.inputs.dataset_inputs}
    files_and_arrays = {"uri": "data/raw/mnist", "md5": "f.dir", "set": "data/sets/mnist.yaml"}
    files_and_arrays |= {"arrays": "data/processed/mnist.npz", "arrays_md5": MD5}
    assert json.loads(source) == (files_and_arrays if recorded else {"uri": files_and_arrays["set"], "arrays_md5": MD5})


def test_the_logged_model_answers_as_the_file(tracked: Any, digits: Dataset, model: Path) -> None:
    """The model in MLflow takes raw images, has pinned requirements, needs no pickle and answers as the file does."""
    uri = f"models:/{tracked.outputs.model_outputs[0].model_id}"
    info = mlflow.models.get_model_info(uri)
    images = digits.test.images[:10]
    answers = mlflow.pyfunc.load_model(uri).predict(images)
    assert np.array_equal(answers, model_file.load(model).predict(images, verbose=0))
    assert info.signature.inputs.inputs[0].shape == (-1, 28, 28)
    folder = Path(mlflow.artifacts.download_artifacts(uri))
    assert (folder / logged_model.LOGGED_FILE).read_bytes() == model.read_bytes()
    logged = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    assert logged - {"registered_model_meta"} == logged_model.FILES
    needed = [Requirement(line) for line in (folder / "requirements.txt").read_text().splitlines()]
    assert all(str(one.specifier).startswith("==") for one in needed)
    # On each system, the build of TensorFlow that there is for it.
    for system, machine in (("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"), ("win32", "AMD64")):
        there = {"sys_platform": system, "platform_machine": machine}
        named = [one.name for one in needed if one.marker is None or one.marker.evaluate(there)]
        build = "tensorflow-cpu" if (system, machine) == ("linux", "x86_64") else "tensorflow"
        assert sorted(named) == sorted(["mlflow", "keras", "numpy", build])
    assert not [path for path in folder.rglob("*") if "pickle" in path.name or path.suffix == ".pkl"]


def test_the_logged_model_says_what_it_takes(tracked: Any) -> None:
    """Its description and its files have the range of its input, and an example: one image with a bright stroke."""
    logged = mlflow.get_logged_model(tracked.outputs.model_outputs[0].model_id)
    folder = Path(mlflow.artifacts.download_artifacts(f"models:/{logged.model_id}"))
    example = json.loads((folder / "serving_input_example.json").read_text())["inputs"]
    assert "from 0 (black) to 255" in logged.tags["mlflow.note.content"]
    assert mlflow.models.Model.load(folder).metadata == {"input": logged_model.INPUT}
    assert np.shape(example) == (1, 28, 28)
    assert set(np.ravel(example)) == {0, 255}


def test_models_that_differ_in_their_optimizer_have_comparable_params(values: Params) -> None:
    """The same keys for every model, with other values only where the params differ: the compare view lines up."""
    first, second = (described(values, name).params() for name in ("mlp_rmsprop", "mlp_adadelta"))

    different = {key for key in first.keys() | second.keys() if first.get(key) != second.get(key)}

    assert different == {"optimizer.name", "optimizer.learning_rate", "optimizer.rho", "optimizer.epsilon_in_root"}


def test_an_evaluation_joins_the_run_of_its_model(tracked: Any, digits: Dataset, model: Path) -> None:
    """Scores and figures go into the run with these checksums and create no second run; the run stays as it ended."""
    evaluate(model)

    (run,) = runs()
    assert run.data.metrics["test_accuracy"] == 0.9
    assert run.info.end_time == tracked.info.end_time
    artifacts = [artifact.path for artifact in mlflow.MlflowClient().list_artifacts(run.info.run_id)]
    pictures = {"confusion.png", "curves.png", "mistakes.png", "samples.png"}
    assert {*artifacts} == {"card.md", "history.csv", "mistakes.json", "scores.json", *pictures}
    table = mlflow.MlflowClient().load_table(run.info.experiment_id, "mistakes.json")
    expected = {"image": 9, "true_class": 0, "answer": 9, "probability": 1.0}
    assert table.to_dict("records") == [expected]
    logged = mlflow.get_logged_model(run.outputs.model_outputs[0].model_id)
    assert logged.tags["mlflow.note.content"] == f"{run.data.tags['mlflow.note.content']}\n\n{logged_model.INPUT}"
    scores = {metric.key: metric for metric in logged.metrics}
    assert (scores["test_accuracy"].value, scores["test_accuracy"].dataset_name) == (0.9, "mnist-test")
    measured_on = scores["train_loss"].dataset_name, scores["train_loss"].dataset_digest
    assert measured_on == ("mnist-train", md5_of(digits.train))
    assert scores["loss_gap"].dataset_name is None


def test_an_evaluation_repeated_adds_nothing(tracked: Any, model: Path) -> None:
    """The same scores again leave one point per metric."""
    evaluate(model)
    evaluate(model)

    history = mlflow.MlflowClient().get_metric_history(tracked.info.run_id, "test_accuracy")
    assert len(history) == 1


@pytest.mark.usefixtures("tracked")
def test_the_overfitting_analysis_can_be_searched_for(model: Path) -> None:
    """Runs are found by the verdict and sorted by the figures; another rule changes them without a second run."""
    evaluate(model)
    (falling,) = runs()
    assert falling.data.metrics["min_val_loss"] == min(row["val_loss"] for row in ROWS)
    assert (falling.data.metrics["min_val_loss_epoch"], falling.data.metrics["val_loss_rise"]) == (4, 1)
    assert (falling.data.metrics["parameters"], falling.data.tags["overfitting"]) == (1234, "no sign")

    evaluate(model, rule=RULE.model_copy(update={"slight": 1.0, "strong": 1.0}))

    found = mlflow.MlflowClient().search_runs(
        [falling.info.experiment_id],
        "tags.overfitting = 'grows overconfident' and metrics.val_loss_rise >= 1",
        order_by=["metrics.val_loss_rise DESC"],
    )
    assert [run.info.run_id for run in found] == [falling.info.run_id]


@pytest.mark.usefixtures("tracked")
def test_a_figure_that_another_rule_takes_away_is_none(model: Path) -> None:
    """Where a longer window leaves no rise to judge, the earlier one becomes NaN, once."""
    evaluate(model)

    for _ in range(2):
        evaluate(model, rule=RULE.model_copy(update={"window": 4}))

    (run,) = runs()
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "val_loss_rise")
    assert [str(point.value) for point in history] == ["1.0", "nan"]
    assert np.isnan(run.data.metrics["val_loss_rise"])
    assert run.data.tags["overfitting"] == "cannot be judged"


def test_colour_images_are_inputs_and_signature(values: Params, tmp_path: Path) -> None:
    """Of images (n, 32, 32, 3) the run has a data set per split, and its model takes such images and answers them."""
    made = made_sets.arrays()
    train, test = (Split(made[f"{part}_images"], made[f"{part}_labels"]) for part in ("train", "test"))
    data = {"dataset": "stones", "validation": "test", "split_seed": 0}
    block = values.models["cnn"]
    network = networks.build(block.network, (32, 32, 3), len(made_sets.CLASSES), seed=0, precision="float32")
    model_file.save(tmp_path / "m.keras", network, {"recipe": "r"})
    described = RunDescription("cnn", "r" * 64, MD5, block, values.train, data)

    track(described, Dataset(train, None, test, made_sets.CLASSES), tmp_path / "m.keras")

    experiment = experiments.find("stones")
    (run,) = mlflow.MlflowClient().search_runs([experiment])
    sources = {one.dataset.name: one.dataset for one in run.inputs.dataset_inputs}
    assert sources.keys() == {"stones-train", "stones-test"}
    assert "[-1, 32, 32, 3]" in sources["stones-train"].schema
    uri = f"models:/{run.outputs.model_outputs[0].model_id}"
    signature = mlflow.models.get_model_info(uri).signature
    assert (signature.inputs.inputs[0].shape, signature.outputs.inputs[0].shape) == ((-1, 32, 32, 3), (-1, 7))
    answers = mlflow.pyfunc.load_model(uri).predict(test.images[:5])
    assert np.array_equal(answers, network.predict(test.images[:5], verbose=0))


@pytest.mark.parametrize("asked", ["true", "false", None])
def test_system_metrics_are_logged_where_they_are_asked_for(
    description: RunDescription, digits: Dataset, monkeypatch: pytest.MonkeyPatch, asked: str | None
) -> None:
    """MLflow's own variable decides; the load of the machine is then in the run, whose end ends the thread."""
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.2")
    if asked is None:
        monkeypatch.delenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", raising=False)
    else:
        monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", asked)

    with tracking.training_run(description, digits) as run:
        assert run.missing() == ""
        time.sleep(2)

    (stored,) = runs("FINISHED")
    found = [name for name in stored.data.metrics if name.startswith("system/")]
    assert ("system/cpu_utilization_percentage" in found) is (asked == "true")
    assert bool(found) is (asked == "true")
    assert "SystemMetricsMonitor" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.fault("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING has an impossible value, or the monitor cannot start")
@pytest.mark.parametrize("fault", ["value", "monitor"])
def test_without_system_metrics_a_run_is_complete(
    description: RunDescription,
    digits: Dataset,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fault: str,
) -> None:
    """One warning says why there are none, and the run is finished with all else."""
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "perhaps" if fault == "value" else "true")
    monitor = "mlflow.system_metrics.system_metrics_monitor.SystemMetricsMonitor"
    monkeypatch.setattr(monitor, lambda *_, **_named: 1 / 0)

    track(description, digits, model)

    (run,) = runs("FINISHED")
    assert run.data.metrics["loss"] == ROWS[-1]["loss"]
    warning = capsys.readouterr().err
    assert warning.startswith("warning: no system metrics (")
    assert warning.count("\n") == 1


@pytest.mark.fault("tracking server hangs while system metrics are logged")
@pytest.mark.usefixtures("_short_timeouts")
def test_an_end_does_not_wait_for_system_metrics(
    description: RunDescription, digits: Dataset, hang: Hang, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the monitor takes to end, the training does not take longer than for anything else."""
    monkeypatch.setattr("pipeline.tracking.live._start_monitor", lambda _: Mock(finish=hang))

    started = time.monotonic()
    with tracking.training_run(description, digits) as run:
        run.log_epochs(ROWS)
        wait_until(lambda: not run.missing())
        monkeypatch.setattr(live, "END_TIMEOUT_S", 3.0)
        monkeypatch.setattr(live, "BUSY_TIMEOUT_S", 3.0)

    assert hang.reached.is_set()
    assert time.monotonic() - started < 20


@pytest.mark.fault("an outage between the parts of an evaluation")
@pytest.mark.usefixtures("tracked")
def test_an_evaluation_that_was_cut_short_is_not_taken_for_whole(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where new scores came without the figures that show them, both are added the next time."""
    evaluate(model)
    before = {path: path.read_bytes() for path in (model.parent / "mlruns").rglob("scores.json")}
    with monkeypatch.context() as outage:
        outage.setattr(mlflow.MlflowClient, "log_artifact", lambda *_: 1 / 0)
        outage.setattr(live, "END_TIMEOUT_S", 3.0)
        evaluate(model, accuracy=0.8)

    evaluate(model, accuracy=0.8)

    (table,) = before
    assert table.read_bytes() != before[table]
    assert runs()[0].data.metrics["test_accuracy"] == 0.8


def test_what_a_run_has_from_its_start_stays(description: RunDescription, digits: Dataset, model: Path) -> None:
    """A run that is completed keeps its params, also where one that changes no result differs by now."""
    left = live.TrainingRun(description, digits)
    assert left.leave(60) == ""
    later = dataclasses.replace(description, data=dict(description.data) | {"split_seed": 7})

    run = finished_runs.complete(later, digits, ROWS, model)

    assert run.data.params["data.split_seed"] == "0"
    assert run.info.status == "FINISHED"


def test_an_evaluation_without_its_run_warns(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where MLflow has no run of the model, one line says so and what makes it, and nothing fails, if nothing must."""
    evaluate(model)

    warning = capsys.readouterr().err
    assert warning.startswith("warning: mlp_rmsprop: MLflow is missing the run of this model")
    assert "`make sync` adds it afterwards" in warning
    assert warning.count("\n") == 1
    assert runs() == []
    with pytest.raises(UnavailableError, match="missing the run"):
        evaluate(model, required=True)


@pytest.mark.fault("tracking server away when a model is evaluated")
@pytest.mark.usefixtures("_short_timeouts")
def test_an_evaluation_does_not_depend_on_the_store(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ends with one warning, or with exit code 3 where tracking is required."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://somebody:hunter2@127.0.0.1:9")

    evaluate(model)

    warning = capsys.readouterr().err
    assert warning.startswith("warning: mlp_rmsprop: MLflow is missing the scores (")
    assert warning.count("\n") == 1
    assert "hunter2" not in warning
    with pytest.raises(UnavailableError, match="missing the scores"):
        evaluate(model, required=True)


@pytest.mark.fault("the experiment deleted in MLflow's pages")
def test_a_training_into_a_deleted_experiment_ends_at_once_with_the_way_out(
    description: RunDescription, digits: Dataset, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It does not wait for MLflow; one warning names the experiment, the command that restores it, and then sync."""
    experiment = experiments.connect(experiments.of_dataset("mnist"))
    mlflow.MlflowClient().delete_experiment(experiment)
    started = time.monotonic()

    track(description, digits, model)
    evaluate(model)

    assert time.monotonic() - started < live.END_TIMEOUT_S
    warnings = capsys.readouterr().err.splitlines()
    assert len(warnings) == 2
    for line in warnings:
        assert re.fullmatch(
            r"warning: mlp_rmsprop: MLflow is missing .*'mnist' was deleted; `.*mlflow experiments restore "
            r"--experiment-id 1` restores it\); `make sync` adds it afterwards, .*",
            line,
        )


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED"), (SystemExit, "KILLED")]
)
def test_a_training_that_does_not_end_well_is_no_finished_run(
    description: RunDescription,
    digits: Dataset,
    monkeypatch: pytest.MonkeyPatch,
    error: type[BaseException],
    status: str,
) -> None:
    """An error leaves a failed run, an interruption a killed one, with the epochs so far."""
    # How long it may take on a busy machine is not what is tested here.
    monkeypatch.setattr(live, "INTERRUPT_TIMEOUT_S", 60.0)

    def training() -> None:
        with tracking.training_run(description, digits) as run:
            run.log_epochs(ROWS[:2])
            raise error

    with pytest.raises(error):
        training()

    (left,) = runs()
    assert left.info.status == status
    assert left.data.metrics["loss"] == ROWS[1]["loss"]
    assert "model.md5" not in left.data.tags


def test_a_run_left_running_is_marked_killed(description: RunDescription, digits: Dataset, model: Path) -> None:
    """The next training of the recipe ends the run of the one that was killed."""
    experiment = experiments.connect(experiments.of_dataset("mnist"))
    api = mlflow.MlflowClient()
    left = api.create_run(experiment, tags=description.tags())
    other = api.create_run(experiment, tags=description.tags() | {"recipe": "s" * 64})

    track(description, digits, model)

    assert api.get_run(left.info.run_id).info.status == "KILLED"
    assert api.get_run(other.info.run_id).info.status == "RUNNING"
    assert len(runs("FINISHED")) == 1


@pytest.mark.usefixtures("_short_timeouts")
def test_what_was_not_sent_is_sent_with_a_later_epoch(
    description: RunDescription, digits: Dataset, model: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that answers only after some epochs holds every epoch once in the end."""
    with monkeypatch.context() as outage:
        outage.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        run = live.TrainingRun(description, digits)
        run.log_epochs(ROWS[:2])
        assert "MLflow is missing the run" in run.missing()
    run.log_epochs(ROWS)
    run.log_model(model)
    assert run.end("FINISHED", timeout_s=30) == ""

    history = mlflow.MlflowClient(f"sqlite:///{store}").get_metric_history(runs()[0].info.run_id, "loss")
    assert [point.step for point in history] == [1, 2, 3, 4]


def end_of_interrupted(description: RunDescription, data: Dataset, hang: Hang, model: Path | None = None) -> float:
    """Train until something hangs, and be interrupted there; return the seconds that the end then takes."""
    interrupted = 0.0

    def training() -> None:
        nonlocal interrupted
        with tracking.training_run(description, data) as run:
            run.log_epochs(ROWS)
            if model:
                run.log_model(model)
            assert hang.reached.wait(60)
            interrupted = time.monotonic()
            raise SystemExit(143)

    with pytest.raises(SystemExit) as ended:
        training()
    assert ended.value.code == 143
    return time.monotonic() - interrupted


@pytest.mark.fault("tracking server hangs while the training is interrupted")
@pytest.mark.usefixtures("_short_timeouts")
def test_an_interruption_does_not_wait_for_the_store(
    description: RunDescription, digits: Dataset, hang: Hang, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much is unsent, it takes seconds to end, and the interruption goes on."""
    monkeypatch.setattr(finished_runs, "running", hang)

    assert end_of_interrupted(description, digits, hang) < 2


@pytest.mark.fault("SIGTERM while the model is logged")
def test_an_interruption_does_not_wait_for_the_model(
    description: RunDescription, digits: Dataset, model: Path, hang: Hang, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is marked killed within seconds, with its epochs, though its model is still being written."""
    monkeypatch.setattr(logged_model, "_save", hang)

    needed = end_of_interrupted(description, digits, hang, model)
    (left,) = runs()

    assert left.info.status == "KILLED"
    assert left.data.metrics["loss"] == ROWS[-1]["loss"]
    assert needed < 10


@pytest.mark.fault("an outage of hundreds of epochs")
@pytest.mark.parametrize("later", [False, True])
def test_more_epochs_than_mlflow_takes_at_once_are_logged(
    description: RunDescription, digits: Dataset, model: Path, later: bool
) -> None:
    """Three hundred epochs are there, each once, whether they are sent in a training or added later."""
    rows = [ROWS[0] | {"epoch": epoch} for epoch in range(1, 301)]

    if later:
        finished_runs.complete(description, digits, rows, model)
    else:
        with tracking.training_run(description, digits) as run:
            run.log_epochs(rows)

    (stored,) = runs("FINISHED")
    history = mlflow.MlflowClient().get_metric_history(stored.info.run_id, "val_loss")
    assert [point.step for point in history] == list(range(1, 301))


def test_a_run_begins_when_its_training_does(
    description: RunDescription, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing in the environment makes it another run, and the time at which MLflow answers is not its start."""
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    connect = experiments.connect

    def connect_late(experiment: experiments.Experiment) -> str:
        time.sleep(1)
        return connect(experiment)

    monkeypatch.setattr(experiments, "connect", connect_late)
    before = time.time()
    with tracking.training_run(description, digits):
        pass

    (stored,) = runs("FINISHED")
    assert stored.info.start_time / 1000 == pytest.approx(before, abs=0.5)
    assert stored.info.end_time / 1000 >= before + 1


@pytest.mark.usefixtures("tracked")
def test_one_run_of_a_model_is_current(description: RunDescription, digits: Dataset, model: Path) -> None:
    """A repeated training makes the new run the current one, and the old one superseded."""
    track(description, digits, model)

    assert [run.data.tags[experiments.STATE] for run in runs("FINISHED")] == ["current", "superseded"]


@pytest.mark.parametrize("place", ["a server", "a local store"])
def test_other_clones_runs_are_left_alone_on_a_server(
    description: RunDescription, digits: Dataset, model: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """There a new run neither kills nor supersedes one of another clone; a local store has no other clone."""
    experiment, api = experiments.connect(experiments.of_dataset("mnist")), mlflow.MlflowClient()
    elsewhere = description.tags() | {"workspace": "elsewhere:/clone"}
    running = api.create_run(experiment, tags=elsewhere).info.run_id
    done = api.create_run(experiment, tags=elsewhere | {experiments.STATE: "current"}).info.run_id
    api.set_terminated(done, "FINISHED")
    if place == "a server":
        monkeypatch.setattr(mlflow_store, "local", lambda _: None)

    track(description, digits, model)

    found = api.get_run(running).info.status, api.get_run(done).data.tags[experiments.STATE]
    assert found == (("RUNNING", "current") if place == "a server" else ("KILLED", "superseded"))
    assert runs("FINISHED")[0].data.tags[experiments.STATE] == "current"


def add_finished(recipe: str) -> None:
    """Have a finished run of the recipe made in an experiment of its own."""
    rows = [{"epoch": 1, "val_loss": 0.2}, {"epoch": 2, "val_loss": 0.1}]
    tags = {"recipe": recipe, "variant": "v"}
    run = tracking.FinishedRun("v-0", tags, {"model.epochs": 2}, rows, {"test_accuracy": 0.9}, seconds=600.0)
    tracking.FinishedRuns(experiments.of_study("mnist", "MNIST")).add(run)


def test_a_verdict_is_a_run_among_those_that_it_judges(tmp_path: Path) -> None:
    """It has estimates with their ends, verdicts as tags, its page and links; the same verdict is there once."""
    findings = {"HEAD~1 - HEAD": tracking.LoggedEstimate("better", 0.5, 0.25, None)}
    tracked = tracking.FinishedRuns(experiments.of_verdict("mnist", "MNIST"))
    for variant in ("mlp-1a", "mlp-2b"):
        tags = {"recipe": variant, "variant": variant}
        tracked.add(tracking.FinishedRun(variant, tags, {"variant": variant}, [], {"accuracy": 0.5}))
    for _ in range(2):
        page = {"verdict.md": b"# Better\n"}
        tracked.add(tracking.verdict_run("verdict", findings, page, {"mlp, HEAD~1": "mlp-1a", "mlp, HEAD": "mlp-2b"}))

    api = mlflow.MlflowClient()
    made = experiments.connect(experiments.of_verdict("mnist", "MNIST"))
    (run,) = api.search_runs([made], "tags.variant = 'verdict'")
    links = re.findall(
        r"- \[(.+)\]\(#/experiments/(\d+)/runs\?searchFilter=(\S+)\)", run.data.tags["mlflow.note.content"]
    )
    linked = {
        name: [found.info.run_name for found in api.search_runs([of], unquote_plus(query))] for name, of, query in links
    }
    assert linked == {"mlp, HEAD~1": ["mlp-1a"], "mlp, HEAD": ["mlp-2b"]}
    assert run.data.metrics == {"HEAD-1 - HEAD": 0.5, "HEAD-1 - HEAD_low": 0.25}
    assert run.data.tags["verdict.HEAD-1 - HEAD"] == "better"
    downloaded = api.download_artifacts(run.info.run_id, "verdict.md", str(tmp_path))
    assert (run.info.status, Path(downloaded).read_text()) == ("FINISHED", "# Better\n")


def test_an_experiment_of_an_older_version_is_brought_up_to_date() -> None:
    """Its saved view is replaced, and a missing description is added."""
    made, api = experiments.connect(experiments.of_dataset("mnist")), mlflow.MlflowClient()
    tags = api.get_experiment(made).tags
    api.set_experiment_tag(made, "mlflow.sharedViewState.current", "of an older version")
    api.delete_experiment_tag(made, "mlflow.note.content")

    assert experiments.connect(experiments.of_dataset("mnist")) == made
    assert api.get_experiment(made).tags == tags


def test_a_recipe_has_one_finished_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Added twice it is there once, also if the first making was cut short; another recipe has a run of its own."""
    with monkeypatch.context() as outage:
        outage.setattr(finished_runs, "log_points", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            add_finished("r")

    for recipe in ("r", "r", "s"):
        add_finished(recipe)

    api = mlflow.MlflowClient()
    found = api.search_runs([experiments.connect(experiments.of_study("mnist", "MNIST"))])
    assert sorted((run.data.tags["recipe"], run.info.status) for run in found) == [
        ("r", "FINISHED"),
        ("r", "KILLED"),
        ("s", "FINISHED"),
    ]
    (whole,) = [run for run in found if run.data.tags["recipe"] == "s" and run.info.lifecycle_stage == "active"]
    assert whole.data.params == {"model.epochs": "2"}
    assert 600_000 <= whole.info.end_time - whole.info.start_time < 700_000
    history = api.get_metric_history(whole.info.run_id, "val_loss")
    assert [(point.step, point.value) for point in history] == [(1, 0.2), (2, 0.1)]
    assert whole.data.metrics["test_accuracy"] == 0.9
    assert api.search_runs([experiments.connect(experiments.of_dataset("mnist"))]) == []


@pytest.mark.parametrize(
    "losses", [["DELETE FROM metrics", "DELETE FROM latest_metrics"], ["DELETE FROM params"]], ids=["metrics", "params"]
)
def test_a_finished_run_that_lost_its_rows_is_made_again(store: Path, losses: list[str]) -> None:
    """Its recipe does not count as there, and once it is added again it is there once, with all of its rows."""
    add_finished("r")
    with contextlib.closing(sqlite3.connect(store)) as database:
        for loss in losses:
            database.execute(loss)
        database.commit()
    experiment = experiments.of_study("mnist", "MNIST")
    assert tracking.FinishedRuns(experiment).recipes() == set()

    add_finished("r")

    assert tracking.FinishedRuns(experiment).recipes() == {"r"}
    (run,) = mlflow.MlflowClient().search_runs([experiments.connect(experiment)])
    assert (run.data.metrics["test_accuracy"], run.data.params) == (0.9, {"model.epochs": "2"})
