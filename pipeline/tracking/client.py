"""The connection to MLflow: settings that must precede its import, bounded answers, its store, its errors' meaning."""

import argparse
import errno
import os
import re
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import requests

from pipeline.data import https
from pipeline.errors import PipelineError, UnavailableError
from pipeline.tracking import store
from pipeline.tracking.store import SetupError

# MLflow reads some of them once, when it is imported.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_DISABLE_AGENT_HINT", "1")
os.environ.setdefault("MLFLOW_UV_AUTO_DETECT", "false")
# What fails is retried here. MLflow's own retry of a request that took effect would apply it twice.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
# Of a locked store it prints a traceback twice a minute; what is missing is said here in a line.
os.environ["MLFLOW_LOGGING_LEVEL"] = "CRITICAL"
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# The address that it prints at the end of a run contains the password.
os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
# Its own asynchronous logging loses silently what it could not send.
os.environ["MLFLOW_ENABLE_ASYNC_LOGGING"] = "false"

# Under its own name, so that other modules of this package import it from here, after the settings.
import mlflow as mlflow
from mlflow.utils import request_utils

ANSWER_TIMEOUT_S = 60.0  # for a request and its whole answer, neither of which is a file
FILE_TIMEOUT_S = 900.0
ANSWER_LIMIT, FILE_LIMIT = 2**28, 2**32  # bytes

NOT_FOUND = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
_MAX_REASON = 240  # characters
_LOGIN = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
_DATABASE_TIMEOUT_S = 5
_MAJOR = 3  # the first version of MLflow with logged models
# What a file system answers, and no network.
_LOCAL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG, errno.ENOENT)
# The drivers of databases that have the option connect_timeout.
_WITH_TIMEOUT = ("psycopg", "psycopg2", "pymysql", "mysqldb")


class _Adapter(request_utils.TCPKeepAliveHTTPAdapter):
    """MLflow's adapter of requests, whose own timeout is for each piece of an answer, with bounds for the whole."""

    def send(self, request: Any, stream: bool = False, *others: Any, **options: Any) -> Any:
        """Send the request; a download, for which `stream` is true, is bounded as it is read.

        Raises:
            requests.RequestException: There is no answer, or it takes too long or is too large.
        """
        send, is_file = super().send, stream or request.method == "PUT"
        seconds, limit = (FILE_TIMEOUT_S, FILE_LIMIT) if is_file else (ANSWER_TIMEOUT_S, ANSWER_LIMIT)
        until = time.monotonic() + seconds
        response = _before(until, lambda: send(request, True, *others, **options))
        length = response.headers.get("Content-Length", "")
        if length.isdigit() and int(length) > limit:
            response.close()
            raise requests.ConnectionError(f"its answer has {length} bytes")
        pieces = response.iter_content
        if stream:
            response.iter_content = lambda size=1, *_, **__: _bounded(pieces(size), until, limit)
        else:
            response._content = b"".join(_bounded(pieces(2**16), until, limit))
        return response


def _bounded(pieces: Iterator[bytes], until: float, limit: int) -> Iterator[bytes]:
    size = 0
    while piece := _before(until, lambda: next(pieces, b"")):
        if (size := size + len(piece)) > limit:
            raise requests.ConnectionError(f"its answer has more than {limit} bytes")
        yield piece


def _before(until: float, call: Any) -> Any:
    try:
        return https.within(max(0.0, until - time.monotonic()), call)
    except TimeoutError:
        raise requests.Timeout("its answer takes too long") from None


request_utils.TCPKeepAliveHTTPAdapter = _Adapter


def add_option(parser: argparse.ArgumentParser) -> None:
    """Give a stage the option that makes MLflow a condition of its success."""
    parser.add_argument(
        "--require-tracking",
        action="store_true",
        default=bool(os.environ.get("REQUIRE_TRACKING")),
        help="exit with 3 unless MLflow takes the whole run; under dvc, set REQUIRE_TRACKING=1",
    )


@contextmanager
def open_store() -> Iterator[str | None]:
    """Point mlflow at the store, created if it is missing, and hold it if it is local.

    Yields the address of the folder for artifacts of a local store, None for a server's.

    Raises:
        UnavailableError: The store cannot be used.
        SetupError: Nor will it be before somebody changes something.
    """
    uri = store.uri()
    mlflow.set_tracking_uri(uri)
    if path := store.local(uri):
        with store.prepared(path):
            yield store.artifacts(path).as_uri()
    else:
        if uri.startswith("http"):
            _check_version(uri)
        else:
            _check_database(uri)
        yield None


