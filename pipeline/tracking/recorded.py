"""What dvc.lock records of the stages that ran last: their paths, the data set and its title."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

from pipeline import dvc_lock, files
from pipeline.errors import InputError

PREPROCESS = "preprocess"


def paths(stage: Mapping[str, Any]) -> dict[str, Path]:
    """Return the paths in the command of a stage by the names of their options, without the dashes."""
    words = shlex.split(stage["cmd"])
    return {word[2:]: Path(value) for word, value in pairwise(words) if word.startswith("--")}


def param(stage: Mapping[str, Any], key: str) -> Any:
    """Return a value that a stage read of params.yaml, such as that of `data.dataset`.

    dvc.lock has it under its own key, or within a whole section, as `params:` in dvc.yaml has it.

    Raises:
        KeyError: It is not there.
    """
    found = stage["params"]["params.yaml"]
    section, _, rest = key.partition(".")
    return found[key] if key in found or not rest else found[section][rest]


def dataset() -> str | None:
    """Return the name of the data set that was preprocessed last; None if none was.

    Raises:
        InputError: dvc.lock has the stage without its params.
    """
    if (stage := dvc_lock.stages().get(PREPROCESS)) is None:
        return None
    try:
        return str(param(stage, "data.dataset"))
    except (KeyError, TypeError) as error:
        raise missing(PREPROCESS, error) from None


def title(name: str) -> str:
    """Return the title of the data set `name`, from the summary that preprocess wrote; `name` if it has none of it."""
    with suppress(InputError, KeyError, TypeError):
        summary = files.read_json(paths(dvc_lock.stages()[PREPROCESS])["summary"])
        if summary["dataset"] == name:
            return str(summary["title"])
    return name


def missing(name: str, error: Exception) -> InputError:
    """Return the error about what DVC writes to dvc.lock and what is not there for the model or stage `name`."""
    return InputError(f"{name}: {error} is missing", path=dvc_lock.LOCK, fix="`dvc repro` writes it again")
