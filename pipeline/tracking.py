"""What MLflow is told: the only importer of mlflow. No stage needs an answer from it to compute its result.

The store is `MLFLOW_TRACKING_URI`, or else `mlflow.db` at the root of the repository. A training is one run of the
experiment `mnist`. It carries the recipe's hash from the start and the md5 sums of data and model once they are safe;
by these sums the evaluation finds it again.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline import files, store
from pipeline.cli import UnavailableError
from pipeline.dataset import Dataset
from pipeline.evidence import Evidence
from pipeline.facts import Facts
from pipeline.sender import Sender

# Set before mlflow is imported: it reads them once.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_DISABLE_AGENT_HINT", "1")
os.environ.setdefault("MLFLOW_UV_AUTO_DETECT", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"

import mlflow
from mlflow.entities import Metric

EXPERIMENT = "mnist"
# The tag that tells the runs of the files in the workspace from those of earlier ones.
STATE = "dvc.state"
NOTE = "mlflow.note.content"
# Seconds without an answer after which MLflow is left alone.
PATIENCE = 15.0
HURRY = 4.0
_PER_EPOCH = ("loss", "accuracy", "val_loss", "val_accuracy")


def add_option(parser: argparse.ArgumentParser) -> None:
    """Give a stage the option that makes MLflow a condition of its success."""
    parser.add_argument(
        "--require-tracking",
        action="store_true",
        default=bool(os.environ.get("REQUIRE_TRACKING")),
        help="exit with 3 if MLflow does not take all of the run; under dvc, set REQUIRE_TRACKING=1",
    )


def connect() -> str:
    """Point mlflow at the store, make store and experiment where they are missing, and return the experiment's id.

    Raises:
        UnavailableError: There is a local store that cannot be used.
    """
    address = store.uri()
    path = store.local(address)
    mlflow.set_tracking_uri(f"{store.SQLITE}{path}" if path else address)
    if path is None:
        return _experiment(None)
    with store.prepared(path, lambda at: mlflow.MlflowClient(tracking_uri=at).search_experiments(max_results=1)):
        return _experiment((path.parent / "mlruns").as_uri())


def _experiment(artifact_location: str | None) -> str:
    client = mlflow.MlflowClient()
    if (found := client.get_experiment_by_name(EXPERIMENT)) is None:
        try:
            client.create_experiment(EXPERIMENT, artifact_location=artifact_location)
        except mlflow.MlflowException:
            # On a server, another client may have been first.
            if client.get_experiment_by_name(EXPERIMENT) is None:
                raise
        found = client.get_experiment_by_name(EXPERIMENT)
    return str(found.experiment_id)


class TrainingRun:
    """A run whose parts are sent in order beside the training, which never waits for MLflow."""

    def __init__(self, facts: Facts, data: Dataset) -> None:
        self._facts = facts
        self._epochs = 0
        self._sender = Sender()
        self._sender.put("its start", self._start)
        self._sender.put("its params", lambda: mlflow.log_params(facts.flat()))
        self._sender.put("its data", lambda: _log_inputs(facts, data))

    def lacking(self) -> str:
        """Wait a while for what was put so far and return what MLflow lacks and why, as text; empty if nothing."""
        return _lacking(self._sender.wait(PATIENCE), self._sender.error)

    def log_epochs(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Log the epochs in `rows` that were not yet: Keras' names, step = epoch, and the seconds each took."""
        metrics = [point for row in rows[self._epochs :] for point in _epoch_points(row)]
        self._epochs = len(rows)
        if metrics:
            # The timestamps are those of now: sent twice, the same point is stored once.
            self._sender.put("epochs", lambda: mlflow.MlflowClient().log_batch(_active(), metrics=metrics))

    def log_model(self, path: Path) -> None:
        """Log the model file at `path` and its md5: from here on the result is safe."""
        md5 = files.md5(path)
        self._sender.put("its model", lambda: _log_model(self._facts.name, path))
        self._sender.put("its sums", lambda: mlflow.MlflowClient().set_tag(_active(), "model.md5", md5))

    def end(self, status: str, patience: float) -> str:
        """End the run as FINISHED, FAILED or KILLED, and return what MLflow lacks of it."""
        self._sender.put("its end", lambda: self._end(status))
        return _lacking(self._sender.close(patience), self._sender.error)

    def _start(self) -> None:
        experiment = connect()
        # Whoever holds the recipe's lock is its only trainer: a run that still counts as running was killed.
        for left in _running(experiment, self._facts.recipe):
            mlflow.MlflowClient().set_terminated(left.info.run_id, "KILLED")
        mlflow.start_run(
            experiment_id=experiment,
            run_name=self._facts.name,
            tags=self._facts.tags(),
            description=self._facts.description(),
        )

    def _end(self, status: str) -> None:
        if status == "FINISHED" and "DVC_EXP_NAME" not in os.environ:
            mark_current(self._facts.name, _active())
        mlflow.end_run(status)


