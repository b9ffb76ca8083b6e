"""Reading what the stages wrote: a file that does not belong is rejected by name, with the command that creates it."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline import files
from pipeline.analysis import metrics
from pipeline.data import dataset as datasets
from pipeline.data.dataset import Dataset, Split
from pipeline.errors import InputError
from pipeline.params import Params
from pipeline.reporting import inputs
from pipeline.reporting.inputs import Folders
from pipeline.training.settings import Augmentation, Model
from tests.support import small

NAME = "mlp_rmsprop"
REPORTED = Path(__file__).parents[2] / "data" / "report_history.csv"


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Return a small made-up data set."""
    rng = np.random.default_rng(0)

    def split(count: int) -> Split:
        return Split(rng.integers(0, 256, (count, 28, 28), dtype=np.uint8), rng.integers(0, 10, count, dtype=np.uint8))

    return Dataset(split(30), None, split(20), small.DIGITS)


@pytest.fixture(scope="module")
def model(values: Params) -> Model:
    """Return the model that the files are of."""
    return values.models[NAME]


@pytest.fixture
def folders(tmp_path: Path, data: Dataset, model: Model) -> Folders:
    """Return folders with the made-up files of one model."""
    rng = np.random.default_rng(1)
    made = Folders(*(tmp_path / name for name in ("history", "timing", "metrics", "predictions")))
    epochs = range(1, model.epochs + 1)
    history = pd.DataFrame({"epoch": epochs, **{name: rng.random(model.epochs) for name in inputs.COLUMNS[1:]}})
    files.write_csv(made.history / f"{NAME}.csv", history)
    seconds = pd.DataFrame({"epoch": epochs, "seconds": rng.random(model.epochs), "processor": "Another (model 2)"})
    seconds.loc[:1, "processor"] = "One (model 1)"
    files.write_csv(made.timing / f"{NAME}.csv", seconds)
    scores = {}
    for split, images in data.splits().items():
        probabilities = rng.dirichlet(np.ones(10), len(images)).astype(np.float32)
        scores[split] = metrics.score(probabilities, images.labels, model.loss.clip)
    made.predictions.mkdir()
    np.savez(made.predictions / f"{NAME}.npz", probabilities=probabilities, labels=data.test.labels)
    measured = {"model": NAME, "parameters": 5, "epochs": model.epochs, "made_with": {"keras": "3"}, "splits": scores}
    measured["classes"] = list(data.classes)
    files.write_json(made.metrics / f"{NAME}.json", measured)
    return made


