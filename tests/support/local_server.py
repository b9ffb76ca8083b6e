"""HTTP servers on this machine: programs that serve, and one whose handler a test gives."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import requests

from tests.support import small
from tests.support.processes import wait_until


def free_port() -> str:
    """Return a port of this machine's own address at which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def _answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=5).ok
    except requests.RequestException:
        return False


@contextmanager
def serving(
    command: Sequence[str], health: str, log: Path, folder: Path | None = None, /, **more: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program with `more` in its environment, from when it answers at an address on; its group ends with it."""
    environment = small.environment() | more
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        # On a busy machine MLflow's server takes minutes.
        wait_until(lambda: _answers(health) or process.poll() is not None, 300)
        assert process.poll() is None, log.read_text()
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


@contextmanager
def mlflow_pages(store: str, folder: Path) -> Iterator[str]:
    """Serve MLflow's pages of a store from a folder, which gets the log, and yield their address."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "ui", "--port", port, "--workers", "1", "--backend-store-uri", store]
    with serving(command, f"{address}/health", folder / "log", folder, MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false"):
        yield address


class LocalServer(ThreadingHTTPServer):
    """Listens on a free port; many tests have their client close a connection on which an answer is still to come."""

    daemon_threads = True

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print the traceback of a fault in the test's handler, and nothing if the client has closed the connection."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)
