"""Images as files of pictures in one folder per class."""

from __future__ import annotations

import re
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
    _verify(directory, image_set)
    faults = Faults()
    splits = {name: _images(directory, image_set, part, faults) for name, part in image_set.parts.items()}
    faults.end()
    return {
        name: checks.split(split, image_set, name, Place(directory / image_set.parts[name]))
        for name, split in splits.items()
    }


def _images(directory: Path, image_set: FolderSet, part: str, faults: Faults) -> Split:
    """Return the pictures in a folder, those with a fault unfilled."""
    place = Place(directory / part)
    ordered = _labelled(_paths(directory, place, part), place, image_set, faults)
    images = checks.room(len(ordered), image_set, place)
    changes = np.zeros(len(ordered), CHANGE)
    for position, (_, path) in enumerate(ordered):
        with faults.at(Place(path)):
            content = pictures.content_of(path)
            images[position], changes[position] = pictures.decode(content, image_set.image, image_set.options)
    labels = checks.labels(np.array([label for label, _ in ordered], np.int64), image_set, place)
    names = [path.relative_to(directory).as_posix() for _, path in ordered]
    groups = _groups(names, image_set, place)
    return Split(images, labels, groups=groups, origins=np.array(names, np.str_), changes=changes)


def _groups(names: list[str], image_set: FolderSet, place: Place) -> NDArray[np.str_] | None:
    """Return each file's group: what the expression's first group, or all of it, matches."""
    if image_set.group is None:
        return None
    groups = []
    for name in names:
        if (match := re.search(image_set.group, name)) is None:
            raise place.fault(f"held_out.group: {name} does not match {image_set.group}")
        groups.append(match[1 if match.re.groups else 0] or "")
    return np.array(groups, np.str_)


def _labelled(paths: list[Path], place: Place, image_set: FolderSet, faults: Faults) -> list[tuple[int, Path]]:
    """Return each picture's label and path, sorted by label and then by name."""
    labels = {checks.composed(name): label for label, name in enumerate(image_set.classes)}
    found: list[tuple[int, Path]] = []
    unknown: set[Path] = set()
    for path in paths:
        steps = path.relative_to(place.path).parts
        label = labels.get(checks.composed(steps[0]))
        if len(steps) != 2 or path.suffix.lower() not in pictures.ENDINGS:
            faults.add(Place(path).fault(f"expected CLASS/NAME with one of the endings {', '.join(pictures.ENDINGS)}"))
        elif label is not None:
            found.append((label, path))
        elif path.parent not in unknown:
            unknown.add(path.parent)
            points = "" if steps[0].isascii() else f", which is {steps[0]!a},"
            what = f"no class of this name{points} among {', '.join(image_set.classes)}"
            faults.add(Place(path.parent).fault(what[:300]))
    return sorted(found, key=lambda pair: pair[0])


def _verify(directory: Path, image_set: FolderSet) -> None:
    """Check the checksum of all files together, if it is known."""
    place = Place(directory)
    names = [path.relative_to(directory).as_posix() for path in _paths(directory, place, *image_set.parts.values())]
    if image_set.checksum is None:
        return
    if (found := folders.joint_checksum(folders.checksums(directory, names))) != image_set.checksum:
        raise place.fault(f"checksum: expected {image_set.checksum}, found {found}", _FETCH)


def _paths(directory: Path, place: Place, *parts: str) -> list[Path]:
    try:
        return [directory / name for name in folders.files_below(directory, parts).files]
    except (PipelineError, OSError) as error:
        raise place.fault(str(error), _FETCH) from None
