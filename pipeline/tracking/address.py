"""The address of MLflow's store: what it may look like, and how it is shown without anybody's password."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

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
# Options of a database's address that are worth reading in a message.
_HARMLESS = {"charset", "connect_timeout", "driver", "host", "port", "sslmode"}


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
        return of_file(root() / "mlflow.db")
    if prefix := next((prefix for prefix in (_SQLITE, _SQLITE_QUOTED) if given.startswith(prefix)), None):
        path, mark, options = given.removeprefix(prefix).partition("?")
        if path and (not options or "=" in options):
            return of_file((root() / unquote(path)).resolve()) + mark + options
    elif _is_remote(given):
        return given
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


def of_file(path: Path) -> str:
    """Return the address of a local store in the file at the absolute `path`; what has a meaning there is quoted."""
    quoted = str(path).replace("%", "%25").replace("?", "%3F")
    return (_SQLITE if quoted == str(path) else _SQLITE_QUOTED) + quoted


def local(address: str) -> Path | None:
    """Return the file of a store at an address that `uri` returned; None for a server."""
    prefix, found, rest = address.partition(":///")
    if not (found and prefix.startswith("sqlite")):
        return None
    return Path(unquote(rest.partition("?")[0]))


def page() -> str:
    """Return the address at which a browser finds the store, without the credentials that its URI may have."""
    parts = urlsplit(uri())
    if parts.scheme not in _HTTP:
        return UI
    public = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="")
    return without_credentials(urlunsplit(public)).rstrip("/")


def shown() -> str:
    """Return the address of the store for a message, without secrets."""
    return without_credentials(uri())


def without_credentials(text: str) -> str:
    """Return `text` with user and password of every address in it, and every secret in the store's own, replaced."""
    for secret in sorted(_secrets(os.environ.get(VARIABLE, "")), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "***", text)
    return re.sub(r"(?<!sqlite:)(?<!pysqlite:)(?<!/)//\S*@", "//***@", text)


def _secrets(address: str) -> set[str]:
    """Return what may be secret in an address, well formed or not: userinfo, values of options, `a:b` in the path."""
    if address.startswith("sqlite"):
        return set()
    rest = re.sub(r"^[A-Za-z][\w+.-]*:(?=/)", "", address).lstrip("/")
    userinfo, _, place = rest.rpartition("@")
    place, _, options = place.replace("#", "?").partition("?")
    found = {value for key, value in parse_qsl(options.replace("?", "&")) if key not in _HARMLESS}
    found |= {part for part in place.split("/")[1:] if ":" in part}
    if not (port := place.partition("/")[0].partition(":")[2]).isdigit() and not place.startswith("["):
        found.add(port)
    # A user without a password is a token to a web server, and merely a name to a database.
    if ":" in userinfo or address.startswith(_HTTP):
        found.add(userinfo)
    found |= {part for one in found for part in (one.partition(":")[2], one.rpartition(":")[2])}
    return {form for one in found for form in (one, unquote(one)) if form}
