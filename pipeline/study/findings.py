"""A claim under one reading: the question, the numbers that answer it, and the row that comes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.analysis import means
from pipeline.analysis.means import Comparison, Contrast
from pipeline.analysis.multitest import MIN_SEEDS
from pipeline.reporting import render
from pipeline.study import plan
from pipeline.study.groups import Evidence, Floats
from pipeline.study.rules import Finding, Interval

# A number in words, by what it is: its digits, and the unit behind them.
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
class Number:
    """A measurement with its interval, if it has one; `form` is one of FORMS."""

    label: str
    form: str
    estimate: float
    interval: Interval | None = None
    confidence: float = 0.95

    @property
    def value(self) -> str:
        """The estimate in words."""
        digits, unit = FORMS[self.form]
        return digits(self.estimate) + unit

    @property
    def range(self) -> str:
        """The interval in words, with its confidence if that is not 95%; empty if there is none."""
        if self.interval is None:
            return ""
        text = " to ".join(map(FORMS[self.form][0], self.interval))
        return text if self.confidence == 0.95 else f"{text} at {100 * self.confidence:.4g}%"

    @property
    def text(self) -> str:
        """Both in one phrase."""
        return f"{self.value} ({self.range})" if self.interval else self.value


@dataclass(frozen=True)
class Answer:
    """What comes of a question: the verdict, the numbers that decide it, why in a sentence, and numbers beside."""

    verdict: Finding
    numbers: tuple[Number, ...]
    reason: str
    beside: tuple[Number, ...] = ()


@dataclass(frozen=True)
class Row:
    """A claim under one reading; `needs` counts the seeds of each variant that decides it."""

    claim: int
    reading: str
    measure: str
    rule: str
    needs: Mapping[str, int]
    answer: Answer

    @property
    def seeds(self) -> str:
        """The seeds in words: one number where all variants have as many."""
        counts = set(self.needs.values())
        if len(counts) == 1:
            return f"{counts.pop()}" + (" each" if len(self.needs) > 1 else "")
        return ", ".join(f"`{name}` {count}" for name, count in self.needs.items())


@dataclass(frozen=True)
class Question:
    """A claim under one reading, not yet answered; the variants in one of `blocks` count at the seeds they share.

    `decide` is called only if every block has MIN_SEEDS.
    """

    claim: int
    reading: str
    measure: str
    rule: str
    blocks: Sequence[Sequence[str]]
    decide: Callable[[], Answer]

    def answer(self, evidence: Evidence) -> Row:
        """Return the row: undecided, without numbers, where a variant has too few seeds."""
        needs = {name: len(evidence.common(block)) for block in self.blocks for name in block}
        lacking = [f"`{name}` {count}" for name, count in needs.items() if count < MIN_SEEDS]
        reason = f"Too few seeds: {', '.join(lacking)}, where {MIN_SEEDS} are needed."
        answer = Answer(Finding.UNDECIDED, (), reason) if lacking else self.decide()
        return Row(self.claim, self.reading, self.measure, self.rule, needs, answer)


def mean(label: str, values: Floats, form: str, to: Callable[[float], float] = float) -> Number:
    """Return the mean over the seeds with its t interval; `to` is applied to all three."""
    summary = means.describe(values)
    return Number(label, form, to(summary.mean), (to(summary.low), to(summary.high)))


def difference(label: str, form: str, found: Comparison) -> Number:
    """Return a difference with its t interval."""
    return Number(label, form, found.estimate, found.interval())


def effect(label: str, form: str, found: Contrast, to: Callable[[float], float] = float) -> Number:
    """Return an effect with its interval; `to` is applied to all three."""
    return Number(label, form, to(found.estimate), (to(found.low), to(found.high)))


def compare(evidence: Evidence, outcome: str, first: str, second: str) -> Comparison:
    """Compare an outcome of two variants, by seed where they share initial weights and order."""
    groups = evidence.groups[first], evidence.groups[second]
    paired = plan.same_network(groups[0].variant, groups[1].variant)
    seeds = evidence.common((first, second)) if paired else None
    values = (group.values(outcome, seeds) for group in groups)
    return means.compare(*values, paired=paired)


def listed(numbers: Sequence[Number]) -> str:
    """Return labels and numbers as in "a +0.10 (...), b +0.20 (...)"."""
    return ", ".join(f"{number.label} {number.text}" for number in numbers)
