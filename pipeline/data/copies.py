"""A data set of pictures in folders: copied from the first source that has it."""

from __future__ import annotations

import contextlib
from pathlib import Path

from pipeline import files
from pipeline.data import download
from pipeline.data.formats import pictures, tree
from pipeline.data.sets import FolderSet
from pipeline.data.sources import Directory, KerasCache, Source
from pipeline.data.verify import expect_checksum, sha256
from pipeline.errors import PipelineError


def fetch(name: str, described: FolderSet, output: Path, root: Path) -> None:
    """Make the folders of the data set `name` in `output` equal to those of the first source that has them.

    Folders that are there and have the stated checksum stay as they are.

    Raises:
        PipelineError: No source has them (the message has a reason for each), or they cannot be written.
    """
    parts = described.options.parts
    if described.checksum is not None and _checksum(output, parts) == described.checksum:
        print(f"{output}: the folders of {name} are there and verified")
        return
    place, found = download.from_first(name, described.sources, lambda source: _take(source, described, root))
    for path, checksum in found.items():
        _copy(place / path, output / path, checksum)
    _remove_others(output, parts, set(found))
    if described.checksum is None:
        print(f"checksum: {tree.checksum(found)} (added to data/sets/{name}.yaml, it identifies all these files)")


def _checksum(folder: Path, parts: tuple[str, ...]) -> str | None:
    with contextlib.suppress(PipelineError, OSError):
        return tree.checksum(tree.checksums(folder, tree.names(folder, parts)))
    return None


def _take(source: Source, described: FolderSet, root: Path) -> tuple[Path, dict[str, str]]:
    if not isinstance(source, Directory | KerasCache):
        raise PipelineError("has no folders")
    place = download.local(source, root)
    # Not is_dir(), for which a loop of links is no directory either.
    try:
        place.stat()
    except FileNotFoundError:
        raise PipelineError("no such directory") from None
    names = tree.names(place, described.options.parts)
    for name in names:
        if (size := (place / name).stat().st_size) > pictures.MAX_FILE:
            raise PipelineError(f"{name}: expected at most {pictures.MAX_FILE} bytes, found {size}")
    found = tree.checksums(place, names)
    if described.checksum is not None:
        expect_checksum("all files together", tree.checksum(found), described.checksum)
    return place, found


def _copy(source: Path, target: Path, checksum: str) -> None:
    if target.is_file() and files.sha256(target) == checksum:
        return
    content = source.read_bytes()
    expect_checksum(str(source), sha256(content), checksum)
    files.write_bytes(target, content)


def _remove_others(output: Path, parts: tuple[str, ...], kept: set[str]) -> None:
    """Remove what an earlier version of the data set, or a run that was killed, has left in the folders."""
    for part in parts:
        for path in sorted((output / part).rglob("*")):
            if not path.is_dir() and path.relative_to(output).as_posix() not in kept:
                path.unlink(missing_ok=True)
