"""Accuracy and loss over the epochs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from pipeline.reporting import colours
from pipeline.reporting.colours import Look
from pipeline.reporting.plots.style import legend_above, logarithmic, styled

if TYPE_CHECKING:
    import pandas as pd


@styled()
def training(history: pd.DataFrame, reported: pd.DataFrame | None, title: str, kept: int | None = None) -> Figure:
    """Return accuracy and loss over the epochs of one model, with the original's val curve dotted if there is one.

    A vertical line marks the epoch that is `kept`, if it is not simply the last one. Both tables have the columns
    epoch, val_loss and val_accuracy, `history` loss and accuracy too.
    """
    figure = Figure(figsize=(9, 3.6))
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    for axes, column in zip(figure.subplots(1, 2), ("accuracy", "loss"), strict=True):
        for name, look in ((column, colours.TRAINING), (f"val_{column}", colours.VALIDATION)):
            axes.plot(history["epoch"], history[name], marker=".", color=look.colour, ls=look.line, label=name)
        if reported is not None:
            label, look = f"val_{column} of the original", colours.ORIGINAL
            axes.plot(
                reported["epoch"], reported[f"val_{column}"], ls=look.line, lw=1.3, color=look.colour, label=label
            )
        if kept is not None:
            axes.axvline(kept, color=colours.ORIGINAL.colour, ls="-.", lw=1.3, label="kept epoch")
        _over_epochs(axes, column)
        axes.legend(loc="lower right" if column == "accuracy" else "upper right")
    return figure


@styled()
def comparison(histories: Mapping[str, pd.DataFrame]) -> Figure:
    """Return val_accuracy and val_loss of all models over the epochs; a ring marks each model's lowest val_loss."""
    looks = colours.of_models(histories)
    figure = Figure(figsize=(9, 4.2 + 0.2 * (len(histories) // 4)))
    panels = figure.subplots(1, 2)
    for axes, column in zip(panels, ("val_accuracy", "val_loss"), strict=True):
        for name, history in histories.items():
            colour, line = looks[name]
            axes.plot(history["epoch"], history[column], marker=".", label=name, color=colour, ls=line)
            if column == "val_loss":
                lowest = history.loc[history[column].idxmin()]
                # Not clipped: the lowest of a flat loss may lie at the edge.
                axes.plot(lowest["epoch"], lowest[column], "o", ms=10, mfc="none", color=colour, clip_on=False)
        _over_epochs(axes, column)
    legend_above(figure, panels)
    return figure


@styled()
def bands(
    panels: Mapping[str, Mapping[str, pd.DataFrame]],
    measure: str,
    looks: Mapping[str, Look],
    *,
    one_scale: bool = True,
) -> Figure:
    """Return a panel per entry of `panels`, one or more, with a line and its band over the epochs for each label.

    Each table has the columns epoch, middle, low and high; `looks` has each label. `measure` is "accuracy", from the
    lowest line after the first epoch upwards, "loss", which is logarithmic, or "rise", a loss over its lowest value, up
    to the highest line after that value. With `one_scale` all panels share the vertical axis, else each has its own.
    """
    columns = min(len(panels), 5)
    rows = math.ceil(len(panels) / columns)
    width, height, size = (9, 3.2, 10) if columns < 4 else (11, 2.1, 9)
    figure = Figure(figsize=(width, 0.9 + height * rows))
    grid = figure.subplots(rows, columns, sharex=True, sharey=one_scale, squeeze=False).ravel()
    for axes, (title, lines) in zip(grid, panels.items(), strict=False):
        for label, table in lines.items():
            colour, line = looks[label]
            axes.fill_between(table["epoch"], table["low"], table["high"], color=colour, alpha=0.2, lw=0)
            # A line through one point is invisible.
            marker = "." if len(table) == 1 else ""
            axes.plot(table["epoch"], table["middle"], label=label, color=colour, ls=line, marker=marker)
        axes.set_title(title, fontsize=size)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    if one_scale:
        _scale(grid[0], [table for lines in panels.values() for table in lines.values()], measure)
    else:
        for axes, lines in zip(grid, panels.values(), strict=False):
            _scale(axes, lines.values(), measure)
    for axes in grid[max(len(panels) - columns, 0) : len(panels)]:
        axes.set_xlabel("epoch")
        axes.tick_params(labelbottom=True)
    legend_above(figure, list(grid[: len(panels)]))
    return figure


def _scale(axes: Axes, tables: Iterable[pd.DataFrame], measure: str) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    if measure == "accuracy":
        later = [table["middle"].iloc[1:].min() for table in tables if len(table) > 1]
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
        axes.set_ylim(min(later, default=None), min(axes.get_ylim()[1], 1))
    elif measure == "rise":
        tops = [table["high"].iloc[int(table["middle"].argmin()) :].max() for table in tables]
        axes.set_ylim(0.9, 1.05 * max(tops))
    else:
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        logarithmic(axes, lambda loss, _: f"{loss:g}", dense=high < 30 * low)


def _over_epochs(axes: Axes, column: str) -> None:
    axes.set(title=column, xlabel="epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    low, high = axes.dataLim.intervalx
    margin = max(0.05 * (high - low), 0.5)
    # Without limits the axis of one epoch would run from 0.945 to 1.055, and its accuracy's beyond 100%.
    axes.set_xlim(low - margin, high + margin)
    if column.endswith("accuracy"):
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
        bottom, top = axes.get_ylim()
        axes.set_ylim(max(bottom, 0), min(top, 1))
    else:
        axes.set_ylim(bottom=0)
