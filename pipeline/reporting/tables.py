"""The report's tables as numbers: what each model scored, and what the original printed for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.analysis import metrics, overfitting, proportions, time_to_target
from pipeline.analysis.overfitting import Analysis
from pipeline.data import original
from pipeline.data.dataset import Dataset
from pipeline.params import OverfittingRule
from pipeline.reporting.inputs import Metrics, ModelResult
from pipeline.training.settings import Model


@dataclass(frozen=True)
class ModelRow:
    """All figures of one model; `reported` and `reported_analysis` are None if the original has no such model.

    `scores`, `reported` and `kept` are as in comparison.csv, see the functions of these names below. `scores` are those
    of the weights that the model keeps, and `analysis` is that of all epochs.
    """

    name: str
    model: Model
    metrics: Metrics
    scores: dict[str, Any]
    analysis: Analysis
    reported: dict[str, Any] | None
    reported_analysis: Analysis | None
    kept: dict[str, float]
    confusion: NDArray[np.int64]
    per_class: list[dict[str, Any]]

    @property
    def commonest_errors(self) -> tuple[int, list[tuple[int, int]]]:
        """The count of the most frequent confusion on the test images, and each (truth, answer) with that count."""
        errors = np.where(np.eye(len(self.confusion), dtype=bool), 0, self.confusion)
        count = int(errors.max())
        return count, [(int(truth), int(answer)) for truth, answer in np.argwhere(errors == count)] if count else []

    @property
    def never_predicted(self) -> list[int]:
        """The classes that are the answer to no test image."""
        return np.flatnonzero(self.confusion.sum(axis=0) == 0).tolist()

    @property
    def classes_by_f1(self) -> list[tuple[int, dict[str, Any]]]:
        """The classes with their scores on the test images, worst first; those without an image last."""
        return sorted(
            enumerate(self.per_class), key=lambda item: (not item[1]["support"], item[1]["f1"], item[1]["recall"])
        )

    def comparison(self) -> dict[str, Any]:
        """Return the model's row of comparison.csv."""
        return {"model": self.name, **self.scores, **self.kept, **_prefixed(self.reported)}

    def overfitting(self) -> dict[str, Any]:
        """Return the model's row of overfitting.csv."""
        gaps = dict(reversed(metrics.gaps(self.metrics.splits).items()))
        theirs = self.reported_analysis.row() if self.reported_analysis else {}
        return {"model": self.name, **self.analysis.row(), **gaps, **_prefixed(theirs)}

    def flat(self) -> dict[str, float]:
        """Return the model's entry of metrics.json.

        It has no seconds, which would change with every run, and no rise if there are too few epochs to judge one, so
        that no gate passes on it.
        """
        return {
            "parameters": self.metrics.parameters,
            "epochs": self.metrics.epochs,
            **metrics.flat(self.metrics.splits, lambda score: score.gate),
            **metrics.gaps(self.metrics.splits),
            **self.analysis.flat(),
            **self.kept,
        }


def row(
    result: ModelResult, reported: pd.DataFrame | None, rule: OverfittingRule, target: float | None = None
) -> ModelRow:
    """Return the figures of one model; `reported` are the original's rows for it (epoch, ..., seconds), if any.

    `target` is the val_accuracy until which epochs are counted.
    """
    scores = _scores(result, target)
    printed = None if reported is None else _reported(result.metrics.splits["test"], reported, target)
    analysed = None if reported is None else overfitting.analyse(reported, rule, original.TEST_IMAGES)
    analysis = overfitting.analyse(result.history, rule, metrics.monitored(result.metrics.splits)["count"])
    return ModelRow(
        result.name,
        result.model,
        result.metrics,
        scores,
        analysis,
        printed,
        analysed,
        _kept(result),
        metrics.confusion(result.probabilities, result.labels),
        metrics.per_class(result.probabilities, result.labels),
    )


