"""The address of the store: what is accepted, how paths become one, and that no secret in it is shown."""

import itertools
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
import sqlalchemy

from pipeline.errors import UnavailableError
from pipeline.tracking import client, experiments
from pipeline.tracking import store as mlflow_store
from pipeline.tracking.store import SetupError
from tests.support import forks

ROOT = Path(__file__).parents[2]
# Names of folders with characters that have a meaning in an address.
NAMES = ("a?b", "a#b", "a%2Fb", "a%b", "it's", 'a"b', "ä b", "a&b=c", "a@b:c", "a;b", 'it\'s :a "clone"')
SECRET = "hunter2"  # noqa: S105
# How a secret is quoted in the address, and in what a library says.
PAIRS = tuple(itertools.product((str, quote, lambda text: f"%{ord(text[0]):02X}{text[1:]}"), (str, quote)))
MALFORMED = (
    f"user:{SECRET}@host:5000",
    f"http:/user:{SECRET}@host:5000",
    f"http:///user:{SECRET}@host",
    f"http:user:{SECRET}@host",
    f"http://user:{SECRET}@host:port",
    f"http://user:{SECRET}@[::1",
    f"htp://user:{SECRET}@host",
    f"postgres://user:{SECRET}@host/db",
    f"postgresql:user:{SECRET}@host/db",
    f"sqlite:///a?{SECRET}",
    f"http://host:5000:{SECRET}",
    f"http://host:{SECRET}",
    f"http://user:{SECRET}@",
    f"{SECRET}",
    "sqlite://",
    "./mlruns",
    "file:///tmp/mlruns",
    "http://a host/",
    "http://host/\n",
)


@pytest.mark.fault("the address of the store is malformed")
@pytest.mark.parametrize("uri", MALFORMED)
def test_what_is_not_an_address_is_refused_unseen(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    """One line names the variable and what it may be; nothing of the value is in it, which may be a password."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)

    with pytest.raises(SetupError) as caught, client.reachable():
        experiments.connect(experiments.of_dataset("mnist"))

    message = str(caught.value)
    assert message.startswith("MLFLOW_TRACKING_URI: ")
    assert "\n" not in message
    assert SECRET not in message
    assert client.is_permanent(caught.value)


@pytest.mark.parametrize(
    "uri",
    [
        "http://host",
        "https://user:pass@host:8443/mlflow/",
        "http://[::1]:5000",
        "postgresql://user@host/db",
        "postgresql+psycopg://user:p@host/db?sslmode=require",
        "postgresql://mlflow@/postgres?host=/run/postgresql",
        "mysql+pymysql://user@host/db",
    ],
)
def test_addresses_of_servers_are_left_as_they_are(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    """A server, or its database, is passed to MLflow verbatim and is not a file."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)

    assert mlflow_store.uri() == uri
    assert mlflow_store.local(uri) is None
    # To MLflow and SQLAlchemy, a scheme in capitals is another one.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.partition(":")[0].upper() + uri[uri.index(":") :])
    assert mlflow_store.uri() == uri


@pytest.mark.fault("the folder of the repository has a name with ?, #, %2F, quotes or non-ASCII characters")
@pytest.mark.parametrize("name", NAMES)
def test_a_path_in_an_address_leads_to_that_file(name: str) -> None:
    """SQLAlchemy, which opens the file for MLflow, finds the same path in the address, and so do we."""
    path = Path("/srv") / name / "mlflow.db"
    uri = mlflow_store.address_of_file(path)

    assert sqlalchemy.make_url(uri).database == str(path)
    assert sqlalchemy.make_url(f"{uri}?timeout=60").query == {"timeout": "60"}
    assert mlflow_store.local(uri) == mlflow_store.local(f"{uri}?timeout=60") == path


def test_a_relative_path_is_taken_from_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stages of the study, which run in another directory, use the same store."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///runs/a%3Fb.db?timeout=60")
    (tmp_path / "study").mkdir()
    monkeypatch.chdir(tmp_path / "study")

    assert mlflow_store.local(mlflow_store.uri()) == tmp_path / "runs" / "a?b.db"
    assert mlflow_store.uri().endswith("?timeout=60")