def edit_csv(path: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Rewrite a CSV file with a change."""
    files.write_csv(path, change(files.read_csv(path)))


def edit_json(path: Path, change: Callable[[dict], object]) -> None:
    """Rewrite a JSON file with a change in place; NaN may be written."""
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def test_read_returns_what_was_written(folders: Folders, data: Dataset, model: Model) -> None:
    """History, seconds, scores and answers are those of the files."""
    result = folders.read(NAME, model, data)

    pd.testing.assert_frame_equal(result.history, files.read_csv(folders.history / f"{NAME}.csv"))
    assert result.processors == ("One (model 1)", "Another (model 2)")
    assert result.seconds.tolist() == files.read_csv(folders.timing / f"{NAME}.csv")["seconds"].tolist()
    assert int(np.sum(result.answers != data.test.labels)) == result.metrics.splits["test"]["errors"]
    assert result.metrics.versions == {"keras": "3"}


@pytest.mark.fault("history of another training")
@pytest.mark.parametrize("keep", ["last", "best_val_loss", "best_val_accuracy"])
def test_scores_of_another_epoch_than_the_kept_one_are_rejected(
    folders: Folders, data: Dataset, model: Model, keep: str
) -> None:
    """Metrics are read if they are of the epoch that the history says is kept, and of no other."""
    keeping, table = model.model_copy(update={"keep": keep}), files.read_csv(folders.history / f"{NAME}.csv")
    best = {"best_val_loss": table["val_loss"].argmin(), "best_val_accuracy": table["val_accuracy"].argmax()}
    right = int(best[keep]) + 1 if keep in best else None
    path = folders.metrics / f"{NAME}.json"

    edit_json(path, lambda value: value.update(kept_epoch=right))
    assert folders.read(NAME, keeping, data).metrics.kept_epoch == right

    edit_json(path, lambda value: value.update(kept_epoch=1 if right != 1 else 2))
    with pytest.raises(InputError, match="kept_epoch: expected") as caught:
        folders.read(NAME, keeping, data)
    assert caught.value.path == path
    assert f"`dvc repro evaluate@{NAME}`" in caught.value.fix


def test_versions_leave_the_recipe_out(folders: Folders, data: Dataset, model: Model) -> None:
    """The versions of a model are those of its libraries, without the recipe's hash."""
    edit_json(folders.metrics / f"{NAME}.json", lambda value: value["made_with"].update(recipe="ab"))

    assert folders.read(NAME, model, data).metrics.versions == {"keras": "3"}


@pytest.mark.fault("result missing")
@pytest.mark.parametrize("kind", ["history", "timing", "metrics", "predictions"])
def test_missing_file_is_named_with_the_command(folders: Folders, data: Dataset, model: Model, kind: str) -> None:
    """A missing file is an InputError with its path and a dvc command."""
    (path,) = getattr(folders, kind).iterdir()
    path.unlink()

    with pytest.raises(InputError, match="no such file") as caught:
        folders.read(NAME, model, data)
    assert caught.value.path == path
    assert "`dvc repro" in caught.value.fix


@pytest.mark.fault("history of another training")
@pytest.mark.parametrize("kind", ["history", "timing"])
@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda table: table.iloc[:-1], "expected epochs 1 to 20, .* found 19 rows"),
        (lambda table: table.iloc[:0], "expected epochs 1 to 20, .* found 0 rows"),
        (lambda table: table.assign(epoch=table["epoch"] - 1), "expected epochs 1 to 20"),
        (lambda table: table.iloc[::-1], "expected epochs 1 to 20"),
        (lambda table: table.iloc[:, :-1], "expected columns"),
        (lambda table: table.mask(table == table.iloc[2, 1]), "of epoch 3 is nan"),
        (lambda table: table.replace(table.iloc[4, 1], np.inf), "of epoch 5 is inf"),
        (lambda table: table.replace(table.iloc[4, 1], "x"), "of epoch 5 is x"),
        (lambda table: table.replace(table.iloc[4, 1], -1.0), "of epoch 5 is -1.0"),
    ],
)
def test_epochs_that_do_not_belong_are_rejected(
    folders: Folders, data: Dataset, model: Model, kind: str, change: Callable, fault: str
) -> None:
    """A history or timing of other epochs, of a diverged run, or without a column, is rejected."""
    edit_csv(getattr(folders, kind) / f"{NAME}.csv", change)

    with pytest.raises(InputError, match=fault) as caught:
        folders.read(NAME, model, data)
    assert caught.value.path == getattr(folders, kind) / f"{NAME}.csv"
    assert f"`dvc repro train@{NAME}`" in caught.value.fix


def test_epochs_without_a_processor_are_rejected(folders: Folders, data: Dataset, model: Model) -> None:
    """Seconds say nothing without the processor that took them."""
    edit_csv(folders.timing / f"{NAME}.csv", lambda table: table.assign(processor=np.nan))

    with pytest.raises(InputError, match="expected the name of a processor") as caught:
        folders.read(NAME, model, data)
    assert f"`dvc repro train@{NAME}`" in caught.value.fix


def test_accuracy_above_one_is_rejected(folders: Folders, data: Dataset, model: Model) -> None:
    """An accuracy is at most 1, a loss is not."""
    path = folders.history / f"{NAME}.csv"
    edit_csv(path, lambda table: table.assign(loss=1.5))
    folders.read(NAME, model, data)
    edit_csv(path, lambda table: table.assign(val_accuracy=1.5))

    with pytest.raises(InputError, match=r"val_accuracy of epoch 1 is 1\.5"):
        folders.read(NAME, model, data)


