"""What is made once for all workers of pytest: the first that needs it makes it, the others wait and share it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Return a folder of this run of the tests that `make` has filled; nobody may change what is in it.

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
