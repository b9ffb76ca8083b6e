"""What a Dask worker does: it hands training runs to fork servers, one for each of its threads, and kept for the next.

A fork server ends with its worker, and the training run with its fork server.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from queue import Empty, LifoQueue
from typing import Any

from distributed import get_worker

from pipeline.training import recipe

# What a fork server runs.
PROGRAM = ("-m", "pipeline.trials.forkserver")
# Exit codes of a training run that would fail in the same way again.
_FINAL = (1, 2)
# What a fork server's answer starts with; the exit code of the run follows.
_ANSWER = "exit code: "
# Without these, NumPy and Arrow start threads when they are imported. They compute nothing here.
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}


def train(replicates: list[dict[str, Any]], data: str, code: str | None = None) -> dict[str, Any]:
    """Do one training run on a worker; return `results` and `seconds`, or its `error` if it would fail so again.

    `data` and `code` are the names of files that were sent here: an npz, and an archive of the package that trains; by
    default this one does.

    Raises:
        RuntimeError: It ended for a reason that may be temporary.
    """
    folder = Path(get_worker().local_directory)
    with tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as scratch:
        results = Path(scratch) / "results.json"
        started = time.monotonic()
        exit_code, output = _run(folder / data, folder / code if code else None, replicates, results)
        if exit_code == 0:
            return {**json.loads(results.read_bytes()), "seconds": time.monotonic() - started}
    last = output.strip().rpartition("\n")[2]
    if exit_code in _FINAL and last.startswith("error: "):
        return {"error": last.removeprefix("error: ")}
    raise RuntimeError(f"exit code {exit_code}: {output.strip()[-500:]}")


def _run(data: Path, code: Path | None, replicates: list[dict[str, Any]], results: Path) -> tuple[int, str]:
    ingredients = replicates[0]["ingredients"]
    server = _server({"code": code} | {key: ingredients[key] for key in recipe.IMPLEMENTATION})
    answer = server.run(replicates, data, results)
    if server.ended:
        server.close()
    else:
        _idle.put(server)
    return answer


class ForkServer:
    """A process that does training runs one at a time, all with the same code, version of results and libraries.

    These are its `purpose`. It has to be another process when they are others, as after an update of a worker's disk.
    """

    def __init__(self, purpose: Mapping[str, Any]) -> None:
        self.purpose = purpose
        package = purpose.get("code") or Path(__file__).parents[2]
        paths = [str(package), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            # -P: otherwise the code in this folder would come first.
            [sys.executable, "-P", *PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=os.environ | _ONE_THREAD | {"PYTHONPATH": os.pathsep.join(paths)},
        )

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def run(self, replicates: list[dict[str, Any]], data: Path, results: Path) -> tuple[int, str]:
        """Do one training run; return its exit code and output, or those of the process if that ended meanwhile."""
        output = results.with_name("output")
        paths = {"data": str(data), "results": str(results), "output": str(output)}
        request = {"replicates": replicates, **paths}
        with suppress(BrokenPipeError):
            print(json.dumps(request), file=self._process.stdin, flush=True)
        # Before the answer, libraries may print warnings; the reason why a process ended comes instead of an answer.
        printed = ""
        for line in self._process.stdout or ():
            if line.startswith(_ANSWER):
                return int(line.removeprefix(_ANSWER)), _text(output)
            printed += line
        return self._process.wait(), printed + _text(output)

    def close(self) -> None:
        """End the process, which does no run now."""
        self._process.kill()
        with suppress(BrokenPipeError), self._process:
            pass


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


_idle: LifoQueue[ForkServer] = LifoQueue()


def _server(purpose: Mapping[str, Any]) -> ForkServer:
    """Return a fork server that nothing else uses."""
    while True:
        try:
            server = _idle.get_nowait()
        except Empty:
            return ForkServer(purpose)
        if server.purpose == purpose and not server.ended:
            return server
        server.close()
