"""MLflow: the only package that imports mlflow. No stage needs an answer from it to compute its result.

The store is `MLFLOW_TRACKING_URI`, or else `mlflow.db` at the root of the repository. A trained model is one run of the
experiment that has the name of its data set. It carries the recipe hash from the start, and the md5 of data and model
once they are safe; the evaluation finds it by these. Everything here is idempotent: what MLflow has already is not sent
again.

    client          settings, connection, the meaning of errors
    store           the store: its address, messages without its secrets, a local one created atomically
    experiments     an experiment per data set and per study of it, and what is shown above its runs
    live            the run of a training in progress
    system_metrics  the machine's load during a run
    outbox          a retry queue in the background
    runs            runs: found, completed, marked as current; their parts
    finished        runs that are added when they have finished, such as the study's
    run_colours     a colour per model in MLflow's charts
    logged_model    a model file in MLflow: uploaded, checked, downloaded
    registry        the champion in MLflow's registry
    promotion       promotion.json, and the registry brought up to date with it
    git_registry    the champion as a commit with tags, for git and DVC
    workspace       the trained models, as dvc.lock records them
    retraining      what a run records, for training again
    description     params and tags of a training run
    artifacts       scores, figures and tables of an evaluated model
    view            the saved view in MLflow's pages

Stages and commands use the names below, and nothing else of this package.
"""

from pipeline.tracking import promotion
from pipeline.tracking.artifacts import EvaluationArtifacts
from pipeline.tracking.client import add_option, is_permanent, reachable, reason
from pipeline.tracking.description import RunDescription, flatten
from pipeline.tracking.experiments import Experiment, of_study, of_verdict
from pipeline.tracking.finished import FinishedRun, FinishedRuns
from pipeline.tracking.live import END_TIMEOUT_S, log_evaluation, training_run
from pipeline.tracking.logged_model import fetch, run_fault, trained_on
from pipeline.tracking.outbox import Outbox
from pipeline.tracking.promotion import ChampionComparison, Promotion
from pipeline.tracking.registry import CHAMPION, champion
from pipeline.tracking.retraining import LoggedTraining, logged_training
from pipeline.tracking.runs import find_run, page_of
from pipeline.tracking.workspace import TrainedModel, retire_others, sync_model, trained_model

__all__ = [
    "CHAMPION",
    "END_TIMEOUT_S",
    "ChampionComparison",
    "EvaluationArtifacts",
    "Experiment",
    "FinishedRun",
    "FinishedRuns",
    "LoggedTraining",
    "Outbox",
    "Promotion",
    "RunDescription",
    "TrainedModel",
    "add_option",
    "champion",
    "fetch",
    "find_run",
    "flatten",
    "is_permanent",
    "log_evaluation",
    "logged_training",
    "of_study",
    "of_verdict",
    "page_of",
    "promotion",
    "reachable",
    "reason",
    "retire_others",
    "run_fault",
    "sync_model",
    "trained_model",
    "trained_on",
    "training_run",
]
