"""What MLflow is told: the only importer of mlflow. No stage needs an answer from it to compute its result.

The store is `MLFLOW_TRACKING_URI`, or else `mlflow.db` at the root of the repository. A training is one run of the
experiment `mnist`. It carries the recipe's hash from the start and the md5 sums of data and model once they are safe;
by these sums the evaluation finds it again. Everything here can be repeated: what is there already is not sent twice.

    outbox      work beside the caller, tried again
    store       where MLflow's store is, and its making
    description  what MLflow is told of a training that starts
    artifacts   what MLflow shows of an evaluated model
    view        what MLflow's pages show first
    promotion   what MLflow and a committed file tell of the champion
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pipeline import files
from pipeline.data.dataset import Dataset
from pipeline.errors import InputError, UnavailableError
from pipeline.tracking import store, view
from pipeline.tracking.artifacts import Evidence
from pipeline.tracking.description import DVC_EXPERIMENT, NOTE, WORKSPACE, Facts, workspace
from pipeline.tracking.outbox import Sender
from pipeline.training import history

# Set before mlflow is imported: it reads some of them once.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_DISABLE_AGENT_HINT", "1")
os.environ.setdefault("MLFLOW_UV_AUTO_DETECT", "false")
# What fails is tried again here. MLflow's own second try of a request that had its effect would have it twice.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# The address that it prints at the end of a run has the password in it.
os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
# Its own logging beside the program loses without a word what it could not send.
os.environ["MLFLOW_ENABLE_ASYNC_LOGGING"] = "false"

import mlflow
from mlflow.entities import Dataset as DatasetEntity
from mlflow.entities import DatasetInput, InputTag, LoggedModelOutput, Metric, Param
from mlflow.tracking.context import registry

EXPERIMENT, STUDY = "mnist", "mnist-study"
# The tag that tells the runs of the files in the workspace from those of earlier ones.
STATE = "dvc.state"
_CURRENT = f"tags.`{STATE}` = 'current'"
# What MLflow shows above an experiment's runs, as Markdown.
ABOUT = {
    EXPERIMENT: (
        "Two MLPs and a CNN on MNIST, trained by `dvc repro`: a run is one training.\n\n"
        "The models in the workspace are those with the tag `dvc.state = current`. Select some and press *Compare*: "
        "their params, metrics, figures and tables have the same names. Under *Views*, *Current models* shows training "
        "and validation in one chart."
    ),
    STUDY: (
        "Many seeds of the models and of variants of them, trained by `make study`: a run is one variant with one "
        "seed. Group the runs by the param `variant`. `study/reports/claims.md` says what comes of them."
    ),
}
# What MLflow's pages read of an experiment.
_SHOWN = {
    EXPERIMENT: {NOTE: ABOUT[EXPERIMENT], view.TAG: view.saved(_CURRENT)},
    STUDY: {NOTE: ABOUT[STUDY]},
}
# Seconds to wait for MLflow: at the start where it is required, at the end of a run, and when interrupted.
PATIENCE = 15.0
LAST_CALL = 20.0
HURRY = 4.0
# Where MLflow has a Keras model's file.
LOGGED_FILE = "data/model.keras"
# The registered model, and the alias of the version that is in force.
REGISTERED, CHAMPION = "mnist", "champion"
_VERSIONS = "mlflow.modelVersions"
_START = "its start"
_BATCH = 1000  # metrics that MLflow takes at once
_LONG = 240  # characters of a reason
_LOGIN = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"


def add_option(parser: argparse.ArgumentParser) -> None:
    """Give a stage the option that makes MLflow a condition of its success."""
    parser.add_argument(
        "--require-tracking",
        action="store_true",
        default=bool(os.environ.get("REQUIRE_TRACKING")),
        help="exit with 3 if MLflow does not take all of the run; under dvc, set REQUIRE_TRACKING=1",
    )


def connect(experiment: str = EXPERIMENT) -> str:
    """Point mlflow at the store, make store and `experiment` where they are missing, and return the experiment's id.

    Raises:
        UnavailableError: There is a local store that cannot be used.
    """
    address = store.uri()
    path = store.local(address)
    mlflow.set_tracking_uri(address)
    if path is None:
        return _experiment(experiment, None)
    with store.prepared(path, _schema(), lambda at: mlflow.MlflowClient(at).search_experiments(max_results=1)):
        return _experiment(experiment, (path.parent / "mlruns").as_uri())


@cache
def _schema() -> str:
    """Return the version of the tables that this MLflow works with."""
    from alembic.script import ScriptDirectory

    return str(ScriptDirectory(Path(mlflow.__file__).parent / "store" / "db_migrations").get_current_head())


def _experiment(name: str, artifact_location: str | None) -> str:
    client = mlflow.MlflowClient()
    if (found := client.get_experiment_by_name(name)) is None:
        try:
            client.create_experiment(name, artifact_location=artifact_location, tags=_SHOWN[name])
        except mlflow.MlflowException:
            # On a server, another client may have been first.
            if client.get_experiment_by_name(name) is None:
                raise
        found = client.get_experiment_by_name(name)
    # One that an earlier version of this code made may lack some.
    for key in _SHOWN[name].keys() - found.tags.keys():
        client.set_experiment_tag(found.experiment_id, key, _SHOWN[name][key])
    return str(found.experiment_id)


class TrainingRun:
    """A run whose parts are sent in order beside the training, which never waits for MLflow."""

    def __init__(self, facts: Facts, data: Dataset) -> None:
        self._facts = facts
        self._tags: dict[str, str] = {}
        self._started = _now()
        self._id = ""
        self._epochs = 0
        self._unsent: list[Metric] = []
        self._sender = Sender(hopeless=refused)
        self._sender.put(_START, self._start)
        self._sender.put("its params", lambda: _log_params(self._id, facts))
        self._sender.put("its data", lambda: _log_inputs(self._id, facts, data))

    def log_epochs(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Log the epochs in `rows` that were not yet: Keras' names, step = epoch, and the seconds each took."""
        # The timestamps are those of now: sent twice, the same point is stored once.
        self._unsent += [point for row in rows[self._epochs :] for point in _epoch_points(row)]
        self._epochs = len(rows)
        self._sender.put("epochs", self._send_points)

    def log_model(self, path: Path) -> None:
        """Log the model file at `path` and its md5: from here on the result is safe."""
        md5 = files.md5(path)
        self._sender.put("its model", lambda: _log_model(self._id, self._facts.name, path))
        self._sender.put("its sums", lambda: mlflow.MlflowClient().set_tag(self._id, "model.md5", md5))

    def lacking(self) -> str:
        """Wait a while for what was put so far and return what MLflow lacks and why, as text; empty if nothing."""
        return _lacking(self._sender.wait(PATIENCE), self._sender.error)

    def end(self, status: str, patience: float) -> str:
        """End the run as FINISHED, FAILED or KILLED, and return what MLflow lacks of it."""
        self._sender.put("its end", lambda: self._end(status))
        return self.leave(patience)

    def interrupt(self, patience: float) -> None:
        """End the run as KILLED within `patience`, whatever is being sent: a model may take longer than that."""
        if self.end("KILLED", patience / 2) and self._id:
            beside = Sender(hopeless=refused)
            beside.put("its end", lambda: self._end("KILLED"))
            beside.close(patience / 2)

    def leave(self, patience: float) -> str:
        """Wait a while, send nothing more after that, and return what MLflow lacks."""
        return _lacking(self._sender.close(patience), self._sender.error)

    def _start(self) -> None:
        # What holds now, not when MLflow answers.
        self._tags = self._tags or registry.resolve_tags(self._facts.tags())
        experiment, client = connect(), mlflow.MlflowClient()
        # Whoever holds the recipe's lock is its only trainer: a run that still counts as running was killed, unless it
        # is this one, of whose making no answer came.
        for left in _running(experiment, self._facts.recipe):
            if left.info.start_time == self._started:
                self._id = left.info.run_id
            else:
                client.set_terminated(left.info.run_id, "KILLED")
        if not self._id:
            created = client.create_run(experiment, self._started, self._tags, run_name=self._facts.name)
            self._id = created.info.run_id

    def _send_points(self) -> None:
        points = list(self._unsent)
        _log_points(self._id, points)
        del self._unsent[: len(points)]

    def _end(self, status: str) -> None:
        client = mlflow.MlflowClient()
        if status == "FINISHED" and DVC_EXPERIMENT not in self._tags:
            mark_current(client.get_run(self._id))
        client.set_terminated(self._id, status)


