"""Checks of the files of a data set, before anything else is done with them: one by one, or all of a folder."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import unicodedata
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pipeline import files
from pipeline.data import sets
from pipeline.data.formats import idx
from pipeline.data.image_set import File, ImageSet
from pipeline.errors import PipelineError, is_printable

# Of a file whose size the data set does not state.
MAX_SIZE = 2**31
MAX_FILES = 2**24
# What systems leave in folders, and what people put with data; names in lower case.
_SYSTEM = {"thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "__macosx", "$recycle.bin", "icon\r"}
_NOTES = {"readme", "license", "licence", "copying", "notice", "citation", "authors", "changelog"}
_NOTE_ENDINGS = {"", ".txt", ".md", ".rst", ".html", ".pdf", ".cff", ".bib"}
# Faults of files that are told in full.
_SHOWN = 5


@dataclass(frozen=True)
class Wanted:
    """A file of the data set; where it is an IDX file, the shape of the array in it, else None."""

    file: File
    shape: tuple[int, ...] | None = None

    @property
    def name(self) -> str:
        """The plain file's name; the gzipped one has `.gz` appended."""
        return self.file.name

    @property
    def size(self) -> int | None:
        """The size of the plain file in bytes, if it is known."""
        return self.file.size if self.shape is None else idx.size(self.shape)

    @property
    def limit(self) -> int:
        """The largest number of bytes that the plain file may have."""
        return self.size or MAX_SIZE

    @property
    def packed(self) -> bool:
        """Whether a mirror serves it gzipped: IDX files, and those of which only the .gz has a known checksum."""
        return self.shape is not None or self.file.sha256 is None

    def is_at(self, path: Path) -> bool:
        """Return whether `path` is this file; never where only the checksum of its .gz is known."""
        try:
            return self.size in (None, path.stat().st_size) and files.sha256(path) == self.file.sha256
        except (OSError, PipelineError):
            return False

    def plain(self, content: bytes) -> bytes:
        """Return `content` if it is the plain file.

        Raises:
            PipelineError: It is not, or there is no checksum to verify it by.
        """
        if self.file.sha256 is None:
            raise PipelineError(f"{self.name}: cannot be verified: only the checksum of its .gz is known")
        expect_checksum(self.name, sha256(content), self.file.sha256)
        return self._of_shape(content)

    def unpacked(self, packed: bytes) -> bytes:
        """Return the plain file from `packed`, this file gzipped, without using more memory than the plain file needs.

        Raises:
            PipelineError: It is not this file gzipped.
        """
        name = f"{self.name}.gz"
        if len(packed) > packed_limit(self.limit):
            raise PipelineError(f"{name}: larger than the {self.limit} bytes that it should hold")
        if self.file.sha256 is not None:
            return self.plain(gunzip(name, packed, self.limit))
        expect_checksum(name, sha256(packed), self.file.gz_sha256)
        return self._of_shape(gunzip(name, packed, self.limit))

    def _of_shape(self, content: bytes) -> bytes:
        if self.shape is not None:
            found = idx.decode(content, dimensions=len(self.shape), path=Path(self.name)).shape
            if found != self.shape:
                raise PipelineError(f"{self.name}: expected an array of {self.shape}, found {found}")
        elif self.size not in (None, len(content)):
            raise PipelineError(f"{self.name}: expected {self.size} bytes, found {len(content)}")
        return content


def wanted(image_set: ImageSet) -> list[Wanted]:
    """Return the files of a data set, training before test, images before labels; none if it is a folder."""
    if isinstance(image_set, sets.IdxSet):
        shapes = idx.shapes(image_set)
        return [Wanted(file, shapes[file.name]) for file in image_set.all_files]
    return [Wanted(file) for file in image_set.all_files]


def sha256(content: bytes) -> str:
    """Return the SHA-256 of `content`, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def expect_checksum(name: str, found: str, expected: str | None) -> None:
    """Raise PipelineError with both checksums unless they are equal."""
    if found != expected:
        raise PipelineError(f"{name}: expected sha256 {expected}, found {found}")


def packed_limit(size: int) -> int:
    """Return an upper bound of the bytes that `size` bytes take gzipped: incompressible ones grow by five per block."""
    return size + size // 1000 + 1024


def gunzip(name: str, packed: bytes, limit: int) -> bytes:
    """Return the content of `packed`, without using more memory than `limit` bytes need.

    Raises:
        PipelineError: It is not a gzip file, is damaged, or unpacks to more than `limit` bytes.
    """
    if not packed.startswith(b"\x1f\x8b"):
        raise PipelineError(f"{name}: not a gzip file, begins with {packed[:20]!r}")
    try:
        content = gzip.GzipFile(fileobj=io.BytesIO(packed)).read(limit + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise PipelineError(f"{name}: damaged gzip file ({error})") from None
    if len(content) > limit:
        raise PipelineError(f"{name}: unpacks to more than the expected {limit} bytes")
    return content


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
    wanted = unicodedata.normalize("NFC", part)
    there = (path.relative_to(folder).as_posix() for path in (folder / part).parent.glob("*"))
    alike = [name for name in there if unicodedata.normalize("NFC", name) == wanted]
    return f"{part!a} (there is {alike[0]!a})" if alike else part


def checksums(folder: Path, paths: Sequence[str]) -> dict[str, str]:
    """Return the SHA-256 of each file by its path relative to `folder`."""
    return {path: files.sha256(folder / path) for path in paths}


def joint_checksum(of_files: Mapping[str, str]) -> str:
    """Return the SHA-256 over the lines "path NUL checksum" of `checksums`: that of the whole folder."""
    lines = "".join(f"{name}\0{found}\n" for name, found in of_files.items())
    return hashlib.sha256(lines.encode()).hexdigest()
