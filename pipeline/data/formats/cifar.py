"""The binary version of CIFAR-10 and CIFAR-100, read from the archive itself: no pickle, and no file is unpacked.

A record is one label byte (CIFAR-100: two, of which the second is the fine label), then the image's channels one after
the other, each row by row (https://www.cs.toronto.edu/~kriz/cifar.html).
"""

from __future__ import annotations

import gzip
import math
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.data.dataset import Split
from pipeline.data.formats import checks
from pipeline.data.formats.checks import Place
from pipeline.data.sets import CifarSet


def read(directory: Path, image_set: CifarSet) -> dict[str, Split]:
    """Return the images of each split in the order of the members that the data set names.

    Raises:
        InputError: The archive is damaged, a member is missing or is not a whole number of records, or a label is not
            that of a class.
    """
    place, options = Place(directory / image_set.files.archive.name), image_set.options
    parts = {"train": options.train, "validation": options.validation or (), "test": options.test}
    contents = _members(place, {name for names in parts.values() for name in names}, _limit(image_set))
    return {name: _split(contents, names, image_set, name, place) for name, names in parts.items() if names}


def _split(contents: Mapping[str, bytes], names: Sequence[str], image_set: CifarSet, name: str, place: Place) -> Split:
    for member in names:
        if member not in contents:
            raise place.fault(f"no member {member!r}")
    parts = [_records(contents[member], image_set, Place(place.path, member)) for member in names]
    return checks.split(parts, image_set, name, place)


def _size(image_set: CifarSet) -> int:
    return image_set.options.label_bytes + math.prod(image_set.image.shape)


def _limit(image_set: CifarSet) -> int:
    """Return how many bytes a member may have."""
    counts = image_set.counts
    return checks.MAX_BYTES if counts is None else max(counts.train, counts.test or 0) * _size(image_set)


class _Bounded:
    """A stream that ends with an error once more than a number of bytes has been read from it."""

    def __init__(self, stream: gzip.GzipFile, limit: int) -> None:
        self._stream, self._left = stream, limit

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        content = self._stream.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise ValueError(f"unpacks to more than {checks.MAX_BYTES} bytes")
        return content


def _members(place: Place, names: set[str], limit: int) -> dict[str, bytes]:
    """Return the content of the members that have one of `names`, each of at most `limit` bytes."""
    contents: dict[str, bytes] = {}
    try:
        with gzip.open(place.path) as stream:
            bounded: Any = _Bounded(stream, checks.MAX_BYTES)
            with tarfile.open(fileobj=bounded, mode="r|") as archive:
                for member in archive:
                    if member.name not in names or not member.isreg():
                        continue
                    if member.size > limit:
                        raise ValueError(f"{member.name}: expected at most {limit} bytes, found {member.size}")
                    content = archive.extractfile(member)
                    contents[member.name] = content.read() if content else b""
    # Damaged content makes gzip, zlib, struct and tarfile raise a dozen types; MemoryError is one.
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise place.fault(f"not a tar.gz archive that can be read ({reason})") from None
    return contents


def _records(content: bytes, image_set: CifarSet, place: Place) -> Split:
    image, before, size = image_set.image, image_set.options.label_bytes, _size(image_set)
    if not content or len(content) % size:
        raise place.fault(f"expected records of {size} bytes, found {len(content)} bytes")
    records = np.frombuffer(content, np.uint8).reshape(-1, size)
    planes = records[:, before:].reshape(-1, image.channels, image.height, image.width)
    pixels = np.ascontiguousarray(planes.transpose(0, 2, 3, 1)).reshape(-1, *image.shape)
    return Split(pixels, checks.labels(records[:, before - 1], image_set, place))
