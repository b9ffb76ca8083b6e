"""MLflow's pages of the runs in this folder, served on this machine; the link to the current ones comes last."""

import argparse
import os
import signal
import subprocess
import sys
import time
from contextlib import closing, suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException

from pipeline import cli
from pipeline.errors import PipelineError

SYNC = "pipeline.sync"
_PAUSE_S = 0.2
# Of the access log nobody reads a line; errors of the server are said.
_QUIET = ("--uvicorn-opts", "--log-level warning")


def _sync() -> str:
    """Bring MLflow up to date, print what that says, and return its line with the link to the current runs, or "".

    Raises:
        SystemExit: It failed, and has said why.
    """
    link = ""
    with subprocess.Popen([sys.executable, "-m", SYNC], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            if line.startswith("current runs: "):
                link = line.strip()
            else:
                print(line, end="", flush=True)
    if process.returncode:
        raise SystemExit(process.returncode)
    return link


def _answers(port: int) -> bool:
    with closing(HTTPConnection("127.0.0.1", port, timeout=5)) as connection, suppress(OSError, HTTPException):
        connection.request("GET", "/health")
        return connection.getresponse().status == HTTPStatus.OK
    return False


def serve(store: str, port: int, link: str) -> int:
    """Serve the pages of a store without a server, print the link once they answer, and return the exit code.

    Raises:
        PipelineError: Another program answers at the port.
    """
    if _answers(port):
        raise PipelineError(f"127.0.0.1:{port}: another server answers there", fix=f"`make ui PORT={port + 1}`")
    command = [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    # Python's warnings are about the code of MLflow's server, of which its developers know.
    set_here = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PYTHONWARNINGS": "ignore"}
    # Not on the command line, which every user of the machine can see. Without the second, MLflow says that the first
    # is its registry, too.
    set_here |= {"MLFLOW_BACKEND_STORE_URI": store, "MLFLOW_REGISTRY_STORE_URI": store}
    # In a group of its own: Ctrl-C, which it would answer with a traceback, is ours, and its worker ends with it.
    with subprocess.Popen([*command, *_QUIET], env=os.environ | set_here, start_new_session=True) as server:
        try:
            while server.poll() is None and not _answers(port):
                time.sleep(_PAUSE_S)
            if server.poll() is None:
                print(link or f"no current runs: http://127.0.0.1:{port}/", flush=True)
            return server.wait()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)


def main() -> int:
    """Show the runs in a browser: add to MLflow what it is missing, serve its pages, print the link to them."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.ui", description=main.__doc__)
    parser.add_argument("--port", type=int, default=5000, help="on this machine (default: %(default)s)")
    port = parser.parse_args().port
    os.environ["MLFLOW_PORT"] = str(port)
    link, store = _sync(), os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    if store.lower().startswith("http"):
        print(link)
        return 0
    return serve(store, port, link)


if __name__ == "__main__":
    cli.run(main)
