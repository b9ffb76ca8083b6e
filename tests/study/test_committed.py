"""The committed results of the study: the ledger, and the report that follows from it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from pipeline import bounds, files
from pipeline.study import ledger, plan, prepared, report
from pipeline.study.ledger import EntryState
from tests.support.study_ledger import ROOT

STUDY = ROOT / "study"


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of the report by name, without the summaries of the data, which another stage writes."""
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*")}
    return {name: content for name, content in found.items() if not name.startswith("data/")}


def test_the_report_follows_from_the_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recreated from the committed ledger, every file of the report has the committed bytes."""
    words = ("--summaries", "study/reports/data", "--runs", "study/runs", "--metrics", "reports/metrics.json")
    words += (
        "--reproduced",
        "reports/data.json",
        "--benchmarks",
        "benchmarks/results.json",
        "--pilot",
        "study/pilot.yaml",
    )
    words += ("--output", str(tmp_path))
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", ["report", *words])

    assert report.main() == 0

    made, committed = contents(tmp_path), contents(STUDY / "reports")

    assert made.keys() == committed.keys()
    assert [name for name, content in made.items() if content != committed[name]] == []


def test_the_ledger_holds_what_was_planned(capsys: pytest.CaptureFixture[str]) -> None:
    """Every replicate in the ledger is intact and current, and all that is planned is there and nothing else."""
    study, runs = plan.load_study(STUDY / "params.yaml"), STUDY / "runs"
    planned = plan.replicates(study, prepared.checksums(prepared.load(STUDY / "reports/data", study.data.sets)))

    assert {state for _, _, state in ledger.look_up(runs, planned)} == {EntryState.CURRENT}
    assert ledger.unplanned(runs, planned) == 0
    assert capsys.readouterr().err == ""


def test_the_gate_allows_what_the_seed_alone_does() -> None:
    """The drop that params.yaml allows each model, also the margin of its promotion, is the study's number for it.

    It is rounded up to one test image. A model that the study does not have is allowed the largest of them.
    """
    table = files.read_csv(STUDY / "reports" / "spread.csv").set_index("variant")
    expected = {name: math.ceil(10_000 * row["allowed_drop"]) / 10_000 for name, row in table.iterrows()}

    required = bounds.load(ROOT / "params.yaml").models
    section = files.read_yaml(ROOT / "params.yaml")["gate"]["mnist"]

    assert {name: of_model["test_accuracy"].max_drop for name, of_model in required.items()} == expected
    assert section["default"]["test_accuracy"]["max_drop"] == max(expected.values())
