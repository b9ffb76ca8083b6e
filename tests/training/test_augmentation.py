"""Changed images against numpy and scipy."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage, stats

from pipeline.training import augmentation
from pipeline.training.settings import Augmentation

ROOT = Path(__file__).parents[2]
BOTH = Augmentation(shift=2, flip=True)
ALL = Augmentation(shift=3, flip=True, rotate=180, zoom=0.5, crop=0.5, contrast=0.5, brightness=0.5, erase=0.5)
SHAPES = [(9, 12), (9, 12, 3)]


def draw(settings: Augmentation = BOTH, *, seed: int = 0, epoch: int = 1, shape: Any = (5000, 9, 12)) -> Any:
    """Return how images are changed."""
    return augmentation.draw(settings, seed=seed, epoch=epoch, shape=shape)


def noise(shape: tuple[int, ...], count: int = 40) -> np.ndarray:
    """Return images of noise, none of whose values is 0."""
    return np.random.default_rng(0).integers(1, 256, (count, *shape)).astype(np.uint8)


def changed(settings: Augmentation, images: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return what happens to images, and what they become."""
    changes = draw(settings, shape=images.shape)
    found = np.asarray(augmentation.apply(images, changes))
    assert (found.dtype, found.shape) == (np.uint8, images.shape)
    return changes, found


@pytest.mark.parametrize("shape", SHAPES)
def test_images_move_as_numpy_moves_them(shape: tuple[int, ...]) -> None:
    """Up and left by the given pixels, zeros coming in, then mirrored from left to right where the flag is 1."""
    images = noise(shape)

    changes, moved = changed(BOTH, images)

    for image, (up, left, flip), found in zip(images, changes["moves"], moved, strict=True):
        expected = np.zeros_like(image)
        for row in range(shape[0]):
            for column in range(shape[1]):
                source = row + up, (shape[1] - 1 - column if flip else column) + left
                if 0 <= source[0] < shape[0] and 0 <= source[1] < shape[1]:
                    expected[row, column] = image[source]
        assert np.array_equal(found, expected)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("key", ["rotate", "zoom", "crop"])
def test_images_are_warped_as_scipy_does(key: str, shape: tuple[int, ...]) -> None:
    """Turned and zoomed about their centre, or cut off and stretched, with linear interpolation and zeros outside."""
    settings = Augmentation(**{key: getattr(ALL, key)})
    images = noise(shape)

    changes, found = changed(settings, images)

    turns, zooms, cuts, lefts, tops = np.random.default_rng([0, 3, 1, 1]).random((len(images), 5)).T
    for index, image in enumerate(images):
        angle = np.deg2rad(settings.rotate * (2 * turns[index] - 1))
        kept = 1 - settings.crop * cuts[index]
        # In the order of scipy's axes, rows before columns, as y before x.
        matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        matrix *= kept / (1 + settings.zoom * (2 * zooms[index] - 1))
        sides = np.array(shape[:2])
        # The middle of what is kept, in pixels of the old image, where the first pixel's middle is 0.
        middle = (np.array([tops[index], lefts[index]]) - 0.5) * (1 - kept) * sides + (sides - 1) / 2
        offset = middle - matrix @ ((sides - 1) / 2)
        planes = image[..., None] if len(shape) == 2 else image
        warp = {"offset": offset, "order": 1, "mode": "grid-constant", "output": np.float64}
        expected = [ndimage.affine_transform(planes[..., plane], matrix, **warp) for plane in range(planes.shape[2])]
        apart = np.abs(np.stack(expected, axis=-1).reshape(shape) - found[index])
        assert apart.max() < 0.51
    assert set(changes) == {"warps"}


def test_turns_cuts_and_zooms_are_made_together() -> None:
    """What is turned, zoomed and cut in one go is what is turned and zoomed, and then cut, but for interpolation."""
    rows, columns = np.mgrid[:40, :40]
    smooth = (128 + 60 * np.sin(rows / 6) + 60 * np.cos(columns / 7)).astype(np.uint8)
    images = np.repeat(smooth[None], 20, axis=0)
    _, together = changed(Augmentation(rotate=30, zoom=0.2, crop=0.3), images)
    _, first = changed(Augmentation(rotate=30, zoom=0.2), images)

    _, second = changed(Augmentation(crop=0.3), first)

    apart = np.abs(together.astype(int) - second)
    assert np.quantile(apart, 0.9) <= 4
    assert np.abs(together.astype(int) - first).mean() > 10


@pytest.mark.parametrize("shape", SHAPES)
def test_values_change_as_numpy_changes_them(shape: tuple[int, ...]) -> None:
    """Values move away from the image's mean by a factor, and then by a share of 255, and stay within a byte."""
    images = noise(shape)

    changes, found = changed(Augmentation(contrast=0.5, brightness=0.25), images)

    factors, added = changes["tones"].T
    assert np.abs(factors - 1).max() <= 0.5
    assert np.abs(added).max() <= 0.25 * 255
    for image, factor, more, values in zip(images, factors, added, found, strict=True):
        expected = image.mean() + factor * (image - image.mean()) + more
        np.testing.assert_allclose(values, np.clip(expected, 0, 255), atol=0.501)


