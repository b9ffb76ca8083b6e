"""A local store of MLflow: created by one process, atomically, and checked before MLflow opens it."""

from __future__ import annotations

import fcntl
import shlex
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from pipeline.errors import UnavailableError
from pipeline.tracking import address
from pipeline.tracking.address import SetupError

_BUSY_TIMEOUT_S = 5.0  # for another writer, whose writes take milliseconds


@contextmanager
def prepared(path: Path, schema: str, create: Callable[[str], object]) -> Iterator[None]:
    """Hold the local store at `path` for this process alone; if there is none, `create` creates it at a given address.

    It appears under its name when it is complete: two creators at once, or one that is killed, would break it.

    Raises:
        UnavailableError: The store cannot be used, or its schema is not of version `schema`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            _create(path, create)
        if (found := _schema(path)) != schema:
            command = f"mlflow db upgrade {shlex.quote(address.of_file(path))}"
            fix = f"back it up and run `{command}`, or install the MLflow that created it"
            raise SetupError(f"its schema is {found}, this MLflow needs {schema}", path=path, fix=fix)
        yield


def _create(path: Path, create: Callable[[str], object]) -> None:
    unfinished = path.with_name(path.name + ".new")
    for suffix in ("", "-journal", "-wal", "-shm"):
        Path(f"{unfinished}{suffix}").unlink(missing_ok=True)
    create(address.of_file(unfinished))
    unfinished.replace(path)


def _schema(path: Path) -> str:
    """Return the version of the schema of the store.

    Asked before MLflow opens it: that would retry for minutes, and change a schema of an older version.
    """
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=_BUSY_TIMEOUT_S)) as database:
            return str(database.execute("SELECT max(version_num) FROM alembic_version").fetchone()[0])
    except sqlite3.Error as error:
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            fix = "wait for it, or find it with `fuser`"
            raise UnavailableError("locked by another process", path=path, fix=fix) from None
        move = shlex.join(["mv", str(path), f"{path}.broken"])
        fix = f"if nothing else uses it, run `{move}`, and `make sync` fills a new one"
        raise UnavailableError(f"not a usable store ({error})", path=path, fix=fix) from None
