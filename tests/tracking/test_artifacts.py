"""What MLflow is shown, from the files of an evaluated model."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from statsmodels.stats.proportion import proportion_confint

from pipeline import files
from pipeline.analysis import metrics
from pipeline.data import dataset
from pipeline.data.formats import npz
from pipeline.params import OverfittingRule
from pipeline.tracking.artifacts import EvaluationArtifacts
from tests.support import small

ROOT = Path(__file__).parents[2]
RULE = OverfittingRule(window=2, onset=1.1, slight=1.05, strong=1.25, tolerance=0.002)


def score(value: float) -> dict[str, object]:
    """Return a split's scores, all of one value."""
    return dict.fromkeys(metrics.SCORES, value) | {"count": 10_000}


def predictions(folder: Path) -> Path:
    """Write the test probabilities of a model that takes a 4 for a 9, and return their path."""
    answers = np.eye(10, dtype=np.float32)[[0, 9, 4]]
    npz.write(folder / "p.npz", {"probabilities": answers, "labels": np.array([0, 4, 4], np.uint8)})
    return folder / "p.npz"


def evaluated(folder: Path, model: str = "cnn", reported: Path | None = None, **more: Any) -> EvaluationArtifacts:
    """Return the artifacts of a model of three epochs whose scores are all the same; `more` is of its metrics."""
    content = {"splits": {"train": score(0.5), "test": score(0.5)}, "classes": list("0123456789"), "parameters": 9}
    files.write_json(folder / "m.json", content | more)
    names = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy")
    rows = [dict.fromkeys(names, 0.5) | {"epoch": epoch} for epoch in (1, 2, 3)]
    files.write_csv(folder / "h.csv", pd.DataFrame(rows))
    dataset.save(folder / "d.npz", small.digits())
    of_test = predictions(folder), folder / "d.npz"
    return EvaluationArtifacts(model, folder / "m.json", folder / "h.csv", reported, RULE, *of_test)


@pytest.mark.parametrize(("model", "dotted"), [("cnn", True), ("unheard_of", False)])
def test_curves_have_the_reports_beside_them_where_it_has_the_model(tmp_path: Path, model: str, dotted: bool) -> None:
    """The report's history is drawn for a model that it has, and left out for another."""
    curves = evaluated(tmp_path, model, ROOT / "data" / "report_history.csv").figures()["curves.png"]

    styles = {line.get_linestyle() for panel in curves.axes for line in panel.get_lines()}
    assert (":" in styles) is dotted


def test_what_will_be_there_is_known_before_it_is_drawn(tmp_path: Path) -> None:
    """The names of the figures and tables are those under which they are logged."""
    shown = evaluated(tmp_path)

    assert shown.names() == {*shown.figures(), "scores.json", "history.csv", "mistakes.json", "card.md"}
    assert shown.names() == {*shown.figures(), *shown.tables(), "card.md"}


def texts(figure: Figure) -> list[str]:
    """Return the words on a figure, without those of its legend."""
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_the_images_that_a_model_gets_wrong_are_shown(tmp_path: Path) -> None:
    """Samples of the test images and the mistakes among them, with class and answer, have names that all runs share."""
    shown = evaluated(tmp_path).figures()

    (samples,), (mistakes,) = (shown[name].axes for name in ("samples.png", "mistakes.png"))
    image = 255 - small.digits().test.images[1]
    assert samples.images[0].get_array()[:28, 30:58].tolist() == image.tolist()
    assert mistakes.images[0].get_array()[:28, :28].tolist() == image.tolist()
    assert texts(shown["mistakes.png"]) == ["4", "\N{RIGHTWARDS ARROW}", "9"]


def test_no_figure_is_asked_for_where_there_is_no_mistake(tmp_path: Path) -> None:
    """Of a model that gets every test image right, there is no figure of mistakes, and none is missing."""
    best = evaluated(tmp_path, splits={"test": score(1.0)})
    npz.write(best.predictions, {"probabilities": np.eye(10, dtype=np.float32), "labels": np.arange(10)})

    assert "mistakes.png" not in best.names()
    assert best.names() == {*best.figures(), *best.tables(), "card.md"}


