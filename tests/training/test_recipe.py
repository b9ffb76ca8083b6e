"""Recipes change with what determines a result, and with nothing else."""

import shutil
from pathlib import Path

import pytest

from pipeline import schema
from pipeline.params import Params
from pipeline.training import recipe
from pipeline.training.settings import Sequential
from pipeline.trials import plan


def test_the_recipe_covers_what_determines_a_result(values: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another model, setting, data, library version or version of results is another recipe; the same again is not."""
    model, training = values.models["cnn"], values.train

    def made(name: str = "cnn", data: str = "d", **changes: object) -> str:
        return recipe.of_model(name, model.model_copy(update=changes), training, data)

    first = made()
    assert made() == first
    others = {made(name="other"), made(data="e"), made(epochs=3)}
    others.add(recipe.of_model("cnn", model, training.model_copy(update={"seed": 7}), "d"))
    with monkeypatch.context() as patch:
        patch.setattr(recipe, "versions", lambda: {"keras": "0"})
        others.add(made())
    with monkeypatch.context() as patch:
        patch.setattr(recipe, "RESULTS", recipe.RESULTS + 1)
        others.add(made())

    assert len(others - {first}) == 6


def test_only_batch_normalization_in_several_parts_has_a_revision(values: Params) -> None:
    """Its numbers changed when its parts came to be normalized together; in one part, and without it, none did."""
    norm = {"name": "batch_norm", "momentum": 0.9, "epsilon": 0.001}
    network = schema.validate(Sequential, {"name": "sequential", "layers": [norm, {"name": "flatten"}]})
    normalized = values.models["cnn"].model_copy(update={"network": network})
    one, two = (values.train.model_copy(update={"threads": threads}) for threads in (1, 2))

    found = [
        bool(recipe.revisions(*case)) for case in ((normalized, two), (normalized, one), (values.models["cnn"], two))
    ]

    assert found == [True, False, False]
    assert plan.ingredients(normalized, two).items() >= recipe.revisions(normalized, two).items()


def test_the_recipe_does_not_depend_on_the_order_of_keys() -> None:
    """A mapping is hashed by what it says."""
    assert recipe.digest({"a": 1, "b": {"c": 2, "d": 3}}) == recipe.digest({"b": {"d": 3, "c": 2}, "a": 1})


def test_the_source_is_that_of_the_training_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every edit of a module in its folder changes it, and an edit elsewhere does not."""
    folder = Path(recipe.__file__).parent
    copy = Path(shutil.copytree(folder, tmp_path / "training", ignore=shutil.ignore_patterns("__pycache__")))
    before = recipe.source()
    monkeypatch.setattr(recipe, "__file__", str(copy / "recipe.py"))

    assert recipe.source() == before
    (tmp_path / "elsewhere.py").write_text("x = 1\n")
    assert recipe.source() == before
    for path in sorted(copy.glob("*.py")):
        path.write_text(path.read_text() + "# explained\n")
        assert recipe.source() != before
        before = recipe.source()
