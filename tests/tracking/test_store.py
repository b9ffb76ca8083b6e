"""A local store: created by many processes at once, and rejected if it cannot be used."""

import os
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import mlflow
import pytest

from pipeline.errors import UnavailableError
from pipeline.tracking import experiments
from pipeline.tracking import store as mlflow_store
from tests.support import forks

ROOT = Path(__file__).parents[2]
START = """
import mlflow
from pipeline.tracking import experiments
experiment = experiments.connect(experiments.of_dataset("mnist"))
mlflow.MlflowClient().create_run(experiment)
print(experiment)
"""


def start(root: Path) -> subprocess.Popen[str]:
    """Start a process that makes a run in the store of the repository `root`."""
    environment = os.environ | {"DVC_ROOT": str(root), "PYTHONPATH": str(ROOT)} | forks.environment()
    environment.pop("MLFLOW_TRACKING_URI", None)
    command = ["python", "-c", START]
    return subprocess.Popen(command, cwd=root.parent, env=environment, stdout=subprocess.PIPE, text=True)


@pytest.mark.fault("processes start at once and find no mlflow.db")
@pytest.mark.parametrize("count", [3, pytest.param(8, marks=pytest.mark.slow)])
def test_processes_that_start_at_once_share_one_store(tmp_path: Path, count: int) -> None:
    """All succeed; one store, in a folder whose name has a space, has one experiment with all runs, none in Default."""
    root = tmp_path / "a clone"
    started = [start(root) for _ in range(count)]

    experiments = {process.communicate()[0].strip() for process in started}

    assert [process.returncode for process in started] == [0] * count
    assert sorted(path.name for path in root.iterdir()) == ["mlflow.db", "mlflow.db.lock"]
    client = mlflow.MlflowClient(f"sqlite:///{root}/mlflow.db")
    assert [experiment.name for experiment in client.search_experiments()] == ["mnist", "Default"]
    (experiment,) = experiments
    assert len(client.search_runs([experiment])) == count
    assert client.search_runs(["0"]) == []
    assert client.get_experiment(experiment).artifact_location == (root / "mlruns").as_uri()
    with closing(sqlite3.connect(root / "mlflow.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.fault("kill -9 while mlflow.db is made")
@pytest.mark.parametrize(
    "size", [200_000, pytest.param(1, marks=pytest.mark.slow), pytest.param(700_000, marks=pytest.mark.slow)]
)
def test_a_maker_that_is_killed_leaves_no_broken_store(tmp_path: Path, size: int) -> None:
    """Killed when the store has some size, it leaves none under the final name, and the next one makes it."""
    unfinished = tmp_path / "mlflow.db.new"
    killed = start(tmp_path)
    while not (unfinished.exists() and unfinished.stat().st_size >= size):
        assert killed.poll() is None
        time.sleep(0.002)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert not (tmp_path / "mlflow.db").exists()

    again = start(tmp_path)
    experiment = again.communicate()[0].strip()

    assert again.returncode == 0
    assert not unfinished.exists()
    assert len(mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db").search_runs([experiment])) == 1


def set_schema(path: Path, version: str) -> None:
    """Have the store at `path` say that its tables are of some version."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = ?", [version])


UNUSABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no database": (lambda path: path.write_text("<html>" * 1000), "mv"),
    "empty": (lambda path: path.write_text(""), "mv"),
    "cut off": (lambda path: path.write_bytes(path.read_bytes()[:50_000]), "mv"),
    "without a version": (lambda path: set_schema(path, ""), "mlflow db upgrade"),
    "of an older MLflow": (lambda path: set_schema(path, "451aebb31d03"), "mlflow db upgrade"),
    "of a newer MLflow": (lambda path: set_schema(path, "ffffffffffff"), "mlflow db upgrade"),
}


@pytest.mark.fault("mlflow.db is not a database, is empty, is truncated, or has the schema of another version")
@pytest.mark.parametrize("state", UNUSABLE)
def test_an_unusable_store_is_reported_and_left_as_it_is(store: Path, state: str) -> None:
    """Within seconds, one line says what is wrong and which command helps; no byte of the store is changed."""
    spoil, command = UNUSABLE[state]
    spoil(store)
    before = store.read_bytes()
    started = time.monotonic()

    with pytest.raises(UnavailableError) as caught:
        experiments.connect(experiments.of_dataset("mnist"))

    assert time.monotonic() - started < 5
    message = str(caught.value)
    assert message.startswith(f"{store}: ")
    assert f"`{command} " in message.replace(mlflow_store.program(), "mlflow")
    assert "\n" not in message
    assert store.read_bytes() == before
    assert {path.name for path in store.parent.iterdir()} == {"mlflow.db", "mlflow.db.lock"}


@pytest.mark.fault("mlflow.db is not a database, and the advice is followed")
def test_the_command_to_run_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command of the message, the broken store is kept under another name and a new one is made."""
    root = tmp_path / "it's here"
    root.mkdir()
    (root / "mlflow.db").write_text("broken")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    monkeypatch.setenv("DVC_ROOT", str(root))
    with pytest.raises(UnavailableError) as caught:
        experiments.connect(experiments.of_dataset("mnist"))

    subprocess.run(shlex.split(str(caught.value).split("`")[1]), check=True)

    assert experiments.connect(experiments.of_dataset("mnist")) != "0"
    assert (root / "mlflow.db.broken").read_text() == "broken"


@pytest.mark.fault("sqlite locked by another connection")
def test_a_locked_store_is_not_called_broken(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The advice is not to move away a store that another process is writing to."""
    monkeypatch.setattr("pipeline.tracking.store._BUSY_TIMEOUT_S", 0.1)
    with closing(sqlite3.connect(store)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(UnavailableError, match="locked by another process") as caught:
            experiments.connect(experiments.of_dataset("mnist"))

    assert "mv" not in str(caught.value)


@pytest.mark.fault("mlflow.db is good, and its disk is full, read-only or broken")
@pytest.mark.parametrize("kind", ["FULL", "READONLY", "IOERR", "IOERR_WRITE", "CANTOPEN", "PERM", "PROTOCOL"])
def test_only_damage_is_called_damage(store: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """SQLite's reason is given, and no advice to move a good store away; afterwards it is as it was."""
    error = sqlite3.OperationalError("the disk's fault")
    error.sqlite_errorcode = getattr(sqlite3, f"SQLITE_{kind}")

    def fail(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", fail)
        with pytest.raises(UnavailableError) as caught:
            experiments.connect(experiments.of_dataset("mnist"))

    assert str(caught.value).startswith(f"{store}: cannot be used (the disk's fault); ")
    assert "mv" not in str(caught.value)
    assert experiments.connect(experiments.of_dataset("mnist"))


@pytest.mark.fault("mlflow.db is good, and its disk is full, read-only or broken")
def test_a_folder_that_cannot_be_written_is_not_damage(store: Path) -> None:
    """What is in the place of the lock file, or of the store, is named with the system's reason."""
    lock = store.with_name("mlflow.db.lock")
    lock.mkdir()
    with pytest.raises(UnavailableError, match=f"^{lock}: cannot be written \\(Is a directory\\)"):
        experiments.connect(experiments.of_dataset("mnist"))
    lock.rmdir()
    store.rename(store.with_name("kept.db"))
    store.mkdir()
    with pytest.raises(UnavailableError, match=f"^{store}: cannot be used \\(unable to open") as caught:
        experiments.connect(experiments.of_dataset("mnist"))
    assert "mv" not in str(caught.value)


@pytest.mark.fault("the store's lock is held by a process that was stopped")
def test_a_lock_that_is_kept_is_named(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a time, the line has the command that finds whoever holds it; once that has ended, the store is used."""
    monkeypatch.setattr(mlflow_store, "LOCK_TIMEOUT_S", 0.2)
    lock = store.with_name("mlflow.db.lock")
    hold = f"import fcntl, time; f = open({str(lock)!r}, 'w'); fcntl.flock(f, 2); print('held', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        holder.send_signal(signal.SIGSTOP)
        with pytest.raises(UnavailableError, match="locked by another process") as caught:
            experiments.connect(experiments.of_dataset("mnist"))
        holder.kill()
    assert f"`fuser {lock}`" in str(caught.value)
    assert experiments.connect(experiments.of_dataset("mnist"))


def test_the_store_is_at_the_root_of_the_repository_or_where_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DVC_ROOT, which queued experiments have, is the place of the file; a relative address is made absolute."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    assert mlflow_store.local(mlflow_store.uri()) == ROOT / "mlflow.db"
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert mlflow_store.local(mlflow_store.uri()) == tmp_path / "mlflow.db"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///other.db?timeout=60")
    assert mlflow_store.uri() == f"sqlite:///{tmp_path}/other.db?timeout=60"
    assert mlflow_store.local(mlflow_store.uri()) == tmp_path / "other.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://tracker.example/mlflow")
    assert mlflow_store.local(mlflow_store.uri()) is None


def places(path: Path) -> list[str]:
    """Return all places of artifacts that a store records, in the order in which `fill` writes them."""
    queries = (
        "SELECT artifact_location FROM experiments",
        "SELECT artifact_uri FROM runs",
        "SELECT artifact_location FROM logged_models",
        "SELECT storage_location FROM model_versions",
        "SELECT value FROM trace_tags",
    )
    with closing(sqlite3.connect(path)) as database:
        return [row[0] for query in queries for row in database.execute(query)]


def fill(path: Path, folder: Path) -> None:
    """Put into the empty store at `path` one of everything that has artifacts, in mlruns of a `folder`."""
    root = f"{folder.as_uri()}/mlruns"
    mlflow.set_tracking_uri(mlflow_store.address_of_file(path))
    api = mlflow.MlflowClient()
    experiment = api.create_experiment("mnist", root)
    run = api.create_run(experiment)
    model = api.create_logged_model(experiment, "cnn", run.info.run_id)
    api.create_registered_model("mnist")
    api.create_model_version("mnist", f"models:/{model.model_id}", run.info.run_id, model_id=model.model_id)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE experiments SET artifact_location = ? WHERE experiment_id = 0", [f"{folder}/mlruns/0"])
        database.execute(
            "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status) VALUES ('t', 1, 0, 'OK')"
        )
        place = f"{root}/1/traces/t/artifacts"
        database.execute(
            "INSERT INTO trace_tags (key, value, request_id) VALUES ('mlflow.artifactLocation', ?, 't')", [place]
        )


@pytest.mark.fault("mlflow.db and mlruns/ moved")
@pytest.mark.parametrize("old", ["gone", "there"])
def test_all_places_of_artifacts_follow_the_store(store: Path, tmp_path: Path, old: str) -> None:
    """Whatever has artifacts, they are in mlruns next to the store; a folder whose name begins alike is another one."""
    folder = tmp_path / "a'b %41"
    fill(store, folder)
    if old == "there":
        (folder / "mlruns").mkdir(parents=True)
    other = mlflow.MlflowClient().create_experiment("other", f"{folder.as_uri()}/mlruns-2")
    before = places(store)

    experiments.connect(experiments.of_dataset("mnist"))

    prefixes = [
        (f"{folder}/mlruns/", f"{tmp_path}/mlruns/"),
        (f"{folder.as_uri()}/mlruns", f"{tmp_path.as_uri()}/mlruns"),
    ]
    expected = list(before)
    for was, now in prefixes:
        expected = [now + place.removeprefix(was) if place.startswith(was) else place for place in expected]
    expected = [place if "mlruns-2" not in place else f"{folder.as_uri()}/mlruns-2" for place in expected]
    assert places(store) == expected != before
    assert sum("mlruns-2" in place for place in places(store)) == 1
    assert mlflow.MlflowClient().get_experiment(other).artifact_location.endswith("mlruns-2")
    assert (folder / "mlruns").exists() == (old == "there")


def test_an_experiment_in_a_folder_of_its_own_stays_there(store: Path, tmp_path: Path) -> None:
    """Where the store has not moved, a place that somebody chose for an experiment is not replaced."""
    experiments.connect(experiments.of_dataset("mnist"))
    (tmp_path / "large disk" / "mlruns").mkdir(parents=True)
    chosen = (tmp_path / "large disk" / "mlruns").as_uri()
    mlflow.MlflowClient().create_experiment("large", chosen)
    mlflow.MlflowClient().create_experiment("bucket", "s3://bucket/mlruns")

    experiments.connect(experiments.of_dataset("mnist"))

    found = {one.name: one.artifact_location for one in mlflow.MlflowClient().search_experiments()}
    assert found["large"] == chosen
    assert found["bucket"] == "s3://bucket/mlruns"
    assert found["mnist"] == (tmp_path / "mlruns").as_uri()
    assert store.exists()
