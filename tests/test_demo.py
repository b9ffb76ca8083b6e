"""The demo: what its server answers to whom, how the program starts and ends, and its page in a browser."""

from __future__ import annotations

import http.client
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image, ImageDraw

from pipeline import demo, params
from pipeline.errors import InputError, PipelineError
from pipeline.inference import server
from pipeline.training import model_file, networks
from tests.support import browser

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
ABOUT = {"trained": ["cnn"], "missing": [], "how": "`make repro`"}


def reply(body: bytes) -> dict[str, Any]:
    """Answer with how long the body is, or fail as it says."""
    if body == b"nothing":
        raise InputError("the drawing: shows nothing")
    if body == b"broken":
        raise PipelineError("cnn: answers nan")
    return {"length": len(body)}


@pytest.fixture(scope="module")
def running() -> Iterator[server.Server]:
    """Return a server without models, at work in a thread."""
    with server.Server(0) as listening:
        thread = threading.Thread(target=listening.serve, args=(ABOUT, reply))
        thread.start()
        yield listening
        listening.shutdown()
        thread.join()


def ask(port: int, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any, Any]:
    """Return the status, the body and the headers of an answer; a header given as "" is not sent."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    given = {"Host": f"127.0.0.1:{port}", "Content-Length": str(len(body or b""))} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in given.items():
        if value:
            connection.putheader(name, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    is_json = answer.headers["Content-Type"] == "application/json" and content
    return answer.status, json.loads(content) if is_json else content, answer.headers


def test_the_page_its_models_and_answers_are_served(running: server.Server) -> None:
    """The page, what it is told of the models, and the answer to a drawing each have their path."""
    port = running.server_port

    assert ask(port, "GET", "/")[1] == server.PAGE.read_bytes()
    assert ask(port, "GET", "/?again")[0] == 200
    assert ask(port, "GET", "/models")[:2] == (200, ABOUT)
    assert ask(port, "POST", "/answer", b"png")[:2] == (200, {"length": 3})
    assert ask(port, "POST", "/answer", b"png", Host=f"localhost:{port}", Origin=f"http://localhost:{port}")[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/", 405),
        ("HEAD", "/", 405),
        ("DELETE", "/models", 405),
        ("OPTIONS", "/answer", 405),
        ("GET", "/answer", 405),
        ("GET", "/params.yaml", 404),
        ("GET", "/../params.yaml", 404),
        ("POST", "/answer/", 404),
    ],
)
def test_other_paths_and_methods_are_refused(running: server.Server, method: str, path: str, status: int) -> None:
    """What is not there is 404, what is there for another method 405 with that method."""
    found, _, headers = ask(running.server_port, method, path)

    assert found == status
    assert (headers["Allow"] is not None) == (status == 405)


@pytest.mark.fault("another web page, or a name that points here, talks to the demo")
@pytest.mark.parametrize("path", ["/", "/models", "/answer"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "attacker.example:{port}"},
        {"Host": "127.0.0.1.attacker.example:{port}"},
        {"Host": "127.0.0.1:1"},
        {"Host": "127.0.0.1"},
        {"Host": ""},
        {"Origin": "https://attacker.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://localhost:{port}"},
    ],
)
def test_requests_of_others_are_refused(running: server.Server, path: str, headers: dict[str, str]) -> None:
    """A Host that is not this machine's, and an Origin that is not the page's own, get 403 and nothing else."""
    port = running.server_port
    sent = {name: value.format(port=port) for name, value in headers.items()}

    status, content, _ = ask(port, server.ROUTES[path], path, b"png", **sent)

    assert (status, list(content)) == (403, ["error"])


@pytest.mark.fault("request to the demo too long, cut short, or without a length")
@pytest.mark.parametrize(
    ("length", "status"),
    [("", 411), ("-1", 400), ("1e3", 400), ("x", 400), ("1000001", 413), ("9" * 5000, 413)],
)
def test_a_body_has_a_length_within_bounds(running: server.Server, length: str, status: int) -> None:
    """A body without a length, with none that is a number, or of more than a megabyte is not read."""
    assert ask(running.server_port, "POST", "/answer", None, Content_Length=length)[0] == status
    assert ask(running.server_port, "POST", "/answer", b"x" * server.MAX_BYTES)[0] == 200


@pytest.mark.fault("request to the demo too long, cut short, or without a length")
def test_a_body_that_does_not_come_holds_up_nobody(
    running: server.Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """While one browser is silent, others are answered; after a while it is given up without a word."""
    monkeypatch.setattr(server._Handler, "timeout", 0.5)
    silent = http.client.HTTPConnection("127.0.0.1", running.server_port, timeout=10)
    silent.request("POST", "/answer", headers={"Content-Length": "9"})

    assert ask(running.server_port, "POST", "/answer", b"png")[0] == 200
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        silent.getresponse()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("body", "status"), [(b"nothing", 400), (b"broken", 500)])
def test_an_error_is_told_to_the_page(running: server.Server, body: bytes, status: int) -> None:
    """What is wrong with a drawing, or with a model, is a line that the page shows."""
    found, content, _ = ask(running.server_port, "POST", "/answer", body)

    assert (found, list(content)) == (status, ["error"])


@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("GET", "/nowhere"), ("PROPFIND", "/")])
def test_every_answer_has_the_headers_that_bind_a_browser(running: server.Server, method: str, path: str) -> None:
    """The policy names sources by their sums and allows no inline code beside; types are not guessed."""
    *_, headers = ask(running.server_port, method, path)

    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert policy.count("'sha256-") == 2
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_the_server_listens_on_this_machine_alone(running: server.Server) -> None:
    """The socket is bound to 127.0.0.1, not to every address."""
    assert running.socket.getsockname()[0] == "127.0.0.1"


def test_the_page_asks_nobody_else() -> None:
    """The page has no address of another host, no handler and no style in an attribute, and a name for each canvas."""

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
    assert all(attributes["aria-label"] for attributes in canvases)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with params of three small models, two of which have their files."""
    folder = tmp_path_factory.mktemp("demo")
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    small = content["models"]["mlp_rmsprop"] | {"network": {"name": "mlp", "units": [4], "dropout": 0.2}}
    content["models"] = dict.fromkeys(("one", "two", "three"), small)
    (folder / "params.yaml").write_text(yaml.dump(content))
    values = params.load(folder / "params.yaml")
    for seed, name in enumerate(("one", "two")):
        network = networks.build(values.models[name].network, seed=seed, precision="float32")
        model_file.save(folder / "models" / f"{name}.keras", network, {"recipe": "r"})
    return folder


