"""What MLflow shows of an evaluated model: scores, figures and tables, reproducible from the files that DVC keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import files

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCORES = ("accuracy", "loss", "negative_log_likelihood", "errors", "calibration_error", "brier")
# In the root directory and without the model's name: MLflow's compare view shows only such files side by side.
_CURVES, _CONFUSION, _HISTORY, _SCORES = "curves.png", "confusion.png", "history.csv", "scores.json"


@dataclass(frozen=True)
class EvaluationArtifacts:
    """The files with a model's scores and history, and with the original's histories (None if of other data)."""

    model: str
    metrics: Path
    history: Path
    reported: Path | None

    def final_metrics(self) -> dict[str, float]:
        """Return the scores as flat metrics, such as `test_accuracy`, with the generalization gaps."""
        return flat(files.read_json(self.metrics)["splits"])

    def names(self) -> set[str]:
        """Return the names in MLflow of the figures and tables."""
        return {_CURVES, _CONFUSION, *self.tables()}

    def figures(self) -> dict[str, Figure]:
        """Return the model's curves and its confusion matrix on the test images, by name in MLflow."""
        # Imported late: a run that has its figures needs no matplotlib.
        from pipeline.reporting.plots import classification, curves

        metrics = files.read_json(self.metrics)
        matrix, classes = metrics["splits"]["test"]["confusion"], metrics["classes"]
        training = curves.training(files.read_csv(self.history), self._reported(), self.model)
        return {_CURVES: training, _CONFUSION: classification.confusion(matrix, classes, self.model)}

    def tables(self) -> dict[str, Path]:
        """Return the files that are logged as they are, by name in MLflow."""
        return {_HISTORY: self.history, _SCORES: self.metrics}

    def _reported(self) -> Any:
        if self.reported is None:
            return None
        table = files.read_csv(self.reported)
        rows = table[table["model"] == self.model]
        return None if rows.empty else rows


def flat(splits: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Return scores as `SPLIT_SCORE`, and generalization gaps: accuracy train - test, loss test - train.

    The negative log-likelihood is left out if it is the loss, as it is for a model whose loss is clipped at 1e-7.
    """
    scores = {
        f"{split}_{name}": float(score[name])
        for split, score in splits.items()
        for name in SCORES
        if name != "negative_log_likelihood" or score[name] != score["loss"]
    }
    return scores | {
        "generalization_gap": scores["train_accuracy"] - scores["test_accuracy"],
        "loss_gap": scores["test_loss"] - scores["train_loss"],
    }
