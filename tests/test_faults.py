"""Kills, full disks, edited files and strange environments: the programs are hurt, and run again."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import mlflow
import pytest
import yaml

from pipeline import files
from pipeline.data import dataset
from pipeline.data.dataset import Dataset
from tests.support import changes, forks, small
from tests.support.frozen import FROZEN

ROOT = Path(__file__).parents[1]
EPOCHS = 8
LIMIT = 180.0  # seconds for what takes a few on a machine that does nothing else
CHEAP = "mlp_adadelta"
DATA = Path("data/processed/digits.npz")
NOWHERE = "/proc/home"  # a directory that is not there, and that not even root can make


class Program:
    """A program at work in a process group of its own; one that is not to be `real` is forked, where that can be."""

    def __init__(
        self, command: tuple[str, ...], folder: Path, environment: dict[str, str], limit: int | None, real: bool
    ) -> None:
        logs = folder.with_name(f"{folder.name}.logs")
        logs.mkdir(exist_ok=True)
        number = len(list(logs.iterdir())) // 2
        self._out, self._err = logs / f"{number}.out", logs / f"{number}.err"
        self._process: subprocess.Popen[bytes] | forks.Program
        if not real and command[0] == sys.executable and forks.path():
            settings = {"out": self._out, "err": self._err, "limit": limit}
            self._process = forks.server("python").start(command[1:], folder, environment, **settings)
            return
        if limit is not None:
            # POSIX counts in blocks of 512 bytes.
            command = ("sh", "-c", 'ulimit -f "$0" && exec "$@"', str(limit // 512), *command)
        with self._out.open("wb") as out, self._err.open("wb") as err:
            streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": err}
            self._process = subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True, **streams)

    @property
    def pid(self) -> int:
        """The number of the process, and of its group."""
        return self._process.pid

    @property
    def out(self) -> str:
        """What it printed so far."""
        return self._out.read_text(encoding="utf-8", errors="replace")

    @property
    def err(self) -> str:
        """What it complained of so far."""
        return self._err.read_text(encoding="utf-8", errors="replace")

    def epochs(self) -> int:
        """Return for how many epochs it printed a line."""
        return len(re.findall(r" epoch +\d+/", self.out))

    def until(self, seen: Callable[[], bool]) -> None:
        """Wait until something can be seen."""
        deadline = time.monotonic() + LIMIT
        while not seen():
            assert self._process.poll() is None, f"it ended too early:\n{self.out}{self.err}"
            assert time.monotonic() < deadline, f"nothing to be seen:\n{self.out}{self.err}"
            time.sleep(0.001)

    def signal(self, number: int) -> None:
        """Send a signal to every process of the group."""
        os.killpg(self.pid, number)

    def end(self, code: int | None = None) -> int:
        """Wait for the end of the program, which has to be that code, and return the code."""
        found = self._process.wait(LIMIT)
        assert code in (None, found), f"ended with {found}:\n{self.out}{self.err}"
        return found

    def kill(self) -> None:
        """Kill what is left of the group, as kill -9 does."""
        with suppress(ProcessLookupError):
            self.signal(signal.SIGKILL)
        self.end()

    def is_gone(self) -> bool:
        """Return whether no process of the group is left."""
        try:
            self.signal(0)
        except ProcessLookupError:
            return True
        return False


def wait_for(seen: Callable[[], bool]) -> None:
    """Wait until something can be seen."""
    deadline = time.monotonic() + LIMIT
    while not seen():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@dataclass(frozen=True)
class Workspace:
    """A folder in which programs run: with the project's code a repository, without it only what they need."""

    folder: Path

    @contextmanager
    def started(
        self, *command: str, limit: int | None = None, real: bool = False, **environment: str
    ) -> Iterator[Program]:
        """Start a program, which may write no file beyond `limit` bytes; when the block ends, nothing of it is left.

        It is the `real` one, with all that it imports, where it gets an environment of its own.
        """
        program = Program(command, self.folder, self._environment() | environment, limit, real or bool(environment))
        try:
            yield program
        finally:
            program.kill()

    def ended(self, *command: str, code: int = 0, limit: int | None = None, **environment: str) -> Program:
        """Run a program to its end, which has to be that code, and return it."""
        with self.started(*command, limit=limit, **environment) as program:
            program.end(code)
        return program

    def _environment(self) -> dict[str, str]:
        foreign = ("MLFLOW_", "DVC_", "PYTHON", "REQUIRE_TRACKING")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
        kept |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "GIT_CONFIG_GLOBAL": "/dev/null"}
        if (self.folder / "pipeline").exists():
            return kept | {"DVC_NO_ANALYTICS": "1"}
        return kept | {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": f"sqlite:///{self.store}"}

    def copy(self, to: Path) -> Workspace:
        """Return a copy in a new folder."""
        return Workspace(Path(shutil.copytree(self.folder, to, symlinks=True)))

    @property
    def store(self) -> Path:
        """MLflow's store."""
        return self.folder / "mlflow.db"

    def begun(self) -> int:
        """Return how many trainings MLflow knows of."""
        if not self.store.exists():
            return 0
        with closing(sqlite3.connect(f"{self.store.as_uri()}?mode=ro", uri=True)) as database:
            return int(database.execute("SELECT count(*) FROM runs").fetchone()[0])

    def runs(self, status: str | None = None) -> list[Any]:
        """Return the runs in the store, those with that status."""
        client = mlflow.MlflowClient(f"sqlite:///{self.store}")
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        return [run for run in client.search_runs(experiments) if status in (None, run.info.status)]

    def steps(self, run: Any) -> dict[str, list[int]]:
        """Return the steps of each metric per epoch."""
        history = mlflow.MlflowClient(f"sqlite:///{self.store}").get_metric_history
        return {
            key: sorted(point.step for point in history(run.info.run_id, key))
            for key in ("loss", "accuracy", "val_loss", "val_accuracy", "epoch_seconds")
        }

    def model(self, name: str = CHEAP) -> Path:
        """Return where a model's file is."""
        return self.folder / "models" / f"{name}.keras"

    def result(self, name: str = CHEAP) -> tuple[str, str]:
        """Return the sums of a trained model and of its history."""
        return files.sha256(self.model(name)), files.sha256(self.folder / "reports" / "history" / f"{name}.csv")

    def kept(self, pattern: str = "epoch-*.npz") -> list[Path]:
        """Return the checkpoints, the oldest first."""
        return sorted(self.folder.glob(f"work/*/{pattern}"))

    def unfinished(self) -> list[Path]:
        """Return the temporary files that are left."""
        return [path for path in self.folder.rglob(".*.part*") if ".dvc" not in path.parts]


def module(name: str, *arguments: str) -> tuple[str, ...]:
    """Return the command for a module of the project."""
    return (sys.executable, "-m", f"pipeline.{name}", *arguments)


def train(name: str = CHEAP, *more: str) -> tuple[str, ...]:
    """Return the command for the training of a model."""
    paths = {"data": DATA, "output": f"models/{name}.keras"}
    paths |= {kind: f"reports/{kind}/{name}.csv" for kind in ("history", "timing")}
    options = [word for key, path in paths.items() for word in (f"--{key}", str(path))]
    return module("train", name, *options, *more)


def preprocess() -> tuple[str, ...]:
    """Return the command for the preprocessing."""
    paths = {"set": "data/sets/digits.yaml", "input": "data/local", "output": DATA, "summary": "data.json"}
    options = [str(word) for key, path in paths.items() for word in (f"--{key}", path)] + ["--samples", "samples.png"]
    return module("preprocess", *options)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, digits: Dataset, empty_store: Path) -> Workspace:
    """Return a workspace in which nothing has run yet."""
    workspace = Workspace(tmp_path_factory.mktemp("prepared") / "workspace")
    workspace.folder.mkdir()
    shutil.copy(FROZEN / "params.yaml", workspace.folder)
    shutil.copy(empty_store, workspace.store)
    small.write_params(workspace.folder, digits)
    changes.edit(workspace.folder, lambda values: [model.update(epochs=EPOCHS) for model in values["models"].values()])
    dataset.save(workspace.folder / DATA, digits)
    return workspace


