"""The files of a data set -> its training and test images, by the reader of its format."""

import dataclasses
import importlib
from itertools import combinations
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
    made = _numbered(reader.read(directory, image_set))
    train, held_out = made["train"], image_set.held_out
    for (first, one), (second, other) in combinations(made.items(), 2):
        if len(one) == len(other) and all(map(np.array_equal, one.images, other.images)):
            use = "train on" if first == "train" else "validate with"
            raise InputError(f"the {second} images are those to {use}", path=directory)
    if held_out is not None and held_out.share is not None and held_out.seed is not None:
        train, test = splits.split(train, max(1, round(held_out.share * len(train))), held_out.seed)
        made |= {"train": train, "test": test}
    return made


def _numbered(made: dict[str, Split]) -> dict[str, Split]:
    """Return the splits, their groups as numbers that all share, and images of arrays with their row as origin."""
    texts = [split.groups for split in made.values() if split.groups is not None]
    known = np.unique(np.concatenate(texts)) if texts else None
    return {
        name: dataclasses.replace(
            split,
            groups=None if known is None else np.searchsorted(known, np.asarray(split.groups)),
            origins=np.arange(len(split)) if split.origins is None else split.origins,
        )
        for name, split in made.items()
    }


def _verify(directory: Path, image_set: ImageSet) -> None:
    """Check the checksums of the files, where they are known."""
    for file in image_set.all_files:
        path = directory / file.name
        if not path.exists():
            raise errors.missing(path, "fetch")
        if file.sha256 is not None and (found := files.sha256(path)) != file.sha256:
            raise InputError(f"sha256: expected {file.sha256}, found {found}", path=path, fix=_FETCH)
