"""Stage report: comparison, overfitting analysis and figures, as Markdown, as one HTML file, and as tables."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline import cli, dvc_lock, files, params
from pipeline.data import dataset as datasets
from pipeline.data import original
from pipeline.data.dataset import Dataset
from pipeline.params import Params
from pipeline.reporting import inputs, pairwise, render, tables
from pipeline.reporting.inputs import DataSummary, Folders, ModelResult
from pipeline.reporting.plots import classification, curves, grids, style

GRID = 9
SHOWN = 60


@dataclass(frozen=True)
class Report:
    """The finished report; `figures` are PNGs by file name."""

    markdown: str
    html: str
    comparison: pd.DataFrame
    overfitting: pd.DataFrame
    metrics: dict[str, dict[str, float]]
    figures: dict[str, bytes]

    def write(self, directory: Path) -> None:
        """Write the files of the report into `directory`, each atomically; figures of earlier reports are removed."""
        files.write_json(directory / "metrics.json", self.metrics)
        render.write(
            directory,
            pages={"report.md": self.markdown, "report.html": self.html},
            tables={"comparison.csv": self.comparison, "overfitting.csv": self.overfitting},
            figures=self.figures,
        )


def report(
    values: Params,
    data: Dataset,
    summary: DataSummary,
    outcomes: Sequence[ModelResult],
    reported: Mapping[str, pd.DataFrame],
) -> Report:
    """Return the report on `outcomes`, one or more models in the order of params.yaml.

    `reported` are the original report's histories by model (columns as in inputs.REPORTED). They are for MNIST's test
    images; with other data nothing is compared with them.
    """
    reportable = summary.dataset == original.DATASET and len(data.test) == original.TEST_IMAGES
    beside = reported if reportable else {}
    rows = [tables.row(outcome, beside.get(outcome.name), values.overfitting) for outcome in outcomes]
    figures = _figures(outcomes, beside) | _missed(data, outcomes)
    grid = grids.digit_grid(data.train.images[: GRID**2], GRID, GRID)
    content = {
        "title": f"{len(rows)} model{'s' if len(rows) > 1 else ''} on {summary.dataset}",
        "summary": summary,
        "train": values.train,
        "rule": values.overfitting,
        "models": rows,
        "pairs": pairwise.mcnemar_pairs(outcomes),
        "contrasts": pairwise.setting_contrasts({row.name: row.model for row in rows}),
        "verdicts": {row.name: row.analysis.verdict for row in rows},
        "versions": _versions(outcomes),
        "reportable": reportable,
        "missed": len(pairwise.missed_by_all(outcomes)),
        "shown": SHOWN,
        "pictures": {"digits.png": style.png(grid), **{f"figures/{name}": png for name, png in figures.items()}},
    }
    return Report(
        render.markdown(content),
        render.html(content),
        # As objects, or a whole number beside a gap would become a float.
        pd.DataFrame([row.comparison() for row in rows], dtype=object),
        pd.DataFrame([row.overfitting() for row in rows], dtype=object),
        {row.name: row.flat() for row in rows},
        figures,
    )


def _figures(outcomes: Sequence[ModelResult], reported: Mapping[str, pd.DataFrame]) -> dict[str, bytes]:
    figures = {
        "comparison.png": curves.comparison({outcome.name: outcome.history for outcome in outcomes}),
        "reliability.png": classification.reliability(
            {outcome.name: tables.calibration(outcome) for outcome in outcomes}
        ),
    }
    for outcome in outcomes:
        name, matrix = outcome.name, outcome.metrics.splits["test"].confusion
        figures[f"curves-{name}.png"] = curves.training(outcome.history, reported.get(name), name)
        figures[f"confusion-{name}.png"] = classification.confusion(matrix, name)
    return {name: style.png(figure) for name, figure in figures.items()}


def _missed(data: Dataset, outcomes: Sequence[ModelResult]) -> dict[str, bytes]:
    missed = pairwise.missed_by_all(outcomes)[:SHOWN]
    if not missed.size:
        return {}
    answers = {outcome.name: outcome.answers[missed] for outcome in outcomes}
    return {"missed.png": style.png(grids.gallery(data.test.images[missed], data.test.labels[missed], answers))}


def _versions(outcomes: Sequence[ModelResult]) -> dict[str, list[str]]:
    """Return the models by the libraries that made them: one entry, unless some were made again after an upgrade."""
    models: dict[str, list[str]] = {}
    for outcome in outcomes:
        versions = ", ".join(f"{library} {version}" for library, version in outcome.metrics.versions.items())
        models.setdefault(versions, []).append(outcome.name)
    return models


def main() -> int:
    """Write the report on all models of params.yaml."""
    arguments = _arguments()
    values = params.load(arguments.params)
    dvc_lock.verify(arguments.data, arguments.summary)
    data = datasets.load(arguments.data)
    summary = inputs.read_summary(arguments.summary, values.data, arguments.data)
    reported = inputs.read_reported(arguments.reported)
    folders = Folders(arguments.history, arguments.timing, arguments.metrics, arguments.predictions)
    outcomes = [folders.read(name, model, data) for name, model in values.models.items()]
    report(values, data, summary, outcomes, reported).write(arguments.output)
    print(f"{arguments.output / 'report.html'}: {', '.join(values.models)}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pipeline.report", description=main.__doc__)
    parser.add_argument("--data", type=Path, required=True, help="npz made by preprocess")
    parser.add_argument("--summary", type=Path, required=True, help="JSON made by preprocess")
    parser.add_argument("--reported", type=Path, required=True, help="the original report's scores per epoch")
    parser.add_argument("--history", type=Path, required=True, help="directory of the scores per epoch, made by train")
    parser.add_argument("--timing", type=Path, required=True, help="directory of the seconds per epoch, made by train")
    parser.add_argument("--metrics", type=Path, required=True, help="directory of the scores, made by evaluate")
    parser.add_argument("--predictions", type=Path, required=True, help="directory of probabilities, made by evaluate")
    parser.add_argument("--output", type=Path, required=True, help="directory to write the report into")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    return parser.parse_args()


if __name__ == "__main__":
    cli.run(main)
