"""Strict reading of what the stages before the report wrote: all files of a model must be of the same training run."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from pipeline import dvc_lock, errors, files
from pipeline.analysis.metrics import SCORES, Splits, reliability
from pipeline.analysis.overfitting import impossible_values
from pipeline.data.dataset import Dataset
from pipeline.data.formats import npz
from pipeline.errors import InputError
from pipeline.params import Data
from pipeline.training.history import COLUMNS, kept_epoch
from pipeline.training.settings import Model

REPORTED = ("model", *COLUMNS, "seconds")
RESTORE = "restore the file from version control"

T = TypeVar("T")


@dataclass(frozen=True)
class SplitSummary:
    """Images in a split, in each class, and mean and standard deviation of its pixels / 255.

    Of pictures in files also how many were changed as they were read, by what was done.
    """

    count: int
    classes: list[int]
    mean: float
    std: float
    pictures: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class DataSummary:
    """The summary of the data that preprocess wrote, reports/data.json; `sha256` is that of the npz.

    `image` is the shape of an image, (h, w) or (h, w, c); `classes` are their names. `target_accuracy` is None for a
    data set that states none. `negative` is whether figures show white as black, `findings` what should be known of
    the images, in words.
    """

    dataset: str
    title: str
    noun: str
    credit: str
    target_accuracy: float | None
    image: list[int]
    classes: list[str]
    validation: str | int
    split_seed: int
    sha256: str
    splits: dict[str, SplitSummary]
    negative: bool
    findings: list[str]


@dataclass(frozen=True)
class Metrics:
    """The file of one model that evaluate wrote, in reports/metrics: its scores by split, and what they depend on.

    The scores are those of the weights of `kept_epoch`, where the model keeps its best epoch; else it is None, and they
    are those of the last epoch.
    """

    model: str
    parameters: int
    epochs: int
    made_with: dict[str, str]
    classes: list[str]
    splits: dict[str, dict[str, Any]]
    kept_epoch: int | None = None

    @property
    def versions(self) -> dict[str, str]:
        """Libraries and their versions: `made_with` without the recipe, which is each model's own."""
        return {name: version for name, version in self.made_with.items() if name != "recipe"}


@dataclass(frozen=True)
class ModelResult:
    """All results of one model.

    `history` has a row per epoch (columns COLUMNS), `seconds` is (epochs,), `processors` are those that
    computed the epochs, each once, in their order, `probabilities` (n, classes) are those of
    the n test images, whose `labels` are (n,). `augmented` (steps, images, ...) are training images as the steps of the
    model's augmentation change them, None without one.
    """

    name: str
    model: Model
    metrics: Metrics
    history: pd.DataFrame
    seconds: NDArray[np.float64]
    processors: tuple[str, ...]
    probabilities: NDArray[np.float32]
    labels: NDArray[np.unsignedinteger[Any]]
    augmented: NDArray[np.uint8] | None = None

    @property
    def answers(self) -> NDArray[np.int64]:
        """The class with the highest probability for each test image, (n,); the first of equal ones."""
        return np.asarray(self.probabilities.argmax(axis=1))


@dataclass(frozen=True)
class Folders:
    """The folders that the stages before fill, with one file per model each."""

    history: Path
    timing: Path
    metrics: Path
    predictions: Path

    def read(self, name: str, model: Model, dataset: Dataset) -> ModelResult:
        """Return all results of the model called `name`.

        Raises:
            InputError: A file is missing or damaged, or is of a diverged run, other params or other data.
        """
        history, timing = self.history / f"{name}.csv", self.timing / f"{name}.csv"
        metrics, predictions = self.metrics / f"{name}.json", self.predictions / f"{name}.npz"
        dvc_lock.verify(history, timing, metrics, predictions)
        seconds = _timing(timing, name, model)
        result = ModelResult(
            name,
            model,
            _metrics(metrics, name, model, dataset),
            _per_epoch(history, COLUMNS, name, model),
            seconds["seconds"].to_numpy(np.float64),
            tuple(seconds["processor"].unique()),
            *_predictions(predictions, name, model, dataset),
        )
        kept = None if model.keep == "last" else kept_epoch(result.history.to_dict("records"), model.keep)
        if result.metrics.kept_epoch != kept:
            what = f"kept_epoch: expected {kept} by its history, found {result.metrics.kept_epoch}"
            raise _stale(metrics, what, f"evaluate@{name}")
        mistakes, expected = int(np.sum(result.answers != result.labels)), result.metrics.splits["test"]["errors"]
        if mistakes != expected:
            raise _stale(predictions, f"has {mistakes} errors, the metrics have {expected}", f"evaluate@{name}")
        return result


def read_summary(path: Path, data: Data, dataset: Path) -> DataSummary:
    """Return the summary of the data set in the npz `dataset` that preprocess wrote.

    Raises:
        InputError: The file is missing or damaged, or is of other params or of another npz.
    """
    summary = _parse(DataSummary, path, "preprocess")
    found = (summary.dataset, summary.validation, summary.split_seed)
    expected = (data.dataset, data.validation, data.split_seed)
    if found != expected:
        words = "dataset {}, validation {}, split_seed {}".format
        raise _stale(path, f"expected {words(*expected)} as in params.yaml, found {words(*found)}", "preprocess")
    if summary.sha256 != files.sha256(dataset):
        raise _stale(path, f"describes another file than {dataset}", "preprocess")
    return summary