def mark_current(model: str, run_id: str) -> None:
    """Tag the run as the current one of `model`, and the one that was it as superseded."""
    client = mlflow.MlflowClient()
    experiment = client.get_run(run_id).info.experiment_id
    for run in client.search_runs([experiment], f"tags.model = '{model}' and tags.`{STATE}` = 'current'"):
        client.set_tag(run.info.run_id, STATE, "superseded")
    client.set_tag(run_id, STATE, "current")


def _active() -> str:
    return str(mlflow.active_run().info.run_id)


def _lacking(parts: Sequence[str], error: Exception | None) -> str:
    if not parts:
        return ""
    reason = re.sub(r"//[^/@\s]+@", "//***@", " ".join(str(error).split()) or "no answer yet")[:200]
    login = re.search(r"\b40[13]\b|UNAUTHENTICATED|PERMISSION_DENIED", reason)
    hint = "; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" if login else ""
    return f"MLflow lacks {', '.join(dict.fromkeys(parts))} ({reason}{hint})"


@contextmanager
def training_run(facts: Facts, data: Dataset, *, required: bool = False) -> Iterator[TrainingRun]:
    """Yield the run of a training; it ends as FINISHED, as FAILED after an error, or as KILLED when interrupted.

    What MLflow did not take is said in a warning.

    Raises:
        UnavailableError: MLflow is `required` and did not take the start, or the whole, of the run.
    """
    run = TrainingRun(facts, data)
    if required and (lacking := run.lacking()):
        raise UnavailableError(f"{lacking}; nothing was trained")
    try:
        yield run
    except (KeyboardInterrupt, SystemExit):
        run.end("KILLED", HURRY)
        raise
    except BaseException:
        run.end("FAILED", PATIENCE)
        raise
    if lacking := run.end("FINISHED", PATIENCE):
        if required:
            raise UnavailableError(f"{lacking}; run again: the training is kept and not repeated")
        _warn(lacking)


def log_evaluation(evidence: Evidence, sums: Mapping[str, str], *, required: bool = False) -> None:
    """Add scores, figures and tables to the latest finished run of the model whose tags hold `sums`.

    Without such a run, or without a store that answers, a warning says so.

    Raises:
        UnavailableError: MLflow is `required` and did not take them.
    """

    def send() -> None:
        if (run := find_run({"model": evidence.model, **sums})) is None:
            _warn(f"MLflow has no run of {evidence.model} with this model and data")
        else:
            add_evidence(run, evidence)

    sender = Sender()
    sender.put("the scores", send)
    if lacking := _lacking(sender.close(PATIENCE), sender.error):
        if required:
            raise UnavailableError(f"{evidence.model}: {lacking}")
        _warn(f"{evidence.model}: {lacking}")


def complete(facts: Facts, data: Dataset, rows: Sequence[Mapping[str, float]], model: Path) -> Any:
    """Return a finished run that holds all of a training whose files are safe.

    That is the run of the recipe that still counts as running, since an outage hid its end, with what it lacks; without
    one, a new run tagged as restored. No trainer of the recipe may be at work.
    """
    experiment, client = connect(), mlflow.MlflowClient()
    cut_short = client.search_runs(
        [experiment], f"tags.recipe = '{facts.recipe}' and status = 'RUNNING'", max_results=1
    )
    if cut_short:
        run_id = cut_short[0].info.run_id
    else:
        tags = facts.tags() | {"restored": "true", NOTE: facts.description()}
        run_id = client.create_run(experiment, tags=tags, run_name=facts.name).info.run_id
    with mlflow.start_run(run_id=run_id) as run:
        mlflow.log_params(facts.flat())
        if not run.inputs.dataset_inputs:
            _log_inputs(facts, data)
        client.log_batch(run_id, metrics=_lacking_points(run_id, rows))
        if not run.outputs.model_outputs:
            _log_model(facts.name, model)
        client.set_tag(run_id, "model.md5", files.md5(model))
    return client.get_run(run_id)


