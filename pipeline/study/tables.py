"""The study's CSV tables: every number behind the page, rounded to digits that do not depend on the processor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline.analysis import means
from pipeline.analysis.multitest import Judgement
from pipeline.study import convergence, factorial, spread
from pipeline.study.by_set import SetResults
from pipeline.study.comparisons import VariantPair
from pipeline.study.convergence import EpochSeconds
from pipeline.study.groups import OUTCOMES, StudyData

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
SPREAD = ("variant", "n", "degrees_of_freedom", "sd", "allowed_drop")
FACTORIAL = ("outcome", "effect", "estimate", "low", "high", "p_value", "n")


def tables(
    data: StudyData,
    pairs: Sequence[VariantPair],
    timings: Mapping[str, EpochSeconds],
    others: Sequence[SetResults] = (),
) -> dict[str, pd.DataFrame]:
    """Return the tables by file name without `.csv`; unknown values are left empty.

    The summary and the comparisons are also of the `others`; the other tables are about the original's claims.
    """
    every = [*pairs, *(pair for one in others for pair in one.pairs)]
    summary = [row for one in (data, *(other.data for other in others)) for row in _summary(one)]
    rows = {
        "summary": pd.DataFrame(summary, columns=SUMMARY, dtype=object),
        "comparisons": pd.DataFrame([_pair(pair) for pair in every], dtype=object),
        "factorial": pd.DataFrame(factorial.table(data), columns=FACTORIAL, dtype=object),
        "convergence": pd.DataFrame(convergence.table(data, timings), columns=CONVERGENCE, dtype=object),
        "spread": pd.DataFrame(_spread(data), columns=SPREAD, dtype=object),
    }
    return {name: table.map(_rounded) for name, table in rows.items()}


def _summary(data: StudyData) -> Iterator[dict[str, object]]:
    for name, group in data.groups.items():
        counts = {"n_planned": group.variant.seeds, "n_used": len(group.entries), "n_stale": group.stale}
        for outcome in OUTCOMES:
            numbers: dict[str, Any] = {}
            if group.entries:
                numbers = vars(means.describe(group.values(outcome)))
            yield {
                "dataset": group.variant.dataset,
                "variant": name,
                "outcome": outcome,
                **counts,
                **{key: numbers.get(key) for key in SUMMARY[6:]},
            }


def _spread(data: StudyData) -> Iterator[dict[str, object]]:
    for name, one in spread.spreads(data).items():
        yield {"variant": name, **{key: getattr(one, key) for key in SPREAD[1:]}}


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
        "superiority": superiority and superiority.estimate,
        "superiority_low": superiority and superiority.low,
        "superiority_high": superiority and superiority.high,
        "mcnemar_seeds": pair.tested,
        "mcnemar_significant": pair.significant,
        "verdict": pair.verdict,
    }


_NUMBERS = (
    *("estimate", "standard_error", "degrees_of_freedom", "p_value", "adjusted_p", "confidence", "low", "high"),
    *("narrow_low", "narrow_high", "within_smallest_effect", "permutation_p", "smallest_permutation_p"),
)


def _judgement(one: Judgement) -> dict[str, object]:
    return {name: getattr(one if hasattr(one, name) else one.comparison, name) for name in _NUMBERS}


def _rounded(value: object) -> object:
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float | np.floating) else value