def calibration(result: ModelResult) -> pd.DataFrame:
    """Return a row per bin of confidence: mean confidence, accuracy, its Wilson 95% interval (low, high), count."""
    bins = metrics.reliability(result.probabilities, result.labels)
    hits = np.rint(np.nan_to_num(bins.accuracy) * bins.count).astype(int)
    intervals = [proportions.wilson(k, n) if n else (np.nan, np.nan) for k, n in zip(hits, bins.count, strict=True)]
    low, high = zip(*intervals, strict=True)
    table = {"confidence": bins.confidence, "accuracy": bins.accuracy, "low": low, "high": high, "count": bins.count}
    return pd.DataFrame(table)


def largest_class(data: Dataset) -> tuple[int, float]:
    """Return the class with the most training images, and the test accuracy of always answering it."""
    largest = int(np.bincount(data.train.labels).argmax())
    return largest, float(np.mean(data.test.labels == largest))


def _kept(result: ModelResult) -> dict[str, float]:
    """Return the epoch whose weights a model keeps, its scores on held-out images, and the last epoch's; or nothing."""
    if (epoch := result.metrics.kept_epoch) is None:
        return {}
    rows = {"kept": result.history.iloc[epoch - 1], "last": result.history.iloc[-1]}
    names = ("val_loss", "val_accuracy")
    return {"kept_epoch": epoch} | {f"{which}_{name}": float(rows[which][name]) for which in rows for name in names}


def _scores(result: ModelResult, target: float | None) -> dict[str, Any]:
    """Return what comparison.csv has of a model: accuracies and their interval within [0, 1], losses in nats per image.

    `epochs_to_target`: the first epoch whose val_accuracy is at least `target`, None if there is none.
    """
    splits, test = result.metrics.splits, result.metrics.splits["test"]
    low, high = proportions.wilson(test["count"] - test["errors"], test["count"])
    return {
        "parameters": result.metrics.parameters,
        "epochs": result.metrics.epochs,
        "test_accuracy": test["accuracy"],
        "test_accuracy_low": low,
        "test_accuracy_high": high,
        "test_errors": test["errors"],
        "test_loss": test["loss"],
        "train_accuracy": splits["train"]["accuracy"],
        "generalization_gap": metrics.gaps(splits)["generalization_gap"],
        **{f"test_{name}": test[name] for name in titled(test)},
        "seconds_per_epoch": float(result.seconds.mean()),
        "epochs_to_target": _epochs_to_target(result.history, target),
    }


def titled(scores: Mapping[str, Any]) -> dict[str, metrics.Score]:
    """Return those among the scores of a split that have a row in the table of results by their title."""
    return {name: score for name, score in metrics.SCORES.items() if score.title and name in scores}


def _reported(ours: Mapping[str, Any], reported: pd.DataFrame, target: float | None) -> dict[str, Any]:
    """Return the scores printed in the original for the model of the same name; differences are ours minus these.

    `errors` is derived from its accuracy, `low` and `high` are the accuracy's Wilson 95% interval, `within` is True if
    our accuracy lies in it. `loss_difference` compares losses with probabilities clipped as in the original.
    """
    last = reported.iloc[-1]
    errors = round((1 - last["val_accuracy"]) * original.TEST_IMAGES)
    interval = proportions.wilson(original.TEST_IMAGES - errors, original.TEST_IMAGES)
    return {
        "epochs": len(reported),
        "accuracy": float(last["val_accuracy"]),
        **interval._asdict(),
        "errors": errors,
        "loss": float(last["val_loss"]),
        "epochs_to_target": _epochs_to_target(reported, target),
        "seconds_per_epoch": float(reported["seconds"].mean()),
        "accuracy_difference": ours["accuracy"] - float(last["val_accuracy"]),
        "errors_difference": ours["errors"] - errors,
        "loss_difference": ours[metrics.LIKELIHOOD] - float(last["val_loss"]),
        "within": interval.low <= ours["accuracy"] <= interval.high,
    }


def _epochs_to_target(history: pd.DataFrame, target: float | None) -> int | None:
    return None if target is None else time_to_target.epochs_to([history["val_accuracy"]], target).smallest


def _prefixed(figures: Mapping[str, Any] | None) -> dict[str, Any]:
    return {f"original_{name}": value for name, value in (figures or {}).items()}
