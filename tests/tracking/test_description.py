"""Params and tags of a run that starts."""

import dataclasses
import json
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter

from pipeline import machine
from pipeline.params import Params
from pipeline.tracking import description as description_module
from pipeline.tracking.description import RunDescription
from pipeline.training import recipe
from pipeline.training.settings import Model
from tests.support import changes


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

    assert flat["network.filters"] == "[32, 64]"
    assert flat["epochs"] == description.model.epochs
    assert flat["train.seed"] == description.train.seed
    assert flat["data.validation"] == 5000
    blocks = description.model.settings()
    sizes = [len(block) if isinstance(block, dict) else 1 for block in blocks.values()]
    assert len(flat) == sum(sizes) + len(description.train.model_dump()) + len(description.data)


OPTIONAL = """
network:
  name: sequential
  layers:
  - {name: conv2d, filters: 8, kernel: 3, stride: 1, padding: same}
  - {name: relu}
  - {name: flatten}
optimizer: {name: sgd, learning_rate: 0.1, momentum: 0.9, nesterov: true}
loss: {name: crossentropy, clip: null}
epochs: 9
augmentation: {shift: 2, flip: false}
schedule: {name: step, epochs: 3, factor: 0.1}
keep: best_val_loss
"""


def test_optional_parts_and_layers_are_params_too(description: RunDescription) -> None:
    """Augmentation, schedule and keep are flat where given, and absent where not; layers are one JSON value."""
    block = yaml.safe_load(OPTIONAL)
    model = TypeAdapter(Model).validate_python(block)

    flat = dataclasses.replace(description, model=model).params()

    given = {"augmentation.shift": 2, "augmentation.flip": False, "schedule.name": "step", "schedule.epochs": 3}
    assert (given | {"schedule.factor": 0.1, "keep": "best_val_loss"}).items() <= flat.items()
    assert json.loads(flat["network.layers"]) == block["network"]["layers"]
    assert not [name for name in description.params() if name.startswith(("augmentation", "schedule", "keep"))]


def test_the_note_says_of_which_epoch_the_scores_are(description: RunDescription) -> None:
    """The note of a run says "after the last epoch" only of a model that keeps its last one."""
    best = description.model.model_copy(update={"keep": "best_val_accuracy"})

    assert "measured after the last epoch, " in description.tags()["mlflow.note.content"]
    noted = dataclasses.replace(description, model=best).tags()["mlflow.note.content"]
    assert "last epoch" not in noted
    assert "`best_val_accuracy`" in noted


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
    assert not {"git.dirty", "dvc.exp_name", "processor"} & tags.keys()


@pytest.mark.parametrize(
    ("changed", "made_here", "named"), [("", True, True), (" M pipeline/train.py", True, False), ("", False, False)]
)
def test_a_restored_run_names_the_commit_whose_code_gives_it(
    description: RunDescription, monkeypatch: pytest.MonkeyPatch, changed: str, made_here: bool, named: bool
) -> None:
    """That is the last one, if nothing has changed since and its code gives the recipe as the stage train does."""
    answers = {"status": changed, "rev-parse": "c" * 40}
    monkeypatch.setattr(description_module, "_git", lambda command, *_: answers[command])
    of_now = recipe.of_model("cnn", description.model, description.train, "d" * 32)
    restored = dataclasses.replace(description, restored_from="train@cnn", recipe=of_now if made_here else "r" * 64)

    assert restored.tags().get("mlflow.source.git.commit") == ("c" * 40 if named else None)


def test_tags_name_library_versions_and_the_processor(description: RunDescription) -> None:
    """They are those of now, or for a restored run those that its model file records."""
    tags = description.tags()
    restored = dataclasses.replace(description, restored_from="train@cnn", versions={"keras": "3.0.1"}).tags()

    assert (tags["version.keras"], tags["version.numpy"]) == (version("keras"), version("numpy"))
    assert [key for key in tags if key.startswith("version.tensorflow")]
    assert tags["processor"] == machine.processor()
    assert {key: value for key, value in restored.items() if key.startswith("version.")} == {"version.keras": "3.0.1"}


def test_changes_of_code_and_params_make_a_run_dirty(
    description: RunDescription, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change of what git knows of the code or the params makes a run dirty; other files do not."""
    monkeypatch.setattr(description_module, "__file__", str(tmp_path / "pipeline" / "tracking" / "description.py"))
    (tmp_path / "pipeline").mkdir()
    assert description.tags()["git.dirty"] == "unknown"
    for name in ("pipeline/train.py", "params.yaml", "dvc.yaml", "dvc.lock"):
        (tmp_path / name).write_text("1")
    changes.git(tmp_path, "init", "--quiet")
    changes.commit(tmp_path)

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
