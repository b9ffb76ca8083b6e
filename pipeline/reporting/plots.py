"""Figures; the only importer of matplotlib. Equal data gives equal PNG bytes, whatever the user's matplotlibrc says."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from pipeline import files

if TYPE_CHECKING:
    import pandas as pd

Images = NDArray[np.uint8]
Labels = NDArray[np.integer[Any]]
Floats = NDArray[np.float64]

# Okabe and Ito's colours, which the colour-blind tell apart, less the yellow, which is too faint on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "D", "^")
TRAIN, MONITORED, REPORTED = "#D55E00", "#0072B2", "#222222"
FAINT = "#707070"
STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": FAINT,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "figure.constrained_layout.use": True,
    "figure.titlesize": 12,
    "font.size": 10,
    "grid.color": "#e4e4e4",
    "image.cmap": "gray_r",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "savefig.dpi": 130,
}


@contextmanager
def _styled() -> Iterator[None]:
    with style.context(["default", STYLE]):
        yield


@_styled()
def png(figure: Figure) -> bytes:
    """Return `figure` as PNG, without the name and version of the software that drew it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def save(figure: Figure, path: Path) -> None:
    """Write `figure` to `path` as PNG, whole or not at all."""
    files.write_bytes(path, png(figure))


@_styled()
def digit_grid(images: Images, rows: int, columns: int) -> Figure:
    """Return the first rows x columns of `images` (n, height, width), row by row; fewer leave the end empty."""
    figure = Figure(figsize=(0.62 * columns, 0.62 * rows))
    _picture(figure).imshow(_mosaic(images[: rows * columns], (rows, columns), 2, 2), interpolation="nearest")
    return figure


@_styled()
def curves(history: pd.DataFrame, reported: pd.DataFrame | None, title: str) -> Figure:
    """Return accuracy and loss over the epochs of one model, with the report's val curve dashed where there is one.

    Both tables have the columns epoch, val_loss and val_accuracy, `history` loss and accuracy too.
    """
    figure = Figure(figsize=(9, 3.6))
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    for axes, column in zip(figure.subplots(1, 2), ("accuracy", "loss"), strict=True):
        axes.plot(history["epoch"], history[column], marker=".", color=TRAIN, label=column)
        axes.plot(history["epoch"], history[f"val_{column}"], marker=".", color=MONITORED, label=f"val_{column}")
        if reported is not None:
            label = f"val_{column}, the report"
            axes.plot(reported["epoch"], reported[f"val_{column}"], "--", lw=1.3, color=REPORTED, label=label)
        _over_epochs(axes, column)
    return figure


@_styled()
def comparison(histories: Mapping[str, pd.DataFrame]) -> Figure:
    """Return val_accuracy and val_loss of all models over the epochs; a ring marks each model's lowest val_loss."""
    figure = Figure(figsize=(9, 4.2))
    for axes, column in zip(figure.subplots(1, 2), ("val_accuracy", "val_loss"), strict=True):
        for position, (name, history) in enumerate(histories.items()):
            look = {"color": _colour(position), "ls": LINES[position // len(PALETTE) % len(LINES)]}
            axes.plot(history["epoch"], history[column], marker=".", label=name, **look)
            if column == "val_loss":
                lowest = history.loc[history[column].idxmin()]
                axes.plot(lowest["epoch"], lowest[column], "o", ms=10, mfc="none", color=_colour(position))
        _over_epochs(axes, column)
    return figure


@_styled()
def confusion(matrix: list[list[int]] | NDArray[np.integer[Any]], title: str) -> Figure:
    """Return the confusion `matrix` (classes, classes), rows = truth; only errors are coloured, so that they show."""
    counts = np.asarray(matrix)
    errors = np.where(np.eye(len(counts), dtype=bool), 0, counts)
    figure = Figure(figsize=(5.2, 5.2))
    axes = figure.subplots()
    axes.imshow(np.ma.masked_equal(np.eye(len(counts)), 0), cmap="Greys", vmin=0, vmax=12)
    # The upper limit keeps the darkest colour light enough for dark digits.
    axes.imshow(np.ma.masked_equal(errors, 0), cmap="Oranges", vmin=0, vmax=1.6 * max(errors.max(), 1))
    for (row, column), count in np.ndenumerate(counts):
        weight, colour = ("normal", "black") if count and row != column else ("normal", FAINT)
        axes.text(column, row, f"{count}", ha="center", va="center", fontsize=9, fontweight=weight, color=colour)
    axes.set(title=title, xlabel="answer", ylabel="true label")
    axes.set(xticks=range(len(counts)), yticks=range(len(counts)))
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return figure


@_styled()
def reliability(binned: Mapping[str, pd.DataFrame]) -> Figure:
    """Return, for each model, accuracy against confidence and the number of images per bin.

    Each table has a row per bin, from 0 to 1 at equal width: confidence, accuracy, low and high (an interval of the
    accuracy), all NaN in an empty bin, and count.
    """
    columns = min(len(binned), 3)
    rows = math.ceil(len(binned) / columns)
    figure = Figure(figsize=(max(3.1 * columns, 4), 4.4 * rows))
    grid = figure.add_gridspec(rows, columns)
    for position, (name, bins) in enumerate(binned.items()):
        upper, lower = figure.add_subfigure(grid[position]).subplots(2, 1, height_ratios=(3, 1), sharex=True)
        _calibration(upper, bins, _colour(position))
        upper.set(title=name, ylabel="accuracy")
        edges = np.arange(len(bins)) / len(bins)
        lower.bar(edges, bins["count"], 1 / len(bins), align="edge", color=_colour(position), alpha=0.75)
        lower.set(xlabel="confidence", ylabel="images", yscale="log", ylim=(0.7, None), xlim=(-0.02, 1.02))
        lower.yaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))
    return figure