@contextmanager
def training_run(facts: Facts, data: Dataset, *, required: bool = False) -> Iterator[TrainingRun]:
    """Yield the run of a training; it ends as FINISHED, as FAILED after an error, or as KILLED when interrupted.

    What MLflow did not take is said in a warning.

    Raises:
        UnavailableError: MLflow is `required` and did not take the start, or the whole, of the run.
    """
    run = TrainingRun(facts, data)
    if required and (lacking := run.lacking()):
        run.leave(0)
        raise UnavailableError(f"{lacking}; nothing was trained")
    try:
        yield run
    except (KeyboardInterrupt, SystemExit):
        run.interrupt(HURRY)
        raise
    except BaseException:
        run.end("FAILED", PATIENCE)
        raise
    if lacking := run.end("FINISHED", LAST_CALL):
        if required:
            raise UnavailableError(f"{lacking}; run again: the training is kept and not repeated")
        _warn(facts.name, lacking)


def log_evaluation(evidence: Evidence, sums: Mapping[str, str], *, required: bool = False) -> None:
    """Add scores, figures and tables to the latest finished run of the model whose tags hold `sums`.

    Without such a run, or without a store that answers, a warning says so.

    Raises:
        UnavailableError: MLflow is `required` and did not take them.
    """
    missing: list[str] = []

    def send() -> None:
        if run := find_run({"model": evidence.model, **sums}):
            add_evidence(run, evidence)
        else:
            missing.append("MLflow lacks the run of this model and data")

    sender = Sender(hopeless=refused)
    sender.put("the scores", send)
    lacking = _lacking(sender.close(LAST_CALL), sender.error) or "".join(missing)
    if lacking and required:
        raise UnavailableError(f"{evidence.model}: {lacking}")
    if lacking:
        _warn(evidence.model, lacking)


