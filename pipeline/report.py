"""Stage report: comparison, overfitting analysis and figures, as Markdown, as one HTML file, and as tables."""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline import cli, dvc_lock, files, params
from pipeline.analysis.overfitting import OverfittingVerdict
from pipeline.data import dataset as datasets
from pipeline.data import original
from pipeline.data.dataset import Dataset
from pipeline.params import Params
from pipeline.reporting import inputs, pairwise, render, tables, views
from pipeline.reporting.inputs import DataSummary, Folders, ModelResult
from pipeline.reporting.plots import classification, curves, grids, style
from pipeline.reporting.render import RenderedReport
from pipeline.reporting.tables import ModelRow

GRID = 9
# Images that every model gets wrong: so many are pictured.
PICTURED = 60
# Of more classes than a figure can show, as many are in the tables that are not folded: those with the lowest F1.
FEW_CLASSES = 10
# With more models than this, figures and sentences are limited to the SHOWN best and the SHOWN worst.
MANY_MODELS, SHOWN = 8, 3


@dataclass(frozen=True)
class Report(RenderedReport):
    """The finished report, with the scores that it is on."""

    metrics: dict[str, dict[str, float]]

    def write(self, directory: Path) -> None:
        """Write the files of the report into `directory`, each atomically; those of earlier reports are removed."""
        files.write_json(directory / "metrics.json", self.metrics)
        views.write_scores(directory / "scores", self.metrics)
        super().write(directory)


def report(
    values: Params,
    data: Dataset,
    summary: DataSummary,
    results: Sequence[ModelResult],
    reported: Mapping[str, pd.DataFrame],
) -> Report:
    """Return the report on `results`, of one or more models in the order of params.yaml.

    `reported` are the histories printed in the original, by model (columns as in inputs.REPORTED). They are for MNIST's
    test images; results on other data are not compared with them.
    """
    reportable = summary.dataset == original.DATASET and len(data.test) == original.TEST_IMAGES
    comparable = reported if reportable else {}
    rule, target = values.overfitting, summary.target_accuracy
    rows = [tables.row(result, comparable.get(result.name), rule, target) for result in results]
    shown = _shown(results)
    names = {result.name for result in shown}
    missed = pairwise.missed_by_all(results)
    pairs = pairwise.mcnemar_pairs(results)
    figures = _figures(shown, rows, comparable, data.classes) | _missed(data, shown, missed, summary.negative)
    judged = _grouped((row.analysis.verdict, row.name) for row in rows)
    monitored = "test" if data.validation is None else "validation"
    chosen = grids.first(data.train.labels, GRID**2)
    grid = grids.samples(grids.drawn(data.train.images[chosen], negative=summary.negative), GRID, GRID)
    content = {
        "title": f"{len(rows)} model{'s' if len(rows) > 1 else ''} on {summary.title}",
        "summary": summary,
        "train": values.train,
        "rule": rule,
        "models": rows,
        "keeping": _grouped((row.model.keep, row.name) for row in rows if row.kept),
        "titled": tables.titled(results[0].metrics.splits["test"]),
        "many": len(rows) > MANY_MODELS,
        "shown": [row for row in rows if row.name in names],
        "pairs": pairs,
        "listed": [pair for pair in pairs if {pair.first, pair.second} <= names],
        "contrasts": pairwise.setting_contrasts({result.name: result.model for result in shown}),
        "verdict_of": {row.name: row.analysis.verdict for row in rows},
        "verdicts": {verdict: judged[verdict] for verdict in OverfittingVerdict if verdict in judged},
        # One entry, unless some models predate an upgrade.
        "versions": _grouped((_versions(result), result.name) for result in results),
        "processors": list(dict.fromkeys(name for result in results for name in result.processors)),
        "reportable": reportable,
        "by_class": bool(chosen[-1] >= len(chosen)),
        "missed": len(missed),
        "pictured": PICTURED,
        "confusable": classification.MAX_CLASSES,
        "few": FEW_CLASSES,
        "largest": tables.largest_class(data),
        "pictures": {"samples.png": style.png(grid), **{f"figures/{name}": png for name, png in figures.items()}},
    }
    matrices = {row.name: classification.most_confused(row.confusion, data.classes) for row in rows}
    written = {
        # As objects, or a whole number next to an empty cell would become a float.
        "comparison": pd.DataFrame([row.comparison() for row in rows], dtype=object),
        "overfitting": pd.DataFrame([row.overfitting() for row in rows], dtype=object),
        "curves": views.curves({result.name: result.history for result in results}, monitored),
        "confusion": views.confusion(matrices),
    }
    flat = {row.name: row.flat() for row in rows}
    return Report("report", render.markdown(content), render.html(content), written, figures, flat)


