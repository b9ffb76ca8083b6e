"""A real `dvc repro` of the whole project on a small set of real digits, in a repository of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import yaml

from tests.support import small

MODELS = ("mlp_rmsprop", "mlp_adadelta", "cnn")
SHOWN = {"curves.png", "confusion.png", "history.csv", "scores.json"}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository with this project's files as they are now, small params, and one finished `dvc repro`."""
    folder = tmp_path_factory.mktemp("a clone")
    small.make(folder)
    small.run(folder, "dvc", "repro")
    small.run(folder, "git", "add", "--all")
    small.run(folder, "git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "--quiet", "--message", "result")
    return folder


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
    expected += [f"reports/{name}" for name in ("report.md", "report.html", "comparison.csv", "overfitting.csv")]

    assert [path for path in expected if not (repository / path).stat().st_size] == []
    assert list((repository / "reports" / "figures").glob("*.png"))


def test_the_models_learn(repository: Path) -> None:
    """Three epochs on 1,400 digits suffice for far more than one in ten right."""
    for model in MODELS:
        with np.load(repository / "reports" / "predictions" / f"{model}.npz", allow_pickle=False) as stored:
            assert np.mean(stored["probabilities"].argmax(axis=1) == stored["labels"]) > 0.7


def test_mlflow_holds_three_comparable_runs(repository: Path) -> None:
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


def test_dvcs_own_views_work(repository: Path) -> None:
    """Dag, metrics and plots show the three models."""
    dag = small.run(repository, "dvc", "dag")
    metrics = small.run(repository, "dvc", "metrics", "show")
    small.run(repository, "dvc", "plots", "show", "--out", "plots")

    for model in MODELS:
        assert f"evaluate@{model}" in dag
    assert "test_accuracy" in metrics
    assert "mlp_adadelta" in (repository / "plots" / "index.html").read_text()


def test_a_second_repro_runs_nothing(repository: Path) -> None:
    """Without a change no stage runs, and dvc.lock fits code and params."""
    assert "Running stage" not in small.run(repository, "dvc", "repro")
    assert "Running stage" not in small.run(repository, "dvc", "repro", "--dry", "--allow-missing")


def test_a_clone_without_data_knows_whether_the_lock_fits(repository: Path, tmp_path: Path) -> None:
    """In a clone, `make check-lock` passes without any data, and fails once a stage's code is another."""
    clone = tmp_path / "clone"
    small.run(repository, "git", "clone", "--quiet", ".", str(clone))

    def fits() -> bool:
        done = small.execute(clone, "dvc", "repro", "--dry", "--allow-missing")
        return done.returncode == 0 and "Running stage" not in done.stdout

    assert fits()
    with (clone / "pipeline" / "analysis" / "metrics.py").open("a") as file:
        file.write("# changed\n")
    assert not fits()


def test_forced_again_only_seconds_differ(repository: Path) -> None:
    """Running a stage of every kind again changes no checksum in dvc.lock but those of files that hold seconds."""
    before = checksums(repository)
    stages = ("fetch", "preprocess", f"train@{MODELS[1]}", f"evaluate@{MODELS[1]}", "report")

    printed = small.run(repository, "dvc", "repro", "--force", "--single-item", *stages)

    after = checksums(repository)
    changed = {key.split(": ")[1] for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    timing = {f"reports/timing/{MODELS[1]}.csv", "reports/timing"}
    assert [stage for stage in stages if f"Running stage '{stage}'" not in printed] == []
    assert changed <= timing | {"reports/report.md", "reports/report.html", "reports/comparison.csv"}
    assert timing <= changed
