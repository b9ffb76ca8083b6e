"""The study's report: its page, tables and figures follow from the ledger alone."""

import dataclasses
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from pipeline.errors import InputError
from pipeline.params import Params
from pipeline.reporting.render import RenderedReport
from pipeline.study import groups, report
from pipeline.trials.ledger import EntryState, Lookup
from pipeline.trials.plan import Replicate
from tests.support import study_ledger, study_runs
from tests.support.frozen import FROZEN
from tests.support.study_ledger import ROOT
from tests.support.study_pages import audited, four, report_on, section

UNDECIDED = 19
NETWORKS = ("mlp_rmsprop", "mlp_adadelta", "cnn")
TABLES = (
    *("summary", "comparisons", "claims", "convergence", "noise", "missed", "spread", "power", "prediction", "pilot"),
    "processors",
)


@pytest.mark.usefixtures("no_drawing")
def test_stale_replicates_are_used_and_counted(lookups: list[Lookup], values: Params, whole: RenderedReport) -> None:
    """Those of other code do not change any number, and the page and the table say how many they are."""
    aged = [
        (one, entry, EntryState.STALE if one.variant == "cnn" and one.seed < 3 else state)
        for one, entry, state in lookups
    ]

    found = report_on(aged, values)

    assert found.tables["comparisons"].equals(whole.tables["comparisons"])
    assert "3 replicates were made with another version of results than the current one" in section(
        found.markdown, "In short"
    )
    assert "another version" not in section(whole.markdown, "In short")
    summary = found.tables["summary"].groupby("variant")["n_stale"].max()
    assert summary["cnn"] == 3
    assert summary.sum() == 3


@pytest.mark.usefixtures("no_drawing")
def test_installed_versions_change_nothing(lookups: list[Lookup], values: Params, whole: RenderedReport) -> None:
    """Replicates of other library versions than are installed here give the same page."""
    elsewhere = [(one, entry, EntryState.OTHER_VERSIONS) for one, entry, _ in lookups]

    assert report_on(elsewhere, values).markdown == whole.markdown


@pytest.mark.usefixtures("no_drawing")
def test_replicates_of_another_experiment_are_not_used(lookups: list[Lookup], values: Params) -> None:
    """They are counted, and what needs them is decided without them."""
    foreign = [
        (one, entry, EntryState.FOREIGN if one.variant == "cnn_24_epochs" else state) for one, entry, state in lookups
    ]

    found = report_on(foreign, values)

    short = section(found.markdown, "In short")
    assert "4 replicates of another experiment are not used." in short
    assert "48 of 52 planned replicates exist; incomplete are `cnn_24_epochs` 0 of 4." in short
    assert "Too few seeds: `cnn_24_epochs` 0, `cnn` 0" in section(found.markdown, "The claims")


def test_an_empty_ledger_decides_nothing(lookups: list[Lookup], values: Params) -> None:
    """All is undecided except what the design decides; there are no figures, and the tables have no numbers."""
    found = report_on(study_runs.lacking(lookups), values)

    verdicts = [row[-2] for row in audited(found.markdown)]
    assert verdicts.count("*undecided*") == UNDECIDED
    assert verdicts.count("*confounded in the original*") == 1
    assert "On MNIST nothing has been run yet: none of the 52 planned replicates exists." in found.markdown
    assert not found.figures
    assert len(found.tables["comparisons"]) == 14
    assert found.tables["summary"]["mean"].isna().all()
    assert all(found.tables[name].empty for name in ("claims", "noise", "missed", "power", "prediction", "pilot"))
    assert all(name in found.tables for name in re.findall(r"\]\(([a-z]+)\.csv\)", found.markdown))
    assert not re.search(r"None|nan", found.markdown)


def test_a_history_that_cannot_be_analysed_is_named(lookups: list[Lookup], values: Params) -> None:
    """The error says which replicate it is."""
    one, entry, state = lookups[0]
    assert entry is not None
    broken = dataclasses.replace(entry, history=entry.history.drop(columns="val_loss"))

    with pytest.raises(InputError, match="mlp_rmsprop, seed 0: history: no column val_loss"):
        groups.gather(four(), study_runs.rules(values), [(one, broken, state)])


def test_import_is_light() -> None:
    """Importing the report brings in neither TensorFlow nor MLflow nor Dask."""
    code = "import sys, pipeline.study.report; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert not {"tensorflow", "keras", "mlflow", "distributed", "matplotlib.pyplot"} & set(done.stdout.split())


