"""The binary version of CIFAR-10 and CIFAR-100, read from the archive itself: no pickle, and no file is unpacked.

A record is one label byte (CIFAR-100: two, of which the second is the fine label), then the image's channels one after
the other, each row by row (https://www.cs.toronto.edu/~kriz/cifar.html).
"""

import gzip
import math
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from pipeline import errors
from pipeline.data import dataset, splits
from pipeline.data.dataset import Split
from pipeline.data.formats import checks
from pipeline.data.formats.checks import Place
from pipeline.data.sets import CifarSet
from pipeline.errors import InputError

# Records that are held at a time: an image has at most 192 KiB.
_RECORDS = 100


def read(directory: Path, image_set: CifarSet) -> dict[str, Split]:
    """Return the images of each split in the order of the members that the data set names.

    The archive is read twice, first for the sizes of its members, so that the images are in memory once.

    Raises:
        InputError: The archive is damaged, a member is missing or is not a whole number of records, or a label is not
            that of a class.
    """
    place = Place(directory / image_set.files.archive.name)
    counts = _counts(place, image_set)
    made, targets = dict[str, Split](), dict[str, Split]()
    for name, members in image_set.parts.items():
        ends = np.cumsum([counts[member] for member in members])
        labels = np.empty(ends[-1], dataset.label_type(image_set.classes))
        made[name] = Split(checks.room(int(ends[-1]), image_set, place), labels)
        for member, end in zip(members, ends, strict=True):
            targets[member] = splits.select(made[name], slice(end - counts[member], end))
    with _opened(place) as archive:
        for entry in archive:
            if entry.isreg() and entry.name in targets and (stream := archive.extractfile(entry)):
                _fill(targets[entry.name], stream, image_set, Place(place.path, entry.name))
    return {name: checks.split(split, image_set, name, place) for name, split in made.items()}


def _counts(place: Place, image_set: CifarSet) -> dict[str, int]:
    """Return the number of records in each of the members that the data set names."""
    names = [name for members in image_set.parts.values() for name in members]
    with _opened(place) as archive:
        sizes = {member.name: member.size for member in archive if member.isreg() and member.name in names}
    counts, size = dict[str, int](), _size(image_set)
    for name in names:
        if name not in sizes:
            raise place.fault(f"no member {name!r}")
        counts[name], rest = divmod(sizes[name], size)
        if rest or not counts[name]:
            raise Place(place.path, name).fault(f"expected records of {size} bytes, found {sizes[name]} bytes")
    return counts


def _size(image_set: CifarSet) -> int:
    return image_set.options.label_bytes + math.prod(image_set.image.shape)


def _fill(target: Split, stream: IO[bytes], image_set: CifarSet, place: Place) -> None:
    image, before, size = image_set.image, image_set.options.label_bytes, _size(image_set)
    for first in range(0, len(target), _RECORDS):
        part = splits.select(target, slice(first, first + _RECORDS))
        records = np.frombuffer(stream.read(len(part) * size), np.uint8).reshape(-1, size)
        part.labels[:] = checks.labels(records[:, before - 1], image_set, place, row=first)
        planes = records[:, before:].reshape(-1, image.channels, image.height, image.width)
        part.images.reshape(-1, image.height, image.width, image.channels)[:] = planes.transpose(0, 2, 3, 1)


class _Bounded:
    """A stream that ends with an error once more than checks.MAX_BYTES have been read from it."""

    def __init__(self, stream: gzip.GzipFile) -> None:
        self._stream, self._left = stream, checks.MAX_BYTES

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        content = self._stream.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise ValueError(f"unpacks to more than {checks.MAX_BYTES} bytes")
        return content


@contextmanager
def _opened(place: Place) -> Iterator[tarfile.TarFile]:
    try:
        with gzip.open(place.path) as stream:
            bounded: Any = _Bounded(stream)
            with tarfile.open(fileobj=bounded, mode="r|") as archive:
                yield archive
    except InputError:
        raise
    # Damaged content makes gzip, zlib, struct and tarfile raise a dozen types; MemoryError is one.
    except Exception as error:
        raise place.fault(f"not a tar.gz archive that can be read ({errors.reason(error)})") from None
