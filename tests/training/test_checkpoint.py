"""Checkpoints: two kept, damage noticed, one trainer at a time."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import PipelineError
from pipeline.training.checkpoint import Checkpoints, TrainingState

ROOT = Path(__file__).parents[2]
HOLD = """
import sys, pathlib
from pipeline.training.checkpoint import Checkpoints
with Checkpoints(pathlib.Path(sys.argv[1]), "cnn", "r" * 64).alone():
    print("held", flush=True)
    sys.stdin.read()
"""


def state(epochs: int) -> TrainingState:
    """Return a small state after some epochs."""
    rows = tuple({"epoch": epoch, "loss": epoch / 3, "seconds": 0.1} for epoch in range(1, epochs + 1))
    processors = tuple(f"processor {epoch}" for epoch in range(1, epochs + 1))
    return TrainingState(rows, processors, (np.full((2, 3), epochs, np.float32), np.array(epochs, np.int64)))


def filled(tmp_path: Path, epochs: int) -> Checkpoints:
    """Return checkpoints that were saved after each of some epochs."""
    checkpoints = Checkpoints(tmp_path, "cnn", "r" * 64)
    for epoch in range(1, epochs + 1):
        checkpoints.save(state(epoch))
    return checkpoints


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    """Rows, processors and variables are restored exactly, types included."""
    loaded = filled(tmp_path, 3).load()

    assert loaded is not None
    assert (loaded.rows, loaded.processors) == (state(3).rows, state(3).processors)
    for found, expected in zip(loaded.variables, state(3).variables, strict=True):
        assert found.dtype == expected.dtype
        assert np.array_equal(found, expected)


def test_two_states_are_kept_and_discarding_removes_them(tmp_path: Path) -> None:
    """Only the last two epochs lie on disk; nothing does once they are discarded."""
    checkpoints = filled(tmp_path, 5)

    assert [path.name[:11] for path in sorted(checkpoints.directory.iterdir())] == ["epoch-00004", "epoch-00005"]

    checkpoints.discard()
    assert checkpoints.load() is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault("checkpoint torn by a crash, or altered")
@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_state_is_refused_and_the_one_before_used(
    tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A state whose content does not have the sum in its name is named and never used."""
    checkpoints = filled(tmp_path, 2)
    last = max(checkpoints.directory.iterdir())
    content = last.read_bytes()
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    last.write_bytes({"flip": flipped, "cut": content[:-7], "empty": b""}[damage])

    loaded = checkpoints.load()

    assert loaded is not None
    assert len(loaded.rows) == 1
    assert str(last) in capsys.readouterr().err


@pytest.mark.fault("checkpoint of another recipe")
def test_another_recipe_has_no_part_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """States of a model's other recipe are named and not used; those of another model are nobody's business."""
    others = filled(tmp_path, 2).directory

    assert Checkpoints(tmp_path, "cnn", "s" * 64).load() is None
    assert (
        capsys.readouterr().err
        == f"notice: {others}: ignored: made with different data, params, code or library versions\n"
    )
    assert Checkpoints(tmp_path, "cnn-2", "r" * 64).load() is None
    assert capsys.readouterr().err == ""


@pytest.mark.fault("second trainer of the same recipe")
def test_a_second_trainer_of_the_recipe_is_refused(tmp_path: Path) -> None:
    """While one process holds a recipe, another is refused with its number; afterwards the way is free."""
    command = [sys.executable, "-c", HOLD, tmp_path]
    checkpoints = Checkpoints(tmp_path, "cnn", "r" * 64)
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(PipelineError, match=f"process {process.pid} "), checkpoints.alone():
            pass
        process.kill()
    with checkpoints.alone():
        pass
