"""The files that DVC's own views show, against tables put together by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from pipeline.reporting import colours, views

FIRST = pd.DataFrame(
    {"epoch": [1, 2], "loss": [0.5, 0.25], "accuracy": [0.8, 0.9], "val_loss": [0.4, 0.3], "val_accuracy": [0.85, 0.95]}
)
SECOND = FIRST.head(1) / 2
SECOND["epoch"] = 1


def test_curves_are_long_and_have_the_figures_colours() -> None:
    """Each model has its training rows, then the monitored ones, in the order of its epochs, in its own colour."""
    table = views.curves({"cnn": FIRST, "other": SECOND}, "validation")

    looks = colours.of_models(["cnn", "other"])
    own, others = looks["cnn"].colour, looks["other"].colour
    assert own != others
    assert list(table.columns) == ["model", "split", "epoch", "loss", "accuracy", "colour"]
    assert table.to_numpy().tolist() == [
        ["cnn", "train", 1, 0.5, 0.8, own],
        ["cnn", "train", 2, 0.25, 0.9, own],
        ["cnn", "validation", 1, 0.4, 0.85, own],
        ["cnn", "validation", 2, 0.3, 0.95, own],
        ["other", "train", 1, 0.25, 0.4, others],
        ["other", "validation", 1, 0.2, 0.425, others],
    ]


def test_confusion_has_a_row_for_each_cell() -> None:
    """The rows of the matrix are the true classes; cells without an image are there too."""
    table = views.confusion({"cnn": [[3, 1], [0, 2]]})

    assert list(table.columns) == ["model", "true_class", "predicted_class", "count"]
    assert table.to_numpy().tolist() == [["cnn", 0, 0, 3], ["cnn", 0, 1, 1], ["cnn", 1, 0, 0], ["cnn", 1, 1, 2]]


def test_a_score_that_a_model_does_not_have_is_left_out(tmp_path: Path) -> None:
    """A model too short to be judged has no rise; other numbers than the scores stay in metrics.json."""
    values = {"parameters": 7, "test_accuracy": 0.9, "test_loss": 0.3, "train_accuracy": 1.0, "generalization_gap": 0.1}

    views.write_scores(tmp_path, {"long": values | {"val_loss_rise": 1.2}, "short": values})

    kept = {key: value for key, value in values.items() if key != "parameters"}
    assert json.loads((tmp_path / "short.json").read_text()) == kept
    assert json.loads((tmp_path / "long.json").read_text()) == kept | {"val_loss_rise": 1.2}
