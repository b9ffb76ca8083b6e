"""The report's tables, against formulas and loops."""

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pipeline.analysis import overfitting
from pipeline.data.dataset import Dataset, Split
from pipeline.params import Params
from pipeline.reporting import tables
from pipeline.reporting.inputs import Metrics, ModelResult

EPOCHS = 5
COUNT = 10_000


def score(count: int, errors: int, loss: float, **changes: Any) -> dict[str, Any]:
    """Return a score with made-up values where none is given."""
    content = {
        "count": count,
        "errors": errors,
        "accuracy": (count - errors) / count,
        "loss": loss,
        "negative_log_likelihood": loss / 2,
        "calibration_error": 0.01,
        "balanced_accuracy": 0.97,
        "macro_f1": 0.96,
        "brier": 0.02,
    }
    return content | changes


def history(val_accuracy: list[float], val_loss: list[float]) -> pd.DataFrame:
    """Return a history with the given monitored values."""
    columns = {"loss": 0.1, "accuracy": 0.9, "val_loss": val_loss, "val_accuracy": val_accuracy}
    return pd.DataFrame({"epoch": range(1, len(val_loss) + 1), **columns})


def result(
    values: Params, errors: int = 150, test: dict[str, Any] | None = None, validation: bool = False
) -> ModelResult:
    """Return the made-up result of a model with `errors` test errors."""
    splits = {"train": score(60_000, 60, 0.02)}
    if validation:
        splits["validation"] = score(5_000, 77, 0.07)
    splits["test"] = score(COUNT, errors, 0.09, **(test or {}))
    measured = Metrics("m", 669_706, EPOCHS, {"keras": "3"}, list("0123456789"), splits)
    monitored = history([0.96, 0.979, 0.98, 0.97, 0.985], [0.2, 0.1, 0.08, 0.09, 0.1])
    seconds = np.array([3.0, 2.0, 2.5, 2.0, 1.0])
    labels = np.zeros(1, np.uint8)
    return ModelResult("m", values.models["mlp_rmsprop"], measured, monitored, seconds, (), np.eye(1, 10), labels)


def answering(made: ModelResult, confusion: np.ndarray) -> ModelResult:
    """Return the result with certain answers that have this confusion matrix."""
    cells = [cell for cell, count in np.ndenumerate(confusion) for _ in range(count)]
    labels, answers = np.array(cells, np.uint8).T
    return dataclasses.replace(made, probabilities=np.eye(10, dtype=np.float32)[answers], labels=labels)


@pytest.fixture
def reported() -> pd.DataFrame:
    """Return a made-up history of the original: 166 errors in the end."""
    table = history([0.95, 0.9834], [0.12, 0.11])
    return table.assign(model="m", seconds=[15.0, 13.0])


def wilson(successes: int, n: int) -> tuple[float, float]:
    """Return Wilson's 95% interval, as scipy has it."""
    low, high = stats.binomtest(successes, n).proportion_ci(method="wilson")
    return low, high


def test_scores_follow_from_metrics_history_and_seconds(values: Params) -> None:
    """The interval is Wilson's, the gap train minus test accuracy, seconds are a mean, 98% is counted when reached.

    Where the data set states no target accuracy, nothing is counted.
    """
    row = tables.row(result(values), None, values.overfitting, 0.98)

    scores = row.scores
    assert (scores["test_accuracy_low"], scores["test_accuracy_high"]) == pytest.approx(wilson(9850, COUNT))
    assert scores["generalization_gap"] == pytest.approx(0.999 - 0.985)
    assert scores["seconds_per_epoch"] == pytest.approx(10.5 / 5)
    assert scores["epochs_to_target"] == 3
    assert (scores["test_errors"], scores["test_loss"]) == (150, 0.09)
    assert tables.row(result(values), None, values.overfitting).scores["epochs_to_target"] is None


def test_reported_figures_are_those_of_its_last_epoch(values: Params, reported: pd.DataFrame) -> None:
    """Errors follow from the accuracy, differences are ours minus the original's, losses are compared clipped.

    If no epoch reaches 98%, there is no such epoch.
    """
    found = tables.row(result(values), reported, values.overfitting, 0.98).reported

    assert found is not None
    expected = {"accuracy": 0.9834, "errors": 166, "loss": 0.11, "epochs": 2, "epochs_to_target": 2}
    assert {name: found[name] for name in expected} == expected
    assert (found["low"], found["high"]) == pytest.approx(wilson(9834, COUNT))
    assert found["seconds_per_epoch"] == 14
    assert found["errors_difference"] == 150 - 166
    assert found["accuracy_difference"] == pytest.approx(0.985 - 0.9834)
    assert found["loss_difference"] == pytest.approx(0.045 - 0.11)
    slow = tables.row(result(values), reported.assign(val_accuracy=[0.95, 0.9799]), values.overfitting, 0.98).reported
    assert slow is not None
    assert slow["epochs_to_target"] is None


@pytest.mark.parametrize(("errors", "within"), [(142, False), (143, True), (192, True), (193, False)])
def test_within_is_inside_the_interval_of_the_original(
    values: Params, reported: pd.DataFrame, errors: int, within: bool
) -> None:
    """An accuracy is within from the lower to the upper end of the interval of 9,834 in 10,000, and not beyond."""
    low, high = wilson(9834, COUNT)
    assert (low <= 1 - errors / COUNT <= high) == within

    found = tables.row(result(values, errors), reported, values.overfitting).reported

    assert found is not None
    assert found["within"] is within


