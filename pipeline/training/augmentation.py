"""Training images changed at random: how is a function of (seed, epoch, image), and of nothing else.

All is additions, products, quotients and roundings, one after another, which have the same bits on every processor and
with any number of threads.
"""

from collections.abc import Callable, Mapping
from math import factorial, pi, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.training.backend import tf
from pipeline.training.settings import Augmentation

# The random stream of the augmentation; weights, dropout and order have others. Within it, moves have the stream
# without a number, and the rest have these.
_STREAM = 3
_WARPS, _TONES, _BOXES = 1, 2, 3

Floats = NDArray[np.float64]


def draw(augmentation: Augmentation, *, seed: int, epoch: int, shape: tuple[int, ...]) -> dict[str, NDArray[Any]]:
    """Return what happens to each of n images of `shape`, (n, h, w) or (n, h, w, c); what does not happen is left out.

    `moves` (n, 3): by how many rows and columns it moves up and left, and 1 if it is mirrored, else 0. `warps` (n, 8):
    the projective transformation from its new pixels to its old ones. `tones` (n, 2): by what its contrast is
    multiplied, and what is added then. `boxes` (n, 4): the first row and column that are erased, and those after the
    last.
    """
    count, height, width = shape[:3]

    def uniform(stream: int, columns: int) -> Floats:
        # Each image's numbers, whichever of them are used: one kind of change does not alter another.
        return np.random.default_rng([seed, _STREAM, epoch, stream]).random((count, columns)).T

    changes: dict[str, NDArray[Any]] = {}
    if augmentation.shift or augmentation.flip:
        rng = np.random.default_rng([seed, _STREAM, epoch])
        moves = rng.integers(-augmentation.shift, augmentation.shift, size=(count, 2), endpoint=True, dtype=np.int32)
        flips = rng.integers(0, 2, size=(count, 1), dtype=np.int32) * np.int32(augmentation.flip)
        changes["moves"] = np.concatenate([moves, flips], axis=1)
    if augmentation.rotate or augmentation.zoom or augmentation.crop:
        changes["warps"] = _warps(augmentation, uniform(_WARPS, 5), height, width)
    if augmentation.contrast or augmentation.brightness:
        contrast, brightness = 2 * uniform(_TONES, 2) - 1
        tones = [1 + augmentation.contrast * contrast, 255 * augmentation.brightness * brightness]
        changes["tones"] = np.stack(tones, axis=1).astype(np.float32)
    if augmentation.erase:
        changes["boxes"] = _boxes(augmentation, uniform(_BOXES, 4), np.array([[height], [width]]))
    return changes


def _warps(augmentation: Augmentation, numbers: Floats, height: int, width: int) -> NDArray[np.float32]:
    """Return the transformations (n, 8) that turn and zoom about the centre and then cut off, from 5 numbers each."""
    turn, zoom, cut, left, top = numbers
    cosine, sine = _turned((2 * turn - 1) * (augmentation.rotate * pi / 180))
    kept = 1 - augmentation.crop * cut
    scale = 1 + augmentation.zoom * (2 * zoom - 1)
    # The middle of the first new pixel before cutting, from the centre; a pixel's middle is half a pixel from its edge.
    x = left * (1 - kept) * width + kept / 2 - width / 2
    y = top * (1 - kept) * height + kept / 2 - height / 2
    across, down = cosine * kept / scale, sine * kept / scale
    old_x = (cosine * x - sine * y) / scale + (width - 1) / 2
    old_y = (sine * x + cosine * y) / scale + (height - 1) / 2
    nothing = np.zeros_like(x)
    return np.stack([across, -down, old_x, down, across, old_y, nothing, nothing], axis=1).astype(np.float32)


def _turned(angle: Floats) -> tuple[Floats, Floats]:
    """Return cosine and sine of angles up to pi by their series: those of the C library differ between processors."""
    square = angle * angle
    cosine, sine = np.zeros_like(angle), np.zeros_like(angle)
    for power in range(26, -1, -2):
        sign = 1 - power % 4
        cosine, sine = cosine * square + sign / factorial(power), sine * square + sign / factorial(power + 1)
    return cosine, sine * angle