@_styled()
def bands(panels: Mapping[str, Mapping[str, pd.DataFrame]], measure: str) -> Figure:
    """Return a panel per entry of `panels`, one or more, with a line and its band over the epochs for each label.

    Each table has the columns epoch, middle, low and high. All panels share one scale: `measure` is "accuracy", from
    the lowest line after the first epoch upwards, or "loss", which is logarithmic. A label has one colour throughout.
    """
    columns = min(len(panels), 5)
    rows = math.ceil(len(panels) / columns)
    width, height, size = (9, 3.2, 10) if columns < 4 else (11, 2.1, 9)
    figure = Figure(figsize=(width, 0.9 + height * rows))
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    labels = list(dict.fromkeys(label for lines in panels.values() for label in lines))
    for axes, (title, lines) in zip(grid, panels.items(), strict=False):
        for label, table in lines.items():
            position = labels.index(label)
            look: dict[str, Any] = {"color": _colour(position), "ls": LINES[position % len(LINES)]}
            axes.fill_between(table["epoch"], table["low"], table["high"], color=look["color"], alpha=0.2, lw=0)
            axes.plot(table["epoch"], table["middle"], label=label, **look)
        axes.set_title(title, fontsize=size)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    _scale_of_bands(grid[0], panels, measure)
    for axes in grid[max(len(panels) - columns, 0) : len(panels)]:
        axes.set_xlabel("epoch")
        axes.tick_params(labelbottom=True)
    _legend_above(figure, list(grid[: len(panels)]))
    return figure


def _scale_of_bands(axes: Axes, panels: Mapping[str, Mapping[str, pd.DataFrame]], measure: str) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    if measure == "accuracy":
        later = [
            table["middle"].iloc[1:].min() for lines in panels.values() for table in lines.values() if len(table) > 1
        ]
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
        axes.set_ylim(min(later, default=None), None)
    else:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda loss, _: f"{loss:g}"))


def _legend_above(figure: Figure, grid: Sequence[Axes]) -> None:
    handles: dict[str, Any] = {}
    for axes in grid:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(handles.values(), handles.keys(), loc="outside upper left", ncols=4)


@_styled()
def effects(rows: pd.DataFrame, smallest: float, verdicts: Sequence[str]) -> Figure:
    """Return a line per row: an effect with its interval, the verdict in words and colour; nothing drawn where NaN.

    `rows`, one or more, have the columns label, estimate, low, high (of accuracies, drawn in percentage points) and
    verdict: one of `verdicts`, which each have a colour, unless nothing is drawn. Effects below `smallest` are shaded;
    the axis is linear there and logarithmic beyond, so that large and small effects are both to be seen.
    """
    figure = Figure(figsize=(9, 1.3 + 0.36 * len(rows)))
    axes = figure.subplots()
    axes.axvspan(-100 * smallest, 100 * smallest, color="#e8e8e8", lw=0)
    axes.axvline(0, color=FAINT, lw=1)
    for place, row in enumerate(rows.itertuples()):
        drawn = not math.isnan(row.estimate)
        colour = _colour(verdicts.index(row.verdict)) if drawn else FAINT
        if drawn:
            axes.plot((100 * row.low, 100 * row.high), (place, place), "-", color=colour)
            axes.plot(100 * row.estimate, place, MARKERS[verdicts.index(row.verdict) % len(MARKERS)], color=colour)
        words: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center", "fontsize": 9}
        axes.text(1.02, place, row.verdict, color=colour, **words)
    axes.set_yticks(range(len(rows)), rows["label"], fontsize=9)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    _scale_of_effects(axes, rows, 100 * smallest)
    return figure


