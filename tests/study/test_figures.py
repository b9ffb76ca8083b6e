"""What the figures of the study show: the intervals of the readings over the sides of their bounds, and the rises."""

import dataclasses
from math import exp, inf, log
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from pipeline.analysis.verdicts import Interval
from pipeline.params import Params
from pipeline.reporting.plots import curves, readings
from pipeline.reporting.plots.readings import Row
from pipeline.study import figures, findings, results
from pipeline.study.findings import Form, Measurement
from pipeline.study.results import StudyResults
from pipeline.trials.ledger import Lookup
from tests.support import study_runs
from tests.support.study_pages import four, skip_drawing, sources

YES, NO = "supported", "not supported"
SLIGHT, STRONG, SMALLEST = 1.05, 1.25, 0.001
# By hand from the rules of the claims.
SIDES = {
    "1a": {(log(STRONG), inf, YES), (-inf, log(SLIGHT), NO)},
    "2a": set(),
    "2b": {(-inf, -log(SLIGHT), YES), (-log(SLIGHT), inf, NO)},
    "3c": {(0.988, inf, YES), (-inf, 0.988, NO)},
    "4a": {(-inf, 0.0, YES), (0.0, inf, NO)},
    "5a": {(0.0, inf, YES), (-inf, 0.0, NO)},
    "5c": {(SMALLEST, inf, YES), (-inf, -SMALLEST, NO), (-SMALLEST, SMALLEST, NO)},
    "6c": {(SMALLEST, inf, NO), (-inf, -SMALLEST, NO), (-SMALLEST, SMALLEST, YES)},
    "6d": {(0.0, inf, NO), (-inf, 0.0, NO)},
    "7a": {(SMALLEST, inf, YES), (-inf, SMALLEST, NO)},
}
MARKS = {"1a": ["1.250", "1.050"], "3c": ["98.80%"], "6d": ["0.00"], "5c": ["\N{MINUS SIGN}0.10", "+0.10"]}


@pytest.fixture
def found(lookups: list[Lookup], values: Params) -> StudyResults:
    """Return the results on all replicates."""
    return results.evaluate(four(), study_runs.rules(values), lookups, sources(four()))


def drawn(found: StudyResults, patch: pytest.MonkeyPatch) -> dict[str, Row]:
    """Return the rows of the figure of readings by place."""
    skip_drawing(patch)
    rows: list[Row] = []
    patch.setattr(readings, "readings", lambda given: rows.extend(given) or Figure())
    figures.draw(found)
    return {row.label.partition(".")[0]: row for row in rows}


