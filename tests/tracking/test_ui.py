"""MLflow's pages as `make ui` serves them, in a browser: the models side by side, and each in detail."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import mlflow
import psutil
import pytest
from PIL import Image

from pipeline.tracking.experiments import CURRENT
from tests.support import browser, screenshots, small
from tests.support.local_server import free_port, serving
from tests.support.processes import wait_until

pytestmark = [pytest.mark.slow, browser.needs_browser]

MODELS = {"mlp_rmsprop", "mlp_adadelta", "cnn"}
MLPS = {"mlp_rmsprop", "mlp_adadelta"}
# Who has no value under a key: what only one network, or one optimizer, has.
BLANK = {
    **dict.fromkeys(("network.filters", "network.kernel", "network.pool", "network.pool_dropout"), MLPS),
    "optimizer.epsilon_in_root": {"mlp_adadelta", "cnn"},
}
# What MLflow's pages say in the console whatever is logged: they ask who is there where nobody logs in, and so on.
ITS_OWN = r"/(users/current|favicon\.ico) - Failed to load resource|AG Grid: |ResizeObserver loop|WebGL"
# What `make ui` prints last.
LINK = r"\ncurrent runs: http://127\.0\.0\.1:\d+/#/(\S+)\n\Z"
# The pictures on a page.
IMAGES = "[...document.querySelectorAll('main img')]"
# The rows of the tables that have a text, each as its cells.
ROWS = """return [...document.querySelectorAll('table')].filter(table => table.innerText.includes({!r})).flatMap(
    table => [...table.rows].map(row => [...row.cells].map(cell => cell.innerText.trim())));"""
# The names and the values of metrics that are drawn, each with the height of its row.
METRICS = """return [...document.querySelectorAll('[role=grid]')].map(
    grid => [...grid.querySelectorAll('[role=rowgroup] > div')].map(
        cell => [cell.style.top, cell.innerText.trim()]));"""


@dataclass(frozen=True)
class Served:
    """What `make ui` has started: its process, where it answers, the page that it printed, and all that it prints."""

    process: psutil.Process
    address: str
    page: str
    log: Path


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository whose pipeline has run on small digits, a model twice; another is the champion."""
    folder = tmp_path_factory.mktemp("ui") / "a clone"
    small.make(folder)
    small.copy(folder, "Makefile")
    # As make sees it, the environment is complete; the one in use is found behind it, on PATH.
    (folder / ".venv").mkdir()
    for name in ("requirements.lock", ".venv/complete"):
        (folder / name).touch()
    for epochs, stages in ((1, ["train@mlp_rmsprop"]), (3, [])):
        with small.edited(folder / "params.yaml") as values:
            values["models"]["mlp_rmsprop"]["epochs"] = epochs
        small.run(folder, "dvc", "repro", *stages)
    small.run(folder, "make", "promote", "MODEL=cnn")
    return folder