@pytest.mark.fault("metrics of another model or other data")
@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda value: value.update(model="cnn"), "found model cnn after 20 epochs"),
        (lambda value: value.update(epochs=12), "found model mlp_rmsprop after 12 epochs"),
        (lambda value: value.pop("parameters"), "parameters: Field required"),
        (lambda value: value.update(parameters="5"), "parameters: "),
        (
            lambda value: value["splits"]["test"].update(loss=float("nan")),
            r"splits\.test\.loss: expected a finite number",
        ),
        (lambda value: value["splits"]["test"].pop("brier"), "splits.test.brier"),
        (lambda value: value["splits"]["test"].update(count=19), "expected scores of .*'test': 20"),
        (lambda value: value["splits"].pop("train"), "expected scores of .*'train': 30"),
        (lambda value: value["splits"].update(validation=value["splits"]["test"]), "expected scores of"),
    ],
)
def test_metrics_that_do_not_belong_are_rejected(
    folders: Folders, data: Dataset, model: Model, change: Callable, fault: str
) -> None:
    """Metrics of another model, of other epochs or images, or without a number, are rejected."""
    edit_json(folders.metrics / f"{NAME}.json", change)

    with pytest.raises(InputError, match=fault) as caught:
        folders.read(NAME, model, data)
    assert caught.value.path == folders.metrics / f"{NAME}.json"
    assert f"`dvc repro evaluate@{NAME}`" in caught.value.fix


@pytest.mark.fault("metrics damaged")
def test_metrics_that_are_not_json_are_rejected(folders: Folders, data: Dataset, model: Model) -> None:
    """A damaged metrics file is rejected in one line."""
    (folders.metrics / f"{NAME}.json").write_text("{")

    with pytest.raises(InputError, match=r"JSON.*`dvc repro evaluate@") as caught:
        folders.read(NAME, model, data)
    assert "\n" not in str(caught.value)


@pytest.mark.fault("predictions of another model or other data")
@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda arrays: arrays.update(labels=(arrays["labels"] + 1) % 10), "labels are not those of the test images"),
        (lambda arrays: arrays.update(probabilities=arrays["probabilities"][:-1]), "not the predictions of a model"),
        (lambda arrays: arrays.update(probabilities=arrays["probabilities"] * np.nan), "not the predictions"),
        (lambda arrays: arrays.pop("labels"), "not the predictions of a model"),
        (lambda arrays: arrays.update(labels=np.array([{}] * 20, dtype=object)), "Python objects"),
        (
            lambda arrays: arrays.update(probabilities=np.eye(10, dtype=np.float32)[arrays["labels"]]),
            "has 0 errors, the metrics have",
        ),
    ],
)
def test_predictions_that_do_not_belong_are_rejected(
    folders: Folders, data: Dataset, model: Model, change: Callable, fault: str
) -> None:
    """Predictions of other images, not of a distribution, with pickled objects or of other metrics are rejected."""
    path = folders.predictions / f"{NAME}.npz"
    with np.load(path) as loaded:
        arrays = dict(loaded)
    change(arrays)
    np.savez(path, **arrays)

    with pytest.raises(InputError, match=fault) as caught:
        folders.read(NAME, model, data)
    assert caught.value.path == path
    assert re.search(rf"`dvc repro (-f )?evaluate@{NAME}`", caught.value.fix)


def _huge(path: Path) -> None:
    header = str({"descr": "<f4", "fortran_order": False, "shape": (10**15, 10)}).encode()
    member = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("probabilities.npy", member)


