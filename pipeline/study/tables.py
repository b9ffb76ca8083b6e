"""The study's CSV tables: every number behind the page, rounded to digits that do not depend on the processor."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from pipeline.analysis import means
from pipeline.study import convergence, prediction, processors, seeds
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
SPREAD = ("variant", "n", "sd", "upper", "allowed_drop", "lowest")
PREDICTION = ("variant", "outcome", "n", "low", "high", "original", "within")
CLAIMS = (
    *("place", "reading", "measure", "rule", "post_hoc", "seeds", "verdict", "verdict_half", "verdict_twice"),
    *("role", "label", "form", "estimate", "low", "high", "confidence"),
)
MISSED = ("dataset", "image", "label", "share", "answer", "doubted")
SDS = ("sd", "sd_of_images", "sd_of_networks")
NOISE = ("variant", "n", "rise", "rise_of_mean", "low", "high", "flat_slight", "flat_strong", "mcnemar", *SDS)
PILOT = ("subject", "pilot", "now")
PROCESSORS = ("variant", "processor", "n", "other", "n_other", "difference", "low", "high")
COMPARISONS = (
    *("first", "second", "method", "n_first", "n_second"),
    *("estimate", "standard_error", "degrees_of_freedom", "p_value", "adjusted_p", "low", "high", "confidence"),
    *("simultaneous_low", "simultaneous_high", "permutation_p", "smallest_permutation_p", "rank_p", "superiority"),
    *("held_out", "held_out_standard_error", "test_minus_held_out", "test_minus_held_out_standard_error"),
    *("over_images", "over_images_standard_error", "verdict_new_images", "verdict_half", "verdict_twice"),
    *("without_one_changes", "mcnemar_base_rate", "mcnemar_seeds", "mcnemar_significant", "verdict"),
)


def tables(results: StudyResults) -> dict[str, pd.DataFrame]:
    """Return the tables by file name without `.csv`; unknown values are left empty.

    Summary, comparisons and power are of all data sets; the other tables are about that of the claims.
    """
    data, main, target = results.evidence.data, results.main.data, results.claims.target
    both = results.pilot.both(results.verdicts) if results.pilot else []
    # A row may have more than its table has columns for.
    rows: dict[str, tuple[Sequence[str], Iterable[Mapping[str, object]]]] = {
        "summary": (SUMMARY, [row for dataset in results.sets for row in _summary(dataset.data)]),
        "comparisons": (COMPARISONS, [_pair(pair) for dataset in results.sets for pair in dataset.pairs]),
        "claims": (CLAIMS, _claims(results)),
        "convergence": (CONVERGENCE, convergence.table(main, target, results.evidence.timings) if target else []),
        "missed": (MISSED, results.missed),
        "noise": (NOISE, [vars(noise) | noise.interval._asdict() for noise in results.noise.values()]),
        "spread": (SPREAD, prediction.spreads(main, results.claims.networks.values())),
        "power": (seeds.COLUMNS, [{**vars(need), "subject": need.name} for need in results.seeds]),
        "prediction": (PREDICTION, [{**vars(each), "within": each.within} for each in results.predictions]),
        "pilot": (PILOT, [{**vars(each), "subject": each.subject.replace("`", "")} for each in both]),
        "processors": (PROCESSORS, processors.effects(data)),
    }
    return {
        name: pd.DataFrame(content, columns=columns, dtype=object).map(_rounded)
        for name, (columns, content) in rows.items()
    }


def _summary(data: StudyData) -> Iterator[dict[str, object]]:
    for name, group in data.groups.items():
        counts = {"n_planned": group.variant.seeds, "n_used": len(group.entries), "n_stale": group.stale}
        for outcome in group.outcomes():
            row = {"dataset": group.variant.dataset, "variant": name, "outcome": outcome, **counts}
            if group.entries:
                described = means.describe(group.values(outcome))
                row |= vars(described) | described.interval._asdict()
            yield row


def _claims(results: StudyResults) -> Iterator[dict[str, object]]:
    for row in results.rows:
        counts = ", ".join(f"{name} {count}" for name, count in row.needs.items())
        head = {**vars(row), "seeds": counts, "verdict": row.finding.verdict}
        head |= {"verdict_half": row.multiples[0.5], "verdict_twice": row.multiples[2.0]}
        for role, measurements in (("decides", row.finding.measurements), ("further", row.finding.further)):
            for measurement in measurements:
                ends = measurement.interval._asdict() if measurement.interval else {}
                yield {**head, "role": role, **vars(measurement), **ends, "label": measurement.label.replace("`", "")}


def _pair(pair: VariantPair) -> dict[str, object]:
    row = {
        **vars(pair),
        "method": "paired t" if pair.paired else "Welch's t",
        "mcnemar_seeds": pair.tested,
        "mcnemar_significant": pair.significant,
        "verdict": pair.verdict,
    }
    if (judged := pair.judged) is None:
        return row
    judgement, agreement = judged.judgement, judged.agreement
    return {
        **vars(judgement.comparison),
        "p_value": judgement.comparison.p_value,
        "smallest_permutation_p": judgement.comparison.smallest_permutation_p,
        "adjusted_p": judgement.adjusted_p,
        **judgement.interval._asdict(),
        "confidence": judgement.confidence,
        "simultaneous_low": judgement.simultaneous.low,
        "simultaneous_high": judgement.simultaneous.high,
        "rank_p": judged.rank_p,
        "superiority": judged.superiority,
        "held_out": agreement.held_out.estimate,
        "held_out_standard_error": agreement.held_out.standard_error,
        "test_minus_held_out": agreement.distance,
        "test_minus_held_out_standard_error": agreement.error,
        "over_images": judged.over_images.estimate,
        "over_images_standard_error": judged.over_images.standard_error,
        "verdict_new_images": judged.new_images,
        "verdict_half": judged.multiples[0.5],
        "verdict_twice": judged.multiples[2.0],
        "without_one_changes": len(judged.changed),
        "mcnemar_base_rate": judged.base_rate,
        **row,
    }


def _rounded(value: object) -> object:
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float | np.floating) else value
