"""Images and labels as arrays in npz files: Keras' mnist.npz, MedMNIST's, one array per file as Kuzushiji's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.dataset import Split
from pipeline.data.formats import checks, npz
from pipeline.data.formats.checks import Place
from pipeline.data.sets import NpzArray, NpzSet


def read(directory: Path, described: NpzSet) -> tuple[Split, Split | None]:
    """Return training and test images in the order of the arrays; test is None if there are no such arrays.

    A grey image may be (h, w, 1), and a label (1,).

    Raises:
        InputError: A file is damaged, an array is missing, or it is not what the data set states.
    """
    arrays = described.arrays
    train = _split(directory, described, "train", arrays.train_images, arrays.train_labels)
    if arrays.test_images is None or arrays.test_labels is None:
        return train, None
    return train, _split(directory, described, "test", arrays.test_images, arrays.test_labels)


def _split(directory: Path, described: NpzSet, name: str, images_of: NpzArray, labels_of: NpzArray) -> Split:
    array, place = _array(directory, described, images_of)
    if described.image.channels == 1 and array.ndim == 4 and array.shape[3] == 1:
        array = array[..., 0]
    images = checks.images(array, described, place)
    values, at = _array(directory, described, labels_of)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    labels = checks.labels(values, described, at, described.options.first_label)
    return checks.split([(images, labels)], described, name, place, at)


def _array(directory: Path, described: NpzSet, wanted: NpzArray) -> tuple[NDArray[Any], Place]:
    place = Place(directory / described.files[wanted.file].name)
    try:
        found = npz.arrays(place.path, names=[wanted.key], limit=checks.MAX_BYTES)
    except ValueError as error:
        raise place.fault(f"not an npz file that can be read ({error})") from None
    if wanted.key not in found:
        raise place.fault(f"no array {wanted.key!r}")
    return np.ascontiguousarray(found[wanted.key]), Place(place.path, wanted.key)
