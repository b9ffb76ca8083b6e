"""Runs in MLflow: found by their tags, completed, marked as current, and their parts, each logged once."""

import hashlib
import json
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from math import isnan, nan
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from pipeline import files
from pipeline.data.dataset import Dataset
from pipeline.tracking import experiments, logged_model, store
from pipeline.tracking.artifacts import CARD, OPTIONAL, EvaluationArtifacts
from pipeline.tracking.client import mlflow
from pipeline.tracking.description import DVC_EXPERIMENT, RunDescription
from pipeline.tracking.experiments import COLOUR, CURRENT, STATE
from pipeline.training import history

# The tag that separates the runs of one clone from those of others on the same server.
_CLONE = "workspace"
_BATCH = 1000  # metrics and params that MLflow takes in one request


def find_run(dataset: str, tags: Mapping[str, str]) -> Any:
    """Return the latest finished run on a data set with these tags, or None.

    One from where this process runs is preferred: of its experiment of `dvc exp`, or of none; then one of this clone.
    """
    if (experiment := experiments.find(dataset)) is None:
        return None
    query = " and ".join(["status = 'FINISHED'", *(f"tags.`{key}` = '{value}'" for key, value in tags.items())])
    found = mlflow.MlflowClient().search_runs([experiment], query, order_by=["attributes.start_time DESC"])
    here = os.environ.get("DVC_EXP_NAME")
    return min(found, key=lambda run: (run.data.tags.get(DVC_EXPERIMENT) != here, not is_ours(run)), default=None)


def complete(description: RunDescription, data: Dataset, rows: Sequence[Mapping[str, float]], model: Path) -> Any:
    """Return a finished run with the files of a training: `rows` of its history with seconds, and its `model`.

    That is the run of the recipe with the status RUNNING, whose end an outage prevented, with what it is missing; if
    there is none, a new run. No process may be training the recipe.
    """
    experiment, api = experiments.connect(experiments.of_dataset(description.dataset)), mlflow.MlflowClient()
    duration = round(1000 * sum(row["seconds"] for row in rows))
    if not (cut_short := running(experiment, description.recipe)):
        cut_short = [create(experiment, description.name, description.tags(), now() - duration)]
    run = cut_short[0].info
    add_training(cut_short[0], description, lambda: data, rows)
    logged_model.log(run.run_id, description.name, model)
    api.set_tag(run.run_id, "model.md5", files.md5(model))
    api.set_terminated(run.run_id, "FINISHED", run.start_time + duration)
    return api.get_run(run.run_id)


def add_training(
    run: Any, description: RunDescription, data: Callable[[], Dataset], rows: Sequence[Mapping[str, float]]
) -> bool:
    """Add to `run` what it is missing of params, `data` and epochs; return whether anything was missing."""
    missing = log_params(run.info.run_id, description)
    if not run.inputs.dataset_inputs:
        log_inputs(run.info.run_id, description, data())
        missing = True
    if points := _missing_points(run, rows):
        log_points(run.info.run_id, points)
    return missing or bool(points)


def create(experiment: str, model: str, tags: Mapping[str, str], started: int) -> Any:
    """Return a new run of a model with these tags, the name of this clone and the colour of the model's runs."""
    own = {_CLONE: _clone(), COLOUR: experiments.colour(experiment, "model", model)}
    return mlflow.MlflowClient().create_run(experiment, started, {**tags, **own}, run_name=model)


def end_interrupted(dataset: str, recipe: str) -> None:
    """Mark the runs of the recipe with the status RUNNING as KILLED. No process may be training it."""
    experiment = experiments.find(dataset)
    for left in running(experiment, recipe) if experiment else []:
        mlflow.MlflowClient().set_terminated(left.info.run_id, "KILLED")


