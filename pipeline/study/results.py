"""All results that follow from the ledger, as numbers: what the report shows and the power command prints."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import files, params
from pipeline.params import OverfittingRule
from pipeline.reporting import inputs
from pipeline.study import audit, comparisons, convergence, groups, ledger, plan, prediction, seeds
from pipeline.study.audit import Reproduced
from pipeline.study.comparisons import VariantPair
from pipeline.study.convergence import EpochSeconds
from pipeline.study.findings import ClaimRow
from pipeline.study.groups import StudyData
from pipeline.study.ledger import Lookup
from pipeline.study.plan import Study
from pipeline.study.prediction import Prediction
from pipeline.study.seeds import SeedsNeeded


@dataclass(frozen=True)
class Sources:
    """The files beside the ledger, read.

    `summary` is the summary of the data that prepare wrote, `reproduced` is reports/metrics.json, `benchmarks`
    benchmarks/results.json, and `original` has the histories printed in the original, by model.
    """

    summary: Mapping[str, Any]
    reproduced: Reproduced
    benchmarks: Mapping[str, Any]
    original: Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class StudyResults:
    """The replicates that are used, and what follows from them."""

    data: StudyData
    pairs: Sequence[VariantPair]
    timings: Mapping[str, EpochSeconds]
    rows: Sequence[ClaimRow]
    seeds: Sequence[SeedsNeeded]
    predictions: Sequence[Prediction]


def evaluate(study: Study, rule: OverfittingRule, lookups: Iterable[Lookup], sources: Sources) -> StudyResults:
    """Return all results of the replicates as found in the ledger (`lookups`, from `ledger.look_up`)."""
    data = groups.gather(study, rule, lookups)
    pairs = comparisons.compare_variants(data)
    images = sources.summary["splits"]["train"]["count"]
    timings = convergence.epoch_seconds(sources.benchmarks, images)
    rows = audit.audit(data, pairs, sources.reproduced, timings)
    found = seeds.needed(data, pairs, rows, seeds.costs(study, sources.benchmarks, images))
    predictions = prediction.predictions(data, sources.summary, sources.original)
    return StudyResults(data, pairs, timings, rows, found, predictions)


def read_sources(arguments: argparse.Namespace) -> Sources:
    """Return the content of the files that the arguments name."""
    return Sources(
        files.read_json(arguments.summary),
        files.read_json(arguments.metrics),
        files.read_json(arguments.benchmarks),
        inputs.read_reported(arguments.original),
    )


def look_up(arguments: argparse.Namespace, study: Study, sources: Sources) -> Iterable[Lookup]:
    """Return the planned replicates with their entries in the ledger that the arguments name."""
    return ledger.look_up(arguments.runs, plan.replicates(study, sources.summary["sha256"]))


def read(arguments: argparse.Namespace) -> StudyResults:
    """Return all results from the files that the arguments name."""
    study, rule = plan.load_study(arguments.study), params.load(arguments.params).overfitting
    sources = read_sources(arguments)
    return evaluate(study, rule, look_up(arguments, study, sources), sources)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name the files; by default those of the project."""
    for name, default, words in (
        ("summary", "study/reports/data.json", "JSON written by prepare"),
        ("runs", "study/runs", "directory of the ledger"),
        ("metrics", "reports/metrics.json", "JSON written by the reproduction's report stage"),
        ("benchmarks", "benchmarks/results.json", "JSON written by the benchmarks"),
        ("original", "data/report_history.csv", "the original's scores per epoch"),
        ("params", "params.yaml", "YAML with the rule for overfitting"),
        ("study", "study/params.yaml", "YAML with the plan of the study"),
    ):
        parser.add_argument(f"--{name}", type=Path, default=Path(default), help=f"{words}; default: {default}")
