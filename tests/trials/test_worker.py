"""Training runs on a Dask worker: each is a process of its own, forked by one that stays, and none outlives it."""

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from queue import LifoQueue
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline import files
from pipeline.data import dataset
from pipeline.data.dataset import Dataset
from pipeline.training import recipe
from pipeline.trials import worker
from tests.support.processes import children, gone, wait_until
from tests.support.study_forks import Kind
from tests.support.study_ledger import ROOT

Result = dict[str, Any]


def stand_in(**changes: Any) -> tuple[str, ...]:
    """Return the program of a fork server that is quick to start, changed by the arguments of its main()."""
    return "-c", f"from tests.support import study_forks; study_forks.main(**{changes})"


@dataclass(frozen=True)
class Work:
    """A worker's folder with the data, and what the replicates are made of."""

    folder: Path
    ingredients: dict[str, Any]

    def train(self, seed: int) -> dict[str, Any]:
        """Do the training run of a seed as the worker does."""
        return worker.train([{"variant": "v", "seed": seed, "ingredients": self.ingredients}], "data.npz")

    def result(self, seed: int) -> Result:
        """Do the training run of a seed and return its result."""
        (result,) = self.train(seed)["results"]
        return dict(result)


@pytest.fixture
def work(tmp_path: Path, digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> Iterator[Work]:
    """Return a worker in this process, with no fork server yet; no run may leave a file behind."""
    folder, temporary = tmp_path / "worker", tmp_path / "temporary"
    dataset.save(folder / "data.npz", digits)
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(worker, "PROGRAM", stand_in())
    monkeypatch.setattr(worker, "get_worker", lambda: SimpleNamespace(local_directory=folder))
    monkeypatch.setattr(worker, "_idle", idle := LifoQueue[worker.ForkServer]())
    yield Work(folder, {**recipe.implementation(), "data": files.sha256(folder / "data.npz")})
    while not idle.empty():
        idle.get().close()
    assert [*folder.iterdir(), *temporary.iterdir()] == [folder / "data.npz"]


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a copy of the package, which the worker uses."""
    copy = tmp_path / "node"
    shutil.copytree(ROOT / "pipeline", copy / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(worker, "__file__", str(copy / "pipeline" / "study" / "worker.py"))
    # For the stand-in.
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(copy)
    return copy


def test_a_worker_keeps_one_process_that_forks(work: Work) -> None:
    """Each run is a process of its own, and all have the same parent."""
    first, second = work.result(1), work.result(2)

    assert (first["seed"], second["seed"]) == (1, 2)
    assert first["server"] == second["server"] != os.getpid()
    assert len({first["process"], second["process"], first["server"]}) == 3


def test_each_thread_of_a_worker_has_a_process(work: Work) -> None:
    """Two runs at the same time are forked by two processes, which do all later runs too."""
    start = threading.Barrier(2)

    def run(seed: int) -> int:
        start.wait()
        return int(work.result(seed)["server"])

    with ThreadPoolExecutor(2) as pool:
        servers = [set(pool.map(run, (seed, seed + 1))) for seed in range(3)]

    assert len(servers[0]) == 2
    assert servers == [servers[0]] * 3


@pytest.mark.fault("study: training run killed")
def test_a_killed_run_fails_alone(work: Work) -> None:
    """It raises, so that Dask retries it, and the next one is forked by the same process."""
    before = work.result(1)

    with pytest.raises(RuntimeError) as caught:
        work.train(Kind.KILLED)

    # What it printed, and nothing of the run before.
    assert str(caught.value) == "exit code -9: run 200\nwarning of run 200"
    assert work.result(2)["server"] == before["server"]


def test_a_run_that_would_fail_again_returns_its_error(work: Work) -> None:
    """A PipelineError is returned as its one line; any other exception raises with the end of its traceback."""
    assert work.train(Kind.DIVERGING) == {"error": "diverged"}

    with pytest.raises(RuntimeError, match=r"(?s)exit code 1: .*ValueError: a fault in the code$"):
        work.train(Kind.BROKEN)


@pytest.mark.fault("study: fork server killed")
def test_a_run_ends_with_the_process_that_forked_it(work: Work) -> None:
    """If that is killed, the run raises and its process ends; the next run has a new one."""
    server = work.result(1)["server"]
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(work.train, Kind.SLOW)
        wait_until(lambda: bool(children(server)))
        (child,) = children(server)
        os.kill(server, signal.SIGKILL)
        with pytest.raises(RuntimeError, match="exit code -9"):
            running.result(timeout=180)

    wait_until(lambda: gone(child))
    assert work.result(2)["server"] != server


@pytest.mark.fault("study: worker killed at work")
def test_nothing_is_left_of_a_worker_that_ends(work: Work, tmp_path: Path) -> None:
    """Once the worker's end of the pipe is closed, as the system does it, fork server and run end as well."""
    server = worker.ForkServer({})
    replicates = [{"variant": "v", "seed": int(Kind.SLOW), "ingredients": work.ingredients}]
    pid = server._process.pid
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(server.run, replicates, work.folder / "data.npz", tmp_path / "results.json")
        wait_until(lambda: bool(children(pid)))
        (child,) = children(pid)
        assert server._process.stdin is not None
        server._process.stdin.close()
        running.result(timeout=180)
        wait_until(lambda: gone(pid) and gone(child))
    server.close()


@pytest.mark.fault("study: command ended while fork servers start")
def test_a_process_that_still_imports_ends_with_its_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the request already, and would else outlive the command until its imports are done."""
    monkeypatch.setattr(worker, "PROGRAM", stand_in(importing=True))
    server = worker.ForkServer({})
    process = server._process
    assert process.stdin is not None
    print("{}", file=process.stdin, flush=True)
    wait_until(lambda: len([*Path(f"/proc/{process.pid}/task").iterdir()]) > 1)

    process.stdin.close()

    assert process.wait(20) == 1
    server.close()


@pytest.mark.fault("study: worker with another version of results")
def test_a_run_is_of_the_version_of_its_recipe(work: Work, node: Path) -> None:
    """After an update of the package under a running worker, runs of the new version of results have a new process.

    Those of the old one are refused then, with a line that says what to do.
    """
    server = work.result(1)["server"]
    edited, raised = node / "pipeline" / "training" / "recipe.py", recipe.RESULTS + 1
    edited.write_text(edited.read_text().replace(f"RESULTS = {recipe.RESULTS}", f"RESULTS = {raised}"))
    updated = replace(work, ingredients={**work.ingredients, "results": raised})

    assert work.result(2)["server"] == server
    assert updated.result(3)["server"] != server
    error = work.train(4)["error"]

    assert gone(server)
    assert f"has results {raised}, not {recipe.RESULTS}" in error
    assert error.endswith("install the same package on every worker")


@pytest.mark.fault("study: damaged data on a worker")
def test_other_data_is_refused(work: Work) -> None:
    """The data is checked against the recipe's checksum."""
    other = replace(work, ingredients={**work.ingredients, "data": "0"})

    assert f"data.npz: has sha256 {work.ingredients['data']}, not 0" in other.train(1)["error"]


def test_an_idle_process_ends(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing stays on a user's cluster after a study; a later run has a new process."""
    monkeypatch.setattr(worker, "PROGRAM", stand_in(idle=0.5))
    server = work.result(1)["server"]

    wait_until(lambda: gone(server))

    assert work.result(2)["server"] != server


def test_nothing_is_forked_on_macos(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a fork is unsafe, each run is the process that the worker started; it ends and fails as elsewhere."""
    monkeypatch.setattr(worker, "PROGRAM", stand_in(platform="darwin"))

    first, second = work.result(1), work.result(2)

    assert first["server"] == second["server"] == os.getpid()
    assert first["process"] != second["process"]
    assert work.train(Kind.DIVERGING) == {"error": "diverged"}
    with pytest.raises(RuntimeError, match="exit code -9"):
        work.train(Kind.KILLED)
