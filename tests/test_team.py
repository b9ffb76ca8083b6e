"""What a team shares, with real servers on this machine: results in a DVC remote, runs in one tracking server."""

import os
import pwd
import re
import secrets
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pytest
import requests

from pipeline import files
from pipeline.analysis import metrics
from tests.support import small
from tests.support.local_server import free_port, serving
from tests.test_sync import assert_equal, content, runs

ROOT = Path(__file__).parents[1]
MODELS = ("mlp_adadelta", "mlp_rmsprop")
EPOCHS = 2
BUCKET = "team"
# The name at which a proxy would have a team find the tracking server.
PUBLIC = "mlflow.example.org"
SEEDS = {"ada": 1, "grace": 2}


def postgres_program(name: str) -> str | None:
    """Return the path of one of PostgreSQL's programs; Debian has those of a server in no folder of PATH."""
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(installed[-1]) if installed else None)


# Stays: PostgreSQL is not a Python package, so the environment cannot bring it; only slow tests need it.
needs_postgres = pytest.mark.skipif(
    not (postgres_program("initdb") and postgres_program("pg_ctl")), reason="needs PostgreSQL's initdb and pg_ctl"
)


def change_params(folder: Path, **train: int) -> None:
    """Leave two small networks and two epochs in a clone's params, and set what is given under `train`."""
    with small.edited(folder / "params.yaml") as values:
        values["models"] = {model: values["models"][model] | {"epochs": EPOCHS} for model in MODELS}
        for model in values["models"].values():
            model["network"]["units"] = [16]
        values["train"] |= train


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository of which one `dvc repro` has made the results, all committed; it has no remote."""
    folder = tmp_path_factory.mktemp("project") / "first"
    small.make(folder)
    change_params(folder)
    small.run(folder, "dvc", "repro")
    small.commit(folder, "result")
    return folder


@dataclass(frozen=True)
class Shared:
    """A repository whose results are in a remote, and what a clone needs for it: settings under `--local`."""

    repository: Path
    settings: Mapping[str, str]

    def clone(self, folder: Path) -> Path:
        """Return a clone of the repository in `folder`, without its results."""
        small.run(folder.parent, "git", "clone", "--quiet", str(self.repository), str(folder))
        return folder

    def pull(self, clone: Path) -> None:
        """Give a clone the results."""
        for name, value in self.settings.items():
            small.run(clone, "dvc", "remote", "modify", "--local", "team", name, value)
        small.run(clone, "dvc", "pull")


@pytest.fixture(scope="module")
def directory(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Shared:
    """Return the project, shared through a directory."""
    folder = tmp_path_factory.mktemp("directory")
    shutil.copytree(project, folder / "first", symlinks=True)
    small.run(folder / "first", "dvc", "remote", "add", "--default", "team", str(folder / "remote"))
    small.run(folder / "first", "dvc", "push")
    small.commit(folder / "first", "result")
    return Shared(folder / "first", {})


@pytest.fixture(scope="module")
def bucket(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """Return the project, shared through a bucket of a server that speaks S3's protocol."""
    folder = tmp_path_factory.mktemp("bucket")
    shutil.copytree(project, folder / "first", symlinks=True)
    port, login = free_port(), {name: secrets.token_hex(16) for name in ("access_key_id", "secret_access_key")}
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", port]
    with serving(command, f"{address}/moto-api/", folder / "log"):
        assert requests.put(f"{address}/{BUCKET}", timeout=60).ok
        small.run(folder / "first", "dvc", "remote", "add", "--default", "team", f"s3://{BUCKET}/mnist")
        small.run(folder / "first", "dvc", "remote", "modify", "team", "endpointurl", address)
        small.run(folder / "first", "dvc", "push", **{f"AWS_{name.upper()}": value for name, value in login.items()})
        small.commit(folder / "first", "result")
        yield Shared(folder / "first", login)