def _not_npy(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("probabilities.npy", b"no numbers")


def _damaged(path: Path) -> None:
    np.savez_compressed(path, probabilities=np.zeros(9), labels=np.zeros(9))
    content = bytearray(path.read_bytes())
    content[60:90] = b"\xff" * 30
    path.write_bytes(content)


@pytest.mark.parametrize("kind", ["missing", "other shape", "of another augmentation"])
def test_augmented_images_are_those_of_the_models_augmentation(
    folders: Folders, data: Dataset, model: Model, kind: str
) -> None:
    """A row for each change by itself, the original and all of them; others are rejected with the stage to run."""
    augmented = model.model_copy(update={"augmentation": Augmentation(shift=2, rotate=10)})
    path = folders.predictions / f"{NAME}.npz"
    with np.load(path) as loaded:
        arrays = dict(loaded)
    images = np.zeros((4, 9, *data.shape), np.uint8)
    np.savez(path, **arrays, augmented=images)
    assert np.array_equal(folders.read(NAME, augmented, data).augmented, images)
    assert folders.read(NAME, model, data).augmented is None
    others = {"other shape": images[..., :-1], "of another augmentation": images[:3]}

    np.savez(path, **arrays, **({"augmented": others[kind]} if kind in others else {}))

    with pytest.raises(InputError, match="its augmented images are not those") as caught:
        folders.read(NAME, augmented, data)
    assert f"`dvc repro evaluate@{NAME}`" in caught.value.fix


@pytest.mark.fault("predictions crafted or damaged")
@pytest.mark.parametrize("craft", [_huge, _not_npy, _damaged, lambda path: path.write_bytes(b"")])
def test_crafted_predictions_are_rejected_in_one_line(
    folders: Folders, data: Dataset, model: Model, craft: Callable[[Path], object]
) -> None:
    """An archive that declares 10^15 images, holds no array, or does not unpack is rejected, and takes no memory."""
    path = folders.predictions / f"{NAME}.npz"
    craft(path)

    with pytest.raises(InputError) as caught:
        folders.read(NAME, model, data)
    assert caught.value.path == path
    assert "\n" not in str(caught.value)


@pytest.mark.fault("summary of other data")
@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda _: None, None),
        (lambda value: value.update(dataset="kmnist"), "expected dataset mnist.*found dataset kmnist"),
        (lambda value: value.update(validation=5000), "found dataset mnist, validation 5000"),
        (lambda value: value.update(split_seed=1), "split_seed 1"),
        (lambda value: value.update(sha256="0" * 64), "describes another file than"),
        (lambda value: value.pop("splits"), "splits: Field required"),
    ],
)
def test_summary_of_other_data_is_rejected(
    tmp_path: Path, values: Params, data: Dataset, change: Callable, fault: str | None
) -> None:
    """data.json is read if it is of these params and of this npz, and rejected otherwise."""
    npz, path = tmp_path / "mnist.npz", tmp_path / "data.json"
    datasets.save(npz, data)
    split = {"count": 30, "classes": [3] * 10, "mean": 0.1, "std": 0.3}
    settings = {"dataset": "mnist", "validation": "test", "split_seed": 0, "sha256": files.sha256(npz)}
    about = {"title": "MNIST", "noun": "digit", "credit": "Somebody", "target_accuracy": None}
    about |= {"image": [28, 28], "classes": list(data.classes)}
    files.write_json(
        path, settings | about | {"negative": True, "findings": [], "splits": {"train": split, "test": split}}
    )
    edit_json(path, change)

    if fault is None:
        assert inputs.read_summary(path, values.data, npz).splits["train"].classes == [3] * 10
    else:
        with pytest.raises(InputError, match=fault) as caught:
            inputs.read_summary(path, values.data, npz)
        assert (caught.value.path, "`dvc repro preprocess`" in caught.value.fix) == (path, True)


def test_reported_numbers_are_split_by_model() -> None:
    """The numbers of the original come as one table per model, 20, 20 and 12 epochs long."""
    reported = inputs.read_reported(REPORTED)

    assert {name: len(rows) for name, rows in reported.items()} == {"mlp_rmsprop": 20, "mlp_adadelta": 20, "cnn": 12}
    assert reported["cnn"]["val_accuracy"].iloc[-1] == 0.9902


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda table: table.drop(columns="seconds"), "expected columns"),
        (lambda table: table.drop(index=3), "mlp_rmsprop: expected epochs 1 to 19"),
        (lambda table: table.replace(0.2501, np.nan), "mlp_rmsprop: loss of epoch 1 is nan"),
    ],
)
def test_damaged_reported_numbers_are_rejected(tmp_path: Path, change: Callable, fault: str) -> None:
    """The file of the original without a column, an epoch or a number is rejected."""
    path = tmp_path / "reported.csv"
    files.write_csv(path, change(files.read_csv(REPORTED)))

    with pytest.raises(InputError, match=fault) as caught:
        inputs.read_reported(path)
    assert (caught.value.path, caught.value.fix) == (path, inputs.RESTORE)
