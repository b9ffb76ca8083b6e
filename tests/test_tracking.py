"""What MLflow holds after a training and an evaluation, and what happens without it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from pipeline import files, model_file, networks, sender, tracking
from pipeline.cli import UnavailableError
from pipeline.dataset import Dataset
from pipeline.evidence import SCORES, Evidence
from pipeline.facts import Facts
from pipeline.params import Params

ROWS = [
    {
        "epoch": e,
        "loss": 1 / e,
        "accuracy": 1 - 0.1 / e,
        "val_loss": 2 / e,
        "val_accuracy": 1 - 0.2 / e,
        "seconds": 3.0 + e,
    }
    for e in range(1, 5)
]
MD5 = "d" * 32


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "PATIENCE", 1.0)
    monkeypatch.setattr(sender, "RETRY", 0.1)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


@pytest.fixture
def facts(values: Params) -> Facts:
    """Return what is known before a training starts."""
    return described(values, "mlp_rmsprop")


def described(values: Params, name: str) -> Facts:
    """Return the facts about a model of the project."""
    data = {"dataset": "mnist", "validation": "test", "split_seed": 0}
    return Facts(name, "r" * 64, MD5, values.models[name], values.train, data)


@pytest.fixture
def model(values: Params, tmp_path: Path) -> Path:
    """Return a model file."""
    network = networks.build(values.models["mlp_rmsprop"].network, seed=0, precision="float32")
    model_file.save(tmp_path / "m.keras", network, {"recipe": "r"})
    return tmp_path / "m.keras"


def track(facts: Facts, data: Dataset, model: Path) -> None:
    """Log a whole training, epoch by epoch."""
    with tracking.training_run(facts, data) as run:
        for epoch in range(1, len(ROWS) + 1):
            run.log_epochs(ROWS[:epoch])
        run.log_model(model)


def evaluate(model: Path, accuracy: float = 0.9) -> None:
    """Log an evaluation of the model."""
    score = dict.fromkeys(SCORES, 0.5) | {"accuracy": accuracy, "confusion": np.eye(10, dtype=int).tolist()}
    files.write_json(model.with_suffix(".json"), {"splits": {"train": score, "test": score}})
    files.write_csv(model.with_suffix(".csv"), pd.DataFrame(ROWS))
    evidence = Evidence("mlp_rmsprop", model.with_suffix(".json"), model.with_suffix(".csv"), None)
    tracking.log_evaluation(evidence, {"model.md5": files.md5(model), "data.md5": MD5})


def runs(status: str | None = None) -> list[Any]:
    """Return the runs of the experiment, the newest first."""
    found = mlflow.MlflowClient().search_runs([tracking.connect()], order_by=["attributes.start_time DESC"])
    return [run for run in found if status in (None, run.info.status)]


@pytest.mark.usefixtures("store")
def test_a_run_holds_the_whole_training(facts: Facts, digits: Dataset, model: Path) -> None:
    """Params, four epochs under their numbers, tags, data and sums are in one finished run of the model's name."""
    track(facts, digits, model)

    (run,) = runs()
    assert (run.info.run_name, run.info.status) == ("mlp_rmsprop", "FINISHED")
    assert run.data.params["optimizer.epsilon"] == "1e-08"
    assert run.data.params["train.batch_size"] == "128"
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "val_loss")
    assert [(point.step, point.value) for point in history] == [(row["epoch"], row["val_loss"]) for row in ROWS]
    expected = {"model.md5": files.md5(model), "data.md5": MD5, "recipe": "r" * 64, "seed": "0", "model": "mlp_rmsprop"}
    assert expected.items() <= run.data.tags.items()
    names = {(source.dataset.name, source.dataset.digest) for source in run.inputs.dataset_inputs}
    assert names == {("mnist-train", MD5), ("mnist-test", MD5)}


@pytest.mark.usefixtures("store")
def test_the_logged_model_answers_as_the_file(facts: Facts, digits: Dataset, model: Path) -> None:
    """The model in MLflow takes raw images, has pinned requirements, needs no pickle and answers as the file does."""
    track(facts, digits, model)

    (run,) = runs()
    uri = f"models:/{run.outputs.model_outputs[0].model_id}"
    info = mlflow.models.get_model_info(uri)
    images = digits.test.images[:10]
    answers = mlflow.pyfunc.load_model(uri).predict(images)
    assert np.array_equal(answers, model_file.load(model).predict(images, verbose=0))
    assert info.signature.inputs.inputs[0].shape == (-1, 28, 28)
    folder = Path(mlflow.artifacts.download_artifacts(uri))
    assert all("==" in line for line in (folder / "requirements.txt").read_text().split())
    assert not [path for path in folder.rglob("*") if "pickle" in path.name or path.suffix == ".pkl"]


def test_models_that_differ_in_their_optimizer_have_comparable_params(values: Params) -> None:
    """The same keys for every model, with other values only where the params differ: the compare view lines up."""
    first, second = (described(values, name).flat() for name in ("mlp_rmsprop", "mlp_adadelta"))

    different = {key for key in first.keys() | second.keys() if first.get(key) != second.get(key)}

    assert different == {"optimizer.name", "optimizer.learning_rate", "optimizer.rho", "optimizer.epsilon_in_root"}


