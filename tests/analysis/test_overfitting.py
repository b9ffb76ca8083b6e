"""The overfitting rule, against the histories of the original and a plain reading of its definitions."""

from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline import params
from pipeline.analysis import overfitting
from pipeline.analysis.overfitting import Analysis, OverfittingVerdict
from pipeline.errors import InputError
from pipeline.params import OverfittingRule
from tests.support.frozen import FROZEN

ROOT = Path(__file__).parents[2]
RULE = OverfittingRule(window=3, onset=1.10, slight=1.05, strong=1.25, tolerance=0.002)


def history(losses: list[float], accuracies: list[float] | None = None) -> pd.DataFrame:
    """Return a history with these losses; the accuracies are constant unless given."""
    accuracies = [0.98] * len(losses) if accuracies is None else accuracies
    return pd.DataFrame({"epoch": range(1, len(losses) + 1), "val_loss": losses, "val_accuracy": accuracies})


def analyse(table: pd.DataFrame, rule: OverfittingRule, images: int = 10**6) -> Analysis:
    """Return the analysis of a history on so many images that no change is within its standard error."""
    return overfitting.analyse(table, rule, images)


def reported(model: str) -> pd.DataFrame:
    """Return the history printed in the original for one model."""
    table = pd.read_csv(ROOT / "data" / "report_history.csv")
    return table[table["model"] == model]


def onset_by_definition(losses: list[float], window: int, onset: float) -> int | None:
    """Try each epoch after the lowest window: every whole window from it to the end is high, and there is one."""
    means = [sum(losses[start : start + window]) / window for start in range(len(losses) - window + 1)]
    for first in range(means.index(min(means)) + window, len(means)):
        if all(mean >= onset * min(means) for mean in means[first:]):
            return first + 1
    return None


@pytest.mark.parametrize(
    ("model", "epochs", "final", "minimum", "epoch", "rise", "onset", "verdict"),
    [
        ("mlp_rmsprop", 20, 0.1104, 0.0697, 7, 1.41, 8, "grows overconfident"),
        ("mlp_adadelta", 20, 0.0615, 0.0561, 14, 1.10, None, "slight"),
        ("cnn", 12, 0.0281, 0.0280, 10, 1.00, None, "no sign"),
    ],
)
def test_the_histories_of_the_original(
    model: str, epochs: int, final: float, minimum: float, epoch: int, rise: float, onset: int | None, verdict: str
) -> None:
    """The rule in params.yaml finds in the numbers printed in the original what was read off them by hand.

    Of its losses only RMSprop's rise by a tenth and stay there.
    """
    analysis = analyse(reported(model), params.load(FROZEN / "params.yaml").overfitting)

    assert (analysis.epochs, analysis.final_val_loss) == (epochs, final)
    assert (analysis.min_val_loss, analysis.min_val_loss_epoch) == (minimum, epoch)
    assert (round(analysis.rise, 2), analysis.verdict) == (rise, verdict)
    losses = reported(model)["val_loss"].tolist()
    assert analyse(reported(model), RULE).onset_epoch == onset == onset_by_definition(losses, 3, 1.10)


def test_values_follow_their_definitions() -> None:
    """Minimum, rise, onset and accuracies of random histories are those of a plain reading of the definitions."""
    random = np.random.default_rng(0)
    onsets = set()
    for _ in range(300):
        losses = random.uniform(0.05, 0.09, random.integers(3, 15)).tolist()
        accuracies = random.uniform(0.9, 1, len(losses)).tolist()

        analysis = analyse(history(losses, accuracies), RULE)

        smoothed, means = (
            [sum(values[end - 3 : end]) / 3 for end in range(3, len(losses) + 1)] for values in (losses, accuracies)
        )
        assert analysis.min_val_loss == min(losses) == losses[analysis.min_val_loss_epoch - 1]
        assert analysis.rise == pytest.approx(smoothed[-1] / min(smoothed))
        assert analysis.onset_epoch == onset_by_definition(losses, 3, 1.10)
        assert analysis.best_val_accuracy == pytest.approx(max(means))
        assert analysis.final_val_accuracy == pytest.approx(means[-1])
        onsets.add(analysis.onset_epoch is None)
    assert onsets == {True, False}


