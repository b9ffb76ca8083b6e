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
from pipeline.study.claims import Change
from pipeline.study.comparisons import VariantPair
from pipeline.study.groups import StudyData, VariantGroup
from pipeline.study.results import StudyResults

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Panels = Mapping[str, Mapping[str, pd.DataFrame]]

ACCURACIES = {
    "training accuracy, dropout on": "accuracy",
    "training accuracy, dropout off": "train_accuracy",
    "validation accuracy": "val_accuracy",
}
LOSSES = {"training loss, dropout off": "train_loss", "validation loss": "val_loss"}


def draw(found: StudyResults) -> dict[str, Figure]:
    """Return the figures by file name, without those that would be empty."""
    claims, data, everything = found.claims, found.main.data, found.evidence.data
    least = everything.rules.smallest_effects
    groups = {name: group for name, group in data.groups.items() if group.entries}
    factors = claims.effects.variants if claims.effects else []
    models = colours.of_models([*claims.networks, *factors, *groups])
    drawn = {
        "variants.png": _losses(groups),
        "effects.png": _effects(found.main.pairs, least[claims.dataset]),
    }
    if claims.convergence:
        drawn["convergence.png"] = _bands(_by_column(groups, claims.networks, ACCURACIES), "accuracy", models)
    if claims.effects:
        panels = _by_column(groups, factors, LOSSES)
        drawn[f"{claims.effects.name}.png"] = _bands(panels, "loss", models, one_scale=False)
    drawn |= {f"{change.name}.png": _change(everything, change) for change in claims.changes}
    for one in found.others:
        drawn[f"variants-{one.name}.png"] = _losses(one.data.groups)
        drawn[f"effects-{one.name}.png"] = _effects(one.pairs, least[one.name])
    return {name: figure for name, figure in drawn.items() if figure is not None}


def _losses(groups: Mapping[str, VariantGroup]) -> Figure | None:
    used = {name: group for name, group in groups.items() if group.entries}
    panels = {name: {label: _band(group, column) for label, column in LOSSES.items()} for name, group in used.items()}
    return _bands(panels, "loss", dict(zip(LOSSES, (colours.TRAINING, colours.VALIDATION), strict=True)))


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


def _change(data: StudyData, change: Change) -> Figure | None:
    ends = {}
    for pair in change.pairs.items():
        seeds = data.common(pair)
        if len(seeds) >= MIN_SEEDS:
            before, after = (data.groups[name].values(change.outcome, seeds) for name in pair)
            ends[pair[0]] = before, after
    # A logarithmic axis has no place for 0.
    log_scale = change.log_scale and all(side.all() for both in ends.values() for side in both)
    scales = ("linear", "log") if log_scale else ("linear",)
    return effects.changes(ends, change.ends, change.axis, scales) if ends else None
