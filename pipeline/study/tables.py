"""The study's tables: every number behind the page, rounded where another processor or library might differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline.analysis import means
from pipeline.analysis.multitest import Judgement
from pipeline.study import convergence, factorial, spread
from pipeline.study.comparisons import Pair
from pipeline.study.convergence import Seconds
from pipeline.study.groups import OUTCOMES, Evidence

# Significant digits. The last bits of a sum depend on the order in which a processor adds.
DIGITS = 10
SUMMARY = ("variant", "outcome", "n_planned", "n_used", "n_stale", "mean", "sd", "low", "high", "smallest", "largest")
CONVERGENCE = (
    *("variant", "column", "target", "n", "reached", "median", "smallest", "largest"),
    *("seconds_per_epoch", "median_seconds"),
)
SPREAD = ("variant", "n", "degrees_of_freedom", "sd", "allowed_drop")
FACTORIAL = ("outcome", "effect", "estimate", "low", "high", "p_value", "n")


def tables(evidence: Evidence, pairs: Sequence[Pair], pace: Mapping[str, Seconds]) -> dict[str, pd.DataFrame]:
    """Return the tables by file name without `.csv`; what is not known is left empty."""
    rows = {
        "summary": pd.DataFrame(_summary(evidence), columns=SUMMARY, dtype=object),
        "comparisons": pd.DataFrame([_pair(pair) for pair in pairs], dtype=object),
        "factorial": pd.DataFrame(factorial.table(evidence), columns=FACTORIAL, dtype=object),
        "convergence": pd.DataFrame(convergence.table(evidence, pace), columns=CONVERGENCE, dtype=object),
        "spread": pd.DataFrame(_spread(evidence), columns=SPREAD, dtype=object),
    }
    return {name: table.map(_rounded) for name, table in rows.items()}


def _summary(evidence: Evidence) -> Iterator[dict[str, object]]:
    for name, group in evidence.groups.items():
        counts = {"n_planned": group.variant.seeds, "n_used": len(group.entries), "n_stale": group.stale}
        for outcome in OUTCOMES:
            numbers: dict[str, Any] = {}
            if group.entries:
                numbers = vars(means.describe(group.values(outcome)))
            yield {"variant": name, "outcome": outcome, **counts, **{key: numbers.get(key) for key in SUMMARY[5:]}}


def _spread(evidence: Evidence) -> Iterator[dict[str, object]]:
    for name, one in spread.spreads(evidence).items():
        yield {"variant": name, **{key: getattr(one, key) for key in SPREAD[1:]}}


def _pair(pair: Pair) -> dict[str, object]:
    judged = _judgement(pair.judgement) if pair.judgement else dict.fromkeys(_NUMBERS)
    wins = pair.superiority
    return {
        "first": pair.first,
        "second": pair.second,
        "method": "paired t" if pair.paired else "Welch's t",
        "n_first": pair.n_first,
        "n_second": pair.n_second,
        **judged,
        "superiority": wins and wins.estimate,
        "superiority_low": wins and wins.low,
        "superiority_high": wins and wins.high,
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
