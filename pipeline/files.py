"""Files that appear whole or not at all, and sums that name their content."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import errors
from pipeline.errors import InputError, PipelineError

if TYPE_CHECKING:
    import pandas as pd


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` to write to; it takes the place of `path` when the block ends well.

    Until then the previous file stays as it is; after an error nothing of the new one is left.

    Raises:
        PipelineError: The file cannot be written (no space, no permission, not a directory).
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part" + path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        _settle(temporary, path)
    except OSError as error:
        raise PipelineError(f"{path}: cannot be written ({_why(error, temporary)})") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _why(error: OSError, temporary: Path | None) -> str:
    reason = error.strerror or str(error)
    if temporary is None or error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return reason
    written, free = temporary.stat().st_size, shutil.disk_usage(temporary.parent).free
    healing = "make room and run again; `dvc checkout` and `git checkout` bring the last good files back"
    return f"{reason} after {written} bytes, {free} bytes free; {healing}"


def check_writable(path: Path) -> None:
    """Refuse a path at which no file can be written, before the work that would fill it; nothing is changed.

    Raises:
        PipelineError: It is a directory, or its directory cannot be made or written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise PipelineError(f"{path}: cannot be written ({error.strerror})") from error
    if path.is_dir():
        raise PipelineError(f"{path}: cannot be written (Is a directory)")


def _settle(temporary: Path, path: Path) -> None:
    umask = os.umask(0)
    os.umask(umask)
    temporary.chmod(0o666 & ~umask)
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all."""
    with whole(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8 with LF line ends, whole or not at all."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write `value` as indented JSON, keys in the order given; ValueError for NaN and infinities."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in `path`.

    Raises:
        InputError: There is no such file, or it holds something else.
    """
    try:
        with _reading(path):
            value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({error})") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: expected a JSON object, found {type(value).__name__}")
    return value


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write `table` without its index, floats in the shortest form that reads back to the same number."""
    write_text(path, table.to_csv(index=False, lineterminator="\n"))


def read_csv(path: Path) -> pd.DataFrame:
    """Return the table in `path`, every float exactly as written.

    Raises:
        InputError: There is no such file, or it is not a table.
    """
    # Imported late: it takes half a second, and most stages read no table.
    import pandas as pd

    try:
        with _reading(path):
            return pd.read_csv(path)
    except ValueError as error:
        raise InputError(f"{path}: not a CSV table ({str(error).strip()})") from None


def sha256(path: Path) -> str:
    """Return the SHA-256 of the file's content, in hexadecimal."""
    return _digest(path, "sha256")


def md5(path: Path) -> str:
    """Return the MD5 of the file's content: what dvc.lock records for it. It names the content and protects nothing."""
    return _digest(path, "md5")


def _digest(path: Path, algorithm: str) -> str:
    with _reading(path), path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise errors.missing(path) from None
    except OSError as error:
        raise errors.unreadable(path, error) from None