def test_both_histories_are_analysed_by_one_rule(values: Params, reported: pd.DataFrame) -> None:
    """The analyses are those of overfitting.analyse, and without the original's history there is one."""
    ours = result(values)

    row = tables.row(ours, reported, values.overfitting)

    assert row.analysis == overfitting.analyse(ours.history, values.overfitting, COUNT)
    assert row.reported_analysis == overfitting.analyse(reported, values.overfitting, 10_000)
    alone = tables.row(ours, None, values.overfitting)
    assert alone.reported is None
    assert alone.reported_analysis is None


def test_rows_have_columns_of_the_original_only_with_the_original(values: Params, reported: pd.DataFrame) -> None:
    """The rows of both CSV files have columns of the original if, and only if, it is given."""
    compared = tables.row(result(values), reported, values.overfitting)
    alone = tables.row(result(values), None, values.overfitting)

    for with_report, without in (
        (compared.comparison(), alone.comparison()),
        (compared.overfitting(), alone.overfitting()),
    ):
        assert not [name for name in without if name.startswith("original_")]
        assert [name for name in with_report if not name.startswith("original_")] == list(without)
        assert len(with_report) > len(without)
    assert compared.overfitting()["loss_gap"] == pytest.approx(0.09 - 0.02)


@pytest.mark.parametrize("validation", [False, True])
def test_flat_metrics_are_numbers_in_a_fixed_order(values: Params, validation: bool) -> None:
    """The entry of metrics.json has the documented names in their order, all numbers, none of them seconds."""
    flat = tables.row(result(values, validation=validation), None, values.overfitting).flat()

    held_out = ["validation_accuracy", "validation_loss"] if validation else []
    assert list(flat) == [
        *("parameters", "epochs", "train_accuracy", "train_loss", *held_out, "test_accuracy"),
        *("test_balanced_accuracy", "test_macro_f1", "test_loss", "test_errors"),
        *("test_calibration_error", "test_brier", "generalization_gap", "loss_gap"),
        *("final_val_loss", "min_val_loss", "min_val_loss_epoch", "val_loss_rise"),
    ]
    assert all(type(number) in (int, float) for number in flat.values())
    assert flat["loss_gap"] == pytest.approx(0.07)
    assert (flat["min_val_loss"], flat["min_val_loss_epoch"], flat["final_val_loss"]) == (0.08, 3, 0.1)


def test_commonest_errors_are_the_largest_cells_off_the_diagonal(values: Params) -> None:
    """All confusions of the highest count are named, truth first; a diagonal matrix has none."""
    confusion = np.eye(10, dtype=int) * 100
    confusion[4, 9] = confusion[7, 2] = 6
    confusion[3, 5] = 5
    confusion[8, 8] = 0

    row = tables.row(answering(result(values), confusion), None, values.overfitting)

    assert row.commonest_errors == (6, [(4, 9), (7, 2)])
    assert row.never_predicted == [8]
    assert tables.row(result(values), None, values.overfitting).commonest_errors == (0, [])


def test_the_class_with_the_lowest_f1_comes_first(values: Params) -> None:
    """Classes are sorted by F1, of equal ones by recall; those without a test image come last."""
    confusion = np.eye(10, dtype=int) * 100
    confusion[3, 5], confusion[6, 1] = 50, 5
    confusion[2], confusion[7, 7], confusion[7, 4] = 0, 0, 1

    rows = tables.row(answering(result(values), confusion), None, values.overfitting).classes_by_f1

    # F1 is 2 hits / (images + answers): 0, 200 / 250 twice, 200 / 205 twice, 200 / 201, 1.
    assert [label for label, _ in rows] == [7, 3, 5, 6, 1, 4, 0, 8, 9, 2]
    assert [round(scores["f1"], 4) for _, scores in rows[:6]] == [0, 0.8, 0.8, 0.9756, 0.9756, 0.995]
    assert rows[1][1] == {"precision": 1.0, "recall": pytest.approx(2 / 3), "f1": pytest.approx(0.8), "support": 150}


def test_the_largest_class_is_that_of_the_training_images() -> None:
    """Its accuracy is its share of the test images, whichever class is the largest there."""
    train, test = (np.array(labels, np.uint8) for labels in ([0, 1, 1, 1, 2], [0, 0, 0, 1, 2]))
    images = np.zeros((5, 8, 8), np.uint8)

    assert tables.largest_class(Dataset(Split(images, train), None, Split(images, test), tuple("abc"))) == (1, 0.2)


def test_calibration_bins_have_wilson_intervals(values: Params) -> None:
    """Each bin with images has the Wilson interval of its accuracy; an empty one has none."""
    rng = np.random.default_rng(0)
    top = rng.uniform(0.4, 1, 300)
    labels = np.where(rng.random(300) < top, 0, 1).astype(np.uint8)
    probabilities = np.column_stack([top, *[(1 - top) / 9] * 9]).astype(np.float32)

    table = tables.calibration(dataclasses.replace(result(values), probabilities=probabilities, labels=labels))

    exact = probabilities[:, 0].astype(np.float64)
    assert len(table) == 15
    for bin_number, found in table.iterrows():
        inside = (exact > bin_number / 15) & (exact <= (bin_number + 1) / 15)
        assert found["count"] == inside.sum()
        if inside.any():
            assert found["confidence"] == pytest.approx(exact[inside].mean())
            hits = int((labels[inside] == 0).sum())
            assert (found["low"], found["high"]) == pytest.approx(wilson(hits, int(inside.sum())), abs=1e-12)
        else:
            assert found[["confidence", "accuracy", "low", "high"]].isna().all()
