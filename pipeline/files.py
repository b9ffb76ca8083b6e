"""Atomic writes, checked reads, and checksums of files."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline import errors
from pipeline.errors import InputError, PipelineError

if TYPE_CHECKING:
    import pandas as pd

# The metrics of a model of 300 classes have 4 MB.
MAX_JSON_BYTES, MAX_YAML_BYTES = 100_000_000, 1_000_000
# Up to this size, a third of a second, a file that is an input is compared by its content.
_HASHED_BYTES = 100_000_000


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to `path` to write to, which is renamed to `path` when the block ends without error.

    Until then the previous file stays as it is; after an error the temporary file is removed.

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
        _replace(temporary, path)
    except OSError as error:
        raise _unwritable(path, error, temporary) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError, temporary: Path | None = None) -> PipelineError:
    reason = error.strerror or str(error)
    if temporary is None or error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return PipelineError(f"cannot be written ({reason})", path=path)
    written, free = temporary.stat().st_size, shutil.disk_usage(temporary.parent).free
    fix = "free some space and run again; `dvc checkout` and `git checkout` restore the last good files"
    return PipelineError(f"cannot be written ({reason} after {written} bytes, {free} bytes free)", path=path, fix=fix)


def check_writable(path: Path) -> None:
    """Check that a file can be written at `path`, before the work that would fill it; no file is changed.

    Raises:
        PipelineError: It is a directory, or its directory cannot be created or written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    except OSError as error:
        raise _unwritable(path, error) from error


def _replace(temporary: Path, path: Path) -> None:
    umask = os.umask(0)
    os.umask(umask)
    temporary.chmod(0o666 & ~umask)
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically, as UTF-8 with LF line endings."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write `value` as indented JSON, keys in the order given; ValueError for NaN and infinities."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in `path`.

    Raises:
        InputError: The file does not exist, is too long, or its content is something else.
    """
    return parse_json(read_bytes(path, MAX_JSON_BYTES), path)


def parse_json(content: bytes, path: Path) -> dict[str, Any]:
    """Return `content`, a JSON object without a duplicate key; `path` is for the error.

    Raises:
        InputError: It is something else.
    """
    try:
        value = json.loads(content, object_pairs_hook=_distinct)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON ({error})", path=path) from None
    if not isinstance(value, dict):
        raise InputError(f"expected a JSON object, found {type(value).__name__}", path=path)
    return value


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} is there twice")
    return value


def read_yaml(path: Path) -> Any:
    """Return the content of the YAML file at `path`, as `parse_yaml` reads it.

    Raises:
        InputError: The file cannot be read, or `parse_yaml` rejects it.
    """
    # What DVC does not create, `dvc repro` cannot create again.
    return parse_yaml(read_bytes(path, MAX_YAML_BYTES, created=False), path)


def parse_yaml(content: bytes, path: Path) -> Any:
    """Return `content` as DVC's own parser reads it: YAML 1.2, where `1e-8` is a number; `path` is for the error.

    Raises:
        InputError: It is too long, is not YAML, or has a duplicate key.
    """
    _check_size(len(content), MAX_YAML_BYTES, path)
    try:
        return YAML(typ="safe", pure=True).load(content.decode())
    except (YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).partition("To suppress this check")[0].split())[:300]
        raise InputError(f"not YAML as DVC reads it ({reason})", path=path) from None


def read_bytes(path: Path, most: int, *, created: bool = True) -> bytes:
    """Return the content of the file at `path`; `created`: a DVC stage creates it.

    Raises:
        InputError: It is missing, no file, has more than `most` bytes, or cannot be read.
    """
    with _reading(path, created=created):
        # Before it is read: a file may have more than the memory.
        _check_size(path.stat().st_size, most, path)
        return path.read_bytes()


def _check_size(size: int, most: int, path: Path) -> None:
    if size > most:
        raise InputError(f"expected at most {most} bytes, found {size}", path=path)


def write_yaml(path: Path, value: Mapping[str, Any]) -> None:
    """Write plain values to `path` as YAML, in their order, atomically."""
    written, parser = io.StringIO(), YAML(pure=True)
    parser.width = 120
    parser.dump(value, written)
    write_text(path, written.getvalue())


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write `table` without its index, each float in the shortest form that reads back as the same number."""
    write_text(path, table.to_csv(index=False, lineterminator="\n"))


