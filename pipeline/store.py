"""Where MLflow's store is, and the making of a local one: by one process, whole, and reported when it is unusable."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from pipeline.cli import UnavailableError

SQLITE = "sqlite:///"


def root() -> Path:
    """Return the root of the repository, also from the temporary directories in which queued experiments run."""
    return Path(os.environ.get("DVC_ROOT") or Path(__file__).parents[1]).resolve()


def uri() -> str:
    """Return the address of the store: `MLFLOW_TRACKING_URI`, or else `mlflow.db` at the root of the repository."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}{root()}/mlflow.db"


def local(address: str) -> Path | None:
    """Return the file of a local store, None for a server."""
    return Path(address.removeprefix(SQLITE)).resolve() if address.startswith(SQLITE) else None


@contextmanager
def prepared(path: Path, create: Callable[[str], object]) -> Iterator[None]:
    """Hold the local store at `path` for this process alone; if there is none, `create` makes it at a given address.

    It appears under its name only when it is complete: two makers at once, or one that is killed, would break it.

    Raises:
        UnavailableError: There is a store that cannot be used.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            _make(path, create)
        _check_usable(path)
        yield


def _make(path: Path, create: Callable[[str], object]) -> None:
    unfinished = path.with_name(path.name + ".new")
    for suffix in ("", "-journal", "-wal", "-shm"):
        Path(f"{unfinished}{suffix}").unlink(missing_ok=True)
    create(f"{SQLITE}{unfinished}")
    unfinished.replace(path)


def _check_usable(path: Path) -> None:
    """Raise UnavailableError at once for a store that MLflow would try to open for minutes."""
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=1)) as database:
            database.execute("SELECT version_num FROM alembic_version")
    except sqlite3.Error as error:
        way_out = f"if nothing else uses it, `mv '{path}' '{path}.broken'`, then `make sync` fills a new one"
        raise UnavailableError(f"{path}: not a usable store ({error}); {way_out}") from None
