"""Moved and mirrored images against numpy."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.training import augmentation
from pipeline.training.settings import Augmentation

BOTH = Augmentation(shift=2, flip=True)


def draw(settings: Augmentation = BOTH, *, seed: int = 0, epoch: int = 1, count: int = 5000) -> np.ndarray:
    """Return how images are moved."""
    return augmentation.draw(settings, seed=seed, epoch=epoch, count=count)


@pytest.mark.parametrize("shape", [(9, 12), (9, 12, 3)])
def test_images_move_as_numpy_moves_them(shape: tuple[int, ...]) -> None:
    """Up and left by the given pixels, zeros coming in, then mirrored from left to right where the flag is 1."""
    images = np.random.default_rng(0).integers(1, 256, (40, *shape)).astype(np.uint8)
    moves = draw(count=40)

    moved = np.asarray(augmentation.apply(images, moves, 2))

    for image, (up, left, flip), found in zip(images, moves, moved, strict=True):
        expected = np.zeros_like(image)
        for row in range(shape[0]):
            for column in range(shape[1]):
                source = row + up, (shape[1] - 1 - column if flip else column) + left
                if 0 <= source[0] < shape[0] and 0 <= source[1] < shape[1]:
                    expected[row, column] = image[source]
        assert np.array_equal(found, expected)
    assert moved.dtype == np.uint8


def test_every_move_is_equally_likely() -> None:
    """All 25 shifts by up to two pixels come up about as often, and half of the images are mirrored."""
    moves = draw()

    shifts, counts = np.unique(moves[:, :2], axis=0, return_counts=True)
    assert len(shifts) == 25
    assert counts.min() > 140
    assert counts.max() < 260
    assert 2350 < moves[:, 2].sum() < 2650
    assert not draw(Augmentation(shift=2, flip=False))[:, 2].any()
    assert not draw(Augmentation(shift=0, flip=True))[:, :2].any()


def test_moves_are_a_function_of_seed_epoch_and_image() -> None:
    """The same again gives the same; another epoch or seed others; more images leave an image's own moves."""
    first = draw()

    assert np.array_equal(first, draw())
    assert not np.array_equal(first, draw(epoch=2))
    assert not np.array_equal(first, draw(seed=1))
