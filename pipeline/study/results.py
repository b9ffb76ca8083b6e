"""All results that follow from the ledger, as numbers: what the report shows and the power command prints."""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel

from pipeline import files, params, schema
from pipeline.reporting import inputs
from pipeline.study import audit, comparisons, convergence, groups, noise, pilot, prediction, seeds
from pipeline.study import claims as claims_file
from pipeline.study.claims import Claims
from pipeline.study.comparisons import VariantPair
from pipeline.study.contrasts import Evidence
from pipeline.study.findings import ClaimRow
from pipeline.study.groups import Rules, StudyData
from pipeline.study.noise import Noise
from pipeline.study.pilot import Pilot
from pipeline.study.prediction import SeedPrediction
from pipeline.study.seeds import SeedsNeeded
from pipeline.trials import ledger, plan, prepared
from pipeline.trials.ledger import Lookup
from pipeline.trials.plan import Study
from pipeline.trials.prepared import Summaries, Summary


class _Reproduced(BaseModel):
    dataset: str


class _Benchmarks(BaseModel):
    training: dict[str, Any] = {}
    study: dict[str, Any] = {}


@dataclass(frozen=True)
class Sources:
    """The files that are read with the ledger.

    `claims` are what is judged, by multiples of the smallest effect, 1 among them; `summaries` are those of the data
    sets, which prepare wrote. `reproduced` is reports/metrics.json, or empty if the reproduction was made on another
    data set than that of the claims. `benchmarks` is benchmarks/results.json, and `original` has the histories
    printed in the original, by model.
    """

    claims: Mapping[float, Claims]
    summaries: Summaries
    reproduced: Mapping[str, Mapping[str, float]]
    benchmarks: Mapping[str, Any]
    original: Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class SetResults:
    """The results on one data set: a study of its own, whose comparisons are a family of their own."""

    name: str
    summary: Summary
    data: StudyData
    pairs: tuple[VariantPair, ...]

    @property
    def title(self) -> str:
        """What the data set is called."""
        return str(self.summary.get("title", self.name))

    @property
    def planned(self) -> int:
        """The number of replicates that are planned."""
        return sum(variant.seeds for variant in self.data.study.variants.values())

    @property
    def used(self) -> int:
        """The number of replicates that are used."""
        return sum(len(group.entries) for group in self.data.groups.values())

    @property
    def missing(self) -> int:
        """The number of planned replicates that are not used."""
        return self.planned - self.used


@dataclass(frozen=True)
class StudyResults:
    """The replicates that are used, and what follows from them.

    `evidence` has those on all data sets, and `by_name` the results on each; `rows` are those of the audit of the
    `claims`. `predictions` are of every variant. `pilot` is the study before, if there was one.
    """

    claims: Claims
    evidence: Evidence
    by_name: Mapping[str, SetResults]
    rows: Sequence[ClaimRow]
    seeds: Sequence[SeedsNeeded]
    predictions: Sequence[SeedPrediction]
    pilot: Pilot | None = None

    @cached_property
    def noise(self) -> dict[str, Noise]:
        """What chance alone shows, by variant."""
        return {each.variant: each for each in noise.of_variants(self.evidence.data)}

    @cached_property
    def missed(self) -> list[dict[str, object]]:
        """The test images that most replicates miss."""
        return noise.missed(self.evidence.data, self.claims.doubted)

    @property
    def verdicts(self) -> dict[str, str]:
        """The verdicts by comparison and reading."""
        pairs = {pair.label: str(pair.verdict) for pair in self.evidence.pairs}
        return pairs | {row.subject: str(row.finding.verdict) for row in self.rows}

    @property
    def main(self) -> SetResults:
        """The results on the data set of the claims."""
        return self.by_name[self.claims.dataset]

    @property
    def sets(self) -> list[SetResults]:
        """The results on each data set, first on that of the claims."""
        return sorted(self.by_name.values(), key=lambda dataset: dataset.name != self.claims.dataset)


