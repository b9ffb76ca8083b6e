"""What several test files need: a small set of real digits, params, and a tracking store of their own."""

import contextlib
import copy
import fcntl
import gc
import os
import shlex
import shutil
import signal
import sqlite3
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from pipeline import files, params
from pipeline.data.dataset import Dataset
from pipeline.params import Params
from pipeline.training import recipe
from tests.support import forks, frozen, small

# Importing TensorFlow, MLflow and the rest makes a million objects, none of which is garbage.
gc.disable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the largest files, which take longest: at the end, no worker waits long for another."""
    items.sort(key=lambda item: item.path.stat().st_size, reverse=True)


def pytest_collection_finish() -> None:
    """Exempt what was imported from garbage collection."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="module", autouse=True)
def _quick_collections() -> Iterator[None]:
    """Exempt what this file leaves behind from garbage collection: statsmodels and Keras demand it in each call."""
    yield
    gc.collect()
    gc.freeze()


def pytest_configure(config: pytest.Config) -> None:
    """Let Ctrl-C interrupt as in a terminal, have the servers that fork programs and the workers once for
    all of them, and keep every test from what is the user's.
    """
    frozen.guard()
    # A script starts what it puts in the background with Ctrl-C ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput"):
        stack = ExitStack()
        stack.enter_context(forks.serving())
        if forks.path():
            forked = f"popen//python={shlex.quote(str(forks.server('python').stand_in))}"
            config.option.tx = [forked if one == "popen" else one for one in config.option.tx]
        config.add_cleanup(stack.close)


@pytest.hookimpl(wrapper=True)
def pytest_xdist_auto_num_workers() -> Generator[None, int, int]:
    """Have two workers more than cores: while a test waits for a program, a lock or the disk, another runs."""
    workers = yield
    return workers + 2 * ("PYTEST_XDIST_AUTO_NUM_WORKERS" not in os.environ)


def pytest_report_header() -> str:
    """Name the versions that a numerical result depends on."""
    return ", ".join(f"{name} {version}" for name, version in recipe.versions().items())


@pytest.fixture(scope="session", autouse=True)
def _remembered() -> Iterator[None]:
    """Parse a YAML text, and MLflow's migrations, once for all tests of a worker."""
    from mlflow.store.db import utils as database

    parse, values = files.parse_yaml, dict[bytes, Any]()

    def parsed(content: bytes, path: Path) -> Any:
        if content not in values:
            values[content] = parse(content, path)
        # Each caller has a value of its own.
        return copy.deepcopy(values[content])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "_get_latest_schema_revision", cache(database._get_latest_schema_revision))
        patch.setattr(files, "parse_yaml", parsed)
        yield


@pytest.fixture(scope="session", autouse=True)
def _elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Work in an empty folder: the code takes dvc.lock and the like from the current one, where they are a user's."""
    with contextlib.chdir(tmp_path_factory.mktemp("elsewhere")):
        yield


@pytest.fixture(scope="session", autouse=True)
def _unsynced() -> Iterator[None]:
    """Let the databases of a worker leave it to the system when to write to the disk: no test cuts the power."""

    def leave(connection: Any, _: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA synchronous = OFF")

    event.listen(Engine, "connect", leave)
    yield
    event.remove(Engine, "connect", leave)


@pytest.fixture(scope="session")
def values() -> Params:
    """Return the params of the tests."""
    return params.load(frozen.own("params.yaml"))


@pytest.fixture(scope="session")
def digits() -> Dataset:
    """Return a small set of real digits."""
    return small.digits()


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Return a folder that `make` has filled, for all workers: the first that needs it makes it, and nobody changes it.

    Where `make` fails, the next worker tries again in another folder.
    """
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    with (base / f"{name}.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.seek(0)
        if not (made := lock.read()):
            made = str(factory.mktemp(name))
            make(Path(made))
            lock.write(made)
    return Path(made)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a tracking store with its tables and nothing else: making one takes seconds, copying it none."""

    def make(folder: Path) -> None:
        import mlflow

        mlflow.MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db").search_experiments(max_results=1)

    return once(tmp_path_factory, "store", make) / "mlflow.db"


@pytest.fixture(scope="session")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository with this project's files, two small models, and one finished `dvc repro`, committed.

    It is to be copied; the artifacts of its runs stay where they are.
    """

    def make(folder: Path) -> None:
        small.make(folder)
        small.shrink(folder)
        forks.run(folder, "dvc", "repro")
        small.commit(folder, "result")

    return once(tmp_path_factory, "a clone", make)


@pytest.fixture
def store(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give the test a tracking store of its own and return its path."""
    import mlflow

    path = tmp_path / "mlflow.db"
    shutil.copy(empty_store, path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
    yield path
    mlflow.end_run("FAILED")