def _scale_of_effects(axes: Axes, rows: pd.DataFrame, smallest: float) -> None:
    reach = max(3 * smallest, 200 * float(rows[["low", "high"]].abs().max(axis=None, skipna=True) or 0))
    axes.set_xscale("symlog", linthresh=smallest, linscale=1)
    decades = [smallest * 10**power for power in range(int(math.log10(reach / smallest)) + 1)]
    ticks = [-tick for tick in reversed(decades)] + [0.0] + decades
    axes.set_xticks(ticks, [f"{tick:+g}".replace("-", "\N{MINUS SIGN}") if tick else "0" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlim(-reach, reach)
    axes.set_xlabel("percentage points")
    axes.grid(axis="y", visible=False)


@_styled()
def changes(groups: Mapping[str, tuple[Floats, Floats]], ends: tuple[str, str], ylabel: str) -> Figure:
    """Return how each group goes from one end to the other: thin lines for its seeds, a thick one for their mean.

    A group is two arrays (seeds,) of accuracies, the same seeds at the same places.
    """
    figure = Figure(figsize=(5.6, 4.2))
    axes = figure.subplots()
    for position, (name, (before, after)) in enumerate(groups.items()):
        look: dict[str, Any] = {"color": _colour(position), "ls": LINES[position % len(LINES)]}
        axes.plot((0, 1), np.stack((before, after)), lw=0.8, alpha=0.45, **look)
        axes.plot((0, 1), (before.mean(), after.mean()), lw=2.6, marker="o", label=name, **look)
    axes.set(xlim=(-0.3, 1.3), ylabel=ylabel)
    axes.set_xticks((0, 1), ends)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    _legend_above(figure, [axes])
    return figure


def _calibration(axes: Axes, bins: pd.DataFrame, colour: str) -> None:
    full = bins[bins["count"] > 0]
    axes.plot((0, 1), (0, 1), "--", lw=1, color=FAINT)
    axes.vlines(full["confidence"], full["low"], full["high"], color=colour, lw=1.2, alpha=0.6)
    axes.plot(full["confidence"], full["accuracy"], "o", ms=5, color=colour)
    axes.set(ylim=(-0.02, 1.02))


@_styled()
def gallery(images: Images, labels: Labels, predicted: Mapping[str, Labels]) -> Figure:
    """Return `images` (n, 28, 28), n above 0, ten in a row, under each its true label and the answer of every model."""
    columns, in_line = 10, 4
    rows, lines = math.ceil(len(images) / columns), math.ceil(len(predicted) / in_line)
    below, beside = 4 + 6 * lines, 7
    height, width = images.shape[1] + below, images.shape[2] + beside
    colours = {"true label \N{RIGHTWARDS ARROW}": "black", **{n: _colour(i) for i, n in enumerate(predicted)}}
    keys = max(1, 75 // (max(map(len, colours)) + 4))
    legend = 0.2 + 0.21 * math.ceil(len(colours) / keys)
    figure = Figure(figsize=(7, 7 * rows * height / (columns * width) + legend))
    axes = _picture(figure)
    sheet = _mosaic(images, (rows, columns), below, beside)
    axes.imshow(sheet, extent=(0, columns * width, rows * height, 0), interpolation="nearest")
    for index, label in enumerate(labels):
        left, top = index % columns * width, index // columns * height + images.shape[1] + 4
        _word(axes, left + 2, top, f"{label}", "black")
        _word(axes, left + 7, top, "\N{RIGHTWARDS ARROW}", FAINT)
        for position, answers in enumerate(predicted.values()):
            line, place = divmod(position, in_line)
            _word(axes, left + 12.5 + 5 * place, top + 6 * line, f"{answers[index]}", _colour(position))
    handles = [Line2D([], [], ls="", marker="s", color=colour, label=name) for name, colour in colours.items()]
    figure.legend(handles=handles, loc="outside upper left", ncols=keys, handletextpad=0.1)
    return figure


def _word(axes: Axes, x: float, y: float, text: str, colour: str) -> None:
    axes.text(x, y, text, color=colour, ha="center", va="center", fontsize=8, fontweight="bold")


def _colour(position: int) -> str:
    return PALETTE[position % len(PALETTE)]


def _picture(figure: Figure) -> Axes:
    axes = figure.subplots()
    axes.set_axis_off()
    return axes


def _mosaic(images: Images, shape: tuple[int, int], below: int, beside: int) -> Images:
    """Return `images` on a sheet of `shape` (rows, columns) tiles, `below` and `beside` empty pixels after each."""
    rows, columns = shape
    padded = np.pad(images, ((0, rows * columns - len(images)), (0, below), (0, beside)))
    height, width = padded.shape[1:]
    return padded.reshape(rows, columns, height, width).swapaxes(1, 2).reshape(rows * height, columns * width)


def _over_epochs(axes: Axes, column: str) -> None:
    rate = column.endswith("accuracy")
    axes.set(title=column, xlabel="epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if rate:
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    else:
        axes.set_ylim(bottom=0)
    axes.legend(loc="lower right" if rate else "upper right")
