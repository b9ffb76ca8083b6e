"""The demo's door: one page, its models, and the answers to a drawing, for this machine's own browser and nobody else.

Any page that the browser shows can send requests to this machine. So the Host header has to be one that only this
machine goes by (a name that an attacker lets point here, as in DNS rebinding, is another), and an Origin this one's.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from pipeline.errors import InputError, PipelineError

ADDRESS = "127.0.0.1"
MAX_BYTES = 1_000_000
# Not among the templates, on which the report depends.
PAGE = Path(__file__).with_name("demo.html")
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
ROUTES = {"/": "GET", "/models": "GET", "/answer": "POST"}

Json = Mapping[str, Any]


def policy(html: str) -> str:
    """Return the page's Content-Security-Policy: its inline style and script, by their sums, and requests to here."""
    sums = {
        tag: " ".join(f"'sha256-{_sha256(text)}'" for text in re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL))
        for tag in ("script", "style")
    }
    own = f"script-src {sums['script']}; style-src {sums['style']}; img-src 'self' data:"
    return f"default-src 'self'; {own}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


class Server(ThreadingHTTPServer):
    """Listens on 127.0.0.1 from its making on, and answers once `serve` is called."""

    # Another demo on the same port would get half of the requests.
    allow_reuse_port = False

    def __init__(self, port: int) -> None:
        super().__init__((ADDRESS, port), _Handler)
        self.hosts = {f"{name}:{self.server_port}" for name in (ADDRESS, "localhost")}
        self.html = PAGE.read_text(encoding="utf-8")
        self.policy = policy(self.html)
        self.models: Json = {}
        self.reply: Callable[[bytes], Json] = lambda _: {}

    def serve(self, models: Json, reply: Callable[[bytes], Json]) -> None:
        """Answer until interrupted: `models` is what the page is told of them, `reply` maps a PNG to the answers."""
        self.models, self.reply = models, reply
        self.serve_forever()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that has gone away; other errors are this program's and keep their traceback."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = 10  # seconds for a request to arrive

    def _handle(self) -> None:
        path = self.path.partition("?")[0]
        method = ROUTES.get(path)
        if not self._from_here():
            self._send_error(HTTPStatus.FORBIDDEN, "this page answers to this machine's own browser alone")
        elif method is None:
            self._send_error(HTTPStatus.NOT_FOUND, "no such page")
        elif method != self.command:
            self._send_error(HTTPStatus.METHOD_NOT_ALLOWED, f"expected {method}", Allow=method)
        elif path == "/":
            self._send(HTTPStatus.OK, self.server.html.encode(), "text/html; charset=utf-8")
        elif path == "/models":
            self._send_json(HTTPStatus.OK, self.server.models)
        else:
            self._answer()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _handle  # noqa: N815

    def _from_here(self) -> bool:
        hosts = self.headers.get_all("Host", [])
        origins = self.headers.get_all("Origin", [])
        return len(hosts) == 1 and hosts[0].lower() in self.server.hosts and origins in ([], [f"http://{hosts[0]}"])

    def _answer(self) -> None:
        length = self.headers.get("Content-Length")
        if length is None:
            self._send_error(HTTPStatus.LENGTH_REQUIRED, "expected a Content-Length")
        elif not re.fullmatch("[0-9]+", length):
            self._send_error(HTTPStatus.BAD_REQUEST, "expected a number as Content-Length")
        elif len(length) > len(str(MAX_BYTES)) or int(length) > MAX_BYTES:
            self._send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"expected at most {MAX_BYTES:,} bytes")
        else:
            self._reply(self.rfile.read(int(length)))

    def _reply(self, body: bytes) -> None:
        try:
            self._send_json(HTTPStatus.OK, self.server.reply(body))
        except InputError as error:
            self._send_error(HTTPStatus.BAD_REQUEST, str(error))
        except PipelineError as error:
            self._send_error(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))

    def _send_error(self, status: HTTPStatus, text: str, **headers: str) -> None:
        self._send_json(status, {"error": text}, **headers)

    def _send_json(self, status: HTTPStatus, content: Json, **headers: str) -> None:
        self._send(status, json.dumps(content, allow_nan=False).encode(), "application/json", **headers)

    def _send(self, status: HTTPStatus, body: bytes, kind: str, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def end_headers(self) -> None:
        """Add what a browser is to hold the page to; also to the errors that http.server finds by itself."""
        for name, value in {"Content-Security-Policy": self.server.policy, **HEADERS}.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Keep the terminal for the address and for what goes wrong."""
