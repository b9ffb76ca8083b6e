"""Programs that start in no time: Python and DVC, forked by processes that have imported what they need once.

TensorFlow, MLflow and DVC take seconds to import, and the tests start them more than a hundred times; xdist's workers
are forked, too. A forked program is a process like any other: its streams, its group, its limits and its exit code are
its own, and it may be killed. It runs the code of this working tree. Where a test is about what happens before a
program's first line, as about its environment, its imports or their cost, it has to start the real one.
"""

import atexit
import gc
import importlib
import json
import os
import resource
import runpy
import select
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from tests.support import frozen

# Of no program here: in a process that forks, there may be no other thread. The study's fork server does the same.
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
# What is imported before the first fork.
_IMPORTED = {
    "python": (
        "pipeline.evaluate",
        "pipeline.fetch",
        "pipeline.preprocess",
        "pipeline.report",
        "pipeline.sync",
        "pipeline.train",
        "PIL.JpegImagePlugin",
        "alembic.command",
        "git",
        "matplotlib.backends.backend_agg",
        "mlflow.keras",
        "mlflow.pyfunc",
        "mlflow.store.tracking.sqlalchemy_workspace_store",
        "mlflow.tracing.processor.base_mlflow",
        "opentelemetry.sdk.metrics",
        "pandas.io.formats.csvs",
        "pyarrow.pandas_compat",
        "sklearn.metrics",
        "sqlalchemy.dialects.sqlite",
        "statsmodels.stats.multitest",
        "statsmodels.stats.proportion",
    ),
    "dvc": (
        "configobj",
        "dulwich.ignore",
        "dulwich.worktree",
        "dvc.cli.parser",
        "dvc.dagascii",
        "dvc.data_cloud",
        "dvc.render.match",
        "dvc.repo.artifacts",
        "dvc.repo.datasets",
        "dvc.repo.experiments",
        "dvc.repo.graph",
        "dvc.repo.index",
        "dvc.repo.open_repo",
        "dvc.repo.plots",
        "dvc.repo.stage",
        "dvc.rwlock",
        "dvc.utils.strictyaml",
        "dvc_data.hashfile.db.local",
        "fsspec.implementations.memory",
        "networkx",
        "numpy",
        "pyparsing",
        "ruamel.yaml",
    ),
}
# The variable that names the folder with the sockets, for the workers of pytest.
_PLACE = "TESTS_FORKS"
# Stands in for a program on PATH: it hands on what it was called with, and the signals that end a program, or is the
# real one where that cannot be forked.
_STAND_IN = """#!/bin/sh
case $1 in {forked}) exec {python} -IS {client} {address} {name} "$@" ;; *) exec {real} "$@" ;; esac
"""
_CLIENT = """
import json, os, signal, socket, sys
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect(sys.argv[1])
    request = {"words": sys.argv[3:], "folder": os.getcwd(), "environment": dict(os.environ), "group": False}
    socket.send_fds(connection, [b"."], [0, 1, 2])
    connection.sendall(json.dumps(request).encode() + b"\\n")
    answers = connection.makefile()
    program = int(answers.readline())
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: os.kill(program, number))
    code = int(answers.readlines()[-1])
if code < 0:
    os.kill(os.getpid(), -code)
os._exit(code)
"""


