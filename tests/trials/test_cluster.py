"""Training runs on Dask: no result is lost when workers or the scheduler die, and no run is stopped by another."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import dask
import pytest
from distributed import Client, Nanny, Security
from distributed.comm.core import CommClosedError

from pipeline.errors import UnavailableError
from pipeline.trials import cluster
from pipeline.trials.cluster import TrainingOutcome
from pipeline.trials.plan import Replicate, Trajectory
from tests.support import study_work
from tests.support.study_ledger import ROOT
from tests.support.study_work import Kind

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture
def _no_half_made_client() -> Iterator[None]:
    """Free a client that failed to connect: freed while another one starts, it would wait for that one's lock."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def _recording(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Have the stand-in, in all workers that start from now on, record every try of every seed in a folder."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("seen")
        patch.setenv(study_work.SEEN, str(folder))
        # Dask kills a worker once more than this for a run that it then gives up, and waits so long for a lost worker.
        with dask.config.set(
            {"distributed.scheduler.allowed-failures": 1, "distributed.deploy.lost-worker-timeout": "2s"}
        ):
            yield folder


@pytest.fixture
def seen(_recording: Path) -> Path:
    """Return the folder in which the stand-in records every try of every seed, empty."""
    for file in _recording.iterdir():
        file.unlink()
    return _recording


