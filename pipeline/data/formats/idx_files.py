"""The four IDX files of MNIST and of the data sets in its format, EMNIST's transposed images among them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.data.dataset import Split
from pipeline.data.formats import checks, idx
from pipeline.data.formats.checks import Place
from pipeline.data.image_set import File
from pipeline.data.sets import IdxSet


def read(directory: Path, described: IdxSet) -> tuple[Split, Split]:
    """Return training and test images in the order of their files.

    Raises:
        InputError: A file is missing or damaged, or is not what the data set states.
    """
    described_files, counts = described.files, described.counts
    return (
        _split(directory, described, "train", counts.train, described_files.train_images, described_files.train_labels),
        _split(
            directory, described, "test", counts.test or 0, described_files.test_images, described_files.test_labels
        ),
    )


def shapes(described: IdxSet) -> dict[str, tuple[int, ...]]:
    """Return the shape of the array in each file, by the file's name."""
    counts, shape = described.counts, stored_shape(described)
    return {
        file.name: (count or 0, *item)
        for file, count, item in zip(
            described.files.all(),
            (counts.train, counts.train, counts.test, counts.test),
            (shape, (), shape, ()),
            strict=True,
        )
    }


def stored_shape(described: IdxSet) -> tuple[int, ...]:
    """Return the shape of one image as the files have it."""
    height, width, *channels = described.image.shape
    return (width, height, *channels) if described.options.transposed else (height, width, *channels)


def _split(directory: Path, described: IdxSet, name: str, count: int, images_file: File, labels_file: File) -> Split:
    place, at = Place(directory / images_file.name), Place(directory / labels_file.name)
    images, labels = _array(place, (count, *stored_shape(described))), _array(at, (count,))
    if described.options.transposed:
        images = np.ascontiguousarray(images.swapaxes(1, 2))
    counted = checks.labels(labels, described, at, described.options.first_label)
    return checks.split([(checks.images(images, described, place), counted)], described, name, place, at)


def _array(place: Place, shape: tuple[int, ...]) -> np.ndarray:
    array = idx.read(place.path, dimensions=len(shape))
    if array.shape != shape:
        raise place.fault(f"dimensions: expected {shape}, found {array.shape}")
    return array
