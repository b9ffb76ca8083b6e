"""MLflow: the only package that imports mlflow. No stage needs an answer from it to compute its result.

The store is `MLFLOW_TRACKING_URI`, or else `mlflow.db` at the root of the repository. A trained model is one run of the
experiment that has the name of its data set. It carries the recipe hash from the start, and the md5 of data and model
once they are safe; the evaluation finds it by these. Everything here is idempotent: what MLflow has already is not sent
again.

A module imports only those below it:

    live            the run of a training in progress
    workspace       the trained models as dvc.lock records them, and MLflow brought up to date with one
    registry        the champion in MLflow's registry
    git_registry    the champion as a commit with tags, for git and DVC
    promotion       promotion.json: which model was made the champion, and why
    finished        runs that are added when they have finished: replicates, and verdicts on them
    runs            runs: found, completed, marked as current; their parts
    logged_model    a model file in MLflow: uploaded, checked, downloaded
    experiments     the experiments: found, created, described; a saved view of each, a colour per model
    artifacts       scores, figures and tables of an evaluated model
    description     params and tags of a training run, written and read back
    outbox          a retry queue in the background
    client          settings, connection, the meaning of errors
    answers         a server's answers, bounded in time and size
    store           the store: its address, messages without its secrets, a local one created atomically

Stages and commands use the names below, and nothing else of this package.
"""

from pipeline.tracking import git_registry, promotion, registry
from pipeline.tracking.artifacts import EvaluationArtifacts
from pipeline.tracking.client import add_option, is_permanent, reachable, reason
from pipeline.tracking.description import LoggedTraining, RunDescription, flatten, logged_training
from pipeline.tracking.experiments import Experiment, of_study, of_verdict
from pipeline.tracking.finished import Finding, FinishedRun, FinishedRuns, verdict_run
from pipeline.tracking.live import END_TIMEOUT_S, log_evaluation, training_run
from pipeline.tracking.logged_model import fetch, run_fault, trained_on
from pipeline.tracking.outbox import Outbox
from pipeline.tracking.promotion import ChampionComparison, Promotion
from pipeline.tracking.runs import find_run, page_of
from pipeline.tracking.workspace import TrainedModel, retire_others, sync_model, trained_model

__all__ = [
    "END_TIMEOUT_S",
    "ChampionComparison",
    "EvaluationArtifacts",
    "Experiment",
    "Finding",
    "FinishedRun",
    "FinishedRuns",
    "LoggedTraining",
    "Outbox",
    "Promotion",
    "RunDescription",
    "TrainedModel",
    "add_option",
    "fetch",
    "find_run",
    "flatten",
    "git_registry",
    "is_permanent",
    "log_evaluation",
    "logged_training",
    "of_study",
    "of_verdict",
    "page_of",
    "promotion",
    "reachable",
    "reason",
    "registry",
    "retire_others",
    "run_fault",
    "sync_model",
    "trained_model",
    "trained_on",
    "training_run",
    "verdict_run",
]
