"""Checks of the files of a data set, before anything else is done with them: one by one, or all of a folder."""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline import files
from pipeline.data import sets
from pipeline.data.formats import idx
from pipeline.data.image_set import File, ImageSet
from pipeline.errors import PipelineError

# Of a file whose size the data set does not state.
MAX_SIZE = 2**31
MAX_FILES = 2**24


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


def files_below(folder: Path, parts: Sequence[str]) -> list[str]:
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


def joint_checksum(of_files: Mapping[str, str]) -> str:
    """Return the SHA-256 over the lines "path NUL checksum" of `checksums`: that of the whole folder."""
    lines = "".join(f"{name}\0{found}\n" for name, found in of_files.items())
    return hashlib.sha256(lines.encode()).hexdigest()
