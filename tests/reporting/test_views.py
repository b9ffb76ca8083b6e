"""The files that DVC's own views show, against tables put together by hand."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import vl_convert

from pipeline.reporting import colours, views

ROOT = Path(__file__).parents[2]
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
    """The rows of the matrix are the true classes, by their names; cells without an image are there too."""
    table = views.confusion({"cnn": (np.array([[3, 1], [0, 2]]), ("cat", "dog"))})

    assert list(table.columns) == ["model", "true_class", "predicted_class", "count"]
    assert table.to_numpy().tolist() == [
        ["cnn", "cat", "cat", 3],
        ["cnn", "cat", "dog", 1],
        ["cnn", "dog", "cat", 0],
        ["cnn", "dog", "dog", 2],
    ]


@pytest.mark.parametrize(
    ("classes", "tilted"), [("0123456789", False), (("agate", "beryl", "T-shirt/top", "a long name of a class"), True)]
)
def test_dvcs_chart_of_the_confusion_tilts_long_names(classes: Sequence[str], tilted: bool) -> None:
    """Drawn by Vega, the names of the predicted classes are level where they are short, and do not touch else."""
    table = views.confusion({name: (np.eye(len(classes), dtype=int), classes) for name in ("cnn", "mlp")})
    template = (ROOT / ".dvc" / "plots" / "confusion_counts.json").read_text()
    anchors = {"X": "predicted_class", "Y": "true_class", "X_LABEL": "predicted", "Y_LABEL": "true", "TITLE": "Images"}
    for anchor, text in anchors.items():
        template = template.replace(f"<DVC_METRIC_{anchor}>", text)
    template = template.replace('"<DVC_METRIC_DATA>"', table.assign(rev="workspace").to_json(orient="records"))

    drawn = vl_convert.vegalite_to_svg(json.loads(template), vl_version="5.21")

    labels = [
        (name, transform) for transform, name in re.findall(r'<text [^>]*transform="([^"]+)"[^>]*>([^<]+)<', drawn)
    ]
    turned = sorted(name for name, transform in labels if "rotate(-45)" in transform)
    assert turned == (sorted([*classes] * 2) if tilted else [])
    assert set(classes) <= {name for name, _ in labels}


def test_a_score_that_a_model_does_not_have_is_left_out(tmp_path: Path) -> None:
    """A model too short to be judged has no rise; other numbers than the scores stay in metrics.json."""
    values = {"parameters": 7, "test_accuracy": 0.9, "test_loss": 0.3, "train_accuracy": 1.0, "generalization_gap": 0.1}

    views.write_scores(tmp_path, {"long": values | {"val_loss_rise": 1.2}, "short": values})

    kept = {key: value for key, value in values.items() if key != "parameters"}
    assert json.loads((tmp_path / "short.json").read_text()) == kept
    assert json.loads((tmp_path / "long.json").read_text()) == kept | {"val_loss_rise": 1.2}
