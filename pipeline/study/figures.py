"""The study's figures: which variants, curves and readings each one shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf, log
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline.analysis import overfitting
from pipeline.analysis.verdicts import MIN_SEEDS, Verdict
from pipeline.reporting import colours
from pipeline.reporting.plots import curves, effects, readings
from pipeline.reporting.plots.readings import Row
from pipeline.study import findings
from pipeline.study.claims import Change, Curves, Outcomes
from pipeline.study.comparisons import VariantPair
from pipeline.study.findings import ClaimRow, Form
from pipeline.study.groups import StudyData, VariantGroup
from pipeline.study.readings import AnyReading, ContrastReading, PairReading
from pipeline.study.results import StudyResults

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(results: StudyResults) -> dict[str, Figure]:
    """Return the figures by file name, without those that would be empty."""
    everything = results.evidence.data
    drawn = {"readings.png": _readings(results)}
    for claim in results.claims.claims.values():
        if (figure := claim.figure) is not None:
            picture = _curves(everything, figure) if isinstance(figure, Curves) else _lines(everything, figure)
            drawn[f"{figure.name}.png"] = picture
    for number, dataset in enumerate(results.sets):
        suffix = f"-{dataset.name}" if number else ""
        drawn[f"effects{suffix}.png"] = _effects(dataset.pairs, everything.rules.smallest_effects[dataset.name])
        drawn[f"rises{suffix}.png"] = _rises(dataset.data)
    return {name: figure for name, figure in drawn.items() if figure is not None}


def _readings(results: StudyResults) -> Figure | None:
    asked = [reading for claim in results.claims.claims.values() for reading in claim.readings]
    pairs = zip(results.rows, asked, strict=True)
    rows = [_reading(results.evidence.data, row, reading) for row, reading in pairs if row.finding.measurements]
    return readings.readings(rows) if rows else None


def _reading(data: StudyData, row: ClaimRow, reading: AnyReading) -> Row:
    form = row.finding.measurements[0].form
    main = len(reading.contrasts) if isinstance(reading, ContrastReading) else len(row.finding.measurements)
    intervals = []
    for number, measurement in enumerate(row.finding.measurements):
        low, high = measurement.interval or (measurement.estimate, measurement.estimate)
        intervals.append((_drawn(form, measurement.estimate), _drawn(form, low), _drawn(form, high), number < main))
    sides = [side for side in _sides(data, reading, form) if side[-1] in readings.SIDES]
    ends = sorted({end for low, high, _ in sides for end in (low, high) if abs(end) < inf})
    texts = [(end, findings.written(form, np.exp(end) if form == "factor" else end)) for end in ends]
    return Row(f"{row.place}. {row.reading}".replace("`", ""), str(row.finding.verdict), intervals, sides, texts)


def _drawn(form: Form, value: float) -> float:
    return log(value) if form == "factor" else value


def _sides(data: StudyData, reading: AnyReading, form: Form) -> Iterator[tuple[float, float, str]]:
    """Yield where the intervals of a reading lead to a verdict."""
    if isinstance(reading, ContrastReading):
        for verdict, condition in (("supported", reading.supported), ("not supported", reading.not_supported)):
            bound = _drawn(form, condition.bound)
            yield (-inf, bound, verdict) if condition.sign == "<" else (bound, inf, verdict)
    elif isinstance(reading, PairReading) and reading.any_difference:
        ends = {"better": (0.0, inf), "worse": (-inf, 0.0)}
        yield from ((*ends[side], str(verdict)) for side, verdict in reading.any_difference.items())
    elif isinstance(reading, PairReading):
        least = data.smallest_effect(reading.pairs[0][0])
        places = {Verdict.BETTER: (least, inf), Verdict.WORSE: (-inf, -least), Verdict.EQUIVALENT: (-least, least)}
        given = reading.verdicts or {}
        yield from ((*place, str(given[verdict])) for verdict, place in places.items() if verdict in given)


def _curves(data: StudyData, figure: Curves) -> Figure | None:
    chosen = [data.groups[name] for name in figure.variants if data.groups[name].entries]
    if not chosen:
        return None
    looks = colours.of_models(figure.variants)
    panels = {title: {group.name: _band(group, column) for group in chosen} for title, column in figure.columns.items()}
    return curves.bands(panels, figure.measure, looks, one_scale=figure.measure == "accuracy")


def _rises(data: StudyData) -> Figure | None:
    """Return the validation loss of each variant that is compared, over the lowest running mean of its mean."""
    window = data.rules.overfitting.window
    panels = {}
    compared = {name for pair in data.study.statistics.every for name in pair}
    for name, group in data.groups.items():
        if group.entries and name in compared:
            band = _band(group, "val_loss")
            lowest = max(overfitting.means(band["middle"].to_numpy(), window).min(), overfitting.SMALLEST_LOSS)
            panels[name] = {
                "validation loss": band.assign(**{key: band[key] / lowest for key in ("middle", "low", "high")})
            }
    return curves.bands(panels, "rise", {"validation loss": colours.VALIDATION}) if panels else None


def _band(group: VariantGroup, column: str) -> pd.DataFrame:
    """Return the mean, lowest and highest value over the seeds after each epoch."""
    curves = group.curves(column)
    epochs = np.arange(1, curves.shape[1] + 1)
    return pd.DataFrame(
        {"epoch": epochs, "middle": curves.mean(axis=0), "low": curves.min(axis=0), "high": curves.max(axis=0)}
    )


def _effects(pairs: Sequence[VariantPair], smallest: float) -> Figure | None:
    if not any(pair.judged for pair in pairs):
        return None
    rows = []
    for pair in pairs:
        judgement = pair.judged.judgement if pair.judged else None
        numbers = (judgement.comparison.estimate, *judgement.simultaneous) if judgement else (np.nan, np.nan, np.nan)
        rows.append((f"{pair.first} minus {pair.second}", *numbers, pair.verdict))
    return effects.intervals(
        pd.DataFrame(rows, columns=["label", "estimate", "low", "high", "verdict"]), smallest, list(Verdict)
    )


def _lines(data: StudyData, figure: Change | Outcomes) -> Figure | None:
    lines = {}
    for label, points in figure.points.items():
        seeds = data.common(name for name, _ in points)
        if len(seeds) >= MIN_SEEDS:
            lines[label] = [data.groups[name].values(outcome, seeds) for name, outcome in points]
    # A logarithmic axis has no place for 0.
    log_scale = figure.log_scale and all(values.all() for line in lines.values() for values in line)
    scales = ("linear", "log") if log_scale else ("linear",)
    bound = figure.bound if isinstance(figure, Outcomes) else None
    return effects.changes(lines, figure.ends, figure.axis, scales, bound) if lines else None
