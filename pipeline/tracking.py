"""What MLflow is told: the only importer of mlflow. No stage needs an answer from it to compute its result.

The store is `MLFLOW_TRACKING_URI`, or else `mlflow.db` at the root of the repository. A training is one run of the
experiment `mnist`. It carries the recipe's hash from the start and the md5 sums of data and model once they are safe;
by these sums the evaluation finds it again.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import files
from pipeline.dataset import Dataset
from pipeline.params import Params

# Set before mlflow is imported: it reads them once.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_DISABLE_AGENT_HINT", "1")
os.environ.setdefault("MLFLOW_UV_AUTO_DETECT", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"

import mlflow
from mlflow.entities import Metric

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXPERIMENT = "mnist"
_PER_EPOCH = ("loss", "accuracy", "val_loss", "val_accuracy")


def root() -> Path:
    """Return the root of the repository, also from the temporary directories in which queued experiments run."""
    return Path(os.environ.get("DVC_ROOT") or Path(__file__).parents[1]).resolve()


def connect() -> str:
    """Point mlflow at the store, make store and experiment where they are missing, and return the experiment's id.

    Several processes may do this at once: a local store appears under its name only when it is complete.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root()}/mlflow.db"
    local = Path(uri.removeprefix("sqlite:///")).resolve() if uri.startswith("sqlite:///") else None
    mlflow.set_tracking_uri(f"sqlite:///{local}" if local else uri)
    if local is None:
        return _experiment(None)
    with _lock(local.with_name(local.name + ".lock")):
        _ensure_store(local)
        return _experiment((local.parent / "mlruns").as_uri())


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _ensure_store(path: Path) -> None:
    if path.exists():
        return
    unfinished = path.with_name(path.name + ".new")
    for suffix in ("", "-journal", "-wal", "-shm"):
        Path(f"{unfinished}{suffix}").unlink(missing_ok=True)
    mlflow.MlflowClient(tracking_uri=f"sqlite:///{unfinished}").search_experiments(max_results=1)
    unfinished.replace(path)


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


@dataclass(frozen=True)
class Facts:
    """What is known about a training before it starts: the model's name, its recipe, the data's md5 and all params."""

    model: str
    recipe: str
    data_md5: str
    params: Params

    def flat(self) -> dict[str, Any]:
        """Return the params that make this model, under the same keys for every model."""
        shared = {
            "train": self.params.train.model_dump(),
            "data": self.params.data.model_dump(exclude={"files", "sources"}),
        }
        return _flat(self.params.model(self.model).model_dump()) | _flat(shared)

    def tags(self) -> dict[str, str]:
        """Return the tags that a run carries from its start."""
        environment = {"dvc.stage": os.environ.get("DVC_STAGE"), "dvc.exp_name": os.environ.get("DVC_EXP_NAME")}
        return {
            "model": self.model,
            "recipe": self.recipe,
            "data.md5": self.data_md5,
            "seed": str(self.params.train.seed),
            "git.dirty": _git_dirty(),
            **{key: value for key, value in environment.items() if value},
        }

    def description(self) -> str:
        """Return what MLflow shows beside the run, as Markdown."""
        model, training = self.params.model(self.model), self.params.train
        return (
            f"**{self.model}**: {model.network.name} trained with {model.optimizer.name} for {model.epochs} epochs "
            f"on {self.params.data.dataset}; batches of {training.batch_size}, seed {training.seed}.\n\n"
            "`loss` and `accuracy` are running means over an epoch, with dropout on; "
            "`train_*` and `test_*` are measured after the last one, with dropout off."
        )


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat |= _flat(item, f"{prefix}{key}.") if isinstance(item, Mapping) else {prefix + key: item}
    return flat


