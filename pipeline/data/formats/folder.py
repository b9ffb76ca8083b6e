"""Images as files of pictures in one folder per class: which files count, their checksums, and their images."""

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline import files
from pipeline.data.dataset import CHANGE, Split
from pipeline.data.formats import checks, pictures
from pipeline.data.formats.checks import Faults, Place
from pipeline.data.sets import FolderSet
from pipeline.errors import PipelineError, is_printable

MAX_FILES = 2**24
# What systems leave in folders, and what people put with data; names in lower case.
_SYSTEM = {"thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "__macosx", "$recycle.bin", "icon\r"}
_NOTES = {"readme", "license", "licence", "copying", "notice", "citation", "authors", "changelog"}
_NOTE_ENDINGS = {"", ".txt", ".md", ".rst", ".html", ".pdf", ".cff", ".bib"}
# Faults of files that are told in full.
_SHOWN = 5

_FETCH = "`dvc repro fetch` copies it again"


def read(directory: Path, image_set: FolderSet) -> dict[str, Split]:
    """Return the images of each split for which there is a folder, sorted by class and then by name.

    Raises:
        InputError: A folder is missing or is not that of a class, or files, all of which are named, are no pictures.
    """
    place, faults = Place(directory), Faults()
    try:
        names, _ = files_below(directory, [*image_set.parts.values()])
    except (PipelineError, OSError) as error:
        raise place.fault(str(error), _FETCH) from None
    if image_set.checksum is not None:
        checksum = joint_checksum(checksums(directory, names))
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


def files_below(folder: Path, parts: Sequence[str], *, source: bool = False) -> tuple[list[str], list[str]]:
    """Return the files below those `parts` of `folder`, and the notes on the data there, by their paths relative to it.

    What systems leave in folders is left out, as are names that begin with a dot. Of a `source`, a link may not lead
    out of it: elsewhere, DVC may have linked files to its cache.

    Raises:
        PipelineError: A part is not a directory, holds no files or far too many, or some cannot be used, all of which
            are counted: links to folders or to nothing, and names that are not printable.
        OSError: A folder cannot be read.
    """
    below, notes, faults, inside = list[str](), list[str](), list[str](), folder.resolve()
    for part in parts:
        if not (folder / part).is_dir():
            raise PipelineError(f"{_spelt(folder, part)}: no such directory")
        if (folder / part).resolve() != inside / part:
            raise PipelineError(f"{part}: a link to a folder; put the folder itself there, or name it as the source")
        before = len(below)
        for path in (Path(place, name) for place, names in _walk(folder / part) for name in names):
            name = path.relative_to(folder).as_posix()
            if fault := _fault(path, inside if source else None):
                faults.append(f"{name if is_printable(name) else repr(name)}: {fault}")
            elif path.stem.lower() in _NOTES and path.suffix.lower() in _NOTE_ENDINGS:
                notes.append(name)
            else:
                below.append(name)
            if len(below) > MAX_FILES:
                raise PipelineError(f"expected at most {MAX_FILES} files")
        if len(below) == before and not faults:
            raise PipelineError(f"{part}: no files")
    expect_none(faults)
    return sorted(below), sorted(notes)


def folders_below(folder: Path) -> list[Path]:
    """Return the folders below `folder`, without those of the system; raise OSError if one cannot be read."""
    return sorted(place for place, _ in _walk(folder) if place != folder)


def expect_none(faults: Sequence[str]) -> None:
    """Raise PipelineError with the first of the faults of files, and how many there are, unless there are none."""
    if faults:
        more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise PipelineError("; ".join(sorted(faults)[:_SHOWN]) + more)


def _walk(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield each folder from `folder` down with the names of its files and links, without those of the system."""

    def fail(error: OSError) -> None:
        raise error

    for place, folders, names in os.walk(folder, onerror=fail):
        own = [name for name in folders if not of_system(name)]
        links = [name for name in own if Path(place, name).is_symlink()]
        folders[:] = [name for name in own if name not in links]
        yield Path(place), [*links, *(name for name in names if not of_system(name))]


def of_system(name: str) -> bool:
    """Return whether a file or a folder of this name is left out, as one that a system has put there."""
    return name.startswith(".") or name.lower() in _SYSTEM


def _fault(path: Path, inside: Path | None) -> str:
    """Return why a path cannot be used as a file, or an empty text; a link may have to lead to a place `inside`."""
    if not is_printable(path.name):
        return "expected a printable name"
    if not path.is_symlink():
        return "" if path.is_file() else "not a file"
    if path.is_dir():
        return "a link to a folder; put the folder itself there"
    # Of a loop of links, too.
    if not path.exists():
        return "a link to nothing"
    if inside and not path.resolve().is_relative_to(inside):
        return "a link that leads out of the source; put the file itself there"
    return "" if path.is_file() else "not a file"


def _spelt(folder: Path, part: str) -> str:
    """Return a part that is missing, with the code points of its name where another one looks the same."""
    composed = unicodedata.normalize("NFC", part)
    there = (path.relative_to(folder).as_posix() for path in (folder / part).parent.glob("*"))
    alike = [name for name in there if unicodedata.normalize("NFC", name) == composed]
    return f"{part!a} (there is {alike[0]!a})" if alike else part


def checksums(folder: Path, paths: Sequence[str]) -> dict[str, str]:
    """Return the SHA-256 of each file by its path relative to `folder`."""
    return {path: files.sha256(folder / path) for path in paths}


def joint_checksum(checksum_by_path: Mapping[str, str]) -> str:
    """Return the SHA-256 over the lines "path NUL checksum" of `checksums`: that of the whole folder."""
    lines = "".join(f"{path}\0{checksum}\n" for path, checksum in checksum_by_path.items())
    return hashlib.sha256(lines.encode()).hexdigest()
