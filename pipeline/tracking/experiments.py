"""MLflow's experiments, three per data set (its models, their study, verdicts), and what is shown above their runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline import dvc_lock
from pipeline.tracking import view
from pipeline.tracking.description import NOTE

# The tag that separates the runs of the files in the workspace from earlier ones, and the query for the former.
STATE = "dvc.state"
CURRENT = f"tags.`{STATE}` = 'current'"


@dataclass(frozen=True)
class Experiment:
    """An experiment by its name, with the tags that MLflow's pages read: a text in Markdown, and a saved view."""

    name: str
    tags: Mapping[str, str]


def of(dataset: str) -> Experiment:
    """Return the experiment of the models that are trained on a data set; it has that one's name."""
    about = (
        f"Models trained on {dvc_lock.title(dataset)} by `dvc repro`: one run per training run, under the name of the "
        "model in `params.yaml`. The params `network.name` and `optimizer.name` say what it is.\n\n"
        "The models in the workspace are those with the tag `dvc.state = current`. Select some and press *Compare*: "
        "their params, metrics, figures and tables have the same names. Under *Views*, *Current models* shows training "
        "and validation in one chart. Sort by `val_loss_rise`, or search for "
        "`tags.overfitting = 'overfits'`, to find the models that overfit."
    )
    return Experiment(dataset, {NOTE: about, view.TAG: view.saved(CURRENT)})


def of_study(dataset: str, title: str) -> Experiment:
    """Return the experiment of the study's replicates on a data set, which has this `title`."""
    about = (
        f"Many seeds of models and of variants of them on {title}, trained by `make study`: one run per variant and "
        "seed. Group the runs by the param `variant`. The results are in `study/reports/claims.md`."
    )
    return Experiment(f"{dataset}-study", {NOTE: about})


def of_verdict(dataset: str, title: str) -> Experiment:
    """Return the experiment of the runs that verdicts on changes stand on, on a data set which has this `title`."""
    about = (
        f"Models trained on {title} with many seeds by `make verdict`, before and after a change: one run per setting "
        "and seed. Group the runs by the param `variant`, a model with its settings. The scores are of held-out "
        "training images: nobody is to choose by a test score."
    )
    return Experiment(f"{dataset}-verdict", {NOTE: about})
