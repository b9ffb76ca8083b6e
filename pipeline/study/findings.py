"""Rows of the audit: the verdict on a reading of a claim, and the measurements that led to it, as they are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import exp
from typing import Literal

from pipeline.analysis.power import Decision
from pipeline.analysis.verdicts import Interval
from pipeline.reporting import render

Form = Literal["share", "points", "factor", "epochs", "lag", "seconds", "delay", "loss", "p"]
# How a measurement is written: the format of its number and the unit that follows.
FORMS: Mapping[Form, tuple[Callable[[float], str], str]] = {
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


class ClaimVerdict(StrEnum):
    """The verdict on a claim under one reading."""

    SUPPORTED = "supported"
    NOT_SUPPORTED = "not supported"
    CONFOUNDED = "confounded in the original"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Measurement:
    """An estimate with its interval, if it has one."""

    label: str
    form: Form
    estimate: float
    interval: Interval | None = None
    confidence: float = 0.95

    @property
    def value(self) -> str:
        """The estimate with its unit."""
        return written(self.form, self.estimate)

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


def written(form: Form, value: float) -> str:
    """Return a value with its unit."""
    digits, unit = FORMS[form]
    return digits(value) + unit


def measurement(label: str, form: Form, estimate: float, interval: Interval) -> Measurement:
    """Return an estimate with its interval; both are of logarithms if it is shown as a factor."""
    back = exp if form == "factor" else float
    return Measurement(label, form, back(estimate), interval.to(back))
