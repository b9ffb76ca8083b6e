"""Checks of the single files of a data set, before anything else is done with them."""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from pathlib import Path

from pipeline import files
from pipeline.data import sets
from pipeline.data.formats import idx
from pipeline.data.image_set import File, ImageSet
from pipeline.errors import PipelineError

# Of a file whose size the data set does not state.
MAX_SIZE = 2**31


def sized_files(image_set: ImageSet) -> list[File]:
    """Return the files of a data set, with the size of each IDX file, which follows from its shape."""
    if not isinstance(image_set, sets.IdxSet):
        return [*image_set.all_files]
    sizes = idx.sizes(image_set)
    return [file.model_copy(update={"size": sizes[file.name]}) for file in image_set.all_files]


def limit(file: File) -> int:
    """Return the largest number of bytes that the plain file may have."""
    return file.size or MAX_SIZE


def is_at(file: File, path: Path) -> bool:
    """Return whether `path` is this file; never where only the checksum of its .gz is known."""
    try:
        return file.size in (None, path.stat().st_size) and files.sha256(path) == file.sha256
    except (OSError, PipelineError):
        return False


def plain(file: File, content: bytes) -> bytes:
    """Return `content` if it is the plain file.

    Raises:
        PipelineError: It is not, or there is no checksum to verify it by.
    """
    if file.sha256 is None:
        raise PipelineError(f"{file.name}: cannot be verified: only the checksum of its .gz is known")
    expect_checksum(file.name, sha256(content), file.sha256)
    return _of_size(file, content)


def unpacked(file: File, packed: bytes) -> bytes:
    """Return the plain file from `packed`, this file gzipped, without using more memory than the plain file needs.

    Raises:
        PipelineError: It is not this file gzipped.
    """
    name = f"{file.name}.gz"
    if len(packed) > packed_limit(limit(file)):
        raise PipelineError(f"{name}: larger than the {limit(file)} bytes that it should hold")
    if file.sha256 is not None:
        return plain(file, gunzip(name, packed, limit(file)))
    expect_checksum(name, sha256(packed), file.gz_sha256)
    return _of_size(file, gunzip(name, packed, limit(file)))


def _of_size(file: File, content: bytes) -> bytes:
    if file.size not in (None, len(content)):
        raise PipelineError(f"{file.name}: expected {file.size} bytes, found {len(content)}")
    return content


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
