"""Params and tags of a run that starts."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import pytest

from pipeline.params import Params
from pipeline.tracking import description as description_module
from pipeline.tracking.description import RunDescription


@pytest.fixture
def description(values: Params) -> RunDescription:
    """Return the description of a run of the CNN."""
    data = {"dataset": "mnist", "validation": 5000, "split_seed": 3}
    return RunDescription("cnn", "r" * 64, "d" * 32, values.models["cnn"], values.train, data)


@pytest.fixture(autouse=True)
def _outside_dvc(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DVC_STAGE", "DVC_EXP_NAME"):
        monkeypatch.delenv(name, raising=False)


def test_params_are_flat_and_complete(description: RunDescription) -> None:
    """Every param of model, training and data has a key of its own, without the model's name."""
    flat = description.params()

    assert flat["network.filters"] == list(description.model.network.filters)
    assert flat["epochs"] == description.model.epochs
    assert flat["train.seed"] == description.train.seed
    assert flat["data.validation"] == 5000
    blocks = description.model.settings()
    sizes = [len(block) if isinstance(block, dict) else 1 for block in blocks.values()]
    assert len(flat) == sum(sizes) + len(description.train.model_dump()) + len(description.data)


def test_tags_name_the_stage_and_the_experiment_under_dvc(
    description: RunDescription, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under DVC, two of its variables become tags; without it there are no such tags."""
    assert not [name for name in description.tags() if name.startswith("dvc.")]
    monkeypatch.setenv("DVC_STAGE", "train@cnn")
    monkeypatch.setenv("DVC_EXP_NAME", "brave-owl")

    tags = description.tags()

    assert (tags["dvc.stage"], tags["dvc.exp_name"]) == ("train@cnn", "brave-owl")
    assert (tags["model"], tags["recipe"], tags["data.md5"], tags["seed"]) == ("cnn", "r" * 64, "d" * 32, "0")
    assert "12 epochs" in tags["mlflow.note.content"]


def test_a_restored_run_says_so_and_claims_nothing_of_now(
    description: RunDescription, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the stage that dvc.lock names, and neither today's experiment nor today's changes."""
    monkeypatch.setenv("DVC_EXP_NAME", "brave-owl")
    tags = dataclasses.replace(description, restored_from="train@cnn").tags()

    assert (tags["restored"], tags["dvc.stage"]) == ("true", "train@cnn")
    assert not {"git.dirty", "dvc.exp_name"} & tags.keys()


def git(folder: Path, *command: str) -> None:
    """Run git in `folder`."""
    subprocess.run(["git", "-c", "user.name=n", "-c", "user.email=e", *command], cwd=folder, check=True)


def test_changes_of_code_and_params_make_a_run_dirty(
    description: RunDescription, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change of what git knows of the code or the params makes a run dirty; other files do not."""
    monkeypatch.setattr(description_module, "__file__", str(tmp_path / "pipeline" / "tracking" / "description.py"))
    (tmp_path / "pipeline").mkdir()
    assert description.tags()["git.dirty"] == "unknown"
    for name in ("pipeline/train.py", "params.yaml", "dvc.yaml", "dvc.lock"):
        (tmp_path / name).write_text("1")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "m")

    (tmp_path / "dvc.lock").write_text("2")
    assert description.tags()["git.dirty"] == "false"
    for name in ("pipeline/train.py", "params.yaml", "dvc.yaml"):
        (tmp_path / name).write_text("2")
        assert description.tags()["git.dirty"] == "true"
        (tmp_path / name).write_text("1")


def test_without_git_it_is_not_known_what_changed(description: RunDescription, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no git, or none that answers, the tag says so."""
    monkeypatch.setenv("PATH", "")

    assert description.tags()["git.dirty"] == "unknown"
