"""Stage report: the ledger -> tables, figures and the audit of the claims of the original."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import exp
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline import cli, files, params
from pipeline.analysis.verdicts import MIN_SEEDS
from pipeline.data import original
from pipeline.params import OverfittingRule
from pipeline.reporting import render
from pipeline.reporting.plots import style
from pipeline.study import (
    audit,
    by_set,
    convergence,
    factorial,
    figures,
    findings,
    groups,
    harder,
    ledger,
    plan,
    prepared,
    rules,
    spread,
    tables,
)
from pipeline.study.audit import Reproduced
from pipeline.study.by_set import SetResults
from pipeline.study.comparisons import VariantPair
from pipeline.study.convergence import EpochSeconds
from pipeline.study.findings import ClaimRow
from pipeline.study.groups import StudyData
from pipeline.study.ledger import Lookup
from pipeline.study.plan import Study
from pipeline.study.prepared import Summaries
from pipeline.study.rules import ClaimVerdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEMPLATE = "claims.j2"
SENTENCES = {**rules.SENTENCES, harder.CLAIM: harder.SENTENCE}


@dataclass(frozen=True)
class StudyReport:
    """The finished report: the page in both formats, tables by file name without `.csv`, PNG figures by file name."""

    markdown: str
    html: str
    tables: Mapping[str, pd.DataFrame]
    figures: Mapping[str, bytes]

    def write(self, directory: Path) -> None:
        """Write the files of the report into `directory`, each atomically, and remove figures of earlier reports."""
        render.write(
            directory,
            pages={"claims.md": self.markdown, "claims.html": self.html},
            tables={f"{name}.csv": table for name, table in self.tables.items()},
            figures=self.figures,
        )


def report(
    study: Study,
    rule: OverfittingRule,
    lookups: Iterable[Lookup],
    summaries: Summaries,
    reproduced: Reproduced,
    benchmarks: Mapping[str, Any],
) -> StudyReport:
    """Return the report on the study's replicates as found in the ledger (`lookups`, from `ledger.look_up`).

    `summaries` are those of the data sets, `reproduced` has the scores of the reproduction on the original's data set,
    that is reports/metrics.json if it was made on that one, and `benchmarks` is benchmarks/results.json.
    """
    everything = groups.gather(study, rule, lookups)
    by_name = by_set.results(everything, summaries)
    others = [one for name, one in by_name.items() if name != original.DATASET]
    # What the original's claims are judged by.
    data = by_set.on(everything, original.DATASET)
    pairs = by_name[original.DATASET].pairs if original.DATASET in by_name else ()
    timings = _timings(benchmarks, summaries)
    rows = [*audit.audit(data, pairs, reproduced, timings), *harder.rows(everything)]
    drawn = {name: style.png(figure) for name, figure in _figures(everything, data, pairs, others).items()}
    content = {
        "title": "What becomes of the original's claims",
        "subjects": _subjects(data),
        "several": any(len(group.entries) > 1 for group in data.groups.values()),
        "sets": by_name,
        "others": others,
        "other_scores": {one.name: _scores(one.data) for one in others},
        "summaries": summaries,
        "sentences": SENTENCES,
        "rows": rows,
        "verdicts": {claim: _by_verdict(rows, claim) for claim in SENTENCES},
        "tally": [(str(finding), count) for finding in ClaimVerdict if (count := _count(rows, finding))],
        "groups": data.groups,
        "scores": _scores(data),
        "pairs": pairs,
        "factorial": _factorial(data),
        "convergence": convergence.table(data, timings),
        "spreads": spread.spreads(data),
        "statistics": study.statistics,
        "was_run": {harder.CLAIM: harder.was_run(everything)},
        "train": study.train,
        "processors": _makers(everything, _processor),
        "versions": _makers(everything, _versions),
        "pictures": {f"figures/{name}": png for name, png in drawn.items()},
        "least": MIN_SEEDS,
    }
    return StudyReport(
        render.markdown(content, TEMPLATE),
        render.html(content, TEMPLATE),
        tables.tables(data, pairs, timings, others),
        drawn,
    )


def _timings(benchmarks: Mapping[str, Any], summaries: Summaries) -> dict[str, EpochSeconds]:
    """Return the seconds per epoch on the original's data set, on which the benchmarks are run."""
    if original.DATASET not in summaries:
        return {}
    return convergence.epoch_seconds(benchmarks, summaries[original.DATASET]["splits"]["train"]["count"])