def _warn(model: str, lacking: str) -> None:
    print(f"warning: {model}: {lacking}; `make sync` adds this later, and the files are complete", file=sys.stderr)


def _lacking(parts: Sequence[str], error: Exception | None) -> str:
    if not parts:
        return ""
    what = "the run" if _START in parts else ", ".join(dict.fromkeys(parts))
    return f"MLflow lacks {what} ({reason(error)})"


def reason(error: Exception | None) -> str:
    """Return one line that says what is wrong with MLflow, without anybody's password."""
    if error is None:
        return "no answer yet"
    text = store.without_credentials(" ".join(str(error).split()))
    if isinstance(error, UnavailableError):
        return text
    # MLflow names the address first and the cause last.
    short = text if len(text) < _LONG else f"{text[: _LONG // 2]} ... {text[-_LONG // 2 :]}"
    return f"{short}; {_LOGIN}" if refused(error) else short


def refused(error: Exception) -> bool:
    """Return whether `error` is MLflow's refusal of who asks: asking again cannot help."""
    return bool(re.search(r"error code 40[13]\b|\b40[13] Client Error|UNAUTHENTICATED|PERMISSION_DENIED", str(error)))


@contextmanager
def reachable() -> Iterator[None]:
    """Turn an error of MLflow or of the way to it into UnavailableError: for commands that are about MLflow alone."""
    try:
        yield
    except (mlflow.MlflowException, OSError) as error:
        raise UnavailableError(f"{store.without_credentials(store.uri())}: {reason(error)}") from None