def evaluate(
    study: Study,
    rules: Rules,
    lookups: Iterable[Lookup],
    sources: Sources,
    before: Pilot | None = None,
) -> StudyResults:
    """Return all results of the replicates as found in the ledger (`lookups`, from `ledger.look_up`).

    `before` is the pilot.
    """
    claims = sources.claims[1]
    data, summary = groups.gather(study, rules, lookups), sources.summaries[claims.dataset]
    by_name = by_set(data, sources.summaries)
    pairs = [pair for of_set in by_name.values() for pair in of_set.pairs]
    timings = convergence.epoch_seconds(sources.benchmarks, _images(summary))
    evidence = Evidence(data, pairs, sources.reproduced, timings)
    rows = audit.audit(sources.claims, evidence)
    costs = seeds.costs(study, sources.benchmarks, {name: _images(each) for name, each in sources.summaries.items()})
    needed = [*seeds.of_pairs(pairs, costs), *seeds.of_readings(rows, costs)]
    predictions = prediction.predictions(data, claims.networks, sources.summaries, sources.original)
    return StudyResults(claims, evidence, by_name, rows, needed, predictions, before)


def by_set(data: StudyData, summaries: Summaries) -> dict[str, SetResults]:
    """Return the results on each data set of the study by name, in the order of data.sets."""
    parts = {name: _on(data, name) for name in data.study.data.sets}
    return {
        name: SetResults(name, summaries[name], part, comparisons.compare_variants(part))
        for name, part in parts.items()
    }


def _on(data: StudyData, name: str) -> StudyData:
    """Return the part of `data` that is on the data set `name`: empty if the study has no variant on it."""
    variants, whole = data.study.on(name), data.study.statistics
    families = {
        key: tuple(pair for pair in family if set(pair) <= variants.keys())
        for key, family in (("comparisons", whole.comparisons), ("added", whole.added))
    }
    update = {"variants": variants, "statistics": whole.model_copy(update=families)}
    return replace(data, study=data.study.model_copy(update=update), groups={key: data.groups[key] for key in variants})


def _images(summary: Summary) -> int:
    return int(summary["splits"]["train"]["count"])


def read(arguments: argparse.Namespace, of_pilot: Path | None = None) -> StudyResults:
    """Return all results from the files that the arguments name; `of_pilot` is the pilot's, if there was one.

    Raises:
        InputError: A file is missing or breaks a rule, or the pilot has a seed of the study.
    """
    study = plan.load_study(arguments.study)
    rules = groups.rules(params.load(arguments.params), study, arguments.params)
    claims = {
        multiple: claims_file.load(arguments.claims, study, rules.times(multiple)) for multiple in comparisons.MULTIPLES
    }
    own = _read(arguments.reproduced, _Reproduced)["dataset"] == claims[1].dataset
    sources = Sources(
        claims,
        prepared.load(arguments.summaries, study.data.sets),
        _read(arguments.metrics, dict[str, dict[str, float]]) if own else {},
        _read(arguments.benchmarks, _Benchmarks),
        inputs.read_reported(arguments.original),
    )
    lookups = ledger.look_up(arguments.runs, plan.replicates(study, prepared.checksums(sources.summaries)))
    before = None if of_pilot is None else pilot.read(of_pilot, study)
    return evaluate(study, rules, lookups, sources, before)


def _read(path: Path, kind: Any) -> dict[str, Any]:
    content = files.read_json(path)
    schema.check_shape(kind, content, path, "what the study's results take from it")
    return content


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name the files; by default those of the project."""
    for name, default, words in (
        ("summaries", "study/reports/data", "directory with prepare's JSON files"),
        ("runs", "study/runs", "directory of the ledger"),
        ("metrics", "reports/metrics.json", "JSON written by the reproduction's report stage"),
        ("reproduced", "reports/data.json", "JSON that names the reproduction's data set"),
        ("benchmarks", "benchmarks/results.json", "JSON written by the benchmarks"),
        ("original", "data/report_history.csv", "the original's scores per epoch"),
        ("params", "params.yaml", "YAML with the rule for overfitting and the smallest differences that matter"),
        ("study", "study/params.yaml", "YAML with the plan of the study"),
        ("claims", "study/claims.yaml", "YAML with the claims, their readings and the rules"),
    ):
        parser.add_argument(f"--{name}", type=Path, default=Path(default), help=f"{words}; default: {default}")
