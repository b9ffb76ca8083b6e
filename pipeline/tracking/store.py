"""MLflow's store: its address, shown without anybody's password, and a local one, created atomically by one process.

The artifacts of a local store lie in the folder `mlruns` next to it. MLflow records where that is with every run, as an
absolute path: a relative one it would take from the directory of whoever reads it. So after a store was moved or copied
with its folder, what it records is replaced. No command of MLflow's does that: `mlflow db move-resources` leaves runs
as they are.
"""

import fcntl
import os
import re
import shlex
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from pipeline.errors import UnavailableError

VARIABLE = "MLFLOW_TRACKING_URI"
# Where `make ui` serves a store that has no server: the variable and the port are MLflow's own.
UI = f"http://127.0.0.1:{os.environ.get('MLFLOW_PORT') or 5000}"
_SQLITE = "sqlite:///"
# The same to SQLAlchemy. MLflow, which would take a quoted path literally and create that directory, leaves it alone.
_SQLITE_QUOTED = "sqlite+pysqlite:///"
_EXPECTED = "http(s)://HOST[:PORT], sqlite:///FILE or postgresql://USER@HOST/DATABASE"
_HTTP = ("http", "https")
_DATABASES = ("postgresql", "mysql", "mssql")
# Of the address of a server in a text: who asks, and what follows host and port.
_USER, _REST = re.compile(r"(\w://)[^\s/]\S*@"), re.compile(r"(\w://[^\s/?#;]+)[/?#;]\S+")
_BUSY_TIMEOUT_S = 5.0  # for another writer, whose writes take milliseconds
LOCK_TIMEOUT_S = 60.0  # for another process that creates the store, on a busy machine
_LOCK_PAUSE_S = 0.05
# What SQLite says of a file that is no store; anything else, as a full disk, is no reason to move it away.
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
_NOT_DAMAGED = "see that its disk has space and may be written to, then run again: nothing in it is damaged"
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


class SetupError(UnavailableError):
    """MLflow cannot be used before somebody changes something; retrying cannot help."""


def root() -> Path:
    """Return the root of the repository, also from the temporary directories in which queued experiments run."""
    return Path(os.environ.get("DVC_ROOT") or Path(__file__).parents[2]).resolve()


def uri() -> str:
    """Return the address of the store: `MLFLOW_TRACKING_URI`, or else `mlflow.db` at the root of the repository.

    A relative path in it is taken from the root, wherever the process runs.

    Raises:
        SetupError: It is not an address at which MLflow can have a store.
    """
    given = os.environ.get(VARIABLE)
    if not given:
        return address_of_file(root() / "mlflow.db")
    if prefix := next((prefix for prefix in (_SQLITE, _SQLITE_QUOTED) if given.startswith(prefix)), None):
        path, mark, options = given.removeprefix(prefix).partition("?")
        if path and (not options or "=" in options):
            return address_of_file((root() / unquote(path)).resolve()) + mark + options
    elif _is_remote(given):
        scheme, colon, rest = given.partition(":")
        return scheme.lower() + colon + rest
    raise SetupError(f"{VARIABLE}: not the address of a store (expected {_EXPECTED}; % and ? in a path as %25 and %3F)")


def _is_remote(text: str) -> bool:
    """Return whether `text` is the address of a server or of its database: `SCHEME://HOST...` with a valid port."""
    try:
        parts = urlsplit(text)
        host = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
    dialect = parts.scheme.partition("+")[0]
    # A database may be named by options alone, as a socket is.
    named = host if parts.scheme in _HTTP else dialect in _DATABASES and (host or bool(parts.query or parts.netloc))
    return named and re.search(r"[\s\x00-\x1f\x7f]", text) is None


def address_of_file(path: Path) -> str:
    """Return the address of a local store in the file at the absolute `path`; what has a meaning there is quoted."""
    quoted = str(path).replace("%", "%25").replace("?", "%3F")
    return (_SQLITE if quoted == str(path) else _SQLITE_QUOTED) + quoted


def local(address: str) -> Path | None:
    """Return the file of a store at an address that `uri` returned; None for a server."""
    prefix, found, rest = address.partition(":///")
    if not (found and prefix.startswith("sqlite")):
        return None
    return Path(unquote(rest.partition("?")[0]))


def program() -> str:
    """Return how a shell calls MLflow, whether or not its folder is on PATH."""
    return f"{shlex.quote(sys.executable)} -m mlflow"


