"""The preprocessed data: one npz file with the images and labels of each split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline import files
from pipeline.data.formats import npz
from pipeline.errors import InputError

CLASSES = 10
SIDE = 28

_FIX = "`dvc repro -f preprocess` creates it again"


@dataclass(frozen=True)
class Split:
    """Images (n, 28, 28) and labels (n,) below 10, both uint8."""

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """The splits; `validation` is None under the original's protocol, which monitors the test split during training."""

    train: Split
    validation: Split | None
    test: Split

    @property
    def monitored(self) -> Split:
        """The split that is scored after every epoch."""
        return self.test if self.validation is None else self.validation

    def splits(self) -> dict[str, Split]:
        """Return the splits by name, without one that is None."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in named.items() if split is not None}


def save(path: Path, dataset: Dataset) -> None:
    """Write `dataset` to `path`; equal data gives equal bytes, since numpy writes no times into an npz."""
    arrays = {
        f"{name}_{kind}": getattr(split, kind)
        for name, split in dataset.splits().items()
        for kind in ("images", "labels")
    }
    with files.atomic(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def load(path: Path) -> Dataset:
    """Return the dataset in `path`.

    Raises:
        InputError: The file is missing, damaged, or not such a dataset.
    """
    arrays = npz.read(path, stage="preprocess")
    present = {key.rpartition("_")[0] for key in arrays}
    try:
        splits = {name: Split(arrays[f"{name}_images"], arrays[f"{name}_labels"]) for name in present}
        dataset = Dataset(splits["train"], splits.get("validation"), splits["test"])
    except KeyError as error:
        raise InputError(f"not a preprocessed data set ({error} is missing)", path=path, fix=_FIX) from None
    for name, split in dataset.splits().items():
        _check(path, name, split)
    return dataset


def _check(path: Path, name: str, split: Split) -> None:
    images, labels = split.images, split.labels
    fits = labels.ndim == 1 and len(labels) > 0 and images.shape == (len(labels), SIDE, SIDE)
    if not (fits and images.dtype == labels.dtype == np.uint8 and labels.max() < CLASSES):
        expected = f"expected uint8 (n, {SIDE}, {SIDE}) with n labels below {CLASSES}"
        found = f"{images.dtype}{images.shape} with {labels.dtype}{labels.shape}"
        raise InputError(f"{name}: {expected}, found {found}", path=path, fix=_FIX)
