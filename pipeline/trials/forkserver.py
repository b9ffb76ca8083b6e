"""A process that imports TensorFlow once and forks a child for each training run, since the import takes seconds.

In a child only the thread exists that forked. So this process has no other, and runs no operation of TensorFlow: that
would start some. `multiprocessing` has a fork server as well, but a Dask worker may not use it, being a daemon.
"""

import gc
import json
import os
import platform
import select
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, NoReturn

from pipeline import cli, files
from pipeline.data import dataset
from pipeline.data.dataset import Dataset
from pipeline.errors import InputError
from pipeline.training import recipe
from pipeline.trials.plan import Replicate, Trajectory

# Seconds without a request until the process ends: the user's own Dask workers outlive a study.
IDLE_TIMEOUT_S = 60.0
_STDIN, _STDOUT, _STDERR = 0, 1, 2


def main() -> int:
    """Do the training runs that are requested on standard input, one at a time, each in a forked child.

    A request is a line of JSON: the `replicates` of the run, the npz `data`, and the files `results` (JSON) and
    `output` (text) to be written, in a folder that is the run's own. The answer is the line `exit code: N`, that of the
    child.
    """
    _import()
    # Read once, like the code: that on disk may change while this process lives.
    identity = recipe.implementation()
    # All modules that were imported stay; without this, each child would search them for garbage.
    gc.freeze()
    while line := _next_line():
        request = json.loads(line)
        trajectory = Trajectory(tuple(Replicate(**replicate) for replicate in request["replicates"]))
        check_identity(trajectory.replicates[0], identity)
        data = _load(Path(request["data"]), trajectory.data)
        run = partial(_train, trajectory, data, Path(request["results"]))
        print(f"exit code: {_exit_code(run, Path(request['output']))}", flush=True)
    return 0


def _import() -> None:
    """Import what children need, which takes seconds, or a minute where many processes start; a worker may end then."""
    imported = threading.Event()
    watch = threading.Thread(target=_end_with_worker, args=[imported])
    watch.start()
    try:
        # Scoring imports it when it is first needed, which would be in every child.
        import sklearn.metrics  # noqa: F401

        from pipeline.trials import replicate  # noqa: F401
    finally:
        imported.set()
        watch.join()


def check_identity(replicate: Replicate, identity: Mapping[str, Any]) -> None:
    """Check that the versions of results and libraries here, the `identity`, are those of the replicate's recipe.

    Raises:
        InputError: They differ; the message names what does.
    """
    for key, here in identity.items():
        if (expected := replicate.ingredients[key]) != here:
            text = f"{platform.node()}: has {key} {here}, not {expected}"
            raise InputError(text, fix="install the same package on every worker")


def _next_line() -> str:
    """Return the next line of standard input; empty if that is closed, or if none comes in time."""
    waiting, _, _ = select.select([_STDIN], [], [], IDLE_TIMEOUT_S)
    return sys.stdin.readline() if waiting else ""


@cache
def _load(path: Path, sha256: str) -> Dataset:
    """Return a data set; it stays in memory, which the children share."""
    if (actual := files.sha256(path)) != sha256:
        raise InputError(f"has sha256 {actual}, not {sha256}", path=path, fix="run again")
    return dataset.load(path)


def _train(trajectory: Trajectory, data: Dataset, path: Path) -> None:
    from pipeline.trials import replicate

    results = replicate.run_alone(trajectory, data)
    files.write_json(path, {"results": results})


def _exit_code(run: Callable[[], None], output: Path) -> int:
    """Return the exit code of `run` in a child, negative if a signal killed it; `output` gets what the child prints."""
    # Apple's libraries may not be used after a fork: there, the worker has to start a new process for each run.
    child = 0 if sys.platform == "darwin" else os.fork()
    if child == 0:
        _end_with_run(run, output)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def _end_with_run(run: Callable[[], None], output: Path) -> NoReturn:
    """Call `run` and end this process with it."""
    code: Any = 1
    try:
        with output.open("wb") as file:
            os.dup2(file.fileno(), _STDOUT)
            os.dup2(file.fileno(), _STDERR)
        # TensorFlow leaves files behind in a process that is killed, or ends as this one does.
        tempfile.tempdir = str(output.parent)
        threading.Thread(target=_end_with_worker, args=[threading.Event()], daemon=True).start()
        cli.run(run)
    except SystemExit as done:
        code = done.code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # What was registered to be done at exit is for the process that forked.
        os._exit(code)


def _end_with_worker(stop: threading.Event) -> None:
    """End this process when its worker ends in any way, or closes the pipe, until `stop` is set."""
    pipe = select.poll()
    # Of a pipe whose other end is closed there is news whatever one asks for.
    pipe.register(_STDIN, 0)
    while not stop.is_set():
        if pipe.poll(200):
            os._exit(1)


if __name__ == "__main__":
    cli.run(main)