def existing(get: Callable[..., Any], *names: str) -> Any:
    """Return what a method of MLflow's client gets; None if MLflow has none with these names or this id."""
    try:
        return get(*names)
    except mlflow.MlflowException as error:
        if error.error_code not in NOT_FOUND:
            raise
        return None


@cache
def _check_version(uri: str) -> None:
    """Ask a server once for its version: an older one takes a run, and then neither its model nor its end.

    What answers with something else than a version, as a proxy may, is believed to have none of these.
    """
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    answer = http_request(get_default_host_creds(uri), "/version", "GET")
    found = re.match(r"(\d+)\.\d", answer.text) if answer.ok else None
    if found and int(found[1]) < _MAJOR:
        what = f"{store.shown()}: the server is MLflow {answer.text[:20].strip()}"
        raise SetupError(what, fix=f"it has to be MLflow {_MAJOR} or later")


def _check_database(uri: str) -> None:
    """Connect once to a server's database: where it refuses, MLflow would retry for minutes."""
    import sqlalchemy

    try:
        url = sqlalchemy.make_url(uri)
        has_timeout = url.get_dialect().driver in _WITH_TIMEOUT
        options = {"connect_timeout": _DATABASE_TIMEOUT_S} if has_timeout else {}
        sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool, connect_args=options).connect().close()
    except ImportError as error:
        fix = "`make team` installs that of postgresql://"
        raise SetupError(f"{store.shown()}: its driver is not installed ({error})", fix=fix) from None
    except sqlalchemy.exc.ArgumentError as error:
        raise SetupError(f"{store.shown()}: {reason(error)}") from None
    except sqlalchemy.exc.SQLAlchemyError as error:
        # The driver's own words, without SQLAlchemy's around them.
        cause = getattr(error, "orig", None) or error
        raise UnavailableError(f"{store.shown()}: {reason(cause)}") from None


def reason(error: Exception | None) -> str:
    """Return one line that says what is wrong with MLflow, without anybody's password."""
    if error is None:
        return "no answer yet"
    # Ours were made without secrets.
    if isinstance(error, UnavailableError):
        return str(error)
    text = store.without_credentials(" ".join(str(error).split()))
    # MLflow gives the address first and the cause last.
    short = text if len(text) < _MAX_REASON else f"{text[: _MAX_REASON // 2]} ... {text[-_MAX_REASON // 2 :]}"
    return f"{short}; {_LOGIN}" if _is_rejection(error) else short


def is_permanent(error: Exception) -> bool:
    """Return True if retrying cannot help: the setup is wrong, or MLflow rejected our credentials."""
    return isinstance(error, SetupError) or _is_rejection(error)


def _is_rejection(error: Exception) -> bool:
    return bool(re.search(r"error code 40[13]\b|\b40[13] Client Error|UNAUTHENTICATED|PERMISSION_DENIED", str(error)))


@contextmanager
def reachable() -> Iterator[None]:
    """Turn errors of MLflow and of the network into UnavailableError, for commands that need MLflow.

    Raises:
        UnavailableError: MLflow does not answer, or with something that its own client cannot read.
        PipelineError: A file that is not MLflow's cannot be read or written, as where the disk of TMPDIR is full.
    """
    try:
        yield
    except PipelineError:
        raise
    except Exception as error:
        if fault := _local_fault(error):
            raise fault from None
        if isinstance(error, mlflow.MlflowException | OSError):
            raise UnavailableError(f"{store.shown()}: {reason(error)}") from None
        if not _is_of_mlflow(error):
            raise
        what = f"{store.shown()}: not an answer of MLflow's ({type(error).__name__}: {reason(error)})"
        raise UnavailableError(what) from None


def _local_fault(error: Exception) -> PipelineError | None:
    """Return the error about a file outside of a local store, if that is what cannot be read or written."""
    if not isinstance(error, OSError) or error.errno not in _LOCAL:
        return None
    path, local = Path(error.filename or tempfile.gettempdir()), store.local(store.uri())
    if local and (path.is_relative_to(store.artifacts(local)) or str(path).startswith(str(local))):
        return None
    fix = "see that its disk has space and may be written to, or set TMPDIR to another folder"
    return PipelineError(f"cannot be used ({os.strerror(error.errno or 0)})", path=path, fix=fix)


def _is_of_mlflow(error: Exception) -> bool:
    """Return whether an error comes out of the code of MLflow."""
    frames = traceback.extract_tb(error.__traceback__)
    return any(Path(frame.filename).is_relative_to(Path(mlflow.__file__).parent) for frame in frames)
