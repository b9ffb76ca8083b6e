"""The ink of the one digit in a picture, or all ink: without the page, the light on it, and what else lies there.

The page is a quadratic surface fitted to the picture, so that light may fall off and corners may be dark. What stands
out from it falls into connected pieces; the largest with its near parts is the digit. Whatever cannot be read as one
digit on a page is an error: a confident prediction for something else would be worse than none.
"""

from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Grey levels, of 255, by which ink must differ from the page.
FAINT = 24
# The page's noise reaches this many times the median distance from its surface.
_NOISE = 5
# Of the ink's contrast: what is fainter than _STRONG may be a ruled line; soft edges reach down to the noise, but never
# below _LEAST, where JPEG's traces are, nor only to more than _MOST.
_STRONG, _LEAST, _MOST = 0.35, 0.05, 0.4
# Of the picture's longer side: smaller pieces are specks.
_SPECK = 0.04
# Of the digit's longer side: the widest gap to a part of it, the least size and largest height of such a part, the
# largest size of a speck, and how far the digit's soft edges reach.
_GAP, _LEAST_PART, _PART, _OTHER, _SOFT = 0.2, 0.2, 0.5, 0.3, 0.06
# The outer part of the picture, which is page for the most part; and the samples along the longer side for the fit.
_MARGIN, _SAMPLES = 0.15, 60


class SegmentationError(ValueError):
    """The picture does not show one digit; the text is the reason."""


def ink(grey: Floats) -> Floats:
    """Return the digit's ink, 0 to 1, in a picture of brightnesses (rows, columns), 0 to 255; dark or light ink.

    Raises:
        SegmentationError: Nothing stands out, it reaches the picture's edge, or there are several things.
    """
    depth, faintest = _standing_out(grey)
    digit = _digit(depth > _STRONG)
    return np.where(digit & (depth >= faintest), depth, 0.0)


def strokes(grey: Floats) -> Floats:
    """Return all ink, 0 to 1, in a picture of brightnesses as `ink` does, in one piece or in many.

    Raises:
        SegmentationError: Nothing stands out.
    """
    depth, faintest = _standing_out(grey)
    return np.where(depth >= faintest, depth, 0.0)


def _standing_out(grey: Floats) -> tuple[Floats, float]:
    """Return how far each pixel stands out, 1 for the one that does most, without specks; and the faintest ink."""
    depth, noise = _depth(grey)
    threshold = max(noise, FAINT / 2)
    labels, starts, stops = _pieces(depth > threshold)
    large = 1 + np.flatnonzero((stops - starts).max(axis=1) > _SPECK * max(grey.shape))
    depth = np.where(np.isin(labels, large), depth, 0)
    contrast = float(depth.max())
    if contrast < max(FAINT, 2 * threshold):
        raise SegmentationError("nothing stands out from the background")
    return depth / contrast, min(max(noise / contrast, _LEAST), _MOST)


def _depth(grey: Floats) -> tuple[Floats, float]:
    """Return how far each pixel stands out from the page, to the side on which most does, and how far noise does."""
    page, noise = background(grey)
    noise *= _NOISE
    darker, lighter = page - grey, grey - page
    beyond = max(noise, FAINT / 2)
    if np.clip(lighter - beyond, 0, None).sum() > np.clip(darker - beyond, 0, None).sum():
        return np.clip(lighter, 0, None), noise
    # Where there is less light, the same ink takes away less of it.
    page = np.clip(page, 1, None)
    return np.clip(darker, 0, None) * (page.max() / page), noise


def background(grey: Floats) -> tuple[Floats, float]:
    """Return the page's brightness in each pixel, and the median distance of the page's pixels from it.

    A least-squares fit, repeated without the pixels far from it: first of the margin, then of the whole picture.
    """
    rows, columns = np.meshgrid(*(np.linspace(-1, 1, length) for length in grey.shape), indexing="ij")
    terms = np.stack([np.ones_like(rows), rows, columns, rows**2, rows * columns, columns**2], axis=-1)
    step = max(1, max(grey.shape) // _SAMPLES)
    sampled, values = terms[::step, ::step].reshape(-1, 6), grey[::step, ::step].ravel()
    margin = np.abs(sampled[:, 1:3]).max(axis=1) >= 1 - _MARGIN
    weights, distance = _fit(sampled, values, margin, margin)
    near = distance <= _tolerance(distance[margin])
    weights, distance = _fit(sampled, values, near, np.ones_like(near))
    return terms @ weights, float(np.median(distance[distance <= _tolerance(distance[near])]))


def _tolerance(distance: Floats) -> float:
    """Return the distance up to which a pixel belongs to a surface: 2.5 standard deviations, by the median."""
    return max(2.5 * 1.4826 * float(np.median(distance)), 0.5)


def _fit(terms: Floats, values: Floats, start: Mask, among: Mask) -> tuple[Floats, Floats]:
    """Return the weights of `terms` that fit most values `among` these, and all values' distances from the fit."""
    kept = start
    for _ in range(12):
        weights: Floats = np.linalg.lstsq(terms[kept], values[kept], rcond=None)[0].astype(np.float64)
        distance = np.abs(values - terms @ weights)
        near = among & (distance <= _tolerance(distance[kept]))
        if near.sum() < 2 * terms.shape[1] or np.array_equal(near, kept):
            break
        kept = near
    return weights, distance


def _pieces(mask: Mask) -> tuple[NDArray[np.int32], NDArray[np.intp], NDArray[np.intp]]:
    """Return the pieces of a mask, whose pixels touch also at corners, as an image of their labels, which are 1 to n.

    And the box around each, (n, 2): the row and the column with which it begins, and those before which it ends.
    """
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    boxes = [[(side.start, side.stop) for side in box] for box in ndimage.find_objects(labels)]
    starts, stops = np.moveaxis(np.array(boxes, np.intp).reshape(count, 2, 2), -1, 0)
    return labels, starts, stops


def _digit(strong: Mask) -> Mask:
    """Return where the digit is, its soft edges included, among pixels that are certainly not page."""
    labels, starts, stops = _pieces(strong)
    sides = (stops - starts).max(axis=1)
    main, side = sides.argmax(), sides.max()
    gaps = ndimage.minimum(ndimage.distance_transform_edt(labels != main + 1), labels, np.arange(len(sides)) + 1)
    near = (gaps <= _GAP * side + 1) & (sides >= _LEAST_PART * side)
    low = stops[:, 0] - starts[:, 0] <= _PART * side
    overlaps = (np.minimum(stops, stops[main]) > np.maximum(starts, starts[main])).all(axis=1)
    parts = near & (low | overlaps)
    if (sides[~parts] > _OTHER * side).any():
        raise SegmentationError("several things stand out from the background")
    if (starts[parts] == 0).any() or (stops[parts] == strong.shape).any():
        raise SegmentationError("it reaches the edge of the picture, so that some of it may be missing")
    outside = ndimage.distance_transform_edt(~np.isin(labels, 1 + np.flatnonzero(parts)))
    return cast(Mask, outside <= max(_SOFT * side, 1.5))