def logged_file(address: str, folder: Path) -> Path:
    """Return the `.keras` file of the model at `address` (models:/...), downloaded into `folder`.

    Raises:
        InputError: It is no such address, there is no such model, or it is none of Keras.
        UnavailableError: MLflow does not answer.
    """
    if not re.fullmatch(r"models:/[^/@\s]+([/@][^/@\s]+)?", address):
        raise InputError(f"{address!r}: expected models:/NAME@ALIAS, models:/NAME/VERSION or models:/ID")
    with reachable():
        connect()
        try:
            downloaded = mlflow.artifacts.download_artifacts(address, dst_path=str(folder))
        except mlflow.MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            raise InputError(f"{address}: {reason(error)}; `make ui` shows which there are") from None
    if not (path := Path(downloaded) / LOGGED_FILE).is_file():
        raise InputError(f"{address}: not a model of this project: it has no {LOGGED_FILE}")
    return path


def champion() -> Any:
    """Return the version of the registered model that has the alias, None if none has."""
    connect()
    found = _registered()
    version = found[0].aliases.get(CHAMPION) if found else None
    return mlflow.MlflowClient().get_model_version(REGISTERED, version) if version else None


def crown(run: Any, tags: Mapping[str, str], description: str) -> Any:
    """Give the alias to the version of the run's model, which is made if it lacks, and return that version.

    Cut short anywhere and done again, it leaves one version: that of the run.
    """
    client = mlflow.MlflowClient()
    if not _registered():
        try:
            client.create_registered_model(REGISTERED)
        except mlflow.MlflowException:
            # On a server, another client may have been first.
            if not _registered():
                raise
    run_id, model_id = run.info.run_id, run.outputs.model_outputs[0].model_id
    versions = client.search_model_versions(f"name = '{REGISTERED}' and run_id = '{run_id}'")
    version = versions[0] if versions else None
    if version is None:
        source = f"models:/{model_id}"
        version = client.create_model_version(REGISTERED, source, run_id, dict(tags), None, description, 0, model_id)
    for key in [key for key, value in tags.items() if version.tags.get(key) != value]:
        client.set_model_version_tag(REGISTERED, version.version, key, tags[key])
    if version.description != description:
        client.update_model_version(REGISTERED, version.version, description)
    # The model's page says by this tag that it is registered. A server sets it by itself, a local store does not.
    link = json.dumps([{"name": REGISTERED, "version": version.version}])
    if client.get_logged_model(model_id).tags.get(_VERSIONS) != link:
        client.set_logged_model_tags(model_id, {_VERSIONS: link})
    client.set_registered_model_alias(REGISTERED, CHAMPION, version.version)
    return version


def _registered() -> list[Any]:
    return list(mlflow.MlflowClient().search_registered_models(f"name = '{REGISTERED}'"))


def find_run(tags: Mapping[str, str]) -> Any:
    """Return the latest finished run of the experiment with these tags, or None.

    One from where this process runs goes first: its experiment of `dvc exp`, or else the files' own; then its clone.
    """
    experiment = connect()
    query = " and ".join(["status = 'FINISHED'", *(f"tags.`{key}` = '{value}'" for key, value in tags.items())])
    found = mlflow.MlflowClient().search_runs([experiment], query, order_by=["attributes.start_time DESC"])
    here = os.environ.get("DVC_EXP_NAME")
    return min(found, key=lambda run: (run.data.tags.get(DVC_EXPERIMENT) != here, not _ours(run)), default=None)


def complete(facts: Facts, data: Dataset, rows: Sequence[Mapping[str, float]], model: Path) -> Any:
    """Return a finished run that holds all of a training whose files are safe.

    That is the run of the recipe that still counts as running, since an outage hid its end, with what it lacks; without
    one, a new run. No trainer of the recipe may be at work.
    """
    experiment, client = connect(), mlflow.MlflowClient()
    duration = round(1000 * sum(row["seconds"] for row in rows))
    if not (cut_short := _running(experiment, facts.recipe)):
        cut_short = [client.create_run(experiment, _now() - duration, facts.tags(), run_name=facts.name)]
    run = cut_short[0].info
    _log_params(run.run_id, facts)
    _log_inputs(run.run_id, facts, data)
    _log_points(run.run_id, _lacking_points(run.run_id, rows))
    _log_model(run.run_id, facts.name, model)
    client.set_tag(run.run_id, "model.md5", files.md5(model))
    client.set_terminated(run.run_id, "FINISHED", run.start_time + duration)
    return client.get_run(run.run_id)


