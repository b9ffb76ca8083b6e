"""The study's replicates in MLflow, in a clone that has them from git: each is there once, whatever happened before."""

import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest

from pipeline import cli, files, tracking
from pipeline.study import sync
from pipeline.tracking import outbox
from pipeline.tracking import store as mlflow_store
from pipeline.trials import plan
from pipeline.trials.tracker import Tracker
from tests.support import study_ledger, study_runs

pytestmark = pytest.mark.usefixtures("store")
SHA256 = study_runs.SUMMARY["sha256"]


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder, as current directory, with the ledger of the small study as git has it: six replicates."""
    study = plan.load_study(study_ledger.write_params(tmp_path / "params.yaml", study_ledger.params()))
    for replicate in plan.replicates(study, dict.fromkeys(study.data.sets, SHA256)):
        study_runs.write(tmp_path / "study" / "runs", study_runs.entry(replicate))
    files.write_json(
        tmp_path / "study" / "reports" / "data" / "letters.json",
        study_runs.SUMMARY | {"dataset": "letters", "title": "Letters"},
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Return a function that calls `python -m pipeline.study.sync`; it returns the exit code and what was printed."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["sync", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.run(sync.main)
        return int(ended.value.code or 0), *capsys.readouterr()

    return call


def runs() -> dict[str, Any]:
    """Return the runs of the study's experiment by name, each of which is there once."""
    api = mlflow.MlflowClient(mlflow_store.uri())
    found = api.search_runs([api.get_experiment_by_name("letters-study").experiment_id])
    assert len({run.info.run_name for run in found}) == len(found)
    return {run.info.run_name: run for run in found}


def test_a_clone_shows_all_replicates_of_its_ledger(clone: Path, call: Callable[..., tuple[int, str, str]]) -> None:
    """One finished run each, with the scores and histories of the files; the second time, nothing is added."""
    assert call() == (0, "study: 6 replicates added to MLflow\n", "")
    first = runs()
    assert call() == (0, "study: complete in MLflow\n", "")

    assert runs().keys() == first.keys() == {"short-0", "short-1", "long-0", "long-1", "permuted-0", "cnn-0"}
    assert {run.info.run_id for run in runs().values()} == {run.info.run_id for run in first.values()}
    assert {run.info.status for run in first.values()} == {"FINISHED"}
    record = json.loads(study_ledger.line(clone / "study" / "runs", "long", 1))
    history = record["history"]
    run = first["long-1"]
    assert run.data.metrics["test_accuracy"] == record["splits"]["test"]["accuracy"]
    points = mlflow.MlflowClient(mlflow_store.uri()).get_metric_history(run.info.run_id, "val_loss")
    assert [(point.step, point.value) for point in points] == list(
        zip(history["epoch"], history["val_loss"], strict=True)
    )
    assert run.data.tags["recipe"] == record["recipe"]
    assert (run.data.tags["seed"], run.data.tags["processor"]) == ("1", record["processor"])
    assert run.data.params["network.units"] == "[16]"
    colours = {name.rpartition("-")[0]: one.data.tags["mlflow.runColor"] for name, one in first.items()}
    assert len(set(colours.values())) == len(colours) == 4
    assert first["long-0"].data.tags["mlflow.runColor"] == colours["long"]


def test_the_page_on_the_claims_is_a_run_among_its_replicates(
    clone: Path, call: Callable[..., tuple[int, str, str]]
) -> None:
    """It has intervals and verdicts of the comparisons, the page, and figures where it links to; another page, anew."""
    reports = clone / "study" / "reports"
    files.write_text(
        reports / "comparisons.csv",
        "first,second,estimate,simultaneous_low,simultaneous_high,verdict\nlong,short,0.5,0.25,0.75,better\n",
    )
    files.write_bytes(reports / "figures" / "effects.png", b"PNG")
    for page in ("# Claims\n", "# Claims\n", "# Other claims\n"):
        files.write_text(reports / "claims.md", page)
        assert call()[0] == 0

    api = mlflow.MlflowClient(mlflow_store.uri())
    experiment = api.get_experiment_by_name("letters-study").experiment_id
    found = api.search_runs([experiment], "tags.variant = 'verdict'", order_by=["attributes.start_time"])
    assert len(found) == 2
    assert found[0].data.metrics == {"long - short": 0.5, "long - short_low": 0.25, "long - short_high": 0.75}
    assert found[0].data.tags["verdict.long - short"] == "better"
    artifacts = Path(api.download_artifacts(found[0].info.run_id, "", str(clone)))
    assert (artifacts / "claims.md").read_text() == "# Claims\n"
    assert (artifacts / "figures" / "effects.png").read_bytes() == b"PNG"


def test_a_long_sync_says_what_it_does(
    call: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, clone: Path
) -> None:
    """Before many replicates are added, their number is printed."""
    monkeypatch.setattr(sync, "_MANY", 5)

    _, printed, _ = call("--runs", str(clone / "study" / "runs"))

    assert printed.startswith("study: adding 6 of 6 replicates to MLflow, about ten a second\n")


@pytest.mark.fault("study: the tracking server does not answer during `make study`")
def test_what_an_outage_kept_back_is_added_later(
    call: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, clone: Path
) -> None:
    """Cut short, it ends with 3 and says how many are missing; the next time these alone are added, each once."""
    add, close, sent, gone = tracking.FinishedRuns.add, Tracker.close, list[str](), threading.Event()

    def until_the_third(self: tracking.FinishedRuns, run: tracking.FinishedRun) -> None:
        if len(sent) == 2:
            gone.set()
            raise OSError("gone")
        sent.append(run.name)
        add(self, run)

    def during_the_outage(self: Tracker) -> int:
        assert gone.wait(120)
        return close(self)

    with monkeypatch.context() as outage:
        outage.setattr(tracking, "END_TIMEOUT_S", 0.1)
        outage.setattr(Tracker, "close", during_the_outage)
        outage.setattr(tracking.FinishedRuns, "add", until_the_third)
        code, printed, errors = call()
    assert (code, printed) == (3, "")
    assert "error: study: MLflow is missing 4 of 6 replicates" in errors
    assert "`make sync` adds them" in errors
    study_ledger.damage(clone / "study" / "runs", "short", 1)

    code, printed, errors = call()

    assert (code, printed) == (0, "study: 3 replicates added to MLflow\n")
    assert "damaged" in errors
    assert sorted(runs()) == ["cnn-0", "long-0", "long-1", "permuted-0", "short-0"]


def test_without_an_answer_it_says_so(
    call: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, clone: Path
) -> None:
    """Exit code 3 and one line; with --optional, as at the end of `make study`, 0; without replicates, no word."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setattr(outbox, "RETRY_S", 0.1)

    code, _, errors = call()
    optional, _, notice = call("--optional")

    assert (code, optional) == (3, 0)
    assert errors.startswith("error: http://127.0.0.1:9: ")
    assert notice.startswith("notice: http://127.0.0.1:9: ")
    assert notice.count("\n") == errors.count("\n") == 1
    assert call("--runs", str(clone / "nowhere")) == (0, "", "")


def test_replicates_on_other_data_are_left_out(clone: Path, call: Callable[..., tuple[int, str, str]]) -> None:
    """Whose experiment they belong to is not known; they are counted, and the others are added."""
    other = study_runs.entry(study_runs.replicates(study_runs.study())[0], data="e" * 64)
    study_runs.write(clone / "study" / "runs", other)

    code, printed, errors = call()

    assert (code, printed) == (0, "study: 6 replicates added to MLflow\n")
    assert errors == "notice: study/runs: 1 replicates on data that study/reports/data does not describe\n"
