"""How many seeds decide, and what they cost: from synthetic replicates, by hand and by statsmodels."""

import argparse
import json
import math
import re
import sys
from pathlib import Path

import pytest
from statsmodels.stats.power import TTestPower

from pipeline import cli, files
from pipeline.errors import InputError
from pipeline.reporting.render import RenderedReport
from pipeline.study import power, results, seeds, tables
from tests.support import programs, small, study_runs


def costs() -> seeds.Costs:
    """Return the costs of the project's study by the synthetic benchmark."""
    return seeds.costs(study_runs.project(), study_runs.BENCHMARKS, dict.fromkeys(study_runs.SUMMARIES, 55_000))


def test_a_seed_costs_its_epochs() -> None:
    """An epoch of twice the benchmark's images takes 2 x 2 x 0.5 core-seconds, 20 of them 40; other networks theirs."""
    found = costs().seconds

    assert found["mlp_rmsprop"] == pytest.approx(2 * 0.5 * 2 * 20)
    assert found["cnn_no_dropout"] == pytest.approx(2 * 2.0 * 10 * 12)
    assert found["mlp_rmsprop_bfloat16"] is None


def test_variants_of_one_training_run_cost_it_once() -> None:
    """24 epochs include 12, so both cost the longer one; a network without a benchmark makes the cost unknown."""
    cost = costs()

    assert cost.core_hours(["cnn_24_epochs", "cnn"], 10) == pytest.approx(10 * 2 * 2.0 * 10 * 24 / 3600)
    assert cost.core_hours(["mlp_rmsprop", "mlp_adadelta"], 10) == pytest.approx(10 * 80 / 3600)
    assert cost.core_hours(["mlp_rmsprop", "mlp_rmsprop_bfloat16"], 10) is None


def test_without_a_benchmark_nothing_is_known_to_cost_anything() -> None:
    """Seeds are planned all the same."""
    found = seeds.costs(study_runs.project(), {}, dict.fromkeys(study_runs.SUMMARIES, 55_000))

    assert set(found.seconds.values()) == {None}


def test_each_subject_has_its_numbers(whole: RenderedReport) -> None:
    """Power, spread and difference are crossed; more power or a larger spread never takes fewer seeds."""
    table = whole.tables["power"]

    assert set(table["power"]) == {0.8, 0.9}
    wide = table.pivot_table("seeds", ["subject", "difference"], ["spread", "power"], aggfunc="first").astype(float)
    wide = wide.fillna(math.inf)
    assert (wide["observed", 0.9] >= wide["observed", 0.8]).all()
    assert (wide["upper bound", 0.8] >= wide["observed", 0.8]).all()
    assert len(table[table["difference"] == seeds.HARDEST]) == 14 * 4
    readings = [subject for subject in table["subject"].unique() if subject.startswith("claim ")]
    assert len(readings) == 18  # of 20: neither the design nor an interval that excludes 0 is decided by more seeds


def test_a_reading_with_one_bound_takes_statsmodels_sample_size(whole: RenderedReport) -> None:
    """Claim 1 asks whether the mean logarithm of the rise is above that of 1.25: a one-sided t test at 2.5%."""
    summary = whole.tables["summary"].set_index(["variant", "outcome"]).loc[("mlp_rmsprop", "log_rise")]
    size = (summary["mean"] - math.log(1.25)) / summary["sd"]
    expected = next(n for n in range(3, 999) if TTestPower().power(size, n, 0.025, alternative="larger") >= 0.9)
    table = whole.tables["power"].set_index(["subject", "difference", "spread", "power"])

    found = table.loc[("claim 1, by the rise of `val_loss`".replace("`", ""), "observed", "observed", 0.9), "seeds"]

    assert found == expected


