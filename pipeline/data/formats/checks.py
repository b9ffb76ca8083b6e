"""What every reader checks of the arrays that it has read, and how it says where the fault is."""

import math
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.data import dataset
from pipeline.data.dataset import Split
from pipeline.data.image_set import ImageSet
from pipeline.errors import InputError

# What the images of a split may take in memory; counts and checksums of files bound them further.
MAX_BYTES = 2**32


class Place(NamedTuple):
    """A file, and what is meant within it: an array, a member, a column."""

    path: Path
    within: str = ""

    def fault(self, what: str, fix: str = "") -> InputError:
        """Return the error that says what is wrong here."""
        return InputError(": ".join(filter(None, (self.within, what))), path=self.path, fix=fix)


class Faults:
    """What is wrong with the files of a data set, so that one run names them all: the first MOST, and how many more."""

    MOST = 10

    def __init__(self) -> None:
        self._first: list[InputError] = []
        self._count = 0

    def add(self, error: InputError) -> None:
        """Note a fault."""
        self._count += 1
        if len(self._first) < self.MOST:
            self._first.append(error)

    @contextmanager
    def at(self, place: Place) -> Iterator[None]:
        """Note why the picture at `place` cannot be read: an OSError, or a ValueError whose text is the reason."""
        try:
            yield
        except OSError as error:
            self.add(place.fault(f"cannot be read ({error.strerror or error})"))
        except ValueError as error:
            self.add(place.fault(str(error)))

    def end(self) -> None:
        """Raise an error with all faults, a line each, if there are any."""
        if self._count:
            first, *others = self._first
            more = [f"and {self._count - self.MOST} more"] if self._count > self.MOST else []
            raise InputError("\n".join([first.what, *map(str, others), *more]), path=first.path)


def expect_room(count: int, image_set: ImageSet, place: Place) -> None:
    """Raise InputError if so many images would take more than MAX_BYTES."""
    if (size := count * math.prod(image_set.image.shape)) > MAX_BYTES:
        raise place.fault(f"expected at most {MAX_BYTES} bytes of images, found {size}")


def room(count: int, image_set: ImageSet, place: Place) -> NDArray[np.uint8]:
    """Return an array for so many images, to be filled: a list of arrays would take the memory twice.

    Raises:
        InputError: They would take more than MAX_BYTES.
    """
    expect_room(count, image_set, place)
    return np.empty((count, *image_set.image.shape), np.uint8)


def images(array: NDArray[Any], image_set: ImageSet, place: Place) -> NDArray[np.uint8]:
    """Return `array` if it has images of uint8 of the shape that the data set states.

    Raises:
        InputError: It has not.
    """
    if array.dtype != np.uint8:
        range_ = f" from {array.min()} to {array.max()}" if array.size and array.dtype.kind in "iufb" else ""
        raise place.fault(f"pixels: expected uint8, found {array.dtype}{range_}")
    if array.ndim == 0 or array.shape[1:] != image_set.image.shape:
        expected = ", ".join(map(str, ("n", *image_set.image.shape)))
        raise place.fault(f"dimensions: expected ({expected}), found {array.shape}")
    return array


def scaled(array: NDArray[Any], scale: float, place: Place, row: int = 0) -> NDArray[np.uint8]:
    """Return numbers from 0 to `scale` as pixels from 0 to 255, rounded to the nearest; in messages row 0 is `row`.

    Raises:
        InputError: They are not numbers, or one is beyond these.
    """
    if array.ndim == 0 or array.dtype.kind not in "iuf":
        raise place.fault(f"pixels: expected numbers from 0 to {scale:g}, found {array.dtype}{array.shape}")
    made = np.empty(array.shape, np.uint8)
    for position, values in enumerate(array):
        # Not a number is neither.
        if not np.all((values >= 0) & (values <= scale)):
            wrong = values[~((values >= 0) & (values <= scale))][0]
            where = f"row {row + position}, counted from 0"
            raise place.fault(f"pixels: expected 0 to {scale:g}, found {wrong} in {where}; `scale` states the largest")
        made[position] = np.rint(values * (255 / scale))
    return made


def labels(array: NDArray[Any], image_set: ImageSet, place: Place, first: int = 0, row: int = 0) -> NDArray[Any]:
    """Return the labels in `array` counted from 0, where that of the first class is `first`.

    In messages the first one is in row `row`. Texts are names of classes.

    Raises:
        InputError: They are neither whole numbers (n,) nor texts, or one of them is not that of a class.
    """
    if array.ndim == 1 and array.dtype.kind == "U":
        array, first = _numbers(array, image_set, place, row), 0
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise place.fault(f"labels: expected whole numbers (n,), found {array.dtype}{array.shape}")
    last = first + len(image_set.classes) - 1
    wrong = np.flatnonzero((array < first) | (array > last))
    if len(wrong):
        found = f"found {array[wrong[0]]} in row {row + wrong[0]}, counted from 0"
        raise place.fault(f"labels: expected {first} to {last}, {found}")
    counted: NDArray[Any] = (array - array.dtype.type(first)).astype(dataset.label_type(image_set.classes))
    return counted


def _numbers(names: NDArray[np.str_], image_set: ImageSet, place: Place, row: int) -> NDArray[np.int64]:
    """Return the labels of the classes with these names."""
    known = {composed(name): label for label, name in enumerate(image_set.classes)}
    for position, name in enumerate(names):
        if composed(name) not in known:
            raise place.fault(f"labels: no class {str(name)[:60]!r}, found in row {row + position}, counted from 0")
    return np.array([known[composed(name)] for name in names], np.int64)


def composed(name: object) -> str:
    """Return the name of a class as all ways to write its accents are compared: a Mac may write é as two characters."""
    return unicodedata.normalize("NFC", str(name))


def split(made: Split, image_set: ImageSet, name: str, place: Place, labels_at: Place | None = None) -> Split:
    """Return `made`, the split called `name`, whose images and labels are checked each for themselves.

    The images are at `place`, and the labels too if there is no other one for them.

    Raises:
        InputError: Images and labels do not fit each other, their count is not the stated one, all pixels are equal, or
            a class has no training image.
    """
    at = labels_at or place
    if len(made.images) != len(made.labels):
        raise at.fault(f"{name}: expected a label for each image, found {len(made.labels)} for {len(made.images)}")
    counted = image_set.counts and getattr(image_set.counts, name)
    if len(made) == 0 or counted not in (None, len(made)):
        raise place.fault(f"{name}: expected {counted or 'some'} images, found {len(made)}")
    if made.images.min() == made.images.max():
        raise place.fault(f"{name}: pixels: expected more than one value, found {made.images.min()} everywhere")
    present = np.bincount(made.labels, minlength=len(image_set.classes)) > 0
    if name == "train" and not present.all():
        missing = [image_set.classes[label] for label in np.flatnonzero(~present)]
        more = f" and {len(missing) - 3} more classes" if len(missing) > 3 else ""
        raise at.fault(f"{name}: no image of the class {', '.join(map(repr, missing[:3]))}{more}")
    return made