class Program:
    """A forked program, with the part of subprocess.Popen that the tests need."""

    def __init__(self, address: str, request: Mapping[str, Any], streams: Sequence[int]) -> None:
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(address)
        socket.send_fds(self._connection, [b"."], list(streams))
        self._connection.sendall(json.dumps(request).encode() + b"\n")
        self._answers = self._connection.makefile()
        self.pid = int(self._answers.readline())
        self._code: int | None = None

    def poll(self) -> int | None:
        """Return its exit code; None while it has none."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self._code

    def wait(self, timeout: float) -> int:
        """Wait for its end and return the exit code, the negative number of a signal that killed it."""
        if self._code is None:
            if not select.select([self._connection], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("a forked program", timeout)
            self._code = int(self._answers.readline())
            self._answers.close()
            self._connection.close()
        return self._code


@dataclass(frozen=True)
class Server:
    """A process that forks programs of one name, and the folder with its socket and what stands in for the program."""

    name: str
    folder: Path

    @property
    def address(self) -> str:
        """The path of its socket."""
        return str(self.folder / "socket")

    @property
    def stand_in(self) -> Path:
        """What is called in the place of the program."""
        return self.folder / "bin" / self.name

    def open(self) -> subprocess.Popen[bytes]:
        """Start the process, which ends when its standard input is closed."""
        real = Path(sys.executable).with_name(self.name)
        client = self.folder / "client.py"
        self.stand_in.parent.mkdir(parents=True)
        client.write_text(_CLIENT)
        words = {"python": sys.executable, "client": client, "address": self.address, "real": real}
        quoted = {key: shlex.quote(str(word)) for key, word in words.items()}
        forked = "-m | -c | -u" if self.name == "python" else "*"
        self.stand_in.write_text(_STAND_IN.format(forked=forked, name=self.name, **quoted))
        self.stand_in.chmod(0o755)
        command = [sys.executable, "-m", __name__, self.address, self.name]
        root, pipe = Path(__file__).parents[2], subprocess.PIPE
        process = subprocess.Popen(command, cwd=root, env=os.environ | _ONE_THREAD, stdin=pipe, stdout=pipe)
        assert process.stdout is not None
        assert process.stdout.readline()
        return process

    def start(self, words: Sequence[str], folder: Path, environment: Mapping[str, str], **more: Any) -> Program:
        """Start a program with these words after its name, in a group of its own.

        `more` are `out` and `err`, files to write, and `limit`: no file may grow beyond so many bytes.
        """
        request = {"words": words, "folder": str(folder), "environment": dict(environment), "group": True}
        with Path(os.devnull).open() as nothing, more.pop("out").open("wb") as out, more.pop("err").open("wb") as err:
            return Program(self.address, request | more, [nothing.fileno(), out.fileno(), err.fileno()])


def server(name: str) -> Server:
    """Return the process of this run of the tests that forks programs of this name."""
    return Server(name, Path(os.environ[_PLACE]) / name)


@contextmanager
def serving() -> Iterator[None]:
    """Have the processes that fork, one of each name for this process and those that it starts.

    They import nothing before they are asked for a program. There are none on macOS, where a fork is unsafe.
    """
    if sys.platform != "linux":
        yield
        return
    # The name of a socket may not be long.
    with tempfile.TemporaryDirectory(prefix="forks-") as place, ExitStack() as stack:
        os.environ[_PLACE] = place
        for name in _IMPORTED:
            process = stack.enter_context(server(name).open())
            assert process.stdin is not None
            stack.callback(process.stdin.close)
        yield
        del os.environ[_PLACE]


def path() -> str:
    """Return the folders on PATH that have the programs to be forked, if any can be."""
    return "".join(f"{server(name).folder / 'bin'}:" for name in _IMPORTED) if _PLACE in os.environ else ""


def environment() -> dict[str, str]:
    """Return the variables by which a program, or what it starts, finds Python and DVC forked."""
    from tests.support import small

    return {"PATH": path() + small.environment()["PATH"]}


def run(folder: Path, *command: str, **more: str) -> str:
    """Run `command` as `small.run` does; where it is Python or DVC, or starts them, they are forked.

    Their code lies elsewhere, so they have to be told that the folder is the root of the repository.
    """
    from tests.support import small

    return small.run(folder, *command, **environment() | {"DVC_ROOT": str(folder)} | more)


def _serve(address: str, name: str) -> None:
    """Fork a program for each request, until standard input is closed."""
    # Ctrl-C in a terminal is for the tests and their programs.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    frozen.guard()
    # What the imports set is for the programs, too.
    before = dict(os.environ)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(100)
        print("ready", flush=True)
        imported = False
        while listener in select.select([listener, sys.stdin], [], [])[0]:
            connection, _ = listener.accept()
            if not imported:
                _prepare(name)
                imported = True
            if os.fork() == 0:
                listener.close()
                _attend(connection, name, {key: text for key, text in os.environ.items() if before.get(key) != text})
            connection.close()
            _reap(os.WNOHANG)
    _reap(0)


def _prepare(name: str) -> None:
    """Do once what the programs of this name would do each before their own work."""
    for module in _IMPORTED[name]:
        importlib.import_module(module)
    if name == "python":
        from mlflow.utils import requirements_utils
        from sqlalchemy import orm

        orm.configure_mappers()
        # MLflow looks up which package a module is of, and reads the file lists of all packages for the first one.
        requirements_utils.warn_dependency_requirement_mismatches(["mlflow"])
    gc.freeze()


def _reap(options: int) -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, options)[0]:
            pass


def _attend(connection: socket.socket, name: str, settings: dict[str, str]) -> None:
    """Fork a program, and answer with its number and, once it has ended, its exit code."""
    _, streams, _, _ = socket.recv_fds(connection, 1, 3)
    request = json.loads(connection.makefile().readline())
    ready, begun = os.pipe()
    if (child := os.fork()) == 0:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if request["group"]:
            os.setsid()
        os.close(ready)
        os.close(begun)
        connection.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.environ.clear()
        os.environ.update(settings | request["environment"])
        os.chdir(request["folder"])
        if (limit := request.get("limit")) is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        _be(name, request["words"])
    for descriptor in (*streams, begun):
        os.close(descriptor)
    # Closed by the child, which has its group then.
    os.read(ready, 1)
    answer = connection.makefile("w")
    print(child, file=answer, flush=True)
    # What asked for it has been killed.
    if connection in select.select([connection, os.pidfd_open(child)], [], [])[0]:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    with suppress(BrokenPipeError):
        print(os.waitstatus_to_exitcode(status), file=answer, flush=True)
    os._exit(0)


def _be(name: str, words: list[str]) -> NoReturn:
    """Be the program that was called with these words, up to its end, at which Python would free what was imported.

    That takes longer than many of these programs.
    """
    code = 1
    try:
        _run(name, words)
        code = 0
    except SystemExit as end:
        code = _exit_code(end)
    except Exception:
        sys.excepthook(*sys.exc_info())
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            code = 120
    os._exit(code)


def _run(name: str, words: list[str]) -> None:
    if os.environ.get("PYTHONWARNINGS") == "error":
        warnings.simplefilter("error")
    if name == "dvc":
        sys.argv = [name, *words]
        sys.exit(importlib.import_module("dvc.cli").main())
    # So xdist starts its workers.
    if words[0] == "-u":
        words = words[1:]
    sys.path[0] = str(Path.cwd()) if words[0] == "-m" else ""
    if words[0] == "-c":
        sys.argv = ["-c", *words[2:]]
        exec(words[1], {"__name__": "__main__"})  # noqa: S102
    else:
        # As a program of that folder: MLflow looks there for the commit.
        sys.argv = [str(Path.cwd() / f"{words[1].replace('.', '/')}.py"), *words[2:]]
        # It may have been imported, too; of a package, it is another module that is run.
        if not hasattr(sys.modules.get(words[1]), "__path__"):
            sys.modules.pop(words[1], None)
        runpy.run_module(words[1], run_name="__main__")


def _exit_code(end: SystemExit) -> int:
    """Return the exit code of a program that ends so; a text is printed, as Python does."""
    if isinstance(end.code, str):
        print(end.code, file=sys.stderr)
        return 1
    return end.code or 0


if __name__ == "__main__":
    _serve(*sys.argv[1:])
