"""Histories -> when the monitored loss began to rise, by how much, and a verdict on overfitting."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

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

    `rise`: mean val_loss of the last `window` epochs / minimum val_loss (the first, if it occurs twice).
    `onset_epoch`: first epoch after the minimum at which the mean val_loss of `window` epochs, itself and those
    that follow, is at or above `onset` x minimum and stays there to the end. Only complete windows without the minimum
    count; None if there is no such epoch.
    `best_val_accuracy`: highest mean over `window` consecutive epochs; `final_val_accuracy`: that of the last ones.
    `verdict`: NOT_JUDGED for a history of `window` epochs or fewer, which has no window besides its minimum.
    """

    epochs: int
    final_val_loss: float
    min_val_loss: float
    min_val_loss_epoch: int
    rise: float
    onset_epoch: int | None
    best_val_accuracy: float
    final_val_accuracy: float
    verdict: OverfittingVerdict

    def flat(self) -> dict[str, float]:
        """Return its figures by their names among metrics: no rise if there are too few epochs to judge one."""
        judged = self.verdict is not OverfittingVerdict.NOT_JUDGED
        return {
            "final_val_loss": self.final_val_loss,
            "min_val_loss": self.min_val_loss,
            "min_val_loss_epoch": self.min_val_loss_epoch,
            **({"val_loss_rise": self.rise} if judged else {}),
        }


def analyse(history: pd.DataFrame, rule: OverfittingRule) -> Analysis:
    """Analyse `history` (columns epoch, val_loss, val_accuracy; epoch from 1, one row each) by `rule`.

    A history shorter than the window is one window. A value that equals a bound up to rounding has reached it.

    Raises:
        InputError: A column is missing, there is no epoch, epochs are not 1, 2, ..., or a value is not a possible one.
    """
    _check(history)
    losses = history["val_loss"].to_numpy(np.float64)
    accuracies = _means(history["val_accuracy"].to_numpy(np.float64), rule.window)
    lowest = int(losses.argmin())
    best, final = float(accuracies.max()), float(accuracies[-1])
    return Analysis(
        epochs=len(losses),
        final_val_loss=float(losses[-1]),
        min_val_loss=float(losses[lowest]),
        min_val_loss_epoch=lowest + 1,
        rise=_rise(losses, lowest, rule.window),
        onset_epoch=_onset(losses, lowest, rule),
        best_val_accuracy=best,
        final_val_accuracy=final,
        verdict=_verdict(losses, lowest, kept=_reaches(final, best - rule.tolerance), rule=rule),
    )


def _rise(losses: Floats, lowest: int, window: int) -> float:
    return float(max(losses[-window:].mean(), SMALLEST_LOSS) / max(losses[lowest], SMALLEST_LOSS))


def _onset(losses: Floats, lowest: int, rule: OverfittingRule) -> int | None:
    means = _means(losses, rule.window)[lowest + 1 :]
    bound = rule.onset * max(losses[lowest], SMALLEST_LOSS)
    below = [index for index, mean in enumerate(means) if not _reaches(mean, bound)]
    onset = below[-1] + 1 if below else 0
    return lowest + 2 + onset if onset < len(means) else None


def _verdict(losses: Floats, lowest: int, *, kept: bool, rule: OverfittingRule) -> OverfittingVerdict:
    if len(losses) <= rule.window:
        return OverfittingVerdict.NOT_JUDGED
    # Epochs before the minimum show how the loss fell; in a short history the last window may include them.
    rise = _rise(losses[lowest:], 0, rule.window)
    if not _reaches(rise, rule.slight):
        return OverfittingVerdict.NO_SIGN
    if not _reaches(rise, rule.strong):
        return OverfittingVerdict.SLIGHT
    return OverfittingVerdict.OVERCONFIDENT if kept else OverfittingVerdict.OVERFITS


def _means(values: Floats, window: int) -> Floats:
    """Return the means of each `window` consecutive values (of all values, if there are fewer), in order."""
    windows = np.lib.stride_tricks.sliding_window_view(values, min(window, len(values)))
    return np.asarray(windows.mean(axis=1))


def _reaches(value: float, bound: float) -> bool:
    return bool(value >= bound - ROUNDING * abs(bound))


def _check(history: pd.DataFrame) -> None:
    missing = [name for name in ("epoch", "val_loss", "val_accuracy") if name not in history.columns]
    if missing:
        raise InputError(f"history: no column {', '.join(missing)}; found {', '.join(map(str, history.columns))}")
    if history.empty or history["epoch"].tolist() != list(range(1, len(history) + 1)):
        raise InputError("history: expected one row for each epoch, counted from 1")
    for name, highest in (("val_loss", np.finfo(np.float64).max), ("val_accuracy", 1.0)):
        values = pd.to_numeric(history[name], errors="coerce").to_numpy(np.float64)
        for epoch in np.flatnonzero(~((values >= 0) & (values <= highest))) + 1:
            raise InputError(
                f"history: {name} of epoch {epoch} is {history[name].iloc[epoch - 1]}, not a possible value"
            )
