"""The demo's HTTP server: what it answers, to whom, and how it treats requests that are too long, slow or malformed."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import InputError, PipelineError
from pipeline.inference import server
from tests.support.request import request

ROOT = Path(__file__).parents[2]
MODELS = {"trained": ["cnn"], "missing": [], "how": "`make repro`"}
METHODS = {"/": "GET", "/models": "GET", "/sample": "GET", "/predict": "POST"}
PNG = b"\x89PNG\r\n\x1a\n"


def reply(body: bytes) -> dict[str, Any]:
    """Return how long the body is, or fail as it says."""
    if body == b"nothing":
        raise InputError("the drawing: shows nothing")
    if body == b"broken":
        raise PipelineError("cnn: its output is nan")
    if body == b"bug":
        raise RuntimeError("a bug")
    return {"length": len(body)}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Return the port of a server without models that runs in a thread."""
    with server.listen(0) as listening:
        found = listening.getsockname()[1]
        running = server.create(listening, MODELS, reply, lambda: PNG)
        thread = threading.Thread(target=running.run, args=([listening],))
        thread.start()
        yield found
        running.should_exit = True
        thread.join()


def test_the_page_its_models_and_predictions_are_served(port: int) -> None:
    """The page, the names of its models, and the predictions for a drawing each have their path."""
    assert request(port, "GET", "/")[1] == server.PAGE.read_bytes()
    assert request(port, "GET", "/?again")[0] == 200
    assert request(port, "GET", "/models")[:2] == (200, MODELS)
    assert request(port, "GET", "/sample")[:2] == (200, PNG)
    assert request(port, "POST", "/predict", b"png")[:2] == (200, {"length": 3})
    own = {"Host": f"localhost:{port}", "Origin": f"http://localhost:{port}"}
    assert request(port, "POST", "/predict", b"png", **own)[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/", 405),
        ("HEAD", "/", 405),
        ("DELETE", "/models", 405),
        ("OPTIONS", "/predict", 405),
        ("GET", "/predict", 405),
        ("GET", "/params.yaml", 404),
        ("GET", "/../params.yaml", 404),
        ("GET", "/docs", 404),
        ("GET", "/redoc", 404),
        ("GET", "/openapi.json", 404),
        ("POST", "/predict/", 404),
    ],
)
def test_other_paths_and_methods_are_rejected(port: int, method: str, path: str, status: int) -> None:
    """An unknown path is 404, as are FastAPI's own pages; a known one with another method is 405 and names its own."""
    found, content, headers = request(port, method, path)

    assert found == status
    assert headers["Allow"] == (METHODS[path] if status == 405 else None)
    assert method == "HEAD" or list(content) == ["error"]


@pytest.mark.fault("another web page, or a name that points here, talks to the demo")
@pytest.mark.parametrize("path", METHODS)
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "attacker.example:{port}"},
        {"Host": "127.0.0.1.attacker.example:{port}"},
        {"Host": "127.0.0.1:1"},
        {"Host": "127.0.0.1"},
        {"Host": "attacker.example:{port}", "X-Forwarded-Host": "127.0.0.1:{port}"},
        {"Origin": "https://attacker.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://localhost:{port}"},
    ],
)
def test_requests_from_elsewhere_are_rejected(port: int, path: str, headers: dict[str, str]) -> None:
    """A Host that is not this server's, and an Origin that is not the page's own, get 403 and nothing else."""
    sent = {name: value.format(port=port) for name, value in headers.items()}

    status, content, _ = request(port, METHODS[path], path, b"png", **sent)

    assert (status, list(content)) == (403, ["error"])


def exchange(port: int, sent: bytes) -> bytes:
    """Return all that the server sends on a connection after these bytes, until it closes it."""
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        connection.sendall(sent)
        return b"".join(iter(lambda: connection.recv(65536), b""))


