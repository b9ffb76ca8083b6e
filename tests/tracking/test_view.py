"""What MLflow's pages show by tags that nothing documents: views, a colour that a model keeps, its registration."""

import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import mlflow
import pytest
from PIL import ImageColor

from pipeline import tracking
from pipeline.params import Params
from pipeline.reporting import colours
from pipeline.tracking import experiments, promotion, registry, runs
from tests.support import browser
from tests.support.local_server import mlflow_pages

pytestmark = pytest.mark.usefixtures("store")
# The value of each score in the last epoch, by which a line in a chart is known.
ENDS = {"loss": 0.2, "accuracy": 0.9, "val_loss": 0.4, "val_accuracy": 0.8}
METRICS = ("test_accuracy", "test_errors", "train_accuracy", "val_loss_rise")
PARAMS = ("network.name", "optimizer.name", "epochs")
VARIANTS = ("long", "short")
# The lines in the charts: number of the chart, name and last value of the line, whether it is dashed, its colour.
LINES = """[...document.querySelectorAll('.js-plotly-plot')].flatMap((chart, number) =>
    [...chart.querySelectorAll('.scatterlayer .trace')].map(line => {
        const {name, y} = line.__data__[0].trace, look = getComputedStyle(line.querySelector('path'));
        return [number, name, y[y.length - 1], look.strokeDasharray != 'none', look.stroke]; }))"""


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


@dataclass(frozen=True)
class Pages:
    """MLflow's pages in a browser: where the current runs, those of the study, and the champion's model are shown."""

    window: browser.Browser
    current: str
    study: str
    model: str


@pytest.fixture(scope="module")
def pages(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    """Show a store: the current runs of two models, a superseded one, a champion, and a study of two variants."""
    folder = tmp_path_factory.mktemp("pages")
    uri = f"sqlite:///{shutil.copy(empty_store, folder)}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        experiment = experiments.connect(experiments.of_dataset("mnist"))
        for model in ("cnn", "cnn", "mlp_rmsprop"):
            run = runs.create(experiment, model, {"model": model, "overfitting": "no sign"}, 0)
            _log(run)
            runs.mark_current(run)
        replicates = tracking.FinishedRuns(experiments.of_study("mnist", "MNIST"))
        rows = [{"epoch": epoch, **ENDS} for epoch in (1, 2)]
        for variant, seed in product(VARIANTS, "01"):
            tags = {"recipe": variant + seed, "variant": variant, "seed": seed}
            replicates.add(tracking.FinishedRun(f"{variant}-{seed}", tags, {"variant": variant}, rows, {}))
        current = mlflow.MlflowClient().search_runs([experiment], experiments.CURRENT)
        page = runs.page_of(current).partition("#")[2]
        study = page.replace(f"/{experiment}/", f"/{experiments.find('mnist-study')}/")
        model = f"/experiments/{experiment}/models/{_promote(current[0])}"
    with mlflow_pages(uri, folder) as address, browser.opened(folder / "profile") as window:
        # As wide as the columns are: others are not on the page.
        window.view(2600, 1000)
        window.open(address)
        yield Pages(window, page, study, model)


def _log(run: Any) -> None:
    params = [mlflow.entities.Param(name, "3") for name in PARAMS]
    runs.log_points(run.info.run_id, runs.points(dict.fromkeys(METRICS, 0.5), 0), params)
    for epoch in (1, 2):
        runs.log_points(run.info.run_id, runs.epoch_points({"epoch": epoch, "seconds": 1.0, **ENDS}))


def _promote(run: Any) -> str:
    """Make the model of a run the champion, and return the model's id."""
    api, run_id = mlflow.MlflowClient(), run.info.run_id
    model_id = api.create_logged_model(run.info.experiment_id, "m", run_id).model_id
    api.log_outputs(run_id, [mlflow.entities.LoggedModelOutput(model_id, step=0)])
    champion = promotion.Promotion("mnist", "champion", "m", "", "", "", "the gate passes", "test", [], None)
    registry.set_champion(champion, api.get_run(run_id))
    return str(model_id)


def shown(window: browser.Browser, page: str, condition: str) -> Any:
    """Go to another of the pages, which loads nothing again, and return what `condition` is there once it is true."""
    window.run(f"location.hash = {page!r}")
    return window.wait(condition)


@browser.needs_browser
def test_training_and_validation_of_the_current_runs_are_in_one_chart(pages: Pages) -> None:
    """Losses and accuracies have a chart each, validation solid and training dashed, in the colours of our figures."""
    expected = set()
    for model, (number, metric) in product(("cnn", "mlp_rmsprop"), enumerate(ENDS)):
        colour = ImageColor.getrgb(colours.of_models([model])[model].colour)
        dashed = not metric.startswith("val_")
        expected.add((number % 2, model, ENDS[metric], dashed, "rgb({}, {}, {})".format(*colour)))

    # Each line may be drawn twice.
    complete = f"(lines => new Set(lines.map(String)).size >= {len(expected)} && lines)({LINES})"
    assert {tuple(line) for line in shown(pages.window, pages.current, complete)} == expected


@browser.needs_browser
def test_the_table_has_the_scores_of_the_current_runs(pages: Pages) -> None:
    """It has a column for each score and setting of interest, and no run but the two current ones."""
    columns = [*METRICS, *PARAMS, "val_loss", "overfitting"]
    heads = "[...document.querySelectorAll('[role=columnheader]')].map(head => head.innerText.trim())"
    names = "[...document.querySelectorAll('[role=row] a[href*=\"/runs/\"]')].map(link => link.innerText.trim())"
    complete = f"{columns}.every(name => {heads}.includes(name)) && {names}.length && {names}"

    assert shown(pages.window, pages.current.replace("=CHART", "=TABLE"), complete) == ["mlp_rmsprop", "cnn"]


@browser.needs_browser
def test_the_study_has_a_mean_curve_for_each_variant(pages: Pages) -> None:
    """Four runs of two variants have two lines for each score, with the names of the variants."""
    legends = [f"{variant} ({metric})" for variant, metric in product(VARIANTS, ENDS)]

    assert shown(pages.window, pages.study, f"{legends}.every(text => document.body.innerText.includes(text))")


@browser.needs_browser
def test_the_page_of_the_champions_model_says_that_it_is_registered(pages: Pages) -> None:
    """It has the name under which it is registered, with a local store too, where only our tag says so."""
    assert shown(pages.window, pages.model, r"document.body.innerText.includes('Model versions\nmnist')")
