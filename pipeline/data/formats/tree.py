"""The files below a folder: their checksums, and that of all of them together."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from pipeline import files
from pipeline.errors import PipelineError

MAX_FILES = 2**24


def names(folder: Path, parts: Sequence[str]) -> list[str]:
    """Return the sorted paths, relative to `folder`, of the files below those `parts` of it.

    Names that begin with a dot are left out: they are the system's, and of writes that have not ended.

    Raises:
        PipelineError: A part is not a directory, holds no files or far too many, or a name is not printable.
        OSError: The folder cannot be read.
    """
    found: list[str] = []
    for part in parts:
        before = len(found)
        if not (folder / part).is_dir():
            raise PipelineError(f"{part}: no such directory")
        for path in (folder / part).rglob("*"):
            name = path.relative_to(folder).as_posix()
            if any(step.startswith(".") for step in PurePosixPath(name).parts) or not path.is_file():
                continue
            if not name.isprintable():
                raise PipelineError(f"{name!r}: expected a printable name")
            found.append(name)
            if len(found) > MAX_FILES:
                raise PipelineError(f"expected at most {MAX_FILES} files")
        if len(found) == before:
            raise PipelineError(f"{part}: no files")
    return sorted(found)


def checksums(folder: Path, paths: Sequence[str]) -> dict[str, str]:
    """Return the SHA-256 of each file by its path relative to `folder`."""
    return {path: files.sha256(folder / path) for path in paths}


def checksum(of_files: Mapping[str, str]) -> str:
    """Return the SHA-256 over the lines "path NUL checksum" of `checksums`: that of the whole folder."""
    lines = "".join(f"{name}\0{found}\n" for name, found in of_files.items())
    return hashlib.sha256(lines.encode()).hexdigest()
