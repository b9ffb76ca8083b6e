"""What tests ask of processes: which a process has started, and whether one has ended."""

import subprocess
import time
from collections.abc import Callable


def children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    table = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True, check=True).stdout
    pairs = (line.split() for line in table.splitlines()[1:])
    return [int(child) for child, parent in pairs if int(parent) == pid]


def descendants(pid: int) -> list[int]:
    """Return the processes that a process has started, and those that these have started."""
    own = children(pid)
    return [*own, *(below for child in own for below in descendants(child))]


def gone(pid: int) -> bool:
    """Return whether a process has ended; one that nobody has waited for yet has."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return state.strip()[:1] in ("", "Z")


def wait_until(condition: Callable[[], object], seconds: float = 120) -> None:
    """Return once the condition holds, which must be within that time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
