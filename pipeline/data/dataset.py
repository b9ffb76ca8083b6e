"""The preprocessed data: one npz file with the images and labels of each split, and the names of the classes."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import errors
from pipeline.data.formats import npz
from pipeline.errors import InputError

# Sides in pixels, and the number of classes and of letters in a name: what tables, figures and networks are tried with.
MIN_SIDE, MAX_SIDE = 8, 256
MAX_CLASSES = 1000
MAX_LETTERS = 60

# How a picture was changed when it was read: the mode that it was converted from, or nothing; whether it had another
# aspect ratio; and whether it is the first of several in its file.
CHANGE = np.dtype([("mode", "U25"), ("reshaped", np.bool_), ("is_first", np.bool_)])

_FIX = "`dvc repro -f preprocess` creates it again"


@dataclass(frozen=True)
class Split:
    """Images (n, h, w) or (n, h, w, 3) of uint8, and labels (n,): uint8, or uint16 where there are over 256 classes.

    `groups` (n,) are numbers of what has to stay on one side of a split, if there is such a thing; readers return its
    names. `origins` (n,) has the file of each image, or its table and row; of images in an array, its row, which an npz
    does not keep.
    `changes` (n,), of CHANGE, say what was done to the pictures in files that they were read from; it is not stored.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.unsignedinteger[Any]]
    groups: NDArray[Any] | None = None
    origins: NDArray[Any] | None = None
    changes: NDArray[np.void] | None = None

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """The splits; `validation` is None under the original's protocol, which monitors the test split during training.

    A label is an index in `classes`, the names of the classes.
    """

    train: Split
    validation: Split | None
    test: Split
    classes: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one image: (h, w) if it is grey, (h, w, 3) if it has colours."""
        return self.train.images.shape[1:]

    @property
    def monitored(self) -> Split:
        """The split that is scored after every epoch."""
        return self.test if self.validation is None else self.validation

    def splits(self) -> dict[str, Split]:
        """Return the splits by name, without one that is None."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in named.items() if split is not None}


def label_type(classes: Sequence[str]) -> np.dtype[Any]:
    """Return the type of the labels of so many classes."""
    return np.dtype(np.uint8 if len(classes) <= 256 else np.uint16)


def fault_of(classes: Sequence[str]) -> str:
    """Return what is wrong with the names of the classes, or an empty text."""
    if not 2 <= len(classes) <= MAX_CLASSES:
        return f"expected 2 to {MAX_CLASSES} class names, found {len(classes)}"
    for name in classes:
        if (
            not 0 < len(name) <= MAX_LETTERS
            or not errors.is_printable(name)
            or name.strip(f" {errors.JOINERS}") != name
        ):
            rule = f"1 to {MAX_LETTERS} printable letters without spaces at its ends"
            return f"expected a class name of {rule}, found {name[: 2 * MAX_LETTERS]!r}"
    known: dict[str, str] = {}
    for name in classes:
        other = known.get(key := unicodedata.normalize("NFC", name))
        if other is not None:
            found = f"{name!r} twice" if other == name else f"{other!a} and {name!a}, which look the same"
            return f"expected different class names, found {found}"
        known[key] = name
    return ""


def save(path: Path, dataset: Dataset) -> None:
    """Write `dataset` to `path`; equal data gives equal bytes."""
    arrays = {
        f"{name}_{kind}": array
        for name, split in dataset.splits().items()
        for kind, array in vars(split).items()
        if array is not None and kind != "changes" and (kind != "origins" or array.dtype.kind == "U")
    }
    npz.write(path, {**arrays, "class_names": np.array(dataset.classes, dtype=np.str_)})


def load(path: Path) -> Dataset:
    """Return the dataset in `path`.

    Raises:
        InputError: The file is missing, damaged, or not such a dataset.
    """
    arrays = npz.read(path, stage="preprocess")
    present = {key.rpartition("_")[0] for key in arrays} - {"class"}
    try:
        splits = {
            name: Split(
                arrays[f"{name}_images"],
                arrays[f"{name}_labels"],
                groups=arrays.get(f"{name}_groups"),
                origins=arrays.get(f"{name}_origins"),
            )
            for name in present
        }
        classes = _classes(path, arrays["class_names"])
        dataset = Dataset(splits["train"], splits.get("validation"), splits["test"], classes)
    except KeyError as error:
        raise InputError(f"not a preprocessed data set ({error} is missing)", path=path, fix=_FIX) from None
    for name, split in dataset.splits().items():
        _check(path, name, split, dataset)
    return dataset


def _classes(path: Path, names: NDArray[Any]) -> tuple[str, ...]:
    if names.dtype.kind != "U" or names.ndim != 1:
        raise InputError(f"class_names: expected texts, found {names.dtype}{names.shape}", path=path, fix=_FIX)
    classes = tuple(names.tolist())
    if fault := fault_of(classes):
        raise InputError(f"class_names: {fault}", path=path, fix=_FIX)
    return classes


def _check(path: Path, name: str, split: Split, dataset: Dataset) -> None:
    images, labels, shape = split.images, split.labels, dataset.shape
    known = (
        len(shape) in (2, 3) and shape[2:] in ((), (3,)) and MIN_SIDE <= min(shape[:2]) <= max(shape[:2]) <= MAX_SIDE
    )
    fits = known and labels.ndim == 1 and len(labels) > 0 and images.shape == (len(labels), *shape)
    of_type = images.dtype == np.uint8 and labels.dtype == label_type(dataset.classes)
    grouped = split.groups is None or (split.groups.dtype == np.int64 and split.groups.shape == labels.shape)
    if not (fits and of_type and grouped and labels.max() < len(dataset.classes)):
        sizes = f"h and w from {MIN_SIDE} to {MAX_SIDE} and equal in all splits"
        expected = f"expected uint8 (n, h, w) or (n, h, w, 3), {sizes}, with n labels below {len(dataset.classes)}"
        found = f"{images.dtype}{images.shape} with {labels.dtype}{labels.shape}"
        raise InputError(f"{name}: {expected}, found {found}", path=path, fix=_FIX)
    if (origins := split.origins) is not None and (origins.dtype.kind, origins.shape) != ("U", labels.shape):
        what = f"{name}_origins: expected {len(labels)} texts, found {origins.dtype}{origins.shape}"
        raise InputError(what, path=path, fix=_FIX)
