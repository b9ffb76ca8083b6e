"""Training against a tracking server that is broken in many ways: it never waits, never fails, and nothing is lost."""

import errno
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import mlflow
import pytest
import yaml

from pipeline import files, tracking
from pipeline.data import dataset
from pipeline.data.dataset import Dataset, Split
from pipeline.errors import PipelineError, UnavailableError
from pipeline.params import Params
from pipeline.tracking import client, experiments, live, outbox
from pipeline.tracking import runs as finished_runs
from pipeline.tracking.description import RunDescription
from pipeline.training import model_file, networks
from tests.support.frozen import FROZEN
from tests.support.local_server import LocalServer, free_port, serving
from tests.support.processes import wait_until

ROOT = Path(__file__).parents[2]
LOGIN = "somebody:hunter2"
SECRETS = {"AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI", "MLFLOW_TRACKING_PASSWORD": "hunter2", "MY_TOKEN": "tok-4711"}
BROKEN = ("refuse", "drop", "hang", "html", "500", "401", "403")
ROWS = [
    {"epoch": e, "loss": 1 / e, "accuracy": 0.5, "val_loss": 2 / e, "val_accuracy": 0.5, "seconds": 1.0}
    for e in range(1, 6)
]


class Tracker(BaseHTTPRequestHandler):
    """A tracking server in front of a real one, or of none, that answers as its server's `mode` says.

    "pass" hands on to the real server, "slow" does after four seconds; "drip" sends a byte now and then, "huge"
    announces 99 GB, "old" is MLflow 2, "answers TEXT" answers that. A request whose path matches a pattern in `lost` is
    handed on, and then the connection is closed without an answer, once; one that matches `fatal` kills it.
    """

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        """Answer any request."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        mode = self.server.mode
        if self.server.fatal and re.search(self.server.fatal, self.path):
            self.server.mode = mode = "drop"
        if mode == "drop":
            self.close_connection = True
        elif mode == "hang":
            self.server.ended.wait(60)
            self.close_connection = True
        elif mode == "drip":
            self.reply(200, "application/json", b"{", length=10**6)
            while not self.server.ended.wait(0.1):
                self.wfile.write(b" ")
        elif mode == "huge":
            self.reply(200, "application/json", b"{", length=99 * 10**9)
        elif mode.startswith("answers "):
            self.reply(200, "application/json", mode.removeprefix("answers ").encode())
        elif mode == "old":
            self.reply(
                *((200, "text/html", b"2.22.0") if self.path == "/version" else (404, "text/html", b"Not Found"))
            )
        elif mode == "html":
            self.reply(200, "text/html", b"<html><body>Log in to this network</body></html>")
        elif mode in ("pass", "slow"):
            self.server.ended.wait(4 if mode == "slow" else 0)
            self.hand_on(body)
        else:
            self.reply(int(mode), "application/json", b"")

    def hand_on(self, body: bytes) -> None:
        """Have the real server answer, unless that answer is to be lost."""
        there = http.client.HTTPConnection(self.server.upstream, timeout=60)
        there.request(self.command, self.path, body, {"Content-Type": self.headers.get("Content-Type", "")})
        answer = there.getresponse()
        content = answer.read()
        there.close()
        if lost := next((part for part in self.server.lost if re.search(part, self.path)), None):
            self.server.lost.remove(lost)
            self.close_connection = True
        else:
            self.reply(answer.status, answer.getheader("Content-Type", ""), content)

    def reply(self, status: int, kind: str, content: bytes, length: int | None = None) -> None:
        """Send an answer, of which `length` bytes are announced."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def tracker(mode: str, upstream: str = "") -> Iterator[Any]:
    """Be tracked by a server with a `uri` that answers as `mode` says; "refuse" is a port at which nobody listens."""
    server = LocalServer(Tracker)
    server.mode, server.upstream, server.lost, server.fatal = mode, upstream, set(), ""
    server.ended = threading.Event()
    server.uri = f"http://{LOGIN}@127.0.0.1:{server.server_port}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", server.uri)
        if mode == "refuse":
            server.server_close()
            yield server
            return
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield server
        finally:
            server.ended.set()
            server.shutdown()
            server.server_close()


