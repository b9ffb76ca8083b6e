"""Training runs on Dask workers: a local cluster, or one that the user provides.

A worker needs this package and nothing else: the data is sent to it, and its code and library versions are checked
against those of the recipe. What it does is in `worker`.
"""

import importlib.util
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from multiprocessing import resource_tracker
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pipeline import cli, errors
from pipeline.errors import UnavailableError
from pipeline.trials.plan import Trajectory

# Read by distributed when it is imported, here and in its workers; what matters in its warnings we report ourselves.
os.environ["DASK_LOGGING__DISTRIBUTED"] = "critical"

import dask
from distributed import Client, Future, KilledWorker, LocalCluster, as_completed
from distributed.client import FutureCancelledError
from distributed.diagnostics.plugin import UploadFile
from tornado.ioloop import PeriodicCallback

from pipeline.trials import worker

ADDRESS = "DASK_SCHEDULER_ADDRESS"
CONNECT_TIMEOUT_S = 10.0  # seconds for a scheduler to answer
# Otherwise Dask samples the stacks of its workers' threads and the delay of its event loops many times a second: time
# that training runs can use, and nothing is seen of them, as they are other processes.
_UNWATCHED = {"distributed.worker.profile.enabled": False, "distributed.admin.tick.interval": "1s"}
# Seconds between two looks for workers of a local cluster that have to be replaced.
_REPLACE_S = 5.0
# Retries of a training run that was killed from outside, as the kernel does when memory runs out.
_RETRIES = 2
# Training runs submitted per thread: one to work on and one to continue with.
_AHEAD = 2
_KILLED = "killed repeatedly, even when it ran alone; does the worker have enough memory?"


@dataclass(frozen=True)
class TrainingOutcome:
    """The results of a training run and its seconds, or in `error` the reason why there are none."""

    trajectory: Trajectory
    results: Sequence[Mapping[str, Any]]
    error: str
    seconds: float = 0.0


def connected(address: str | None, workers: int) -> AbstractContextManager[Client]:
    """Return a client of the scheduler at `address`, or of a new local cluster of `workers` processes without one.

    A `tls://` address takes its certificates from Dask's configuration (`distributed.comm.tls`).

    Raises:
        UnavailableError: No scheduler answers there.
    """
    return _client(address) if address else _local_cluster(workers)


@contextmanager
def _local_cluster(workers: int) -> Iterator[Client]:
    # Port 0: several studies on one machine, each with a server of its own. Whoever reaches a scheduler has it run any
    # code, so this one and its workers know each other, and nobody else, by certificates made for the time.
    local = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "memory_limit": None, "security": True}
    with dask.config.set(_UNWATCHED), ExitStack() as stack:
        # It would release SIGINT, which is held below, in the thread that starts it.
        resource_tracker.ensure_running()
        # What is half started cannot be closed; and this command closes its workers, which would print tracebacks.
        with cli.uninterrupted():
            cluster = stack.enter_context(LocalCluster(n_workers=workers, threads_per_worker=1, **local))
            client = stack.enter_context(Client(cluster))
        # Dask gives up a worker that was killed and whose restart fails or takes long, and would wait for it for ever.
        replace = PeriodicCallback(partial(cluster.scale, workers), _REPLACE_S * 1000)
        client.loop.add_callback(replace.start)
        try:
            yield client
            client.loop.add_callback(replace.stop)
            # A cluster cannot be closed while it is replacing a worker that was killed.
            with suppress(TimeoutError):
                client.wait_for_workers(workers, timeout=CONNECT_TIMEOUT_S)
        finally:
            # Interrupted again meanwhile, it would leave its workers behind.
            with cli.uninterrupted():
                stack.close()


def _client(address: str) -> Client:
    try:
        return Client(address, timeout=CONNECT_TIMEOUT_S)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        what = f"{address}: no Dask scheduler answers ({errors.reason(error)})"
        raise UnavailableError(what, fix=f"start it, or unset {ADDRESS} to use this machine") from None


def dashboard(client: Client) -> str:
    """Return the address of the scheduler's dashboard; empty if bokeh, which draws it, is not installed."""
    return str(client.dashboard_link) if importlib.util.find_spec("bokeh") else ""