def _figures(
    everything: StudyData, data: StudyData, pairs: Sequence[VariantPair], others: Sequence[SetResults]
) -> dict[str, Figure]:
    drawn = figures.draw(data, pairs)
    for one in others:
        drawn |= figures.draw_other(one)
    return drawn | figures.draw_harder(everything)


def _subjects(data: StudyData) -> list[str]:
    """Return what the replicates that are used are of: the original's networks, variants of them, or both."""
    used = {name for name, group in data.groups.items() if group.entries}
    networks, variants = bool(used & set(convergence.MODELS)), bool(used - set(convergence.MODELS))
    if not variants:
        return ["these networks"]
    return ["these networks", "variants of them"] if networks else ["variants of these networks"]


def _count(rows: Sequence[ClaimRow], finding: ClaimVerdict) -> int:
    return sum(row.finding.verdict is finding for row in rows)


def _by_verdict(rows: Sequence[ClaimRow], claim: int) -> dict[str, list[ClaimRow]]:
    """Return a claim's rows by verdict, in their order."""
    found: dict[str, list[ClaimRow]] = {}
    for row in rows:
        if row.claim == claim:
            found.setdefault(str(row.finding.verdict), []).append(row)
    return found


def _scores(data: StudyData) -> dict[str, list[str]]:
    """Return the cells of the page's table of scores by variant; empty if it has too few seeds for an interval."""
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
        for name, group in data.groups.items()
    }


def _factorial(data: StudyData) -> dict[str, list[str]]:
    """Return the size of each effect for each outcome of the 2x2 design; empty if a cell has too few seeds."""
    found = [(outcome, factorial.effects(data, outcome)) for outcome in factorial.OUTCOMES]
    return {
        name: [
            findings.effect(name, "factor", effects[name], exp).text
            if outcome == "log_rise"
            else findings.effect(name, "points", effects[name]).text.replace(" points", "")
            for outcome, effects in found
        ]
        for name in found[0][1]
    }


def _makers(data: StudyData, name: Callable[[Mapping[str, Any]], str]) -> list[tuple[str, int]]:
    """Return where the replicates that are used were made, with their numbers, the largest first."""
    counts = Counter(name(entry.record) for group in data.groups.values() for entry in group.entries.values())
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _processor(record: Mapping[str, Any]) -> str:
    return str(record["processor"])


def _versions(record: Mapping[str, Any]) -> str:
    return ", ".join(f"{library} {version}" for library, version in record["ingredients"]["versions"].items())


def main() -> int:
    """Write the report on the replicates in the ledger."""
    arguments = _arguments()
    study, rule = plan.load_study(arguments.study), params.load(arguments.params).overfitting
    summaries = prepared.load(arguments.summaries, study.data.sets)
    lookups = ledger.look_up(arguments.runs, plan.replicates(study, prepared.checksums(summaries)))
    reproduced, benchmarks = (files.read_json(path) for path in (arguments.metrics, arguments.benchmarks))
    if files.read_json(arguments.reproduced)["dataset"] != original.DATASET:
        reproduced = {}
    made = report(study, rule, lookups, summaries, reproduced, benchmarks)
    made.write(arguments.output)
    print(f"{arguments.output / 'claims.html'}: {len(SENTENCES)} claims")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pipeline.study.report", description=main.__doc__)
    parser.add_argument("--summaries", type=Path, required=True, help="directory with prepare's JSON files")
    parser.add_argument("--runs", type=Path, required=True, help="directory of the ledger")
    parser.add_argument("--metrics", type=Path, required=True, help="JSON written by the reproduction's report stage")
    parser.add_argument("--reproduced", type=Path, required=True, help="JSON that names the reproduction's data set")
    parser.add_argument("--benchmarks", type=Path, required=True, help="JSON written by the benchmarks")
    parser.add_argument("--output", type=Path, required=True, help="directory to write the report into")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="YAML with the rule for overfitting")
    parser.add_argument("--study", type=Path, default=Path("study/params.yaml"), help="YAML with the plan of the study")
    return parser.parse_args()


if __name__ == "__main__":
    cli.run(main)