@pytest.mark.parametrize("shape", SHAPES)
def test_boxes_are_erased(shape: tuple[int, ...]) -> None:
    """Within a rectangle in the image, of up to half of each side, all is 0, and nothing else changes."""
    images = noise(shape, 2000)

    changes, found = changed(Augmentation(erase=0.5), images)

    top, left, bottom, right = changes["boxes"].T
    assert {*(bottom - top)} == set(range(5))
    assert {*(right - left)} == set(range(7))
    assert (min(top), min(left), max(bottom), max(right)) == (0, 0, *shape[:2])
    for image, (a, b, c, d), values in zip(images, changes["boxes"], found, strict=True):
        expected = image.copy()
        expected[a:c, b:d] = 0
        assert np.array_equal(values, expected)


def test_every_move_is_equally_likely() -> None:
    """All 25 shifts by up to two pixels come up about as often, and half of the images are mirrored."""
    moves = draw()["moves"]

    shifts, counts = np.unique(moves[:, :2], axis=0, return_counts=True)
    assert len(shifts) == 25
    assert counts.min() > 140
    assert counts.max() < 260
    assert 2350 < moves[:, 2].sum() < 2650
    assert not draw(Augmentation(shift=2))["moves"][:, 2].any()
    assert not draw(Augmentation(flip=True))["moves"][:, :2].any()


def test_every_amount_is_equally_likely() -> None:
    """Angles, contrast and brightness are uniform between their bounds, and boxes lie anywhere."""
    changes = draw(ALL, shape=(5000, 400, 400))
    angles = np.arctan2(changes["warps"][:, 3], changes["warps"][:, 0])
    middles = changes["tones"][:, 0], changes["tones"][:, 1] / 255

    for values, centre, reach in ((angles, 0, np.pi), (middles[0], 1, 0.5), (middles[1], 0, 0.5)):
        assert stats.kstest(values, stats.uniform(centre - reach, 2 * reach).cdf).pvalue > 1e-3
    sizes = changes["boxes"][:, 2:] - changes["boxes"][:, :2]
    assert stats.kstest(sizes.ravel(), stats.uniform(0, 200).cdf).pvalue > 1e-3


@pytest.mark.parametrize("settings", [BOTH, ALL])
def test_changes_are_a_function_of_seed_epoch_and_image(settings: Augmentation) -> None:
    """The same again gives the same; another epoch or seed others, for every kind of change."""
    first = draw(settings)

    assert all(np.array_equal(one, draw(settings)[name]) for name, one in first.items())
    for other in (draw(settings, epoch=2), draw(settings, seed=1)):
        assert not any(np.array_equal(one, other[name]) for name, one in first.items())


def test_kinds_do_not_alter_each_other() -> None:
    """A kind of change draws the same numbers with or without the others, and all have numbers of their own."""
    every = draw(ALL)
    for keys in (("shift", "flip"), ("rotate", "zoom", "crop"), ("contrast", "brightness"), ("erase",)):
        alone = draw(Augmentation(**{key: getattr(ALL, key) for key in keys}))

        assert all(np.array_equal(some, every[name]) for name, some in alone.items())
    assert draw(Augmentation()) == {}


@pytest.mark.parametrize("shape", SHAPES)
def test_images_do_not_depend_on_their_batch(shape: tuple[int, ...]) -> None:
    """Changed one by one, in threes or all at once, images are the same to the bit."""
    images = noise(shape)
    changes, whole = changed(ALL, images)

    for size in (1, 3):
        for first in range(0, len(images), size):
            part = slice(first, first + size)
            some = augmentation.apply(images[part], {name: values[part] for name, values in changes.items()})
            assert np.array_equal(some, whole[part])


def checksum() -> str:
    """Return a checksum of changed images."""
    _, found = changed(ALL, noise((28, 28, 3), 500))
    return hashlib.sha256(found.tobytes()).hexdigest()


PROGRAM = """
from pipeline.training import backend
backend.start(inter_op={threads}, intra_op={threads})
from tests.training import test_augmentation
print(test_augmentation.checksum())
"""


def test_processes_and_threads_do_not_matter() -> None:
    """Processes with one thread and with three give the same bits as this one."""
    found = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM.format(threads=threads)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for threads in (1, 3)
    ]

    assert found == [checksum()] * 2


def test_turns_are_to_the_last_bit_those_of_the_circle() -> None:
    """Cosine and sine of the series are numpy's up to rounding, at angles up to half a turn."""
    angles = np.linspace(-np.pi, np.pi, 10_001)

    cosine, sine = augmentation._turned(angles)

    np.testing.assert_allclose(cosine, np.cos(angles), atol=1e-14)
    np.testing.assert_allclose(sine, np.sin(angles), atol=1e-14)
