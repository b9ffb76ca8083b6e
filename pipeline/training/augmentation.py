"""Shifted and mirrored training images: which ones is a function of (seed, epoch, image), and of nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.training.backend import tf
from pipeline.training.settings import Augmentation

# The random stream of the augmentation; weights, dropout and order have others.
_STREAM = 3


def draw(augmentation: Augmentation, *, seed: int, epoch: int, count: int) -> NDArray[np.int32]:
    """Return (count, 3): by how many rows and columns each image moves up and left, and 1 if it is mirrored, else 0."""
    rng = np.random.default_rng([seed, _STREAM, epoch])
    moves = rng.integers(-augmentation.shift, augmentation.shift, size=(count, 2), endpoint=True, dtype=np.int32)
    flips = rng.integers(0, 2, size=(count, 1), dtype=np.int32) * np.int32(augmentation.flip)
    return np.concatenate([moves, flips], axis=1)


def apply(images: Any, moves: Any, shift: int) -> Any:
    """Return uint8 `images` (n, h, w) or (n, h, w, c), moved and flipped as `moves` (n, 3) say; zeros come in.

    No move is larger than `shift`.
    """
    border = [[0, 0], [shift, shift], [shift, shift], *([[0, 0]] * (len(images.shape) - 3))]
    padded = tf.pad(images, border)
    rows = shift + moves[:, :1] + tf.range(tf.shape(images)[1])
    width = tf.shape(images)[2]
    forwards = tf.range(width)
    columns = tf.where(moves[:, 2:] == 1, width - 1 - forwards, forwards) + shift + moves[:, 1:2]
    moved = tf.gather(padded, rows, axis=1, batch_dims=1)
    return tf.gather(moved, columns, axis=2, batch_dims=1)