@pytest.mark.usefixtures("store")
def test_an_evaluation_joins_the_run_of_its_model(facts: Facts, digits: Dataset, model: Path) -> None:
    """Scores and figures go into the run with these sums and make no second run; the run stays as it ended."""
    track(facts, digits, model)
    ended = runs()[0].info.end_time

    evaluate(model)

    (run,) = runs()
    assert run.data.metrics["test_accuracy"] == 0.9
    assert run.info.end_time == ended
    artifacts = mlflow.MlflowClient().list_artifacts(run.info.run_id, "figures")
    assert [artifact.path for artifact in artifacts] == ["figures/confusion.png", "figures/curves.png"]
    logged = mlflow.get_logged_model(run.outputs.model_outputs[0].model_id)
    assert {metric.key: metric.value for metric in logged.metrics}["test_accuracy"] == 0.9


@pytest.mark.usefixtures("store")
def test_an_evaluation_repeated_adds_nothing(facts: Facts, digits: Dataset, model: Path) -> None:
    """The same scores again leave one point per metric."""
    track(facts, digits, model)

    evaluate(model)
    evaluate(model)

    history = mlflow.MlflowClient().get_metric_history(runs()[0].info.run_id, "test_accuracy")
    assert len(history) == 1


@pytest.mark.usefixtures("store")
def test_an_evaluation_without_its_run_warns(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where MLflow has no run of the model, one line says so, and nothing fails."""
    evaluate(model)

    assert capsys.readouterr().err.count("\n") == 1
    assert runs() == []


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("error", "status"), [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED"), (SystemExit, "KILLED")]
)
def test_a_training_that_does_not_end_well_is_no_finished_run(
    facts: Facts, digits: Dataset, error: type[BaseException], status: str
) -> None:
    """An error leaves a failed run, an interruption a killed one, with the epochs so far."""

    def training() -> None:
        with tracking.training_run(facts, digits) as run:
            run.log_epochs(ROWS[:2])
            raise error

    with pytest.raises(error):
        training()

    (left,) = runs()
    assert left.info.status == status
    assert left.data.metrics["loss"] == ROWS[1]["loss"]
    assert "model.md5" not in left.data.tags


@pytest.mark.usefixtures("store")
def test_a_run_left_running_is_marked_killed(facts: Facts, digits: Dataset, model: Path) -> None:
    """The next training of the recipe ends the run of the one that was killed."""
    experiment = tracking.connect()
    client = mlflow.MlflowClient()
    left = client.create_run(experiment, tags=facts.tags())
    other = client.create_run(experiment, tags=facts.tags() | {"recipe": "s" * 64})

    track(facts, digits, model)

    assert client.get_run(left.info.run_id).info.status == "KILLED"
    assert client.get_run(other.info.run_id).info.status == "RUNNING"
    assert len(runs("FINISHED")) == 1


@pytest.mark.usefixtures("_impatient")
def test_a_training_does_not_depend_on_the_store(
    facts: Facts, digits: Dataset, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where no server answers, the training ends well and one line says what MLflow lacks."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")

    track(facts, digits, model)

    assert (
        "warning: MLflow lacks its start, its params, its data, epochs, its model, its sums, its end ("
        in capsys.readouterr().err
    )


@pytest.mark.usefixtures("_impatient")
def test_what_was_not_sent_is_sent_with_a_later_epoch(
    facts: Facts, digits: Dataset, model: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that answers only after some epochs holds every epoch once in the end."""
    with monkeypatch.context() as outage:
        outage.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        run = tracking.TrainingRun(facts, digits)
        run.log_epochs(ROWS[:2])
        assert "MLflow lacks its start" in run.lacking()
    run.log_epochs(ROWS)
    run.log_model(model)
    assert run.end("FINISHED", patience=30) == ""

    history = mlflow.MlflowClient(f"sqlite:///{store}").get_metric_history(runs()[0].info.run_id, "loss")
    assert [point.step for point in history] == [1, 2, 3, 4]


@pytest.mark.usefixtures("_impatient")
def test_where_tracking_is_required_nothing_starts_without_it(
    facts: Facts, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the condition, a server that does not answer ends the training before it begins, with exit code 3."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:9")

    with pytest.raises(UnavailableError) as caught, tracking.training_run(facts, digits, required=True):
        pytest.fail("the training began")

    assert caught.value.exit_code == 3
    assert "secret" not in str(caught.value)


@pytest.mark.usefixtures("store")
def test_one_run_of_a_model_is_current(facts: Facts, digits: Dataset, model: Path) -> None:
    """A repeated training makes the new run the current one, and the old one superseded."""
    track(facts, digits, model)
    track(facts, digits, model)

    assert [run.data.tags[tracking.STATE] for run in runs("FINISHED")] == ["current", "superseded"]


START = """
import mlflow
from pipeline import tracking
experiment = tracking.connect()
mlflow.start_run(experiment_id=experiment)
mlflow.end_run()
print(experiment)
"""


def test_processes_that_start_at_once_share_one_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four processes that find no store make one, with one experiment that holds all four runs."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    command = [sys.executable, "-c", START]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]

    experiments = {process.communicate()[0].strip() for process in started}

    assert [process.returncode for process in started] == [0] * 4
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    assert len(experiments) == 1
    assert len(client.search_runs(list(experiments))) == 4
    assert client.get_experiment(experiments.pop()).artifact_location == (tmp_path / "mlruns").as_uri()
