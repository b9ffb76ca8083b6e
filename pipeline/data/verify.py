"""Checks of the single files of a data set, before anything else is done with them."""

import gzip
import hashlib
import io
import zlib
from pathlib import Path

from pipeline import files
from pipeline.data.image_set import File
from pipeline.errors import PipelineError


def is_at(file: File, path: Path) -> bool:
    """Return whether `path` is this file; never where only the checksum of its .gz is known."""
    try:
        return files.sha256(path) == file.sha256
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
    return content


def unpacked(file: File, packed: bytes, limit: int) -> bytes:
    """Return the plain file, of at most `limit` bytes, from `packed`, this file gzipped, in no more memory than that.

    Raises:
        PipelineError: It is not this file gzipped.
    """
    name = f"{file.name}.gz"
    if len(packed) > packed_limit(limit):
        raise PipelineError(f"{name}: larger than the {limit} bytes that it should hold")
    if file.sha256 is not None:
        return plain(file, gunzip(name, packed, limit))
    expect_checksum(name, sha256(packed), file.gz_sha256)
    return gunzip(name, packed, limit)


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