@pytest.fixture(scope="module")
def ui(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Start `make ui` on a free port."""
    log = tmp_path_factory.mktemp("log") / "log"
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with serving(["make", "ui"], f"{address}/health", log, repository, PORT=port) as process:
        wait_until(lambda: re.search(LINK, log.read_text()))
        yield Served(psutil.Process(process.pid), address, re.findall(LINK, log.read_text())[0], log)


@pytest.fixture(scope="module")
def current(repository: Path) -> dict[str, Any]:
    """Return the current runs by name."""
    client = mlflow.MlflowClient(f"sqlite:///{repository}/mlflow.db")
    experiment = client.get_experiment_by_name("digits")
    found = client.search_runs([experiment.experiment_id], CURRENT)
    return {run.info.run_name: run for run in found}


@pytest.fixture(scope="module")
def window(ui: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Browser]:
    """Open a browser in which MLflow's assistant stays away."""
    with browser.opened(tmp_path_factory.mktemp("browser")) as opened:
        opened.view(1280, 1000)
        screenshots.prepare(opened, ui.address)
        yield opened


@pytest.fixture
def show(ui: Served, window: browser.Browser) -> Iterator[Callable[..., None]]:
    """Return a function that shows a page and waits for texts on it; the console says nothing about what is logged."""
    window.complaints()
    yield lambda path, *texts: screenshots.show(window, f"{ui.address}/#/{path}", *texts)
    assert [said for said in window.complaints() if not re.search(ITS_OWN, said)] == []


def test_it_is_few_processes_that_listen_on_this_machine_alone(ui: Served) -> None:
    """Beside make there are ours, MLflow's command and one worker; the one socket that listens is on 127.0.0.1."""
    processes = [ui.process, *ui.process.children(recursive=True)]
    sockets = [socket for process in processes for socket in process.net_connections(kind="all")]
    listening = {f"http://{socket.laddr.ip}:{socket.laddr.port}" for socket in sockets if socket.status == "LISTEN"}

    assert [process.name() for process in processes[:1]] == ["make"]
    assert len(processes) <= 4
    assert listening == {ui.address}


def test_it_says_nothing_that_a_user_cannot_act_on(ui: Served) -> None:
    """Its terminal has no warning of the server's own code and no line per request: the link comes last."""
    urlopen(f"{ui.address}/health").read()  # noqa: S310

    assert "Warning" not in ui.log.read_text()
    assert re.search(LINK, ui.log.read_text())


def run_names(window: browser.Browser, number: int) -> list[str]:
    """Return the names of the runs in the list, in order, once it has that number."""
    links = "[...document.querySelectorAll('[role=row] a[href*=\"/runs/\"]')]"
    window.wait(f"{links}.length == {number}")
    return sorted(window.run(f"return {links}.map(link => link.innerText.trim())"))


def test_the_printed_address_shows_the_current_runs_alone(
    ui: Served, window: browser.Browser, show: Callable[..., None], current: dict[str, Any]
) -> None:
    """It lists each model's run under the model's name, and not the replaced one; the experiment is described."""
    show(ui.page, "Current models", "3 matching runs", "Models trained on Digits by")
    shown = run_names(window, 3)
    code = window.run("return [...document.querySelectorAll('main code')].map(one => one.innerText)")
    experiment = current["cnn"].info.experiment_id
    show(f"experiments/{experiment}/runs?workflowType=machine_learning&searchFilter=", "4 matching runs")

    assert shown == sorted(MODELS)
    assert "dvc repro" in code
    assert run_names(window, 4) == sorted([*MODELS, "mlp_rmsprop"])


def metrics_shown(window: browser.Browser) -> dict[str, list[str]]:
    """Return the rows of the table of metrics, of which the page has only those that are near what is in sight."""
    names: dict[str, str] = {}
    values: dict[str, list[str]] = {}
    height = window.run("return document.querySelector('[role=grid]').scrollHeight")
    for top in range(0, height, 200):
        screenshots.scroll_metrics(window, top)
        named, valued = window.run(METRICS)
        names |= dict(named)
        values |= {row: [value for other, value in valued if other == row] for row, _ in valued}
    assert len(set(names.values())) == len(names)
    return {name: values[row] for row, name in names.items()}


def test_the_compare_view_lines_up(
    ui: Served, window: browser.Browser, show: Callable[..., None], current: dict[str, Any]
) -> None:
    """Each key stands once, with each run's value; params that only some models have are blank elsewhere."""
    show(ui.page, "3 matching runs")
    screenshots.compare(window)
    screenshots.expect(window, "optimizer.name", "test_accuracy")
    (order,) = [row[1:] for row in window.run(ROWS.format("Run Name:")) if row[0] == "Run Name:"]
    params = window.run(ROWS.format("optimizer.name"))
    metrics = metrics_shown(window)

    assert set(order) == MODELS
    keys = [key for key, *_ in params]
    assert len(keys) == len(set(keys))
    assert set(keys) == set().union(*(run.data.params for run in current.values()))
    for key, *values in params:
        # The page writes a list with an item to a line.
        shown = [re.sub(r"\s", "", value) for value in values]
        assert shown == [re.sub(r"\s", "", current[name].data.params.get(key, "")) for name in order]
        assert {name for name, value in zip(order, values, strict=True) if not value} == BLANK.get(key, set())
    for name, run in current.items():
        column = {key: float(values[order.index(name)]) for key, values in metrics.items()}
        assert column == pytest.approx(run.data.metrics, rel=1e-2, abs=6e-4)


def test_the_compare_view_shows_figures_side_by_side(
    ui: Served, window: browser.Browser, show: Callable[..., None]
) -> None:
    """Figures and tables have the same names in each run, so that one click shows all runs' curves."""
    show(ui.page, "3 matching runs")
    screenshots.compare(window)
    screenshots.expect(window, "confusion.png", "curves.png", "history.csv", "scores.json")
    window.click("//main//*[normalize-space(text())='curves.png']")
    window.wait(f"new Set({IMAGES}.filter(one => one.naturalWidth > 400).map(one => one.src)).size == 3")


def test_a_run_describes_itself(window: browser.Browser, show: Callable[..., None], current: dict[str, Any]) -> None:
    """Its page has a description in Markdown, both data sets with their checksum, its model and registration."""
    run = current["cnn"]
    digests = {one.dataset.name: one.dataset.digest for one in run.inputs.dataset_inputs}
    show(
        f"experiments/{run.info.experiment_id}/runs/{run.info.run_id}",
        "cnn trained with adadelta for 3 epochs on digits",
        f"digits-train ({digests['digits-train']})",
        "Logged models (1)",
        "Registered models",
    )
    strong = window.run("return [...document.querySelectorAll('main strong')].map(one => one.innerText)")
    model = run.outputs.model_outputs[0].model_id
    linked = window.run(f"return document.querySelectorAll('main a[href$=\"/models/{model}\"]').length")
    window.click("//*[normalize-space(text())='+1']")
    window.wait(f"document.body.innerText.includes('digits-test ({digests['digits-test']})')")

    assert "cnn" in strong
    assert linked


def test_a_run_has_its_figures_and_tables(
    window: browser.Browser, show: Callable[..., None], current: dict[str, Any], tmp_path: Path
) -> None:
    """Its curves, of training and validation together, and its confusion matrix are shown, its history is a table."""
    run = current["cnn"]
    show(f"experiments/{run.info.experiment_id}/runs/{run.info.run_id}/artifacts", "scores.json")
    for name in ("curves.png", "confusion.png"):
        address = f"{run.info.artifact_uri}/{name}"
        with Image.open(mlflow.artifacts.download_artifacts(address, dst_path=str(tmp_path))) as image:
            size = "x".join(map(str, image.size))
        window.click(f"//main//*[normalize-space(text())='{name}']")
        window.wait(f"{IMAGES}.some(one => `${{one.naturalWidth}}x${{one.naturalHeight}}` == {size!r})")
    window.click("//main//*[normalize-space(text())='history.csv']")
    screenshots.expect(window, "val_loss", "val_accuracy")


def test_a_model_shows_its_origin(window: browser.Browser, show: Callable[..., None], current: dict[str, Any]) -> None:
    """The logged model's page has its description, params, scores by data set, run, and place in the registry."""
    run = current["cnn"]
    model = run.outputs.model_outputs[0].model_id
    scores = ("test_accuracy", str(run.data.metrics["test_accuracy"]))
    data = (f"{one.dataset.name} (#{one.dataset.digest})" for one in run.inputs.dataset_inputs)
    about = ("cnn trained with adadelta", "network.filters", *scores, *data, run.info.run_id)
    show(f"experiments/{run.info.experiment_id}/models/{model}", *about)
    screenshots.expect(window, "Datasets used", "Model versions\ndigits")


def test_the_champion_stands_in_the_registry(window: browser.Browser, show: Callable[..., None]) -> None:
    """The registered model has a version with the alias; it says why it was chosen, and what images it takes."""
    show("models/digits", "Version 1", "champion")
    show("models/digits/versions/1", "the gate passes", "Inputs (1)", "Outputs (1)")
    window.click("//*[normalize-space(text())='Inputs (1)' or normalize-space(.)='Inputs (1)']")
    screenshots.expect(window, "uint8")
