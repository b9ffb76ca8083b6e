"""What MLflow is shown, from the files of an evaluated model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline import files
from pipeline.tracking import artifacts
from pipeline.tracking.artifacts import SCORES, EvaluationArtifacts

ROOT = Path(__file__).parents[2]


def score(value: float) -> dict[str, object]:
    """Return a split's scores, all of one value."""
    return dict.fromkeys(SCORES, value) | {"confusion": np.eye(10, dtype=int).tolist()}


def test_scores_are_named_by_split_and_gaps_are_differences() -> None:
    """Accuracy's gap is train minus test, the loss's test minus train; splits that are not there have no metric."""
    flat = artifacts.flat({"train": score(0.75), "test": score(0.5)})

    assert flat["test_brier"] == 0.5
    assert flat["train_errors"] == 0.75
    assert flat["generalization_gap"] == 0.25
    assert flat["loss_gap"] == -0.25
    assert not [name for name in flat if name.startswith("validation")]


@pytest.mark.parametrize(("model", "dashed"), [("cnn", True), ("unheard_of", False)])
def test_curves_have_the_reports_beside_them_where_it_has_the_model(tmp_path: Path, model: str, dashed: bool) -> None:
    """The report's history is drawn for a model that it has, and left out for another."""
    files.write_json(
        tmp_path / "m.json", {"classes": list("0123456789"), "splits": {"train": score(0.5), "test": score(0.5)}}
    )
    names = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy")
    files.write_csv(tmp_path / "h.csv", pd.DataFrame([dict.fromkeys(names, 0.5) | {"epoch": 1}]))
    shown = EvaluationArtifacts(model, tmp_path / "m.json", tmp_path / "h.csv", ROOT / "data" / "report_history.csv")

    curves = shown.figures()["curves.png"]

    styles = {line.get_linestyle() for panel in curves.axes for line in panel.get_lines()}
    assert ("--" in styles) is dashed


def test_what_will_be_there_is_known_before_it_is_drawn(tmp_path: Path) -> None:
    """The names of the figures and tables are those under which they are logged."""
    files.write_json(
        tmp_path / "m.json", {"classes": list("0123456789"), "splits": {"train": score(0.5), "test": score(0.5)}}
    )
    names = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy")
    files.write_csv(tmp_path / "h.csv", pd.DataFrame([dict.fromkeys(names, 0.5) | {"epoch": 1}]))
    shown = EvaluationArtifacts("cnn", tmp_path / "m.json", tmp_path / "h.csv", None)

    assert shown.names() == {*shown.figures(), "scores.json", "history.csv"}


def test_the_likelihood_is_shown_if_it_is_not_the_loss() -> None:
    """The negative log-likelihood is a metric of its own only for a model whose loss is another number."""
    clipped, unclipped = score(0.5), score(0.5) | {"loss": 0.7}

    assert "train_negative_log_likelihood" not in artifacts.flat({"train": clipped, "test": clipped})
    flat = artifacts.flat({"train": clipped, "test": unclipped})
    assert (flat["test_loss"], flat["test_negative_log_likelihood"]) == (0.7, 0.5)
