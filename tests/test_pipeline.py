"""A real `dvc repro` of the whole project on a small set of real digits, in a repository of its own."""

import json
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import yaml

from pipeline import files
from pipeline.analysis.metrics import SCORES
from pipeline.reporting import colours
from tests.support import browser, forks, small

MODELS = ("mlp_rmsprop", "cnn")
SHOWN = {"card.md", "curves.png", "confusion.png", "mistakes.png", "samples.png"}
SHOWN |= {"history.csv", "mistakes.json", "scores.json"}


@pytest.fixture(scope="module")
def repository(reproduced: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository with this project's files as they are now, small params, and one finished `dvc repro`."""
    return Path(shutil.copytree(reproduced, tmp_path_factory.mktemp("copy") / "a clone", symlinks=True))


def checksums(repository: Path) -> dict[str, str]:
    """Return the md5 of every dep and out in dvc.lock by stage and path."""
    lock = yaml.safe_load((repository / "dvc.lock").read_text())["stages"]
    return {
        f"{stage}: {entry['path']}": entry["md5"]
        for stage, body in lock.items()
        for entry in [*body["deps"], *body["outs"]]
    }


def runs(repository: Path) -> list[Any]:
    """Return the runs in the repository's tracking store."""
    client = mlflow.MlflowClient(f"sqlite:///{repository}/mlflow.db")
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id]))


def test_every_output_is_there(repository: Path) -> None:
    """The run leaves models, histories, scores, predictions, tables, figures and both report pages."""
    expected = [f"models/{model}.keras" for model in MODELS]
    expected += [f"reports/{kind}/{model}.csv" for kind in ("history", "timing") for model in MODELS]
    expected += [f"reports/metrics/{model}.json" for model in MODELS]
    expected += [f"reports/predictions/{model}.npz" for model in MODELS]
    expected += [f"reports/mistakes/{model}.csv" for model in MODELS]
    expected += [f"reports/scores/{model}.json" for model in MODELS]
    expected += [f"reports/{name}" for name in ("report.md", "report.html")]
    expected += [f"reports/{name}.csv" for name in ("comparison", "overfitting", "curves", "confusion")]

    assert [path for path in expected if not (repository / path).stat().st_size] == []
    assert list((repository / "reports" / "figures").glob("*.png"))


def test_the_models_learn(repository: Path) -> None:
    """Three epochs on 1,400 digits suffice for far more than one in ten right."""
    for model in MODELS:
        with np.load(repository / "reports" / "predictions" / f"{model}.npz", allow_pickle=False) as stored:
            assert np.mean(stored["probabilities"].argmax(axis=1) == stored["labels"]) > 0.7


def test_mlflow_holds_a_comparable_run_of_each_model(repository: Path) -> None:
    """Each model has one finished run with its epochs, its final scores, its figures and its model."""
    found = {run.info.run_name: run for run in runs(repository)}
    client = mlflow.MlflowClient(f"sqlite:///{repository}/mlflow.db")

    assert sorted(found) == sorted(MODELS)
    assert len({tuple(sorted(run.data.metrics)) for run in found.values()}) == 1
    for model, one in found.items():
        assert one.info.status == "FINISHED"
        assert len(client.get_metric_history(one.info.run_id, "val_loss")) == 3
        assert one.data.tags["dvc.stage"] == f"train@{model}"
        assert {"test_accuracy", "train_accuracy", "generalization_gap"} <= one.data.metrics.keys()
        assert {artifact.path for artifact in client.list_artifacts(one.info.run_id)} == SHOWN
        assert len(one.outputs.model_outputs) == 1


def vega(repository: Path, plot: str) -> dict[str, Any]:
    """Return the specification of one of DVC's charts, with its data."""
    return dict(json.loads(forks.run(repository, "dvc", "plots", "show", plot, "--show-vega")))


def test_dvcs_graph_shows_the_models(repository: Path) -> None:
    """It has a stage for each model to be trained, and one to be evaluated."""
    dag = forks.run(repository, "dvc", "dag")

    assert [name for model in MODELS for name in (f"train@{model}", f"evaluate@{model}") if name not in dag] == []


