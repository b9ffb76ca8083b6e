"""What MLflow shows of an evaluated model: scores, overfitting analysis, figures and tables, all from files of DVC."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from pipeline import files
from pipeline.analysis import metrics, mistakes, overfitting
from pipeline.analysis.overfitting import Analysis
from pipeline.data.formats import npz
from pipeline.params import OverfittingRule
from pipeline.tracking import card
from pipeline.tracking.description import NOTE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The tag with the verdict on overfitting.
VERDICT = "overfitting"
# The metrics that only some histories have.
OPTIONAL = ("val_loss_rise", "val_loss_onset_epoch")
# In the root directory and without the model's name: MLflow's compare view shows only such files side by side.
_CURVES, _CONFUSION, _HISTORY, _SCORES = "curves.png", "confusion.png", "history.csv", "scores.json"
# A table of MLflow, as its log_table writes one, which appends to a table that is there; the tag says that it is one.
_MISTAKES = "mistakes.json"
CARD = "card.md"
_TABLES = {"mlflow.loggedArtifacts": json.dumps([{"path": _MISTAKES, "type": "table"}])}


@dataclass(frozen=True)
class EvaluationArtifacts:
    """The files with a model's scores, test probabilities and history, and the original's (None if of other data).

    `rule` says when the history counts as overfitting.
    """

    model: str
    metrics: Path
    history: Path
    reported: Path | None
    rule: OverfittingRule
    predictions: Path

    def final_metrics(self) -> dict[str, float]:
        """Return the scores as flat metrics, such as `test_accuracy`, the gaps, and the figures of the history.

        `kept_epoch` is the epoch that they are of, if the model keeps its best one.
        """
        content, analysis = files.read_json(self.metrics), self.analysis()
        found = metrics.flat(content["splits"]) | metrics.gaps(content["splits"]) | analysis.flat()
        found |= {"val_loss_onset_epoch": analysis.onset_epoch} if analysis.onset_epoch else {}
        return found | {name: content[name] for name in ("parameters", "kept_epoch") if name in content}

    def tags(self) -> dict[str, str]:
        """Return the verdict on overfitting as a tag, and that the mistakes are a table of MLflow."""
        return {VERDICT: str(self.analysis().verdict), **_TABLES}

    def analysis(self) -> Analysis:
        """Return the overfitting analysis of the history."""
        splits = files.read_json(self.metrics)["splits"]
        return overfitting.analyse(files.read_csv(self.history), self.rule, metrics.monitored(splits)["count"])

    def names(self) -> set[str]:
        """Return the names in MLflow of the figures and tables."""
        return {_CURVES, _CONFUSION, _HISTORY, _SCORES, _MISTAKES, CARD}

    def card(self, tags: Mapping[str, str]) -> str:
        """Return the card of the model whose run has these tags; of a run that was restored it is the same."""
        return card.model_card(files.read_json(self.metrics), tags.get(NOTE, self.model), tags)

    def figures(self) -> dict[str, Figure]:
        """Return the model's curves and its confusion matrix on the test images, by name in MLflow."""
        # Imported late: a run that has its figures needs no matplotlib.
        from pipeline.reporting.plots import classification, curves

        content = files.read_json(self.metrics)
        arrays, classes = self._predicted(), content["classes"]
        matrix = metrics.confusion(arrays["probabilities"], arrays["labels"])
        history, kept = files.read_csv(self.history), content.get("kept_epoch")
        training = curves.training(history, self._reported(), self.model, kept)
        return {_CURVES: training, _CONFUSION: classification.confusion(matrix, classes, self.model)}

    def tables(self) -> dict[str, str]:
        """Return history and scores as in their files, and the mistakes on the test images, by name in MLflow."""
        scores = self.metrics.read_text(encoding="utf-8")
        wrong = mistakes.table(**self._predicted(), classes=json.loads(scores)["classes"])
        table = wrong.to_json(orient="split", index=False)
        return {_HISTORY: self.history.read_text(encoding="utf-8"), _SCORES: scores, _MISTAKES: table}

    def _predicted(self) -> dict[str, NDArray[Any]]:
        return npz.read(self.predictions, stage=f"evaluate@{self.model}")

    def _reported(self) -> Any:
        if self.reported is None:
            return None
        table = files.read_csv(self.reported)
        rows = table[table["model"] == self.model]
        return None if rows.empty else rows
