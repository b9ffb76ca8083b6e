"""A picture of a digit or a character as the networks know them: light on black, 28x28 pixels.

A digit is where MNIST would have put it, a character where KMNIST would.

LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to Document Recognition" (1998), section III.A: the
digits were "size normalized to fit in a 20x20 pixel box while preserving their aspect ratio", with grey levels from
anti-aliasing, and "centered in a 28x28 image by computing the center of mass of the pixels".
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from pipeline.data.image_set import HANDWRITTEN
from pipeline.inference import segmentation
from pipeline.inference.segmentation import Floats, Mask, SegmentationError

# The sides of an image of MNIST, and of the box in it that a digit is fitted into, in pixels.
SIDE = HANDWRITTEN[0]
BOX = 20
# The index of the row and of the column on which MNIST's centres of mass lie, give or take half a pixel.
CENTRE = SIDE // 2
# Rows and columns without a pixel of this much of the contrast do not count towards a digit's size: JPEG's traces.
_EDGE = 0.15
# The size at which a digit's shape is judged, four times MNIST's, and the ink, 0 to 1, that counts as a stroke.
_SCALE, _STROKE = 4, 0.35
# What 1.5% of MNIST's digits exceed, or fewer: width over height; half the width of the thickest stroke, in MNIST's
# pixels; the part of its bounding box's border that is ink; the strokes that a row or a column crosses; and those that
# a row crosses, those that a column crosses, and the holes taken together.
_MAX_ASPECT, _MAX_RADIUS, _MAX_BORDER, _MAX_CROSSED, _MAX_STROKES = 1.3, 4.0, 0.7, 4, 8
# A narrow stroke fills its bounding box, so that the last does not apply to it.
_NARROW = 0.4
# Pieces and holes of fewer pixels are noise.
_NOISE = 8

Pixels = NDArray[np.uint8]


def digit(grey: Floats) -> Pixels:
    """Return the digit in a picture of brightnesses, dark on light or light on dark, as (28, 28), light on black.

    Raises:
        SegmentationError: The picture does not show one digit on an even background.
    """
    if grey.shape == HANDWRITTEN and grey.max() == 255 and np.array_equal(as_is := sized(cropped(grey / 255)), grey):
        return as_is  # from MNIST, or normalised as MNIST is
    ink = cropped(segmentation.ink(grey))
    _check_shape(cropped(_fitted(ink, _SCALE * BOX), _STROKE) >= _STROKE)
    return sized(ink)


def character(grey: Floats) -> Pixels:
    """Return all ink in a picture of brightnesses, dark on light or light on dark, as (28, 28), light on black.

    Unlike a digit, a character may be of several strokes that lie apart. As in KMNIST, it is fitted into the whole
    image, not into a box within it. A picture of 28x28 whose border is black, for the most part, is such an image.

    Raises:
        SegmentationError: Nothing stands out from the background.
    """
    if grey.shape == HANDWRITTEN and np.median(_border(grey)) == 0 < grey.max():
        return np.rint(grey).astype(np.uint8)
    return sized(cropped(segmentation.strokes(grey)), SIDE)


def _border(pixels: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])


def cropped(ink: Floats, least: float = _EDGE) -> Floats:
    """Return the smallest part of a picture that has all pixels with at least so much ink."""
    strong = ink >= least
    rows, columns = np.flatnonzero(strong.any(axis=1)), np.flatnonzero(strong.any(axis=0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def sized(ink: Floats, box: int = BOX) -> Pixels:
    """Return cropped ink with its longer side at `box` pixels in a (28, 28) image.

    Its centre of mass is as near to the middle as whole pixels and the border allow.
    """
    ink = _fitted(ink, box)
    height, width = ink.shape
    row = CENTRE - ink.sum(axis=1) @ np.arange(height) / ink.sum()
    column = CENTRE - ink.sum(axis=0) @ np.arange(width) / ink.sum()
    top = min(max(round(row), 0), SIDE - height)
    left = min(max(round(column), 0), SIDE - width)
    placed = np.zeros((SIDE, SIDE), np.uint8)
    placed[top : top + height, left : left + width] = np.rint(255 * ink)
    return placed


def _fitted(ink: Floats, side: int) -> Floats:
    """Return a cropped digit with its longer side at `side` pixels, and its brightest pixel at 1."""
    height, width = ink.shape
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    # Pillow takes the mean over all that becomes one pixel: that is the anti-aliasing.
    picture = Image.fromarray(ink.astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
    scaled: Floats = np.clip(np.asarray(picture, np.float64), 0, None)
    # A pen's thin lines would end up pale; MNIST's digits all reach white.
    return scaled / float(scaled.max())


def _check_shape(strokes: Mask) -> None:
    """Refuse strokes, _SCALE times as large as MNIST's and cropped, in a shape that hardly any digit has.

    Raises:
        SegmentationError: They are too wide, too thick or too intricate, or fill their box as a sheet or a frame does.
    """
    height, width = strokes.shape
    if width > _MAX_ASPECT * height:
        raise SegmentationError("it is too wide: a dash, or several digits that touch")
    if width > _NARROW * height and _border(strokes).mean() > _MAX_BORDER:
        raise SegmentationError("it fills its box, as a sheet of paper or a frame does")
    around = ~_without_small(~_without_small(np.pad(strokes, 1)))
    if ndimage.distance_transform_edt(around).max() > _MAX_RADIUS * _SCALE:
        raise SegmentationError("its strokes are too thick for its size: a dot or a blot")
    # One of the regions without ink is not a hole but what surrounds the digit.
    holes = ndimage.label(~around)[1] - 1
    crossed = _crossed(around), _crossed(around.T)
    if max(crossed) > _MAX_CROSSED or sum(crossed) + holes > _MAX_STROKES:
        raise SegmentationError("it has more strokes than a digit")


def _without_small(mask: Mask) -> Mask:
    """Return a mask without its connected regions of fewer than _NOISE pixels."""
    labels, _ = ndimage.label(mask)
    return mask & np.isin(labels, np.flatnonzero(np.bincount(labels.ravel()) >= _NOISE))


def _crossed(strokes: Mask) -> int:
    """Return the largest number of strokes that rows cross, over as many rows as one of MNIST's pixels is high."""
    begins = strokes & ~np.roll(strokes, 1, axis=1)
    # A level stroke's rough edge has many beginnings in a single row.
    return int(ndimage.minimum_filter1d(begins.sum(axis=1), _SCALE).max())