def test_dvcs_metrics_are_a_row_for_each_model(repository: Path) -> None:
    """Each row has the same scores, those of metrics.json; there is no other row."""
    header, _, *rows = forks.run(repository, "dvc", "metrics", "show", "--md", "--precision", "17").strip().splitlines()
    metrics = files.read_json(repository / "reports" / "metrics.json")
    names = [cell.strip() for cell in header.strip("|").split("|")]
    cells = [dict(zip(names, map(str.strip, row.strip("|").split("|")), strict=True)) for row in rows]

    shown = {"test_accuracy", "test_loss", "train_accuracy", "generalization_gap"}
    # Three epochs are too few to judge a rise, ten classes too few for some scores.
    others = {f"{split}_{name}" for name, one in SCORES.items() for split in one.shown if one.min_classes <= 10}
    assert names[0] == "Path"
    assert {*names[1:]} == shown | others
    assert {row["Path"]: float(row["test_accuracy"]) for row in cells} == {
        f"reports/scores/{model}.json": metrics[model]["test_accuracy"] for model in MODELS
    }


@pytest.mark.parametrize("measure", ["loss", "accuracy"])
def test_dvcs_curves_have_all_models_and_both_splits(repository: Path, measure: str) -> None:
    """One chart has a point for each model, split and epoch, that of the histories, in the model's colour."""
    points = vega(repository, measure)["data"]["values"]

    found = {(one["model"], one["split"], int(one["epoch"])): (float(one[measure]), one["colour"]) for one in points}
    looks = colours.of_models(MODELS)
    expected = {}
    for model in MODELS:
        for row in files.read_csv(repository / "reports" / "history" / f"{model}.csv").to_dict("records"):
            for split, column in (("train", measure), ("test", f"val_{measure}")):
                expected[model, split, row["epoch"]] = (row[column], looks[model].colour)
    assert found == expected
    assert len(points) == len(expected)


def test_dvcs_confusion_matrices_are_those_of_the_models(repository: Path) -> None:
    """One chart has every cell of each model's matrix."""
    cells = vega(repository, "confusion")["data"]["values"]

    for model in MODELS:
        with np.load(repository / "reports" / "predictions" / f"{model}.npz") as stored:
            pairs = stored["labels"], stored["probabilities"].argmax(axis=1)
        own = [cell for cell in cells if cell["model"] == model]
        matrix = np.zeros((10, 10), int)
        for cell in own:
            matrix[int(cell["true_class"]), int(cell["predicted_class"])] = int(cell["count"])
        assert len(own) == matrix.size
        expected = np.zeros((10, 10), int)
        np.add.at(expected, pairs, 1)
        assert matrix.tolist() == expected.tolist()


def test_a_model_in_training_has_a_chart_of_its_own(repository: Path, tmp_path: Path) -> None:
    """From the history so far, whatever the report is: its losses and accuracies, and no chart of anything else."""
    clone = Path(shutil.copytree(repository, tmp_path / "clone", symlinks=True))
    (clone / "reports" / "curves.csv").unlink()
    history = clone / "reports" / "history" / f"{MODELS[0]}.csv"
    history.write_text("".join(history.read_text().splitlines(keepends=True)[:2]))

    (point,) = vega(clone, f"reports/history/{MODELS[0]}.csv")["data"]["values"]
    plots = json.loads(forks.run(repository, "dvc", "plots", "show", "--json"))["data"]

    assert {"epoch", "loss", "val_loss", "accuracy", "val_accuracy"} <= point.keys()
    assert {*plots} == {"loss", "accuracy", "confusion", *(f"reports/history/{model}.csv" for model in MODELS)}


