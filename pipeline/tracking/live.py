"""The run of a training in progress: logged in the background, so that training never waits for MLflow."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipeline import files
from pipeline.data.dataset import Dataset
from pipeline.errors import UnavailableError
from pipeline.tracking import client, experiments, logged_model, runs, store
from pipeline.tracking.artifacts import EvaluationArtifacts
from pipeline.tracking.client import mlflow
from pipeline.tracking.description import DVC_EXPERIMENT, RunDescription
from pipeline.tracking.outbox import Outbox
from pipeline.tracking.store import SetupError

# Seconds to wait for MLflow: at the start where it is required, at the end of a run, and when interrupted.
START_TIMEOUT_S = 15.0
END_TIMEOUT_S = 20.0
INTERRUPT_TIMEOUT_S = 4.0
# More for a local store in which nothing fails: only other work on this machine, as queued experiments, slows it down.
BUSY_TIMEOUT_S = 60.0
_START = "its start"


class TrainingRun:
    """A run whose parts are sent in order in the background."""

    def __init__(self, description: RunDescription, data: Dataset) -> None:
        self._description = description
        self._tags: dict[str, str] = {}
        self._started = runs.now()
        self._id = ""
        self._monitor: Any = None
        self._epochs = 0
        self._unsent: list[mlflow.entities.Metric] = []
        self._outbox = Outbox(client.is_permanent)
        self._outbox.put(_START, self._start)
        self._outbox.put("its params", lambda: runs.log_params(self._id, description))
        self._outbox.put("its data", lambda: runs.log_inputs(self._id, description, data))

    def log_epochs(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Log the epochs in `rows` that are new: Keras' names, step = epoch, and the seconds of each."""
        # Their timestamps are set now: a point that is sent twice is stored once.
        self._unsent += [point for row in rows[self._epochs :] for point in runs.epoch_points(row)]
        self._epochs = len(rows)
        self._outbox.put("epochs", self._send_points)

    def log_model(self, path: Path) -> None:
        """Log the model file at `path` and its md5: from here on the result is safe."""
        md5 = files.md5(path)
        self._outbox.put("its model", lambda: logged_model.log(self._id, self._description.name, path))
        self._outbox.put("its checksum", lambda: mlflow.MlflowClient().set_tag(self._id, "model.md5", md5))

    def missing(self) -> str:
        """Wait for what was put so far; return what MLflow is missing and why, as text, empty if nothing."""
        return _missing(self._outbox.wait(START_TIMEOUT_S), self._outbox.error)

    def end(self, status: str, timeout_s: float) -> str:
        """End the run as FINISHED, FAILED or KILLED, and return what MLflow is missing of it."""
        self._outbox.put("its end", lambda: self._end(status))
        return _missing(self._outbox.close(timeout_s, _busy_s() if status == "FINISHED" else 0), self._outbox.error)

    def interrupt(self, timeout_s: float) -> None:
        """End the run as KILLED within `timeout_s`, whatever is being sent: a model may take longer than that."""
        if self.end("KILLED", timeout_s / 2) and self._id:
            second = Outbox(client.is_permanent)
            second.put("its end", lambda: self._end("KILLED"))
            second.close(timeout_s / 2)

    def leave(self, timeout_s: float) -> str:
        """Wait for `timeout_s` at most, send nothing more after that, and return what MLflow is missing."""
        return _missing(self._outbox.close(timeout_s), self._outbox.error)

    def _start(self) -> None:
        # What holds now, not when MLflow answers.
        self._tags = self._tags or mlflow.tracking.context.registry.resolve_tags(self._description.tags())
        experiment, api = experiments.connect(experiments.of_dataset(self._description.dataset)), mlflow.MlflowClient()
        # Whoever holds the lock of a recipe is the only process that trains it: another run with the status RUNNING was
        # killed, unless it is this one, created by a request whose answer was lost.
        for left in runs.running(experiment, self._description.recipe):
            if left.info.start_time == self._started:
                self._id = left.info.run_id
            else:
                api.set_terminated(left.info.run_id, "KILLED")
        if not self._id:
            self._id = runs.create(experiment, self._description.name, self._tags, self._started).info.run_id
        self._monitor = self._monitor or _start_monitor(self._id)

    def _send_points(self) -> None:
        points = list(self._unsent)
        runs.log_points(self._id, points)
        del self._unsent[: len(points)]

    def _end(self, status: str) -> None:
        api = mlflow.MlflowClient()
        if status == "FINISHED" and DVC_EXPERIMENT not in self._tags:
            runs.mark_current(api.get_run(self._id))
        if self._monitor and status == "FINISHED":
            self._monitor.finish()
        # Of a run that ends otherwise, it ends with the run.
        api.set_terminated(self._id, status)