def _shown(results: Sequence[ModelResult]) -> list[ModelResult]:
    """Return the models with figures of their own: all, or those with the fewest and the most test errors."""
    if len(results) <= MANY_MODELS:
        return list(results)
    ranked = sorted(results, key=lambda result: result.metrics.splits["test"]["errors"])
    chosen = {result.name for result in (*ranked[:SHOWN], *ranked[-SHOWN:])}
    return [result for result in results if result.name in chosen]


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the names of models by what each has, from pairs of the two."""
    names: dict[str, list[str]] = {}
    for what, name in pairs:
        names.setdefault(what, []).append(name)
    return names


def _figures(
    shown: Sequence[ModelResult],
    rows: Sequence[ModelRow],
    reported: Mapping[str, pd.DataFrame],
    classes: Sequence[str],
) -> dict[str, bytes]:
    figures = {
        "comparison.png": curves.comparison({result.name: result.history for result in shown}),
        "reliability.png": classification.reliability({result.name: tables.calibration(result) for result in shown}),
    }
    matrices = {row.name: row.confusion for row in rows}
    for result in shown:
        name = result.name
        figures[f"curves-{name}.png"] = curves.training(
            result.history, reported.get(name), name, result.metrics.kept_epoch
        )
        figures[f"confusion-{name}.png"] = classification.confusion(matrices[name], classes, name)
        if result.model.augmentation and result.augmented is not None:
            figures[f"augmentation-{name}.png"] = grids.augmented(result.augmented, [*result.model.augmentation.steps])
    return {name: style.png(figure) for name, figure in figures.items()}


def _missed(data: Dataset, shown: Sequence[ModelResult], missed: NDArray[np.int64], negative: bool) -> dict[str, bytes]:
    if not missed.size:
        return {}
    first = missed[:PICTURED]
    answers = {result.name: result.answers[first] for result in shown}
    images = grids.drawn(data.test.images[first], negative=negative)
    gallery = grids.gallery(images, data.test.labels[first], answers, data.classes)
    return {"missed.png": style.png(gallery)}


def _versions(result: ModelResult) -> str:
    return ", ".join(f"{library} {version}" for library, version in result.metrics.versions.items())


def main() -> int:
    """Write the report on all models of params.yaml."""
    arguments = _arguments()
    folders = Folders(arguments.history, arguments.timing, arguments.metrics, arguments.predictions)
    read = (arguments.data, arguments.summary, arguments.reported, *vars(folders).values())
    unchanged = files.Inputs("report", *read)
    values = params.load(arguments.params)
    dvc_lock.verify(arguments.data, arguments.summary)
    data = datasets.load(arguments.data)
    summary = inputs.read_summary(arguments.summary, values.data, arguments.data)
    reported = inputs.read_reported(arguments.reported)
    results = [folders.read(name, model, data) for name, model in values.models.items()]
    for result in results:
        dvc_lock.check_record(result.name, result.metrics.made_with)
    report(values, data, summary, results, reported).write(arguments.output)
    unchanged.check()
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
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="the experiment's settings")
    return parser.parse_args()


if __name__ == "__main__":
    cli.run(main)
