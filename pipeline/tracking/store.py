"""A local store of MLflow: created by one process, atomically, and checked before MLflow opens it.

The artifacts of a store lie in `mlruns` beside it. MLflow records where that is with every run, as an absolute path: a
relative one it would take from the directory of whoever reads it. So after a store was moved or copied with its folder,
what it records is replaced. No command of MLflow's does that: `mlflow db move-resources` leaves runs as they are.
"""

from __future__ import annotations

import fcntl
import shlex
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pipeline.errors import UnavailableError
from pipeline.tracking import address
from pipeline.tracking.address import SetupError

_BUSY_TIMEOUT_S = 5.0  # for another writer, whose writes take milliseconds
# Where MLflow records places of artifacts: table and column.
_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("trace_tags", "value"),
)
# Replaces the start of a place of artifacts; SQL takes no parameters for names.
_MOVE = """
    UPDATE {table} SET {column} = :new || substr({column}, length(:old) + 1)
    WHERE {column} = :old OR substr({column}, 1, length(:old) + 1) = :old || '/'
"""


def artifacts(path: Path) -> Path:
    """Return the folder of the artifacts of the local store at `path`."""
    return path.parent / "mlruns"


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
        _follow(path)
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
    with _opened(path) as database:
        return str(database.execute("SELECT max(version_num) FROM alembic_version").fetchone()[0])


def _follow(path: Path) -> None:
    """Have the store record its artifacts where they lie now, if it was moved or copied since it recorded them."""
    here = artifacts(path)
    with _opened(path) as database:
        locations = {row[0] for row in database.execute("SELECT artifact_location FROM experiments")}
        recorded = {folder: location for location in locations if (folder := _folder(location))}
        for folder, location in recorded.items():
            # An experiment that somebody gave a place of its own keeps it, as long as that exists.
            if folder != here and (here not in recorded or not folder.is_dir()):
                _replace(database, location, here.as_uri())
                _replace(database, str(folder), str(here))


def _replace(database: sqlite3.Connection, old: str, new: str) -> None:
    """Replace the folder `old`, an address or a path, in all places of artifacts that are in it."""
    for table, column in _PLACES:
        database.execute(_MOVE.format(table=table, column=column), {"old": old, "new": new})


def _folder(location: str) -> Path | None:
    """Return the folder of a store's artifacts if it is the location of an experiment, as it is of those made here."""
    found = urlsplit(location)
    folder = Path(unquote(found.path))
    return folder if found.scheme == "file" and folder == artifacts(folder) else None


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Yield a connection to the store; what is changed through it is changed in one transaction.

    Raises:
        UnavailableError: It is locked, or is not a usable store.
    """
    try:
        address_of_file = f"{path.as_uri()}?mode=rw"
        with closing(sqlite3.connect(address_of_file, uri=True, timeout=_BUSY_TIMEOUT_S)) as database, database:
            yield database
    except sqlite3.Error as error:
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            fix = "wait for it, or find it with `fuser`"
            raise UnavailableError("locked by another process", path=path, fix=fix) from None
        move = shlex.join(["mv", str(path), f"{path}.broken"])
        fix = f"if nothing else uses it, run `{move}`, and `make sync` fills a new one"
        raise UnavailableError(f"not a usable store ({error})", path=path, fix=fix) from None
