"""The IDX format of MNIST (http://yann.lecun.com/exdb/mnist): bytes <-> uint8 arrays, four files -> images.

A file is a big-endian magic number (0x00000801: labels, one dimension; 0x00000803: images, three), the size of each
dimension as 32-bit big-endian numbers, then one byte per element, the last dimension varying fastest.
"""

import math
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline import errors
from pipeline.data.dataset import Split
from pipeline.data.formats import checks
from pipeline.data.formats.checks import Place
from pipeline.data.image_set import File
from pipeline.data.sets import IdxSet
from pipeline.errors import InputError

# Two zero bytes, then 0x08 for unsigned bytes; the fourth byte is the number of dimensions.
MAGIC = 0x0800


def encode(array: NDArray[np.uint8]) -> bytes:
    """Return the content of an IDX file with `array`, which is uint8 of 1 to 255 dimensions and not empty.

    Raises:
        ValueError: `array` is of another type or has no elements.
    """
    if array.dtype != np.uint8 or array.ndim == 0 or array.size == 0:
        raise ValueError(f"expected uint8 with at least one element, found {array.dtype}{array.shape}")
    header = struct.pack(f">{1 + array.ndim}I", MAGIC | array.ndim, *array.shape)
    return header + array.tobytes()


def decode(content: bytes, *, dimensions: int, path: Path) -> NDArray[np.uint8]:
    """Return the array with that many dimensions in the `content` of the IDX file at `path`, as a read-only view.

    Raises:
        InputError: `content` is anything but one complete array; the message names the wrong field.
    """
    header = struct.Struct(f">{1 + dimensions}I")
    if len(content) < header.size:
        raise InputError(f"header: expected {header.size} bytes, found {len(content)}", path=path)
    magic, *shape = header.unpack_from(content)
    if magic != MAGIC | dimensions:
        raise InputError(f"magic: expected {MAGIC | dimensions:#010x}, found {magic:#010x}", path=path)
    if 0 in shape:
        raise InputError(f"dimensions: expected each above 0, found {_times(shape)}", path=path)
    expected, found = math.prod(shape), len(content) - header.size
    if expected != found:
        fault = "truncated" if found < expected else "trailing bytes"
        raise InputError(f"data: {fault}: {_times(shape)} is {expected} bytes, found {found}", path=path)
    return np.frombuffer(content, np.uint8, offset=header.size).reshape(shape)


def _times(shape: list[int]) -> str:
    return " x ".join(map(str, shape))


def read(directory: Path, image_set: IdxSet) -> dict[str, Split]:
    """Return training and test images by split, in the order of their files.

    Raises:
        InputError: A file is missing or damaged, or is not what the data set states.
    """
    return {name: _split(directory, image_set, name, *files) for name, files in image_set.parts.items()}


def _split(directory: Path, image_set: IdxSet, name: str, images_file: File, labels_file: File) -> Split:
    place, at = Place(directory / images_file.name), Place(directory / labels_file.name)
    count = getattr(image_set.counts, name) or 0
    height, width, *channels = image_set.image.shape
    stored = (width, height, *channels) if image_set.options.transposed else (height, width, *channels)
    images, labels = _array(place, (count, *stored)), _array(at, (count,))
    if image_set.options.transposed:
        images = np.ascontiguousarray(images.swapaxes(1, 2))
    counted = checks.labels(labels, image_set, at, image_set.options.first_label)
    return checks.split(Split(checks.images(images, image_set, place), counted), image_set, name, place, at)


def _array(place: Place, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    try:
        content = place.path.read_bytes()
    except OSError as error:
        raise errors.unreadable(place.path, error) from None
    array = decode(content, dimensions=len(shape), path=place.path)
    if array.shape != shape:
        raise place.fault(f"dimensions: expected {shape}, found {array.shape}")
    return array