@pytest.fixture(scope="module", params=["directory", "bucket"])
def pulled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a clone that has pulled the results from one of the remotes."""
    shared: Shared = request.getfixturevalue(request.param)
    clone = shared.clone(tmp_path_factory.mktemp("pulled") / "second")
    shared.pull(clone)
    return clone


def test_the_lock_file_of_a_team_adds_to_the_other_and_changes_nothing() -> None:
    """All that requirements.lock pins is pinned alike, each package of the extra is there, and no address is."""
    lock, team = ((ROOT / name).read_text() for name in ("requirements.lock", "requirements-team.lock"))
    pin = re.compile(r"^[a-z0-9.-]+==\S+(?: ; [^\\]+)?", flags=re.MULTILINE)
    pinned, added = set(pin.findall(lock)), set(pin.findall(team)) - set(pin.findall(lock))
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["team"]

    assert len(pinned) > 100
    assert pinned <= set(pin.findall(team))
    assert {re.split(r"[<>=\[]", wanted)[0] for wanted in extra} <= {line.split("==")[0] for line in added}
    assert "://" not in team
    assert len(pinned | added) <= team.count("--hash=sha256:")


@pytest.mark.slow
def test_a_clone_that_has_pulled_runs_nothing(pulled: Path, project: Path) -> None:
    """Each result is there with the bytes of the first clone, and DVC finds no stage to run and no change."""
    tracked = [f"models/{model}.keras" for model in MODELS] + ["data/processed/digits.npz"]
    tracked += [f"reports/predictions/{model}.npz" for model in MODELS]

    printed = small.run(pulled, "dvc", "repro")

    assert "didn't change, skipping" in printed
    assert "Running stage" not in printed
    assert small.run(pulled, "git", "status", "--porcelain") == ""
    assert [name for name in tracked if (pulled / name).read_bytes() != (project / name).read_bytes()] == []


@pytest.mark.slow
def test_a_clone_that_may_miss_results_runs_nothing(directory: Shared, tmp_path: Path) -> None:
    """`dvc repro --pull --allow-missing` in a clone without results ends well, changes nothing and fetches no model."""
    clone = directory.clone(tmp_path / "third")

    printed = small.run(clone, "dvc", "repro", "--pull", "--allow-missing")

    assert "Running stage" not in printed
    assert small.run(clone, "git", "status", "--porcelain") == ""
    assert [*clone.glob("models/*.keras")] == []


@pytest.mark.slow
def test_sync_gives_a_clone_that_has_pulled_the_runs_of_the_first(pulled: Path, project: Path) -> None:
    """An empty store gets one finished, current run per model: params, epochs, scores, figures, model as they were."""
    assert not (pulled / "mlflow.db").exists()

    printed = small.run(pulled, sys.executable, "-m", "pipeline.sync")

    ours, theirs = (
        {run.info.run_name: (run, uri) for run in runs(uri)}
        for uri in (f"sqlite:///{pulled}/mlflow.db", f"sqlite:///{project}/mlflow.db")
    )
    assert [line for line in printed.splitlines() if "added to MLflow" in line] == [
        f"{model}: added to MLflow" for model in MODELS
    ]
    assert len(runs(f"sqlite:///{pulled}/mlflow.db")) == len(MODELS)
    assert {run.data.tags["dvc.state"] for run, _ in ours.values()} == {"current"}
    assert sorted(ours) == sorted(theirs) == sorted(MODELS)
    for model in MODELS:
        restored = content(*ours[model])
        assert restored["status"] == "FINISHED"
        assert [step for step, _ in restored["points"]["val_loss"]] == list(range(1, EPOCHS + 1))
        assert "test_accuracy" in restored["points"]
        assert_equal(restored, content(*theirs[model]))


@pytest.mark.slow
def test_the_bucket_is_closed_without_credentials(bucket: Shared, tmp_path: Path) -> None:
    """A clone brings none with it: DVC fails and says that they are missing, and git has none in any commit."""
    clone = bucket.clone(tmp_path / "second")

    ended = small.execute(clone, "dvc", "pull")

    assert ended.returncode != 0
    assert "Unable to locate credentials" in ended.stdout
    history = small.run(clone, "git", "log", "--patch", "--all")
    assert "endpointurl" in history
    assert [secret for secret in bucket.settings.values() if secret in history] == []


@dataclass(frozen=True)
class Database:
    """An empty database of a PostgreSQL server: its address for MLflow and its password."""

    uri: str
    password: str


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    """Return a database of a server that listens on a socket in a folder of its own."""
    # Not pytest's folder: there no other user may go, and the name of a socket must be short.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    found = Database(f"postgresql://mlflow@/postgres?host={folder}", secrets.token_hex(16))
    (folder / "password").write_text(found.password)
    data, options = (
        str(folder / "data"),
        f"-c listen_addresses='' -c unix_socket_directories={shlex.quote(str(folder))}",
    )
    try:
        postgres(folder, "initdb", "-D", data, "-U", "mlflow", "-A", "scram-sha-256", f"--pwfile={folder}/password")
        postgres(folder, "pg_ctl", "-D", data, "-l", f"{folder}/log", "-o", options, "--wait", "start")
        try:
            yield found
        finally:
            postgres(folder, "pg_ctl", "-D", data, "--mode", "fast", "--wait", "stop")
    finally:
        shutil.rmtree(folder)


def postgres(folder: Path, name: str, *arguments: str) -> None:
    """Run one of PostgreSQL's programs in the folder of its cluster, as the user that owns it: root is refused."""
    other: dict[str, Any] = {}
    if os.geteuid() == 0:
        user = next(one for one in pwd.getpwall() if one.pw_name in ("postgres", "nobody"))
        for path in (folder, *folder.glob("password")):
            os.chown(path, user.pw_uid, user.pw_gid)
        other = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    command = [str(postgres_program(name)), *arguments]
    with (folder / f"{name}.log").open("a") as log:
        done = subprocess.run(
            command, cwd=folder, env=small.environment(), stdout=log, stderr=log, check=False, **other
        )
    assert done.returncode == 0, Path(log.name).read_text()


