"""What a classifier gets wrong, and whether its probabilities are right."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.reporting import colours
from pipeline.reporting.plots.style import FAINT, logarithmic, plain, styled

if TYPE_CHECKING:
    import pandas as pd


# More classes cannot be read in one matrix.
MAX_CLASSES = 20


@styled()
def confusion(matrix: list[list[int]] | NDArray[np.integer[Any]], classes: Sequence[str], title: str) -> Figure:
    """Return the confusion `matrix` (classes, classes), rows = true class; only errors are coloured, to stand out.

    Of more than MAX_CLASSES `classes`, those with the most errors as truth or prediction are shown.
    """
    counts, chosen = most_confused(np.asarray(matrix), classes)
    names = [plain(name) for name in chosen]
    errors = np.where(np.eye(len(counts), dtype=bool), 0, counts)
    longest = max(map(len, names))
    side = max(5.2, 0.42 * len(names)) + 0.07 * longest
    figure = Figure(figsize=(side, side))
    axes = figure.subplots()
    axes.imshow(np.ma.masked_equal(np.eye(len(counts)), 0), cmap="Greys", vmin=0, vmax=12)
    # The upper limit keeps the darkest colour light enough for dark numbers.
    axes.imshow(np.ma.masked_equal(errors, 0), cmap="Oranges", vmin=0, vmax=1.6 * max(errors.max(), 1))
    for (row, column), count in np.ndenumerate(counts):
        colour = "black" if count and row != column else FAINT
        axes.text(column, row, f"{count}", ha="center", va="center", fontsize=9, color=colour)
    axes.set(title=title, xlabel="predicted class", ylabel="true class")
    axes.set_xticks(range(len(names)), names)
    if longest > 3:
        for label in axes.get_xticklabels():
            label.set(rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return figure


def most_confused(counts: NDArray[np.integer[Any]], classes: Sequence[str]) -> tuple[NDArray[Any], list[str]]:
    """Return the part of a confusion matrix on the MAX_CLASSES classes with the most errors, and their names.

    Those are the classes with the most errors as truth or prediction, in their order.
    """
    errors = counts.sum(axis=0) + counts.sum(axis=1) - 2 * np.diag(counts)
    chosen = np.sort(np.argsort(-errors, kind="stable")[:MAX_CLASSES])
    return counts[np.ix_(chosen, chosen)], [classes[index] for index in chosen]


@styled()
def reliability(binned: Mapping[str, pd.DataFrame]) -> Figure:
    """Return, for each model, accuracy against confidence and the number of images per bin.

    Each table has a row per bin, from 0 to 1 at equal width: confidence, accuracy, low and high (an interval of the
    accuracy), all NaN in an empty bin, and count.
    """
    looks = colours.of_models(binned)
    columns = min(len(binned), 3)
    rows = math.ceil(len(binned) / columns)
    figure = Figure(figsize=(max(3.1 * columns, 4), 4.4 * rows))
    grid = figure.add_gridspec(rows, columns)
    for position, (name, bins) in enumerate(binned.items()):
        colour = looks[name].colour
        upper, lower = figure.add_subfigure(grid[position]).subplots(2, 1, height_ratios=(3, 1), sharex=True)
        _calibration(upper, bins, colour)
        upper.set(title=name, ylabel="accuracy")
        edges = np.arange(len(bins)) / len(bins)
        lower.bar(edges, bins["count"], 1 / len(bins), align="edge", color=colour, alpha=0.75)
        logarithmic(lower, lambda count, _: f"{count:,.0f}", dense=bins["count"].max() < 30)
        lower.set(xlabel="confidence", ylabel="images", ylim=(0.7, None), xlim=(-0.02, 1.02))
    return figure


def _calibration(axes: Axes, bins: pd.DataFrame, colour: str) -> None:
    full = bins[bins["count"] > 0]
    axes.plot((0, 1), (0, 1), "--", lw=1, color=FAINT)
    axes.vlines(full["confidence"], full["low"], full["high"], color=colour, lw=1.2, alpha=0.6)
    axes.plot(full["confidence"], full["accuracy"], "o", ms=5, color=colour)
    axes.set(ylim=(-0.02, 1.02))
