"""Stage report: the ledger -> tables, figures and the audit of the claims of the original."""

import argparse
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pipeline import cli, files
from pipeline.analysis.verdicts import MIN_SEEDS
from pipeline.reporting import render
from pipeline.reporting.plots import style
from pipeline.reporting.render import RenderedReport
from pipeline.study import figures, prediction, processors, results, seeds, tables
from pipeline.study.comparisons import VariantPair
from pipeline.study.findings import ClaimVerdict
from pipeline.study.groups import StudyData
from pipeline.study.readings import PairReading
from pipeline.study.results import StudyResults

TEMPLATE = "claims.j2"


def report(results: StudyResults) -> RenderedReport:
    """Return the report on the study's results."""
    everything, data, rows, claims = results.evidence.data, results.main.data, results.rows, results.claims
    drawn = {name: style.png(figure) for name, figure in figures.draw(results).items()}
    by_claim = {number: [row for row in rows if row.claim == number] for number in claims.claims}
    content = {
        **vars(claims),
        "subjects": _subjects(data, {*claims.networks, *claims.networks.values()}),
        "sets": results.by_name,
        "readings": by_claim,
        "answers": {
            number: claim.answer.filled(by_claim[number]) for number, claim in claims.claims.items() if claim.answer
        },
        "verdicts": [verdict for verdict in ClaimVerdict if verdict in {row.finding.verdict for row in rows}],
        "from_pairs": [
            str(number)
            for number, claim in claims.claims.items()
            if any(isinstance(reading, PairReading) for reading in claim.readings)
        ],
        "unlike": [pair.label for pair in results.evidence.pairs if _tests_disagree(pair)],
        "would_decide": seeds.sentences(results.seeds),
        "predictions": [each for each in results.predictions if each.variant in claims.networks.values()],
        "flat": [
            f"{100 * results.noise[name].flat_slight:.0f}% of `{name}`"
            for name in claims.networks.values()
            if name in results.noise
        ],
        "slight": everything.rules.overfitting.slight,
        "missed": [image for image in results.missed if "doubted" in image],
        "sources": {what: results.noise[name] for what, name in claims.sources.items() if name in results.noise},
        "inside": prediction.inside(results.predictions),
        "reproduced": prediction.reproduced(*prediction.inside(results.predictions)),
        "pilot": results.pilot,
        "both": results.pilot.both(results.verdicts) if results.pilot else [],
        "study": everything.study,
        "smallest_effects": everything.rules.smallest_effects,
        "processors": everything.makers(processors.made_on),
        "apart": processors.apart(everything),
        "mixed_pairs": processors.mixed(everything),
        "versions": everything.makers(_versions),
        "pictures": {f"figures/{name}": png for name, png in drawn.items()},
        "least": MIN_SEEDS,
    }
    pages = render.markdown(content, TEMPLATE), render.html(content, TEMPLATE)
    return RenderedReport("claims", *pages, tables.tables(results), drawn)


def _subjects(data: StudyData, names: Collection[str]) -> list[str]:
    """Return what the replicates that are used are of: the networks that the claims are about, variants, or both."""
    used = {name for name, group in data.groups.items() if group.entries}
    if not names:
        return ["the variants below"]
    networks, variants = used.intersection(names), used.difference(names)
    if not variants:
        return ["these networks"]
    return ["these networks", "variants of them"] if networks else ["variants of these networks"]


def _tests_disagree(pair: VariantPair) -> bool:
    """Return whether the t test, the permutation test and the test of ranks do not all reject, or all not.

    They do at the level at which the comparison is judged.
    """
    if pair.judged is None:
        return False
    comparison = pair.judged.judgement.comparison
    level = 1 - pair.judged.judgement.confidence
    return len({p < level for p in (comparison.p_value, comparison.permutation_p, pair.judged.rank_p)}) > 1


def _versions(record: Mapping[str, Any]) -> str:
    return ", ".join(f"{library} {version}" for library, version in record["ingredients"]["versions"].items())


def main() -> int:
    """Write the report on the replicates in the ledger."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.study.report", description=main.__doc__)
    results.add_arguments(parser)
    parser.add_argument("--pilot", type=Path, help="YAML with the verdicts of the pilot; default: none")
    parser.add_argument("--output", type=Path, required=True, help="directory to write the report into")
    arguments = parser.parse_args()
    named = (arguments.summaries, arguments.runs, arguments.metrics, arguments.reproduced, arguments.benchmarks)
    others = filter(None, (arguments.original, arguments.claims, arguments.pilot))
    inputs = files.Inputs("study/dvc.yaml:report", *named, *others, plan=arguments.study)
    evaluated = results.read(arguments, arguments.pilot)
    report(evaluated).write(arguments.output)
    inputs.check()
    print(f"{arguments.output / 'claims.html'}: {len(evaluated.claims.claims)} claims")
    return 0


if __name__ == "__main__":
    cli.run(main)