@contextmanager
def training_run(description: RunDescription, data: Dataset, *, required: bool = False) -> Iterator[TrainingRun]:
    """Yield the run of a training; it ends as FINISHED, as FAILED after an error, or as KILLED when interrupted.

    A warning reports what MLflow did not take.

    Raises:
        UnavailableError: MLflow is `required` and did not take the start, or the whole, of the run.
    """
    run = TrainingRun(description, data)
    if required and (missing := run.missing()):
        run.leave(0)
        raise UnavailableError(f"{missing}; nothing was trained")
    try:
        yield run
    except (KeyboardInterrupt, SystemExit):
        run.interrupt(INTERRUPT_TIMEOUT_S)
        raise
    except BaseException:
        run.end("FAILED", START_TIMEOUT_S)
        raise
    if missing := run.end("FINISHED", END_TIMEOUT_S):
        if required:
            raise UnavailableError(f"{missing}; run again: the model is kept and not trained again")
        _warn(description.name, missing)


def log_evaluation(
    dataset: str, artifacts: EvaluationArtifacts, checksums: Mapping[str, str], *, required: bool = False
) -> None:
    """Add scores, figures and tables to the latest finished run of the model on a data set with `checksums` as tags.

    If there is none, or MLflow does not answer, a warning says so.

    Raises:
        UnavailableError: MLflow is `required` and did not take them.
    """
    no_run: list[str] = []

    def send() -> None:
        if run := runs.find_run(dataset, {"model": artifacts.model, **checksums}):
            runs.add_artifacts(run, artifacts)
        else:
            no_run.append("MLflow is missing the run of this model and data")

    outbox = Outbox(client.is_permanent)
    outbox.put("the scores", send)
    missing = _missing(outbox.close(END_TIMEOUT_S, _busy_s()), outbox.error) or "".join(no_run)
    if missing and required:
        raise UnavailableError(f"{artifacts.model}: {missing}")
    if missing:
        _warn(artifacts.model, missing)


def _busy_s() -> float:
    with suppress(SetupError):
        return BUSY_TIMEOUT_S if store.local(store.uri()) else 0
    return 0


def _warn(model: str, missing: str) -> None:
    experiment = os.environ.get("DVC_EXP_NAME")
    # The files of an experiment are not in the workspace, from which sync adds what is missing.
    command = f"`dvc exp apply {experiment} && make sync`" if experiment else "`make sync`"
    print(f"warning: {model}: {missing}; {command} adds it afterwards, and the files are complete", file=sys.stderr)


def _missing(parts: Sequence[str], error: Exception | None) -> str:
    if not parts:
        return ""
    what = "the run" if _START in parts else ", ".join(dict.fromkeys(parts))
    return f"MLflow is missing {what} ({client.reason(error)})"


def _start_monitor(run_id: str) -> Any:
    """Return a started monitor that logs the machine's load to the run; None where it is not asked for or cannot be.

    MLflow starts one only for runs that its fluent interface creates, and ours are not. It samples in a thread of its
    own until the run ends or its `finish` is called.
    """
    try:
        if not mlflow.environment_variables.MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING.get():
            return None
        # After our settings, and only where it is needed: it takes a while.
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        monitor = SystemMetricsMonitor(run_id, resume_logging=True)
        monitor.start()
    except Exception as error:
        # Whatever it is, a run does without.
        print(f"warning: no system metrics ({client.reason(error)})", file=sys.stderr)
        return None
    return monitor