def read_reported(path: Path) -> dict[str, pd.DataFrame]:
    """Return the histories printed in the original, a table for each of its models with a row per epoch.

    Raises:
        InputError: The file is missing, is not such a table, or a model's epochs are not 1, 2, ...
    """
    table = files.read_csv(path)
    if tuple(table.columns) != REPORTED:
        raise InputError(_columns(REPORTED, table), path=path, fix=RESTORE)
    models = {str(name): rows.reset_index(drop=True) for name, rows in table.groupby("model", sort=False)}
    for name, rows in models.items():
        for fault in _faults(rows, REPORTED[1:], len(rows)):
            raise InputError(f"{name}: {fault}", path=path, fix=RESTORE)
    return models


def _metrics(path: Path, name: str, model: Model, dataset: Dataset) -> Metrics:
    metrics, stage = _parse(Metrics, path, f"evaluate@{name}"), f"evaluate@{name}"
    sizes = {split: scores.get("count") for split, scores in metrics.splits.items()}
    expected = {split: len(images) for split, images in dataset.splits().items()}
    if (metrics.model, metrics.epochs) != (name, model.epochs):
        evaluated = f"model {metrics.model} after {metrics.epochs} epochs"
        raise _stale(path, f"expected model {name} after {model.epochs} epochs, found {evaluated}", stage)
    if sizes != expected:
        raise _stale(path, f"expected scores of {expected} images, found {sizes}", stage)
    for fault in _wrong_scores(metrics.splits, len(dataset.classes)):
        raise _stale(path, fault, stage)
    return metrics


def _wrong_scores(splits: Splits, classes: int) -> Iterator[str]:
    expected = [name for name, score in SCORES.items() if classes >= score.min_classes]
    for split, scores in splits.items():
        for name in expected:
            if type(scores.get(name)) not in (int, float) or not np.isfinite(scores[name]):
                yield f"splits.{split}.{name}: expected a finite number, found {scores.get(name)}"


def _per_epoch(path: Path, columns: tuple[str, ...], name: str, model: Model) -> pd.DataFrame:
    table = files.read_csv(path)
    if tuple(table.columns) != columns:
        raise _stale(path, _columns(columns, table), f"train@{name}")
    for fault in _faults(table, columns, model.epochs):
        raise _stale(path, fault, f"train@{name}")
    return table


def _timing(path: Path, name: str, model: Model) -> pd.DataFrame:
    table = _per_epoch(path, ("epoch", "seconds", "processor"), name, model)
    unnamed = [text for text in table["processor"] if not isinstance(text, str)]
    if unnamed:
        raise _stale(path, f"expected the name of a processor, found {unnamed[0]}", f"train@{name}")
    return table


def _columns(expected: tuple[str, ...], table: pd.DataFrame) -> str:
    return f"expected columns {', '.join(expected)}, found {', '.join(map(str, table.columns))}"


def _faults(table: pd.DataFrame, columns: tuple[str, ...], epochs: int) -> Iterator[str]:
    numbers = table["epoch"].tolist()
    if numbers != list(range(1, epochs + 1)):
        yield f"expected epochs 1 to {epochs}, one row each, found {len(numbers)} rows with epochs {numbers!s:.60}"
    yield from impossible_values(table, (column for column in columns[1:] if column != "processor"))


def _predictions(path: Path, name: str, model: Model, dataset: Dataset) -> tuple[NDArray[Any], ...]:
    """Return probabilities, labels, and the training images that show the augmentation, if there is one."""
    stage = f"evaluate@{name}"
    arrays = npz.read(path, stage=stage)
    try:
        probabilities, labels = arrays["probabilities"], arrays["labels"]
        reliability(probabilities, dataset.test.labels)
    except (ValueError, KeyError) as error:
        raise _stale(path, f"not the predictions of a model ({error})", stage) from None
    if not np.array_equal(labels, dataset.test.labels):
        raise _stale(path, "its labels are not those of the test images", stage)
    if model.augmentation is None:
        return np.asarray(probabilities, np.float32), dataset.test.labels
    augmented = arrays.get("augmented", np.empty(0))
    shape = (len(model.augmentation.steps), *augmented.shape[1:2], *dataset.shape)
    if augmented.dtype != np.uint8 or augmented.shape != shape:
        raise _stale(path, "its augmented images are not those of the model's augmentation", stage)
    return np.asarray(probabilities, np.float32), dataset.test.labels, augmented


def _parse(kind: type[T], path: Path, stage: str) -> T:
    try:
        return TypeAdapter(kind).validate_json(path.read_bytes(), strict=True)
    except FileNotFoundError:
        raise errors.missing(path, stage) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise _stale(path, f"{where}: {first['msg']}" if where else first["msg"], stage) from None


def _stale(path: Path, fault: str, stage: str) -> InputError:
    return InputError(fault, path=path, fix=f"`dvc repro {stage}` creates it again")
