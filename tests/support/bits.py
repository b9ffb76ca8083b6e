"""Train a model of params.yaml on a few digits, and print checksums: python -m tests.support.bits [MODEL [WAY]].

WAY is `native`, `avx2` (the default) or `kernels`, which prints what oneDNN executes with avx2 instead. Without a MODEL
the checksums of all models, as this processor computes them with avx2, are added to tests/training/bits.json.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from pipeline.data.dataset import Dataset, Split
from tests.support import small
from tests.support.frozen import FROZEN

BITS = Path(__file__).parents[1] / "training" / "bits.json"
ROOT = Path(__file__).parents[2]


def checksums(name: str, way: str) -> dict[str, str]:
    """Return the MD5 of a model's weights, history and test probabilities."""
    from pipeline import params
    from pipeline.training import portable, trainer

    values = params.load(FROZEN / "params.yaml")
    instructions = "native" if way == "native" else portable.AVX2
    model = values.model(name).model_copy(update={"epochs": 1})
    training = values.train.model_copy(update={"instructions": instructions})
    if way == "kernels":
        os.environ["ONEDNN_VERBOSE"] = "1"
    trainer.start(model, training)
    data = _few(small.digits())
    network = trainer.build(model, training, data)
    state = trainer.train(network, data, model, training)
    row = {key: value for key, value in state.rows[-1].items() if key != "seconds"}
    return {
        "weights": _md5(b"".join(weights.tobytes() for weights in network.get_weights())),
        "history": _md5(json.dumps(row).encode()),
        "probabilities": _md5(network.predict(data.test.images, verbose=0).tobytes()),
    }


def _few(data: Dataset) -> Dataset:
    """Return two batches to train on, and one to score: an emulator takes a minute for them."""
    train, test = (
        Split(part.images[:count], part.labels[:count]) for part, count in ((data.train, 256), (data.test, 128))
    )
    return Dataset(train, None, test, data.classes)


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def of_program(*words: str, before: tuple[str, ...] = ()) -> str:
    """Return what this module prints in a process of its own; `before` is the program that runs Python."""
    # Not the link in .venv: QEMU takes the program's own path.
    python = str(Path(sys.executable).resolve()) if before else sys.executable
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [*before, python, "-m", "tests.support.bits", *words]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def main() -> None:
    """Print a model's checksums, or record those of all models."""
    if len(sys.argv) > 1:
        print(json.dumps(checksums(sys.argv[1], *(sys.argv[2:] or ["avx2"]))))
        return
    from pipeline import machine, params

    recorded: dict[str, Any] = json.loads(BITS.read_text()) if BITS.exists() else {}
    recorded[machine.processor()] = {
        name: json.loads(of_program(name)) for name in params.load(FROZEN / "params.yaml").models
    }
    BITS.write_text(json.dumps(recorded, indent=2) + "\n")


if __name__ == "__main__":
    main()