OWN = b"Host: 127.0.0.1:%d\r\n"
RAW = {
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "no Host, HTTP/1.0": (b"GET / HTTP/1.0\r\n\r\n", 403),
    "two Hosts": (b"GET / HTTP/1.1\r\n" + OWN + b"Host: attacker.example\r\n\r\n", 400),
    "two lengths": (b"POST /predict HTTP/1.1\r\n" + OWN + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\npng", 400),
    "chunked": (b"POST /predict HTTP/1.1\r\n" + OWN + b"Transfer-Encoding: chunked\r\n\r\n3\r\npng\r\n0\r\n\r\n", 411),
    "chunked, with a length": (
        b"POST /predict HTTP/1.1\r\n" + OWN + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        411,
    ),
    "a WebSocket": (b"GET / HTTP/1.1\r\n" + OWN + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 200),
    "not HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
    "an endless header": (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000, 400),
}


@pytest.mark.fault("request to the demo too long, cut short, or without a length")
@pytest.mark.parametrize(("sent", "status"), RAW.values(), ids=RAW)
def test_an_ambiguous_request_is_not_served(
    port: int, sent: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Two Hosts or lengths, chunks, and what is not HTTP get 4xx; nothing is upgraded; the terminal stays quiet."""
    answer = exchange(port, sent.replace(b"%d", str(port).encode()))

    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert caplog.text == ""


@pytest.mark.fault("request to the demo too long, cut short, or without a length")
@pytest.mark.parametrize(
    ("length", "status"),
    [
        ("", 411),
        ("-1", 400),
        ("1e3", 400),
        ("x", 400),
        (f"{server.MAX_BYTES + 1}", 413),
        ("9" * 20, 413),
        ("9" * 5000, 400),
    ],
)
def test_a_body_has_a_length_within_bounds(port: int, length: str, status: int) -> None:
    """A body without a length, with one that is not a number, or of more bytes than a picture may have is not read."""
    assert request(port, "POST", "/predict", None, Content_Length=length)[0] == status
    assert request(port, "POST", "/predict", b"x" * server.MAX_BYTES)[0] == 200


@pytest.mark.fault("request to the demo too long, cut short, or without a length")
@pytest.mark.parametrize("sent", [b"", b"POST /predict HTTP/1.1\r\nHos", b"POST /predict HTTP/1.1\r\n" + OWN])
def test_a_silent_client_holds_up_nobody(
    port: int, sent: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While one client is silent, others are answered; after the time allowed its connection is closed quietly."""
    monkeypatch.setattr(server, "REQUEST_TIMEOUT_S", 0.5)
    with socket.create_connection(("127.0.0.1", port), 30) as silent:
        started = time.monotonic()
        silent.sendall(
            sent.replace(b"%d", str(port).encode()) + (b"Content-Length: 9\r\n\r\n12" if OWN in sent else b"")
        )

        assert request(port, "POST", "/predict", b"png")[0] == 200
        assert silent.recv(1) == b""
        assert 0.4 < time.monotonic() - started < 10
    assert caplog.text == ""


@pytest.mark.parametrize(("body", "status"), [(b"nothing", 400), (b"broken", 500)])
def test_an_error_is_sent_to_the_page(port: int, body: bytes, status: int, caplog: pytest.LogCaptureFixture) -> None:
    """What is wrong with a drawing, or with a model, is a line that the page shows."""
    found, content, _ = request(port, "POST", "/predict", body)

    assert (found, list(content)) == (status, ["error"])
    assert caplog.text == ""


def test_a_bug_keeps_its_traceback(port: int, caplog: pytest.LogCaptureFixture) -> None:
    """An exception that nobody expected reaches the page as an error, and the terminal with its traceback."""
    status, content, _ = request(port, "POST", "/predict", b"bug")

    assert (status, list(content)) == (500, ["error"])
    until = time.monotonic() + 10
    while "RuntimeError: a bug" not in caplog.text and time.monotonic() < until:
        time.sleep(0.01)
    assert "RuntimeError: a bug" in caplog.text


@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("GET", "/nowhere"), ("PROPFIND", "/"), ("GET", "/models")])
@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "attacker.example"])
def test_every_answer_has_the_security_headers(port: int, method: str, path: str, host: str) -> None:
    """The policy allows sources by their hashes and no other inline code; types are not guessed."""
    *_, headers = request(port, method, path, Host=host.format(port=port))

    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert policy.count("'sha256-") == 2
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Server"] is None


def test_the_server_listens_on_this_machine_only() -> None:
    """The socket is bound to 127.0.0.1, not to every address, and nobody else can bind its port."""
    with server.listen(0) as listening:
        address, port = listening.getsockname()

        assert address == "127.0.0.1"
        with pytest.raises(PipelineError, match="in use"):
            server.listen(port)


SERVE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # as from a terminal
from pipeline import cli
from pipeline.inference import server
def main():
    with server.listen(0) as listening:
        print(listening.getsockname()[1], flush=True)
        server.create(listening, {}, lambda body: {}, bytes).run(sockets=[listening])
cli.run(main)
"""


@pytest.mark.fault("SIGTERM, Ctrl-C")
@pytest.mark.parametrize(
    ("number", "code", "said"), [(signal.SIGTERM, 143, ""), (signal.SIGINT, 130, "interrupted\n")], ids=["TERM", "INT"]
)
def test_a_signal_ends_it_whatever_clients_do(tmp_path: Path, number: int, code: int, said: str) -> None:
    """While clients have sent nothing or half a request, a signal ends the process soon, without a traceback."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", SERVE], cwd=tmp_path, env=environment, stdout=-1, stderr=-1, text=True
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        assert request(port, "GET", "/models")[0] == 200
        idle = socket.create_connection(("127.0.0.1", port))
        half = http.client.HTTPConnection("127.0.0.1", port)
        half.request("POST", "/predict", headers={"Content-Length": "9"})
        assert request(port, "GET", "/models")[0] == 200
        started = time.monotonic()
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
        seconds = time.monotonic() - started
        idle.close()
        half.close()

    assert (process.returncode, err) == (code, said)
    assert seconds < server.SHUTDOWN_TIMEOUT_S


def test_the_page_loads_nothing_from_elsewhere() -> None:
    """The page has no address of another host, no handler or style in an attribute, and a name for each canvas."""

    class Attributes(HTMLParser):
        found: list[tuple[str, dict[str, str | None]]]

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.found.append((tag, dict(attrs)))

    text = server.PAGE.read_text(encoding="utf-8")
    parser = Attributes()
    parser.found = []
    parser.feed(text)

    assert set(re.findall(r"\w+://[^\s'\"]+", text)) == {"http://www.w3.org/2000/svg"}
    names = {name for _, attributes in parser.found for name in attributes}
    assert not {name for name in names if name.startswith("on")} | names & {"style", "src"}
    canvases = [attributes for tag, attributes in parser.found if tag == "canvas"]
    assert len(canvases) == 2
    assert all(attributes["aria-label"] for attributes in canvases)
