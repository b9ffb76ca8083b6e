"""What differs between two sides of a change, and what makes them impossible to compare."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.change import difference
from pipeline.change.side import Side, read_side
from pipeline.errors import InputError
from tests.support import changes
from tests.support.small import ROOT

LOOP = "pipeline/training/loop.py"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a repository with one commit."""
    monkeypatch.chdir(tmp_path)
    return changes.make(tmp_path)


def sides() -> tuple[Side, Side]:
    """Return HEAD and the workspace."""
    return read_side("HEAD"), read_side("workspace")


def changed(repository: Path, change: Callable[[dict[str, Any]], object]) -> dict[str, dict[str, Any]]:
    """Return the params that differ, by model, between HEAD and the workspace after a change of its params."""
    changes.edit(repository, change)
    return {one.model: one.params for one in difference.find_difference(*sides()).changed}


def reasons(*pair: Side) -> str:
    """Return why two sides cannot be compared."""
    with pytest.raises(InputError) as refused:
        difference.check_comparable(*(pair or sides()))
    assert refused.value.what.startswith("not comparable: ")
    return refused.value.what.removeprefix("not comparable: ")


def test_a_side_is_a_commit_or_the_workspace(repository: Path) -> None:
    """A revision has the params of its commit; the workspace those of the file as it is, committed or not."""
    changes.edit(repository, lambda values: values["models"]["cnn"].update(epochs=7))

    head, workspace = sides()

    assert (head.params.models["cnn"].epochs, workspace.params.models["cnn"].epochs) == (1, 7)
    assert str(head) == f"HEAD ({changes.git(repository, 'rev-parse', 'HEAD')[:7]})"
    assert str(workspace) == "workspace"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda _: None, {}),
        (lambda v: v["train"].update(seed=5, threads=1), {}),
        (lambda v: v["overfitting"].update(slight=1.06), {}),
        (lambda v: v["models"]["cnn"].update(epochs=4), {"cnn": {"epochs": (1, 4)}}),
        (
            lambda v: v["models"]["cnn"].update(schedule={"name": "cosine"}),
            {"cnn": {"schedule.name": (None, "cosine")}},
        ),
        (
            lambda v: v["train"].update(batch_size=64),
            {name: {"train.batch_size": (128, 64)} for name in ("mlp_adadelta", "cnn")},
        ),
    ],
    ids=["nothing", "seed and threads", "rule", "epochs", "schedule", "batch size"],
)
def test_the_models_that_differ_are_found(
    repository: Path, change: Callable[[dict[str, Any]], object], expected: dict[str, Any]
) -> None:
    """A model differs if anything but chance does: neither the seed nor the number of threads is a change."""
    assert changed(repository, change) == expected


def test_a_model_of_one_side_alone_is_named(repository: Path) -> None:
    """It cannot be compared; asked for by its name, it is refused."""
    changes.edit(repository, lambda v: v["models"].update(deep=v["models"].pop("cnn")))

    found = difference.find_difference(*sides())

    assert (found.changed, found.only_before, found.only_after) == ((), ("cnn",), ("deep",))
    with pytest.raises(InputError, match=r"not comparable: workspace has no model 'cnn'; it has mlp_adadelta, deep"):
        difference.find_difference(*sides(), "cnn")


@pytest.mark.fault("verdict: sides with other data")
@pytest.mark.parametrize(
    ("key", "value"), [("validation", 200), ("split_seed", 3)], ids=["validation images", "another split"]
)
def test_other_images_are_not_comparable(repository: Path, key: str, value: int) -> None:
    """The setting that differs is named with both values."""
    before = read_side("HEAD").params.data.model_dump()[key]
    changes.edit(repository, lambda values: values["data"].update({key: value}))
    head = str(read_side("HEAD"))

    assert reasons() == f"data.{key} is {before} in {head} and {value} in workspace"


@pytest.mark.fault("verdict: sides with other data")
def test_another_data_set_is_not_comparable(repository: Path) -> None:
    """Neither is one of another name, nor one of this name that is described as other images; a new title is."""
    path = repository / "data" / "sets" / "digits.yaml"
    described = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(described | {"title": "Other words"}))
    difference.check_comparable(*sides())

    path.write_text(yaml.safe_dump(described | {"counts": {"train": 1399, "test": 397}}))
    assert reasons().endswith("differs between " + " and ".join(map(str, sides())) + " (counts)")

    shutil.copy(path, path.with_name("others.yaml"))
    changes.edit(repository, lambda values: values["data"].update(dataset="others"))
    assert reasons().startswith("data.dataset is digits in HEAD")


@pytest.mark.fault("verdict: sides with other data")
def test_data_that_dvc_recorded_as_other_is_not_comparable(repository: Path) -> None:
    """The md5 of the preprocessed data in each side's dvc.lock counts, where both have one."""

    def record(md5: str) -> None:
        out = {"path": "data/processed/digits.npz", "md5": md5}
        (repository / "dvc.lock").write_text(yaml.safe_dump({"stages": {"preprocess": {"outs": [out]}}}))

    record("1" * 32)
    difference.check_comparable(*sides())
    changes.commit(repository)
    record("2" * 32)

    assert reasons().startswith("dvc.lock of HEAD")
    assert reasons().endswith("record different preprocessed data")


@pytest.mark.fault("verdict: sides with other training code")
def test_other_code_is_not_comparable(repository: Path) -> None:
    """A training module that differs is named, between the sides or between both and the code that would train them.

    A comment is no difference.
    """
    shutil.copytree(ROOT / "pipeline", repository / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    changes.commit(repository)
    path, own = repository / LOOP, (ROOT / LOOP).read_text()
    path.write_text(own + "\n# explained\n")
    difference.check_comparable(*sides())

    path.write_text(own + "\nFASTER = True\n")
    head, workspace = sides()

    assert reasons(head, workspace) == f"other code in workspace than in {head}: {LOOP}"
    assert reasons(workspace, workspace).startswith("the code that would train both is not that of workspace and")
    assert reasons(workspace, workspace).endswith(f": {LOOP}")


@pytest.mark.fault("verdict: invalid params in a revision")
def test_a_fault_in_the_params_of_a_revision_names_it(repository: Path) -> None:
    """File and revision, key and fault are one line."""
    changes.edit(repository, lambda values: values["models"]["cnn"].update(epochs=0))
    changes.commit(repository)

    with pytest.raises(InputError) as refused:
        read_side("HEAD")

    assert str(refused.value).startswith("HEAD:params.yaml: models.cnn.epochs: ")


def test_a_model_that_chooses_its_epoch_cannot_be_judged(repository: Path) -> None:
    """It would choose by the images on which it is judged."""

    def keep_best(values: dict[str, Any]) -> None:
        values["data"]["validation"] = 100
        values["models"]["cnn"]["keep"] = "best_val_loss"

    changes.edit(repository, keep_best)
    side = read_side("workspace")
    found = difference.find_difference(side, read_side("HEAD"))

    with pytest.raises(InputError, match=r"not comparable: models\.cnn\.keep: best_val_loss of workspace chooses"):
        difference.check_trainable(side, found.changed, (28, 28), 1300)


def test_a_side_that_does_not_fit_the_images_is_refused(repository: Path) -> None:
    """A batch that is larger than the images that are left is a fault of the side."""
    changes.edit(repository, lambda values: values["train"].update(batch_size=1300))
    side = read_side("workspace")
    found = difference.find_difference(read_side("HEAD"), side)

    with pytest.raises(InputError, match=r"workspace: train\.batch_size: expected at most the 1260 training images"):
        difference.check_trainable(side, found.changed, (28, 28), 1260)
