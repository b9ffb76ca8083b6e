"""Images as PNG or JPEG files in one folder per class."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np

from pipeline.data import verify
from pipeline.data.dataset import Split
from pipeline.data.formats import checks, pictures
from pipeline.data.formats.checks import Place
from pipeline.data.sets import FolderSet
from pipeline.errors import PipelineError

ENDINGS = (".png", ".jpg", ".jpeg")
_FETCH = "`dvc repro fetch` copies it again"


def read(directory: Path, image_set: FolderSet) -> tuple[Split, Split | None]:
    """Return training and test images, sorted by class and then by name; test is None if there is no such folder.

    Raises:
        InputError: A folder is missing or is not that of a class, or a file is not such a picture.
    """
    options = image_set.options
    _verify(directory, image_set)
    train = _split(directory, image_set, "train", options.train)
    return train, None if options.test is None else _split(directory, image_set, "test", options.test)


def _split(directory: Path, image_set: FolderSet, name: str, part: str) -> Split:
    place = Place(directory / part)
    by_class: dict[str, list[Path]] = {label: [] for label in image_set.classes}
    for path in _paths(directory, place, part):
        steps = PurePosixPath(path.relative_to(place.path).as_posix()).parts
        if len(steps) != 2 or path.suffix.lower() not in ENDINGS:
            raise Place(path).fault("expected CLASS/NAME with the ending .png, .jpg or .jpeg")
        if steps[0] not in by_class:
            raise Place(path.parent).fault(f"no class of this name among {', '.join(image_set.classes)}"[:300])
        by_class[steps[0]].append(path)
    ordered = [(label, path) for label, paths in enumerate(by_class.values()) for path in paths]
    # Filled one by one: a list of arrays would take the memory twice.
    images = np.empty((len(ordered), *image_set.image.shape), np.uint8)
    for position, (_, path) in enumerate(ordered):
        images[position] = _picture(path, image_set)
    labels = checks.labels(np.array([label for label, _ in ordered], np.int64), image_set, place)
    origins = np.array([path.relative_to(directory).as_posix() for _, path in ordered], np.str_)
    return checks.split([(images, labels, origins)], image_set, name, place)


def _verify(directory: Path, image_set: FolderSet) -> None:
    """Check the checksum of all files together, if it is known."""
    place = Place(directory)
    names = [path.relative_to(directory).as_posix() for path in _paths(directory, place, *image_set.options.parts)]
    if image_set.checksum is None:
        return
    if (found := verify.joint_checksum(verify.checksums(directory, names))) != image_set.checksum:
        raise place.fault(f"checksum: expected {image_set.checksum}, found {found}", _FETCH)


def _paths(directory: Path, place: Place, *parts: str) -> list[Path]:
    try:
        return [directory / name for name in verify.files_below(directory, parts)]
    except (PipelineError, OSError) as error:
        raise place.fault(str(error), _FETCH) from None


def _picture(path: Path, image_set: FolderSet) -> np.ndarray:
    options = image_set.options
    try:
        if path.stat().st_size > pictures.MAX_FILE:
            raise ValueError(f"larger than {pictures.MAX_FILE} bytes")
        return pictures.decode(path.read_bytes(), image_set.image, resize=options.resize, convert=options.convert)
    except OSError as error:
        raise Place(path).fault(f"cannot be read ({error.strerror or error})") from None
    except ValueError as error:
        raise Place(path).fault(str(error)) from None
