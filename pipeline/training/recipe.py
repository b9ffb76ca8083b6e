"""The recipe: a hash of everything that determines a result, that is params, data, RESULTS and library versions."""

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.training.settings import Model, Training

# The version of results. Raise it when the same params and data give a training run other numbers than before: what was
# made with another number is stale. Source is no identity, so explaining, moving and extending code costs nothing.
# tests/training/test_results.py trains a few steps of every kind and says when it has to be raised.
RESULTS = 1
# The same for the kinds of training whose numbers alone changed, by kind; the recipes of all others do not have it.
REVISIONS = "revisions"
# The parts of a recipe that are not the experiment itself, but what carries it out.
IMPLEMENTATION = ("results", "versions")
# Two builds of one library, and where each is installed, as pyproject.toml says.
TENSORFLOW = {
    "tensorflow-cpu": "sys_platform == 'linux' and platform_machine == 'x86_64'",
    "tensorflow": "sys_platform != 'linux' or platform_machine != 'x86_64'",
}


def implementation() -> dict[str, Any]:
    """Return what carries out every experiment here: the version of results, and the library versions."""
    return {"results": RESULTS, "versions": versions()}


def revisions(model: Model, training: Training) -> dict[str, Any]:
    """Return the part of a recipe that only kinds of training have whose numbers changed since RESULTS was raised.

    batch_norm 2: a batch in several parts, which are normalized together. Before, such a batch was not cut.
    """
    return {REVISIONS: {"batch_norm": 2}} if model.normalizes_batches and training.threads > 1 else {}


def digest(value: Any) -> str:
    """Return the SHA-256 of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def of_model(
    name: str, model: Model, training: Training, data_md5: str, libraries: Mapping[str, str] | None = None
) -> str:
    """Return the recipe of a model of params.yaml, trained on the npz with this MD5 by these versions of `libraries`.

    Those that are installed are the default.
    """
    settings = {"model": model.settings(), "train": training.model_dump(), **revisions(model, training)}
    made_by = implementation() if libraries is None else {"results": RESULTS, "versions": dict(libraries)}
    return digest({"name": name, "data": data_md5, **settings, **made_by})


def source() -> str:
    """Return the SHA-256 of this folder's source: a run that was interrupted goes on only in the code that began it."""
    return digest([path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("*.py"))])


def versions() -> dict[str, str]:
    """Return the versions of the installed distributions that compute a result, by name."""
    tensorflow = next(name for name in TENSORFLOW if [*importlib.metadata.distributions(name=name)])
    return {name: importlib.metadata.version(name) for name in ("keras", "numpy", tensorflow)}
