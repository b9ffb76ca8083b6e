"""The colours of runs in MLflow's charts: a model keeps its own, and no two models share one."""

import re
from collections.abc import Sequence

import mlflow
import pytest

from pipeline.params import Params
from pipeline.reporting import colours
from pipeline.tracking import experiments, runs

pytestmark = pytest.mark.usefixtures("store")


def create(names: Sequence[str], dataset: str = "mnist") -> list[str]:
    """Create a run of each model in turn, and return their colours."""
    experiment, made = experiments.connect(experiments.of_dataset(dataset)), []
    for name in names:
        made.append(runs.create(experiment, name, {"model": name}, 0).data.tags["mlflow.runColor"])
    return made


def test_the_models_have_the_colours_of_the_figures(values: Params) -> None:
    """Each run of a model has the colour that the report's figures give it, in each experiment."""
    names = [*values.models, *values.models]

    made = create(names)

    assert made == [colours.of_models(values.models)[name].colour for name in names]
    assert create(list(values.models), "fashion_mnist") == made[: len(values.models)]


@pytest.mark.fault("two models whose own colour in MLflow's charts is the same")
def test_no_two_models_share_a_colour() -> None:
    """Of thirty models, more than the palette has colours, each has another one, and keeps it."""
    names = [f"model_{number}" for number in range(30)]
    own = {colours.of_models([name])[name].colour for name in names}
    assert len(own) <= len(colours.PALETTE)

    made = create(names)

    assert len({colour.lower() for colour in made}) == 30
    assert all(re.fullmatch("#[0-9a-fA-F]{6}", colour) for colour in made)
    assert create(names[::-1]) == made[::-1]


def test_a_colour_that_somebody_chose_stays() -> None:
    """The next run of a model has the colour that was chosen for the latest in MLflow's pages, and no other model."""
    (own,) = create(["cnn"])
    experiment, api = experiments.connect(experiments.of_dataset("mnist")), mlflow.MlflowClient()
    (run,) = api.search_runs([experiment])
    chosen = next(colour for colour in colours.PALETTE if colour != own)
    api.set_tag(run.info.run_id, "mlflow.runColor", chosen)
    other = next(name for name in map(str, range(99)) if colours.of_models([name])[name].colour == chosen)

    assert create(["cnn"]) == [chosen]
    assert create([other]) != [chosen]


def test_a_current_run_without_a_colour_gets_one() -> None:
    """A run of an earlier version of this code is coloured when it is marked as current, and only then written."""
    experiment, api = experiments.connect(experiments.of_dataset("mnist")), mlflow.MlflowClient()
    run = api.create_run(experiment, tags={"model": "cnn"})

    runs.mark_current(run)

    assert api.get_run(run.info.run_id).data.tags["mlflow.runColor"] == colours.of_models(["cnn"])["cnn"].colour


@pytest.mark.parametrize("odd", ["red", "#12", "#zzzzzz"])
def test_what_is_no_colour_takes_none(odd: str) -> None:
    """A text that is not one may stand in the tag."""
    assert experiments.free_colour("cnn", {odd}) == colours.of_models(["cnn"])["cnn"].colour
    assert experiments.free_colour("cnn", {odd, *colours.PALETTE}) not in colours.PALETTE
