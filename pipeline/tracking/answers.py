"""Answers of an MLflow server, bounded in time and size: MLflow's own timeout is for each piece of one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from pipeline.data import https

ANSWER_TIMEOUT_S = 60.0  # for a request and its whole answer, neither of which is a file
FILE_TIMEOUT_S = 900.0
ANSWER_LIMIT, FILE_LIMIT = 2**28, 2**32  # bytes


class Bounded(HTTPAdapter):
    """What to put before an adapter of requests, so that its answers have bounds."""

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
