"""The study's figures: which variants and curves each one shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline.analysis.verdicts import MIN_SEEDS, Verdict
from pipeline.reporting import colours
from pipeline.reporting.colours import Look
from pipeline.reporting.plots import curves, effects
from pipeline.study.by_set import SetResults
from pipeline.study.comparisons import VariantPair
from pipeline.study.convergence import MODELS
from pipeline.study.factorial import CELLS
from pipeline.study.groups import StudyData, VariantGroup

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Panels = Mapping[str, Mapping[str, pd.DataFrame]]

ACCURACIES = {
    "training accuracy, dropout on": "accuracy",
    "training accuracy, dropout off": "train_accuracy",
    "validation accuracy": "val_accuracy",
}
HARDER = {"mlp_rmsprop": "fashion_mlp_rmsprop", "mlp_adadelta": "fashion_mlp_adadelta", "cnn": "fashion_cnn"}
LOSSES = {"training loss, dropout off": "train_loss", "validation loss": "val_loss"}


def draw(data: StudyData, pairs: Sequence[VariantPair]) -> dict[str, Figure]:
    """Return the figures by file name, without those that would be empty."""
    groups = {name: group for name, group in data.groups.items() if group.entries}
    models = colours.of_models([*MODELS, *CELLS.values(), *groups])
    splits = dict(zip(LOSSES, (colours.TRAINING, colours.VALIDATION), strict=True))
    found = {
        "convergence.png": _bands(_by_column(groups, MODELS, ACCURACIES), "accuracy", models),
        "dropout.png": _bands(_by_column(groups, CELLS.values(), LOSSES), "loss", models, one_scale=False),
        "variants.png": _bands(
            {name: {label: _band(group, column) for label, column in LOSSES.items()} for name, group in groups.items()},
            "loss",
            splits,
        ),
        "effects.png": _effects(pairs, data.study.statistics.smallest_effect),
        "permuted.png": _permuted(data),
    }
    return {name: figure for name, figure in found.items() if figure is not None}


def draw_other(found: SetResults) -> dict[str, Figure]:
    """Return the figures of a data set other than the original's by file name, without those that would be empty."""
    groups = {name: group for name, group in found.data.groups.items() if group.entries}
    splits = dict(zip(LOSSES, (colours.TRAINING, colours.VALIDATION), strict=True))
    panels = {name: {label: _band(group, column) for label, column in LOSSES.items()} for name, group in groups.items()}
    drawn = {
        f"variants-{found.name}.png": _bands(panels, "loss", splits),
        f"effects-{found.name}.png": _effects(found.pairs, found.data.study.statistics.smallest_effect),
    }
    return {name: figure for name, figure in drawn.items() if figure is not None}


def draw_harder(data: StudyData) -> dict[str, Figure]:
    """Return the figure of test errors on MNIST and on Fashion-MNIST; nothing if there are too few seeds."""
    ends = {}
    for name, other in HARDER.items():
        seeds = data.common((name, other))
        if len(seeds) >= MIN_SEEDS:
            ends[name] = (
                data.groups[name].values("test_error", seeds),
                data.groups[other].values("test_error", seeds),
            )
    # A logarithmic axis has no place for 0.
    scales = ("linear", "log") if all(side.all() for both in ends.values() for side in both) else ("linear",)
    sets = ("MNIST", "Fashion-MNIST")
    return {"harder.png": effects.changes(ends, sets, "test error", scales)} if ends else {}


def _by_column(groups: Mapping[str, VariantGroup], names: Iterable[str], columns: Mapping[str, str]) -> Panels:
    chosen = [groups[name] for name in names if name in groups]
    panels = {title: {group.name: _band(group, column) for group in chosen} for title, column in columns.items()}
    return panels if chosen else {}


def _band(group: VariantGroup, column: str) -> pd.DataFrame:
    """Return the mean, lowest and highest value over the seeds after each epoch."""
    curves = group.curves(column)
    epochs = np.arange(1, curves.shape[1] + 1)
    return pd.DataFrame(
        {"epoch": epochs, "middle": curves.mean(axis=0), "low": curves.min(axis=0), "high": curves.max(axis=0)}
    )


def _bands(panels: Panels, measure: str, looks: Mapping[str, Look], *, one_scale: bool = True) -> Figure | None:
    return curves.bands(panels, measure, looks, one_scale=one_scale) if panels else None


def _effects(pairs: Sequence[VariantPair], smallest: float) -> Figure | None:
    if not any(pair.judgement for pair in pairs):
        return None
    rows = []
    for pair in pairs:
        one = pair.judgement
        numbers = (one.comparison.estimate, *one.simultaneous) if one else (np.nan, np.nan, np.nan)
        rows.append((f"{pair.first} minus {pair.second}", *numbers, pair.verdict))
    return effects.intervals(
        pd.DataFrame(rows, columns=["label", "estimate", "low", "high", "verdict"]), smallest, list(Verdict)
    )


def _permuted(data: StudyData) -> Figure | None:
    ends = {}
    for original, permuted in (("mlp_adadelta", "mlp_adadelta_permuted"), ("cnn", "cnn_permuted")):
        seeds = data.common((original, permuted))
        if len(seeds) >= MIN_SEEDS:
            before, after = (data.groups[name].values("test_accuracy", seeds) for name in (original, permuted))
            ends[original] = before, after
    return effects.changes(ends, ("original pixels", "permuted pixels"), "test accuracy") if ends else None
