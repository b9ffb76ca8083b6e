"""Where MLflow's store is, and the making of a local one: by one process, whole, and reported when it is unusable."""

from __future__ import annotations

import fcntl
import os
import re
import shlex
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from pipeline.errors import UnavailableError

SQLITE = "sqlite:///"
# Where `make ui` shows a store that has no server: the variable and the port are MLflow's own.
UI = f"http://127.0.0.1:{os.environ.get('MLFLOW_PORT') or 5000}"
_BUSY = 5.0  # seconds to wait for a writer; its writes take milliseconds


def root() -> Path:
    """Return the root of the repository, also from the temporary directories in which queued experiments run."""
    return Path(os.environ.get("DVC_ROOT") or Path(__file__).parents[2]).resolve()


def uri() -> str:
    """Return the address of the store: `MLFLOW_TRACKING_URI`, or else `mlflow.db` at the root of the repository."""
    address = os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}{root()}/mlflow.db"
    if not address.startswith(SQLITE):
        return address
    path, mark, options = address.removeprefix(SQLITE).partition("?")
    return f"{SQLITE}{Path(path).resolve()}{mark}{options}"


def local(address: str) -> Path | None:
    """Return the file of a store at an address that `uri` gave; None for a server."""
    return Path(address.removeprefix(SQLITE).partition("?")[0]) if address.startswith(SQLITE) else None


def page() -> str:
    """Return the address at which a browser finds the store, without the credentials that its URI may have."""
    parts = urlsplit(uri())
    if parts.scheme not in ("http", "https"):
        return UI
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])).rstrip("/")


def without_credentials(text: str) -> str:
    """Return `text` with the user and password of every address in it replaced."""
    return re.sub(r"(?<!sqlite:)(?<!/)//\S*@", "//***@", text)


@contextmanager
def prepared(path: Path, schema: str, create: Callable[[str], object]) -> Iterator[None]:
    """Hold the local store at `path` for this process alone; if there is none, `create` makes it at a given address.

    It appears under its name only when it is complete: two makers at once, or one that is killed, would break it.

    Raises:
        UnavailableError: There is a store that cannot be used, or one whose tables are not of version `schema`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            _make(path, create)
        if (found := _schema(path)) != schema:
            upgrade = f"`mlflow db upgrade {shlex.quote(f'{SQLITE}{path}')}`, or use the MLflow that made it"
            raise UnavailableError(f"{path}: made by another MLflow (tables {found}, not {schema}); copy it, {upgrade}")
        yield


def _make(path: Path, create: Callable[[str], object]) -> None:
    unfinished = path.with_name(path.name + ".new")
    for suffix in ("", "-journal", "-wal", "-shm"):
        Path(f"{unfinished}{suffix}").unlink(missing_ok=True)
    create(f"{SQLITE}{unfinished}")
    unfinished.replace(path)


def _schema(path: Path) -> str:
    """Return the version of the tables in the store.

    Asked before MLflow opens it: that would try for minutes, and change tables of an older version.
    """
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=_BUSY)) as database:
            return str(database.execute("SELECT max(version_num) FROM alembic_version").fetchone()[0])
    except sqlite3.Error as error:
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise UnavailableError(f"{path}: locked by another process; wait for it, or find it with `fuser`") from None
        move = shlex.join(["mv", str(path), f"{path}.broken"])
        way_out = f"if nothing else uses it, `{move}`, then `make sync` fills a new one"
        raise UnavailableError(f"{path}: not a usable store ({error}); {way_out}") from None