@pytest.fixture
def workspace(prepared: Workspace, tmp_path: Path) -> Workspace:
    """Return a workspace in which nothing has run yet, for one test."""
    return prepared.copy(tmp_path / "workspace")


# A workspace for the name of each model.
Workspaces = Callable[[str], Workspace]


@pytest.fixture(scope="session")
def trained(prepared: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspaces:
    """Return workspaces in which a model was trained undisturbed."""

    @cache
    def make(name: str) -> Workspace:
        workspace = prepared.copy(tmp_path_factory.mktemp("trained") / name)
        workspace.ended(*train(name))
        return workspace

    return make


@pytest.fixture(scope="session")
def killed(prepared: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspaces:
    """Return workspaces in which the training of a model was killed in an epoch after the second."""

    @cache
    def make(name: str) -> Workspace:
        workspace = prepared.copy(tmp_path_factory.mktemp("killed") / name)
        with workspace.started(*train(name)) as program:
            program.until(lambda: program.epochs() >= 2 and workspace.begun() == 1)
            program.kill()
        # If that was while it wrote.
        for path in workspace.unfinished():
            path.unlink()
        return workspace

    return make


@pytest.fixture(scope="session")
def unsaved(killed: Workspaces, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Return a workspace in which all epochs of a training are done, and its model was lost."""
    workspace = killed(CHEAP).copy(tmp_path_factory.mktemp("unsaved") / "workspace")
    with workspace.started(*train()) as program:
        program.until(workspace.model().exists)
        program.kill()
    workspace.model().unlink()
    return workspace


@pytest.mark.slow
@pytest.mark.fault("params.yaml or code edited while a training runs, for the next one")
@pytest.mark.parametrize("edited", ["params", "code", "data"])
def test_what_is_edited_while_a_training_runs_is_not_recorded_with_it(
    reproduced: Path, tmp_path: Path, edited: str
) -> None:
    """The stage ends with 1 and names it; with the old put back nothing is trained again, with the new it is."""
    workspace = Workspace(tmp_path / "workspace")
    shutil.copytree(reproduced, workspace.folder, symlinks=True)
    changes.edit(workspace.folder, lambda values: values["models"]["cnn"].update(epochs=EPOCHS))
    repro = ("dvc", "repro", "train@cnn")
    path = workspace.folder / {"params": "params.yaml", "code": "pipeline/training/loop.py", "data": DATA}[edited]
    old, lock = path.read_bytes(), (workspace.folder / "dvc.lock").read_bytes()

    with workspace.started(*repro) as program:
        program.until(lambda: program.epochs() >= 2)
        path.unlink()
        path.write_bytes(old.replace(b"epochs: 8", b"epochs: 4") if edited == "params" else old + b"\n")
        assert program.end() != 0

    named = {"params": "models.cnn in params.yaml", "code": "pipeline/training", "data": str(DATA)}[edited]
    assert f"error: {named}: changed while this ran, which DVC would record with results of the old" in program.err
    assert "Traceback" not in program.err
    assert (workspace.folder / "dvc.lock").read_bytes() == lock
    path.write_bytes(old)
    again = workspace.ended(*repro)
    assert f"resuming after epoch {EPOCHS}" in again.out
    assert again.epochs() == 0


def reached(moment: str, workspace: Workspace, name: str, before: int) -> bool:
    """Return whether a training that MLflow did not know before is at that moment."""
    seen = workspace.model(name).exists() if moment == "model" else bool(workspace.kept(".written*.part*"))
    return seen and workspace.begun() > before


@pytest.mark.fault("kill -9 in an epoch, while a checkpoint is written, while the model is logged")
@pytest.mark.parametrize(
    ("name", "moments"),
    [
        (CHEAP, ["model"]),
        *(
            pytest.param(name, ["checkpoint", "model"], marks=pytest.mark.slow)
            for name in (CHEAP, "mlp_rmsprop", "cnn")
        ),
    ],
)
def test_a_training_killed_again_and_again_ends_in_the_same_bytes(
    name: str, moments: list[str], killed: Workspaces, trained: Workspaces, tmp_path: Path
) -> None:
    """Run again it goes on: model and history as if undisturbed, one finished run, each epoch once, no checkpoint."""
    workspace = killed(name).copy(tmp_path / "workspace")
    for moment in moments:
        now = partial(reached, moment, workspace, name, workspace.begun())
        with workspace.started(*train(name)) as program:
            program.until(now)
            program.kill()
        assert "resuming after epoch " in program.out

    last = workspace.ended(*train(name))

    assert f"resuming after epoch {EPOCHS}" in last.out
    assert last.err == ""
    assert workspace.result(name) == trained(name).result(name)
    assert Counter(run.info.status for run in workspace.runs()) == {"KILLED": 1 + len(moments), "FINISHED": 1}
    (run,) = workspace.runs("FINISHED")
    assert set(map(tuple, workspace.steps(run).values())) == {tuple(range(1, EPOCHS + 1))}
    assert list((workspace.folder / "work").iterdir()) == []
    assert workspace.unfinished() == []


@pytest.mark.fault("kill -9 in an epoch: the history so far")
def test_a_killed_run_leaves_the_history_of_its_epochs(killed: Workspaces, trained: Workspaces) -> None:
    """History and seconds have a complete row for each epoch that ended, in the bytes of the undisturbed run."""
    history, timing = (f"reports/{kind}/{CHEAP}.csv" for kind in ("history", "timing"))
    whole = (trained(CHEAP).folder / history).read_text()

    left = (killed(CHEAP).folder / history).read_text()

    epochs = left.count("\n") - 1
    assert 2 <= epochs < EPOCHS
    assert whole.startswith(left)
    assert (killed(CHEAP).folder / timing).read_text().count("\n") - 1 == epochs


@pytest.mark.fault("SIGTERM, Ctrl-C")
@pytest.mark.parametrize(
    ("number", "code", "said", "real"),
    [
        (signal.SIGTERM, 143, "", False),
        pytest.param(signal.SIGTERM, 143, "", True, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 130, "interrupted\n", True, marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_training_ends_in_order(
    number: signal.Signals, code: int, said: str, real: bool, workspace: Workspace
) -> None:
    """It ends within 10 seconds with the signal's code: run killed, checkpoints kept, no child and no model left."""
    with workspace.started(*train(), real=real) as program:
        program.until(lambda: program.epochs() >= 2 and workspace.begun() == 1)
        sent = time.monotonic()
        program.signal(number)
        program.end(code)
        needed = time.monotonic() - sent
        assert program.is_gone()

    assert needed < 10
    assert program.err == said
    assert [run.info.status for run in workspace.runs()] == ["KILLED"]
    assert workspace.kept()
    assert not workspace.model().exists()


def assert_no_room(program: Program, path: str, reason: str = "File too large") -> None:
    """Assert that a program said in one line which file found no room, after how many bytes, and the way back."""
    bytes_ = rf"\({reason} after \d+ bytes, \d+ bytes free\); free some space and run again; `dvc checkout` and .+"
    assert re.fullmatch(rf"error: \S*{re.escape(path)}\S*: cannot be written {bytes_}\n", program.err), program.err


@pytest.mark.fault("disk full at a checkpoint")
def test_a_checkpoint_without_room(killed: Workspaces, tmp_path: Path) -> None:
    """The training ends with 1 and names the file; earlier checkpoints stay and nothing half-written does."""
    workspace = killed(CHEAP).copy(tmp_path / "workspace")
    before = [files.sha256(path) for path in workspace.kept()]

    program = workspace.ended(*train(), limit=2_000_000, code=1)

    assert_no_room(program, "/written.npz")
    assert [files.sha256(path) for path in workspace.kept()] == before
    assert workspace.unfinished() == []


@pytest.mark.fault("disk full at the preprocessed data")
def test_preprocessed_data_without_room(workspace: Workspace) -> None:
    """The previous file stays as it was; with room again, the command makes the right one."""
    right = files.sha256(workspace.folder / DATA)

    program = workspace.ended(*preprocess(), limit=500_000, code=1)

    assert_no_room(program, str(DATA))
    assert files.sha256(workspace.folder / DATA) == right
    assert workspace.unfinished() == []
    (workspace.folder / DATA).unlink()
    workspace.ended(*preprocess())
    assert files.sha256(workspace.folder / DATA) == right


@pytest.mark.fault("output path cannot be written")
@pytest.mark.parametrize("blocked", ["models", pytest.param(f"reports/history/{CHEAP}.csv", marks=pytest.mark.slow)])
def test_an_output_that_cannot_be_written(workspace: Workspace, blocked: str) -> None:
    """A file where a directory belongs, or the reverse, ends the training with 1 before it begins."""
    path = workspace.folder / blocked
    if path.suffix:
        path.mkdir(parents=True)
    else:
        path.write_text("")

    program = workspace.ended(*train(), code=1)

    assert re.fullmatch(rf"error: {blocked}\S*: cannot be written \(.+\)\n", program.err)
    assert program.out == ""
    assert workspace.begun() == 0


@pytest.mark.fault("training diverges: NaN")
@pytest.mark.slow
def test_a_diverged_training_leaves_nothing_to_mistake_for_a_result(workspace: Workspace) -> None:
    """It ends with 1 and names the epoch; the run is failed, and there is no model, no history, no checkpoint."""
    changes.edit(workspace.folder, lambda values: values["models"][CHEAP]["optimizer"].update(learning_rate=1e30))

    program = workspace.ended(*train(), code=1)

    assert re.fullmatch(r"error: diverged in epoch 1: .+ not finite; .+\n", program.err)
    assert [run.info.status for run in workspace.runs()] == ["FAILED"]
    assert not workspace.model().exists()
    assert list((workspace.folder / "reports").rglob("*.*")) == []
    assert workspace.kept() == []


@pytest.fixture(scope="session")
def german(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Return environments with decimal commas, by encoding; their locales are made here if the machine can."""
    made = tmp_path_factory.mktemp("locales")
    names = {encoding: f"de_DE.{encoding}" for encoding in ("UTF-8", "ISO-8859-1")}
    with suppress(FileNotFoundError):
        for encoding, name in names.items():
            subprocess.run(["localedef", "-i", "de_DE", "-f", encoding, made / name], check=False)
    where = {"LOCPATH": str(made)} if any(made.iterdir()) else {}
    return {encoding: {"LC_ALL": name, "LANGUAGE": "de"} | where for encoding, name in names.items()}


# Each of these, where it is obeyed, changes bits or ends the run.
SETTINGS = {
    "KERAS_BACKEND": "jax",
    "KERAS_MAX_EPOCHS": "1",
    "TF2_BEHAVIOR": "0",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_SET_ONEDNN_FPMATH_MODE": "BF16",
    "TF_XLA_FLAGS": "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "ONEDNN_DEFAULT_FPMATH_MODE": "BF16",
    "OMP_NUM_THREADS": "7",
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a user's home with other settings of Keras in it."""
    other = {"backend": "jax", "floatx": "float16", "epsilon": 0.01, "image_data_format": "channels_first"}
    (tmp_path / "home" / ".keras").mkdir(parents=True)
    (tmp_path / "home" / ".keras" / "keras.json").write_text(json.dumps(other))
    return tmp_path / "home"


@pytest.mark.fault("strange environment: path with blanks and non-ASCII letters, locale, HOME, time zone")
@pytest.mark.fault("settings of Keras, TensorFlow, oneDNN and OpenMP in the environment and in ~/.keras")
@pytest.mark.parametrize("name", [CHEAP, pytest.param("cnn", marks=pytest.mark.slow)])
def test_the_bytes_do_not_depend_on_the_environment(
    name: str,
    prepared: Workspace,
    trained: Workspaces,
    german: dict[str, dict[str, str]],
    home: Path,
    tmp_path: Path,
) -> None:
    """Data and model have the same bytes, and MLflow the same epochs, in a place where everything is different."""
    workspace = prepared.copy(tmp_path / "ein Ort für Ziffern, 数字")
    (workspace.folder / DATA).unlink()
    strange = german["UTF-8"] | {"TZ": "Asia/Tokyo"}

    workspace.ended(*preprocess(), **strange, HOME=NOWHERE)
    program = workspace.ended(*train(name), **strange, **SETTINGS, HOME=str(home))

    assert files.sha256(workspace.folder / DATA) == files.sha256(prepared.folder / DATA)
    assert workspace.result(name) == trained(name).result(name)
    assert program.err == ""
    (run,) = workspace.runs("FINISHED")
    assert workspace.steps(run)["loss"] == list(range(1, EPOCHS + 1))


@pytest.fixture(scope="session")
def clone(prepared: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Return a repository with one model, in which nothing has run yet."""
    folder = tmp_path_factory.mktemp("clone") / "repository"
    small.copy(folder, *small.PROJECT)
    shutil.copy(prepared.folder / "params.yaml", folder)
    shutil.copytree(prepared.folder / "data", folder / "data", dirs_exist_ok=True)
    shutil.rmtree(folder / "data" / "processed")
    repository = Workspace(folder)
    changes.edit(repository.folder, lambda values: values.update(models={CHEAP: values["models"][CHEAP]}))
    repository.ended("git", "init", "--quiet")
    repository.ended("dvc", "init", "--quiet")
    small.commit(repository.folder, "t")
    return repository


@pytest.fixture(scope="session")
def finished(clone: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Return a repository in which an undisturbed `dvc repro` was committed."""
    repository = clone.copy(tmp_path_factory.mktemp("finished") / "repository")
    repository.ended("dvc", "repro")
    small.commit(repository.folder, "t")
    return repository


@pytest.fixture
def repository(finished: Workspace, tmp_path: Path) -> Workspace:
    """Return a copy of the finished repository for one test."""
    return finished.copy(tmp_path / "repository")


def stages(repository: Workspace) -> dict[str, Any]:
    """Return the stages of dvc.lock."""
    loaded: dict[str, Any] = yaml.safe_load((repository.folder / "dvc.lock").read_text())["stages"]
    return loaded


def sums(repository: Workspace) -> dict[str, str]:
    """Return the sums of all outputs in dvc.lock by path, without those that hold seconds."""
    found = {out["path"]: out["md5"] for stage in stages(repository).values() for out in stage["outs"]}
    return {
        path: md5 for path, md5 in found.items() if not re.search(r"timing|comparison\.csv|report\.(md|html)", path)
    }


def command(repository: Workspace, stage: str, limit: int | None = None) -> tuple[str, ...]:
    """Return the command of a stage, as it is called without DVC."""
    before = "" if limit is None else f"ulimit -f {limit // 512} && "
    return ("sh", "-c", f"{before}exec {stages(repository)[stage]['cmd']}")


def alter(path: Path) -> None:
    """Change a file's bytes in a way that nothing but its sum shows."""
    path.chmod(0o644)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path, "a") as archive:
            archive.comment = b"altered"
    else:
        path.write_text(re.sub(r"\d(?=\D*$)", lambda found: str((int(found[0]) + 1) % 10), path.read_text()))


def restore(repository: Workspace, program: Program) -> None:
    """Run the commands that a program's message names."""
    for command in re.findall("`([^`]+)`", program.err):
        repository.ended("sh", "-c", command)


@pytest.mark.fault("Ctrl-C or kill -9 in dvc repro")
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_dvc_repro_goes_on(number: signal.Signals, clone: Workspace, finished: Workspace, tmp_path: Path) -> None:
    """No process is left; run again, the training goes on and every output has the bytes of an undisturbed run."""
    repository = clone.copy(tmp_path / "repository")
    with repository.started("dvc", "repro") as program:
        program.until(lambda: program.epochs() >= 2 and repository.begun() == 1)
        program.signal(number)
        assert program.end() != 0
        wait_for(program.is_gone)

    again = repository.ended("dvc", "repro")

    assert "resuming after epoch " in again.out
    assert sums(repository) == sums(finished)
    assert Counter(run.info.status for run in repository.runs()) == {"KILLED": 1, "FINISHED": 1}


@pytest.mark.fault("DVC killed, its trainer goes on alone")
@pytest.mark.slow
def test_a_trainer_left_alone_is_not_doubled(clone: Workspace, finished: Workspace, tmp_path: Path) -> None:
    """While it trains, `dvc repro` is refused with its number; after its end, `dvc repro` makes the right files."""
    repository = clone.copy(tmp_path / "repository")
    with repository.started("dvc", "repro") as program:
        program.until(lambda: program.epochs() >= 2)
        (lock,) = repository.kept("lock")
        trainer = int(lock.read_text())
        os.kill(program.pid, signal.SIGKILL)
        os.kill(trainer, signal.SIGSTOP)
        program.end()
        second = repository.ended("dvc", "repro", code=255)
        os.kill(trainer, signal.SIGCONT)
        wait_for(program.is_gone)

    repository.ended("dvc", "repro")

    assert f"process {trainer} is already training this" in second.err
    assert sums(repository) == sums(finished)
    assert len([run for run in repository.runs() if run.data.tags.get("dvc.state") == "current"]) == 1


@pytest.fixture(scope="session")
def edited(finished: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Return a repository in which files are edited and healed by turns."""
    return finished.copy(tmp_path_factory.mktemp("edited") / "repository")


@pytest.mark.fault("input edited or swapped after the stage that made it")
@pytest.mark.fault("corrupt object in DVC's cache")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "path", "from_cache"),
    [
        (f"train@{CHEAP}", str(DATA), False),
        (f"evaluate@{CHEAP}", str(DATA), False),
        (f"evaluate@{CHEAP}", f"models/{CHEAP}.keras", False),
        (f"evaluate@{CHEAP}", f"reports/history/{CHEAP}.csv", False),
        ("report", f"reports/predictions/{CHEAP}.npz", False),
        ("report", f"reports/metrics/{CHEAP}.json", False),
        ("report", "reports/data.json", False),
        (f"evaluate@{CHEAP}", str(DATA), True),
        (f"evaluate@{CHEAP}", f"models/{CHEAP}.keras", True),
    ],
)
def test_an_edited_input_is_refused(
    edited: Workspace, finished: Workspace, stage: str, path: str, from_cache: bool
) -> None:
    """The stage ends with 2 and one line that names the file; the commands in it bring back what was.

    So they do where `dvc checkout` hands the file out from a corrupt cache.
    """
    file, md5 = edited.folder / path, files.md5(edited.folder / path)
    cached = edited.folder / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]
    if from_cache:
        alter(cached)
        cached.chmod(0o444)
        file.unlink()
        edited.ended("dvc", "checkout")
    else:
        alter(file)
    assert files.md5(file) != md5

    program = edited.ended(*command(edited, stage), code=2)

    assert re.fullmatch(rf"error: {path}: has md5 .+\n", program.err)
    restore(edited, program)
    assert sums(edited) == sums(finished)
    assert files.md5(file) == files.md5(finished.folder / path) == md5
    assert not from_cache or files.md5(cached) == md5
    edited.ended(*command(edited, stage))


@pytest.mark.fault("disk full at the report")
@pytest.mark.slow
def test_a_report_without_room(repository: Workspace) -> None:
    """The previous page stays as it was; with room again, the same page is made."""
    page = repository.folder / "reports" / "report.html"
    before = files.sha256(page)

    program = repository.ended(*command(repository, "report", limit=page.stat().st_size // 2), code=1)

    assert_no_room(program, "reports/report.html")
    assert files.sha256(page) == before
    assert repository.unfinished() == []
    repository.ended(*command(repository, "report"))
    assert files.sha256(page) == before


@contextmanager
def small_disk(at: Path, megabytes: int) -> Iterator[bool]:
    """Make a disk of this size, if that is allowed here, and tell whether it was."""
    at.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", at]
    made = subprocess.run(mount, capture_output=True, check=False)
    try:
        yield made.returncode == 0
    finally:
        if made.returncode == 0:
            subprocess.run(["umount", at], check=True)


@pytest.mark.fault("disk full at MLflow's store")
@pytest.mark.slow
def test_a_store_without_room(repository: Workspace) -> None:
    """The evaluation ends well with a warning, the store stays whole, and with room again `sync` completes it."""
    with small_disk(repository.folder / "small", 32) as made:
        store = repository.folder / "small" / "mlflow.db"
        shutil.copy(repository.store, store)
        with closing(sqlite3.connect(store)) as database:
            for table in ("metrics", "latest_metrics"):
                database.execute(f"DELETE FROM {table} WHERE key = 'test_accuracy'")  # noqa: S608
            database.commit()
        before = store.stat().st_size
        filling = store.with_name("filling")
        with suppress(OSError), filling.open("wb") as file:
            file.write(bytes(32 * 2**20))
        address = {"MLFLOW_TRACKING_URI": f"sqlite:///{store}"}

        # Where no disk can be made, the limit that a file may not pass stands for it.
        stage = command(repository, f"evaluate@{CHEAP}", limit=None if made else before // 2)
        program = repository.ended(*stage, **address)

        assert re.search(
            rf"^warning: {CHEAP}: MLflow is missing the scores \(.+\); .+ complete\n\Z", program.err, re.MULTILINE
        )
        filling.unlink()
        assert "added to MLflow" in repository.ended("python", "-m", "pipeline.sync", **address).out
        with closing(sqlite3.connect(store)) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            points = database.execute("SELECT count(*) FROM metrics WHERE key = 'test_accuracy'").fetchone()
    assert points == (1,)


@pytest.mark.fault("disk full at the model file")
@pytest.mark.slow
def test_a_model_on_a_disk_that_is_too_small(unsaved: Workspace, trained: Workspaces, tmp_path: Path) -> None:
    """The message tells bytes written and free; only the previous model is left on the disk.

    Elsewhere, or with room again, the training is not repeated and the model is right.
    """
    workspace = unsaved.copy(tmp_path / "workspace")
    with small_disk(workspace.folder / "small", 2) as made:
        output = workspace.folder / "small" / "model.keras"
        output.write_bytes(b"good")
        # Where no disk can be made, the limit that a file may not pass stands for it.
        program = workspace.ended(
            *train(CHEAP, "--output", "small/model.keras"), limit=None if made else 2_000_000, code=1
        )
        left = {path.name: path.read_bytes() for path in output.parent.iterdir()}

    assert_no_room(program, "small/model.keras", "No space left on device" if made else "File too large")
    assert left == {"model.keras": b"good"}
    assert f"resuming after epoch {EPOCHS}" in workspace.ended(*train()).out
    assert workspace.result() == trained(CHEAP).result()


@pytest.mark.fault("two dvc repro at once")
@pytest.mark.slow
def test_two_repros_at_once(clone: Workspace, finished: Workspace, tmp_path: Path) -> None:
    """DVC refuses the second and names the process of the first, whose files are those of an undisturbed run."""
    repository = clone.copy(tmp_path / "repository")
    with repository.started("dvc", "repro") as first:
        first.until(lambda: first.epochs() >= 1)
        second = repository.ended("dvc", "repro", code=255)
        first.end(0)

    assert "is busy" in second.err
    assert f"(PID {first.pid})" in second.err
    assert sums(repository) == sums(finished)
    assert [run.info.status for run in repository.runs()] == ["FINISHED"]


@pytest.mark.fault("two queued experiments at once")
@pytest.mark.slow
def test_two_workers_of_the_queue(repository: Workspace) -> None:
    """Both succeed with results of their own, and MLflow's store at the root has a finished run of each."""
    names = {"one": 1, "two": 2}
    for name, seed in names.items():
        repository.ended("dvc", "exp", "run", "--queue", "--name", name, "--set-param", f"train.seed={seed}")
    try:
        repository.ended("dvc", "queue", "start", "--jobs", "2")
        wait_for(lambda: repository.ended("dvc", "queue", "status").out.count("Success") == 2)
    finally:
        repository.ended("dvc", "queue", "stop", "--kill")

    found = {run.data.tags.get("dvc.exp_name"): run for run in repository.runs("FINISHED")}
    assert {name: found[name].data.params["train.seed"] for name in names} == {"one": "1", "two": "2"}
    shown = repository.ended("dvc", "exp", "show", "--csv").out
    assert all(name in shown for name in names)


@pytest.mark.fault("strange environment: path with blanks and non-ASCII letters, locale, HOME, time zone")
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["path", "C", "UTF-8", "ISO-8859-1", "no HOME", "read-only HOME", "time zone"])
def test_the_whole_pipeline_does_not_depend_on_the_environment(
    kind: str, clone: Workspace, finished: Workspace, german: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    """`dvc repro` makes the same bytes in every stage."""
    homes = {"no HOME": {"HOME": NOWHERE}, "read-only HOME": {"HOME": str(Path(NOWHERE).parent)}}
    environments = german | homes | {"path": {}, "C": {"LC_ALL": "C"}, "time zone": {"TZ": "Asia/Tokyo"}}
    repository = clone.copy(tmp_path / ("ein Ort für Ziffern, 数字" if kind == "path" else "repository"))

    program = repository.ended("dvc", "repro", **environments[kind])

    assert "warning" not in program.err
    assert sums(repository) == sums(finished)
    assert [run.info.status for run in repository.runs()] == ["FINISHED"]
