"""The demo's HTTP server: one page, what its models are, and their predictions, for the browser on this machine.

Any page that the browser shows can send requests to this machine. So the Host header must name this server (under DNS
rebinding, an attacker's host name resolves to 127.0.0.1 too), and an Origin header must be this server's own.
"""

import asyncio
import base64
import hashlib
import os
import re
import socket
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect
from uvicorn.protocols.http.h11_impl import H11Protocol

from pipeline.data.formats import pictures
from pipeline.errors import InputError, PipelineError

ADDRESS = "127.0.0.1"
MAX_BYTES = pictures.MAX_FILE
# For a whole request to arrive, and for predictions under way when the server is stopped.
REQUEST_TIMEOUT_S = 10
SHUTDOWN_TIMEOUT_S = 5
# Not among the templates, on which the report depends.
PAGE = Path(__file__).with_name("demo.html")
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    # One request per connection, so that a deadline for the one is a deadline for the other.
    "Connection": "close",
}

Json = Mapping[str, Any]
Reply = Callable[[bytes], Json]


def listen(port: int) -> socket.socket:
    """Return a socket that accepts connections on `port` of 127.0.0.1; 0 takes any free port.

    Raises:
        PipelineError: The port is in use, or needs privileges.
    """
    try:
        return socket.create_server((ADDRESS, port))
    except OSError as error:
        what = f"{ADDRESS}:{port}: {os.strerror(error.errno or 0)}"
        raise PipelineError(what, fix="choose another port with --port") from None


def create(listening: socket.socket, models: Json, reply: Reply, sample: Callable[[], bytes]) -> uvicorn.Server:
    """Return a server for `listening`: `run(sockets=[listening])` serves until SIGINT or SIGTERM, then raises it again.

    `models` is what the page is given at /models; `reply` maps the file that it posts to the content of the response,
    and `sample` gives a PNG to try.
    """
    html = PAGE.read_text(encoding="utf-8")
    config = uvicorn.Config(
        application(html, listening.getsockname()[1], models, reply, sample),
        http=_Connection,
        loop="asyncio",
        ws="none",
        lifespan="off",
        headers=[*HEADERS.items(), ("Content-Security-Policy", content_security_policy(html))],
        server_header=False,
        proxy_headers=False,
        # Of its log, only what is a fault of this program goes to the terminal.
        log_config=None,
        log_level="error",
        access_log=False,
        timeout_graceful_shutdown=SHUTDOWN_TIMEOUT_S,
    )
    return uvicorn.Server(config)


def content_security_policy(html: str) -> str:
    """Return the page's Content-Security-Policy: its inline style and script, by their hashes, and requests to here."""
    hashes = {
        tag: " ".join(f"'sha256-{_sha256(text)}'" for text in re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL))
        for tag in ("script", "style")
    }
    own = f"script-src {hashes['script']}; style-src {hashes['style']}; img-src 'self' data:"
    return f"default-src 'self'; {own}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def application(html: str, port: int, models: Json, reply: Reply, sample: Callable[[], bytes]) -> FastAPI:
    """Return the routes /, /models, /sample and /predict of a demo on `port`; an error is JSON with the key `error`."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    hosts = {f"{name}:{port}" for name in (ADDRESS, "localhost")}

    @app.middleware("http")
    async def only_own_browser(request: Request, respond: Callable[[Request], Awaitable[Response]]) -> Response:
        if not _is_own(request.headers, hosts):
            return _error(HTTPStatus.FORBIDDEN, "this page is for the browser on this machine only")
        return await respond(request)

    @app.get("/")
    def page() -> HTMLResponse:
        return HTMLResponse(html)

    @app.get("/models")
    def trained() -> JSONResponse:
        return JSONResponse(models)

    @app.get("/sample")
    def drawn() -> Response:
        return Response(sample(), media_type="image/png")

    @app.post("/predict")
    async def predictions(request: Request) -> JSONResponse:
        return JSONResponse(await run_in_threadpool(reply, await _body(request)))

    _handle_errors(app)
    return app


def _is_own(headers: Headers, hosts: set[str]) -> bool:
    """Return whether a request was sent to one of `hosts`, by a page from that host or by no page."""
    sent = headers.getlist("Host")
    return len(sent) == 1 and sent[0].lower() in hosts and headers.getlist("Origin") in ([], [f"http://{sent[0]}"])


async def _body(request: Request) -> bytes:
    """Return the body of a request, of at most MAX_BYTES; uvicorn has checked that its length is a number."""
    length = request.headers.get("Content-Length")
    if length is None or "Transfer-Encoding" in request.headers:
        raise HTTPException(HTTPStatus.LENGTH_REQUIRED, "expected a Content-Length")
    if int(length) > MAX_BYTES:
        raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"expected at most {MAX_BYTES:,} bytes")
    return await request.body()


def _handle_errors(app: FastAPI) -> None:
    @app.exception_handler(StarletteHTTPException)
    def refused(_request: Request, error: StarletteHTTPException) -> JSONResponse:
        return _error(error.status_code, error.detail, error.headers)

    @app.exception_handler(PipelineError)
    def failed(_request: Request, error: PipelineError) -> JSONResponse:
        is_input = isinstance(error, InputError)
        return _error(HTTPStatus.BAD_REQUEST if is_input else HTTPStatus.INTERNAL_SERVER_ERROR, str(error))

    @app.exception_handler(ClientDisconnect)
    def abandoned(_request: Request, _gone: ClientDisconnect) -> Response:
        return Response()  # nobody reads it

    @app.exception_handler(Exception)
    def unexpected(_request: Request, _bug: Exception) -> JSONResponse:
        return _error(HTTPStatus.INTERNAL_SERVER_ERROR, "the demo failed; its terminal shows where")


def _error(status: int, text: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": text}, status, headers)


class _Connection(H11Protocol):
    """A connection that is closed if its request has not arrived when the time allowed is over, or the server stops."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.loop.call_later(REQUEST_TIMEOUT_S, self._close_incomplete)

    def shutdown(self) -> None:
        super().shutdown()
        self._close_incomplete()

    def _close_incomplete(self) -> None:
        if self.cycle is None or self.cycle.more_body:
            self.transport.close()
