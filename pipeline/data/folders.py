"""The files below the folders of a data set: which count, which cannot be used, and their checksums."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline import files
from pipeline.errors import PipelineError, is_printable

MAX_FILES = 2**24
# What systems leave in folders, and what people put with data; names in lower case.
_SYSTEM = {"thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "__macosx", "$recycle.bin", "icon\r"}
_NOTES = {"readme", "license", "licence", "copying", "notice", "citation", "authors", "changelog"}
_NOTE_ENDINGS = {"", ".txt", ".md", ".rst", ".html", ".pdf", ".cff", ".bib"}
# Faults of files that are told in full.
_SHOWN = 5


class Below(NamedTuple):
    """The sorted paths of the files below a folder, and of those that are notes on the data."""

    files: list[str]
    notes: list[str]


def files_below(folder: Path, parts: Sequence[str], *, source: bool = False) -> Below:
    """Return the files below those `parts` of `folder`, by their paths relative to it.

    What systems leave in folders is left out, as are names that begin with a dot. Of a `source`, a link may not lead
    out of it: elsewhere, DVC may have linked files to its cache.

    Raises:
        PipelineError: A part is not a directory, holds no files or far too many, or some cannot be used, all of which
            are counted: links to folders or to nothing, and names that are not printable.
        OSError: A folder cannot be read.
    """
    below, faults, inside = Below([], []), list[str](), folder.resolve()
    for part in parts:
        if not (folder / part).is_dir():
            raise PipelineError(f"{_spelt(folder, part)}: no such directory")
        if (folder / part).resolve() != inside / part:
            raise PipelineError(f"{part}: a link to a folder; put the folder itself there, or name it as the source")
        before = len(below.files)
        for path in _walk(folder / part):
            name = path.relative_to(folder).as_posix()
            if fault := _fault(path, inside if source else None):
                faults.append(f"{name if is_printable(name) else repr(name)}: {fault}")
            elif path.stem.lower() in _NOTES and path.suffix.lower() in _NOTE_ENDINGS:
                below.notes.append(name)
            else:
                below.files.append(name)
            if len(below.files) > MAX_FILES:
                raise PipelineError(f"expected at most {MAX_FILES} files")
        if len(below.files) == before and not faults:
            raise PipelineError(f"{part}: no files")
    expect_none(faults)
    return Below(sorted(below.files), sorted(below.notes))


def expect_none(faults: Sequence[str]) -> None:
    """Raise PipelineError with the first of the faults of files, and how many there are, unless there are none."""
    if faults:
        more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise PipelineError("; ".join(sorted(faults)[:_SHOWN]) + more)


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the files and links below a folder, without those of the system."""

    def fail(error: OSError) -> None:
        raise error

    for place, folders, names in os.walk(folder, onerror=fail):
        own = [name for name in folders if not _of_system(name)]
        links = [name for name in own if Path(place, name).is_symlink()]
        folders[:] = [name for name in own if name not in links]
        yield from (Path(place, name) for name in (*links, *names) if not _of_system(name))


def _of_system(name: str) -> bool:
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
