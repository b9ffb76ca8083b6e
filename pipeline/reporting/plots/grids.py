"""Grids of images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from pipeline.reporting import colours
from pipeline.reporting.plots.style import FAINT, plain, styled

Images = NDArray[np.uint8]
Labels = NDArray[np.integer[Any]]


@styled()
def samples(images: Images, rows: int, columns: int) -> Figure:
    """Return the first rows x columns of `images`, row by row, in grey or colour; fewer leave the end empty.

    `images` are (n, height, width) or (n, height, width, 3).
    """
    height, width = images.shape[1:3]
    figure = Figure(figsize=(0.62 * columns, 0.62 * rows * height / width))
    _canvas(figure).imshow(_mosaic(images[: rows * columns], (rows, columns), 2, 2), interpolation="nearest")
    return figure


@styled()
def gallery(images: Images, labels: Labels, predicted: Mapping[str, Labels], classes: Sequence[str]) -> Figure:
    """Return `images` (n, height, width) or (n, height, width, 3), n above 0, each with its classes below.

    First the name of its true class, then that of each model's answer, in the model's colour: in rows where names are
    single characters, else one below the other.
    """
    looks = colours.of_models(predicted)
    keys = {"true label \N{RIGHTWARDS ARROW}": "black", **{name: look.colour for name, look in looks.items()}}
    words = [
        [(classes[label], "black"), *((classes[found[index]], looks[name].colour) for name, found in predicted.items())]
        for index, label in enumerate(labels)
    ]
    draw = _short_captions if max(map(len, classes)) == 1 else _long_captions
    per_row = max(1, 75 // (max(map(len, keys)) + 4))
    legend = 0.2 + 0.21 * math.ceil(len(keys) / per_row)
    figure = draw(images, words, legend)
    handles = [Line2D([], [], ls="", marker="s", color=colour, label=name) for name, colour in keys.items()]
    figure.legend(handles=handles, loc="outside upper left", ncols=per_row, handletextpad=0.1)
    return figure


def _short_captions(images: Images, words: Sequence[Sequence[tuple[str, str]]], legend: float) -> Figure:
    columns, in_line = 10, 4
    lines = math.ceil((len(words[0]) - 1) / in_line)
    below, right = 4 + 6 * lines, 7
    figure, axes, (height, width) = _sheet(images, columns, below, right, legend)
    for index, ((truth, colour), *answers) in enumerate(words):
        left, top = index % columns * width, index // columns * height + images.shape[1] + 4
        _word(axes, left + 2, top, truth, colour)
        _word(axes, left + 7, top, "\N{RIGHTWARDS ARROW}", FAINT)
        for position, (answer, shade) in enumerate(answers):
            line, place = divmod(position, in_line)
            _word(axes, left + 12.5 + 5 * place, top + 6 * line, answer, shade)
    return figure


def _long_captions(images: Images, words: Sequence[Sequence[tuple[str, str]]], legend: float) -> Figure:
    columns, longest = 5, 20
    # Pixels of the images to a line of text: the sheet is seven inches wide.
    line = math.ceil(columns * images.shape[2] * 1.1 * 0.16 / 7)
    figure, axes, (height, width) = _sheet(
        images, columns, line * (len(words[0]) + 1), math.ceil(images.shape[2] * 0.1), legend
    )
    for index, captions in enumerate(words):
        left, top = index % columns * width, index // columns * height + images.shape[1]
        for number, (text, colour) in enumerate(captions):
            short = text if len(text) <= longest else f"{text[: longest - 1]}\N{HORIZONTAL ELLIPSIS}"
            _word(axes, left + images.shape[2] / 2, top + (number + 0.7) * line, short, colour)
    return figure


def _sheet(images: Images, columns: int, below: int, right: int, legend: float) -> tuple[Figure, Axes, tuple[int, int]]:
    """Return a figure of the images with margins, its axes in pixels, and the height and width of a tile in them."""
    rows = math.ceil(len(images) / columns)
    height, width = images.shape[1] + below, images.shape[2] + right
    figure = Figure(figsize=(7, 7 * rows * height / (columns * width) + legend))
    axes = _canvas(figure)
    sheet = _mosaic(images, (rows, columns), below, right)
    axes.imshow(sheet, extent=(0, columns * width, rows * height, 0), interpolation="nearest")
    return figure, axes, (height, width)


def _word(axes: Axes, x: float, y: float, text: str, colour: str) -> None:
    axes.text(x, y, plain(text), color=colour, ha="center", va="center", fontsize=8, fontweight="bold")


def _canvas(figure: Figure) -> Axes:
    axes = figure.subplots()
    axes.set_axis_off()
    return axes


def _mosaic(images: Images, shape: tuple[int, int], below: int, right: int) -> Images:
    """Return `images` on a sheet of `shape` (rows, columns) tiles, with margins of so many pixels after each."""
    rows, columns = shape
    colours = images.shape[3:]
    margins = ((0, rows * columns - len(images)), (0, below), (0, right), *((0, 0) for _ in colours))
    # White: of grey images the darkest value is drawn as white.
    padded = np.pad(images, margins, constant_values=255 if colours else 0)
    height, width = padded.shape[1:3]
    tiles = padded.reshape(rows, columns, height, width, *colours).swapaxes(1, 2)
    return tiles.reshape(rows * height, columns * width, *colours)
