"""Checks of downloaded bytes, made before anything else is done with them."""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib

from pipeline.errors import PipelineError


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
