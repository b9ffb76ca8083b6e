"""MLflow: the only package that imports mlflow. No stage needs an answer from it to compute its result.

The store is `MLFLOW_TRACKING_URI`, or else `mlflow.db` at the root of the repository. A trained model is one run of the
experiment that has the name of its data set. It carries the recipe hash from the start, and the md5 of data and model
once they are safe; the evaluation finds it by these. Everything here is idempotent: what MLflow has already is not sent
again.

A module imports only those below it:

    live            the run of a training in progress
    workspace       the trained models as dvc.lock records them, and MLflow brought up to date with one
    registry        the champion in MLflow's registry
    promotion       the champion without MLflow: promotion.json, and a commit with tags for git and DVC
    finished        runs that are added when they have finished: replicates, and verdicts on them
    runs            runs: found, completed, marked as current; their parts
    logged_model    a model file in MLflow: uploaded, checked, downloaded
    experiments     the experiments: found, created, described; a saved view of each, a colour per model
    artifacts       scores, figures, tables and the card of an evaluated model
    description     params and tags of a training run, written and read back
    outbox          a retry queue in the background
    client          settings, connection, bounded answers, the meaning of errors
    store           the store: its address, messages without its secrets, a local one created atomically

Stages and commands use the names below, and nothing else of this package.
"""

from pipeline.tracking import promotion as promotion, registry as registry
from pipeline.tracking.artifacts import EvaluationArtifacts as EvaluationArtifacts
from pipeline.tracking.client import (
    add_option as add_option,
    is_permanent as is_permanent,
    reachable as reachable,
    reason as reason,
)
from pipeline.tracking.description import (
    LoggedTraining as LoggedTraining,
    RunDescription as RunDescription,
    flatten as flatten,
    logged_training as logged_training,
)
from pipeline.tracking.experiments import Experiment as Experiment, of_study as of_study, of_verdict as of_verdict
from pipeline.tracking.finished import (
    LoggedEstimate as LoggedEstimate,
    FinishedRun as FinishedRun,
    FinishedRuns as FinishedRuns,
    verdict_run as verdict_run,
)
from pipeline.tracking.live import (
    END_TIMEOUT_S as END_TIMEOUT_S,
    log_evaluation as log_evaluation,
    training_run as training_run,
)
from pipeline.tracking.logged_model import fetch as fetch, run_fault as run_fault, trained_on as trained_on
from pipeline.tracking.outbox import Outbox as Outbox
from pipeline.tracking.promotion import ChampionComparison as ChampionComparison, Promotion as Promotion
from pipeline.tracking.runs import find_run as find_run, page_of as page_of
from pipeline.tracking.workspace import (
    TrainedModel as TrainedModel,
    retire_others as retire_others,
    sync_model as sync_model,
    trained_model as trained_model,
)
