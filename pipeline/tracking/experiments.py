"""MLflow's experiments, three per data set (its models, their study, verdicts): found, created, described.

MLflow's pages show each with a saved view, a tag in the form in which the pages write it: training and validation in
one chart, and a few columns. The colour of a run's curves is derived from its random id, so that two models may get the
same, unless a tag gives it one.
"""

import colorsys
import json
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from typing import Any

from pipeline import dvc_lock
from pipeline.errors import UnavailableError
from pipeline.reporting import colours
from pipeline.tracking import client, store
from pipeline.tracking.client import mlflow
from pipeline.tracking.description import NOTE
from pipeline.tracking.store import SetupError

# The tag that separates the runs of the files in the workspace from earlier ones, and the query for the former.
STATE = "dvc.state"
CURRENT = f"tags.`{STATE}` = 'current'"
# The name of the view in an address, and the tag that holds it.
VIEW = "current"
_VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"
_SECTION = {"uuid": "curves", "name": "Training and validation by epoch", "display": True, "columns": 2}
_SETTINGS = [f"params.`{name}`" for name in ("network.name", "optimizer.name", "epochs")]
_OF_MODELS = [
    f"metrics.`{key}`" for key in ("test_accuracy", "test_errors", "train_accuracy", "val_loss", "val_loss_rise")
]
_OF_REPLICATES = ["params.`variant`", "tags.`seed`", "metrics.`validation_accuracy`", "metrics.`train_accuracy`"]
# MLflow then draws a mean curve for each variant.
_BY_VARIANT = {"aggregateFunction": "average", "groupByKeys": [{"mode": "param", "groupByData": "variant"}]}
# The tag that MLflow's pages read, and write where somebody chooses another colour there.
COLOUR = "mlflow.runColor"
_GOLDEN_RATIO, _LIGHTNESS, _SATURATION = 0.618034, 0.45, 0.65


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
    columns = [*_OF_MODELS, "tags.`overfitting`", *_SETTINGS]
    return Experiment(dataset, {NOTE: about, _VIEW_TAG: _view("Current models", columns, searchFilter=CURRENT)})


def of_study(dataset: str, title: str) -> Experiment:
    """Return the experiment of the study's replicates on a data set, which has this `title`."""
    about = (
        f"Many seeds of models and of variants of them on {title}, trained by `make study`: one run per variant and "
        "seed. Under *Views*, *By variant* shows the mean curves of each. The results: `study/reports/claims.md`. "
        "*Duration* is that of the training, from the time of the entry back, where the study's ledger has it."
    )
    return _of_replicates(f"{dataset}-study", about, "metrics.`test_accuracy`")


def of_verdict(dataset: str, title: str) -> Experiment:
    """Return the experiment of the runs that verdicts on changes stand on, on a data set which has this `title`."""
    about = (
        f"Models trained on {title} with many seeds by `make verdict`, before and after a change: one run per setting "
        "and seed. Under *Views*, *By variant* shows the mean curves of each variant, a model with its settings. The "
        "scores are of held-out training images: nobody is to choose by a test score."
    )
    return _of_replicates(f"{dataset}-verdict", about)


def _of_replicates(name: str, about: str, *scores: str) -> Experiment:
    columns = [*_OF_REPLICATES, *scores, *_SETTINGS]
    return Experiment(name, {NOTE: about, _VIEW_TAG: _view("By variant", columns, groupBy=_BY_VARIANT)})


def _view(name: str, columns: Sequence[str], **state: Any) -> str:
    """Return the value of the tag with a view that has these columns of the table of runs, and a chart per score."""
    charts = [_chart("val_loss", "loss"), _chart("val_accuracy", "accuracy")]
    state |= {"selectedColumns": columns, "compareRunCharts": charts, "compareRunSections": [_SECTION]}
    # No time of creation: the same view is the same tag.
    return json.dumps({"name": name, "createdAt": 0, "state": json.dumps(state)})


def _chart(*metrics: str) -> dict[str, Any]:
    """Return a chart with a line per run and metric, solid for the first metric and dashed for the second."""
    return {
        "type": "LINE",
        "uuid": metrics[0],
        "metricSectionId": _SECTION["uuid"],
        "metricKey": metrics[0],
        "selectedMetricKeys": metrics,
        "xAxisKey": "step",
        "lineSmoothness": 0,
        "displayPoints": False,
        "runsCountToCompare": 10,
    }


def connect(experiment: Experiment) -> str:
    """Point mlflow at the store, create store and `experiment` where they are missing, and return the experiment's id.

    Raises:
        UnavailableError: The store cannot be used.
        SetupError: Nor will it be before somebody changes something: its address, a package, a deleted experiment.
    """
    with client.open_store() as artifact_location:
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
            if key not in found.tags or (key == _VIEW_TAG and found.tags[key] != value):
                api.set_experiment_tag(created, key, value)
        return created


def find(name: str) -> str | None:
    """Return the id of the experiment `name`, or None, for which no store is created; raises what `connect` does."""
    if (path := store.local(store.uri())) and not path.exists():
        return None
    with client.open_store():
        found = mlflow.MlflowClient().get_experiment_by_name(name)
    return _active_id(found) if found else None


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
    of_name = f"tags.`{key}` = '{name}' and tags.`{COLOUR}` LIKE '#%'"
    if latest := search([experiment], of_name, max_results=1):
        return str(latest[0].data.tags[COLOUR])
    others = search([experiment], f"tags.`{COLOUR}` LIKE '#%'")
    return free_colour(name, {run.data.tags[COLOUR] for run in others})


def free_colour(name: str, taken: Collection[str]) -> str:
    """Return the first colour of our figures that is not `taken`, from `name`'s own on; else one of another hue."""
    own = colours.PALETTE.index(colours.of_models([name])[name].colour)
    used = {colour.lower() for colour in taken}
    every = chain(colours.PALETTE[own:], colours.PALETTE[:own], _hues())
    return next(colour for colour in every if colour.lower() not in used)


def _hues() -> Iterator[str]:
    """Yield colours without end, each hue far from those before."""
    for number in count():
        channels = colorsys.hls_to_rgb(number * _GOLDEN_RATIO % 1, _LIGHTNESS, _SATURATION)
        yield "#" + "".join(f"{round(255 * channel):02x}" for channel in channels)
