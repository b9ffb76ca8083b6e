"""Images as files of pictures in one folder per class."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.data import folders
from pipeline.data.dataset import CHANGE, Split
from pipeline.data.formats import checks, pictures
from pipeline.data.formats.checks import Faults, Place
from pipeline.data.sets import FolderSet
from pipeline.errors import PipelineError

_FETCH = "`dvc repro fetch` copies it again"


def read(directory: Path, image_set: FolderSet) -> dict[str, Split]:
    """Return the images of each split for which there is a folder, sorted by class and then by name.

    Raises:
        InputError: A folder is missing or is not that of a class, or files, all of which are named, are no pictures.
    """
    place, faults = Place(directory), Faults()
    try:
        names = folders.files_below(directory, [*image_set.parts.values()]).files
    except (PipelineError, OSError) as error:
        raise place.fault(str(error), _FETCH) from None
    if image_set.checksum is not None:
        checksum = folders.joint_checksum(folders.checksums(directory, names))
        if checksum != image_set.checksum:
            raise place.fault(f"checksum: expected {image_set.checksum}, found {checksum}", _FETCH)
    places = {name: Place(directory / part) for name, part in image_set.parts.items()}
    made = {name: _images(directory, names, image_set, part, faults) for name, part in places.items()}
    faults.end()
    return {name: checks.split(split, image_set, name, places[name]) for name, split in made.items()}


def _images(directory: Path, names: Sequence[str], image_set: FolderSet, place: Place, faults: Faults) -> Split:
    """Return the pictures in the folder at `place`, those with a fault unfilled; `names` are all files of the set."""
    paths = [path for path in (directory / name for name in names) if path.is_relative_to(place.path)]
    pairs = _labelled(paths, image_set, place, faults)
    images = checks.room(len(pairs), image_set, place)
    changes = np.zeros(len(pairs), CHANGE)
    for position, (_, path) in enumerate(pairs):
        with faults.at(Place(path)):
            content = pictures.content_of(path)
            images[position], changes[position] = pictures.decode(content, image_set.image, image_set.options)
    labels = checks.labels(np.array([label for label, _ in pairs], np.int64), image_set, place)
    origins = [path.relative_to(directory).as_posix() for _, path in pairs]
    groups = _groups(origins, image_set, place)
    return Split(images, labels, groups=groups, origins=np.array(origins, np.str_), changes=changes)


def _groups(names: Sequence[str], image_set: FolderSet, place: Place) -> NDArray[np.str_] | None:
    """Return each file's group: what the expression's first group, or all of it, matches."""
    if image_set.group is None:
        return None
    groups = []
    for name in names:
        if (match := re.search(image_set.group, name)) is None:
            raise place.fault(f"held_out.group: {name} does not match {image_set.group}")
        groups.append(match[1 if match.re.groups else 0] or "")
    return np.array(groups, np.str_)


def _labelled(paths: Sequence[Path], image_set: FolderSet, place: Place, faults: Faults) -> list[tuple[int, Path]]:
    """Return each picture's label and path, sorted by label and then by name."""
    labels = {checks.composed(name): label for label, name in enumerate(image_set.classes)}
    pairs: list[tuple[int, Path]] = []
    unknown: set[Path] = set()
    for path in paths:
        steps = path.relative_to(place.path).parts
        label = labels.get(checks.composed(steps[0]))
        if len(steps) != 2 or path.suffix.lower() not in pictures.ENDINGS:
            faults.add(Place(path).fault(f"expected CLASS/NAME with one of the endings {', '.join(pictures.ENDINGS)}"))
        elif label is not None:
            pairs.append((label, path))
        elif path.parent not in unknown:
            unknown.add(path.parent)
            points = "" if steps[0].isascii() else f", which is {steps[0]!a},"
            what = f"no class of this name{points} among {', '.join(image_set.classes)}"
            faults.add(Place(path.parent).fault(what[:300]))
    return sorted(pairs, key=lambda pair: pair[0])
