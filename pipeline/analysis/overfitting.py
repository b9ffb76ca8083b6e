"""Histories -> when the monitored loss began to rise, by how much, and a verdict on overfitting."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from math import sqrt
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.params import OverfittingRule

Floats = NDArray[np.float64]

# The mean loss of a perfect classifier whose probabilities are clipped at 1e-7. A smaller minimum counts as this one,
# so that an unclipped loss of 0 has a rise too.
SMALLEST_LOSS = 1e-7
# Relative: a ratio that is a bound in decimals may miss it by one rounding.
ROUNDING = 1e-9


class OverfittingVerdict(StrEnum):
    """What a history shows; overconfidence is a loss that rises while the accuracy holds."""

    NOT_JUDGED = "cannot be judged"
    NO_SIGN = "no sign"
    SLIGHT = "slight"
    OVERCONFIDENT = "grows overconfident"
    OVERFITS = "overfits"


@dataclass(frozen=True)
class Analysis:
    """The analysis of one history. Epochs count from 1; losses are in nats per image, accuracies within [0, 1].

    `rise`: mean val_loss of the last `window` epochs / the lowest mean of `window` consecutive ones, so 1 or above. A
    single lowest epoch would be low by chance too: the lowest mean is so much less.
    `onset_epoch`: first epoch after the window with the lowest mean from which on every mean of `window` epochs, itself
    and those that follow, is at or above `onset` x that lowest mean; None if there is no such epoch.
    `best_val_accuracy`: highest mean over `window` consecutive epochs; `final_val_accuracy`: that of the last ones.
    `val_accuracy_error`: the standard error of the difference of these two, at most: that of two proportions of as many
    images, which are the same images.
    `verdict`: NOT_JUDGED for a history of `window` epochs or fewer, which has one window at most, and for a
    strong rise with a fall of the accuracy that exceeds the tolerance, but not its standard error.
    """

    epochs: int
    final_val_loss: float
    min_val_loss: float
    min_val_loss_epoch: int
    rise: float
    onset_epoch: int | None
    best_val_accuracy: float
    final_val_accuracy: float
    val_accuracy_error: float
    verdict: OverfittingVerdict

    def row(self) -> dict[str, Any]:
        """Return its figures by their names: no rise if there is no verdict on one."""
        judged = self.verdict is not OverfittingVerdict.NOT_JUDGED
        return vars(self) | {"rise": self.rise if judged else None}

    def flat(self) -> dict[str, float]:
        """Return those among metrics, without a rise that is not judged, so that nothing passes on it."""
        figures = self.row()
        rise = {} if figures["rise"] is None else {"val_loss_rise": self.rise}
        return {key: figures[key] for key in ("final_val_loss", "min_val_loss", "min_val_loss_epoch")} | rise


def analyse(history: pd.DataFrame, rule: OverfittingRule, images: int) -> Analysis:
    """Analyse `history` (columns epoch, val_loss, val_accuracy on so many images; epoch from 1) by `rule`.

    A history shorter than the window is one window. A value that equals a bound up to rounding has reached it.

    Raises:
        InputError: A column is missing, there is no epoch, epochs are not 1, 2, ..., or a value is not a possible one.
    """
    _check(history)
    losses = history["val_loss"].to_numpy(np.float64)
    accuracies = means(history["val_accuracy"].to_numpy(np.float64), rule.window)
    lowest = int(losses.argmin())
    best, final = float(accuracies.max()), float(accuracies[-1])
    rises = float(rise(losses, rule.window))
    error = sqrt((best * (1 - best) + final * (1 - final)) / images)
    enough = len(losses) > rule.window
    return Analysis(
        epochs=len(losses),
        final_val_loss=float(losses[-1]),
        min_val_loss=float(losses[lowest]),
        min_val_loss_epoch=lowest + 1,
        rise=rises,
        onset_epoch=_onset(losses, rule),
        best_val_accuracy=best,
        final_val_accuracy=final,
        val_accuracy_error=error,
        verdict=_verdict(rises, best - final, error, rule) if enough else OverfittingVerdict.NOT_JUDGED,
    )


def rise(losses: Floats, window: int) -> Floats:
    """Return the rise of each of several `losses`, (..., epochs), with one epoch or more: see Analysis."""
    smoothed = np.maximum(means(losses, window), SMALLEST_LOSS)
    return np.asarray(smoothed[..., -1] / smoothed.min(axis=-1))


def means(values: Floats, window: int) -> Floats:
    """Return the means of each `window` consecutive values (of all, if there are fewer) along the last axis."""
    windows = np.lib.stride_tricks.sliding_window_view(values, min(window, values.shape[-1]), axis=-1)
    return np.asarray(windows.mean(axis=-1))


def _onset(losses: Floats, rule: OverfittingRule) -> int | None:
    smoothed = means(losses, rule.window)
    first = int(smoothed.argmin()) + rule.window
    later = smoothed[first:]
    bound = rule.onset * max(smoothed.min(), SMALLEST_LOSS)
    below = [index for index, mean in enumerate(later) if not _reaches(mean, bound)]
    onset = below[-1] + 1 if below else 0
    return first + onset + 1 if onset < len(later) else None


def _verdict(rise: float, fall: float, error: float, rule: OverfittingRule) -> OverfittingVerdict:
    """Return the verdict on a rise of the loss and a fall of the accuracy with its standard error."""
    if not _reaches(rise, rule.slight):
        return OverfittingVerdict.NO_SIGN
    if not _reaches(rise, rule.strong):
        return OverfittingVerdict.SLIGHT
    # As accuracies, which a difference of two may miss by a rounding.
    if fall <= rule.tolerance + ROUNDING:
        return OverfittingVerdict.OVERCONFIDENT
    return OverfittingVerdict.OVERFITS if fall > error else OverfittingVerdict.NOT_JUDGED


def _reaches(value: float, bound: float) -> bool:
    return bool(value >= bound - ROUNDING * abs(bound))


def _check(history: pd.DataFrame) -> None:
    missing = [name for name in ("epoch", "val_loss", "val_accuracy") if name not in history.columns]
    if missing:
        raise InputError(f"history: no column {', '.join(missing)}; found {', '.join(map(str, history.columns))}")
    if history.empty or history["epoch"].tolist() != list(range(1, len(history) + 1)):
        raise InputError("history: expected one row for each epoch, counted from 1")
    for fault in impossible_values(history, ("val_loss", "val_accuracy")):
        raise InputError(f"history: {fault}")


def impossible_values(history: pd.DataFrame, columns: Iterable[str]) -> Iterator[str]:
    """Say of each value in `columns` of a table with a row per epoch that no loss, accuracy or time can have it."""
    for column in columns:
        values = pd.to_numeric(history[column], errors="coerce").to_numpy(np.float64)
        highest = 1.0 if column.endswith("accuracy") else np.finfo(np.float64).max
        for position in np.flatnonzero(~((values >= 0) & (values <= highest))):
            yield f"{column} of epoch {position + 1} is {history[column].iloc[position]}, not a possible value"
