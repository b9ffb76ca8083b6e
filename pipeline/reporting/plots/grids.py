"""Grids of images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from pipeline.reporting import colours
from pipeline.reporting.plots.style import FAINT, styled

Images = NDArray[np.uint8]
Labels = NDArray[np.integer[Any]]


@styled()
def digit_grid(images: Images, rows: int, columns: int) -> Figure:
    """Return the first rows x columns of `images` (n, height, width), row by row; fewer leave the end empty."""
    figure = Figure(figsize=(0.62 * columns, 0.62 * rows))
    _canvas(figure).imshow(_mosaic(images[: rows * columns], (rows, columns), 2, 2), interpolation="nearest")
    return figure


@styled()
def gallery(images: Images, labels: Labels, predicted: Mapping[str, Labels]) -> Figure:
    """Return `images` (n, 28, 28), n above 0, ten in a row, under each its true label and each model's answer."""
    columns, in_line = 10, 4
    rows, lines = math.ceil(len(images) / columns), math.ceil(len(predicted) / in_line)
    below, right = 4 + 6 * lines, 7
    height, width = images.shape[1] + below, images.shape[2] + right
    looks = colours.of_models(predicted)
    keys = {"true label \N{RIGHTWARDS ARROW}": "black", **{name: look.colour for name, look in looks.items()}}
    per_row = max(1, 75 // (max(map(len, keys)) + 4))
    legend = 0.2 + 0.21 * math.ceil(len(keys) / per_row)
    figure = Figure(figsize=(7, 7 * rows * height / (columns * width) + legend))
    axes = _canvas(figure)
    sheet = _mosaic(images, (rows, columns), below, right)
    axes.imshow(sheet, extent=(0, columns * width, rows * height, 0), interpolation="nearest")
    for index, label in enumerate(labels):
        left, top = index % columns * width, index // columns * height + images.shape[1] + 4
        _word(axes, left + 2, top, f"{label}", "black")
        _word(axes, left + 7, top, "\N{RIGHTWARDS ARROW}", FAINT)
        for position, (name, answers) in enumerate(predicted.items()):
            line, place = divmod(position, in_line)
            _word(axes, left + 12.5 + 5 * place, top + 6 * line, f"{answers[index]}", looks[name].colour)
    handles = [Line2D([], [], ls="", marker="s", color=colour, label=name) for name, colour in keys.items()]
    figure.legend(handles=handles, loc="outside upper left", ncols=per_row, handletextpad=0.1)
    return figure


def _word(axes: Axes, x: float, y: float, text: str, colour: str) -> None:
    axes.text(x, y, text, color=colour, ha="center", va="center", fontsize=8, fontweight="bold")


def _canvas(figure: Figure) -> Axes:
    axes = figure.subplots()
    axes.set_axis_off()
    return axes


def _mosaic(images: Images, shape: tuple[int, int], below: int, right: int) -> Images:
    """Return `images` on a sheet of `shape` (rows, columns) tiles, with margins of so many pixels after each."""
    rows, columns = shape
    padded = np.pad(images, ((0, rows * columns - len(images)), (0, below), (0, right)))
    height, width = padded.shape[1:]
    return padded.reshape(rows, columns, height, width).swapaxes(1, 2).reshape(rows * height, columns * width)