def read_csv(path: Path) -> pd.DataFrame:
    """Return the table in `path`, every float exactly as written.

    Raises:
        InputError: The file does not exist, or is not a table.
    """
    # Imported late: it takes half a second, and most stages read no table.
    import pandas as pd

    try:
        with _reading(path):
            return pd.read_csv(path)
    except ValueError as error:
        raise InputError(f"not a CSV table ({str(error).strip()})", path=path) from None


class Inputs:
    """What a stage such as train@cnn or study/dvc.yaml:run reads: code and params as dvc.yaml has them, and `paths`.

    DVC records these when the stage ends. Had they changed meanwhile, dvc.lock would tell of another experiment. Of a
    `plan` that is not the params.yaml beside dvc.yaml it records nothing, so nothing is compared.
    """

    def __init__(self, stage: str, *paths: Path, plan: Path | None = None) -> None:
        place, _, address = stage.rpartition(":")
        (name, _, key), file = address.partition("@"), Path(place or "dvc.yaml")
        is_recorded = plan is None or plan.resolve() == file.with_name("params.yaml").resolve()
        stages = read_yaml(file)["stages"] if is_recorded and file.exists() else {}
        block = stages.get(name, {})
        block = block.get("do", block)
        code = [Path(dep) for dep in block.get("deps", []) if dep.startswith("pipeline/")]
        self._paths = (*code, *paths) if is_recorded else ()
        # By the path of their file; a key alone is one of params.yaml.
        used = [entry if isinstance(entry, Mapping) else {"params.yaml": [entry]} for entry in block.get("params", [])]
        self._params = [
            (Path(os.path.normpath(file.parent / params)), entry.replace("${key}", key))
            for part in used
            for params, keys in part.items()
            for entry in keys
        ]
        self._before = self._state()

    def _state(self) -> dict[str, Any]:
        values = {path: read_yaml(path) for path in {path for path, _ in self._params}}
        used = {f"{key} in {path}": _at(values[path], key) for path, key in self._params}
        return used | {str(path): _stamps(path) for path in self._paths}

    def check(self) -> None:
        """Check that all is as it was, once everything else is done.

        Raises:
            PipelineError: It is not; the message names what has changed.
            InputError: The params file cannot be read any more.
        """
        now = self._state()
        if changed := [name for name, state in self._before.items() if now[name] != state]:
            what = f"{', '.join(changed)}: changed while this ran, which DVC would record with results of the old"
            raise PipelineError(what, fix="run again; or put the old back, run again, and change it then")


def _at(values: Any, key: str) -> Any:
    for part in key.split("."):
        values = values.get(part) if isinstance(values, Mapping) else None
    return values


def _stamps(path: Path) -> list[tuple[str, int, int | str]]:
    """Return size and checksum of a file, or of all files in a folder; the time of one that takes long to read."""
    paths = sorted(path.rglob("*")) if path.is_dir() else [path]
    kept = [file for file in paths if file.is_file() and "__pycache__" not in file.parts]
    states = [(file, file.stat()) for file in kept]
    return [(str(file), s.st_size, s.st_mtime_ns if s.st_size > _HASHED_BYTES else md5(file)) for file, s in states]


def sha256(path: Path) -> str:
    """Return the SHA-256 of the file's content, in hexadecimal."""
    return _digest(path, "sha256")


def md5(path: Path) -> str:
    """Return the MD5 of the file's content, as dvc.lock records it: an identifier, not a protection."""
    return _digest(path, "md5")


def _digest(path: Path, algorithm: str) -> str:
    with _reading(path), path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


@contextmanager
def _reading(path: Path, *, created: bool = True) -> Iterator[None]:
    try:
        # A pipe would be waited for, and a device read for ever.
        if not (path.is_file() or path.is_dir()) and path.exists():
            raise InputError("expected a file, found a pipe, socket or device", path=path)
        yield
    except FileNotFoundError as error:
        raise (errors.missing(path) if created else errors.unreadable(path, error)) from None
    except OSError as error:
        raise errors.unreadable(path, error) from None
