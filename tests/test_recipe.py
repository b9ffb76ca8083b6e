"""Recipes change with what determines a result, and with nothing else."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import pytest

from pipeline import recipe


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the package's code that the recipe is taken from."""
    folder = Path(recipe.__file__).parent
    copy = Path(shutil.copytree(folder, tmp_path / "pipeline", ignore=shutil.ignore_patterns("__pycache__")))
    monkeypatch.setattr(recipe, "__file__", str(copy / "recipe.py"))
    return copy


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ('"""The two networks', '"""Two networks', True),
        ("import numpy as np", "import numpy as np  # arrays", True),
        ("Rescaling(1 / 255,", "Rescaling(1 / 256,", False),
    ],
    ids=["docstring", "comment", "meaning"],
)
def test_the_recipe_covers_code_but_not_its_explanation(package: Path, old: str, new: str, same: bool) -> None:
    """A change of what the code does is another recipe; a comment or docstring is not."""
    before = recipe.of(data="d")
    file = package / "networks.py"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))

    assert (recipe.of(data="d") == before) is same


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