def end_left(recipe: str) -> None:
    """Mark the runs of the recipe that still count as running as killed. No trainer of it may be at work."""
    for left in _running(connect(), recipe):
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
    found, client = connect(experiment), mlflow.MlflowClient()
    if client.search_runs([found], f"tags.recipe = '{tags['recipe']}' and status = 'FINISHED'", max_results=1):
        return
    for left in _running(found, tags["recipe"]):
        client.set_terminated(left.info.run_id, "KILLED")
    run = client.create_run(found, tags=dict(tags), run_name=name)
    points = [point for row in rows for point in _metrics(_without_epoch(row), step=int(row["epoch"]))]
    client.log_batch(run.info.run_id, params=[Param(key, str(value)) for key, value in params.items()])
    _log_points(run.info.run_id, [*points, *_metrics(final, step=0)])
    client.set_terminated(run.info.run_id, "FINISHED")


def _without_epoch(row: Mapping[str, float]) -> dict[str, float]:
    return {key: value for key, value in row.items() if key != "epoch"}


def mark_current(run: Any) -> None:
    """Tag `run` as the current one of its model, and the one that was it as superseded; no run of `dvc exp` is either.

    Other clones' runs stay as they are. What has its tag already is not written.
    """
    client = mlflow.MlflowClient()
    query = f"tags.model = '{run.data.tags['model']}' and tags.`{STATE}` = 'current'"
    for other in client.search_runs([run.info.experiment_id], query):
        if other.info.run_id != run.info.run_id and _ours(other):
            client.set_tag(other.info.run_id, STATE, "superseded")
    if run.data.tags.get(STATE) != "current" and DVC_EXPERIMENT not in run.data.tags:
        client.set_tag(run.info.run_id, STATE, "current")


def add_evidence(run: Any, evidence: Evidence) -> bool:
    """Add to `run` what it lacks of the scores, figures and tables, and return whether it lacked any."""
    client, run_id = mlflow.MlflowClient(), run.info.run_id
    present = {file.path for file in client.list_artifacts(run_id)}
    metrics = evidence.final_metrics()
    fresh = {key: value for key, value in metrics.items() if run.data.metrics.get(key) != value}
    if not fresh and evidence.names() <= present:
        return False
    for name, figure in evidence.figures().items():
        client.log_figure(run_id, figure, name)
    for name, table in evidence.tables().items():
        client.log_text(run_id, table.read_text(encoding="utf-8"), name)
    # Last, since scores that are there say that the figures are those of these scores.
    _log_points(run_id, [_score(run, name, value) for name, value in fresh.items()])
    return True


def _score(run: Any, name: str, value: float) -> Metric:
    """Return a point that knows the run's model and, if its name begins with a split, the data it was measured on."""
    models = [output.model_id for output in run.outputs.model_outputs]
    data = {tag.value: one.dataset for one in run.inputs.dataset_inputs for tag in one.tags}
    measured_on = data.get(name.partition("_")[0])
    about = {"dataset_name": measured_on.name, "dataset_digest": measured_on.digest} if measured_on else {}
    return Metric(name, value, _now(), 0, model_id=models[0] if models else None, **about)


def page_of(runs: Sequence[Any]) -> str:
    """Return the address at which a browser shows charts of these current runs of one experiment, and no others.

    The saved view shows them, as it will later ones; where `dvc exp` made one, or a model has gone, their ids do.
    """
    experiment, ids = runs[0].info.experiment_id, {run.info.run_id for run in runs}
    shown = f"viewStateShareKey={view.KEY}"
    if {run.info.run_id for run in mlflow.MlflowClient().search_runs([experiment], _CURRENT)} != ids:
        chosen = ", ".join(f"'{run_id}'" for run_id in sorted(ids))
        shown = f"searchFilter={quote(f'attributes.run_id IN ({chosen})', safe='')}"
    return f"{store.page()}/#/experiments/{experiment}/runs?workflowType=machine_learning&compareRunsMode=CHART&{shown}"


def _now() -> int:
    return int(time.time() * 1000)


