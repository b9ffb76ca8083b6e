"""Programs run and measured: seconds, peak memory, what they print; and the machine they ran on."""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import Any

from pipeline.machine import cpuinfo, memory, processor

ROOT = Path(__file__).parents[1]
_PACKAGES = ("keras", "tensorflow-cpu", "mlflow", "dvc")
_VECTORS = {"avx2", "avx512f", "avx512_bf16", "amx_bf16"}


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return repeated measurements in short: their median, smallest and largest, and how many there were."""
    return {"median": statistics.median(values), "smallest": min(values), "largest": max(values), "count": len(values)}


@dataclass(frozen=True)
class Run:
    """A program that ended well: seconds from start to end, the most memory (MiB) it held, its output and errors.

    The system counts a program from its start as a copy of this one: memory below what this process holds is not seen.
    """

    seconds: float
    peak: float
    output: str
    errors: str

    @property
    def answer(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.output)


def run(*command: str, folder: Path = ROOT, **environment: str) -> Run:
    """Run one program to its end.

    Raises:
        RuntimeError: It failed; the message is what it wrote to stderr.
    """
    return side_by_side([command], folder, **environment)[0]


def side_by_side(commands: Sequence[Sequence[str]], folder: Path = ROOT, **environment: str) -> list[Run]:
    """Run programs at once, and return them in the order of their commands.

    Raises:
        RuntimeError: One of them failed; the message is what it wrote to stderr.
    """
    foreign = ("MLFLOW_", "DVC_", "OMP_", "TF_", "PYTHON")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    kept |= {"PATH": f"{Path(sys.executable).parent}:{kept['PATH']}", "DVC_NO_ANALYTICS": "1", **environment}
    started = time.perf_counter()
    with ExitStack() as stack:
        # Files: a pipe holds little, and a program waits while it is full.
        streams = [[stack.enter_context(tempfile.TemporaryFile("w+")) for _ in range(2)] for _ in commands]
        processes = [
            stack.enter_context(subprocess.Popen(command, cwd=folder, env=kept, stdout=output, stderr=errors))
            for command, (output, errors) in zip(commands, streams, strict=True)
        ]
        ends = [_end(process, started) for process in processes]
        for stream in chain.from_iterable(streams):
            stream.seek(0)
        texts = [[stream.read() for stream in pair] for pair in streams]
    for process, (_, errors) in zip(processes, texts, strict=True):
        if process.returncode:
            raise RuntimeError(f"{process.args}: exit {process.returncode}: {errors[-2000:]}")
    return [Run(*end, *pair) for end, pair in zip(ends, texts, strict=True)]


def _end(process: subprocess.Popen[bytes], started: float) -> tuple[float, float]:
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    return seconds, usage.ru_maxrss / 1024


def machine(python: str) -> dict[str, Any]:
    """Return what the numbers depend on: processor, memory, versions; `python` is the one that has PyTorch."""
    torch = run(python, "-c", "import torch; print(torch.__version__)").output.strip()
    return {
        "processor": processor(),
        "vectors": vectors(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory() / 2**30),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in _PACKAGES} | {"torch": torch},
    }


def vectors() -> list[str]:
    """Return the vector instructions of this processor that TensorFlow would use."""
    return sorted(_VECTORS & set(cpuinfo()["flags"].split()))


def commit() -> str:
    """Return the revision that is measured, with a plus sign if files differ from it."""
    return run("git", "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*").output.strip()