def _boxes(augmentation: Augmentation, numbers: Floats, sides: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return the boxes (n, 4) in images with those sides (2, 1), from 4 numbers each."""
    sizes = np.floor(numbers[:2] * (np.floor(augmentation.erase * sides) + 1))
    first = np.floor(numbers[2:] * (sides - sizes + 1))
    return np.concatenate([first, first + sizes]).T.astype(np.int32)


def apply(images: Any, changes: Mapping[str, Any]) -> Any:
    """Return uint8 `images` (n, h, w) or (n, h, w, c), changed as those rows of what `draw` returns say."""
    for name, change in _APPLY.items():
        if name in changes:
            images = change(images, changes[name])
    return images


def samples(augmentation: Augmentation, images: NDArray[np.uint8], *, seed: int, count: int) -> NDArray[np.uint8]:
    """Return (steps, count, ...): some of `images`, at equal steps, as each of `augmentation.steps` changes them.

    The changes are those of the first epoch.
    """
    some = np.linspace(0, len(images) - 1, min(count, len(images))).astype(int)
    drawn = [draw(step, seed=seed, epoch=1, shape=images.shape) for step in augmentation.steps.values()]
    return np.stack([apply(images[some], {name: one[some] for name, one in changes.items()}) for changes in drawn])


def _move(images: Any, moves: Any) -> Any:
    # Zeros come in: what lies beyond the border is the border of one pixel that is put around an image.
    padded = tf.pad(images, [[0, 0], [1, 1], [1, 1], *([[0, 0]] * (len(images.shape) - 3))])
    height, width = images.shape[1:3]
    forwards = tf.range(width)
    columns = tf.where(moves[:, 2:] == 1, width - 1 - forwards, forwards) + moves[:, 1:2]
    rows = tf.range(height) + moves[:, :1]
    moved = tf.gather(padded, tf.clip_by_value(rows + 1, 0, height + 1), axis=1, batch_dims=1)
    return tf.gather(moved, tf.clip_by_value(columns + 1, 0, width + 1), axis=2, batch_dims=1)


def _warp(images: Any, warps: Any) -> Any:
    channels = images if len(images.shape) == 4 else images[..., tf.newaxis]
    warped = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(channels, tf.float32),
        transforms=warps,
        output_shape=images.shape[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    return _rounded(warped if len(images.shape) == 4 else warped[..., 0])


def _tone(images: Any, tones: Any) -> Any:
    axes = tuple(range(1, len(images.shape)))
    # A sum of whole numbers has no rounding that depends on its order.
    total = tf.reduce_sum(tf.cast(images, tf.int32), axis=axes, keepdims=True)
    mean = tf.cast(total, tf.float32) / prod(images.shape[1:])
    factor, added = (tf.reshape(tones[:, column], (-1, *(1 for _ in axes))) for column in (0, 1))
    return _rounded(mean + factor * (tf.cast(images, tf.float32) - mean) + added)


def _erase(images: Any, boxes: Any) -> Any:
    def within(axis: int) -> Any:
        places = tf.range(images.shape[1 + axis])
        return (places >= boxes[:, axis : axis + 1]) & (places < boxes[:, axis + 2 : axis + 3])

    box = within(0)[:, :, tf.newaxis] & within(1)[:, tf.newaxis, :]
    return tf.where(box if len(images.shape) == 3 else box[..., tf.newaxis], tf.zeros((), images.dtype), images)


def _rounded(values: Any) -> Any:
    return tf.cast(tf.clip_by_value(tf.round(values), 0.0, 255.0), tf.uint8)


# In the order in which the changes are made.
_APPLY: Mapping[str, Callable[[Any, Any], Any]] = {"moves": _move, "warps": _warp, "tones": _tone, "boxes": _erase}