def _running(experiment: str, recipe: str) -> list[Any]:
    """Return this clone's runs of the recipe that count as running, the latest first."""
    found = mlflow.MlflowClient().search_runs([experiment], f"tags.recipe = '{recipe}' and status = 'RUNNING'")
    return [run for run in found if _ours(run)]


def _ours(run: Any) -> bool:
    """Return whether the run was made here: a local store has no others, even after its folder was moved."""
    return store.local(store.uri()) is not None or run.data.tags.get(WORKSPACE, workspace()) == workspace()


def _log_params(run_id: str, facts: Facts) -> None:
    client = mlflow.MlflowClient()
    # A param that is there is left alone: MLflow refuses to change one.
    present = client.get_run(run_id).data.params
    params = [Param(key, str(value)) for key, value in facts.flat().items() if key not in present]
    client.log_batch(run_id, params=params)


def _log_inputs(run_id: str, facts: Facts, data: Dataset) -> None:
    inputs = []
    for split_name, split in data.splits().items():
        name = f"{facts.data['dataset']}-{split_name}"
        source = mlflow.data.from_numpy(split.images, targets=split.labels, name=name, digest=facts.data_md5)
        context = InputTag("mlflow.data.context", split_name)
        inputs.append(DatasetInput(DatasetEntity.from_dictionary(source.to_dict()), [context]))
    mlflow.MlflowClient().log_inputs(run_id, inputs)


def _epoch_points(row: Mapping[str, float]) -> list[Metric]:
    values = {key: row[key] for key in history.SCORES} | {"epoch_seconds": row["seconds"]}
    return _metrics(values, step=int(row["epoch"]))


def _metrics(values: Mapping[str, float], step: int) -> list[Metric]:
    return [Metric(key, float(value), _now(), step) for key, value in values.items()]


def _lacking_points(run_id: str, rows: Sequence[Mapping[str, float]]) -> list[Metric]:
    names = (*history.SCORES, "epoch_seconds")
    of_metric = mlflow.MlflowClient().get_metric_history
    present = {(name, point.step) for name in names for point in of_metric(run_id, name)}
    return [point for row in rows for point in _epoch_points(row) if (point.key, point.step) not in present]


def _log_points(run_id: str, points: Sequence[Metric]) -> None:
    for first in range(0, len(points), _BATCH):
        mlflow.MlflowClient().log_batch(run_id, metrics=points[first : first + _BATCH])


def _log_model(run_id: str, name: str, path: Path) -> None:
    """Give the run its model: known to it only when it is complete, so that a try that fails leaves no second one."""
    client = mlflow.MlflowClient()
    run = client.get_run(run_id)
    if run.outputs.model_outputs:
        return
    begun = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run_id}'")
    logged = begun[0] if begun else _create_model(run, name)
    with tempfile.TemporaryDirectory() as folder:
        _save_model(path, Path(folder) / "model", logged)
        client.log_model_artifacts(logged.model_id, f"{folder}/model")
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])


def _create_model(run: Any, name: str) -> Any:
    kept = (NOTE, "mlflow.user", "mlflow.source.")
    told = {key: value for key, value in run.data.tags.items() if key.startswith(kept)}
    return mlflow.MlflowClient().create_logged_model(
        run.info.experiment_id, name, run.info.run_id, told, run.data.params, model_type="classifier"
    )


def _save_model(path: Path, folder: Path, logged: Any) -> None:
    import mlflow.keras
    import numpy as np

    from pipeline.training import model_file, recipe

    network = model_file.load(path)
    packages = {"mlflow": mlflow.__version__, **recipe.versions()}
    images = np.zeros((2, *network.input_shape[1:]), network.input_dtype)
    answers = np.zeros((2, *network.output_shape[1:]), np.float32)
    mlflow.keras.save_model(
        network,
        str(folder),
        mlflow_model=mlflow.models.Model(
            logged.artifact_location, logged.source_run_id, model_uuid=logged.model_id, model_id=logged.model_id
        ),
        signature=mlflow.models.infer_signature(images, answers),
        pip_requirements=[f"{package}=={version}" for package, version in packages.items()],
    )
    # The very bytes that model.md5 names: Keras writes no file twice alike.
    shutil.copyfile(path, folder / LOGGED_FILE)