def test_an_undecided_verdict_names_its_number(whole: RenderedReport) -> None:
    """Below the comparisons, and with its claim, what is open says how many seeds would decide it, at the worst."""
    table = whole.tables["power"].set_index(["subject", "difference", "spread", "power"])["seeds"]
    said = {
        subject.replace("`", ""): number
        for subject, number in re.findall(
            r"^- (.*?): (\S+) seeds of each variant would decide it with 80% power, whatever",
            whole.markdown,
            re.MULTILINE,
        )
    }

    undecided = [
        f"{row['first']} minus {row['second']}"
        for _, row in whole.tables["comparisons"].iterrows()
        if row["verdict"] == "cannot tell"
    ]
    assert undecided
    assert said == {one: f"{table[one, seeds.HARDEST, 'upper bound', 0.8]:,.0f}" for one in undecided}
    number = table["claim 5, by training twice as long", "observed", "upper bound", 0.8]
    (line,) = [text for text in whole.markdown.splitlines() if text.startswith("- 5c: ")]
    assert f"{number:,.0f} seeds of each variant would decide it with 80% power, if the observed values are" in line


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Work in a folder with what the command reads by default but a study; return the options that name one there."""
    files.write_json(tmp_path / "reports" / "metrics.json", study_runs.REPRODUCED)
    files.write_json(tmp_path / "reports" / "data.json", study_runs.SUMMARY)
    small.copy(tmp_path, "params.yaml", "study/claims.yaml", "data/report_history.csv", "benchmarks/results.json")
    whole = study_runs.whole()
    study_runs.write_study(tmp_path / "some", study_runs.with_seeds(whole, **dict.fromkeys(whole.variants, 4)))
    monkeypatch.chdir(tmp_path)
    return ["--study", "some/params.yaml", "--summaries", "some/data", "--runs", "some/runs"]


def test_the_command_has_the_reports_table(
    study: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From a ledger, it has a line for each row with its numbers; with --json, an entry in one documented object."""
    monkeypatch.setattr(sys, "argv", ["power", *study])
    assert power.main() == 0
    lines = capsys.readouterr().out.splitlines()
    monkeypatch.setattr(sys, "argv", ["power", *study, "--json"])
    with pytest.raises(SystemExit) as ended:
        cli.run(power.main)
    content = json.loads(capsys.readouterr().out)

    parser = argparse.ArgumentParser()
    results.add_arguments(parser)
    table = tables.tables(results.read(parser.parse_args(study)))["power"]
    assert len(table) > 100
    assert len(lines) == len(table) + 1
    for line, row in zip(lines[1:], table.itertuples(), strict=True):
        assert line.startswith(row.subject)
        assert f"{row.power:.0%}" in line
        assert math.isnan(row.seeds) or f" {row.seeds:,.0f} " in f"{line} "
    assert (ended.value.code, content["exit_code"]) == (0, 0)
    assert content.keys() == programs.keys("study.power")
    assert {*content["seeds"][0]} == {*seeds.COLUMNS}
    assert len(content["seeds"]) == len(table)


@pytest.mark.fault("study: JSON of another shape beside the ledger")
def test_json_of_another_shape_is_one_line(study: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is named with the key that is missing or of another kind."""
    monkeypatch.setattr(sys, "argv", ["power", *study])
    for name, content, key in (
        ("reports/data.json", {}, "dataset"),
        ("reports/metrics.json", {"cnn": {"test_accuracy": [1]}}, "cnn.test_accuracy"),
        ("benchmarks/results.json", {"training": 5}, "training"),
        ("some/data/mnist.json", {}, "dataset"),
        ("some/data/mnist.json", study_runs.SUMMARY | {"splits": {"train": {"count": "1"}}}, "splits.train.count"),
    ):
        before = files.read_json(Path(name))
        files.write_json(Path(name), content)
        with pytest.raises(
            InputError, match=f"^{name}: not .*: {key} is missing or of another kind; restore it"
        ) as found:
            power.main()
        assert len(str(found.value).splitlines()) == 1
        files.write_json(Path(name), before)


def test_an_empty_ledger_has_no_plan(study: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without seeds the command is an error in one line that says what to do."""
    monkeypatch.setattr(sys, "argv", ["power", *study, "--runs", "none"])

    with pytest.raises(Exception, match="too few seeds to plan with") as caught:
        power.main()

    assert "make study" in str(caught.value)
