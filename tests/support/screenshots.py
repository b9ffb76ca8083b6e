"""Take the README's pictures of MLflow's pages again: python -m tests.support.screenshots STORE FOLDER [DATASET].

STORE is an mlflow.db with the current runs on a data set, by default mnist. Its copy is shown, so nothing is written
into it.
"""

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import mlflow
from PIL import Image

from pipeline import tracking
from pipeline.tracking import experiments
from tests.support import browser
from tests.support.local_server import mlflow_pages

WIDTH, HEIGHT, SCALE = 1240, 1000, 1.15
WIDE = 2000
SCROLLBAR, COLOURS = 14, 256


def prepare(window: browser.Browser, address: str) -> None:
    """Have the pages without the assistant, which opens itself at the first visit and takes a quarter of them."""
    window.open(f"{address}/health")
    window.run("localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true')")


def show(window: browser.Browser, url: str, *texts: str) -> None:
    """Load a page anew and wait until it shows the texts."""
    window.open("about:blank")
    window.open(url)
    expect(window, *texts)


def expect(window: browser.Browser, *texts: str) -> None:
    """Wait until the page shows the texts."""
    for text in texts:
        window.wait(f"document.querySelector('main')?.innerText.includes({text!r})")


def compare(window: browser.Browser) -> None:
    """From the list of runs, go to the view that compares them all."""
    window.click("//input[@aria-label='Select all runs']")
    window.click("//button[normalize-space(.)='Compare']")
    expect(window, "Comparing", "Run details")


def scroll_metrics(window: browser.Browser, top: int) -> None:
    """Scroll the table of metrics in the view that compares runs."""
    # Its names follow its values one event late, so there are two.
    for step in (top - 1, top):
        window.run(f"[...document.querySelectorAll('[role=grid]')].at(-1).scrollTop = {step}")
        time.sleep(0.5)


def take(window: browser.Browser, address: str, page: str, folder: Path) -> None:
    """Take the pictures from a server at `address`, on which `page` shows the current runs."""
    window.view(WIDTH, HEIGHT, scale=SCALE)
    prepare(window, address)
    show(window, f"{address}/#/{page}", "3 matching runs")
    window.run("document.querySelector('[aria-label=\"Hide banner\"]')?.click()")
    window.wait("document.querySelectorAll('.scatterlayer .trace').length >= 6")
    _picture(window, _edge("main", "top"), f"{_edge('.js-plotly-plot', 'bottom')} + 70", folder / "mlflow-runs.png")
    take_table(window, address, page.replace("compareRunsMode=CHART", "compareRunsMode=TABLE"), folder)
    compare(window)
    for title in ("Visualizations", "Parameters"):
        window.click(f"//*[@role='button' and normalize-space(.)='{title}']")
    scroll_metrics(window, 225)  # to the scores on the test images
    details = "[...document.querySelectorAll('[role=button]')].find(one => one.innerText.trim() == 'Run details')"
    top = f"{details}.getBoundingClientRect().top"
    _picture(window, top, f"{_edge('[role=grid]', 'top')} + 270", folder / "mlflow-compare.png")


def take_table(window: browser.Browser, address: str, page: str, folder: Path) -> None:
    """Take the picture of the table of runs, sorted by the rise of the loss."""
    # As wide as its columns are: others are not on the page.
    window.view(WIDE, HEIGHT, scale=SCALE * WIDTH / WIDE)
    show(window, f"{address}/#/{page}", "3 matching runs", "val_loss_rise", "overfitting")
    header = "document.querySelector('[data-testid=sort-header-val_loss_rise]')"
    window.wait(f"{header} && ({header}.click(), true)")
    window.wait("location.href.includes('orderByKey=metrics.')")
    _picture(window, _edge("main", "top"), f"{_edge('[role=grid]', 'top')} + 190", folder / "mlflow-table.png")
    window.view(WIDTH, HEIGHT, scale=SCALE)
    show(window, f"{address}/#/{page}", "3 matching runs")


def _edge(selector: str, side: str) -> str:
    """Return an expression in JavaScript for where the first such element begins or ends on the page."""
    return f"document.querySelector('{selector}').getBoundingClientRect().{side}"


def _picture(window: browser.Browser, top: str, bottom: str, path: Path) -> None:
    """Write the part of the page between two heights, given in JavaScript, without its sidebar."""
    window.run("[...document.querySelectorAll('button')].at(-1).style.display = 'none'")  # the assistant's
    time.sleep(2)  # what opens and closes moves for a while
    edges = (_edge("main", "left"), top, f"{_edge('main', 'right')} - {SCROLLBAR}", bottom)
    left, upper, right, lower = window.run(f"return [{', '.join(edges)}]")
    window.screenshot(path, (left, upper, right - left, lower - upper))
    with Image.open(path) as image:
        image.convert("RGB").quantize(COLOURS).save(path, optimize=True)


def main(store: str, folder: str, dataset: str = "mnist") -> None:
    """Take the pictures of what `store` has."""
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / "mlflow.db"
        shutil.copy(store, copy)
        (copy.parent / "mlruns").symlink_to(Path(store).resolve().parent / "mlruns")
        os.environ["MLFLOW_TRACKING_URI"] = uri = f"sqlite:///{copy}"
        experiment = experiments.connect(experiments.of_dataset(dataset))
        runs = mlflow.MlflowClient(uri).search_runs([experiment], experiments.CURRENT)
        page = tracking.page_of(runs).partition("/#/")[2]
        with mlflow_pages(uri, copy.parent) as address, browser.opened(copy.parent / "profile") as window:
            take(window, address, page, Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
