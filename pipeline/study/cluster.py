"""Trainings on Dask's workers: a local cluster, or the one that the user has.

A worker needs this package and nothing else: the data is sent to it, and code and library versions are held against
those of the recipe. Each training is a process of its own, which ends with its worker.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from pipeline.errors import UnavailableError
from pipeline.study.plan import Trajectory

# Read by distributed at its import, here and in its workers: what matters of its warnings is said in our own words.
os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "critical")

from distributed import Client, Future, KilledWorker, LocalCluster, as_completed, get_worker
from distributed.client import FutureCancelledError
from distributed.diagnostics.plugin import UploadFile

ADDRESS = "DASK_SCHEDULER_ADDRESS"
PATIENCE = 10.0  # seconds for a scheduler to answer
# Exit codes of a training that would fail in the same way again.
_FINAL = (1, 2)
# More tries of a training that was killed from outside, which memory that ran out looks like.
_RETRIES = 2
# So many trainings per thread are handed out at once: one to do and one to go on with.
_AHEAD = 2
_KILLED = "killed again and again, with no other training beside it; is the worker's memory too small?"


@dataclass(frozen=True)
class Outcome:
    """What came of a training: its results, or in `error` why there are none."""

    trajectory: Trajectory
    results: Sequence[Mapping[str, Any]]
    error: str


@contextmanager
def connected(address: str | None, workers: int) -> Iterator[Client]:
    """Yield a client of the scheduler at `address`, or of a new local cluster of `workers` processes without one.

    A `tls://` address takes its certificates from Dask's configuration (`distributed.comm.tls`).

    Raises:
        UnavailableError: No scheduler answers there.
    """
    if address:
        with _client(address) as client:
            yield client
        return
    # Port 0: several studies on one machine, each with a server of its own.
    local = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "memory_limit": None}
    with LocalCluster(n_workers=workers, threads_per_worker=1, **local) as cluster, Client(cluster) as client:
        yield client
        # A cluster cannot be closed while it starts a worker anew in place of one that was killed.
        with suppress(TimeoutError):
            client.wait_for_workers(workers, timeout=PATIENCE)


def _client(address: str) -> Client:
    try:
        return Client(address, timeout=PATIENCE)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        why = " ".join(str(error).split()) or type(error).__name__
        text = f"no Dask scheduler answers ({why[:200]}); start it, or unset {ADDRESS} to work on this machine"
        raise UnavailableError(f"{address}: {text}") from None


def dashboard(client: Client) -> str:
    """Return the address of the scheduler's dashboard, which bokeh draws; empty where that is not installed."""
    return str(client.dashboard_link) if importlib.util.find_spec("bokeh") else ""


def outcomes(
    client: Client, trajectories: Iterable[Trajectory], data: Path, sha256: str, work: Callable[..., Any] | None = None
) -> Iterator[Outcome]:
    """Yield what comes of each training as soon as it has ended, in whatever order; `data` is the npz of that sum.

    Few are handed out at a time, so that the number of `trajectories` costs no memory. A training whose worker dies is
    done again by another one. `work` stands in for the training in measurements of the engine itself.

    Raises:
        UnavailableError: The scheduler was lost.
    """
    name = f"{sha256}.npz"
    _send(client, data, name)
    suspects = []
    for trajectory, future in _ended(_submitter(client, work or train, name), trajectories, lambda: _width(client)):
        outcome = _outcome(trajectory, future)
        if outcome is None:
            suspects.append(trajectory)
        else:
            yield outcome
    # Dask blames all that were at a worker when it died. Alone, a training can only have killed it itself.
    for trajectory, future in _ended(_submitter(client, work or train, name, "alone"), suspects, lambda: 1):
        yield _outcome(trajectory, future) or Outcome(trajectory, [], _KILLED)


def _ended(
    submit: Callable[[Trajectory], Future], trajectories: Iterable[Trajectory], width: Callable[[], int]
) -> Iterator[tuple[Trajectory, Future]]:
    """Yield trainings as they end, while `width` of them are handed out."""
    waiting, running = iter(trajectories), dict[Future, Trajectory]()
    ended = as_completed()

    def hand_out() -> None:
        for trajectory in islice(waiting, max(0, width() - len(running))):
            future = submit(trajectory)
            running[future] = trajectory
            ended.add(future)

    with _lost():
        hand_out()
    for future in ended:
        yield running.pop(future), future
        with _lost():
            hand_out()


def _width(client: Client) -> int:
    return int(_AHEAD * max(1, sum(client.nthreads().values())))


def _send(client: Client, data: Path, name: str) -> None:
    # A plugin reaches the workers that come later, or come back, too.
    plugin = UploadFile(str(data), load=False)
    plugin.filename = name
    client.register_plugin(plugin, name=name)


def _submitter(client: Client, work: Callable[..., Any], data: str, *marks: str) -> Callable[[Trajectory], Future]:
    def submit(trajectory: Trajectory) -> Future:
        replicates = [asdict(replicate) for replicate in trajectory.replicates]
        recipes = (replicate.recipe[:16] for replicate in trajectory.replicates)
        key = "-".join([trajectory.name, *recipes, *marks])
        return client.submit(work, replicates, data, key=key, retries=_RETRIES, pure=False)

    return submit


@contextmanager
def _lost() -> Iterator[None]:
    try:
        yield
    except (OSError, FutureCancelledError):
        raise UnavailableError("the Dask scheduler was lost; what had ended is kept: run again for the rest") from None


def _outcome(trajectory: Trajectory, future: Future) -> Outcome | None:
    """Return what came of a training that has ended; None if its worker died time and again."""
    with _lost():
        try:
            answer = future.result()
        except Exception as error:
            # Else it is not what the training raised: the way to it is lost.
            if future.status != "error":
                raise
            killed = isinstance(error, KilledWorker)
            return None if killed else Outcome(trajectory, [], f"{type(error).__name__}: {error}")
    return Outcome(trajectory, answer.get("results", []), answer.get("error", ""))


def train(replicates: list[dict[str, Any]], data: str) -> dict[str, Any]:
    """On a worker: do one training and return `results`, or `error` if it would fail in the same way again.

    Raises:
        RuntimeError: It ended for a reason that may pass.
    """
    folder = Path(get_worker().local_directory)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        output = Path(scratch) / "results.json"
        words = ("-m", "pipeline.study.replicate", "--data", str(folder / data), "--output", str(output))
        code, said = _run([sys.executable, *words], json.dumps(replicates))
        if code == 0:
            return dict(json.loads(output.read_bytes()))
    last = said.strip().rpartition("\n")[2]
    if code in _FINAL and last.startswith("error: "):
        return {"error": last.removeprefix("error: ")}
    raise RuntimeError(f"exit code {code}: {said.strip()[-500:]}")


def _run(command: list[str], line: str) -> tuple[int, str]:
    """Return exit code and output of a program that is given one line; its input stays open as long as this process."""
    paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    with tempfile.TemporaryFile("w+") as said:
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=said, stderr=subprocess.STDOUT, text=True, env=environment
        ) as process:
            print(line, file=process.stdin, flush=True)
            code = process.wait()
        said.seek(0)
        return code, said.read()
