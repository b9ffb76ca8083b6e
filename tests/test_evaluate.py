"""Evaluation in inference mode, and what it tells MLflow."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from pipeline import evaluate, files, params, tracking
from pipeline.analysis import mistakes
from pipeline.data import dataset as datasets
from pipeline.data.dataset import Dataset, Split
from pipeline.errors import PipelineError
from pipeline.params import Params
from pipeline.training import backend, model_file, networks
from tests.support.frozen import FROZEN


def test_every_image_of_every_split_is_scored_without_dropout(values: Params, digits: Dataset) -> None:
    """Accuracy and loss of each split are those of the network's plain answers to all of its images."""
    data = Dataset(digits.train, Split(digits.test.images[:97], digits.test.labels[:97]), digits.test, digits.classes)
    network = networks.build(values.models["cnn"].network, (28, 28), 10, seed=0, precision="float32")

    scores, mistakes, probabilities = evaluate.evaluate(network, data, clip=1e-7)

    assert {name: score["count"] for name, score in scores.items()} == {"train": 1400, "validation": 97, "test": 397}
    for name, split in data.splits().items():
        answers = np.asarray(network(split.images, training=False), np.float64)
        truth = answers[np.arange(len(split)), split.labels]
        assert scores[name]["accuracy"] == pytest.approx(np.mean(answers.argmax(axis=1) == split.labels))
        assert scores[name]["loss"] == pytest.approx(-np.log(np.clip(truth, 1e-7, 1 - 1e-7)).mean(), rel=1e-5)
    np.testing.assert_allclose(probabilities, network(data.test.images), atol=1e-6)
    assert mistakes["split"].value_counts().to_dict() == {name: score["errors"] for name, score in scores.items()}


def test_mistakes_are_sorted_by_how_sure_the_model_was() -> None:
    """A row names the image by its origin, or its row, with its true class, the answer and the probability of that."""
    labels, names = np.array([0, 1, 2, 1, 0], np.uint8), ("cat", "NA", "dog")
    table = np.array([[0.6, 0.4, 0], [0.7, 0.2, 0.1], [0.1, 0.9, 0], [0.5, 0.1, 0.4], [0.2, 0.1, 0.7]], np.float32)
    origins = np.array([f"test/{number}.png" for number in range(5)])

    for given, first in ((None, [2, 1, 4, 3]), (origins, ["test/2.png", "test/1.png", "test/4.png", "test/3.png"])):
        found = mistakes.table(table, labels, names, given)

        assert found["image"].tolist() == first
        assert found["true_class"].tolist() == ["dog", "NA", "cat", "NA"]
        assert found["answer"].tolist() == ["NA", "cat", "dog", "cat"]
        assert found["probability"].tolist() == table.max(axis=1)[[2, 1, 4, 3]].tolist()


@pytest.mark.fault("model with NaN in its weights")
def test_a_network_with_broken_weights_is_refused(values: Params, digits: Dataset) -> None:
    """NaN in a weight gives an error with the split's name instead of scores."""
    network = networks.build(values.models["mlp_rmsprop"].network, (28, 28), 10, seed=0, precision="float32")
    weights = network.get_weights()
    weights[-1][0] = np.nan
    network.set_weights(weights)

    with pytest.raises(PipelineError, match="train images"):
        evaluate.evaluate(network, digits, clip=1e-7)


@pytest.mark.parametrize(("keep", "kept"), [("last", None), ("best_val_loss", 2), ("best_val_accuracy", 3)])
def test_the_epoch_that_was_scored_is_written(
    digits: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    keep: str,
    kept: int | None,
) -> None:
    """Metrics name the epoch that a model keeps, and its val scores and the last are printed, if it is the best.

    What goes to MLflow is made of the same files.
    """
    content = yaml.safe_load((FROZEN / "params.yaml").read_text())
    content["data"] |= {"validation": 97, "dataset": "digits"}
    small = {"network": {"name": "mlp", "units": [4], "dropout": 0.2}, "epochs": 4, "keep": keep}
    small |= {"augmentation": {"flip": True, "erase": 0.3}}
    content["models"] = {"m": content["models"]["mlp_rmsprop"] | small}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    held_out = Split(
        digits.test.images[:97], digits.test.labels[:97], origins=np.array([f"{i}.png" for i in range(97)])
    )
    data = Dataset(digits.train, held_out, digits.test, digits.classes)
    datasets.save(tmp_path / "digits.npz", data)
    block = params.load(tmp_path / "params.yaml").model("m")
    network = networks.build(block.network, (28, 28), 10, seed=0, precision="float32")
    model_file.save(tmp_path / "m.keras", network, {"recipe": "r"})
    scores = {"val_loss": [0.5, 0.2, 0.3, 0.4], "val_accuracy": [0.8, 0.9, 0.95, 0.93]}
    history = pd.DataFrame({"epoch": range(1, 5), "loss": 0.1, "accuracy": 0.9, **scores})
    files.write_csv(tmp_path / "history.csv", history)
    logged = []
    monkeypatch.setattr(tracking, "log_evaluation", lambda _, artifacts, *__, **___: logged.append(artifacts))
    # In this process, TensorFlow's threads cannot be set any more.
    monkeypatch.setattr(backend, "start", lambda **_: None)
    options = {"data": "digits.npz", "model": "m.keras", "history": "history.csv", "reported": "none.csv"}
    options |= {"output": "m.json", "predictions": "m.npz", "mistakes": "m.csv", "params": "params.yaml"}
    monkeypatch.setattr("sys.argv", ["evaluate", "m", *(f"--{key}={tmp_path / name}" for key, name in options.items())])

    assert evaluate.main() == 0

    printed = capsys.readouterr().out
    written = files.read_csv(tmp_path / "m.csv")
    assert list(written) == ["split", "image", "true_class", "answer", "probability"]
    for name, split in data.splits().items():
        images = written.loc[written["split"] == name, "image"].tolist()
        assert set(images) <= {*(split.origins if split.origins is not None else map(str, range(len(split))))}
    assert json.loads((tmp_path / "m.json").read_text()).get("kept_epoch") == kept
    assert logged[0].final_metrics().get("kept_epoch") == kept
    assert {*logged[0].tables(), *logged[0].figures()} < logged[0].names()
    for epoch in (kept, 4) if kept else ():
        expected = f"val_loss {scores['val_loss'][epoch - 1]:.4f}  val_accuracy {scores['val_accuracy'][epoch - 1]:.4f}"
        assert expected in next(line for line in printed.splitlines() if f"epoch {epoch} of 4" in line)
    assert (kept is not None) == ("epoch" in printed)
    with np.load(tmp_path / "m.npz") as arrays:
        original, flipped, erased, both = arrays["augmented"]
    shown = np.linspace(0, len(digits.train) - 1, 9).astype(int)
    assert np.array_equal(original, digits.train.images[shown])
    assert {*range(9)} == {*np.flatnonzero((flipped == original).all(axis=(1, 2)))} | {
        *np.flatnonzero((flipped == original[:, :, ::-1]).all(axis=(1, 2)))
    }
    assert ((erased == original) | (erased == 0)).all()
    assert ((both == flipped) | (both == 0)).all()