def page() -> str:
    """Return the address at which a browser finds the store; a path is hidden, as in a message."""
    return shown().replace("***@", "").rstrip("/") if uri().startswith(_HTTP) else UI


def shown() -> str:
    """Return the address of the store for a message, without secrets."""
    return without_credentials(uri())


def without_credentials(text: str) -> str:
    """Return `text` with only scheme, host and port of servers' addresses, and nothing that the store's has besides.

    A secret may be anywhere in an address, and libraries repeat parts of it.
    """
    for secret in sorted(_secrets(), key=len, reverse=True):
        text = re.sub(rf"(?i)(?<!\w){re.escape(secret)}(?!\w)", "***", text)
    return _REST.sub(r"\1/***", _USER.sub(r"\1***@", text))


def _secrets() -> set[str]:
    """Return the parts of the store's address that may be secret, quoted and not: of a database, password and options.

    An address that `uri` refuses is passed to no library.
    """
    try:
        parts = urlsplit(uri())
    except SetupError:
        return set()
    server = (parts.username, parts.path) if parts.scheme in _HTTP else ()
    texts = (parts.password, parts.query, parts.fragment, *server)
    pieces = [piece for text in texts if text for piece in re.split("[/;&=:@?#]", text)]
    return {form for piece in pieces for form in (piece, unquote(piece), quote(unquote(piece)))} - {"", parts.hostname}


def artifacts(path: Path) -> Path:
    """Return the folder of the artifacts of the local store at `path`."""
    return path.parent / "mlruns"


@contextmanager
def prepared(path: Path) -> Iterator[None]:
    """Hold the local store at `path` for this process alone, created if it is missing.

    It appears under its name when it is complete: two creators at once, or one that is killed, would break it.

    Raises:
        UnavailableError: The store cannot be used, or its schema is not the one that this MLflow works with.
    """
    with alone(path.with_name(path.name + ".lock")):
        if not path.exists():
            _create(path)
        if (found := _schema(path)) != (needed := _needed_schema()):
            command = f"{program()} db upgrade {shlex.quote(address_of_file(path))}"
            fix = f"back it up and run `{command}`, or install the MLflow that created it"
            raise SetupError(f"its schema is {found}, this MLflow needs {needed}", path=path, fix=fix)
        _follow(path)
        yield


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold the lock file at `path` for this process alone; another one that holds it is waited for, for a minute.

    Raises:
        UnavailableError: It cannot be written, or is still held: by a process that was stopped, perhaps.
    """
    until = time.monotonic() + LOCK_TIMEOUT_S
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("w")
    except OSError as error:
        raise UnavailableError(f"cannot be written ({error.strerror})", path=path, fix=_NOT_DAMAGED) from None
    with lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise _locked(path) from None
                time.sleep(_LOCK_PAUSE_S)
        yield


def _locked(path: Path) -> UnavailableError:
    fix = f"wait for it, or find it with `fuser {shlex.quote(str(path))}`"
    return UnavailableError("locked by another process", path=path, fix=fix)


def _create(path: Path) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    unfinished = path.with_name(path.name + ".new")
    for suffix in ("", "-journal", "-wal", "-shm"):
        Path(f"{unfinished}{suffix}").unlink(missing_ok=True)
    # By its default, MLflow puts the path of the working directory into a statement of SQL, where a quote breaks it.
    SqlAlchemyStore(address_of_file(unfinished), artifacts(path).as_uri())
    unfinished.replace(path)


@cache
def _needed_schema() -> str:
    """Return the version of the schema that this MLflow works with."""
    import mlflow
    from alembic.script import ScriptDirectory

    return str(ScriptDirectory(Path(mlflow.__file__).parent / "store" / "db_migrations").get_current_head())


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
        opened = f"{path.as_uri()}?mode=rw"
        with closing(sqlite3.connect(opened, uri=True, timeout=_BUSY_TIMEOUT_S)) as database, database:
            yield database
    except sqlite3.Error as error:
        code = error.sqlite_errorcode & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise _locked(path) from None
        if code not in _DAMAGE:
            raise UnavailableError(f"cannot be used ({error})", path=path, fix=_NOT_DAMAGED) from None
        move = shlex.join(["mv", str(path), f"{path}.broken"])
        fix = f"if nothing else uses it, run `{move}`, and `make sync` fills a new one"
        raise UnavailableError(f"not a usable store ({error})", path=path, fix=fix) from None