def start(folder: Path, port: int) -> subprocess.Popen[str]:
    """Start the demo as from a terminal, where Ctrl-C is not ignored."""
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); from pipeline import cli, demo; "
    )
    line = [sys.executable, "-c", f"{code}sys.argv[1:] = ['--port', '{port}']; cli.run(demo.main)"]
    pipe = subprocess.PIPE
    return subprocess.Popen(line, cwd=folder, env=ENVIRONMENT, stdout=pipe, stderr=pipe, text=True)


@contextmanager
def demonstrated(folder: Path) -> Iterator[tuple[subprocess.Popen[str], list[str], int]]:
    """Yield a demo that has started, the lines that it printed, and its port."""
    with start(folder, 0) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline()]
            while lines[-1] and not (found := re.match(r"http://127\.0\.0\.1:(\d+)/ ", lines[-1])):
                lines.append(process.stdout.readline())
            assert found, process.stderr.read()
            yield process, lines, int(found[1])
        finally:
            process.kill()


def drawing() -> bytes:
    """Return a PNG with a stroke, black on nothing, as the page's canvas makes it."""
    image = Image.new("RGBA", (560, 560))
    ImageDraw.Draw(image).line((250, 80, 300, 480), (0, 0, 0, 255), 44)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@pytest.mark.fault("SIGTERM, Ctrl-C")
def test_trained_models_answer_and_ctrl_c_ends_it(trained: Path) -> None:
    """Each trained model answers a drawing, also several at once; those not trained are told; Ctrl-C ends with 130."""
    with demonstrated(trained) as (process, lines, port):
        about = ask(port, "GET", "/models")[1]
        answers: list[Any] = []
        threads = [
            threading.Thread(target=lambda: answers.append(ask(port, "POST", "/answer", drawing()))) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        blank = ask(port, "POST", "/answer", b"no picture")

        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)

    assert lines[0].startswith("not trained: three; `make repro` trains all models")
    assert (about["trained"], about["missing"]) == (["one", "two"], ["three"])
    assert [status for status, *_ in answers] == [200] * 4
    assert all(content == answers[0][1] for _, content, _ in answers)
    content = answers[0][1]
    assert [answer["model"] for answer in content["answers"]] == ["one", "two"]
    for answer in content["answers"]:
        assert sum(answer["probabilities"]) == pytest.approx(1, abs=1e-5)
        assert answer["probabilities"][answer["digit"]] == max(answer["probabilities"])
    assert (len(content["pixels"]), max(content["pixels"])) == (784, 255)
    assert blank[:2] == (400, {"error": "the drawing: neither a PNG nor a JPEG file"})
    assert (process.returncode, out, err) == (130, "", "interrupted\n")


