"""MLflow's experiments: each data set has one of its own, which speaks of that data set alone."""

import re
from pathlib import Path

import mlflow
import pytest

from pipeline.tracking import experiments
from pipeline.tracking.store import SetupError
from tests.test_dvc_lock import write_lock

pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def note_of(experiment: experiments.Experiment) -> tuple[str, str]:
    """Return the name and the description of an experiment as MLflow has them once it is created."""
    connected = experiments.connect(experiment)
    found = mlflow.MlflowClient().get_experiment(connected)
    return found.name, found.tags["mlflow.note.content"]


def test_the_experiment_of_a_data_set_speaks_of_it_alone() -> None:
    """It has the data set's name, its description has the title from preprocess' summary, and nothing is of MNIST."""
    write_lock(title="Things in colour", dataset="things")

    name, note = note_of(experiments.of_dataset("things"))

    assert name == "things"
    assert note.startswith("Models trained on Things in colour by `dvc repro`")
    assert not re.search(r"mnist|digit|MLP|CNN", note, re.IGNORECASE)


def test_the_experiment_of_a_study_has_the_name_of_its_data_set() -> None:
    """It is NAME-study, and its description has the title."""
    name, note = note_of(experiments.of_study("fashion_mnist", "Fashion-MNIST"))

    assert name == "fashion_mnist-study"
    assert "variants of them on Fashion-MNIST, trained by `make study`" in note


def test_two_data_sets_have_two_experiments() -> None:
    """Both are there, each as one; a description that somebody has edited in MLflow stays."""
    first, second = (experiments.connect(experiments.of_dataset(name)) for name in ("mnist", "fashion_mnist"))
    mlflow.MlflowClient().set_experiment_tag(first, "mlflow.note.content", "ours")

    assert first != second
    assert (experiments.find("mnist"), experiments.find("fashion_mnist")) == (first, second)
    assert note_of(experiments.of_dataset("mnist")) == ("mnist", "ours")


def test_looking_for_an_experiment_creates_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is not there is None, without a store too; one that was deleted is an error with the command."""
    assert experiments.find("kmnist") is None
    api = mlflow.MlflowClient()
    assert api.get_experiment_by_name("kmnist") is None
    api.delete_experiment(experiments.connect(experiments.of_dataset("kmnist")))

    with pytest.raises(SetupError, match="mlflow experiments restore"):
        experiments.find("kmnist")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none/mlflow.db")
    assert experiments.find("kmnist") is None
    assert not (tmp_path / "none").exists()
