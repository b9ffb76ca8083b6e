"""Any picture of one digit as the networks know digits: light on black, 28x28 pixels, where MNIST would have put it.

LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to Document Recognition" (1998), section III.A: the
digits were "size normalized to fit in a 20x20 pixel box while preserving their aspect ratio", with grey levels from
anti-aliasing, and "centered in a 28x28 image by computing the center of mass of the pixels".
"""

from __future__ import annotations

from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import InputError
from pipeline.inference import pictures

# The sides of an image of MNIST, and of the box in it that a digit is fitted into, in pixels.
SIDE = 28
BOX = 20
# The index of the row and of the column on which MNIST's centres of mass lie, give or take half a pixel.
CENTRE = SIDE // 2
# Grey levels, of 255, that ink has to stand out from the background by.
_FAINT = 24
# Of the ink's contrast: below the first lie the traces of JPEG, above the second no background is taken to reach.
_LEAST, _MOST = 0.05, 0.4
# Rows and columns without a pixel of this much of the contrast are not counted to a digit's size: JPEG's, again.
_EDGE = 0.15
# The background's noise reaches as many times the median distance from its median.
_NOISE = 5

Floats = NDArray[np.float64]


def read(path: Path) -> NDArray[np.uint8]:
    """Return the digit in the PNG or JPEG file at `path` as (28, 28), light on black.

    Raises:
        InputError: The file cannot be read, is no such picture, is too large, or shows nothing.
    """
    return _digit(pictures.read(path), pictures.shown(path))


def decode(file: IO[bytes], name: str) -> NDArray[np.uint8]:
    """Return the digit in a PNG or JPEG file as `read` does; errors call the file `name`."""
    return _digit(pictures.decode(file, name), name)


def _digit(grey: Floats, name: str) -> NDArray[np.uint8]:
    try:
        return normalise(grey)
    except ValueError as error:
        raise InputError(f"{name}: {error}") from None


def normalise(grey: Floats) -> NDArray[np.uint8]:
    """Return the digit in a picture of brightnesses, dark on light or light on dark, as (28, 28), light on black.

    Raises:
        ValueError: Nothing stands out from the background.
    """
    ink = _ink(grey)
    strong = ink >= _EDGE
    rows, columns = np.flatnonzero(strong.any(axis=1)), np.flatnonzero(strong.any(axis=0))
    return _placed(_fitted(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]))


def _ink(grey: Floats) -> Floats:
    """Return how much each pixel stands out from the background, 0 to 1.

    The background is the border's median. The ink lies to that side of it, dark or light, on which the picture goes
    further away; what the border itself strays (shade, paper, noise) is background too.
    """
    border = np.concatenate([grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]])
    background = float(np.median(border))
    above, below = float(grey.max()) - background, background - float(grey.min())
    contrast = max(above, below)
    noise = _NOISE * float(np.median(np.abs(border - background)))
    if contrast < max(_FAINT, noise):
        raise ValueError("shows nothing that stands out from its background; expected one digit")
    ink = (grey - background if above > below else background - grey) / contrast
    threshold = min(max(noise / contrast, _LEAST), _MOST)
    return np.where(ink < threshold, 0.0, ink)


def _fitted(ink: Floats) -> Floats:
    """Return a cropped digit with its longer side at BOX pixels, and its brightest pixel at 1."""
    height, width = ink.shape
    scale = BOX / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    # Pillow takes the mean over all that becomes one pixel: that is the anti-aliasing.
    picture = Image.fromarray(ink.astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
    scaled: Floats = np.clip(np.asarray(picture, np.float64), 0, None)
    # A pen's thin lines would end up pale; MNIST's digits all reach white.
    return scaled / float(scaled.max())


def _placed(ink: Floats) -> NDArray[np.uint8]:
    """Return (28, 28) with the centre of mass of `ink` as near to the middle as whole pixels and the border allow."""
    height, width = ink.shape
    row = CENTRE - ink.sum(axis=1) @ np.arange(height) / ink.sum()
    column = CENTRE - ink.sum(axis=0) @ np.arange(width) / ink.sum()
    top = min(max(round(row), 0), SIDE - height)
    left = min(max(round(column), 0), SIDE - width)
    placed = np.zeros((SIDE, SIDE), np.uint8)
    placed[top : top + height, left : left + width] = np.rint(255 * ink)
    return placed
