"""MLflow's experiments: each data set has one of its own, which speaks of that data set alone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import mlflow
import pytest

from pipeline import files
from pipeline.errors import InputError
from pipeline.tracking import client, experiments, recorded
from pipeline.tracking.store import SetupError


def write_lock(title: str = "Fashion-MNIST", dataset: str = "fashion_mnist", **stages: Any) -> None:
    """Write dvc.lock and the summary of a data set as preprocess and DVC leave them."""
    files.write_json(Path("out/summary.json"), {"dataset": dataset, "title": title})
    preprocess = {
        "cmd": "python -m pipeline.preprocess --set s.yaml --summary out/summary.json",
        "params": {"params.yaml": {"data": {"dataset": dataset, "validation": "test", "split_seed": 0}}},
    }
    Path("dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": {"preprocess": preprocess} | stages}))


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def note_of(experiment: experiments.Experiment) -> tuple[str, str]:
    """Return the name and the description of an experiment as MLflow has them once it is created."""
    connected = client.connect(experiment)
    found = mlflow.MlflowClient().get_experiment(connected)
    return found.name, found.tags["mlflow.note.content"]


@pytest.mark.usefixtures("store")
def test_the_experiment_of_a_data_set_speaks_of_it_alone() -> None:
    """It has the data set's name, its description has the title from preprocess' summary, and nothing is of MNIST."""
    write_lock(title="Things in colour", dataset="things")

    name, note = note_of(experiments.of("things"))

    assert name == "things"
    assert note.startswith("Models trained on Things in colour by `dvc repro`")
    assert not re.search(r"mnist|digit|MLP|CNN", note, re.IGNORECASE)


@pytest.mark.usefixtures("store")
def test_the_experiment_of_a_study_has_the_name_of_its_data_set() -> None:
    """It is NAME-study, and its description has the title."""
    name, note = note_of(experiments.of_study("fashion_mnist", "Fashion-MNIST"))

    assert name == "fashion_mnist-study"
    assert "variants of them on Fashion-MNIST, trained by `make study`" in note


@pytest.mark.usefixtures("store")
def test_two_data_sets_have_two_experiments() -> None:
    """Both are there, each as one; a description that somebody has edited in MLflow stays."""
    first, second = (client.connect(experiments.of(name)) for name in ("mnist", "fashion_mnist"))
    mlflow.MlflowClient().set_experiment_tag(first, "mlflow.note.content", "ours")

    assert first != second
    assert (client.experiment_id("mnist"), client.experiment_id("fashion_mnist")) == (first, second)
    assert note_of(experiments.of("mnist")) == ("mnist", "ours")


@pytest.mark.usefixtures("store")
def test_looking_for_an_experiment_creates_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is not there is None, without a store too; one that was deleted is an error with the command."""
    assert client.experiment_id("kmnist") is None
    api = mlflow.MlflowClient()
    assert api.get_experiment_by_name("kmnist") is None
    api.delete_experiment(client.connect(experiments.of("kmnist")))

    with pytest.raises(SetupError, match="mlflow experiments restore"):
        client.experiment_id("kmnist")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none/mlflow.db")
    assert client.experiment_id("kmnist") is None
    assert not (tmp_path / "none").exists()


@pytest.mark.fault("reports/data.json is missing, damaged, or of another data set when MLflow's experiment is created")
@pytest.mark.parametrize("content", [None, "{", "[]", '{"dataset": "kmnist", "title": "KMNIST"}', '{"dataset": "f"}'])
def test_without_its_summary_a_data_set_goes_by_its_name(content: str | None) -> None:
    """The title is the name in params.yaml, whatever the file has."""
    write_lock()
    assert recorded.title("fashion_mnist") == "Fashion-MNIST"
    summary = Path("out/summary.json")
    summary.unlink()
    if content is not None:
        summary.write_text(content)

    assert recorded.title("fashion_mnist") == "fashion_mnist"


def test_the_data_set_is_that_of_dvc_lock() -> None:
    """Without dvc.lock there is none; it is read as DVC records it, under its own key or within its section.

    A stage without its params is an error that names the file.
    """
    assert recorded.dataset() is None
    write_lock()
    assert recorded.dataset() == "fashion_mnist"
    flat = {"cmd": "true", "params": {"params.yaml": {"data.dataset": "kmnist", "data.validation": "test"}}}
    write_lock(preprocess=flat)
    assert recorded.dataset() == "kmnist"
    Path("dvc.lock").write_text(json.dumps({"stages": {"preprocess": {"cmd": "true"}}}))

    with pytest.raises(InputError) as caught:
        recorded.dataset()
    assert caught.value.path == Path("dvc.lock")
