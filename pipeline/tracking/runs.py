"""Finished runs: found by what they hold, completed, added, and the parts of a run, each logged once."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pipeline import files
from pipeline.data.dataset import Dataset
from pipeline.tracking import client, logged_model, store, view
from pipeline.tracking.artifacts import Evidence
from pipeline.tracking.client import STATE, mlflow
from pipeline.tracking.description import DVC_EXPERIMENT, WORKSPACE, Facts, workspace
from pipeline.training import history

_BATCH = 1000  # metrics that MLflow takes at once


def find_run(tags: Mapping[str, str]) -> Any:
    """Return the latest finished run of the experiment with these tags, or None.

    One from where this process runs goes first: its experiment of `dvc exp`, or else the files' own; then its clone.
    """
    experiment = client.connect()
    query = " and ".join(["status = 'FINISHED'", *(f"tags.`{key}` = '{value}'" for key, value in tags.items())])
    found = mlflow.MlflowClient().search_runs([experiment], query, order_by=["attributes.start_time DESC"])
    here = os.environ.get("DVC_EXP_NAME")
    return min(found, key=lambda run: (run.data.tags.get(DVC_EXPERIMENT) != here, not _ours(run)), default=None)


def complete(facts: Facts, data: Dataset, rows: Sequence[Mapping[str, float]], model: Path) -> Any:
    """Return a finished run that holds all of a training whose files are safe.

    That is the run of the recipe that still counts as running, since an outage hid its end, with what it lacks; without
    one, a new run. No trainer of the recipe may be at work.
    """
    experiment, api = client.connect(), mlflow.MlflowClient()
    duration = round(1000 * sum(row["seconds"] for row in rows))
    if not (cut_short := running(experiment, facts.recipe)):
        cut_short = [api.create_run(experiment, now() - duration, facts.tags(), run_name=facts.name)]
    run = cut_short[0].info
    log_params(run.run_id, facts)
    log_inputs(run.run_id, facts, data)
    log_points(run.run_id, _lacking_points(run.run_id, rows))
    logged_model.log(run.run_id, facts.name, model)
    api.set_tag(run.run_id, "model.md5", files.md5(model))
    api.set_terminated(run.run_id, "FINISHED", run.start_time + duration)
    return api.get_run(run.run_id)


def end_left(recipe: str) -> None:
    """Mark the runs of the recipe that still count as running as killed. No trainer of it may be at work."""
    for left in running(client.connect(), recipe):
        mlflow.MlflowClient().set_terminated(left.info.run_id, "KILLED")


def add_finished(
    experiment: str,
    name: str,
    tags: Mapping[str, str],
    params: Mapping[str, Any],
    rows: Sequence[Mapping[str, float]],
    final: Mapping[str, float],
) -> None:
    """Make a finished run of `experiment` with a row of metrics per epoch and final ones, unless its recipe has one.

    A run of the recipe that is not finished, since its making was cut short, is marked as killed.
    """
    found, api = client.connect(experiment), mlflow.MlflowClient()
    if api.search_runs([found], f"tags.recipe = '{tags['recipe']}' and status = 'FINISHED'", max_results=1):
        return
    for left in running(found, tags["recipe"]):
        api.set_terminated(left.info.run_id, "KILLED")
    run = api.create_run(found, tags=dict(tags), run_name=name)
    points = [point for row in rows for point in _metrics(_without_epoch(row), step=int(row["epoch"]))]
    api.log_batch(run.info.run_id, params=[mlflow.entities.Param(key, str(value)) for key, value in params.items()])
    log_points(run.info.run_id, [*points, *_metrics(final, step=0)])
    api.set_terminated(run.info.run_id, "FINISHED")


def _without_epoch(row: Mapping[str, float]) -> dict[str, float]:
    return {key: value for key, value in row.items() if key != "epoch"}


def mark_current(run: Any) -> None:
    """Tag `run` as the current one of its model, and the one that was it as superseded; no run of `dvc exp` is either.

    Other clones' runs stay as they are. What has its tag already is not written.
    """
    api = mlflow.MlflowClient()
    query = f"tags.model = '{run.data.tags['model']}' and tags.`{STATE}` = 'current'"
    for other in api.search_runs([run.info.experiment_id], query):
        if other.info.run_id != run.info.run_id and _ours(other):
            api.set_tag(other.info.run_id, STATE, "superseded")
    if run.data.tags.get(STATE) != "current" and DVC_EXPERIMENT not in run.data.tags:
        api.set_tag(run.info.run_id, STATE, "current")


def add_evidence(run: Any, evidence: Evidence) -> bool:
    """Add to `run` what it lacks of the scores, figures and tables, and return whether it lacked any."""
    api, run_id = mlflow.MlflowClient(), run.info.run_id
    present = {file.path for file in api.list_artifacts(run_id)}
    metrics = evidence.final_metrics()
    fresh = {key: value for key, value in metrics.items() if run.data.metrics.get(key) != value}
    if not fresh and evidence.names() <= present:
        return False
    for name, figure in evidence.figures().items():
        api.log_figure(run_id, figure, name)
    for name, table in evidence.tables().items():
        api.log_text(run_id, table.read_text(encoding="utf-8"), name)
    # Last, since scores that are there say that the figures are those of these scores.
    log_points(run_id, [_score(run, name, value) for name, value in fresh.items()])
    return True


def _score(run: Any, name: str, value: float) -> mlflow.entities.Metric:
    """Return a point that knows the run's model and, if its name begins with a split, the data it was measured on."""
    models = [output.model_id for output in run.outputs.model_outputs]
    data = {tag.value: one.dataset for one in run.inputs.dataset_inputs for tag in one.tags}
    measured_on = data.get(name.partition("_")[0])
    about = {"dataset_name": measured_on.name, "dataset_digest": measured_on.digest} if measured_on else {}
    return mlflow.entities.Metric(name, value, now(), 0, model_id=models[0] if models else None, **about)


