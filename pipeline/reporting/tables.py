"""The report's tables as numbers: what each model scored, beside what the original report printed for it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.analysis import metrics, overfitting, proportions
from pipeline.analysis.overfitting import Analysis
from pipeline.data import original
from pipeline.params import Model, OverfittingRule
from pipeline.reporting.inputs import Metrics, ModelResult

TARGET = 0.98


@dataclass(frozen=True)
class Scores:
    """A row of comparison.csv. Accuracies and their interval are within [0, 1], losses in nats per image.

    `epochs_to_98`: the first epoch whose val_accuracy is at least 0.98, None if there is none.
    `clipped_loss`: the test loss with probabilities clipped as in the report, whatever the model's own loss does.
    """

    parameters: int
    epochs: int
    test_accuracy: float
    test_accuracy_low: float
    test_accuracy_high: float
    test_errors: int
    test_loss: float
    clipped_loss: float
    train_accuracy: float
    generalization_gap: float
    test_calibration_error: float
    seconds_per_epoch: float
    epochs_to_98: int | None


@dataclass(frozen=True)
class Reported:
    """The report's printed figures for the model of the same name; differences are ours less the report's.

    `errors` follow from its accuracy, `low` and `high` are the accuracy's Wilson 95% interval, `within` says whether
    ours lies in it.
    """

    epochs: int
    accuracy: float
    low: float
    high: float
    errors: int
    loss: float
    epochs_to_98: int | None
    seconds_per_epoch: float
    accuracy_difference: float
    errors_difference: int
    loss_difference: float
    within: bool


@dataclass(frozen=True)
class ModelRow:
    """One model, judged; `reported` and `reported_analysis` are None where the report has no such model."""

    name: str
    model: Model
    metrics: Metrics
    scores: Scores
    analysis: Analysis
    reported: Reported | None
    reported_analysis: Analysis | None

    @property
    def loss_gap(self) -> float:
        """Test loss less train loss, both in inference mode."""
        return self.metrics.splits["test"].loss - self.metrics.splits["train"].loss

    @property
    def commonest_errors(self) -> tuple[int, list[tuple[int, int]]]:
        """The count of the most frequent confusion on the test images, and each (truth, answer) with that count."""
        confusion = np.array(self.metrics.splits["test"].confusion)
        np.fill_diagonal(confusion, 0)
        count = int(confusion.max())
        return count, [(int(truth), int(answer)) for truth, answer in np.argwhere(confusion == count)] if count else []

    def comparison(self) -> dict[str, Any]:
        """Return the model's row of comparison.csv."""
        return {"model": self.name, **asdict(self.scores), **_prefixed(self.reported)}

    def overfitting(self) -> dict[str, Any]:
        """Return the model's row of overfitting.csv."""
        measured = {"loss_gap": self.loss_gap, "generalization_gap": self.scores.generalization_gap}
        return {"model": self.name, **asdict(self.analysis), **measured, **_prefixed(self.reported_analysis)}

    def flat(self) -> dict[str, float]:
        """Return the model's entry of metrics.json, which holds no seconds: they would change with every run."""
        scores = {
            f"{split}_{name}": getattr(score, name)
            for split, score in self.metrics.splits.items()
            for name in ("accuracy", "loss")
        }
        test = self.metrics.splits["test"]
        return {
            "parameters": self.scores.parameters,
            "epochs": self.scores.epochs,
            **scores,
            "test_errors": test.errors,
            "test_calibration_error": test.calibration_error,
            "test_brier": test.brier,
            "generalization_gap": self.scores.generalization_gap,
            "loss_gap": self.loss_gap,
            "final_val_loss": self.analysis.final_val_loss,
            "min_val_loss": self.analysis.min_val_loss,
            "min_val_loss_epoch": self.analysis.min_val_loss_epoch,
            "val_loss_rise": self.analysis.rise,
        }


def row(result: ModelResult, reported: pd.DataFrame | None, rule: OverfittingRule) -> ModelRow:
    """Judge one model; `reported` are the report's rows for it (epoch, ..., seconds), None where it has none."""
    scores = _scores(result)
    beside = None if reported is None else _beside(scores, reported)
    analysed = None if reported is None else overfitting.analyse(reported, rule)
    analysis = overfitting.analyse(result.history, rule)
    return ModelRow(result.name, result.model, result.metrics, scores, analysis, beside, analysed)


def calibration(result: ModelResult) -> pd.DataFrame:
    """Return a row per bin of confidence: confidence, accuracy, its Wilson 95% interval (low, high), count."""
    bins = metrics.reliability(result.probabilities, result.labels)
    hits = np.rint(np.nan_to_num(bins.accuracy) * bins.count).astype(int)
    intervals = [proportions.wilson(k, n) if n else (np.nan, np.nan) for k, n in zip(hits, bins.count, strict=True)]
    low, high = zip(*intervals, strict=True)
    table = {"confidence": bins.confidence, "accuracy": bins.accuracy, "low": low, "high": high, "count": bins.count}
    return pd.DataFrame(table)


def _scores(result: ModelResult) -> Scores:
    train, test = result.metrics.splits["train"], result.metrics.splits["test"]
    low, high = proportions.wilson(test.count - test.errors, test.count)
    return Scores(
        parameters=result.metrics.parameters,
        epochs=result.metrics.epochs,
        test_accuracy=test.accuracy,
        test_accuracy_low=low,
        test_accuracy_high=high,
        test_errors=test.errors,
        test_loss=test.loss,
        clipped_loss=test.negative_log_likelihood,
        train_accuracy=train.accuracy,
        generalization_gap=train.accuracy - test.accuracy,
        test_calibration_error=test.calibration_error,
        seconds_per_epoch=float(result.seconds.mean()),
        epochs_to_98=_epochs_to_target(result.history),
    )


def _beside(ours: Scores, reported: pd.DataFrame) -> Reported:
    last = reported.iloc[-1]
    errors = round((1 - last["val_accuracy"]) * original.TEST_IMAGES)
    low, high = proportions.wilson(original.TEST_IMAGES - errors, original.TEST_IMAGES)
    return Reported(
        epochs=len(reported),
        accuracy=float(last["val_accuracy"]),
        low=low,
        high=high,
        errors=errors,
        loss=float(last["val_loss"]),
        epochs_to_98=_epochs_to_target(reported),
        seconds_per_epoch=float(reported["seconds"].mean()),
        accuracy_difference=ours.test_accuracy - float(last["val_accuracy"]),
        errors_difference=ours.test_errors - errors,
        loss_difference=ours.clipped_loss - float(last["val_loss"]),
        within=low <= ours.test_accuracy <= high,
    )


def _epochs_to_target(history: pd.DataFrame) -> int | None:
    reached = history.loc[history["val_accuracy"] >= TARGET, "epoch"]
    return None if reached.empty else int(reached.iloc[0])


def _prefixed(figures: Reported | Analysis | None) -> dict[str, Any]:
    return {} if figures is None else {f"report_{name}": value for name, value in asdict(figures).items()}