@dataclass(frozen=True)
class RealServer:
    """A working tracking server: its address, its database, and its folder of artifacts."""

    address: str
    database: Path
    artifacts: Path


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[RealServer]:
    """Return a working `mlflow server`."""
    folder = tmp_path_factory.mktemp("server")
    database, port = folder / "mlflow.db", free_port()
    shutil.copy(empty_store, database)
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", port, "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{database}", "--artifacts-destination", str(folder / "artifacts")]
    settings = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with serving(command, f"http://127.0.0.1:{port}/health", folder / "log", **settings):
        yield RealServer(f"127.0.0.1:{port}", database, folder / "artifacts")


@pytest.fixture(scope="module")
def model(values: Params, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model file."""
    network = networks.build(values.models["mlp_rmsprop"].network, (28, 28), 10, seed=0, precision="float32")
    path = tmp_path_factory.mktemp("model") / "m.keras"
    model_file.save(path, network, {"recipe": "r"})
    return path


@pytest.fixture
def _short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "START_TIMEOUT_S", 0.5)
    monkeypatch.setattr(live, "END_TIMEOUT_S", 0.5)
    monkeypatch.setattr(outbox, "RETRY_S", 0.1)


@pytest.fixture
def _quick_to_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "RETRY_S", 0.2)
    monkeypatch.setattr(live, "END_TIMEOUT_S", 120.0)


def described(values: Params, recipe: str) -> RunDescription:
    """Return the description of a run with this recipe."""
    data = {"dataset": "digits", "validation": "test", "split_seed": 0}
    return RunDescription("mlp_rmsprop", recipe, "d" * 32, values.models["mlp_rmsprop"], values.train, data)


@dataclass(frozen=True)
class Training:
    """A training that is only pretended: what describes its run, its data, and its model's file."""

    description: RunDescription
    data: Dataset
    model: Path

    def train(self, after: Mapping[int, Callable[[], object]] | None = None) -> float:
        """Train, with something that happens `after` an epoch; return the seconds that logging took in all."""
        spent = 0.0
        with tracking.training_run(self.description, self.data) as run:
            for epoch in range(1, len(ROWS) + 1):
                started = time.monotonic()
                run.log_epochs(ROWS[:epoch])
                spent += time.monotonic() - started
                (after or {}).get(epoch, lambda: None)()
            run.log_model(self.model)
        return spent

    def complete(self, rows: list[dict[str, Any]] = ROWS) -> Any:
        """Complete its run as sync does, and return it."""
        return finished_runs.complete(self.description, self.data, rows, self.model)

    def runs(self) -> list[Any]:
        """Return its runs."""
        return runs(self.description.recipe)

    def assert_whole(self) -> str:
        """Check that its one run has all and nothing twice: status, params, data, epochs, model, checksum."""
        api, (run,) = mlflow.MlflowClient(), self.runs()
        assert run.info.status == "FINISHED"
        assert run.data.params == {key: str(value) for key, value in self.description.params().items()}
        assert len(run.inputs.dataset_inputs) == 2
        for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
            history = api.get_metric_history(run.info.run_id, name)
            assert sorted((point.step, point.value) for point in history) == [(row["epoch"], row[name]) for row in ROWS]
        (output,) = run.outputs.model_outputs
        (logged,) = api.search_logged_models([run.info.experiment_id], f"source_run_id = '{run.info.run_id}'")
        assert (logged.model_id, logged.status) == (output.model_id, "READY")
        found = {file.path for file in api.list_logged_model_artifacts(output.model_id)}
        assert {"MLmodel", "requirements.txt"} <= found
        assert run.data.tags["model.md5"] == files.md5(self.model)
        return str(run.info.run_id)


@pytest.fixture
def training(values: Params, request: pytest.FixtureRequest, digits: Dataset, model: Path) -> Training:
    """Return a training with a recipe that no other test has."""
    return Training(described(values, f"{abs(hash(request.node.name)):064x}"), digits, model)


def runs(recipe: str) -> list[Any]:
    """Return all runs of a recipe."""
    experiment = experiments.connect(experiments.of_dataset("digits"))
    return list(mlflow.MlflowClient().search_runs([experiment], f"tags.recipe = '{recipe}'"))


def assert_one_warning(text: str) -> None:
    """Check that one line says what is missing and what adds it, and that no password is in it."""
    assert re.fullmatch(r"warning: mlp_rmsprop: MLflow is missing .*`make sync` adds it afterwards, .*\n", text), text
    assert "hunter2" not in text


@pytest.mark.fault("tracking server refuses, drops or hangs connections, answers 500, 401, 403 or with a page")
@pytest.mark.usefixtures("_short_timeouts")
@pytest.mark.parametrize("mode", BROKEN)
def test_training_does_not_wait_for_a_broken_server(
    mode: str, training: Training, capfd: pytest.CaptureFixture[str]
) -> None:
    """An epoch costs no time, the end only the timeout; one line says what MLflow is missing and what adds it."""
    with tracker(mode):
        started = time.monotonic()
        spent = training.train()
        took = time.monotonic() - started

    assert spent < 0.5
    assert took < 5
    captured = capfd.readouterr()
    assert_one_warning(captured.err)
    assert captured.out == ""


@pytest.mark.fault("tracking server demands a login")
@pytest.mark.parametrize("mode", ["401", "403"])
def test_a_refused_login_is_not_tried_again(mode: str, training: Training, capfd: pytest.CaptureFixture[str]) -> None:
    """The end waits for nothing, and the warning names the variables that hold a login."""
    with tracker(mode):
        started = time.monotonic()
        training.train({2: lambda: time.sleep(1)})
        took = time.monotonic() - started

    assert took < 10
    text = capfd.readouterr().err
    assert_one_warning(text)
    assert "MLFLOW_TRACKING_USERNAME" in text
    assert "MLFLOW_TRACKING_PASSWORD" in text


@pytest.mark.fault("tracking is required and its server is away at the start")
@pytest.mark.usefixtures("_short_timeouts")
@pytest.mark.parametrize("mode", BROKEN)
def test_where_tracking_is_required_nothing_starts_without_it(mode: str, training: Training) -> None:
    """With the condition, the training ends before it begins, with exit code 3 and no password in the message."""
    with (
        tracker(mode),
        pytest.raises(UnavailableError, match="nothing was trained") as caught,
        tracking.training_run(training.description, training.data, required=True),
    ):
        pytest.fail("the training began")

    assert caught.value.exit_code == 3
    assert "hunter2" not in str(caught.value)


@pytest.mark.fault("tracking server sends a byte now and then, or announces 99 GB, to a command")
@pytest.mark.parametrize("mode", ["drip", "huge"])
def test_an_answer_is_bounded(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that needs it ends soon after the time that a whole answer may take, or at once, in one line."""
    monkeypatch.setattr(client, "ANSWER_TIMEOUT_S", 1.0)
    with tracker(mode):
        started = time.monotonic()
        with pytest.raises(UnavailableError) as caught, client.reachable():
            finished_runs.find_run("digits", {"model": "m"})
        took = time.monotonic() - started

    assert took < 10
    assert ("its answer takes too long" if mode == "drip" else "its answer has 99000000000 bytes") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.fault("tracking server sends a byte now and then, or announces 99 GB, to a command")
def test_a_download_is_bounded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file that does not come to its end is given up; one that does is there whole."""
    monkeypatch.setattr(client, "FILE_TIMEOUT_S", 1.0)
    with tracker("drip") as server:
        place = f"mlflow-artifacts://127.0.0.1:{server.server_port}/1/a"
        with pytest.raises(UnavailableError), client.reachable():
            mlflow.artifacts.download_artifacts(f"{place}/m.keras", dst_path=str(tmp_path))


@pytest.mark.fault("tracking server is MLflow 2")
@pytest.mark.usefixtures("_short_timeouts")
def test_an_old_server_is_named(training: Training, capfd: pytest.CaptureFixture[str]) -> None:
    """No run is begun there, which it could not end; the line has its version, and the one that it has to have."""
    with tracker("old"):
        training.train()
        text = capfd.readouterr().err
        with pytest.raises(UnavailableError, match=r"is MLflow 2\.22\.0; it has to be MLflow 3 or later"):
            finished_runs.find_run("digits", {"model": "m"})

    assert "MLflow is missing the run (http://***@127.0.0.1" in text
    assert "is MLflow 2.22.0; it has to be MLflow 3 or later" in text


SHAPES = (
    *("{}", "[]", "null", "3", '"text"', "{", '{"experiment": 3}', '{"experiment": []}', '{"experiment": {}}'),
    '{"experiment": {"experiment_id": "1", "tags": 3}}',
    '{"experiment": {"experiment_id": "1", "lifecycle_stage": "active"}, "runs": [3]}',
    '{"experiment": {"experiment_id": "1", "lifecycle_stage": "active"}, "runs": {"a": 1}}',
)


@pytest.mark.fault("tracking server answers with JSON of another shape")
@pytest.mark.parametrize("text", SHAPES)
def test_an_answer_of_another_shape_is_one_line(text: str) -> None:
    """Whatever MLflow's client makes of it, the command ends with exit code 3, and nothing is called deleted."""
    with tracker(f"answers {text}"), pytest.raises(UnavailableError) as caught, client.reachable():
        finished_runs.find_run("digits", {"model": "m"})

    assert str(caught.value).startswith("http://***@127.0.0.1:")
    assert "deleted" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.fault("queued experiments on a busy machine, all at once, without a store yet")
@pytest.mark.usefixtures("_short_timeouts", "store")
def test_a_local_store_that_is_slow_gets_the_whole_run(
    training: Training, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """However long it takes longer than an outage is waited for, the run is whole, and there is no warning."""
    before = finished_runs.log_inputs

    def slow(*arguments: Any) -> None:
        time.sleep(2)
        before(*arguments)

    monkeypatch.setattr(finished_runs, "log_inputs", slow)
    training.train()

    assert capfd.readouterr().err == ""
    training.assert_whole()


@pytest.mark.fault("an experiment of `dvc exp` that MLflow is missing parts of")
@pytest.mark.usefixtures("_short_timeouts")
def test_an_experiment_names_what_adds_its_run(
    training: Training, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Sync adds what the workspace has, so that the experiment has to be applied before."""
    monkeypatch.setenv("DVC_EXP_NAME", "brave-owl")
    with tracker("refuse"):
        training.train()

    assert "; `dvc exp apply brave-owl && make sync` adds it afterwards, " in capfd.readouterr().err


@pytest.mark.fault("the disk of TMPDIR is full")
@pytest.mark.parametrize("name", ["", "/elsewhere/x"])
def test_a_full_disk_for_temporary_files_is_not_the_store(store: Path, name: str) -> None:
    """The folder is named, and no store is blamed; one of the store's own files is the store's."""
    error = OSError(errno.ENOSPC, "No space left on device", *([name] if name else []))
    with pytest.raises(PipelineError) as caught, client.reachable():
        raise error
    assert str(caught.value).startswith(f"{name or tempfile.gettempdir()}: cannot be used (No space left on device); ")
    assert caught.value.exit_code == 1
    monkey = store.parent / "mlruns" / "x"
    with pytest.raises(UnavailableError, match="sqlite:///"), client.reachable():
        raise OSError(errno.ENOSPC, "No space left on device", str(monkey))


HOLD = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1])
database.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked(database: Path) -> Iterator[subprocess.Popen[str]]:
    """Have another process, which may be killed, hold the database for itself."""
    command = [sys.executable, "-c", HOLD, str(database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield holder
        holder.kill()


@pytest.mark.fault("sqlite locked by another process for three seconds")
@pytest.mark.usefixtures("_quick_to_retry")
def test_a_store_that_is_locked_for_a_moment_is_waited_for(
    training: Training, store: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The training goes on meanwhile, and in the end its run is whole, without a warning."""
    with locked(store) as holder:
        threading.Timer(3, holder.kill).start()
        spent = training.train()

    assert spent < 0.5
    assert capfd.readouterr().err == ""
    training.assert_whole()


@pytest.mark.fault("sqlite locked by another process for the whole training")
@pytest.mark.usefixtures("_short_timeouts")
def test_a_store_that_stays_locked_is_an_outage(
    training: Training, store: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The training ends well with one warning that speaks of the lock; completed later, one run holds all of it."""
    monkeypatch.setattr("pipeline.tracking.store._BUSY_TIMEOUT_S", 0.1)
    with locked(store):
        training.train()
        time.sleep(0.5)
    text = capfd.readouterr().err

    assert_one_warning(text)
    assert "locked by another process" in text
    training.complete()
    training.assert_whole()


TRAINER = """
import json, sys, time
from pathlib import Path
import numpy as np
from pipeline import cli, params, tracking
from pipeline.data.dataset import Dataset, Split
from pipeline.tracking.description import RunDescription

def main():
    model, recipe, rows = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
    split = Split(np.zeros((20, 28, 28), np.uint8), np.arange(20, dtype=np.uint8) % 10)
    values = params.load(Path("tests/frozen/params.yaml"))
    data = {"dataset": "digits", "validation": "test", "split_seed": 0}
    description = RunDescription("mlp_rmsprop", recipe, "d" * 32, values.models["mlp_rmsprop"], values.train, data)
    with tracking.training_run(description, Dataset(split, None, split, tuple("0123456789"))) as run:
        for epoch in range(1, len(rows) + 1):
            started = time.monotonic()
            run.log_epochs(rows[:epoch])
            print(f"epoch {time.monotonic() - started}", flush=True)
            sys.stdin.readline()
        run.log_model(model)
        print(f"trained {time.time()}", flush=True)

cli.run(main)
"""


class Trainer:
    """A process that pretends to train against `uri`, one epoch at each call."""

    def __init__(self, uri: str, description: RunDescription, model: Path) -> None:
        self.lines: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, "-c", TRAINER, str(model), description.recipe, json.dumps(ROWS)],
            cwd=ROOT,
            env=os.environ | SECRETS | {"MLFLOW_TRACKING_URI": uri},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def train(self, epochs: int = len(ROWS)) -> None:
        """Let it train for some epochs, its last one included by default."""
        for _ in range(epochs):
            self._epoch()

    def _epoch(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stdin is not None
        self.lines.append(self._process.stdout.readline())
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def end(self) -> tuple[int, float, str]:
        """Wait for its end; return exit code, seconds from the last epoch to now, and what it said on stderr."""
        output, errors = self._process.communicate(timeout=300)
        spent = sum(float(line.split()[1]) for line in self.lines)
        assert spent < 0.5
        word, ended = output.split()
        assert word == "trained"
        return self._process.returncode, time.time() - float(ended), errors


@pytest.fixture(scope="module")
def outages(real: RealServer, values: Params, model: Path) -> dict[str, tuple[int, float, str]]:
    """Return how a process with the project's own timeouts ended, by what its server did; all ran at once."""
    ended = {}
    with ExitStack() as stack:
        trainers = {}
        for mode in (*BROKEN, "slow"):
            uri = stack.enter_context(tracker(mode, real.address)).uri
            trainers[mode] = Trainer(uri, described(values, mode.ljust(64, "0")), model)
        for trainer in trainers.values():
            trainer.train()
        for mode, trainer in trainers.items():
            ended[mode] = trainer.end()
    return ended


@pytest.mark.slow
@pytest.mark.fault("tracking server broken or slow for the whole training")
@pytest.mark.parametrize("mode", [*BROKEN, "slow"])
def test_the_end_costs_seconds_at_most(outages: dict[str, tuple[int, float, str]], mode: str) -> None:
    """A process ends well about twenty seconds after its last epoch at the latest, with one line and no password."""
    code, seconds, text = outages[mode]

    assert code == 0
    assert seconds < 27
    assert_one_warning(text)


@pytest.mark.slow
@pytest.mark.fault("sqlite locked by another process in mid-training, for good")
def test_a_lock_in_mid_training_loses_nothing(training: Training, store: Path) -> None:
    """The process ends well; the run that it left is completed later, each epoch once."""
    trainer = Trainer(f"sqlite:///{store}", training.description, training.model)
    trainer.train(2)
    wait_until(lambda: len(training.runs()) == 1 and training.runs()[0].data.metrics)
    with locked(store):
        trainer.train(len(ROWS) - 2)
        code, seconds, text = trainer.end()

    assert code == 0
    # MLflow itself tries again and again, so that nothing seems to have failed.
    assert seconds < 27 + live.BUSY_TIMEOUT_S
    assert_one_warning(text)
    (left,) = training.runs()
    assert left.info.status == "RUNNING"
    training.complete()
    training.assert_whole()


@pytest.mark.slow
@pytest.mark.fault("tracking server dies in mid-training and comes back")
@pytest.mark.usefixtures("_quick_to_retry")
def test_a_server_that_comes_back_gets_everything_once(
    real: RealServer, training: Training, capfd: pytest.CaptureFixture[str]
) -> None:
    """Epochs of the outage are sent after it, in order, and nobody need know of it."""
    with tracker("pass", real.address) as server:

        def die() -> None:
            wait_until(lambda: training.runs() and training.runs()[0].data.metrics)
            server.mode = "drop"

        def come_back() -> None:
            time.sleep(1)
            server.mode = "pass"

        training.train({2: die, 4: come_back})

        history = mlflow.MlflowClient().get_metric_history(training.assert_whole(), "loss")
        assert [point.step for point in history] == [row["epoch"] for row in ROWS]
    assert capfd.readouterr().err == ""


CALLS = (
    "runs/create",
    "log-batch",
    "log-inputs",
    "mlflow/logged-models$",
    "artifacts/",
    "outputs",
    "set-tag",
    "runs/update",
)


@pytest.mark.slow
@pytest.mark.fault("tracking server does what it is asked and its answer is lost")
@pytest.mark.usefixtures("_quick_to_retry")
@pytest.mark.parametrize("lost", [*CALLS, "all"])
def test_a_lost_answer_doubles_nothing(real: RealServer, training: Training, lost: str) -> None:
    """What is asked for again is there once: the run, each epoch, the data, the model."""
    with tracker("pass", real.address) as server:
        server.lost |= set(CALLS) if lost == "all" else {lost}
        training.train()

        assert server.lost == set()
        training.assert_whole()


@pytest.mark.slow
@pytest.mark.fault("tracking server dies for good at some moment of a run")
@pytest.mark.usefixtures("_quick_to_retry")
@pytest.mark.parametrize("fatal", CALLS)
def test_a_run_that_was_cut_short_is_completed(
    real: RealServer,
    training: Training,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    fatal: str,
) -> None:
    """Whichever request is the server's last, one warning says so, and one run is whole once it is completed."""
    with tracker("pass", real.address) as server:
        # Not a matter of time here: it gives up as soon as the server is dead.
        monkeypatch.setattr(client, "is_permanent", lambda _: server.mode == "drop")
        server.fatal = fatal
        training.train()
        assert server.mode == "drop"
        assert_one_warning(capfd.readouterr().err)

        server.mode, server.fatal = "pass", ""
        training.complete()

        training.assert_whole()


@pytest.mark.slow
@pytest.mark.fault("an outage of hundreds of epochs, seen from a server")
def test_a_server_takes_hundreds_of_epochs_at_once(
    real: RealServer, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than it takes in one request is sent in several."""
    rows = [ROWS[0] | {"epoch": epoch} for epoch in range(1, 301)]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{real.address}")

    history = mlflow.MlflowClient().get_metric_history(training.complete(rows).info.run_id, "loss")

    assert [point.step for point in history] == list(range(1, 301))


class Workspace:
    """A folder in which the real `python -m pipeline.train` trains one small model for two epochs."""

    def __init__(self, folder: Path, digits: Dataset) -> None:
        self.folder = folder
        few = Dataset(Split(digits.train.images[:256], digits.train.labels[:256]), None, digits.test, digits.classes)
        dataset.save(folder / "digits.npz", few)
        values = yaml.safe_load((FROZEN / "params.yaml").read_text())
        values["models"] = {"mlp_rmsprop": values["models"]["mlp_rmsprop"] | {"epochs": 2}}
        values["gate"], values["data"]["dataset"] = {}, "digits"
        (folder / "params.yaml").write_text(yaml.safe_dump(values))

    def train(self, uri: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Train."""
        command = [sys.executable, "-m", "pipeline.train", "mlp_rmsprop", "--data", "digits.npz"]
        command += ["--output", "m.keras", "--history", "h.csv", "--timing", "t.csv", "--work", "work", *options]
        environment = os.environ | SECRETS | {"MLFLOW_TRACKING_URI": uri, "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False, timeout=300
        )

    def made(self) -> set[str]:
        """Return the results that are there."""
        return {name for name in ("m.keras", "h.csv", "t.csv") if (self.folder / name).exists()}

    def left(self) -> list[Path]:
        """Return the checkpoints that are there."""
        return list((self.folder / "work").rglob("epoch-*"))


@pytest.fixture
def workspace(tmp_path: Path, digits: Dataset) -> Workspace:
    """Return a folder to train in."""
    return Workspace(tmp_path, digits)


@pytest.mark.slow
@pytest.mark.fault("tracking server hangs, or answers 500, during a real training")
@pytest.mark.parametrize("mode", ["500", "hang"])
def test_a_real_training_ends_well_without_its_server(workspace: Workspace, mode: str) -> None:
    """Exit code 0, model and history on disk, no checkpoint left, one warning, no traceback, no password."""
    with tracker(mode) as server:
        ended = workspace.train(server.uri)

    assert ended.returncode == 0, ended.stderr
    assert workspace.made() == {"m.keras", "h.csv", "t.csv"}
    assert workspace.left() == []
    assert len(re.findall("^warning: ", ended.stderr, flags=re.MULTILINE)) == 1
    assert_one_warning(ended.stderr[ended.stderr.index("warning: mlp") :])
    assert "Traceback" not in ended.stderr
    assert not [secret for secret in SECRETS.values() if secret in ended.stdout + ended.stderr]


@pytest.mark.slow
@pytest.mark.fault("tracking is required and its server dies in mid-training")
def test_a_required_server_that_dies_repeats_no_training(real: RealServer, workspace: Workspace) -> None:
    """Exit code 3, the training kept; run again with a server, it trains no epoch and its model has the same bytes."""
    with tracker("pass", real.address) as server:
        server.fatal = "mlflow/logged-models$"
        first = workspace.train(server.uri, "--require-tracking")
        model = (workspace.folder / "m.keras").read_bytes()
        kept = workspace.left()
        server.mode, server.fatal = "pass", ""
        (workspace.folder / "m.keras").unlink()
        second = workspace.train(server.uri, "--require-tracking")

        assert first.returncode == 3, first.stderr
        assert re.search(
            r"^error: MLflow is missing its model.*; run again: the model is kept", first.stderr, re.MULTILINE
        )
        assert kept
        assert second.returncode == 0, second.stderr
        assert "resuming after epoch 2" in second.stdout
        assert " epoch " not in second.stdout.replace("after epoch", "")
        assert (workspace.folder / "m.keras").read_bytes() == model
        assert workspace.left() == []
        recipe = model_file.made_with(workspace.folder / "m.keras")["recipe"]
        assert sorted(run.info.status for run in runs(recipe)) == ["FINISHED", "KILLED"]


@pytest.mark.slow
@pytest.mark.fault("tracking is required and its server is away: a real training")
def test_a_required_server_that_is_away_starts_no_training(workspace: Workspace) -> None:
    """Exit code 3 within seconds, and nothing is trained."""
    with tracker("refuse") as server:
        ended = workspace.train(server.uri, "--require-tracking")

    assert ended.returncode == 3
    assert "nothing was trained" in ended.stderr
    assert "hunter2" not in ended.stderr
    assert workspace.made() == set()
    assert workspace.left() == []


def texts(*places: Path) -> bytes:
    """Return all bytes of files and of what lies in folders."""
    found = [path for place in places for path in (place, *place.rglob("*")) if path.is_file()]
    assert found
    return b"".join(path.read_bytes() for path in found)


@pytest.mark.slow
@pytest.mark.fault("credentials in the server's address and in the environment")
def test_no_secret_reaches_a_server(real: RealServer, workspace: Workspace) -> None:
    """Nothing of a login or of the environment is printed, or stored as param, tag or artifact."""
    with tracker("pass", real.address) as server:
        ended = workspace.train(server.uri)

    assert ended.returncode == 0, ended.stderr
    assert "warning: " not in ended.stderr
    stored = texts(real.database, real.artifacts)
    assert b"mlp_rmsprop" in stored
    for secret in SECRETS.values():
        assert secret.encode() not in stored
        assert secret not in ended.stdout + ended.stderr


@pytest.mark.fault("secrets in the environment")
def test_no_secret_reaches_a_local_store(training: Training, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes of the store and of its artifacts hold nothing of the environment."""
    for name, secret in SECRETS.items():
        monkeypatch.setenv(name, secret)
    monkeypatch.setattr(live, "END_TIMEOUT_S", 120.0)
    training.train()

    stored = texts(store, store.parent / "mlruns")
    assert training.description.recipe.encode() in stored
    assert [secret for secret in SECRETS.values() if secret.encode() in stored] == []
