"""The study's CSV tables: every number behind the page, rounded to digits that do not depend on the processor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from pipeline.analysis import means
from pipeline.analysis.multitest import Judgement
from pipeline.study import contrasts, convergence, prediction, seeds
from pipeline.study.comparisons import VariantPair
from pipeline.study.groups import StudyData
from pipeline.study.results import StudyResults

# Significant digits. The last bits of a sum depend on the order in which a processor adds.
DIGITS = 10
SUMMARY = (
    *("dataset", "variant", "outcome"),
    *("n_planned", "n_used", "n_stale", "mean", "sd", "low", "high", "smallest", "largest"),
)
CONVERGENCE = (
    *("variant", "column", "target", "n", "reached", "median", "smallest", "largest"),
    *("seconds_per_epoch", "median_seconds"),
)
SPREAD = ("variant", "n", "sd", "upper", "allowed_drop")
PREDICTION = ("variant", "outcome", "n", "low", "high", "original", "within")
FACTORIAL = ("outcome", "effect", "estimate", "low", "high", "p_value", "n")


def tables(found: StudyResults) -> dict[str, pd.DataFrame]:
    """Return the tables by file name without `.csv`; unknown values are left empty.

    Summary, comparisons and power are of all data sets; the other tables are about that of the claims.
    """
    summary = [row for one in (found.main, *found.others) for row in _summary(one.data)]
    pairs = [pair for one in (found.main, *found.others) for pair in one.pairs]
    rows = {
        "summary": pd.DataFrame(summary, columns=SUMMARY, dtype=object),
        "comparisons": pd.DataFrame([_pair(pair) for pair in pairs], dtype=object),
        "factorial": pd.DataFrame(_effects(found), columns=FACTORIAL, dtype=object),
        "convergence": pd.DataFrame(convergence_rows(found), columns=CONVERGENCE, dtype=object),
        "spread": pd.DataFrame(_spread(found), columns=SPREAD, dtype=object),
        "power": pd.DataFrame(_power(found), columns=seeds.COLUMNS, dtype=object),
        "prediction": pd.DataFrame(_predictions(found), columns=PREDICTION, dtype=object),
    }
    return {name: table.map(_rounded) for name, table in rows.items()}


def _summary(data: StudyData) -> Iterator[dict[str, object]]:
    for name, group in data.groups.items():
        counts = {"n_planned": group.variant.seeds, "n_used": len(group.entries), "n_stale": group.stale}
        for outcome in group.outcomes():
            numbers: dict[str, Any] = {}
            if group.entries:
                described = means.describe(group.values(outcome))
                numbers = vars(described) | described.interval._asdict()
            yield {
                "dataset": group.variant.dataset,
                "variant": name,
                "outcome": outcome,
                **counts,
                **{key: numbers.get(key) for key in SUMMARY[6:]},
            }


def _effects(found: StudyResults) -> Iterator[dict[str, object]]:
    if found.claims.effects is None:
        return
    for column, effects in contrasts.effects(found.evidence, found.claims.effects):
        outcome = f"log_{column.outcome.name}" if column.show == "factor" else column.outcome.name
        for effect in effects:
            one = effect.estimate
            row = {"outcome": outcome, "effect": effect.label, "estimate": one.estimate, **one.interval()._asdict()}
            yield {**row, "p_value": one.p_value, "n": int(one.degrees_of_freedom) + 1}


def convergence_rows(found: StudyResults) -> list[dict[str, object]]:
    """Return the rows of convergence.csv; none if the claims have no target."""
    section = found.claims.convergence
    return [] if section is None else convergence.table(found.main.data, section.target, found.evidence.timings)


def _spread(found: StudyResults) -> Iterator[dict[str, object]]:
    for name, one in prediction.spreads(found.main.data, found.claims.networks).items():
        yield {"variant": name, **{key: getattr(one, key) for key in SPREAD[1:]}}


def _power(found: StudyResults) -> Iterator[dict[str, object]]:
    for one in found.seeds:
        yield {**vars(one), "subject": one.name}


def _predictions(found: StudyResults) -> Iterator[dict[str, object]]:
    for one in found.predictions:
        yield {key: getattr(one, key) for key in PREDICTION}


def _pair(pair: VariantPair) -> dict[str, object]:
    judged = _judgement(pair.judgement) if pair.judgement else dict.fromkeys(_NUMBERS)
    superiority = pair.superiority
    return {
        "first": pair.first,
        "second": pair.second,
        "method": "paired t" if pair.paired else "Welch's t",
        "n_first": pair.n_first,
        "n_second": pair.n_second,
        **judged,
        "standard_error_seeds_and_images": pair.over_images and pair.over_images.standard_error,
        "superiority": superiority and superiority.estimate,
        "superiority_low": superiority and superiority.interval.low,
        "superiority_high": superiority and superiority.interval.high,
        "mcnemar_seeds": pair.tested,
        "mcnemar_significant": pair.significant,
        "verdict": pair.verdict,
        "verdict_new_images": pair.new_images,
    }


_NUMBERS = (
    *("estimate", "standard_error", "degrees_of_freedom", "p_value", "adjusted_p", "low", "high", "confidence"),
    *("simultaneous_low", "simultaneous_high", "permutation_p", "smallest_permutation_p"),
)


def _judgement(one: Judgement) -> dict[str, object]:
    ends = one.interval._asdict() | {f"simultaneous_{key}": end for key, end in one.simultaneous._asdict().items()}
    found = vars(one) | ends
    return {name: found[name] if name in found else getattr(one.comparison, name) for name in _NUMBERS}


def _rounded(value: object) -> object:
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float | np.floating) else value
