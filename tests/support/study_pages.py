"""The report on synthetic replicates, and the parts of its page."""

import itertools
import re

import pytest
from matplotlib.figure import Figure

from pipeline.params import Params
from pipeline.reporting import inputs
from pipeline.reporting.plots import curves, effects, readings, style
from pipeline.reporting.render import RenderedReport
from pipeline.study import report, results
from pipeline.study.results import Sources
from pipeline.trials.ledger import Lookup
from pipeline.trials.plan import Study
from tests.support import study_runs


def four() -> Study:
    """Return the project's study on MNIST with four seeds for each variant."""
    return study_runs.study(**dict.fromkeys(study_runs.study().variants, 4))


def skip_drawing(patch: pytest.MonkeyPatch) -> None:
    """Have nothing drawn; what stands for each picture is its number."""
    for module, name in ((curves, "bands"), (effects, "intervals"), (effects, "changes"), (readings, "readings")):
        patch.setattr(module, name, lambda *_, **__: Figure())
    numbers = itertools.count()
    patch.setattr(style, "png", lambda _: str(next(numbers)).encode())


def report_on(lookups: list[Lookup], values: Params, study: Study | None = None) -> RenderedReport:
    """Return the report on these replicates."""
    of = study or four()
    return report.report(results.evaluate(of, study_runs.rules(values), lookups, sources(of)))


def sources(study: Study) -> Sources:
    """Return the files that the study reads with the ledger; the original's numbers are its own."""
    original = inputs.read_reported(study_runs.ROOT / "data" / "report_history.csv")
    summaries = {name: study_runs.SUMMARIES[name] for name in study.data.sets}
    return Sources(study_runs.scaled(study), summaries, study_runs.REPRODUCED, study_runs.BENCHMARKS, original)


def section(markdown: str, title: str) -> str:
    """Return the part of the page below a heading, as one line."""
    return " ".join(markdown.split(f"## {title}\n")[1].split("\n## ")[0].split())


def audited(markdown: str) -> list[list[str]]:
    """Return the rows of the audit: claim, reading, result, seeds, verdict, and that without any one replicate."""
    _, *parts = re.split(r"^### Claim (\d+)$", markdown, flags=re.MULTILINE)
    return [
        [claim, *row] for claim, part in zip(parts[::2], parts[1::2], strict=True) for row in rows(part, "Readings")[1:]
    ]


def rows(markdown: str, caption: str) -> list[list[str]]:
    """Return the cells of a table of the page, head first."""
    lines = markdown.split(f"**{caption}**\n\n")[1].split("\n\n")[0].splitlines()
    cells = [[cell.strip() for cell in line[1:-1].split(" | ")] for line in lines]
    return [cells[0], *cells[2:]]
