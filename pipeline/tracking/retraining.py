"""What a run in MLflow records of its training, as far as that is needed to train again."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.errors import InputError
from pipeline.tracking import client
from pipeline.tracking.client import mlflow
from pipeline.tracking.description import COMMIT

# The sections of params.yaml among a run's params, next to the model's own.
_SECTIONS = ("train", "data")


@dataclass(frozen=True)
class LoggedTraining:
    """A finished training run: `commit` of the code, `params` nested as in params.yaml, and what it gave.

    `tags` has, among others, recipe, data.md5, model.md5, processor and version.LIBRARY.
    """

    run_id: str
    model: str
    commit: str
    params: Mapping[str, Any]
    tags: Mapping[str, str]
    metrics: Mapping[str, float]

    def block(self) -> dict[str, Any]:
        """Return the model's block in params.yaml."""
        return {key: value for key, value in self.params.items() if key not in _SECTIONS}


def logged_training(run_id: str) -> LoggedTraining:
    """Return the training run with this id.

    Raises:
        InputError: There is no such run, it is not a finished training run, or its commit or params are not recorded.
        UnavailableError: MLflow does not answer.
    """
    run = _run(run_id)
    tags, params = run.data.tags, nested(run.data.params)
    if run.info.status != "FINISHED" or not {"model", "model.md5", "data.md5", "recipe"} <= tags.keys():
        raise InputError(f"run {run_id}: not a finished training run of `dvc repro` ({run.info.status})")
    if COMMIT not in tags:
        what = f"run {run_id}: no commit is recorded with it"
        raise InputError(what, fix="it was trained or added without git, or with changes that were not committed")
    if absent := [key for key in ("network", "optimizer", "loss", "epochs", *_SECTIONS) if key not in params]:
        raise InputError(f"run {run_id}: its params are gone: {', '.join(absent)}")
    return LoggedTraining(run_id, tags["model"], tags[COMMIT], params, tags, run.data.metrics)


def _run(run_id: str) -> Any:
    if not re.fullmatch(r"[0-9a-f]{32}", run_id):
        raise InputError(f"{run_id!r}: expected the id of a run, 32 hexadecimal digits", fix="`make ui` shows it")
    with client.reachable():
        with client.open_store():
            pass
        try:
            run = mlflow.MlflowClient().get_run(run_id)
        except mlflow.MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise InputError(
                f"run {run_id}: MLflow has none with this id", fix="`make ui` shows which there are"
            ) from None
    return run


def nested(params: Mapping[str, str]) -> dict[str, Any]:
    """Return params of MLflow, which are flat and texts, as `flatten` got them: nested, with their types."""
    found: dict[str, Any] = {}
    for key, text in params.items():
        *sections, name = key.split(".")
        place = found
        for section in sections:
            place = place.setdefault(section, {})
        place[name] = _value(text)
    return found


def _value(text: str) -> Any:
    """Return a value of JSON or, where it was no list, of what `str` made of it: 1e-08, True, None, a word."""
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError):
            pass
    return text
