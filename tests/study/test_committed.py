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
    words += ("--reproduced", "reports/data.json", "--benchmarks", "benchmarks/results.json", "--pilot", "study/pilot")
    words += ("--output", str(tmp_path))
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", ["report", *words])

    assert report.main() == 0

    made, committed = contents(tmp_path), contents(STUDY / "reports")

    assert made.keys() == committed.keys()
    assert [name for name, content in made.items() if content != committed[name]] == []


@pytest.mark.parametrize(("folder", "summaries"), [(STUDY, "reports/data"), (STUDY / "pilot", "data")])
def test_the_ledger_holds_what_was_planned(folder: Path, summaries: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every replicate in the ledger is intact and of the experiment in params.yaml; there is nothing else."""
    study, runs = plan.load_study(folder / "params.yaml"), folder / "runs"
    planned = plan.replicates(study, prepared.checksums(prepared.load(folder / summaries, study.data.sets)))

    states = {f"{replicate.variant}/{replicate.seed}": state for replicate, _, state in ledger.look_up(runs, planned)}

    there = {path.parent.relative_to(runs).as_posix() for path in runs.rglob("record.json")}
    assert there == {name for name, state in states.items() if state is not EntryState.MISSING}
    assert EntryState.FOREIGN not in states.values()
    assert capsys.readouterr().err == ""


def test_the_pilot_is_complete_and_of_the_same_experiments() -> None:
    """All that the pilot planned exists, and a variant that the study has too is the same but for its seeds."""
    study, pilot = (plan.load_study(folder / "params.yaml") for folder in (STUDY, STUDY / "pilot"))
    there = list((STUDY / "pilot" / "runs").rglob("record.json"))

    assert len(there) == sum(variant.seeds for variant in pilot.variants.values())
    assert (pilot.train, pilot.data.model_copy(update={"sets": study.data.sets})) == (study.train, study.data)
    for name, variant in pilot.variants.items():
        assert variant == study.variants[name].model_copy(update={"seeds": variant.seeds})


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
