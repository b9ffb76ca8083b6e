"""Downloads over https, bounded in time and size; only redirects to https are followed."""

import os
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import certifi
import requests
import urllib3
from requests.adapters import HTTPAdapter
from tqdm import tqdm

from pipeline import errors
from pipeline.errors import PipelineError

T = TypeVar("T")

ANSWER_TIMEOUT_S = 10.0  # until a server answers, and between two pieces of a file
RETRY_DELAY_S = 1.0

_BUNDLE = "REQUESTS_CA_BUNDLE"
_BUSY = (429, 500, 502, 503, 504)


def get(url: str, limit: int, deadline: float, *, retry: bool = True) -> bytes:
    """Return the content at `url`: at most `limit` bytes, before `deadline` on the monotonic clock (seconds).

    A transient failure (a connection reset, a short body, a busy server) is retried once.

    Raises:
        PipelineError: It cannot be downloaded; the message is the reason.
    """
    try:
        return _download(url, limit, deadline)
    # ValueError: an address that cannot be asked, such as one with a label of 70 letters.
    except (OSError, ValueError, urllib3.exceptions.HTTPError) as error:
        cause = _cause(error)
        if retry and isinstance(cause, ConnectionResetError | urllib3.exceptions.IncompleteRead):
            time.sleep(RETRY_DELAY_S)
            return get(url, limit, deadline, retry=False)
        raise PipelineError(_reason(cause)) from None


class _Https(HTTPAdapter):
    """Verifies certificates by REQUESTS_CA_BUNDLE, or by the system's and certifi's: some systems have none."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, ssl_context=_context(), **options)

    def proxy_manager_for(self, *arguments: Any, **options: Any) -> Any:
        return super().proxy_manager_for(*arguments, ssl_context=_context(), **options)


def _context() -> ssl.SSLContext:
    if not (bundle := os.environ.get(_BUNDLE)):
        context = ssl.create_default_context()
        context.load_verify_locations(certifi.where())
        return context
    try:
        folder = bundle if Path(bundle).is_dir() else None
        return ssl.create_default_context(cafile=None if folder else bundle, capath=folder)
    except OSError as error:
        raise PipelineError(f"{_BUNDLE}: {bundle} cannot be used ({errors.reason(error)})") from None


def session() -> requests.Session:
    """Return what asks servers; it has no way to follow a redirect to anything but https."""
    made = requests.Session()
    made.adapters.clear()
    made.mount("https://", _Https())
    return made


def _download(url: str, limit: int, deadline: float) -> bytes:
    content = bytearray()
    # Not packed on the way: the file is wanted as it lies there.
    headers = {"Accept-Encoding": "identity"}

    def ask() -> requests.Response:
        return session().get(url, stream=True, timeout=ANSWER_TIMEOUT_S, headers=headers)

    with within(ANSWER_TIMEOUT_S, ask) as response:
        if response.status_code != requests.codes.ok:
            kind = ConnectionResetError if response.status_code in _BUSY else OSError
            raise kind(f"HTTP Error {response.status_code}: {response.reason}")
        length = response.raw.length_remaining
        with tqdm(total=length, desc=url.rpartition("/")[2], unit="B", unit_scale=True, disable=None) as bar:
            while piece := response.raw.read1(2**16):
                content += piece
                bar.update(len(piece))
                if len(content) > limit:
                    raise PipelineError(f"larger than the expected {limit} bytes")
                if time.monotonic() > deadline:
                    raise PipelineError("gave up, as it took too long")
    return bytes(content)


def within(seconds: float, call: Callable[[], T]) -> T:
    """Return what `call` returns, or raise TimeoutError after that many seconds; then it goes on in a thread.

    A socket's own timeout applies to each address of a host separately, and not to the name lookup: a dead host with
    ten addresses would take ten times as long.
    """
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return future.result(seconds)


def _cause(error: BaseException) -> BaseException:
    """Return what lies behind the errors that requests and urllib3 wrap around each other."""
    inner = (*error.args, getattr(error, "reason", None), error.__cause__)
    return next((_cause(part) for part in inner if isinstance(part, BaseException)), error)


def _reason(cause: BaseException) -> str:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"{cause.verify_message}: {_BUNDLE}=FILE names the certificates to trust, as those of a proxy here"
    if isinstance(cause, TimeoutError | urllib3.exceptions.TimeoutError):
        return f"no answer within {ANSWER_TIMEOUT_S:g} s"
    if isinstance(cause, requests.exceptions.InvalidSchema):
        return f"redirects to what is not https ({cause})"
    return str(cause) or type(cause).__name__
