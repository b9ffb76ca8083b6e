"""Stage report: the ledger -> tables, figures and the audit of the claims of the original."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import cli
from pipeline.analysis import means
from pipeline.analysis.verdicts import MIN_SEEDS
from pipeline.reporting import render
from pipeline.reporting.plots import style
from pipeline.study import contrasts, figures, findings, pilot, prediction, processors, results, seeds, tables
from pipeline.study.claims import Claim, PairReading
from pipeline.study.findings import ClaimRow, ClaimVerdict, Form
from pipeline.study.groups import SeedValues, StudyData
from pipeline.study.results import StudyResults

TEMPLATE = "claims.j2"


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


def report(found: StudyResults) -> StudyReport:
    """Return the report on the study's results."""
    everything, data, rows, claims = found.evidence.data, found.main.data, found.rows, found.claims
    study, before = everything.study, found.pilot
    drawn = {name: style.png(figure) for name, figure in figures.draw(found).items()}
    content = {
        **vars(claims),
        "subjects": _subjects(data, claims.networks),
        "several": any(len(group.entries) > 1 for group in data.groups.values()),
        "sets": found.by_name,
        "others": found.others,
        "other_scores": {one.name: _scores(one.data) for one in found.others},
        "summaries": {name: one.summary for name, one in found.by_name.items()},
        "sentences": {number: one.claim for number, one in claims.claims.items()},
        "from_pairs": [str(number) for number, one in claims.claims.items() if _from_pairs(one)],
        "rows": rows,
        "verdicts": {claim: _by_verdict(rows, claim) for claim in claims.claims},
        "tally": [(str(finding), count) for finding in ClaimVerdict if (count := _count(rows, finding))],
        "groups": data.groups,
        "scores": _scores(data),
        "pairs": found.main.pairs,
        "effect_rows": _effect_rows(found),
        "epochs": tables.convergence_rows(found),
        "needed": seeds.by_subject(found.seeds),
        "hardest": seeds.by_subject(found.seeds, seeds.HARDEST),
        "would_decide": seeds.sentences(found.seeds),
        "predictions": found.predictions,
        "inside": prediction.inside(found.predictions),
        "spreads": prediction.spreads(data, claims.networks),
        "pilot": before,
        "first_seed": study.first_seed,
        "both": [] if before is None else pilot.both(before, found.verdicts),
        "statistics": study.statistics,
        "smallest_effect": everything.rules.smallest_effects[claims.dataset],
        "train": study.train,
        "processors": everything.makers(processors.of),
        "by_processor": processors.counts(everything),
        "apart": processors.apart(everything),
        "processor_effects": processors.effects(everything),
        "mixed_pairs": processors.mixed(everything),
        "versions": everything.makers(_versions),
        "pictures": {f"figures/{name}": png for name, png in drawn.items()},
        "least": MIN_SEEDS,
    }
    return StudyReport(
        render.markdown(content, TEMPLATE),
        render.html(content, TEMPLATE),
        tables.tables(found),
        drawn,
    )


def _subjects(data: StudyData, names: Collection[str]) -> list[str]:
    """Return what the replicates that are used are of: the networks that the claims are about, variants, or both."""
    used = {name for name, group in data.groups.items() if group.entries}
    if not names:
        return ["the variants below"]
    networks, variants = used.intersection(names), used.difference(names)
    if not variants:
        return ["these networks"]
    return ["these networks", "variants of them"] if networks else ["variants of these networks"]


def _from_pairs(claim: Claim) -> bool:
    return any(isinstance(reading, PairReading) for reading in claim.readings)


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
    columns: Mapping[str, Form] = {
        "test_accuracy": "share",
        "test_calibration_error": "share",
        "generalization_gap": "points",
        "log_rise": "factor",
    }
    return {
        name: [_mean(group.values(outcome), form) for outcome, form in columns.items()]
        if len(group.entries) >= MIN_SEEDS
        else [""] * len(columns)
        for name, group in data.groups.items()
    }


def _mean(values: SeedValues, form: Form) -> str:
    found = means.describe(values)
    return findings.measurement("", form, found.mean, found.interval).text


def _effect_rows(found: StudyResults) -> list[list[str]]:
    """Return the cells of the table of effects; none if it has too few seeds."""
    columns = contrasts.effects(found.evidence, found.claims.effects) if found.claims.effects else []
    cells = [[effect.shown.text.replace(" points", "") for effect in effects] for _, effects in columns]
    labels = [effect.label for _, effects in columns[:1] for effect in effects]
    return [list(row) for row in zip(labels, *cells, strict=True)]


def _versions(record: Mapping[str, Any]) -> str:
    return ", ".join(f"{library} {version}" for library, version in record["ingredients"]["versions"].items())


def main() -> int:
    """Write the report on the replicates in the ledger."""
    arguments = _arguments()
    found = results.read(arguments, arguments.pilot)
    report(found).write(arguments.output)
    print(f"{arguments.output / 'claims.html'}: {len(found.claims.claims)} claims")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pipeline.study.report", description=main.__doc__)
    results.add_arguments(parser)
    parser.add_argument("--pilot", type=Path, help="YAML with the verdicts of the pilot; default: none")
    parser.add_argument("--output", type=Path, required=True, help="directory to write the report into")
    return parser.parse_args()


if __name__ == "__main__":
    cli.run(main)