def test_a_card_says_what_a_model_is_and_how_well_it_does(tmp_path: Path) -> None:
    """It has the run's facts, the accuracy with Wilson's interval, a row per class with its name, and how to use it."""
    labels = np.repeat(np.arange(2), 50)
    answers = labels.copy()
    answers[:10] = 1
    scores = metrics.score(np.eye(2, dtype=np.float32)[answers] * 0.98 + 0.01, labels, None)
    splits = {"train": scores, "test": scores}
    files.write_json(tmp_path / "m.json", {"splits": splits, "classes": ["a|b", "pebble"], "parameters": 1234})
    shown = EvaluationArtifacts(
        "cnn", tmp_path / "m.json", tmp_path / "h.csv", None, RULE, tmp_path / "p.npz", tmp_path
    )
    tags = {"recipe": "r" * 64, "version.keras": "3.1", "mlflow.note.content": "A cnn on stones."}

    card = shown.card(tags)

    low, high = proportion_confint(90, 100, method="wilson")
    assert card.startswith("A cnn on stones.\n")
    assert f"| Accuracy | 90.00% (95% interval {100 * low:.2f}% to {100 * high:.2f}%) |" in card
    assert "| a\\|b | 50 | 80.00% | 100.00% |" in card
    assert "| pebble | 50 | 100.00% | 83.33% |" in card
    assert "| Parameters | 1,234 |" in card
    assert f"| Recipe | {'r' * 64} |" in card
    assert "| Libraries | keras 3.1 |" in card
    assert "python -m pipeline.predict --model models:/ID picture.png" in card


@pytest.mark.parametrize("kept", [None, 2])
def test_the_epoch_that_is_kept_is_a_metric_and_a_line(tmp_path: Path, kept: int | None) -> None:
    """The epoch that evaluate scored is a metric and marked in the curves, if the model keeps its best one."""
    shown = evaluated(tmp_path, **({"kept_epoch": kept} if kept else {}))

    assert shown.final_metrics().get("kept_epoch") == kept
    for panel in shown.figures()["curves.png"].axes:
        upright = [list(line.get_xdata()) for line in panel.get_lines() if line.get_linestyle() == "-."]
        assert upright == ([[2, 2]] if kept else [])


def history_of(folder: Path, losses: list[float], accuracies: list[float] | None = None) -> EvaluationArtifacts:
    """Return the artifacts of a model with these val_losses, and val_accuracies that otherwise stay."""
    table = {"epoch": range(1, len(losses) + 1), "val_loss": losses, "val_accuracy": accuracies or [0.9] * len(losses)}
    files.write_csv(folder / "h.csv", pd.DataFrame(table))
    splits = {"train": score(0.75), "test": score(0.5)}
    files.write_json(folder / "m.json", {"splits": splits, "parameters": 1_199_882})
    return EvaluationArtifacts("cnn", folder / "m.json", folder / "h.csv", None, RULE, predictions(folder), folder)


def test_the_overfitting_analysis_is_among_the_metrics(tmp_path: Path) -> None:
    """Lowest val_loss, its epoch, rise, onset and parameters are metrics, and the verdict is a tag."""
    shown = history_of(tmp_path, [0.4, 0.2, 0.21, 0.3, 0.32], [0.8, 0.9, 0.9, 0.9, 0.9])

    found = shown.final_metrics()

    assert (found["min_val_loss"], found["min_val_loss_epoch"], found["final_val_loss"]) == (0.2, 2, 0.32)
    # The lowest mean of two epochs is that of the second and third; 0.31, that of those after, is 1.1 times it or more.
    assert found["val_loss_rise"] == pytest.approx((0.3 + 0.32) / (0.2 + 0.21))
    assert found["val_loss_onset_epoch"] == 4
    assert (found["generalization_gap"], found["parameters"]) == (0.25, 1_199_882)
    assert shown.tags()["overfitting"] == "grows overconfident"


@pytest.mark.parametrize(
    ("losses", "absent", "verdict"),
    [
        ([0.4, 0.3, 0.2], {"val_loss_onset_epoch"}, "no sign"),
        ([0.4, 0.5], {"val_loss_onset_epoch", "val_loss_rise"}, "cannot be judged"),
    ],
)
def test_what_a_history_does_not_show_is_no_metric(
    tmp_path: Path, losses: list[float], absent: set[str], verdict: str
) -> None:
    """Without an onset there is none; of a history as short as the window there is no rise either."""
    shown = history_of(tmp_path, losses)

    assert {"val_loss_onset_epoch", "val_loss_rise"} - shown.final_metrics().keys() == absent
    assert shown.tags()["overfitting"] == verdict