class Folder:
    """The files that the stage reads, in a folder, with a ledger of some variants."""

    def __init__(self, path: Path, replicates: list[Replicate]) -> None:
        self.path = path
        for one in replicates:
            study_runs.write(path / "runs", study_runs.entry(one))
        (path / "summaries").mkdir()
        planned = yaml.safe_load((FROZEN / "study" / "params.yaml").read_text()) | {"first_seed": 0}
        (path / "study.yaml").write_text(yaml.safe_dump(planned, sort_keys=False))
        for name, content in (
            ("summaries/mnist", study_runs.SUMMARIES["mnist"]),
            ("summaries/fashion_mnist", study_runs.SUMMARIES["fashion_mnist"]),
            ("reproduced", {"dataset": "mnist"}),
            ("metrics", study_runs.REPRODUCED),
            ("benchmarks", study_runs.BENCHMARKS),
        ):
            (path / f"{name}.json").write_text(json.dumps(content))

    def report(self, monkeypatch: pytest.MonkeyPatch, output: str) -> dict[str, bytes]:
        """Run the stage and return what it wrote."""
        inputs = {name: self.path / f"{name}.json" for name in ("reproduced", "metrics", "benchmarks")}
        options: dict[str, Any] = {
            **inputs,
            **{"study": self.path / "study.yaml", "params": FROZEN / "params.yaml"},
            "claims": FROZEN / "study" / "claims.yaml",
            "original": ROOT / "data" / "report_history.csv",
            **{"summaries": self.path / "summaries", "runs": self.path / "runs", "output": self.path / output},
        }
        monkeypatch.setattr("sys.argv", ["report", *(f"--{name}={path}" for name, path in options.items())])
        assert report.main() == 0
        folder = self.path / output
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_stage_writes_the_same_bytes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From a ledger on disk, the stage writes page, tables and figures, twice the same, and removes old figures."""
    names = ("mlp_rmsprop", "mlp_rmsprop_no_dropout")
    some = [one for one in study_runs.replicates(study_runs.study()) if one.variant in names and one.seed < 3]
    folder = Folder(tmp_path, some)
    (tmp_path / "second" / "figures").mkdir(parents=True)
    (tmp_path / "second" / "figures" / "old.png").write_bytes(b"")

    first, second = folder.report(monkeypatch, "first"), folder.report(monkeypatch, "second")

    assert first == second
    tables = {f"{name}.csv" for name in TABLES}
    figures = {f"figures/{name}.png" for name in ("convergence", "dropout", "effects", "losses", "readings", "rises")}
    assert set(first) == {"claims.md", "claims.html", *tables, *figures}
    stage = yaml.safe_load((ROOT / "study" / "dvc.yaml").read_text())["stages"]["report"]["outs"]
    outputs = {name.removeprefix("reports/") for one in stage for name in ([one] if isinstance(one, str) else one)}
    assert outputs == {name.partition("/")[0] for name in first}
    planned = len(study_runs.replicates(study_runs.study()))
    assert f"6 of {planned} planned replicates exist" in first["claims.md"].decode()
    assert "claims.html: 8 claims" in capsys.readouterr().out


@pytest.mark.usefixtures("no_drawing")
@pytest.mark.parametrize(("reproduced", "shown"), [("mnist", True), ("fashion_mnist", False)])
def test_a_reproduction_on_another_data_set_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reproduced: str, shown: bool
) -> None:
    """Its scores stand next to the original's claims only if it was made on the original's data set."""
    every = study_runs.replicates(study_runs.study())
    folder = Folder(tmp_path, [one for one in every if one.variant in NETWORKS and one.seed < 3])
    (tmp_path / "reproduced.json").write_text(json.dumps({"dataset": reproduced}))

    table = folder.report(monkeypatch, "out")["claims.csv"].decode()

    assert ("in the reproduction, a single run" in table) is shown


@pytest.mark.usefixtures("no_drawing")
def test_stage_reports_stale_and_damaged_replicates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One of another version is used and counted, one of other data is not used, a damaged one is reported."""
    one, two, three, four = [one for one in study_runs.replicates(study_runs.study()) if one.variant == "cnn"][:4]
    folder = Folder(tmp_path, [one, four])
    study_runs.write(tmp_path / "runs", study_runs.entry(two, results=0))
    study_runs.write(tmp_path / "runs", study_runs.entry(three, data="0"))
    study_ledger.damage(tmp_path / "runs", "cnn", 3)

    written = folder.report(monkeypatch, "out")
    page = written["claims.md"].decode()

    table = pd.read_csv(io.BytesIO(written["summary.csv"])).groupby("variant")[["n_planned", "n_used", "n_stale"]].max()
    assert table.loc["cnn"].tolist() == [study_runs.study().variants["cnn"].seeds, 2, 1]
    assert "1 replicate was made with another version of results" in section(page, "In short")
    assert "1 replicate of another experiment is not used." in section(page, "In short")
    assert "damaged" in capsys.readouterr().err