def _running(experiment: str, recipe: str) -> list[Any]:
    return list(mlflow.MlflowClient().search_runs([experiment], f"tags.recipe = '{recipe}' and status = 'RUNNING'"))


def _lacking_points(run_id: str, rows: Sequence[Mapping[str, float]]) -> list[Metric]:
    names = (*_PER_EPOCH, "epoch_seconds")
    history = mlflow.MlflowClient().get_metric_history
    present = {(name, point.step) for name in names for point in history(run_id, name)}
    return [point for row in rows for point in _epoch_points(row) if (point.key, point.step) not in present]


def _epoch_points(row: Mapping[str, float]) -> list[Metric]:
    values = {key: row[key] for key in _PER_EPOCH} | {"epoch_seconds": row["seconds"]}
    return _metrics(values, step=int(row["epoch"]))


@contextmanager
def reachable() -> Iterator[None]:
    """Turn an error of MLflow or of the way to it into UnavailableError: for commands that are about MLflow alone."""
    try:
        yield
    except (mlflow.MlflowException, OSError) as error:
        raise UnavailableError(_lacking(["this"], error)) from None


def find_run(tags: Mapping[str, str]) -> Any:
    """Return the latest finished run of the experiment with these tags, or None."""
    experiment = connect()
    query = " and ".join(["status = 'FINISHED'", *(f"tags.`{key}` = '{value}'" for key, value in tags.items())])
    latest = ["attributes.start_time DESC"]
    return next(iter(mlflow.MlflowClient().search_runs([experiment], query, order_by=latest, max_results=1)), None)


def _warn(what: str) -> None:
    print(f"warning: {what}; the files on disk are complete", file=sys.stderr)


def add_evidence(run: Any, evidence: Evidence) -> bool:
    """Add to `run` what it lacks of the scores, figures and tables, and return whether it lacked any."""
    client, run_id = mlflow.MlflowClient(), run.info.run_id
    metrics = evidence.final_metrics()
    fresh = {key: value for key, value in metrics.items() if run.data.metrics.get(key) != value}
    logged = [output.model_id for output in run.outputs.model_outputs]
    client.log_batch(run_id, metrics=_metrics(fresh, step=0, model_id=logged[0] if logged else None))
    present = {artifact.path for artifact in client.list_artifacts(run_id)}
    if {"figures", "tables"} <= present:
        return bool(fresh)
    for name, figure in evidence.figures().items():
        client.log_figure(run_id, figure, f"figures/{name}")
    for table in evidence.tables():
        client.log_artifact(run_id, table, "tables")
    return True


def _log_inputs(facts: Facts, data: Dataset) -> None:
    for split_name, split in data.splits().items():
        name = f"{facts.data['dataset']}-{split_name}"
        source = mlflow.data.from_numpy(split.images, targets=split.labels, name=name, digest=facts.data_md5)
        mlflow.log_input(source, context=split_name)


def _metrics(values: Mapping[str, float], step: int, model_id: str | None = None) -> list[Metric]:
    now = int(time.time() * 1000)
    return [Metric(key, float(value), now, step, model_id=model_id) for key, value in values.items()]


def _log_model(name: str, path: Path) -> None:
    import mlflow.keras
    import numpy as np

    from pipeline import checkpoint, model_file

    network = model_file.load(path)
    packages = {"mlflow": mlflow.__version__, **checkpoint.versions()}
    images = np.zeros((2, *network.input_shape[1:]), network.input_dtype)
    mlflow.keras.log_model(
        network,
        name=name,
        signature=mlflow.models.infer_signature(images, network.predict(images, verbose=0)),
        pip_requirements=[f"{package}=={version}" for package, version in packages.items()],
        model_type="classifier",
    )
