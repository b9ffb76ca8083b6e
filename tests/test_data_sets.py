"""A real `dvc repro` of the whole project on a set made here in each format: colour, named classes, no digits."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import yaml

from pipeline import files
from pipeline.analysis import metrics
from pipeline.data import sets
from pipeline.data.formats import npz
from pipeline.data.image_set import ImageSet
from pipeline.reporting.plots import classification, style
from pipeline.training import model_file
from tests.support import forks, made_sets, small

LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")
LOSS = {"name": "crossentropy", "clip": 1.0e-7}
MODELS: dict[str, Any] = {
    "dense": {
        "network": {"name": "mlp", "units": [8], "dropout": 0.1},
        "optimizer": {"name": "adam", "learning_rate": 0.01, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1.0e-7},
        "loss": LOSS,
        "epochs": 2,
    },
    "layers": {
        "network": {
            "name": "sequential",
            "layers": [
                {"name": "conv2d", "filters": 4, "kernel": 3, "stride": 2, "padding": "same"},
                {"name": "relu"},
                {
                    "name": "residual",
                    "layers": [
                        {"name": "depthwise_conv2d", "kernel": 3, "stride": 2, "padding": "same"},
                        {"name": "batch_norm", "momentum": 0.9, "epsilon": 0.001},
                    ],
                },
                {"name": "flatten"},
            ],
        },
        "optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "nesterov": True},
        "loss": LOSS,
        "epochs": 1,
    },
}


def write_params(repository: Path, *models: str) -> None:
    """Write params with some of the tiny networks for the set called stones."""
    values = yaml.safe_load((repository / "params.yaml").read_text())
    values["data"] |= {"dataset": "stones", "validation": 14}
    values["train"] |= {"batch_size": 8, "threads": 1}
    values["models"] = {name: MODELS[name] for name in models}
    values["gate"] = {"stones": {"default": {"test_accuracy": {"min": 0.01}}}}
    (repository / "params.yaml").write_text(json.dumps(values))


# Each model costs twice the start of TensorFlow: of the format that is always tried there is one.
SETS = [pytest.param(kind, marks=[] if kind == "folder" else pytest.mark.slow) for kind in made_sets.WRITERS]


@pytest.fixture(scope="module", params=SETS)
def repository(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    """Return a repository in which `dvc repro` has run on a set in a format: of the IDX files, letters in grey."""
    folder = tmp_path_factory.mktemp(request.param)
    small.start(folder)
    # What DVC watches; the files are next to it.
    (folder / "data" / "local" / "stones").mkdir()
    if request.param == "idx":
        made = made_sets.arrays((32, 24), len(LETTERS))
        made_sets.write(folder, "idx", made, (32, 24), classes=list(LETTERS), title="Letters", noun="letter")
    else:
        made_sets.write(folder, request.param, made_sets.arrays())
    write_params(folder, *(["layers"] if request.param == "folder" else MODELS))
    # One with its tables takes seconds to make.
    shutil.copy(empty_store, folder / "mlflow.db")
    forks.run(folder, "dvc", "repro")
    return folder


def described(repository: Path) -> ImageSet:
    """Return the description of the repository's set."""
    return sets.load(repository / "data" / "sets" / "stones.yaml")


def models(repository: Path) -> list[str]:
    """Return the names of the repository's models."""
    return list(files.read_yaml(repository / "params.yaml")["models"])


def test_the_confusion_figures_name_the_classes(repository: Path) -> None:
    """Each model's figure is the one whose rows have the names of the classes."""
    classes = described(repository).classes

    for model in models(repository):
        arrays = npz.read(repository / "reports" / "predictions" / f"{model}.npz", stage="")
        matrix = metrics.confusion(arrays["probabilities"], arrays["labels"])
        figure = classification.confusion(matrix, classes, model)
        assert (repository / "reports" / "figures" / f"confusion-{model}.png").read_bytes() == style.png(figure)
        shown = {label.get_text().replace("\\$", "$") for label in figure.axes[0].get_yticklabels()}
        assert shown <= {*classes}
        assert len(shown) == min(len(classes), classification.MAX_CLASSES)


def test_dvcs_confusion_matrices_name_the_classes(repository: Path) -> None:
    """The table behind DVC's chart has the names of the classes, those that the figure shows."""
    table = files.read_csv(repository / "reports" / "confusion.csv")
    classes = described(repository).classes

    for model in models(repository):
        own = table[table["model"] == model]
        assert len(own) == min(len(classes), classification.MAX_CLASSES) ** 2
        assert set(own["true_class"]) == set(own["predicted_class"]) <= set(classes)
        assert own["count"].sum() <= made_sets.COUNTS["test"]


def test_mlflow_has_an_experiment_for_the_set(repository: Path) -> None:
    """The runs of both models are finished in the experiment of the set's name; no note speaks of digits."""
    client = mlflow.MlflowClient(f"sqlite:///{repository}/mlflow.db")
    (experiment,) = [one for one in client.search_experiments() if one.name != "Default"]
    runs = client.search_runs([experiment.experiment_id])

    assert experiment.name == "stones"
    assert {run.info.run_name: run.info.status for run in runs} == dict.fromkeys(models(repository), "FINISHED")
    notes = [tags["mlflow.note.content"] for tags in (experiment.tags, *(run.data.tags for run in runs))]
    assert [note for note in notes if re.search(r"digit|MNIST", note)] == []


def test_mlflow_serves_each_model(repository: Path) -> None:
    """The logged model of each run gives the probabilities of the model file, layers inside of layers included."""
    client = mlflow.MlflowClient(f"sqlite:///{repository}/mlflow.db")
    (experiment,) = [one for one in client.search_experiments() if one.name != "Default"]
    logged = {one.name: one.artifact_location for one in client.search_logged_models([experiment.experiment_id])}
    images = np.full((2, *described(repository).image.shape), 99, np.uint8)

    assert sorted(logged) == sorted(models(repository))
    for name, place in logged.items():
        expected = model_file.load(repository / "models" / f"{name}.keras")(images)
        np.testing.assert_allclose(mlflow.pyfunc.load_model(place).predict(images), expected, rtol=1e-5)