START = """
from pathlib import Path
import mlflow
from pipeline.tracking import experiments, logged_model
experiment = experiments.connect(experiments.of_dataset("mnist"))
api = mlflow.MlflowClient()
run = api.create_run(experiment)
api.log_text(run.info.run_id, "text", "a.txt")
model = api.create_logged_model(experiment, "m", run.info.run_id)
api.log_model_artifact(model.model_id, "params.yaml")
api.finalize_logged_model(model.model_id, "READY")
folder = mlflow.artifacts.download_artifacts(f"models:/{model.model_id}", dst_path="download")
print(len(Path(folder, "params.yaml").read_text()))
"""


@pytest.mark.fault("the folder of the repository has a name with ?, #, %2F, quotes or non-ASCII characters")
@pytest.mark.parametrize(
    "name", ["a?b#c%2Fd", NAMES[-1], *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES[:-1])]
)
def test_all_that_mlflow_writes_stays_in_the_repository(tmp_path: Path, name: str) -> None:
    """Store, lock and artifacts are in the folder of that name, nothing is next to it, and a model comes back."""
    root = tmp_path / name
    root.mkdir()
    (root / "params.yaml").write_text("0123456789")
    environment = os.environ | {"DVC_ROOT": str(root), "PYTHONPATH": str(ROOT)} | forks.environment()
    environment.pop("MLFLOW_TRACKING_URI", None)
    command = ["python", "-c", START]

    ended = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == "10"
    assert [path.name for path in tmp_path.iterdir()] == [name]
    there = {path.name for path in root.iterdir()}
    assert there == {"download", "mlflow.db", "mlflow.db.lock", "mlruns", "params.yaml"}
    assert len(list((root / "mlruns").rglob("a.txt"))) == 1