def outcomes(
    client: Client,
    trajectories: Iterable[Trajectory],
    data: Mapping[str, Path],
    work: Callable[..., Any] = worker.train,
    code: Mapping[str, Path] = MappingProxyType({}),
) -> Iterator[TrainingOutcome]:
    """Yield the outcome of each training run as soon as it ends, in any order; `data` has npz files by SHA-256.

    A replicate with the ingredient `code` is trained by the archive of that name in `code`, others by this package.

    Only a few are submitted at a time, so memory does not grow with the number of `trajectories`. If a worker dies,
    another one repeats its training run. `work` replaces the training in benchmarks of the scheduling alone.

    Raises:
        UnavailableError: The scheduler was lost.
    """
    for sha256, path in data.items():
        _send(client, path, _sent(sha256))
    for path in {*code.values()}:
        _send(client, path, path.name)
    submit = partial(_submit, client, work, {digest: path.name for digest, path in code.items()})

    def width() -> int:
        return int(_AHEAD * max(1, sum(client.nthreads().values())))

    suspects = []
    for trajectory, future in _as_ended(submit, trajectories, width):
        outcome = _outcome(trajectory, future)
        if outcome is None:
            suspects.append(trajectory)
        else:
            yield outcome
    # Dask blames every task that was on a worker when it died. A run that is alone can only have killed it itself.
    for trajectory, future in _as_ended(partial(submit, mark="alone"), suspects, lambda: 1):
        yield _outcome(trajectory, future) or TrainingOutcome(trajectory, [], _KILLED)


def _as_ended(
    submit: Callable[[Trajectory], Future], trajectories: Iterable[Trajectory], width: Callable[[], int]
) -> Iterator[tuple[Trajectory, Future]]:
    """Yield training runs as they end, keeping `width` of them submitted."""
    waiting, running = iter(trajectories), dict[Future, Trajectory]()
    ended = as_completed()

    def submit_more() -> None:
        for trajectory in islice(waiting, max(0, width() - len(running))):
            future = submit(trajectory)
            running[future] = trajectory
            ended.add(future)

    with _reporting_loss():
        submit_more()
    for future in ended:
        yield running.pop(future), future
        with _reporting_loss():
            submit_more()


def _sent(sha256: str) -> str:
    """Return the name that a data file has on the workers."""
    return f"{sha256}.npz"


def _send(client: Client, data: Path, name: str) -> None:
    # A plugin also reaches workers that join or restart later.
    plugin = UploadFile(str(data), load=False)
    plugin.filename = name
    client.register_plugin(plugin, name=name)


def _submit(
    client: Client, work: Callable[..., Any], code: Mapping[str, str], trajectory: Trajectory, mark: str = ""
) -> Future:
    replicates = [asdict(replicate) for replicate in trajectory.replicates]
    recipes = (replicate.recipe[:16] for replicate in trajectory.replicates)
    key = "-".join(filter(None, [trajectory.name, *recipes, mark]))
    archive = code.get(trajectory.longest.ingredients.get("code", ""))
    arguments = (replicates, _sent(trajectory.data), *filter(None, [archive]))
    return client.submit(work, *arguments, key=key, retries=_RETRIES, pure=False)


@contextmanager
def _reporting_loss() -> Iterator[None]:
    try:
        yield
    except (OSError, FutureCancelledError):
        fix = "finished training runs are kept: run again for the rest"
        raise UnavailableError("the connection to the Dask scheduler was lost", fix=fix) from None


def _outcome(trajectory: Trajectory, future: Future) -> TrainingOutcome | None:
    """Return the outcome of a training run that has ended; None if its workers died repeatedly."""
    with _reporting_loss():
        try:
            answer = future.result()
        except Exception as error:
            # Otherwise the error is not the training's own: the connection is lost.
            if future.status != "error":
                raise
            killed = isinstance(error, KilledWorker)
            return None if killed else TrainingOutcome(trajectory, [], f"{type(error).__name__}: {error}")
    return TrainingOutcome(trajectory, answer.get("results", []), answer.get("error", ""), answer.get("seconds", 0.0))
