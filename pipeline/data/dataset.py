"""The preprocessed data: one npz file with the images and labels of each split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from pipeline import errors, files
from pipeline.errors import InputError

CLASSES = 10
SIDE = 28


@dataclass(frozen=True)
class Split:
    """Images (n, 28, 28) and labels (n,) below 10, both uint8."""

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """The splits; `validation` is None under the report's protocol, which watches the test images during training."""

    train: Split
    validation: Split | None
    test: Split

    @property
    def monitored(self) -> Split:
        """The split that is scored after every epoch."""
        return self.test if self.validation is None else self.validation

    def splits(self) -> dict[str, Split]:
        """Return the splits there are, by name."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in named.items() if split is not None}


def save(path: Path, dataset: Dataset) -> None:
    """Write `dataset` to `path`; equal data gives equal bytes, since numpy writes no times into an npz."""
    arrays = {
        f"{name}_{kind}": getattr(split, kind)
        for name, split in dataset.splits().items()
        for kind in ("images", "labels")
    }
    with files.whole(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def load(path: Path) -> Dataset:
    """Return the dataset in `path`.

    Raises:
        InputError: The file is missing, damaged, or not such a dataset.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            present = {key.rpartition("_")[0] for key in arrays.files}
            splits = {name: Split(arrays[f"{name}_images"], arrays[f"{name}_labels"]) for name in present}
        dataset = Dataset(splits["train"], splits.get("validation"), splits["test"])
    except FileNotFoundError:
        raise errors.missing(path, "preprocess") from None
    except (OSError, ValueError, TypeError, KeyError, EOFError, BadZipFile) as error:
        raise InputError(
            f"{path}: not a preprocessed data set ({error}); `dvc repro -f preprocess` makes it again"
        ) from None
    for name, split in dataset.splits().items():
        _check(path, name, split)
    return dataset


def _check(path: Path, name: str, split: Split) -> None:
    images, labels = split.images, split.labels
    fits = labels.ndim == 1 and len(labels) > 0 and images.shape == (len(labels), SIDE, SIDE)
    if not (fits and images.dtype == labels.dtype == np.uint8 and labels.max() < CLASSES):
        found = f"{images.dtype}{images.shape} with {labels.dtype}{labels.shape}"
        raise InputError(
            f"{path}: {name}: expected uint8 (n, {SIDE}, {SIDE}) with n labels below {CLASSES}, found {found}"
        )
