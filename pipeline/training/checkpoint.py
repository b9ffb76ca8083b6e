"""Resuming a training: its state after each whole epoch, kept under the hash of all that determines its result."""

from __future__ import annotations

import fcntl
import hashlib
import io
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

_KEPT = 2


@dataclass(frozen=True)
class State:
    """A training after `len(rows)` epochs: one row of the history per epoch, and the value of every variable."""

    rows: tuple[dict[str, float], ...]
    variables: tuple[NDArray[Any], ...]


class Checkpoints:
    """The states of one recipe in a directory of their own, each file named by its epoch and the sum of its content.

    `name` is the model's: it tells the directories of one model from those of the others.
    """

    def __init__(self, work: Path, name: str, recipe: str) -> None:
        self.directory = work / f"{name}@{recipe[:32]}"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the recipe for this process; the kernel lets go of it when the process ends, however it ends.

        Raises:
            PipelineError: Another process trains the same recipe; the message names it.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                holder = lock.read().strip() or "unknown"
                text = f"process {holder} is training this already; wait for it, or stop it with `kill {holder}`"
                raise PipelineError(f"{self.directory}: {text}") from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield

    def save(self, state: State) -> None:
        """Keep `state` and the one before it."""
        content = io.BytesIO()
        rows = np.array(json.dumps(state.rows))
        np.savez(content, rows, *state.variables)
        sum_ = hashlib.sha256(content.getbuffer()).hexdigest()
        files.write_bytes(self.directory / f"epoch-{len(state.rows):05}-{sum_}.npz", content.getvalue())
        for outdated in self._files()[_KEPT:]:
            outdated.unlink()

    def load(self) -> State | None:
        """Return the latest state whose content has the sum in its name; say what is there and not used."""
        for path in self._files():
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() == path.stem.rpartition("-")[2]:
                return _state(content)
            print(f"notice: {path}: damaged; not used", file=sys.stderr)
        for other in self._others():
            print(f"notice: {other}: data, params, code or versions were others; not used", file=sys.stderr)
        return None

    def discard(self) -> None:
        """Remove all states: the result is safe elsewhere."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def _others(self) -> Sequence[Path]:
        name = self.directory.name.partition("@")[0]
        found = {path.parent for path in self.directory.parent.glob(f"{name}@*/epoch-*.npz")}
        return sorted(found - {self.directory})

    def _files(self) -> Sequence[Path]:
        return sorted(self.directory.glob("epoch-*.npz"), reverse=True)


def _state(content: bytes) -> State:
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        rows, *variables = (arrays[name] for name in arrays.files)
    return State(tuple(json.loads(str(rows))), tuple(variables))
