"""The recipe: a hash of everything that determines a result, that is params, data, code and library versions."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# The modules that a trained network's bits depend on, by their place in this package.
TRAINING = (
    "data/dataset",
    "training/augmentation",
    "training/backend",
    "training/forward",
    "training/loop",
    "training/model_file",
    "training/networks",
    "training/optimizers",
    "training/portable",
    "training/trainer",
)
# Two builds of one library; one of them is installed.
_TENSORFLOW = ("tensorflow-cpu", "tensorflow")


def of(code: Sequence[str] = TRAINING, **ingredients: Any) -> str:
    """Return the recipe: a hash of `ingredients` (JSON values), of the modules in `code`, and of library versions."""
    return digest({"code": code_hash(code), "versions": versions(), **ingredients})


def digest(value: Any) -> str:
    """Return the SHA-256 of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def code_hash(modules: Sequence[str]) -> str:
    """Return a hash of what the `modules` of this package do (`study/replicate` is in a folder).

    Comments, docstrings and imports do not count, nor does the folder of a module: explaining or moving code loses no
    work. So in these modules a name has to stand for the same thing whatever it is imported from; a test holds that
    they import nothing under an alias of their own.
    """
    folder = Path(__file__).parents[1]
    paths = [folder / f"{name}.py" for name in modules]
    return digest({path.stem: _meaning(ast.parse(path.read_bytes())) for path in paths})


def meaning(source: bytes) -> str:
    """Return a hash of what a module with this source does; as in `code_hash`, explaining it does not count."""
    try:
        return digest(_meaning(ast.parse(source)))
    except (SyntaxError, ValueError):
        return hashlib.sha256(source).hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of the installed distributions that compute a result, by name."""
    tensorflow = next(name for name in _TENSORFLOW if [*importlib.metadata.distributions(name=name)])
    return {name: importlib.metadata.version(name) for name in ("keras", "numpy", tensorflow)}


def _meaning(node: Any) -> Any:
    """Return a syntax tree as JSON without its empty fields: `ast.dump` differs between versions of Python."""
    if isinstance(node, list):
        return [_meaning(item) for item in node if not isinstance(item, ast.Import | ast.ImportFrom)]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = {name: value for name, value in ast.iter_fields(node) if value not in (None, [])}
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
        fields["body"] = node.body[1:]
    return [type(node).__name__, {name: _meaning(value) for name, value in fields.items()}]
