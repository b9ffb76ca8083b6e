"""MLflow's experiments, three per data set (its models, their study, verdicts): found, created, described."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline import dvc_lock
from pipeline.errors import UnavailableError
from pipeline.tracking import client, store, view
from pipeline.tracking.client import mlflow
from pipeline.tracking.description import NOTE
from pipeline.tracking.store import SetupError


@dataclass(frozen=True)
class Experiment:
    """An experiment by its name, with the tags that MLflow's pages read: a text in Markdown, and a saved view."""

    name: str
    tags: Mapping[str, str]


def of_dataset(dataset: str) -> Experiment:
    """Return the experiment of the models that are trained on a data set; it has that one's name."""
    about = (
        f"Models trained on {dvc_lock.title(dataset)} by `dvc repro`: one run per training run, under the name of the "
        "model in `params.yaml`. The params `network.name` and `optimizer.name` say what it is.\n\n"
        "The models in the workspace are those with the tag `dvc.state = current`. Select some and press *Compare*: "
        "their params, metrics, figures and tables have the same names. Under *Views*, *Current models* shows training "
        "and validation in one chart. Sort by `val_loss_rise`, or search for "
        "`tags.overfitting = 'overfits'`, to find the models that overfit."
    )
    return Experiment(dataset, {NOTE: about, view.TAG: view.saved()})


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


def connect(experiment: Experiment) -> str:
    """Point mlflow at the store, create store and `experiment` where they are missing, and return the experiment's id.

    Raises:
        UnavailableError: The store cannot be used.
        SetupError: Nor will it be before somebody changes something: its address, a package, a deleted experiment.
    """
    with client.open_store() as artifact_location:
        return _created(experiment, artifact_location)


def find(name: str) -> str | None:
    """Return the id of the experiment `name`; None if there is none, for which no store is created.

    Raises:
        UnavailableError: The store cannot be used.
        SetupError: Nor will it be before somebody changes something: its address, a package, a deleted experiment.
    """
    if not client.store_exists():
        return None
    with client.open_store():
        found = mlflow.MlflowClient().get_experiment_by_name(name)
    return _active_id(found) if found else None


def _created(experiment: Experiment, artifact_location: str | None) -> str:
    api, name = mlflow.MlflowClient(), experiment.name
    if (found := api.get_experiment_by_name(name)) is None:
        try:
            api.create_experiment(name, artifact_location=artifact_location, tags=dict(experiment.tags))
        except mlflow.MlflowException:
            # On a server, another client may have been first.
            if api.get_experiment_by_name(name) is None:
                raise
        found = api.get_experiment_by_name(name)
    created = _active_id(found)
    for key, value in experiment.tags.items():
        # An earlier version of this code may have created it without some. A text may have been edited in MLflow.
        if key not in found.tags or (key == view.TAG and found.tags[key] != value):
            api.set_experiment_tag(created, key, value)
    return created


def _active_id(found: Any) -> str:
    if not found.experiment_id:
        raise UnavailableError(f"{store.shown()}: not an answer of MLflow's (an experiment without an id)")
    if found.lifecycle_stage != "active":
        command = f"{store.program()} experiments restore --experiment-id {found.experiment_id}"
        if store.local(uri := store.uri()):
            command = f"{store.VARIABLE}={shlex.quote(uri)} {command}"
        raise SetupError(f"MLflow's experiment {found.name!r} was deleted", fix=f"`{command}` restores it")
    return str(found.experiment_id)


def colour(experiment: str, key: str, name: str) -> str:
    """Return the colour, as #rrggbb, of the runs whose tag `key` is `name`: that of the latest of them, or a new one.

    A new one is the colour of that name in our figures, unless runs of the experiment with another name have it.
    """
    search = mlflow.MlflowClient().search_runs
    of_name = f"tags.`{key}` = '{name}' and tags.`{view.COLOUR}` LIKE '#%'"
    if latest := search([experiment], of_name, max_results=1):
        return str(latest[0].data.tags[view.COLOUR])
    others = search([experiment], f"tags.`{view.COLOUR}` LIKE '#%'")
    return view.free_colour(name, {run.data.tags[view.COLOUR] for run in others})