def mark_current(run: Any) -> None:
    """Tag `run` as the current one of its model, and its predecessor as superseded; runs of `dvc exp` are neither.

    Runs of other clones and on other data sets stay as they are. A tag that is right already is not written.
    """
    api = mlflow.MlflowClient()
    for other in _current(run.info.experiment_id):
        if other.data.tags["model"] == run.data.tags["model"] and other.info.run_id != run.info.run_id:
            api.set_tag(other.info.run_id, STATE, "superseded")
    if run.data.tags.get(STATE) != "current" and DVC_EXPERIMENT not in run.data.tags:
        api.set_tag(run.info.run_id, STATE, "current")
    # An earlier version of this code created runs without it.
    if COLOUR not in run.data.tags:
        colour = experiments.colour(run.info.experiment_id, "model", run.data.tags["model"])
        api.set_tag(run.info.run_id, COLOUR, colour)


def retire(dataset: str, models: Mapping[str, str | None]) -> list[str]:
    """Tag the current runs of this clone on a data set whose model is not the workspace's; return their models' names.

    `models` has the md5 in dvc.lock of each model of params.yaml: None if it is not trained, "" if it is trained on
    another data set, which replaces no run on this one. Runs of a model that is not among them are tagged as removed,
    those of another file than that as superseded.
    """
    experiment, retired = experiments.find(dataset), []
    for run in _current(experiment) if experiment else []:
        name = run.data.tags["model"]
        if name not in models or models[name] not in ("", run.data.tags.get("model.md5")):
            mlflow.MlflowClient().set_tag(run.info.run_id, STATE, "superseded" if name in models else "removed")
            retired.append(name)
    return retired


def _current(experiment: str) -> list[Any]:
    """Return this clone's runs that are tagged as current."""
    return [run for run in mlflow.MlflowClient().search_runs([experiment], CURRENT) if is_ours(run)]


def add_artifacts(run: Any, artifacts: EvaluationArtifacts) -> bool:
    """Add to `run` what it is missing of scores, analysis, figures and tables; return whether anything was missing."""
    api, run_id = mlflow.MlflowClient(), run.info.run_id
    present = {file.path for file in api.list_artifacts(run_id)}
    changed = _changed(run.data.metrics, artifacts.final_metrics())
    tags = {key: value for key, value in artifacts.tags().items() if run.data.tags.get(key) != value}
    if not changed and not tags and artifacts.names() <= present:
        return False
    for name, figure in artifacts.figures().items():
        api.log_figure(run_id, figure, name)
    for name, table in artifacts.tables().items():
        api.log_text(run_id, table, name)
    api.log_text(run_id, artifacts.card(run.data.tags), CARD)
    for key, value in tags.items():
        api.set_tag(run_id, key, value)
    # Last: scores that are present prove that the figures show these scores.
    log_points(run_id, _scores(run, changed))
    return True


def _changed(logged: Mapping[str, float], scores: Mapping[str, float]) -> dict[str, float]:
    """Return the scores that are not logged so; one that is logged and that there is not any more becomes NaN."""
    changed = {key: value for key, value in scores.items() if logged.get(key) != value}
    gone = {key for key in OPTIONAL if key not in scores and not isnan(logged.get(key, nan))}
    return changed | dict.fromkeys(gone, nan)


def _scores(run: Any, scores: Mapping[str, float]) -> list[mlflow.entities.Metric]:
    """Return points that refer to the run's model and, if a name begins with a split, to the data of that split."""
    if not scores:
        return []
    model = logged_model.of_run(run)
    data = {tag.value: one.dataset for one in run.inputs.dataset_inputs for tag in one.tags}
    points = []
    for name, value in scores.items():
        measured_on = data.get(name.partition("_")[0])
        about = {"dataset_name": measured_on.name, "dataset_digest": measured_on.digest} if measured_on else {}
        model_id = model.model_id if model else None
        points.append(mlflow.entities.Metric(name, float(value), now(), 0, model_id=model_id, **about))
    return points


def now() -> int:
    """Return the time in MLflow's unit: milliseconds since 1970."""
    return int(time.time() * 1000)


def running(experiment: str, recipe: str) -> list[Any]:
    """Return this clone's runs of the recipe that have the status RUNNING, the latest first."""
    found = mlflow.MlflowClient().search_runs([experiment], f"tags.recipe = '{recipe}' and status = 'RUNNING'")
    return [run for run in found if is_ours(run)]


