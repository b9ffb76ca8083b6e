"""Grids of images."""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.textpath import TextPath
from numpy.typing import NDArray

from pipeline.reporting import colours
from pipeline.reporting.plots.style import FAINT, drawable, plain, styled

Images = NDArray[np.uint8]
Labels = NDArray[np.integer[Any]]

# The words below an image, and the width in inches of a sheet of images with words.
_FONT: dict[str, Any] = {"size": 8, "weight": "bold"}
_SHEET = 7
# The captions of single characters are laid out for images of so many pixels in width; others are scaled.
_UNIT = 28


def first(labels: Labels, count: int) -> NDArray[np.int64]:
    """Return which images to show as samples: the first `count`, or, if sorted by class, as many at equal steps."""
    count = min(count, len(labels))
    sorted_by_class = bool(np.all(labels[:-1] <= labels[1:]))
    return np.arange(count) * len(labels) // count if sorted_by_class else np.arange(count)


def drawn(images: Images, *, negative: bool) -> Images:
    """Return what `samples` and `gallery`, to which 0 is white, draw as `images`, or with `negative` as ink on paper.

    Images in colour stay as they are.
    """
    return images if negative or images.ndim == 4 else 255 - images


@styled()
def samples(images: Images, rows: int, columns: int) -> Figure:
    """Return the first rows x columns of `images`, row by row, in grey or colour.

    `images` are (n, height, width) or (n, height, width, 3). Of fewer, as many are shown as fill a smaller grid.
    """
    shapes = [(r, c) for r in range(1, rows + 1) for c in range(1, columns + 1) if r * c <= len(images)]
    rows, columns = max(shapes, key=lambda shape: (math.prod(shape), -abs(shape[0] - shape[1]), shape[1]))
    images = _framed(images[: rows * columns])
    height, width = images.shape[1:3]
    figure = Figure(figsize=(0.62 * columns, 0.62 * rows * height / width))
    _canvas(figure).imshow(_mosaic(images, (rows, columns), 2, 2), interpolation="nearest")
    return figure