def loaded(page: Path) -> list[str]:
    """Return the addresses from which a page loads something: those of its elements, not of its scripts' text."""
    found: list[str] = []

    class Elements(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.extend(value or "" for name, value in attrs if name == "src" or (tag, name) == ("link", "href"))

    Elements().feed(page.read_text())
    return found


def test_a_clone_without_the_page_has_dvcs_own(repository: Path) -> None:
    """Where make did not write the page with the scripts inside, the charts are on DVC's, which loads its scripts."""
    forks.run(repository, "dvc", "plots", "show", "--out", "plots")

    assert [address for address in loaded(repository / "plots" / "index.html") if "vega" in address]


@pytest.fixture(scope="module")
def offline(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a clone of the repository in which the last commands of make's set-up have run."""
    clone = Path(shutil.copytree(repository, tmp_path_factory.mktemp("offline") / "clone", symlinks=True))
    small.copy(clone, "Makefile", "requirements.lock")
    planned = small.run(clone, "make", "--dry-run", "--always-make", ".venv/complete").splitlines()
    commands = [line for line in planned if "pipeline.reporting.offline" in line or "dvc config" in line]
    assert len(commands) == 2
    for command in commands:
        small.run(clone, "sh", "-ec", command.replace(".venv/bin/python", sys.executable))
    return clone


def test_the_page_needs_no_network(offline: Path) -> None:
    """It loads nothing, and has the scripts inside."""
    forks.run(offline, "dvc", "plots", "show")

    page = offline / "dvc_plots" / "index.html"
    assert loaded(page) == []
    assert "vegaEmbed" in page.read_text()


def lines(window: browser.Browser, chart: str) -> list[list[str]]:
    """Return the description, the colour and the dashes of each line of a chart, as the browser draws it."""
    line = f"document.querySelectorAll('#{chart} path[aria-roledescription=\"line mark\"]')"
    window.wait(f"{line}.length")
    attributes = "['aria-label', 'stroke', 'stroke-dasharray'].map(name => path.getAttribute(name) || '')"
    return list(window.run(f"return [...{line}].map(path => {attributes})"))


@pytest.mark.slow
@browser.needs_browser
def test_a_browser_without_network_draws_all_models(
    offline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It draws a line for each model and split of each revision: in the model's colour, dashed for training."""
    monkeypatch.setattr(browser, "FLAGS", [*browser.FLAGS, "host-resolver-rules=MAP * ~NOTFOUND"])
    looks = colours.of_models(MODELS)

    with browser.opened(tmp_path / "profile") as window:
        for command, revisions in ((["show"], ["workspace"]), (["diff", "HEAD"], ["workspace", "HEAD"])):
            small.run(offline, "dvc", "plots", *command)
            window.open((offline / "dvc_plots" / "index.html").as_uri())
            for chart in ("loss", "accuracy"):
                found = {
                    tuple(re.findall(r"(?:model|split|rev): (\S+?)(?:;|$)", label)): (colour, dash not in ("", "1,0"))
                    for label, colour, dash in lines(window, chart)
                }
                assert found == {
                    (model, split, revision): (looks[model].colour, split == "train")
                    for model in MODELS
                    for split in ("train", "test")
                    for revision in revisions
                }
            cells = "document.querySelectorAll('#confusion path[aria-roledescription=\"rect mark\"]').length"
            assert window.wait(cells) == 100 * len(MODELS) * len(revisions)
        # Warnings are Vega's, of versions.
        assert [text for text in window.complaints() if re.search("ERR_|Error", text)] == []


def test_a_second_repro_runs_nothing(repository: Path) -> None:
    """Without a change no stage runs, and dvc.lock fits code and params."""
    assert "Running stage" not in forks.run(repository, "dvc", "repro")
    assert "Running stage" not in forks.run(repository, "dvc", "repro", "--dry", "--allow-missing")


def test_a_clone_without_data_knows_whether_the_lock_fits(repository: Path, tmp_path: Path) -> None:
    """In a clone, `make check-lock` passes without any data, and fails once a stage's code is another."""
    clone = tmp_path / "clone"
    small.run(repository, "git", "clone", "--quiet", ".", str(clone))

    def fits() -> bool:
        done = small.execute(clone, "dvc", "repro", "--dry", "--allow-missing", **forks.environment())
        return done.returncode == 0 and "Running stage" not in done.stdout

    assert fits()
    with (clone / "pipeline" / "analysis" / "metrics.py").open("a") as file:
        file.write("# changed\n")
    assert not fits()


def test_forced_again_nothing_differs(repository: Path) -> None:
    """A stage of every kind run again, by Python as it is, changes no checksum; test_faults.py repeats the training."""
    before = checksums(repository)
    stages = ("fetch", "preprocess", f"evaluate@{MODELS[0]}", "report")

    printed = small.run(repository, "dvc", "repro", "--force", "--single-item", *stages)

    assert [stage for stage in stages if f"Running stage '{stage}'" not in printed] == []
    assert checksums(repository) == before