def now() -> int:
    """Return the time as MLflow has it: milliseconds since 1970."""
    return int(time.time() * 1000)


def running(experiment: str, recipe: str) -> list[Any]:
    """Return this clone's runs of the recipe that count as running, the latest first."""
    found = mlflow.MlflowClient().search_runs([experiment], f"tags.recipe = '{recipe}' and status = 'RUNNING'")
    return [run for run in found if _ours(run)]


def _ours(run: Any) -> bool:
    """Return whether the run was made here: a local store has no others, even after its folder was moved."""
    return store.local(store.uri()) is not None or run.data.tags.get(WORKSPACE, workspace()) == workspace()


def log_params(run_id: str, facts: Facts) -> None:
    """Log the params that the run does not have yet."""
    api = mlflow.MlflowClient()
    # A param that is there is left alone: MLflow refuses to change one.
    present = api.get_run(run_id).data.params
    params = [mlflow.entities.Param(key, str(value)) for key, value in facts.flat().items() if key not in present]
    api.log_batch(run_id, params=params)


def log_inputs(run_id: str, facts: Facts, data: Dataset) -> None:
    """Log each split of the data as an input of the run."""
    inputs = []
    for split_name, split in data.splits().items():
        name = f"{facts.data['dataset']}-{split_name}"
        source = mlflow.data.from_numpy(split.images, targets=split.labels, name=name, digest=facts.data_md5)
        context = mlflow.entities.InputTag("mlflow.data.context", split_name)
        inputs.append(
            mlflow.entities.DatasetInput(mlflow.entities.Dataset.from_dictionary(source.to_dict()), [context])
        )
    mlflow.MlflowClient().log_inputs(run_id, inputs)


def epoch_points(row: Mapping[str, float]) -> list[mlflow.entities.Metric]:
    """Return the points of one epoch: a row of the history with the seconds that it took."""
    values = {key: row[key] for key in history.SCORES} | {"epoch_seconds": row["seconds"]}
    return _metrics(values, step=int(row["epoch"]))


def _metrics(values: Mapping[str, float], step: int) -> list[mlflow.entities.Metric]:
    return [mlflow.entities.Metric(key, float(value), now(), step) for key, value in values.items()]


def _lacking_points(run_id: str, rows: Sequence[Mapping[str, float]]) -> list[mlflow.entities.Metric]:
    names = (*history.SCORES, "epoch_seconds")
    of_metric = mlflow.MlflowClient().get_metric_history
    present = {(name, point.step) for name in names for point in of_metric(run_id, name)}
    return [point for row in rows for point in epoch_points(row) if (point.key, point.step) not in present]


def log_points(run_id: str, points: Sequence[mlflow.entities.Metric]) -> None:
    """Log any number of points; MLflow stores the same point once."""
    for first in range(0, len(points), _BATCH):
        mlflow.MlflowClient().log_batch(run_id, metrics=points[first : first + _BATCH])


def page_of(runs: Sequence[Any]) -> str:
    """Return the address at which a browser shows charts of these current runs of one experiment, and no others.

    The saved view shows them, as it will later ones; where `dvc exp` made one, or a model has gone, their ids do.
    """
    experiment, ids = runs[0].info.experiment_id, {run.info.run_id for run in runs}
    shown = f"viewStateShareKey={view.KEY}"
    if {run.info.run_id for run in mlflow.MlflowClient().search_runs([experiment], client.CURRENT)} != ids:
        chosen = ", ".join(f"'{run_id}'" for run_id in sorted(ids))
        shown = f"searchFilter={quote(f'attributes.run_id IN ({chosen})', safe='')}"
    return f"{store.page()}/#/experiments/{experiment}/runs?workflowType=machine_learning&compareRunsMode=CHART&{shown}"
