"""The run of a training in progress, which never waits for MLflow."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline import files
from pipeline.data.dataset import Dataset
from pipeline.errors import UnavailableError
from pipeline.tracking import client, logged_model, runs
from pipeline.tracking.artifacts import Evidence
from pipeline.tracking.client import mlflow
from pipeline.tracking.description import DVC_EXPERIMENT, Facts
from pipeline.tracking.outbox import Sender

# Seconds to wait for MLflow: at the start where it is required, at the end of a run, and when interrupted.
PATIENCE = 15.0
LAST_CALL = 20.0
HURRY = 4.0
_START = "its start"


class TrainingRun:
    """A run whose parts are sent in order beside the training, which never waits for MLflow."""

    def __init__(self, facts: Facts, data: Dataset) -> None:
        self._facts = facts
        self._tags: dict[str, str] = {}
        self._started = runs.now()
        self._id = ""
        self._epochs = 0
        self._unsent: list[mlflow.entities.Metric] = []
        self._sender = Sender(hopeless=client.refused)
        self._sender.put(_START, self._start)
        self._sender.put("its params", lambda: runs.log_params(self._id, facts))
        self._sender.put("its data", lambda: runs.log_inputs(self._id, facts, data))

    def log_epochs(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Log the epochs in `rows` that were not yet: Keras' names, step = epoch, and the seconds each took."""
        # The timestamps are those of now: sent twice, the same point is stored once.
        self._unsent += [point for row in rows[self._epochs :] for point in runs.epoch_points(row)]
        self._epochs = len(rows)
        self._sender.put("epochs", self._send_points)

    def log_model(self, path: Path) -> None:
        """Log the model file at `path` and its md5: from here on the result is safe."""
        md5 = files.md5(path)
        self._sender.put("its model", lambda: logged_model.log(self._id, self._facts.name, path))
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
            beside = Sender(hopeless=client.refused)
            beside.put("its end", lambda: self._end("KILLED"))
            beside.close(patience / 2)

    def leave(self, patience: float) -> str:
        """Wait a while, send nothing more after that, and return what MLflow lacks."""
        return _lacking(self._sender.close(patience), self._sender.error)

    def _start(self) -> None:
        # What holds now, not when MLflow answers.
        self._tags = self._tags or mlflow.tracking.context.registry.resolve_tags(self._facts.tags())
        experiment, api = client.connect(), mlflow.MlflowClient()
        # Whoever holds the recipe's lock is its only trainer: a run that still counts as running was killed, unless it
        # is this one, of whose making no answer came.
        for left in runs.running(experiment, self._facts.recipe):
            if left.info.start_time == self._started:
                self._id = left.info.run_id
            else:
                api.set_terminated(left.info.run_id, "KILLED")
        if not self._id:
            created = api.create_run(experiment, self._started, self._tags, run_name=self._facts.name)
            self._id = created.info.run_id

    def _send_points(self) -> None:
        points = list(self._unsent)
        runs.log_points(self._id, points)
        del self._unsent[: len(points)]

    def _end(self, status: str) -> None:
        api = mlflow.MlflowClient()
        if status == "FINISHED" and DVC_EXPERIMENT not in self._tags:
            runs.mark_current(api.get_run(self._id))
        api.set_terminated(self._id, status)


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
        if run := runs.find_run({"model": evidence.model, **sums}):
            runs.add_evidence(run, evidence)
        else:
            missing.append("MLflow lacks the run of this model and data")

    sender = Sender(hopeless=client.refused)
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
    return f"MLflow lacks {what} ({client.reason(error)})"