@pytest.mark.fault("SIGTERM, Ctrl-C")
def test_sigterm_ends_it(tmp_path: Path) -> None:
    """While it serves, SIGTERM ends the process with 143, without a traceback."""
    body = (
        "from pipeline import cli\nfrom pipeline.inference import server\n"
        "def main():\n"
        "    with server.Server(0) as running: print('ready', flush=True); running.serve({}, dict)\n"
        "cli.run(main)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", body], cwd=tmp_path, env=ENVIRONMENT, stdout=-1, stderr=-1, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.1)
        process.terminate()
        _, err = process.communicate(timeout=20)

    assert (process.returncode, err) == (143, "")


def test_without_trained_models_there_is_no_demo(tmp_path: Path) -> None:
    """One line says that no model is trained, what trains them and how long that takes; the exit code is 2."""
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())

    with start(tmp_path, 0) as process:
        out, err = process.communicate(timeout=60)

    how = "`make repro` trains all models, in 10 to 30 minutes on two cores"
    assert (process.returncode, out) == (2, "")
    assert err == f"error: models: no model of params.yaml is trained; {how}\n"


@pytest.mark.fault("port of the demo in use")
def test_a_port_in_use_is_told(running: server.Server, trained: Path) -> None:
    """On a port that another demo has, it ends with 1 and a line that names the option; no model is loaded before."""
    with start(trained, running.server_port) as process:
        out, err = process.communicate(timeout=60)

    assert (process.returncode, out) == (1, "")
    assert err == (f"error: 127.0.0.1:{running.server_port}: Address already in use; choose another port with --port\n")


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_what_is_no_port_is_refused(
    port: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A port is a number from 0 to 65535."""
    monkeypatch.setattr(sys, "argv", ["demo", "--port", port])

    with pytest.raises(SystemExit) as ended:
        demo.main()

    assert ended.value.code == 2
    assert "argument --port" in capsys.readouterr().err


SEVEN = [(0.25, 0.2), (0.5, 0.2), (0.75, 0.2), (0.6, 0.5), (0.45, 0.85)]


@pytest.mark.slow
@browser.needs_browser
@pytest.mark.parametrize(
    ("size", "scheme", "pointer"),
    [((1280, 800), "light", "mouse"), ((1280, 800), "dark", "pen"), ((360, 740), "light", "touch")],
    ids=["light", "dark", "narrow"],
)
def test_a_digit_drawn_in_a_browser_is_answered(
    trained: Path, tmp_path: Path, size: tuple[int, int], scheme: str, pointer: str
) -> None:
    """Drawn by mouse, pen or finger, a digit gets the server's answers as bars; Clear takes them away."""
    with demonstrated(trained) as (_, _, port), browser.opened(tmp_path / "profile") as window:
        window.view(*size, scheme)
        window.open(f"http://127.0.0.1:{port}/")
        window.wait("document.querySelectorAll('section').length == 2")
        left, top, side = window.run(
            "const box = document.getElementById('paper').getBoundingClientRect();return [box.left, box.top, box.width]"
        )
        window.drag([(left + side * x, top + side * y) for x, y in SEVEN], pointer)
        window.wait("document.querySelectorAll('.first').length == 2")
        shown = window.run(
            "return [...document.querySelectorAll('section')].map(s => [s.dataset.model,"
            " s.querySelector('.digit').textContent, s.querySelectorAll('tr').length, "
            " s.querySelector('.first').rowIndex])"
        )
        time.sleep(0.3)  # the bars grow
        window.screenshot(tmp_path / "page.png")
        width = window.run("return document.documentElement.scrollWidth")
        requests = window.run("return performance.getEntriesByType('resource').map(entry => entry.name)")
        missing = window.run("return document.getElementById('missing').textContent")
        said = window.run("return document.getElementById('status').textContent")
        window.run("document.getElementById('clear').click()")
        cleared = window.run("return document.querySelectorAll('.first').length")
        complaints = window.complaints()

    assert [(name, rows) for name, _, rows, _ in shown] == [("one", 10), ("two", 10)]
    assert all(int(digit) == first for _, digit, _, first in shown)
    assert all(digit in said for _, digit, _, _ in shown)
    assert missing.startswith("Not trained: three; make repro trains all models")
    assert cleared == 0
    assert width <= size[0]
    assert {request.rpartition("/")[0] for request in requests} <= {f"http://127.0.0.1:{port}"}
    assert complaints == []
    assert (tmp_path / "page.png").stat().st_size > 5000