@styled()
def augmented(images: Images, names: Sequence[str]) -> Figure:
    """Return `images` (steps, n, height, width) or (steps, n, height, width, 3), a row for each step with its name."""
    steps, count = images.shape[:2]
    tiles = _framed(images.reshape(steps * count, *images.shape[2:]))
    height, width = tiles.shape[1:3]
    figure = Figure(figsize=(_SHEET, 0.8 * _SHEET * steps * height / (count * width)))
    axes = figure.subplots()
    axes.imshow(_mosaic(tiles, (steps, count), 2, 2), interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([(row + 0.5) * (height + 2) for row in range(steps)], names)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.set_anchor("E")
    axes.spines[:].set_visible(False)
    return figure


@styled()
def gallery(images: Images, labels: Labels, predicted: Mapping[str, Labels], classes: Sequence[str]) -> Figure:
    """Return `images` (n, height, width) or (n, height, width, 3), n above 0, each with its classes below.

    First the name of its true class, then that of each model's answer, in the model's colour: in rows where names are
    single characters, else one below the other.
    """
    looks, classes = colours.of_models(predicted), [drawable(name) for name in classes]
    short = max(map(len, classes)) == 1
    truth = "true label \N{RIGHTWARDS ARROW}" if short else "true label"
    keys = {truth: "black", **{name: look.colour for name, look in looks.items()}}
    words = [
        [
            (classes[label], "black"),
            *((classes[answers[index]], looks[name].colour) for name, answers in predicted.items()),
        ]
        for index, label in enumerate(labels)
    ]
    per_row = max(1, 75 // (max(map(len, keys)) + 4))
    legend = 0.2 + 0.21 * math.ceil(len(keys) / per_row)
    figure = (_short_captions if short else _long_captions)(_framed(images), words, legend)
    handles = [Line2D([], [], ls="", marker="s", color=colour, label=name) for name, colour in keys.items()]
    figure.legend(handles=handles, loc="outside upper left", ncols=per_row, handletextpad=0.1)
    return figure


def _short_captions(images: Images, words: Sequence[Sequence[tuple[str, str]]], legend: float) -> Figure:
    columns, in_line = 10, 4
    lines, unit = math.ceil((len(words[0]) - 1) / in_line), images.shape[2] / _UNIT
    below, right = math.ceil((4 + 6 * lines) * unit), math.ceil(7 * unit)
    figure, axes, (height, width) = _sheet(images, columns, below, right, legend)
    for index, ((truth, colour), *answers) in enumerate(words):
        left, top = index % columns * width, index // columns * height + images.shape[1] + 4 * unit
        _word(axes, left + 2 * unit, top, truth, colour)
        _word(axes, left + 7 * unit, top, "\N{RIGHTWARDS ARROW}", FAINT)
        for position, (answer, shade) in enumerate(answers):
            line, place = divmod(position, in_line)
            _word(axes, left + (12.5 + 5 * place) * unit, top + 6 * line * unit, answer, shade)
    return figure


def _long_captions(images: Images, words: Sequence[Sequence[tuple[str, str]]], legend: float) -> Figure:
    columns = 5
    # Pixels of the images to a line of text.
    line = math.ceil(columns * images.shape[2] * 1.1 * 0.16 / _SHEET)
    below, right = line * (len(words[0]) + 1), math.ceil(images.shape[2] * 0.1)
    figure, axes, (height, width) = _sheet(images, columns, below, right, legend)
    for index, captions in enumerate(words):
        left, top = index % columns * width, index // columns * height + images.shape[1]
        for number, (text, colour) in enumerate(captions):
            _word(axes, left + images.shape[2] / 2, top + (number + 0.7) * line, _cut(text, columns), colour)
    return figure


@cache
def _cut(text: str, columns: int) -> str:
    """Return as much of `text` as fits below an image where so many are side by side."""
    width, short = 0.93 * 72 * _SHEET / columns, text
    while TextPath((0, 0), plain(short), prop=FontProperties(**_FONT)).get_extents().width > width:
        short = f"{short[:-2].rstrip()}\N{HORIZONTAL ELLIPSIS}"
    return short


def _sheet(images: Images, columns: int, below: int, right: int, legend: float) -> tuple[Figure, Axes, tuple[int, int]]:
    """Return a figure of the images with margins, its axes in pixels, and the height and width of a tile in them."""
    rows = math.ceil(len(images) / columns)
    height, width = images.shape[1] + below, images.shape[2] + right
    figure = Figure(figsize=(_SHEET, _SHEET * rows * height / (columns * width) + legend))
    axes = _canvas(figure)
    sheet = _mosaic(images, (rows, columns), below, right)
    axes.imshow(sheet, extent=(0, columns * width, rows * height, 0), interpolation="nearest")
    return figure, axes, (height, width)


def _word(axes: Axes, x: float, y: float, text: str, colour: str) -> None:
    axes.text(x, y, plain(text), color=colour, ha="center", va="center", **_FONT)


def _canvas(figure: Figure) -> Axes:
    axes = figure.subplots()
    axes.set_axis_off()
    return axes


def _framed(images: Images) -> Images:
    """Return `images` with white at their sides, so that none of these is more than twice as long as the other."""
    height, width = images.shape[1:3]
    wide, high = max(math.ceil(height / 2) - width, 0), max(math.ceil(width / 2) - height, 0)
    sides = ((0, 0), (high // 2, high - high // 2), (wide // 2, wide - wide // 2), *((0, 0) for _ in images.shape[3:]))
    return np.pad(images, sides, constant_values=_white(images))


def _white(images: Images) -> int:
    # Of grey images the darkest value is drawn as white.
    return 255 if images.ndim == 4 else 0


def _mosaic(images: Images, shape: tuple[int, int], below: int, right: int) -> Images:
    """Return `images` on a sheet of `shape` (rows, columns) tiles, with margins of so many pixels after each."""
    rows, columns = shape
    colours = images.shape[3:]
    margins = ((0, rows * columns - len(images)), (0, below), (0, right), *((0, 0) for _ in colours))
    padded = np.pad(images, margins, constant_values=_white(images))
    height, width = padded.shape[1:3]
    tiles = padded.reshape(rows, columns, height, width, *colours).swapaxes(1, 2)
    return tiles.reshape(rows * height, columns * width, *colours)
