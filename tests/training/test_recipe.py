"""Recipes change with what determines a result, and with nothing else."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import pytest

from pipeline.study import plan
from pipeline.training import recipe


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the package's code that the recipe is taken from."""
    folder = Path(recipe.__file__).parents[1]
    copy = Path(shutil.copytree(folder, tmp_path / "pipeline", ignore=shutil.ignore_patterns("__pycache__")))
    monkeypatch.setattr(recipe, "__file__", str(copy / "training" / "recipe.py"))
    return copy


@pytest.mark.parametrize(
    ("module", "old", "new", "same"),
    [
        ("training/networks", '"""The networks and', '"""Networks and', True),
        ("training/networks", "import numpy as np", "import numpy as np  # arrays", True),
        ("training/networks", "from pipeline.training.backend import", "from pipeline.elsewhere import", True),
        ("training/networks", "from typing import Any\n", "import logging\nfrom typing import Any\n", True),
        ("training/networks", "Rescaling(1 / 255,", "Rescaling(1 / 256,", False),
        ("training/networks", "Rescaling(1 / 255,", "Rescaling(1 * 255,", False),
        ("training/networks", "1 - self.clip)", "self.clip - 1)", False),
        ("training/networks", "Dropout(layer.rate,", "Dropout(layer.size,", False),
        ("training/loop", "training=False", "training=True", False),
        ("training/trainer", "permutation(count)", "permutation(count - 1)", False),
    ],
)
def test_the_recipe_covers_what_code_does(package: Path, module: str, old: str, new: str, same: bool) -> None:
    """Another operator, constant or argument is another recipe; a docstring, a comment or an import is not."""
    before = recipe.of(data="d")
    file = package / f"{module}.py"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))

    assert (recipe.of(data="d") == before) is same


def test_moving_a_module_leaves_the_recipe(package: Path) -> None:
    """A module in another folder, under its own name, is the same code."""
    before = recipe.code_hash(recipe.TRAINING)
    (package / "elsewhere").mkdir()
    (package / "training" / "loop.py").rename(package / "elsewhere" / "loop.py")
    moved = ["elsewhere/loop" if module == "training/loop" else module for module in recipe.TRAINING]

    assert recipe.code_hash(moved) == before
    (package / "elsewhere" / "loop.py").rename(package / "elsewhere" / "other.py")
    assert recipe.code_hash(["elsewhere/other" if one == "elsewhere/loop" else one for one in moved]) != before


@pytest.mark.parametrize("module", sorted({*recipe.TRAINING, "training/checkpoint", *plan.CODE}))
def test_a_name_in_a_hashed_module_stands_for_one_thing(module: str) -> None:
    """Imports do not count, so none may be under an alias, but for those by which everybody knows the package."""
    tree = ast.parse((Path(recipe.__file__).parents[1] / f"{module}.py").read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    aliases = {(one.name, one.asname) for node in imports for one in node.names if one.asname}

    assert aliases <= {("numpy", "np"), ("pandas", "pd"), ("tensorflow", "tf")}


def test_hashed_modules_have_names_of_their_own() -> None:
    """A module is known by its last name, so no two of them share one."""
    stems = [Path(module).stem for module in {*recipe.TRAINING, "training/checkpoint", *plan.CODE}]

    assert len(stems) == len(set(stems))


def test_the_recipe_covers_ingredients_and_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other data or another library version is another recipe; the same again is the same."""
    first = recipe.of(data="d", model={"epochs": 1})

    assert recipe.of(model={"epochs": 1}, data="d") == first
    assert recipe.of(data="e", model={"epochs": 1}) != first
    assert recipe.of(data="d", model={"epochs": 2}) != first
    monkeypatch.setattr(recipe, "versions", lambda: {"keras": "0"})
    assert recipe.of(data="d", model={"epochs": 1}) != first


def test_the_hash_of_code_does_not_depend_on_empty_fields() -> None:
    """A syntax tree with fields that only later versions of Python have, but left empty, means the same."""
    older, newer = (ast.parse("def f(x: int) -> int:\n    return x + 1\n") for _ in range(2))
    newer.body[0].of_a_later_python = []  # type: ignore[attr-defined]
    newer.body[0]._fields = (*newer.body[0]._fields, "of_a_later_python")

    assert recipe._meaning(older) == recipe._meaning(newer)
