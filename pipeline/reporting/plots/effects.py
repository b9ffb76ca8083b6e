"""Differences between groups of seeds: with their intervals, and from before to after."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from pipeline.reporting import colours
from pipeline.reporting.plots.style import FAINT, Floats, legend_above, logarithmic, plain, styled

if TYPE_CHECKING:
    import pandas as pd

# By the order of the verdicts. Shapes and tones: colours are the models'.
MARKERS = ("^", "v", "s", "^", "v", "o")
TONES = ("#000000", "#000000", "#707070", "#707070", "#707070", "#a0a0a0")


@styled()
def intervals(rows: pd.DataFrame, smallest: float, verdicts: Sequence[str]) -> Figure:
    """Return a line per row: an effect with its interval, marked by its verdict, and the verdict in words.

    `rows`, one or more, have the columns label, estimate, low, high (of accuracies, drawn in percentage points; nothing
    is drawn where they are NaN) and verdict, which is one of the up to six `verdicts` wherever something is drawn.
    Effects below `smallest` are shaded; the axis is linear there and logarithmic beyond, so that both small and large
    effects can be read.
    """
    figure = Figure(figsize=(9, 1.3 + 0.36 * len(rows)))
    axes = figure.subplots()
    axes.axvspan(-100 * smallest, 100 * smallest, color="#e8e8e8", lw=0)
    axes.axvline(0, color=FAINT, lw=1)
    for place, row in enumerate(rows.itertuples()):
        tone = FAINT
        if not math.isnan(row.estimate):
            kind = verdicts.index(row.verdict)
            tone = TONES[kind]
            axes.plot((100 * row.low, 100 * row.high), (place, place), "-", color=tone)
            axes.plot(100 * row.estimate, place, MARKERS[kind], color=tone)
        words: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center", "fontsize": 9}
        axes.text(1.02, place, row.verdict, color="black" if tone == TONES[0] else FAINT, **words)
    axes.set_yticks(range(len(rows)), [plain(label) for label in rows["label"]], fontsize=9)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    _scale(axes, rows, 100 * smallest)
    return figure


def _scale(axes: Axes, rows: pd.DataFrame, smallest: float) -> None:
    reach = max(3 * smallest, 200 * float(rows[["low", "high"]].abs().max(axis=None, skipna=True) or 0))
    axes.set_xscale("symlog", linthresh=smallest, linscale=1)
    decades = [smallest * 10**power for power in range(int(math.log10(reach / smallest)) + 1)]
    ticks = [-tick for tick in reversed(decades)] + [0.0] + decades
    axes.set_xticks(ticks, [f"{tick:+g}".replace("-", "\N{MINUS SIGN}") if tick else "0" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlim(-reach, reach)
    axes.set_xlabel(f"percentage points; a logarithmic scale beyond {smallest:g} on either side of 0")
    axes.grid(axis="y", visible=False)


@styled()
def changes(
    groups: Mapping[str, Sequence[Floats]],
    ends: Sequence[str],
    ylabel: str,
    scales: Sequence[str] = ("linear",),
    bound: float | None = None,
) -> Figure:
    """Return how each model goes from end to end: thin lines for its seeds, a thick one for their mean.

    A group is an array (seeds,) of shares for each end, the same seeds in the same order. There is a panel for each of
    `scales`, linear or log; on the latter, equal ratios are equally far apart and the mean is geometric. A line across
    shows the `bound`, a share.
    """
    figure = Figure(figsize=(5.6 if len(scales) == 1 else 9, 4.2))
    panels = figure.subplots(1, len(scales), squeeze=False)[0]
    for axes, scale in zip(panels, scales, strict=True):
        _changes(axes, groups, scale)
        if bound is not None:
            axes.axhline(bound, color=FAINT, lw=1)
        axes.set(xlim=(-0.3, len(ends) - 0.7), ylabel=ylabel if len(scales) == 1 else f"{ylabel}, {scale} scale")
        axes.set_xticks(range(len(ends)), ends)
    legend_above(figure, list(panels))
    return figure


def _changes(axes: Axes, groups: Mapping[str, Sequence[Floats]], scale: str) -> None:
    looks = colours.of_models(groups)
    for name, line in groups.items():
        look: dict[str, Any] = {"color": looks[name].colour, "ls": looks[name].line}
        axes.plot(np.stack(line), lw=0.8, alpha=0.45, **look)
        middle = [np.exp(np.log(values).mean()) if scale == "log" else values.mean() for values in line]
        axes.plot(middle, lw=2.6, marker="o", label=name, **look)
    percent = PercentFormatter(1, decimals=None)
    if scale == "log":
        logarithmic(axes, percent, dense=True)
    else:
        axes.yaxis.set_major_formatter(percent)
