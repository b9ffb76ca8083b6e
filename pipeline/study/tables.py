"""The study's CSV tables: every number behind the page, rounded to digits that do not depend on the processor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from pipeline.analysis import means
from pipeline.study import convergence, noise, prediction, processors, seeds
from pipeline.study.comparisons import Judged, VariantPair
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
SPREAD = ("variant", "n", "sd", "upper", "allowed_drop", "lowest")
PREDICTION = ("variant", "outcome", "n", "low", "high", "original", "within")
CLAIMS = (
    *("place", "reading", "measure", "rule", "post_hoc", "seeds", "verdict"),
    *("role", "label", "form", "estimate", "low", "high", "confidence"),
)
MISSED = ("dataset", "image", "label", "share", "answer")
SDS = ("sd", "sd_of_images", "sd_of_networks")
NOISE = ("variant", "n", "rise", "rise_of_mean", "low", "high", "flat_slight", "flat_strong", "mcnemar", *SDS)
PILOT = ("subject", "pilot", "now")
PROCESSORS = ("variant", "processor", "n", "other", "n_other", "difference", "low", "high")


def tables(found: StudyResults) -> dict[str, pd.DataFrame]:
    """Return the tables by file name without `.csv`; unknown values are left empty.

    Summary, comparisons and power are of all data sets; the other tables are about that of the claims.
    """
    summary = [row for one in (found.main, *found.others) for row in _summary(one.data)]
    pairs = [pair for one in (found.main, *found.others) for pair in one.pairs]
    rows = {
        "summary": pd.DataFrame(summary, columns=SUMMARY, dtype=object),
        "comparisons": pd.DataFrame([_pair(pair) for pair in pairs], dtype=object),
        "claims": pd.DataFrame(_claims(found), columns=CLAIMS, dtype=object),
        "convergence": pd.DataFrame(_convergence(found), columns=CONVERGENCE, dtype=object),
        "missed": pd.DataFrame(noise.missed(found.evidence.data), columns=MISSED, dtype=object),
        "noise": pd.DataFrame(_noise(found), columns=NOISE, dtype=object),
        "spread": pd.DataFrame(_spread(found), columns=SPREAD, dtype=object),
        "power": pd.DataFrame(_power(found), columns=seeds.COLUMNS, dtype=object),
        "prediction": pd.DataFrame(_predictions(found), columns=PREDICTION, dtype=object),
        "pilot": pd.DataFrame(_pilot(found), columns=PILOT, dtype=object),
        "processors": pd.DataFrame(_processors(found), columns=PROCESSORS, dtype=object),
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


def _claims(found: StudyResults) -> Iterator[dict[str, object]]:
    for row in found.rows:
        head = {key: getattr(row, key) for key in CLAIMS[:5]}
        head |= {
            "seeds": ", ".join(f"{name} {count}" for name, count in row.needs.items()),
            "verdict": row.finding.verdict,
        }
        for role, measurements in (("decides", row.finding.measurements), ("further", row.finding.further)):
            for one in measurements:
                ends = one.interval._asdict() if one.interval else {}
                yield {**head, "role": role, **vars(one), **ends, "label": one.label.replace("`", "")}


def _convergence(found: StudyResults) -> list[dict[str, object]]:
    target = found.claims.target
    return [] if target is None else convergence.table(found.main.data, target, found.evidence.timings)


def _noise(found: StudyResults) -> Iterator[dict[str, object]]:
    for one in found.noise.values():
        yield vars(one) | one.interval._asdict()


def _pilot(found: StudyResults) -> Iterator[dict[str, object]]:
    for one in found.pilot.both(found.verdicts) if found.pilot else ():
        yield {**vars(one), "subject": one.subject.replace("`", "")}


def _processors(found: StudyResults) -> Iterator[dict[str, object]]:
    for one in processors.effects(found.evidence.data):
        numbers = {"difference": one.difference.estimate, **one.difference.interval()._asdict()}
        yield (
            {"variant": one.variant, "processor": one.first, "n": one.n_first}
            | numbers
            | {
                "other": one.second,
                "n_other": one.n_second,
            }
        )


def _spread(found: StudyResults) -> Iterator[dict[str, object]]:
    for name, one in prediction.spreads(found.main.data, found.claims.networks.values()).items():
        yield {"variant": name, **{key: getattr(one, key) for key in SPREAD[1:]}}


def _power(found: StudyResults) -> Iterator[dict[str, object]]:
    for one in found.seeds:
        yield {**vars(one), "subject": one.name}


def _predictions(found: StudyResults) -> Iterator[dict[str, object]]:
    for one in found.predictions:
        yield {key: getattr(one, key) for key in PREDICTION}


def _pair(pair: VariantPair) -> dict[str, object]:
    counts = {"n_first": pair.n_first, "n_second": pair.n_second}
    head = {"first": pair.first, "second": pair.second, "method": "paired t" if pair.paired else "Welch's t", **counts}
    tests = {"mcnemar_seeds": pair.tested, "mcnemar_significant": pair.significant, "verdict": pair.verdict}
    return {**head, **(dict.fromkeys(_JUDGED) if pair.judged is None else _judged(pair.judged)), **tests}


def _judged(one: Judged) -> dict[str, object]:
    judgement, agreement = one.judgement, one.agreement
    ends = judgement.interval._asdict() | {
        f"simultaneous_{key}": end for key, end in judgement.simultaneous._asdict().items()
    }
    numbers = vars(judgement) | ends
    return {
        **{name: numbers[name] if name in numbers else getattr(judgement.comparison, name) for name in _NUMBERS},
        "rank_p": one.rank_p,
        "superiority": one.superiority,
        "held_out": agreement.held_out.estimate,
        "held_out_standard_error": agreement.held_out.standard_error,
        "test_minus_held_out": agreement.distance,
        "test_minus_held_out_standard_error": agreement.error,
        "over_images": one.over_images.estimate,
        "over_images_standard_error": one.over_images.standard_error,
        "verdict_new_images": one.new_images,
        "verdict_half": one.multiples[0.5],
        "verdict_twice": one.multiples[2.0],
        "without_one_changes": len(one.changed),
        "mcnemar_base_rate": one.base_rate,
    }


_NUMBERS = (
    *("estimate", "standard_error", "degrees_of_freedom", "p_value", "adjusted_p", "low", "high", "confidence"),
    *("simultaneous_low", "simultaneous_high", "permutation_p", "smallest_permutation_p"),
)
_JUDGED = (
    *(*_NUMBERS, "rank_p", "superiority"),
    *("held_out", "held_out_standard_error", "test_minus_held_out", "test_minus_held_out_standard_error"),
    *("over_images", "over_images_standard_error", "verdict_new_images", "verdict_half", "verdict_twice"),
    *("without_one_changes", "mcnemar_base_rate"),
)


def _rounded(value: object) -> object:
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float | np.floating) else value
