"""Readings of the claims, what is measured for each, and the rows of the audit that follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.analysis import means
from pipeline.analysis.means import Comparison, Estimate
from pipeline.analysis.power import Decision
from pipeline.analysis.verdicts import MIN_SEEDS, Interval
from pipeline.reporting import render
from pipeline.study import comparisons
from pipeline.study.groups import SeedValues, StudyData
from pipeline.study.rules import ClaimVerdict

# How a measurement is written: the format of its number and the unit that follows.
FORMS: Mapping[str, tuple[Callable[[float], str], str]] = {
    "share": (render.percent, ""),
    "points": (render.points, " points"),
    "factor": (lambda value: render.fixed(value, 3), ""),
    "epochs": (lambda value: render.fixed(value, 1), " epochs"),
    "lag": (lambda value: render.signed(value, 1), " epochs"),
    "seconds": (lambda value: render.fixed(value, 1), " s"),
    "delay": (lambda value: render.signed(value, 1), " s"),
    "loss": (lambda value: render.signed(value, 4), ""),
    "p": (render.probability, ""),
}


@dataclass(frozen=True)
class Measurement:
    """An estimate with its interval, if it has one; `form` is a key of FORMS."""

    label: str
    form: str
    estimate: float
    interval: Interval | None = None
    confidence: float = 0.95

    @property
    def value(self) -> str:
        """The estimate with its unit."""
        digits, unit = FORMS[self.form]
        return digits(self.estimate) + unit

    @property
    def range(self) -> str:
        """The interval, with its confidence if that is not 95%; empty if there is none."""
        if self.interval is None:
            return ""
        text = " to ".join(map(FORMS[self.form][0], self.interval))
        return text if self.confidence == 0.95 else f"{text} at {100 * self.confidence:.4g}%"

    @property
    def text(self) -> str:
        """The estimate, with the interval in parentheses if there is one."""
        return f"{self.value} ({self.range})" if self.interval else self.value


@dataclass(frozen=True)
class Finding:
    """The verdict on a reading, the measurements that decide it, a remark on them, and further measurements.

    `decision` is what decides the reading as more seeds are run; None if no number of seeds does.
    """

    verdict: ClaimVerdict
    measurements: tuple[Measurement, ...] = ()
    remark: str = ""
    further: tuple[Measurement, ...] = ()
    decision: Decision | None = None


@dataclass(frozen=True)
class ClaimRow:
    """A row of the audit: a claim under one reading; `needs` counts the seeds of each variant that it depends on."""

    claim: int
    reading: str
    measure: str
    rule: str
    needs: Mapping[str, int]
    finding: Finding

    @property
    def subject(self) -> str:
        """Its name in a table of comparisons and readings."""
        return f"claim {self.claim}, {self.reading}"

    @property
    def seeds(self) -> str:
        """The numbers of seeds; a single number if all variants have the same."""
        counts = set(self.needs.values())
        if len(counts) == 1:
            return f"{counts.pop()}" + (" each" if len(self.needs) > 1 else "")
        return ", ".join(f"`{name}` {count}" for name, count in self.needs.items())


@dataclass(frozen=True)
class Reading:
    """A claim under one reading, not yet judged. Of the variants within a block, only the seeds that all have count.

    `decide` is called only if every block has at least MIN_SEEDS seeds.
    """

    claim: int
    reading: str
    measure: str
    rule: str
    blocks: Sequence[Sequence[str]]
    decide: Callable[[], Finding]

    def evaluate(self, data: StudyData) -> ClaimRow:
        """Return the row of the audit: undecided, without measurements, if a variant has too few seeds."""
        needs = {name: len(data.common(block)) for block in self.blocks for name in block}
        too_few = [f"`{name}` {count}" for name, count in needs.items() if count < MIN_SEEDS]
        remark = f"Too few seeds: {', '.join(too_few)}, where {MIN_SEEDS} are needed."
        finding = Finding(ClaimVerdict.UNDECIDED, (), remark) if too_few else self.decide()
        return ClaimRow(self.claim, self.reading, self.measure, self.rule, needs, finding)


def mean(label: str, values: SeedValues, form: str, to: Callable[[float], float] = float) -> Measurement:
    """Return the mean over the seeds with its 95% t interval, each transformed by `to`."""
    summary = means.describe(values)
    return Measurement(label, form, to(summary.mean), summary.interval.to(to))


def estimate(label: str, form: str, found: Estimate, to: Callable[[float], float] = float) -> Measurement:
    """Return a difference or an effect with its 95% t interval, each transformed by `to`."""
    return Measurement(label, form, to(found.estimate), found.interval().to(to))


def variant_difference(data: StudyData, outcome: str, first: str, second: str) -> Comparison:
    """Compare an outcome of two variants, paired by seed if they share initial weights and image order."""
    *values, paired = comparisons.samples(data, first, second, outcome)
    return means.compare(*values, paired=paired)
