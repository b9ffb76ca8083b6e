"""Rows of the audit: the verdict on a reading of a claim, and the measurements that led to it, as they are written."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple

from pipeline.analysis.power import Decision
from pipeline.analysis.verdicts import Interval
from pipeline.reporting import render

Form = Literal["share", "points", "factor", "epochs", "lag", "seconds", "delay", "loss"]


class Digits(NamedTuple):
    """How a number is written: times `scale`, with so many decimals, with its sign or not, and what follows."""

    scale: float
    decimals: int
    signed: bool
    unit: str


FORMS: Mapping[Form, Digits] = {
    "share": Digits(100, 2, False, "%"),
    "points": Digits(100, 2, True, " points"),
    "factor": Digits(1, 3, False, ""),
    "epochs": Digits(1, 1, False, " epochs"),
    "lag": Digits(1, 1, True, " epochs"),
    "seconds": Digits(1, 1, False, " s"),
    "delay": Digits(1, 1, True, " s"),
    "loss": Digits(1, 4, True, ""),
}


class ClaimVerdict(StrEnum):
    """The verdict on a claim under one reading."""

    SUPPORTED = "supported"
    NOT_SUPPORTED = "not supported"
    CONFOUNDED = "confounded in the original"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Measurement:
    """An estimate in the form of the page, with its interval if it has one; `bounds` are those that decide about it."""

    label: str
    form: Form
    estimate: float
    interval: Interval | None = None
    confidence: float = 0.95
    bounds: tuple[float, ...] = ()

    @property
    def text(self) -> str:
        """The estimate with its unit, and its interval in parentheses, with its confidence if that is not 95%."""
        value = written(self.form, self.estimate) + FORMS[self.form].unit.replace("%", "")
        if self.interval is None:
            return value
        ends = " to ".join(written(self.form, end, self.bounds) for end in self.interval)
        return f"{value} ({ends})" if self.confidence == 0.95 else f"{value} ({ends} at {100 * self.confidence:.4g}%)"


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
    """A row of the audit: a claim under one reading; `needs` counts the seeds of each variant that it depends on.

    `place` is its number and letter. `without` has the verdict for each replicate, by its name, without which it would
    be another, and `multiples` the verdict if so many times the smallest effect counted.
    """

    claim: int
    place: str
    reading: str
    measure: str
    rule: str
    post_hoc: bool
    needs: Mapping[str, int]
    finding: Finding
    without: Mapping[str, ClaimVerdict]
    multiples: Mapping[float, ClaimVerdict]

    @property
    def subject(self) -> str:
        """Its name in a table of comparisons and readings."""
        return f"claim {self.claim}, {self.reading}"

    @property
    def seeds(self) -> str:
        """The number of seeds of each variant that it depends on."""
        counts = set(self.needs.values())
        return str(counts.pop()) if len(counts) == 1 else f"{min(counts)} to {max(counts)}"


def written(form: Form, value: float, bounds: Iterable[float] = ()) -> str:
    """Return a value without its unit, unless that is %; with the decimals that tell it from 0 and from `bounds`."""
    scale, decimals, signed, unit = FORMS[form]
    write = render.signed if signed else render.fixed
    text = render.distinguishable(lambda number, digits: write(scale * number, digits), value, decimals, {0.0, *bounds})
    return text + ("%" if unit == "%" else "")