@pytest.fixture(scope="module")
def server(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of an `mlflow server` whose runs are in PostgreSQL and which alone has the artifacts."""
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", port, "--workers", "1"]
    command += ["--backend-store-uri", database.uri, "--artifacts-destination", str(folder / "artifacts")]
    command += ["--allowed-hosts", f"{PUBLIC},127.0.0.1:{port}"]
    secret = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PGPASSWORD": database.password}
    with serving(command, f"http://127.0.0.1:{port}/health", folder / "log", **secret):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def team(directory: Shared, server: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return two clones by name, in which `dvc repro` has run at once, each with a seed of its own."""
    clones = {name: directory.clone(tmp_path_factory.mktemp(name) / "clone") for name in SEEDS}
    for name, clone in clones.items():
        directory.pull(clone)
        change_params(clone, seed=SEEDS[name])
    started = {
        name: subprocess.Popen(
            ["dvc", "repro"],
            cwd=clone,
            env=small.environment() | {"MLFLOW_TRACKING_URI": server},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name, clone in clones.items()
    }
    printed = {name: process.communicate()[0] for name, process in started.items()}
    assert {process.returncode for process in started.values()} == {0}, printed
    assert [text for text in printed.values() if "warning: " in text] == []
    return clones


def of_clone(server: str, name: str) -> dict[str, Any]:
    """Return the runs that one clone has on the server, by model."""
    return {run.data.tags["model"]: run for run in runs(server) if run.data.tags["seed"] == str(SEEDS[name])}


def states(server: str) -> dict[str, set[str]]:
    """Return the states of the runs of each clone on the server."""
    return {name: {run.data.tags["dvc.state"] for run in of_clone(server, name).values()} for name in SEEDS}


@pytest.mark.slow
@needs_postgres
def test_two_clones_that_train_at_once_have_their_runs_side_by_side(team: dict[str, Path], server: str) -> None:
    """One experiment has one finished run per model and clone, with the epochs and scores of that clone's files."""
    assert [one.name for one in mlflow.MlflowClient(server).search_experiments()].count("digits") == 1
    assert len(runs(server)) == len(SEEDS) * len(MODELS)
    assert {run.info.status for run in runs(server)} == {"FINISHED"}
    for name, clone in team.items():
        found = of_clone(server, name)
        assert sorted(found) == sorted(MODELS)
        for model, run in found.items():
            epochs = files.read_csv(clone / "reports" / "history" / f"{model}.csv")
            scores = files.read_json(clone / "reports" / "metrics" / f"{model}.json")["splits"]
            points = mlflow.MlflowClient(server).get_metric_history(run.info.run_id, "val_loss")
            assert [point.value for point in sorted(points, key=lambda point: point.step)] == list(epochs["val_loss"])
            assert len(points) == EPOCHS
            assert metrics.flat(scores).items() <= run.data.metrics.items()


@pytest.mark.slow
@needs_postgres
def test_models_go_through_the_server(team: dict[str, Path], server: str, tmp_path: Path) -> None:
    """A client that knows neither the database nor the artifacts' folder gets the bytes that each clone trained."""
    mlflow.set_tracking_uri(server)
    for name, clone in team.items():
        for model, run in of_clone(server, name).items():
            (output,) = run.outputs.model_outputs
            logged = mlflow.get_logged_model(output.model_id)
            folder = mlflow.artifacts.download_artifacts(f"models:/{output.model_id}", dst_path=str(tmp_path / name))
            assert logged.artifact_location.startswith("mlflow-artifacts:")
            assert files.md5(Path(folder) / "data" / "model.keras") == files.md5(clone / "models" / f"{model}.keras")


@pytest.mark.slow
@needs_postgres
def test_each_clone_has_its_own_current_runs(team: dict[str, Path], server: str) -> None:
    """Neither training nor sync in one clone makes another's runs superseded, and sync adds no run."""
    assert states(server) == {name: {"current"} for name in SEEDS}
    before = {run.info.run_id for run in runs(server)}
    for clone in team.values():
        printed = small.run(clone, sys.executable, "-m", "pipeline.sync", MLFLOW_TRACKING_URI=server)

        assert printed.count("complete in MLflow") == len(MODELS)
        assert states(server) == {name: {"current"} for name in SEEDS}
    assert {run.info.run_id for run in runs(server)} == before


@pytest.mark.slow
@needs_postgres
def test_the_runs_are_in_the_database_which_requires_its_password(
    team: dict[str, Path], server: str, database: Database
) -> None:
    """PostgreSQL holds every run that the server shows, and rejects another password."""
    import psycopg

    with psycopg.connect(database.uri, password=database.password) as connection:
        stored = {row[0] for row in connection.execute("SELECT run_uuid FROM runs")}

    assert len(stored) == len(team) * len(MODELS)
    assert stored == {run.info.run_id for run in runs(server)}
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(database.uri, password="another")  # noqa: S106


@pytest.mark.slow
@needs_postgres
@pytest.mark.fault("the store's database rejects the password")
def test_a_wrong_password_of_the_database_is_said_within_seconds(
    database: Database, project: Path, tmp_path: Path
) -> None:
    """Sync against PostgreSQL itself ends with exit code 3 and one line with its reason, and without the password."""
    clone = tmp_path / "clone"
    shutil.copytree(project, clone, symlinks=True)
    uri = database.uri.replace("mlflow@", "mlflow:hunter2@")
    started = time.monotonic()

    ended = small.execute(clone, sys.executable, "-m", "pipeline.sync", MLFLOW_TRACKING_URI=uri)

    assert time.monotonic() - started < 30
    assert ended.returncode == 3
    assert "password authentication failed" in ended.stdout
    assert ended.stdout.count("\n") == 1
    assert "hunter2" not in ended.stdout


@pytest.mark.slow
@needs_postgres
@pytest.mark.parametrize(("host", "status"), [(PUBLIC, 200), ("attacker.example.org", 403)])
def test_the_server_answers_to_its_public_name_alone(server: str, host: str, status: int) -> None:
    """A page of another site whose name resolves to this machine gets no answer; a proxy that keeps the name does."""
    asked = requests.post(
        f"{server}/api/2.0/mlflow/experiments/search", json={"max_results": 1}, headers={"Host": host}, timeout=60
    )

    assert asked.status_code == status