@pytest.fixture(scope="module")
def client(_recording: Path) -> Iterator[cluster.Client]:
    """Return a client of a local cluster with two workers, which may be killed: they are replaced."""
    with cluster.connected(None, workers=2) as client:
        yield client


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a file to send to the workers."""
    path = tmp_path / "data.npz"
    path.write_bytes(b"data")
    return path


def tries(seen: Path, seed: int) -> int:
    """Return how often the seed was tried."""
    return len((seen / str(seed)).read_text().splitlines())


def trajectories(*seeds: int) -> list[Trajectory]:
    """Return one training run for each seed."""
    ingredients = {"model": {"epochs": 1}, "data": "d" * 64}
    return [Trajectory((Replicate("v", seed, ingredients),)) for seed in seeds]


def outcomes(client: cluster.Client, data: Path, *seeds: int) -> Iterator[TrainingOutcome]:
    """Yield the outcome of the stand-in for each seed."""
    return cluster.outcomes(client, trajectories(*seeds), {"d" * 64: data}, study_work.work)


@contextmanager
def scheduler(*options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run a scheduler of its own on this machine; yield its address and its process."""
    words = ("-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", *options)
    verbose = os.environ | {"DASK_LOGGING__DISTRIBUTED": "info"}
    with subprocess.Popen(
        [sys.executable, *words], cwd=ROOT, env=verbose, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        line = next(line for line in process.stderr if "Scheduler at:" in line)
        try:
            yield line.split()[-1], process
        finally:
            process.kill()


@contextmanager
def worker(address: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker without a nanny, so that it is not restarted."""
    words = ("-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard", *options)
    with subprocess.Popen([sys.executable, *words], cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def by_seed(found: Iterator[TrainingOutcome]) -> dict[int, TrainingOutcome]:
    """Return outcomes by their seeds."""
    return {one.trajectory.replicates[0].seed: one for one in found}


@pytest.mark.usefixtures("seen")
def test_few_training_runs_are_submitted_at_a_time(client: cluster.Client, data: Path) -> None:
    """However many are planned, only as many are taken from the plan as the workers need next."""
    taken = []

    def planned() -> Iterator[Trajectory]:
        for trajectory in trajectories(*range(50)):
            taken.append(trajectory)
            yield trajectory

    client.wait_for_workers(2, timeout=180)
    ahead = []
    for number, _ in enumerate(cluster.outcomes(client, planned(), {"d" * 64: data}, study_work.work), start=1):
        ahead.append(len(taken) - number)

    assert len(taken) == 50
    assert max(ahead) <= 4


def test_waiting_takes_hardly_any_processor_time(client: cluster.Client) -> None:
    """While they wait for training runs, two workers and the scheduler take less than a tenth of a processor each."""
    client.wait_for_workers(2, timeout=180)

    def used() -> float:
        return time.process_time() + sum(client.run(time.process_time).values())

    def waiting() -> float:
        before = used()
        time.sleep(3)
        return used() - before

    # The least of three: on a shared machine one wait says little. Measured: 0.02 to 0.06 of a processor each.
    assert min(waiting() for _ in range(3)) < 0.1 * 3 * 3


@pytest.mark.fault("study: worker killed")
def test_the_training_run_of_a_killed_worker_is_repeated(client: cluster.Client, seen: Path, data: Path) -> None:
    """A training run whose worker is killed is tried once more, and all runs return results."""
    seeds = (1, Kind.DEADLY, 2)

    found = by_seed(outcomes(client, data, *seeds))

    assert {seed: one.results for seed, one in found.items()} == {
        seed: [{"variant": "v", "seed": seed}] for seed in seeds
    }
    assert tries(seen, Kind.DEADLY) == 2


@pytest.mark.fault("study: training that fails")
def test_a_training_run_that_fails_is_not_tried_again(client: cluster.Client, seen: Path, data: Path) -> None:
    """It is reported with its reason after one try, and all others return results."""
    found = by_seed(outcomes(client, data, 1, Kind.FAILING, 2))

    assert {seed: one.error for seed, one in found.items()} == {1: "", Kind.FAILING: "diverged", 2: ""}
    assert tries(seen, Kind.FAILING) == 1


@pytest.mark.slow
@pytest.mark.fault("study: training killed again and again")
def test_a_run_that_always_kills_its_worker_is_the_only_one_blamed(
    client: cluster.Client, seen: Path, data: Path
) -> None:
    """It is reported after some tries; those that ran or waited on the same workers return results."""
    innocent = (1, 2, 3, 4, 5)

    found = by_seed(outcomes(client, data, Kind.FATAL, *innocent, Kind.FATAL + 1))

    assert {seed: bool(one.results) for seed, one in found.items()} == dict.fromkeys(innocent, True) | {
        Kind.FATAL: False,
        Kind.FATAL + 1: False,
    }
    allowed = dask.config.get("distributed.scheduler.allowed-failures")
    for fatal in (Kind.FATAL, Kind.FATAL + 1):
        assert found[fatal].error.startswith("killed repeatedly")
        # First among others, then alone.
        assert allowed < tries(seen, fatal) <= 2 * (allowed + 1)


def answering(client: cluster.Client) -> set[int]:
    """Return the processes of both workers, once none that was killed is still counted."""
    deadline = time.monotonic() + 180
    while True:
        client.wait_for_workers(2, timeout=180)
        try:
            return set(client.run(os.getpid).values())
        except CommClosedError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def goes_on(client: cluster.Client) -> bool:
    """Interrupt all workers, and return whether the same ones are there afterwards."""
    pids = answering(client)
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
    time.sleep(0.5)
    return answering(client) == pids


@pytest.mark.fault("study: Ctrl-C, which a terminal sends to the workers too")
def test_workers_leave_an_interrupt_to_the_command(client: cluster.Client) -> None:
    """Workers that get the signal go on, also those that replace killed ones; this process still gets its own."""
    # A worker that was killed may be replaced twice; then the cluster closes one of the two meanwhile.
    assert any(goes_on(client) for _ in range(10))
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


STARTING = """
import signal, sys, threading, time
from pipeline import cli
from pipeline.trials import cluster

starting = threading.Event()

def interrupt():
    starting.wait()
    for _ in range(int(sys.argv[2])):
        time.sleep(0.3)
        signal.pthread_kill(threading.get_ident(), int(sys.argv[1]))

class Held(cluster.LocalCluster):
    def __init__(self, **options):
        starting.set()
        super().__init__(**options)
        print("whole", flush=True)

def main():
    threading.Thread(target=interrupt, daemon=True).start()
    cluster.LocalCluster = Held
    with cluster.connected(None, 1):
        time.sleep(1)
        print("not interrupted", flush=True)

if __name__ == "__main__":
    cli.run(main)
"""


@pytest.mark.fault("study: Ctrl-C while its cluster starts, once or again and again")
@pytest.mark.parametrize(
    ("number", "times", "code"),
    [(signal.SIGINT, 1, 130), (signal.SIGTERM, 1, 143), (signal.SIGINT, 99, 130)],
    ids=["INT", "TERM", "many"],
)
def test_what_is_interrupted_while_it_starts_ends_in_order(
    tmp_path: Path, number: signal.Signals, times: int, code: int
) -> None:
    """Also where a thread gets the signal that blocks none, as libraries have: only what has started whole is closed.

    What is half started may take longer to close than Dask waits, which then prints a traceback at exit.
    """
    (tmp_path / "starting.py").write_text(STARTING)
    command = [sys.executable, str(tmp_path / "starting.py"), str(int(number)), str(times)]

    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (code, "whole\n")
    assert done.stderr == ("interrupted\n" if number == signal.SIGINT else "")


@pytest.mark.fault("study: the only worker killed, and Dask gives up its restart")
@pytest.mark.usefixtures("seen")
def test_a_worker_that_dask_gives_up_is_replaced(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even the last worker of a local cluster may be lost: another one does what is left."""
    monkeypatch.setattr(cluster, "_REPLACE_S", 0.2)
    monkeypatch.setattr(Nanny, "_on_worker_exit", lambda *_: asyncio.sleep(0))

    with cluster.connected(None, workers=1) as client:
        found = by_seed(outcomes(client, data, 1, Kind.DEADLY, 2))

    assert all(one.results for one in found.values())
    assert len(found) == 3


REFUSED = r"reset by peer|certificate does not match"


@pytest.mark.fault("study: another user of the machine")
@pytest.mark.usefixtures("_no_half_made_client")
@pytest.mark.parametrize("certificates", [False, True], ids=["none", "of another cluster"])
def test_a_local_cluster_lets_nobody_else_in(client: cluster.Client, certificates: bool) -> None:
    """Whoever connects without its certificates is refused, by the scheduler as by each worker: nothing is run."""
    security = Security.temporary() if certificates else None
    for address in (client.scheduler.address, *client.scheduler_info()["workers"]):
        assert address.startswith("tls://127.0.0.1:")
        tried = address if certificates else address.replace("tls", "tcp")
        with pytest.raises(OSError, match=REFUSED), Client(tried, security=security, timeout=1):
            pass


@pytest.mark.fault("study: node of the user's own cluster killed")
def test_work_continues_on_another_node(seen: Path, data: Path) -> None:
    """If one of two workers of a scheduler is killed at work, the other one does all the rest."""
    seeds = tuple(range(Kind.SLOW, Kind.SLOW + 6))

    with (
        scheduler() as (address, _),
        worker(address) as first,
        worker(address),
        cluster.connected(address, workers=0) as client,
    ):
        client.wait_for_workers(2, timeout=180)
        results = outcomes(client, data, *seeds)
        done = [next(results)]
        first.kill()
        done += results

    assert sorted(one.trajectory.replicates[0].seed for one in done) == list(seeds)
    assert not any(one.error for one in done)
    # At most two more: the run that was killed, and one that had finished but was not yet returned.
    assert sum(tries(seen, seed) for seed in seeds) <= len(seeds) + 2


@pytest.mark.fault("study: scheduler lost")
@pytest.mark.usefixtures("seen")
def test_a_lost_scheduler_is_reported_and_finished_runs_are_kept(data: Path) -> None:
    """Finished runs are returned; then one error reports, within seconds, that the scheduler was lost."""
    done = []

    def work() -> None:
        with scheduler() as (address, process), worker(address), cluster.connected(address, workers=0) as client:
            client.wait_for_workers(1, timeout=180)
            for one in outcomes(client, data, 1, 2, *range(Kind.SLOW, Kind.SLOW + 20)):
                done.append(one)
                if len(done) == 3:
                    process.send_signal(signal.SIGKILL)

    started = time.monotonic()
    with pytest.raises(UnavailableError, match="scheduler was lost; finished training runs are kept"):
        work()

    assert len(done) >= 3
    assert all(one.results for one in done)
    assert time.monotonic() - started < 60


@pytest.mark.fault("study: no scheduler at the address")
@pytest.mark.usefixtures("_no_half_made_client")
def test_an_address_without_a_scheduler_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Soon after the timeout, in one line that names the address; nothing is run on this machine instead."""
    assert cluster.CONNECT_TIMEOUT_S <= 20
    monkeypatch.setattr(cluster, "CONNECT_TIMEOUT_S", 0.5)
    started = time.monotonic()

    with pytest.raises(UnavailableError) as refused, cluster.connected("tcp://127.0.0.1:9", workers=2):
        pass

    assert time.monotonic() - started < 10
    assert str(refused.value).startswith("tcp://127.0.0.1:9: no Dask scheduler answers")
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.fault("study: scheduler that only speaks TLS")
@pytest.mark.usefixtures("_no_half_made_client", "seen")
def test_a_cluster_can_be_reached_by_tls(data: Path, tmp_path: Path) -> None:
    """With the certificates of Dask's configuration the work is done; without them the connection fails."""
    security = Security.temporary()
    paths = {name: tmp_path / f"{name}.pem" for name in ("ca", "cert", "key")}
    paths["ca"].write_text(security.tls_ca_file)
    paths["cert"].write_text(security.tls_client_cert)
    paths["key"].write_text(security.tls_client_key)
    options = ("--protocol", "tls", "--tls-ca-file", str(paths["ca"]))
    options += ("--tls-cert", str(paths["cert"]), "--tls-key", str(paths["key"]))
    names = {"ca-file": "ca", "client.cert": "cert", "client.key": "key"}
    tls = {f"distributed.comm.tls.{key}": str(paths[name]) for key, name in names.items()}

    with scheduler(*options) as (address, _), worker(address, *options):
        with dask.config.set(tls), cluster.connected(address, workers=0) as client:
            (done,) = outcomes(client, data, 1)
        with pytest.raises(UnavailableError), cluster.connected(address, workers=0):
            pass

    assert address.startswith("tls://")
    assert done.results
