"""A stand-in for a training run on Dask workers: returns at once, waits, dies, or fails."""

import os
import signal
import time
from enum import IntEnum
from pathlib import Path
from typing import Any

SEEN = "MNIST_STUDY_TEST_SEEN"


class Kind(IntEnum):
    """What the hundreds of a seed mean."""

    SLOW = 100
    DEADLY = 200  # kills its worker at the first try
    FAILING = 300
    FATAL = 400  # kills its worker at every try


def work(replicates: list[dict[str, Any]], _: str) -> dict[str, Any]:
    """Record that this seed was tried, and do what the seed means."""
    seed = replicates[0]["seed"]
    tries = Path(os.environ[SEEN]) / str(seed)
    with tries.open("a") as file:
        file.write(f"{os.getpid()}\n")
    first = len(tries.read_text().splitlines()) == 1
    match seed // 100 * 100:
        case Kind.SLOW:
            time.sleep(0.3)
        case Kind.DEADLY if first:
            os.kill(os.getpid(), signal.SIGKILL)
        case Kind.FAILING:
            return {"error": "diverged"}
        case Kind.FATAL:
            os.kill(os.getpid(), signal.SIGKILL)
    return {"results": [{"variant": replicate["variant"], "seed": replicate["seed"]} for replicate in replicates]}
