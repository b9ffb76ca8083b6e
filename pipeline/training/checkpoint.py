"""Resuming a run: its state after each epoch, stored under the hash of everything that determines its result."""

import fcntl
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import files
from pipeline.errors import PipelineError

_KEEP = 2


@dataclass(frozen=True)
class TrainingState:
    """A run after `len(rows)` epochs: one row of the history per epoch, and the value of every variable.

    `processors` has the one that computed each epoch: a resumed run may have moved to another. `best` are the weights
    of the best epoch so far where a model keeps that one, and empty where it keeps the last.
    """

    rows: tuple[dict[str, float], ...]
    processors: tuple[str, ...]
    variables: tuple[NDArray[Any], ...]
    best: tuple[NDArray[Any], ...] = ()


class Checkpoints:
    """The checkpoints of one recipe, in a directory that is named by the model `name` and the recipe.

    A file is named by its epoch and its checksum.
    """

    def __init__(self, work: Path, name: str, recipe: str) -> None:
        self.directory = work / f"{name}@{recipe[:32]}"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Lock the recipe for this process; the kernel releases the lock when the process ends, however it ends.

        Raises:
            PipelineError: Another process is training the same recipe; the message names it.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                holder = lock.read().strip() or "unknown"
                what = f"process {holder} is already training this"
                fix = f"wait for it, or stop it with `kill {holder}`"
                raise PipelineError(what, path=self.directory, fix=fix) from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield

    def save(self, state: TrainingState) -> None:
        """Store `state`, and keep the one before it."""
        epochs = np.array(json.dumps([state.rows, state.processors]))
        best: dict[str, Any] = {f"best_{number}": weights for number, weights in enumerate(state.best)}
        # Written first and named then: the variables are in memory only once.
        written = self.directory / "written.npz"
        with files.atomic(written) as temporary:
            np.savez(temporary, epochs, *state.variables, **best)
        written.replace(self.directory / f"epoch-{len(state.rows):05}-{files.sha256(written)}.npz")
        for outdated in self._files()[_KEEP:]:
            outdated.unlink()

    def load(self) -> TrainingState | None:
        """Return the latest state whose file matches its checksum; report files that are ignored."""
        for path in self._files():
            if files.sha256(path) == path.stem.rpartition("-")[2]:
                return _state(path)
            print(f"notice: {path}: damaged; ignored", file=sys.stderr)
        name = self.directory.name.partition("@")[0]
        others = {path.parent for path in self.directory.parent.glob(f"{name}@*/epoch-*.npz")} - {self.directory}
        for other in sorted(others):
            print(
                f"notice: {other}: ignored: made with different data, params, code or library versions", file=sys.stderr
            )
        return None

    def discard(self) -> None:
        """Delete all checkpoints: the result is safe elsewhere."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def _files(self) -> Sequence[Path]:
        return sorted(self.directory.glob("epoch-*.npz"), reverse=True)


def _state(path: Path) -> TrainingState:
    with np.load(path, allow_pickle=False) as arrays:
        best = {name: arrays[name] for name in arrays.files if name.startswith("best_")}
        epochs, *variables = (arrays[name] for name in arrays.files if name not in best)
    in_order = (best[f"best_{number}"] for number in range(len(best)))
    rows, processors = json.loads(str(epochs))
    return TrainingState(tuple(rows), tuple(processors), tuple(variables), tuple(in_order))
