"""A picture of one character as in KMNIST: light on black, as large as an image of 28x28 pixels allows.

Unlike a digit, a character may be of several strokes that lie apart, so all ink in the picture is taken to be its own.
It is fitted into the whole image, not into a box within it as MNIST's digits are.
"""

from __future__ import annotations

from typing import IO

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.inference import digits, pictures, segmentation
from pipeline.inference.segmentation import Floats, SegmentationError


def decode(file: IO[bytes], name: str) -> NDArray[np.uint8]:
    """Return the character in a file as (28, 28), light on black; errors call the file `name`.

    Raises:
        InputError: It is not such a file, is damaged or too large, or shows nothing.
    """
    try:
        return normalise(pictures.decode(file, name))
    except SegmentationError as error:
        raise InputError(f"{name}: not a character: {error}") from None


def normalise(grey: Floats) -> NDArray[np.uint8]:
    """Return the ink in a picture of brightnesses, dark on light or light on dark, as (28, 28), light on black.

    A picture of 28x28 whose border is black, for the most part, is such an image already.

    Raises:
        SegmentationError: Nothing stands out from the background.
    """
    if grey.shape == (digits.SIDE, digits.SIDE) and np.median(_border(grey)) == 0 < grey.max():
        return np.rint(grey).astype(np.uint8)
    return digits.sized(digits.cropped(segmentation.strokes(grey)), digits.SIDE)


def _border(grey: Floats) -> Floats:
    return np.concatenate([grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]])
