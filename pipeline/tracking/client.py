"""The way to MLflow: settings that must stand before it is imported, the connection, and what an error means."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from pipeline.errors import UnavailableError
from pipeline.tracking import store, view
from pipeline.tracking.description import NOTE

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

import mlflow as mlflow

EXPERIMENT, STUDY = "mnist", "mnist-study"
# The tag that tells the runs of the files in the workspace from those of earlier ones.
STATE = "dvc.state"
CURRENT = f"tags.`{STATE}` = 'current'"
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
    EXPERIMENT: {NOTE: ABOUT[EXPERIMENT], view.TAG: view.saved(CURRENT)},
    STUDY: {NOTE: ABOUT[STUDY]},
}
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
