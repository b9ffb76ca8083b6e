"""The files of a data set -> its training and test images, by the reader of its format."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline import errors, files
from pipeline.data import formats
from pipeline.data.dataset import Split
from pipeline.data.image_set import ImageSet
from pipeline.errors import InputError

_FETCH = "`dvc repro fetch` downloads it again"


def read(directory: Path, image_set: ImageSet) -> tuple[Split, Split]:
    """Return the training and the test images of the data set whose files are in `directory`.

    Raises:
        InputError: A file is missing or damaged, or is not what the data set states.
    """
    _verify(directory, image_set)
    # Imported here: MNIST needs neither pandas nor pyarrow, which take half a second each.
    reader = importlib.import_module(f"{formats.__name__}.{image_set.reader}")
    train, test = reader.read(directory, image_set)
    if test is not None and np.array_equal(train.images, test.images):
        raise InputError("the images to test with are those to train on", path=directory)
    if image_set.held_out is None or test is not None:
        return train, test if test is not None else train
    held_out = image_set.held_out
    mask = hold_out(train.labels, held_out.count(len(train)), held_out.seed)
    return select(train, ~mask), select(train, mask)


def _verify(directory: Path, image_set: ImageSet) -> None:
    """Check the checksums of the files, where they are known."""
    for file in image_set.all_files:
        path = directory / file.name
        if not path.exists():
            raise errors.missing(path, "fetch")
        if file.sha256 is not None and (found := files.sha256(path)) != file.sha256:
            raise InputError(f"sha256: expected {file.sha256}, found {found}", path=path, fix=_FETCH)


def hold_out(labels: NDArray[np.integer], count: int, seed: int) -> NDArray[np.bool_]:
    """Return a mask (n,) that selects `count` of the n labels, from each class in proportion to its size.

    Counts per class are rounded by the largest-remainder (Hamilton) method; among equal remainders the lower classes
    are rounded up. Which images of a class are drawn depends on `seed` alone.
    """
    rng = np.random.default_rng(seed)
    mask = np.zeros(len(labels), dtype=np.bool_)
    for label, share in enumerate(_shares(np.bincount(labels), count)):
        mask[rng.choice(np.flatnonzero(labels == label), share, replace=False)] = True
    return mask


def _shares(sizes: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    whole, remainder = np.divmod(sizes * count, sizes.sum())
    ranked = np.argsort(-remainder, kind="stable")
    whole[ranked[: count - whole.sum()]] += 1
    return whole


def select(split: Split, mask: NDArray[np.bool_]) -> Split:
    """Return the images of `split` that `mask` (n,) selects."""
    changes = None if split.changes is None else split.changes[mask]
    return Split(split.images[mask], split.labels[mask], changes)
