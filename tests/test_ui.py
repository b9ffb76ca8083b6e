"""`make ui`: when the link is printed, and how it ends; MLflow's pages are looked at in tests/tracking/test_ui.py."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.local_server import free_port

ROOT = Path(__file__).parents[1]
# Stands in for MLflow's server: it answers after a while, and writes how it was called.
SERVER = """
import os, pathlib, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer
store = os.environ["MLFLOW_BACKEND_STORE_URI"], os.environ["MLFLOW_REGISTRY_STORE_URI"]
pathlib.Path("called").write_text(" ".join([*sys.argv[1:], *store]))
class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        pathlib.Path("answered").touch()
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_): pass
time.sleep(0.5)
{}
HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Answer).serve_forever()
"""
SYNC = (
    'print("cnn: complete in MLflow")\nprint("current runs: http://127.0.0.1/#/it")\nprint("champion: none")\nexit({})'
)

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def port() -> int:
    """Return a port of this machine at which nobody listens."""
    return int(free_port())


@pytest.fixture
def start(tmp_path: Path, port: int) -> Iterator[Start]:
    """Return a function that starts the command with stand-ins for MLflow and for the sync before."""
    started = []

    def begin(server: str = "", code: int = 0, **settings: str) -> subprocess.Popen[str]:
        stand_ins = {
            "mlflow/__init__.py": "",
            "mlflow/__main__.py": SERVER.format(server),
            "sync.py": SYNC.format(code),
        }
        for name, content in stand_ins.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(content)
        # Only the start of the program differs: which module the sync is.
        program = "from pipeline import cli, ui; ui.SYNC = 'sync'; cli.run(ui.main)"
        command = [sys.executable, "-c", program, "--port", str(port)]
        own = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
        environment = own | {"PYTHONPATH": f"{tmp_path}:{ROOT}"} | settings
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.terminate()
        process.communicate(timeout=60)


def test_the_link_comes_last_once_the_pages_answer(start: Start, tmp_path: Path) -> None:
    """What sync says comes first; the server gets a local store and logs no requests; Ctrl-C ends both with 130."""
    process = start()
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(3)]
    answered = (tmp_path / "answered").exists()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)

    assert lines == ["cnn: complete in MLflow\n", "champion: none\n", "current runs: http://127.0.0.1/#/it\n"]
    assert answered
    assert (out, err, process.returncode) == ("", "interrupted\n", 130)
    called = (tmp_path / "called").read_text()
    assert called.startswith("ui --host 127.0.0.1 --port ")
    assert called.endswith(" --uvicorn-opts --log-level warning sqlite:///mlflow.db sqlite:///mlflow.db")


def test_a_server_of_ones_own_is_not_started_twice(start: Start, tmp_path: Path) -> None:
    """Where the store is a server, the link is all that is to do."""
    out, _ = start(MLFLOW_TRACKING_URI="http://127.0.0.1:9").communicate(timeout=60)

    assert out.splitlines()[-1] == "current runs: http://127.0.0.1/#/it"
    assert not (tmp_path / "called").exists()


@pytest.mark.fault("`make ui`: the port is taken, the server ends, or the sync fails")
@pytest.mark.parametrize("fault", ["port", "server", "sync"])
def test_what_goes_wrong_is_its_end(start: Start, port: int, fault: str, tmp_path: Path) -> None:
    """A port that answers already is named with another one; a server or a sync that fails gives its exit code."""
    with socket.socket() as other:
        if fault == "port":
            (tmp_path / "health").touch()
            command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]
            there = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while other.connect_ex(("127.0.0.1", port)):
                assert there.poll() is None
        process = start("exit(7)" if fault == "server" else "", 3 if fault == "sync" else 0)
        out, err = process.communicate(timeout=60)
        if fault == "port":
            there.kill()
            there.wait()

    assert process.returncode == {"port": 1, "server": 7, "sync": 3}[fault]
    assert ("another server answers there" in err) == (fault == "port")
    assert "current runs" not in out
