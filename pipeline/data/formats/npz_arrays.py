"""Images and labels as arrays in npz files: Keras' mnist.npz, MedMNIST's, one array per file as Kuzushiji's."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.dataset import Split
from pipeline.data.formats import checks, npz
from pipeline.data.formats.checks import Place
from pipeline.data.sets import NpzArray, NpzSet


def read(directory: Path, image_set: NpzSet) -> dict[str, Split]:
    """Return the images of each split for which there are arrays, in their order.

    A grey image may be (h, w, 1), and a label (1,).

    Raises:
        InputError: A file is damaged, an array is missing, or it is not what the data set states.
    """
    return {name: _split(directory, image_set, name, *arrays) for name, arrays in image_set.parts.items()}


def _split(directory: Path, image_set: NpzSet, name: str, images_of: NpzArray, labels_of: NpzArray) -> Split:
    array, place = _array(directory, image_set, images_of)
    if image_set.image.channels == 1 and array.ndim == 4 and array.shape[3] == 1:
        array = array[..., 0]
    if image_set.options.scale is not None:
        array = checks.scaled(array, image_set.options.scale, place)
    images = checks.images(array, image_set, place)
    values, at = _array(directory, image_set, labels_of)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    labels = checks.labels(values, image_set, at, image_set.options.first_label)
    return checks.split(Split(images, labels), image_set, name, place, at)


def _array(directory: Path, image_set: NpzSet, wanted: NpzArray) -> tuple[NDArray[Any], Place]:
    place = Place(directory / image_set.files[wanted.file].name)
    arrays = npz.arrays(place.path, names=[wanted.key], limit=checks.MAX_BYTES)
    if wanted.key not in arrays:
        raise place.fault(f"no array {wanted.key!r}")
    return np.ascontiguousarray(arrays[wanted.key]), Place(place.path, wanted.key)
