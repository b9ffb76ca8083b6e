"""A fork server whose training runs are stand-ins for it: without TensorFlow it starts in a fraction of a second."""

import os
import signal
import sys
import tempfile
import time
from enum import IntEnum
from types import ModuleType
from typing import Any

from pipeline import cli
from pipeline.errors import PipelineError
from pipeline.trials.plan import Trajectory


class Kind(IntEnum):
    """What a seed means; others return at once."""

    SLOW = 100
    KILLED = 200
    DIVERGING = 300
    BROKEN = 400


def run_alone(trajectory: Trajectory, _: Any) -> list[dict[str, int]]:
    """Print a line to either stream, leave a temporary file behind, and do what the seed means; say who did it."""
    seed = trajectory.replicates[0].seed
    print(f"run {seed}", flush=True)
    os.write(2, f"warning of run {seed}\n".encode())
    os.close(tempfile.mkstemp()[0])
    match seed:
        case Kind.SLOW:
            time.sleep(60)
        case Kind.KILLED:
            os.kill(os.getpid(), signal.SIGKILL)
        case Kind.DIVERGING:
            raise PipelineError("diverged")
        case Kind.BROKEN:
            raise ValueError("a fault in the code")
    return [{"seed": seed, "process": os.getpid(), "server": os.getppid()}]


class SlowImport:
    """Finds no module, and takes a minute for it."""

    @staticmethod
    def find_spec(name: str, *_: Any) -> None:
        """Wait if what is imported is what a fork server imports first."""
        if name == "sklearn.metrics":
            time.sleep(60)


def main(platform: str = sys.platform, idle: float = 60, importing: bool = False) -> None:
    """Serve as if on this platform, until nothing is requested for so many seconds, or be busy with `importing`."""
    for name in ("pipeline.trials.replicate", "sklearn", "sklearn.metrics"):
        sys.modules[name] = ModuleType(name)
    if importing:
        del sys.modules["sklearn.metrics"]
        sys.meta_path.insert(0, SlowImport)
    sys.modules["pipeline.trials.replicate"].run_alone = run_alone  # type: ignore[attr-defined]
    from pipeline.trials import forkserver

    forkserver.IDLE_TIMEOUT_S = idle
    sys.platform = platform
    cli.run(forkserver.main)


if __name__ == "__main__":
    main()
