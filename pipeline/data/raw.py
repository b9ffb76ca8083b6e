"""The files of a data set -> its training and test images, by the reader of its format."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path

import numpy as np

from pipeline import errors, files
from pipeline.data import formats, splits
from pipeline.data.dataset import Split
from pipeline.data.image_set import ImageSet
from pipeline.errors import InputError

_FETCH = "`dvc repro fetch` downloads it again"


def read(directory: Path, image_set: ImageSet) -> dict[str, Split]:
    """Return the images of the data set whose files are in `directory`, by split: train, test, and what else it has.

    Raises:
        InputError: A file is missing or damaged, or is not what the data set states.
    """
    _verify(directory, image_set)
    # Imported here: MNIST needs neither pandas nor pyarrow, which take half a second each.
    reader = importlib.import_module(f"{formats.__name__}.{image_set.reader}")
    found = {name: _with_rows(one) for name, one in reader.read(directory, image_set).items()}
    for name in found.keys() - {"train"}:
        if np.array_equal(found["train"].images, found[name].images):
            raise InputError(f"the {name} images are those to train on", path=directory)
    train, held_out = found["train"], image_set.held_out
    if held_out is not None and held_out.seed is not None:
        left, test = splits.split(train, held_out.count(len(train)), held_out.seed)
        found |= {"train": left, "test": test}
    # Those of another table are numbered anew, and nothing is held out of them.
    return {name: one if name == "train" else dataclasses.replace(one, groups=None) for name, one in found.items()}


def _with_rows(images: Split) -> Split:
    return images if images.origins is not None else dataclasses.replace(images, origins=np.arange(len(images)))


def _verify(directory: Path, image_set: ImageSet) -> None:
    """Check the checksums of the files, where they are known."""
    for file in image_set.all_files:
        path = directory / file.name
        if not path.exists():
            raise errors.missing(path, "fetch")
        if file.sha256 is not None and (found := files.sha256(path)) != file.sha256:
            raise InputError(f"sha256: expected {file.sha256}, found {found}", path=path, fix=_FETCH)