def test_each_reading_has_the_sides_that_its_rule_has(found: StudyResults, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each kind of reading, on its own scale; the opposite of another, without a result, has no row."""
    rows = drawn(found, monkeypatch)

    assert list(rows) == [row.place for row in found.rows if row.place != "7b"]
    for place, sides in SIDES.items():
        given, expected = sorted(rows[place].sides), sorted(sides)
        assert [side[-1] for side in given] == [side[-1] for side in expected]
        assert [side[:2] for side in given] == [pytest.approx(side[:2]) for side in expected]
    for place, marks in MARKS.items():
        assert {text for _, text in rows[place].bounds} == {*marks}


def test_each_interval_is_that_of_the_page(found: StudyResults, monkeypatch: pytest.MonkeyPatch) -> None:
    """Factors are drawn as logarithms; what could confound a reading or speaks against it is not the main result."""
    rows = drawn(found, monkeypatch)

    for row in found.rows[:-1]:
        for one, (estimate, low, high, _) in zip(row.finding.measurements, rows[row.place].intervals, strict=True):
            back = exp if one.form == "factor" else float
            assert one.interval is not None
            assert (back(estimate), back(low), back(high)) == pytest.approx((one.estimate, *one.interval))
    main = {place: [interval[-1] for interval in rows[place].intervals] for place in ("2b", "3a", "4a", "6c")}
    assert main == {"2b": [True, False, False], "3a": [True] * 3, "4a": [True, True, False, False], "6c": [True] * 2}


def changed(found: StudyResults, place: str, **changes: Any) -> StudyResults:
    """Return the results of claims in which a reading has changed."""
    claims, number = found.claims, int(place[0])
    own = claims.claims[number]
    several = list(own.readings)
    several["abcde".index(place[1])] = several["abcde".index(place[1])].model_copy(update=changes)
    claim = own.model_copy(update={"readings": tuple(several)})
    return dataclasses.replace(found, claims=claims.model_copy(update={"claims": {**claims.claims, number: claim}}))


def test_a_verdict_that_decides_nothing_has_no_side(found: StudyResults, monkeypatch: pytest.MonkeyPatch) -> None:
    """A claims file may call a difference undecided or confounded: that is drawn as the rest of the scale."""
    of = found.claims.claims[6].readings[4]
    given = {"verdicts": {verdict: "undecided" if verdict == "better" else one for verdict, one in of.verdicts.items()}}

    rows = drawn(changed(found, "6e", **given), monkeypatch)

    assert sorted(rows["6e"].sides) == [(-inf, -SMALLEST, NO), (-SMALLEST, SMALLEST, YES)]


def test_a_pairs_bound_is_that_of_its_data_set(found: StudyResults, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not that of the claims' data set, if another one has another."""
    evidence, data = found.evidence, found.evidence.data
    other = data.rules._replace(smallest_effects={"mnist": SMALLEST, "fashion_mnist": 0.01})
    variants = dict(data.study.variants)
    variants["cnn_24_epochs"] = variants["cnn_24_epochs"].model_copy(update={"dataset": "fashion_mnist"})
    study = data.study.model_copy(update={"variants": variants})
    moved = dataclasses.replace(evidence, data=dataclasses.replace(data, rules=other, study=study))

    rows = drawn(dataclasses.replace(found, evidence=moved), monkeypatch)

    assert {abs(end) for low, high, _ in rows["5c"].sides for end in (low, high)} == {0.01, inf}
    assert {abs(end) for low, high, _ in rows["6e"].sides for end in (low, high)} == {SMALLEST, inf}


def test_rises_are_over_the_lowest_running_mean(found: StudyResults, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are the mean curve of each variant, divided by its lowest mean of three epochs."""
    skip_drawing(monkeypatch)
    panels: dict[str, Any] = {}
    monkeypatch.setattr(
        curves, "bands", lambda given, measure, *_, **__: panels.setdefault(measure, given) and Figure()
    )

    figures.draw(found)

    assert list(panels["rise"]) == list(found.main.data.groups)
    for name, (table,) in ((name, panel.values()) for name, panel in panels["rise"].items()):
        losses = [entry.history["val_loss"] for entry in found.main.data.groups[name].entries.values()]
        mean = np.mean(losses, axis=0)
        lowest = min(mean[start : start + 3].mean() for start in range(len(mean) - 2))
        assert table["middle"].to_numpy() == pytest.approx(mean / lowest)
        assert table["low"].to_numpy() == pytest.approx(np.min(losses, axis=0) / lowest)
        assert table["high"].to_numpy() == pytest.approx(np.max(losses, axis=0) / lowest)


@pytest.mark.parametrize(
    ("form", "value", "bounds", "expected"),
    [
        ("points", 0.00099, (), "+0.10"),
        ("points", 0.00099, (-0.001, 0.001), "+0.099"),
        ("points", -0.00099, (-0.001, 0.001), "\N{MINUS SIGN}0.099"),
        ("points", 0.00003, (), "+0.003"),
        ("share", 0.98797, (0.988,), "98.797%"),
        ("share", 0.98803, (0.988,), "98.803%"),
        ("share", 0.98803, (), "98.80%"),
        ("factor", 1.2497, (1.25, 1.05), "1.2497"),
        ("factor", 1.24970, (1.2497,), "1.250"),
        ("factor", 0.95235, (1 / 1.05,), "0.95235"),
        ("lag", -0.04, (0.0,), "\N{MINUS SIGN}0.04"),
        ("seconds", 40.0, (), "40.0"),
        ("loss", 0.00001, (), "+0.00001"),
    ],
)
def test_a_number_shows_on_which_side_of_a_bound_it_is(
    form: Form, value: float, bounds: tuple[float, ...], expected: str
) -> None:
    """It has the decimals that tell it from 0 and from the bounds that decide about it."""
    assert findings.written(form, value, bounds) == expected


def test_an_interval_is_written_with_its_bounds_and_its_confidence() -> None:
    """Its ends show their sides, the estimate is as usual, and a confidence other than 95% is named."""
    one = Measurement("a", "points", 0.0005, Interval(0.00002, 0.00099), 1 - 0.05 / 14, (-0.001, 0.001))

    assert one.text == "+0.05 points (+0.002 to +0.099 at 99.64%)"
    assert dataclasses.replace(one, confidence=0.95, interval=None).text == "+0.05 points"