def _git_dirty() -> str:
    command = ["git", "status", "--porcelain", "--untracked-files=no", "--", "pipeline", "params.yaml", "dvc.yaml"]
    try:
        changes = subprocess.run(command, cwd=root(), capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return str(bool(changes)).lower()


class TrainingRun:
    """A run that keeps in order what it could not send, and sends it with the next epoch: training never waits long."""

    def __init__(self, facts: Facts, data: Dataset) -> None:
        self._facts = facts
        self._sent_epochs = 0
        self._unsent: list[Callable[[], None]] = []
        self._error = ""
        self._send(self._start)
        self._send(lambda: mlflow.log_params(facts.flat()))
        self._send(lambda: _log_inputs(facts, data))

    def log_epochs(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Log the epochs in `rows` that this run does not have: Keras' names, step = epoch, and the seconds it took."""
        metrics = []
        for row in rows[self._sent_epochs :]:
            values = {key: row[key] for key in _PER_EPOCH} | {"epoch_seconds": row["seconds"]}
            metrics += _metrics(values, step=int(row["epoch"]))
        self._sent_epochs = len(rows)
        # One timestamp, taken now: sending the same point twice stores it once.
        self._send(lambda: mlflow.MlflowClient().log_batch(self._id(), metrics=metrics))

    def log_model(self, path: Path, rows: Sequence[Mapping[str, float]]) -> None:
        """Log the model file at `path`, and its md5: the result is safe."""
        self.log_epochs(rows)
        self._send(lambda: _log_model(self._facts.model, path))
        md5 = files.md5(path)
        self._send(lambda: mlflow.MlflowClient().set_tag(self._id(), "model.md5", md5))

    def end(self, status: str) -> None:
        """End the run as FINISHED, FAILED or KILLED; say so if MLflow lacks a part of it."""
        self._send(lambda: mlflow.end_run(status))
        if self._unsent:
            print(f"warning: MLflow did not take all of this run: {self._error}", file=sys.stderr)

    def _start(self) -> None:
        experiment = connect()
        client = mlflow.MlflowClient()
        # Whoever holds the recipe's lock is its only trainer: a run that still counts as running was killed.
        for left in client.search_runs([experiment], f"tags.recipe = '{self._facts.recipe}' and status = 'RUNNING'"):
            client.set_terminated(left.info.run_id, "KILLED")
        mlflow.start_run(
            experiment_id=experiment,
            run_name=self._facts.model,
            tags=self._facts.tags(),
            description=self._facts.description(),
        )

    def _id(self) -> str:
        return str(mlflow.active_run().info.run_id)

    def _send(self, action: Callable[[], None]) -> None:
        self._unsent.append(action)
        while self._unsent:
            try:
                self._unsent[0]()
            except Exception as error:
                self._error = " ".join(str(error).split())[:200]
                return
            del self._unsent[0]


@contextmanager
def training_run(facts: Facts, data: Dataset) -> Iterator[TrainingRun]:
    """Yield the run of a training; it ends as FINISHED, as FAILED after an error, or as KILLED when interrupted."""
    run = TrainingRun(facts, data)
    try:
        yield run
    except (KeyboardInterrupt, SystemExit):
        run.end("KILLED")
        raise
    except BaseException:
        run.end("FAILED")
        raise
    run.end("FINISHED")


def log_evaluation(
    model: str,
    sums: Mapping[str, str],
    metrics: Mapping[str, float],
    figures: Mapping[str, Figure],
    tables: Sequence[Path],
) -> None:
    """Add final `metrics`, `figures` by file name, and `tables` to the run of `model` whose tags hold `sums`.

    Without such a run, or without a store that answers, a warning says so: the files on disk are complete.
    """
    try:
        experiment = connect()
        query = " and ".join(f"tags.`{key}` = '{value}'" for key, value in {"model": model, **sums}.items())
        latest = ["attributes.start_time DESC"]
        runs = mlflow.MlflowClient().search_runs([experiment], query, order_by=latest, max_results=1)
        if not runs:
            print(
                f"warning: MLflow has no run of {model} with {dict(sums)}; its scores are on disk only", file=sys.stderr
            )
            return
        _add_to(runs[0], metrics, figures, tables)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        print(f"warning: MLflow did not take the scores of {model}: {reason}", file=sys.stderr)


def _add_to(run: Any, metrics: Mapping[str, float], figures: Mapping[str, Figure], tables: Sequence[Path]) -> None:
    client, run_id = mlflow.MlflowClient(), run.info.run_id
    fresh = {key: value for key, value in metrics.items() if run.data.metrics.get(key) != value}
    logged = [output.model_id for output in run.outputs.model_outputs]
    client.log_batch(run_id, metrics=_metrics(fresh, step=0, model_id=logged[0] if logged else None))
    for name, figure in figures.items():
        client.log_figure(run_id, figure, f"figures/{name}")
    for table in tables:
        client.log_artifact(run_id, table, "tables")


def _log_inputs(facts: Facts, data: Dataset) -> None:
    for split_name, split in data.splits().items():
        name = f"{facts.params.data.dataset}-{split_name}"
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