def is_ours(run: Any) -> bool:
    """Return whether this clone created the run; a local store has no others, even after its folder was moved."""
    return store.local(store.uri()) is not None or run.data.tags.get(_CLONE, _clone()) == _clone()


def _clone() -> str:
    """Return the host and path of this clone: only its own files say which of its runs are current or in progress."""
    return f"{socket.gethostname()}:{store.root()}"


def log_params(run_id: str, description: RunDescription) -> bool:
    """Log the params that the run does not have yet, as MLflow refuses to change one; return whether there were any."""
    api = mlflow.MlflowClient()
    present = api.get_run(run_id).data.params
    absent = {key: value for key, value in description.params().items() if key not in present}
    api.log_batch(run_id, params=[mlflow.entities.Param(key, str(value)) for key, value in absent.items()])
    return bool(absent)


def log_inputs(run_id: str, description: RunDescription, data: Dataset) -> None:
    """Log each split of the data as an input of the run, with a digest of its own and where the data came from."""
    inputs, source = [], json.dumps(description.data_source())
    for split_name, split in data.splits().items():
        name, digest = f"{description.dataset}-{split_name}", hashlib.md5(usedforsecurity=False)
        for array in (split.images, split.labels):
            digest.update(np.ascontiguousarray(array).data)
        described = mlflow.data.from_numpy(split.images, targets=split.labels, name=name, digest=digest.hexdigest())
        content = described.to_dict() | {"source_type": "local", "source": source}
        logged = mlflow.entities.Dataset.from_dictionary(content)
        context = mlflow.entities.InputTag("mlflow.data.context", split_name)
        inputs.append(mlflow.entities.DatasetInput(logged, [context]))
    mlflow.MlflowClient().log_inputs(run_id, inputs)


def epoch_points(row: Mapping[str, float]) -> list[mlflow.entities.Metric]:
    """Return the points of one epoch: a row of the history, with the seconds that it took."""
    values = {key: row[key] for key in history.SCORES} | {"epoch_seconds": row["seconds"]}
    return points(values, step=int(row["epoch"]))


def points(values: Mapping[str, float], step: int) -> list[mlflow.entities.Metric]:
    """Return a point of each metric at a step."""
    return [mlflow.entities.Metric(key, float(value), now(), step) for key, value in values.items()]


def _missing_points(run: Any, rows: Sequence[Mapping[str, float]]) -> list[mlflow.entities.Metric]:
    names = (*history.SCORES, "epoch_seconds")
    of_metric = mlflow.MlflowClient().get_metric_history
    present = {(name, point.step) for name in names for point in of_metric(run.info.run_id, name)}
    # MLflow keeps the latest point of each metric in a second place, from which its pages take which metrics there are.
    present -= {(name, int(rows[-1]["epoch"])) for name in names if name not in run.data.metrics}
    return [point for row in rows for point in epoch_points(row) if (point.key, point.step) not in present]


def log_points(
    run_id: str, points: Sequence[mlflow.entities.Metric], params: Sequence[mlflow.entities.Param] = ()
) -> None:
    """Log any number of points, with params first; MLflow stores the same point once."""
    first = _BATCH - len(params)
    mlflow.MlflowClient().log_batch(run_id, metrics=points[:first], params=params)
    for begin in range(first, len(points), _BATCH):
        mlflow.MlflowClient().log_batch(run_id, metrics=points[begin : begin + _BATCH])


def page_of(runs: Sequence[Any]) -> str:
    """Return the address at which a browser shows charts of these current runs of one experiment, and no others.

    That is the saved view, which will show later ones too, or their ids where some are of `dvc exp`.
    """
    experiment, ids = runs[0].info.experiment_id, {run.info.run_id for run in runs}
    shown = f"viewStateShareKey={experiments.VIEW}"
    if {run.info.run_id for run in mlflow.MlflowClient().search_runs([experiment], CURRENT)} != ids:
        chosen = ", ".join(f"'{run_id}'" for run_id in sorted(ids))
        shown = f"searchFilter={quote(f'attributes.run_id IN ({chosen})', safe='')}"
    page = f"{store.page()}/#/experiments/{experiment}/runs"
    return f"{page}?workflowType=machine_learning&compareRunsMode=CHART&{shown}"
