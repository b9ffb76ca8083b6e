"""Downloads over https, bounded in time and size; only redirects to https are followed."""

from __future__ import annotations

import os
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import Future
from http.client import HTTPException, HTTPMessage, HTTPResponse, IncompleteRead
from typing import IO, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit, urlunsplit

import certifi
from tqdm import tqdm

from pipeline.errors import PipelineError

T = TypeVar("T")

ANSWER_TIMEOUT_S = 10.0  # until a server answers, and between two pieces of a file
RETRY_DELAY_S = 1.0

_BUNDLE = "REQUESTS_CA_BUNDLE"
BUSY = (429, 500, 502, 503, 504)


def get(url: str, limit: int, deadline: float, *, retry: bool = True) -> bytes:
    """Return the content at `url`: at most `limit` bytes, before `deadline` on the monotonic clock (seconds).

    A transient failure (a connection reset, a short body, a busy server) is retried once.

    Raises:
        PipelineError: It cannot be downloaded; the message is the reason.
    """
    try:
        return _download(url, limit, deadline)
    # ValueError and OverflowError: an address that cannot be asked (a label of 70 letters, non-ASCII, a port of 99999).
    except (OSError, HTTPException, ValueError, OverflowError) as error:
        if isinstance(error, HTTPError):
            error.close()
        if retry and _is_transient(error):
            time.sleep(RETRY_DELAY_S)
            return get(url, limit, deadline, retry=False)
        raise PipelineError(_reason(error)) from None


class HttpsOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirects to https only."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        """Return the request for the new address.

        Raises:
            PipelineError: The new address is not https.
        """
        if not newurl.lower().startswith("https://"):
            fp.close()
            raise PipelineError(f"redirects to {newurl:.200}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, _ascii(newurl))


def open_url(url: str) -> HTTPResponse:
    """Return the response to a GET of `url`, its body unread."""
    opener = urllib.request.build_opener(HttpsOnly, urllib.request.HTTPSHandler(context=_context()))
    response: HTTPResponse = opener.open(_ascii(url), timeout=ANSWER_TIMEOUT_S)
    return response


def _context() -> ssl.SSLContext:
    """Return what certificates are verified by: REQUESTS_CA_BUNDLE, as MLflow's are, or the system's and certifi's.

    Python has none of its own on some systems.
    """
    context = ssl.create_default_context(cafile=os.environ.get(_BUNDLE) or None)
    if not os.environ.get(_BUNDLE):
        context.load_verify_locations(certifi.where())
    return context


def _ascii(url: str) -> str:
    """Return `url` with a host and a path in other letters as a request has to have them."""
    if url.isascii():
        return url
    parts = urlsplit(url)
    path = quote(parts.path, safe="/%:@!$&'()*+,;=~")
    return urlunsplit(parts._replace(netloc=parts.netloc.encode("idna").decode(), path=path))


def _download(url: str, limit: int, deadline: float) -> bytes:
    content = bytearray()
    with (
        within(ANSWER_TIMEOUT_S, lambda: open_url(url)) as response,
        tqdm(total=response.length, desc=url.rpartition("/")[2], unit="B", unit_scale=True, disable=None) as bar,
    ):
        length = response.length
        while piece := response.read1(2**16):
            content += piece
            bar.update(len(piece))
            if len(content) > limit:
                raise PipelineError(f"larger than the expected {limit} bytes")
            if time.monotonic() > deadline:
                raise PipelineError("gave up, as it took too long")
    if length is not None and len(content) < length:
        raise ConnectionResetError(f"ended after {len(content)} of {length} bytes")
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


def _is_transient(error: Exception) -> bool:
    if isinstance(error, HTTPError):
        return error.code in BUSY
    return isinstance(_cause(error), ConnectionResetError | IncompleteRead)


def _cause(error: Exception) -> Exception:
    return error.reason if isinstance(error, URLError) and isinstance(error.reason, Exception) else error


def _reason(error: Exception) -> str:
    cause = _cause(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"{cause.verify_message}: {_BUNDLE}=FILE names the certificates to trust, as those of a proxy here"
    return (
        f"no answer within {ANSWER_TIMEOUT_S:g} s"
        if isinstance(cause, TimeoutError)
        else str(cause) or type(cause).__name__
    )
