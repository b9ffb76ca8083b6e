"""What MLflow is told: the only importer of mlflow. No stage needs an answer from it to compute its result.

The store is `MLFLOW_TRACKING_URI`, or else `mlflow.db` at the root of the repository. A training is one run of the
experiment `mnist`. It carries the recipe's hash from the start and the md5 sums of data and model once they are safe;
by these sums the evaluation finds it again. Everything here can be repeated: what is there already is not sent twice.

    client        settings, connection, and what an error means
    store         where MLflow's store is, and its making
    live          the run of a training in progress
    outbox        work beside the caller, tried again
    runs          finished runs: found, completed, added
    logged_model  a model file in MLflow
    registry      the champion in MLflow's registry
    promotion     what MLflow and a committed file tell of the champion
    workspace     trained models, as dvc.lock records them
    description   what MLflow is told of a training that starts
    artifacts     what MLflow shows of an evaluated model
    view          what MLflow's pages show first

A stage or a command uses what is named below, and nothing else of this package.
"""

from pipeline.tracking import promotion
from pipeline.tracking.artifacts import Evidence
from pipeline.tracking.client import STUDY, add_option, reachable, reason, refused
from pipeline.tracking.description import Facts, flatten
from pipeline.tracking.live import LAST_CALL, log_evaluation, training_run
from pipeline.tracking.logged_model import fetch as logged_file
from pipeline.tracking.outbox import Sender
from pipeline.tracking.promotion import Comparison, Promotion
from pipeline.tracking.registry import CHAMPION, REGISTERED, champion
from pipeline.tracking.runs import add_finished, find_run, page_of
from pipeline.tracking.workspace import Outcome, sync, trained

__all__ = [
    "CHAMPION",
    "LAST_CALL",
    "REGISTERED",
    "STUDY",
    "Comparison",
    "Evidence",
    "Facts",
    "Outcome",
    "Promotion",
    "Sender",
    "add_finished",
    "add_option",
    "champion",
    "find_run",
    "flatten",
    "log_evaluation",
    "logged_file",
    "page_of",
    "promotion",
    "reachable",
    "reason",
    "refused",
    "sync",
    "trained",
    "training_run",
]