@pytest.mark.parametrize(
    ("factor", "verdict"),
    [
        (1.049, OverfittingVerdict.NO_SIGN),
        (1.05, OverfittingVerdict.SLIGHT),
        (1.249, OverfittingVerdict.SLIGHT),
        (1.25, OverfittingVerdict.OVERCONFIDENT),
        (9.0, OverfittingVerdict.OVERCONFIDENT),
    ],
)
@pytest.mark.parametrize("minimum", [0.1, 0.03, 0.0697])
def test_verdict_changes_at_the_bounds(minimum: float, factor: float, verdict: OverfittingVerdict) -> None:
    """A rise that equals a bound has reached it, whatever the rounding of the numbers."""
    assert analyse(history([1.0, *[minimum] * 3, *[minimum * factor] * 3]), RULE).verdict == verdict


@pytest.mark.parametrize(
    ("accuracies", "verdict"),
    [
        ([0.9, *[0.98] * 3, *[0.978] * 3], OverfittingVerdict.OVERCONFIDENT),
        ([0.9, *[0.98] * 3, *[0.9779] * 3], OverfittingVerdict.OVERFITS),
        ([0.9, *[0.98] * 3, *[0.99] * 3], OverfittingVerdict.OVERCONFIDENT),
        # One lucky epoch.
        ([0.9, 0.979, 0.982, 0.979, *[0.979] * 3], OverfittingVerdict.OVERCONFIDENT),
    ],
)
def test_verdict_separates_overconfidence_from_overfitting(
    accuracies: list[float], verdict: OverfittingVerdict
) -> None:
    """A strong rise is overfitting only if the accuracy falls by more than the tolerance below its best mean.

    That is a mean over the window, so that a single peak does not make a loss of accuracy.
    """
    assert analyse(history([1.0, 0.1, 0.1, 0.1, 0.2, 0.2, 0.2], accuracies), RULE).verdict == verdict


def test_onset_is_exact_at_its_bound() -> None:
    """A mean equal to onset x minimum has begun to rise, although 1.1 x 0.1 exceeds 0.11 in binary."""
    assert analyse(history([0.5, *[0.1] * 3, *[0.11] * 3]), RULE).onset_epoch == 5


def test_onset_must_last() -> None:
    """A rise that recedes is not an onset; one that stays is, from the first window that is high on."""
    assert analyse(history([0.1, *[0.2] * 4, *[0.1] * 3]), RULE).onset_epoch is None
    assert analyse(history([*[0.1] * 3, *[0.2] * 4, *[0.101] * 4, *[0.2] * 3]), RULE).onset_epoch == 10


def test_the_first_of_equal_minima_counts() -> None:
    """Of equal minima the first is reported."""
    assert analyse(history([0.3, 0.1, 0.2, 0.1, 0.2]), RULE).min_val_loss_epoch == 2


@pytest.mark.parametrize(
    ("losses", "rise"),
    [
        ([0.5, 0.3, 0.1, 0.05], 1),
        ([0.9, 0.5, 0.1, 0.101], 1),
        ([0.9, 0.1, 0.101, 0.1, 0.102], (0.101 + 0.1 + 0.102) / (0.1 + 0.101 + 0.1)),
        ([2.3, 1.9, 1.2, 0.6, 0.3], 1),
    ],
)
def test_falling_losses_show_no_sign(losses: list[float], rise: float) -> None:
    """The epochs before the minimum are not taken for a rise: that of a model that still learns is 1."""
    analysis = analyse(history(losses), RULE)

    assert analysis.verdict == OverfittingVerdict.NO_SIGN
    assert analysis.rise == pytest.approx(rise)


@pytest.mark.parametrize(
    ("images", "errors", "verdict"),
    [
        # Errors of the last three epochs; before, there were 4 of 40, and 400 of 4,000, in each.
        (40, (4, 4, 5), OverfittingVerdict.NOT_JUDGED),
        (40, (6, 6, 6), OverfittingVerdict.NOT_JUDGED),
        (40, (8, 8, 8), OverfittingVerdict.OVERFITS),
        (40, (4, 4, 4), OverfittingVerdict.OVERCONFIDENT),
        (40, (3, 3, 3), OverfittingVerdict.OVERCONFIDENT),
        (4_000, (426, 426, 426), OverfittingVerdict.NOT_JUDGED),
        (4_000, (428, 428, 428), OverfittingVerdict.OVERFITS),
        (40_000, (4_082, 4_082, 4_082), OverfittingVerdict.NOT_JUDGED),
    ],
)
def test_a_fall_within_its_standard_error_cannot_be_judged(
    images: int, errors: tuple[int, ...], verdict: OverfittingVerdict
) -> None:
    """An accuracy that falls by less than two proportions of so many images differ by chance is not overfitting."""
    accuracies = [0.9] * 4 + [1 - count / images for count in errors]
    losses = [1.0, 0.1, 0.1, 0.1, 0.2, 0.2, 0.2]

    analysis = analyse(history(losses, accuracies), RULE, images)

    final = sum(accuracies[-3:]) / 3
    best = max(0.9, final)
    error = ((best * (1 - best) + final * (1 - final)) / images) ** 0.5
    assert analysis.val_accuracy_error == pytest.approx(error)
    assert analysis.verdict == verdict
    assert ("val_loss_rise" in analysis.flat()) is (verdict is not OverfittingVerdict.NOT_JUDGED)
    assert (analysis.row()["rise"] is None) is (verdict is OverfittingVerdict.NOT_JUDGED)