@pytest.mark.fault("the driver of the store's database is not installed")
def test_a_driver_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line names the package and the command that installs it, without the password."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"postgresql://user:{SECRET}@127.0.0.1:9/db")
    # Also where it is installed.
    monkeypatch.setitem(sys.modules, "psycopg", None)

    with pytest.raises(SetupError, match="psycopg") as caught:
        experiments.connect(experiments.of_dataset("mnist"))

    assert "make team" in caught.value.fix
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.fault("the store's database rejects the password")
@pytest.mark.parametrize("kind", ["OperationalError", "ArgumentError"])
def test_a_database_is_asked_once(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Where it does not let us in, that is said at once: MLflow would try again for minutes."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"mysql+pymysql://user:{SECRET}@127.0.0.1/db")
    attempts = []

    def refuse(_url: object, **options: object) -> None:
        attempts.append(options)
        text = f'connection failed: FATAL: password authentication failed for "user" ({SECRET})'
        raise (
            sqlalchemy.exc.ArgumentError(text)
            if kind == "ArgumentError"
            else sqlalchemy.exc.OperationalError("connect", {}, Exception(text))
        )

    monkeypatch.setattr(sqlalchemy, "create_engine", refuse)
    monkeypatch.setattr(sqlalchemy.URL, "get_dialect", lambda _: type("dialect", (), {"driver": "pymysql"}))

    with pytest.raises(UnavailableError, match="password authentication failed") as caught:
        experiments.connect(experiments.of_dataset("mnist"))

    assert [options["connect_args"] for options in attempts] == [{"connect_timeout": 5}]
    assert SECRET not in str(caught.value)
    assert "***@127.0.0.1/***" in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "page"),
    [
        ("https://user:p@ss@tracker.example:8443/", "https://tracker.example:8443"),
        ("http://127.0.0.1:5001", "http://127.0.0.1:5001"),
        (f"http://127.0.0.1:5001/?password={SECRET}", "http://127.0.0.1:5001/***"),
        (f"http://127.0.0.1:5001/{SECRET}/mlflow", "http://127.0.0.1:5001/***"),
        (f"http://[::1]:5001/team-a/v2;token={SECRET}#{SECRET}", "http://[::1]:5001/***"),
        ("http://mlflow:5001/mlflow", "http://mlflow:5001/***"),
        ("HTTP://127.0.0.1:5001", "http://127.0.0.1:5001"),
        ("postgresql://user:secret@db/mlflow", "http://127.0.0.1:5000"),
        ("sqlite:///mlflow.db", "http://127.0.0.1:5000"),
    ],
)
def test_a_browser_finds_the_store_without_credentials(monkeypatch: pytest.MonkeyPatch, uri: str, page: str) -> None:
    """A server is its own page, of which host and port are shown; any other store is shown by `make ui`."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)

    assert mlflow_store.page() == page


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("failed: http://user:p@ss@host:5000/api (no)", "failed: http://***@host:5000/*** (no)"),
        ("https://host/?sig=1 and HTTPS://token@host", "https://host/*** and HTTPS://***@host"),
        ("https://user:a/b@host and https://host?a;b@c", "https://***@host and https://***@c"),
        ("at http://[::1]:5000: no answer, ask a@b", "at http://[::1]:5000: no answer, ask a@b"),
        ("postgresql+psycopg://u@host/db?sslmode=require", "postgresql+psycopg://***@host/***"),
        ("sqlite:////home/a@b/mlflow.db", "sqlite:////home/a@b/mlflow.db"),
        ("sqlite+pysqlite:////home/a@b%3F/mlflow.db", "sqlite+pysqlite:////home/a@b%3F/mlflow.db"),
    ],
)
def test_only_scheme_host_and_port_of_an_address_are_shown(text: str, public: str) -> None:
    """All else goes wherever a text has an address; paths of files and mail addresses stay."""
    assert mlflow_store.without_credentials(text) == public


@pytest.mark.parametrize(
    "uri",
    [
        "http://host/api?token={}&x=1",
        "http://host/?{}",
        "http://host/user:{}/api",
        "https://host/{}/mlflow",
        "https://host//{}/",
        "https://host/folder@{}",
        "HTTPS://host/mlflow/{}",
        "http://[::1]:5000/{}",
        "http://host/mlflow#{}",
        "http://host/mlflow#token={}",
        "http://host/mlflow;token={}",
        "http://host/mlflow;{}?x=1",
        "http://{}@host",
        "http://{}:x@host",
        "http://user:{}@host:5000",
        "postgresql://user:{}@host/db",
        "postgresql://host/db?user=u&password={}",
        "postgresql:///db?host=/run/postgresql&password={}",
    ],
)
@pytest.mark.parametrize(
    "text", ["Invalid url: {uri}/api/2.0", "unsupported URI '{uri}'", "no user {secret}, /{secret}?"]
)
def test_no_part_of_the_stores_address_that_may_be_secret_is_shown(
    monkeypatch: pytest.MonkeyPatch, uri: str, text: str
) -> None:
    """Whoever puts the address, or the secret alone, into a message, quoted or not, the secret is not shown."""
    # Letters alone may be the name of a folder, too.
    for secret, (given, said) in itertools.product((SECRET, "correcthorse", "tok-4711", "sécret"), PAIRS):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.format(given(secret)))

        shown = mlflow_store.without_credentials(text.format(uri=uri.format(given(secret)), secret=said(secret)))

        assert secret not in unquote(shown)
        assert "***" in shown


def test_what_is_not_secret_in_an_address_stays_readable(monkeypatch: pytest.MonkeyPatch) -> None:
    """User and name of a database, and a server's host, are left in a message, as is the program's name."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://mlflow@host:5432/db?sslmode=require")

    text = 'run `mlflow experiments restore` at host:5432: no database "db" of user mlflow'

    assert mlflow_store.without_credentials(text) == text
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000/mlflow")
    assert mlflow_store.without_credentials("mlflow:5000: no answer") == "mlflow:5000: no answer"
