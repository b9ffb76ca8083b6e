"""What MLflow shows of an evaluated model: scores, overfitting analysis, figures and tables, all from files of DVC.

Its card is for whoever gets the model alone: what it is, how good, what is not known of it, how to use it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline import dvc_lock, files
from pipeline.analysis import metrics, mistakes, overfitting, proportions
from pipeline.analysis.overfitting import Analysis
from pipeline.data import dataset
from pipeline.data.formats import npz
from pipeline.params import OverfittingRule
from pipeline.reporting import render
from pipeline.tracking.description import NOTE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The tag with the verdict on overfitting.
VERDICT = "overfitting"
# The metrics that only some histories have.
OPTIONAL = ("val_loss_rise", "val_loss_onset_epoch")
# In the root directory and without the model's name: MLflow's compare view shows only such files side by side.
_CURVES, _CONFUSION, _HISTORY, _SCORES = "curves.png", "confusion.png", "history.csv", "scores.json"
_SAMPLES, _PICTURES = "samples.png", "mistakes.png"
# Test images in rows and columns, and those of the surest mistakes, as many as the report pictures.
_GRID, _PICTURED = 9, 60
# A table of MLflow, as its log_table writes one, which appends to a table that is there; the tag says that it is one.
_MISTAKES = "mistakes.json"
CARD = "card.md"
_TABLES = {"mlflow.loggedArtifacts": json.dumps([{"path": _MISTAKES, "type": "table"}])}
# Of the card: the scores, and what is shown of a run's tags, with what it is called.
_SHOWN = ("accuracy", "balanced_accuracy", "macro_f1", "loss", "calibration_error", "brier")
_FACTS = {"data.md5": "Data (md5)", "recipe": "Recipe", "seed": "Seed"}
_USE = (
    "```sh",
    "python -m pipeline.predict --model models:/ID picture.png    # the ID is on the model's page in MLflow",
    "```",
)
_LIMITS = """\
- The interval is for other images of the same kind. Another seed moves the scores, too: by how much, the study says.
- Of images of another kind, such as other cameras, hands or classes, nothing is known: it answers all the same.
- Its probabilities are as good as the calibration error says, and no reason to leave a decision to it."""


@dataclass(frozen=True)
class EvaluationArtifacts:
    """The files with a model's scores, history (and the original's, None if of other data), test probabilities, data.

    `rule` says when the history counts as overfitting.
    """

    model: str
    metrics: Path
    history: Path
    reported: Path | None
    rule: OverfittingRule
    predictions: Path
    data: Path

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
        wrong = files.read_json(self.metrics)["splits"]["test"]["accuracy"] < 1
        return {_CURVES, _CONFUSION, _SAMPLES, _HISTORY, _SCORES, _MISTAKES, CARD, *[_PICTURES] * wrong}

    def card(self, tags: Mapping[str, str]) -> str:
        """Return the card, in Markdown, of the model whose run has these tags.

        What only some runs of a recipe have, as the commit and the processor, is not on it: a run may be restored.
        """
        content = files.read_json(self.metrics)
        splits = content["splits"]
        libraries = [f"{key.removeprefix('version.')} {tags[key]}" for key in tags if key.startswith("version.")]
        facts = {name: tags[key] for key, name in _FACTS.items() if key in tags}
        rows = {"Parameters": render.thousands(content["parameters"]), **facts, "Libraries": ", ".join(libraries)}
        lines = [tags.get(NOTE, self.model), "", "| | |", "|---|---|"]
        lines += [f"| {key} | {value} |" for key, value in rows.items()]
        lines += ["", "## Scores", "", *_score_table(splits)]
        if "per_class" in splits["test"]:
            lines += ["", "## Test images of each class", "", *_class_table(splits["test"], content["classes"])]
        return "\n".join([*lines, "", "## Limits", "", _LIMITS, "", "## Use", "", *_USE, ""])

    def figures(self) -> dict[str, Figure]:
        """Return the model's curves, its confusion matrix on the test images, and some of these, by name in MLflow."""
        # Imported late: a run that has its figures needs no matplotlib.
        from pipeline.reporting.plots import classification, curves

        content = files.read_json(self.metrics)
        arrays, classes = self._predicted(), content["classes"]
        matrix = metrics.confusion(arrays["probabilities"], arrays["labels"])
        history, kept = files.read_csv(self.history), content.get("kept_epoch")
        training = curves.training(history, self._reported(), self.model, kept)
        confusion = classification.confusion(matrix, classes, self.model)
        return {_CURVES: training, _CONFUSION: confusion, **self._pictures(arrays, classes)}

    def _pictures(self, of: Mapping[str, NDArray[Any]], classes: list[str]) -> dict[str, Figure]:
        """Return the first test images, and those of the surest mistakes, if there are any."""
        from pipeline.reporting.plots import grids

        test, summary = dataset.load(self.data).test, dvc_lock.summary(files.md5(self.data)) or {}
        answers, wrong = of["probabilities"].argmax(axis=1), mistakes.surest(of["probabilities"], of["labels"])

        def drawn(chosen: NDArray[np.int64]) -> NDArray[np.uint8]:
            return grids.drawn(test.images[chosen], negative=summary.get("negative", False))

        samples = grids.samples(drawn(grids.first(test.labels, _GRID**2)), _GRID, _GRID)
        if not (wrong := wrong[:_PICTURED]).size:
            return {_SAMPLES: samples}
        gallery = grids.gallery(drawn(wrong), of["labels"][wrong], {self.model: answers[wrong]}, classes)
        return {_SAMPLES: samples, _PICTURES: gallery}

    def tables(self) -> dict[str, str]:
        """Return history and scores as in their files, and the mistakes on the test images, by name in MLflow."""
        scores, of = self.metrics.read_text(encoding="utf-8"), self._predicted()
        classes = json.loads(scores)["classes"]
        wrong = mistakes.table(of["probabilities"], of["labels"], classes, of.get("origins"))
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


def _score_table(splits: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    names = [name for name in reversed(metrics.SPLITS) if name in splits]
    heads = [f"{name} ({splits[name]['count']:,} images)" for name in names]
    yield f"| Score, without dropout | {' | '.join(heads)} |"
    yield "|---" * (len(names) + 1) + "|"
    for score in _SHOWN:
        if score in splits["test"]:
            cells = [
                metrics.SCORES[score].title or score.capitalize(),
                *(_value(splits[name], score) for name in names),
            ]
            yield f"| {' | '.join(cells)} |"


def _value(scores: Mapping[str, Any], name: str) -> str:
    if name != "accuracy" or "errors" not in scores:
        return render.fixed(scores[name], 4)
    low, high = proportions.wilson(scores["count"] - scores["errors"], scores["count"])
    return f"{render.percent(scores[name])} (95% interval {render.percent(low)} to {render.percent(high)})"


def _class_table(scores: Mapping[str, Any], classes: list[str]) -> Iterator[str]:
    yield "| Class | Images | Recall | Precision |"
    yield "|---|---:|---:|---:|"
    for name, found in zip(classes, scores["per_class"], strict=True):
        shares = " | ".join(
            "-" if found[key] is None else render.percent(found[key]) for key in ("recall", "precision")
        )
        yield f"| {render.literal(name)} | {found['support']:,} | {shares} |"
