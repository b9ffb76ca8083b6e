"""Checks of bytes that came from outside, made before anything is done with them."""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib

from pipeline.errors import PipelineError


def sha256(content: bytes) -> str:
    """Return the SHA-256 of `content`, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def expect_sum(name: str, found: str, expected: str | None) -> None:
    """Raise PipelineError with both sums unless they are equal."""
    if found != expected:
        raise PipelineError(f"{name}: expected sha256 {expected}, found {found}")


def packed_limit(size: int) -> int:
    """Return more bytes than `size` bytes take as gzip: where deflate gains nothing, it adds five bytes per block."""
    return size + size // 1000 + 1024


def gunzip(name: str, packed: bytes, limit: int) -> bytes:
    """Return what `packed` unpacks to; no more memory is taken than `limit` bytes need.

    Raises:
        PipelineError: It is no gzip file, is damaged, or unpacks to more than `limit` bytes.
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