@pytest.mark.parametrize("losses", [[0.5], [0.1, 0.3], [0.5, 0.3, 0.1], [0.1, 0.5, 0.9]])
def test_a_history_within_one_window_cannot_be_judged(losses: list[float]) -> None:
    """With no more epochs than the window there is nothing to compare them with, whatever they are."""
    longer = OverfittingRule(window=5, onset=1.10, slight=1.05, strong=1.25, tolerance=0.002)

    assert analyse(history(losses), RULE).verdict == OverfittingVerdict.NOT_JUDGED
    assert analyse(history([0.1, *[0.9] * 4]), longer).verdict == OverfittingVerdict.NOT_JUDGED
    assert analyse(history([0.1, *[0.9] * 5]), longer).verdict == OverfittingVerdict.SLIGHT


def test_a_history_shorter_than_the_window_is_one_window() -> None:
    """Two epochs are averaged as they are."""
    analysis = analyse(history([0.1, 0.3], [0.9, 0.8]), RULE)

    assert analysis.rise == 1
    assert analysis.best_val_accuracy == analysis.final_val_accuracy == pytest.approx(0.85)
    assert analysis.onset_epoch is None


def test_a_loss_of_zero_has_a_rise() -> None:
    """An unclipped loss of 0 counts as the least clipped one, so that no ratio is infinite."""
    assert analyse(history([0.0, 0.0, 0.0, 0.0]), RULE).rise == 1
    assert analyse(history([0.0, 0.0, 0.0, 1e-6, 1e-6, 1e-6]), RULE).rise == pytest.approx(10)


def test_the_rule_decides() -> None:
    """Another rule gives another onset and another verdict for the same history."""
    strict = OverfittingRule(window=1, onset=1.001, slight=1.0, strong=1.001, tolerance=0.0)
    falling = history([0.10, 0.101, 0.102, 0.103], [0.98, 0.98, 0.98, 0.979])

    assert analyse(falling, RULE).verdict == OverfittingVerdict.NO_SIGN
    assert analyse(falling, strict).verdict == OverfittingVerdict.OVERFITS
    assert analyse(falling, strict).onset_epoch == 2


def test_an_analysis_cannot_be_changed() -> None:
    """The result is frozen."""
    with pytest.raises(FrozenInstanceError):
        analyse(history([0.1]), RULE).rise = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (history([0.1]).drop(columns="val_loss"), "no column val_loss"),
        (history([0.1]).drop(columns=["epoch", "val_accuracy"]), "no column epoch, val_accuracy"),
        (history([]), "one row for each epoch"),
        (history([0.1, 0.2]).assign(epoch=[0, 1]), "counted from 1"),
        (history([0.1, 0.2]).assign(epoch=[1, 3]), "counted from 1"),
        (history([0.1, float("nan")]), "val_loss of epoch 2 is nan"),
        (history([float("inf"), 0.1]), "val_loss of epoch 1 is inf"),
        (history([-0.1, 0.1]), "val_loss of epoch 1 is -0.1"),
        (history([0.1, 0.1], [0.9, float("nan")]), "val_accuracy of epoch 2 is nan"),
        (history([0.1, 0.1], [0.9, 98.0]), "val_accuracy of epoch 2 is 98"),
        (history([0.1, 0.1]).assign(val_loss=["0.1", "much"]), "val_loss of epoch 2 is much"),
    ],
)
def test_an_impossible_history_is_rejected(table: pd.DataFrame, message: str) -> None:
    """Missing columns, epochs out of order and impossible values are one line that names the fault."""
    with pytest.raises(InputError, match=message) as caught:
        analyse(table, RULE)

    assert "\n" not in str(caught.value)
