"""Stage report: the ledger as tables, figures and the audit of the original report's claims."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import exp
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import cli, files, params
from pipeline.analysis.multitest import MIN_SEEDS
from pipeline.params import OverfittingRule
from pipeline.reporting import plots, render
from pipeline.study import (
    audit,
    comparisons,
    convergence,
    factorial,
    figures,
    findings,
    groups,
    ledger,
    plan,
    rules,
    spread,
    tables,
)
from pipeline.study.audit import Reproduced
from pipeline.study.findings import Row
from pipeline.study.groups import Evidence, Look
from pipeline.study.plan import Study
from pipeline.study.rules import Finding


@dataclass(frozen=True)
class Report:
    """The finished report: the page, tables by file name without `.csv`, figures as PNG by file name."""

    markdown: str
    tables: Mapping[str, pd.DataFrame]
    figures: Mapping[str, bytes]

    def write(self, directory: Path) -> None:
        """Write the report's files into `directory`, each whole; figures of earlier reports are removed."""
        for name, content in self.figures.items():
            files.write_bytes(directory / "figures" / name, content)
        for path in (directory / "figures").glob("*.png"):
            if path.name not in self.figures:
                path.unlink()
        for name, table in self.tables.items():
            files.write_csv(directory / f"{name}.csv", table)
        files.write_text(directory / "claims.md", self.markdown)


def report(
    study: Study,
    rule: OverfittingRule,
    looks: Iterable[Look],
    summary: Mapping[str, Any],
    reproduced: Reproduced,
    benchmarks: Mapping[str, Any],
) -> Report:
    """Return the report on what the ledger has of the study's replicates (`looks`, from `ledger.entries`).

    `summary` is what prepare says of the data, `reproduced` reports/metrics.json, `benchmarks` benchmarks/results.json.
    """
    evidence = groups.gather(study, rule, looks)
    pairs = comparisons.judge(evidence)
    pace = convergence.seconds(benchmarks, summary["splits"]["train"]["count"])
    rows = audit.audit(evidence, pairs, reproduced, pace)
    drawn = {name: plots.png(figure) for name, figure in figures.draw(evidence, pairs).items()}
    content = {
        "sentences": rules.SENTENCES,
        "rows": rows,
        "verdicts": {claim: _by_verdict(rows, claim) for claim in rules.SENTENCES},
        "tally": [(str(finding), count) for finding in Finding if (count := _count(rows, finding))],
        "groups": evidence.groups,
        "scores": _scores(evidence),
        "pairs": pairs,
        "factorial": _factorial(evidence),
        "convergence": convergence.table(evidence, pace),
        "spreads": spread.spreads(evidence),
        "statistics": study.statistics,
        "summary": summary,
        "train": study.train,
        "processors": _makers(evidence, _processor),
        "versions": _makers(evidence, _versions),
        "figures": list(drawn),
        "least": MIN_SEEDS,
    }
    return Report(render.markdown(content, "study.md.j2"), tables.tables(evidence, pairs, pace), drawn)


def _count(rows: Sequence[Row], finding: Finding) -> int:
    return sum(row.answer.verdict is finding for row in rows)


def _by_verdict(rows: Sequence[Row], claim: int) -> dict[str, list[Row]]:
    """Return a claim's rows by verdict, in their order."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row.claim == claim:
            found.setdefault(str(row.answer.verdict), []).append(row)
    return found


def _scores(evidence: Evidence) -> dict[str, list[str]]:
    """Return each variant's cells of the page's table of scores; empty where it has too few seeds for an interval."""
    columns = {
        "test_accuracy": ("share", float),
        "test_calibration_error": ("share", float),
        "generalization_gap": ("points", float),
        "log_rise": ("factor", exp),
    }
    return {
        name: [
            findings.mean(outcome, group.values(outcome), form, to).text if len(group.entries) >= MIN_SEEDS else ""
            for outcome, (form, to) in columns.items()
        ]
        for name, group in evidence.groups.items()
    }


def _factorial(evidence: Evidence) -> dict[str, list[str]]:
    """Return, by effect, its size for each outcome of the 2x2; empty if a cell has too few seeds."""
    found = [(outcome, factorial.effects(evidence, outcome)) for outcome in factorial.OUTCOMES]
    return {
        name: [
            findings.effect(name, "factor", effects[name], exp).text
            if outcome == "log_rise"
            else findings.effect(name, "points", effects[name]).text.replace(" points", "")
            for outcome, effects in found
        ]
        for name in found[0][1]
    }


def _makers(evidence: Evidence, name: Callable[[Mapping[str, Any]], str]) -> list[tuple[str, int]]:
    """Return what made the replicates that count, with how many each made, the most first."""
    counts = Counter(name(entry.record) for group in evidence.groups.values() for entry in group.entries.values())
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _processor(record: Mapping[str, Any]) -> str:
    return str(record["processor"])


def _versions(record: Mapping[str, Any]) -> str:
    return ", ".join(f"{library} {version}" for library, version in record["ingredients"]["versions"].items())


def main() -> int:
    """Write the report on what the ledger has."""
    arguments = _arguments()
    study, rule = plan.load(arguments.study), params.load(arguments.params).overfitting
    summary = files.read_json(arguments.summary)
    looks = ledger.entries(arguments.runs, plan.replicates(study, summary["sha256"]))
    inputs = (files.read_json(path) for path in (arguments.metrics, arguments.benchmarks))
    made = report(study, rule, looks, summary, *inputs)
    made.write(arguments.output)
    print(f"{arguments.output / 'claims.md'}: {len(rules.SENTENCES)} claims")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pipeline.study.report", description=main.__doc__)
    parser.add_argument("--summary", type=Path, required=True, help="JSON made by prepare")
    parser.add_argument("--runs", type=Path, required=True, help="directory of the ledger")
    parser.add_argument("--metrics", type=Path, required=True, help="JSON made by the root pipeline's report")
    parser.add_argument("--benchmarks", type=Path, required=True, help="JSON made by the benchmarks")
    parser.add_argument("--output", type=Path, required=True, help="directory to write the report into")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="has the rule for overfitting")
    parser.add_argument("--study", type=Path, default=Path("study/params.yaml"))
    return parser.parse_args()


if __name__ == "__main__":
    cli.run(main)
