"""Reading what the stages wrote: a file that does not belong is rejected by name, with the command that creates it."""

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
    # A loss may be above 1.
    columns = {name: rng.random(model.epochs) * (2 if "loss" in name else 1) for name in inputs.COLUMNS[1:]}
    history = pd.DataFrame({"epoch": epochs, **columns})
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
    measured = {"model": NAME, "parameters": 5, "epochs": model.epochs, "splits": scores}
    measured |= {"classes": list(data.classes), "made_with": {"keras": "3", "recipe": "r"}}
    files.write_json(made.metrics / f"{NAME}.json", measured)
    return made


def rewritten(path: Path, change: Callable[[dict], object]) -> None:
    """Rewrite a JSON file with a change in place; NaN may be written."""
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def scores(change: Callable[[dict], object]) -> Callable[[Path], None]:
    """Return a change of metrics in place."""
    return lambda path: rewritten(path, change)


def table(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    """Return a change of a CSV file."""
    return lambda path: files.write_csv(path, change(files.read_csv(path)))


def arrays(change: Callable[[dict], object]) -> Callable[[Path], None]:
    """Return a change of predictions in place."""

    def edit(path: Path) -> None:
        with np.load(path) as loaded:
            content = dict(loaded)
        change(content)
        np.savez(path, **content)

    return edit


def member(content: bytes) -> Callable[[Path], None]:
    """Return what makes a file an archive with this in the place of the probabilities."""

    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("probabilities.npy", content)

    return write


def damaged(path: Path) -> None:
    """Write arrays that do not unpack."""
    np.savez_compressed(path, probabilities=np.zeros(9), labels=np.zeros(9))
    content = bytearray(path.read_bytes())
    content[60:90] = b"\xff" * 30
    path.write_bytes(content)


HUGE = str({"descr": "<f4", "fortran_order": False, "shape": (10**15, 10)}).encode()
EPOCHS: list[tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = [
    (lambda rows: rows.iloc[:-1], "expected epochs 1 to 20, .* found 19 rows"),
    (lambda rows: rows.iloc[:0], "expected epochs 1 to 20, .* found 0 rows"),
    (lambda rows: rows.assign(epoch=rows["epoch"] - 1), "expected epochs 1 to 20"),
    (lambda rows: rows.iloc[::-1], "expected epochs 1 to 20"),
    (lambda rows: rows.iloc[:, :-1], "expected columns"),
    (lambda rows: rows.mask(rows == rows.iloc[2, 1]), "of epoch 3 is nan"),
    (lambda rows: rows.replace(rows.iloc[4, 1], np.inf), "of epoch 5 is inf"),
    (lambda rows: rows.replace(rows.iloc[4, 1], "x"), "of epoch 5 is x"),
    (lambda rows: rows.replace(rows.iloc[4, 1], -1.0), "of epoch 5 is -1.0"),
]
# By kind of file: a change of it, and what is said of that.
OTHERS: list[tuple[str, Callable[[Path], Any], str]] = [
    *((kind, table(change), fault) for kind in ("history", "timing") for change, fault in EPOCHS),
    ("history", table(lambda rows: rows.assign(val_accuracy=1.5)), r"val_accuracy of epoch 1 is 1\.5"),
    ("timing", table(lambda rows: rows.assign(processor=np.nan)), "expected the name of a processor"),
    ("metrics", scores(lambda it: it.update(model="cnn")), "found model cnn after 20 epochs"),
    ("metrics", scores(lambda it: it.update(epochs=12)), "found model mlp_rmsprop after 12 epochs"),
    ("metrics", scores(lambda it: it.pop("parameters")), "parameters: Field required"),
    ("metrics", scores(lambda it: it.update(parameters="5")), "parameters: "),
    ("metrics", scores(lambda it: it["splits"]["test"].update(loss=np.nan)), r"splits\.test\.loss: expected a finite"),
    ("metrics", scores(lambda it: it["splits"]["test"].pop("brier")), "splits.test.brier"),
    ("metrics", scores(lambda it: it["splits"]["test"].update(count=19)), "expected scores of .*'test': 20"),
    ("metrics", scores(lambda it: it["splits"].pop("train")), "expected scores of .*'train': 30"),
    ("metrics", scores(lambda it: it["splits"].update(validation=it["splits"]["test"])), "expected scores of"),
    ("metrics", lambda path: path.write_text("{"), "JSON"),
    ("predictions", arrays(lambda it: it.update(labels=it["labels"] * 0)), "labels are not those of the test images"),
    ("predictions", arrays(lambda it: it.update(probabilities=it["probabilities"][:-1])), "not the predictions of a"),
    ("predictions", arrays(lambda it: it.update(probabilities=it["probabilities"] * np.nan)), "not the predictions"),
    ("predictions", arrays(lambda it: it.pop("labels")), "not the predictions of a model"),
    ("predictions", arrays(lambda it: it.update(labels=np.array([{}] * 20, dtype=object))), "Python objects"),
    ("predictions", arrays(lambda it: it.update(probabilities=np.eye(10)[it["labels"]])), "has 0 errors, the metrics"),
    ("predictions", member(b"\x93NUMPY\x01\x00" + len(HUGE).to_bytes(2, "little") + HUGE), NAME),
    ("predictions", member(b"no numbers"), NAME),
    ("predictions", damaged, NAME),
    ("predictions", lambda path: path.write_bytes(b""), NAME),
    *((kind, Path.unlink, "no such file") for kind in ("history", "timing", "metrics", "predictions")),
]


def test_read_returns_what_was_written(folders: Folders, data: Dataset, model: Model) -> None:
    """History, seconds, scores and answers are those of the files, and the versions are those of libraries alone."""
    result = folders.read(NAME, model, data)

    pd.testing.assert_frame_equal(result.history, files.read_csv(folders.history / f"{NAME}.csv"))
    assert result.processors == ("One (model 1)", "Another (model 2)")
    assert result.seconds.tolist() == files.read_csv(folders.timing / f"{NAME}.csv")["seconds"].tolist()
    assert int(np.sum(result.answers != data.test.labels)) == result.metrics.splits["test"]["errors"]
    assert result.metrics.versions == {"keras": "3"}


@pytest.mark.fault("result missing")
@pytest.mark.fault("history of another training")
@pytest.mark.fault("metrics damaged, of another model or other data")
@pytest.mark.fault("predictions damaged, crafted, of another model or other data")
@pytest.mark.parametrize(("kind", "change", "fault"), OTHERS)
def test_a_file_that_does_not_belong_is_rejected(
    folders: Folders, data: Dataset, model: Model, kind: str, change: Callable[[Path], Any], fault: str
) -> None:
    """The error is one line with its path, the fault, and the stage that makes it; no memory is taken for it."""
    (path,) = getattr(folders, kind).iterdir()
    change(path)

    with pytest.raises(InputError, match=fault) as caught:
        folders.read(NAME, model, data)

    assert (caught.value.path, "\n" in str(caught.value)) == (path, False)
    stage = "train" if kind in ("history", "timing") else "evaluate"
    anything = "`|" if change is Path.unlink else ""
    assert re.search(rf"`dvc repro({anything} (-f )?{stage}@{NAME}`)", caught.value.fix)


@pytest.mark.fault("history of another training")
@pytest.mark.parametrize("keep", ["last", "best_val_loss", "best_val_accuracy"])
def test_scores_of_another_epoch_than_the_kept_one_are_rejected(
    folders: Folders, data: Dataset, model: Model, keep: str
) -> None:
    """Metrics are read if they are of the epoch that the history says is kept, and of no other."""
    keeping, rows = model.model_copy(update={"keep": keep}), files.read_csv(folders.history / f"{NAME}.csv")
    best = {"best_val_loss": rows["val_loss"].argmin(), "best_val_accuracy": rows["val_accuracy"].argmax()}
    right = int(best[keep]) + 1 if keep in best else None
    path = folders.metrics / f"{NAME}.json"

    rewritten(path, lambda value: value.update(kept_epoch=right))
    assert folders.read(NAME, keeping, data).metrics.kept_epoch == right

    rewritten(path, lambda value: value.update(kept_epoch=1 if right != 1 else 2))
    with pytest.raises(InputError, match="kept_epoch: expected") as caught:
        folders.read(NAME, keeping, data)
    assert caught.value.path == path
    assert f"`dvc repro evaluate@{NAME}`" in caught.value.fix


def test_augmented_images_are_those_of_the_models_augmentation(folders: Folders, data: Dataset, model: Model) -> None:
    """A row for each change by itself, the original and all of them; others are rejected with the stage to run."""
    augmented = model.model_copy(update={"augmentation": Augmentation(shift=2, rotate=10)})
    path = folders.predictions / f"{NAME}.npz"
    images = np.zeros((4, 9, *data.shape), np.uint8)
    missing = path.read_bytes()
    arrays(lambda found: found.update(augmented=images))(path)
    assert np.array_equal(folders.read(NAME, augmented, data).augmented, images)
    assert folders.read(NAME, model, data).augmented is None

    for others in (images[..., :-1], images[:3], None):
        if others is None:
            path.write_bytes(missing)
        else:
            arrays(lambda found, others=others: found.update(augmented=others))(path)
        with pytest.raises(InputError, match="its augmented images are not those") as caught:
            folders.read(NAME, augmented, data)
        assert f"`dvc repro evaluate@{NAME}`" in caught.value.fix


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
    rewritten(path, change)

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
