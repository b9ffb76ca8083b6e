"""How a claim can be read: what is measured for a reading, and the bounds that decide it.

A reading compares whole intervals with bounds. They are of contrasts: weighted sums of variants, taken seed by seed
within a block and added up over blocks, which are independent.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from pipeline.analysis.verdicts import Verdict
from pipeline.schema import Block
from pipeline.study import terms
from pipeline.study.findings import ClaimVerdict, Form
from pipeline.study.terms import Bound, Condition, Contrast, Contrasts, Info, Many, OutcomeText, PlannedPair, Text
from pipeline.trials import plan
from pipeline.trials.plan import Study

# In a strict block, a member of an enumeration is not taken from its text otherwise.
GivenVerdict = Annotated[ClaimVerdict, Field(strict=False)]
PairVerdict = Annotated[Verdict, Field(strict=False)]


class Quantities(Block):
    """Contrasts of an outcome, by their labels, and the form they are shown in: a factor is that of geometric means."""

    outcome: OutcomeText
    show: Form
    contrasts: Contrasts

    @model_validator(mode="after")
    def _fits(self, info: Info) -> Self:
        self._check_epoch(terms.names_in(self.contrasts.values()), info)
        return self

    def _check_epoch(self, names: Iterable[str], info: Info) -> None:
        for name in names:
            epochs = info.context.study.variants[name].epochs
            if (self.outcome.epoch or 0) > epochs:
                values = {"name": name, "epochs": epochs}
                raise PydanticCustomError("epoch", "outcome: {name} has {epochs} epochs", values)

    def _check_bounds(self, *conditions: Condition) -> None:
        if self.show == "factor" and min(condition.bound for condition in conditions) <= 0:
            raise PydanticCustomError("factor", "expected bounds above 0 for a factor")


class Clause(Quantities):
    """A condition of its own, and what is said where it has the last word."""

    condition: Bound
    remark: Text = ""

    @model_validator(mode="after")
    def _can_be_met(self) -> Self:
        self._check_bounds(self.condition)
        return self


class Reading(Block):
    """A claim as its words can be read: what is measured and the rule, in words, and a remark for some verdicts.

    `post_hoc` says that the reading was written after its data had been seen.
    """

    reading: Text
    measure: Text
    rule: Text
    post_hoc: bool = False
    remarks: Mapping[GivenVerdict, Text] = {}


class ContrastReading(Reading, Quantities):
    """One that is decided by the intervals of its contrasts.

    It is not supported after all if `unless` holds, and only judged if `requires` does. `confounder` asks the same of
    other contrasts: if the answer is the opposite there, the reading is confounded. `means` is the form in which the
    mean of each variant is shown, and `further` is shown as well.
    """

    supported: Bound
    not_supported: Bound
    unless: Clause | None = None
    requires: Clause | None = None
    confounder: Contrasts | None = None
    means: Form | None = None
    further: Many[Quantities] = ()

    @property
    def deciding(self) -> list[Contrasts]:
        """All contrasts that its verdict depends on, set by set."""
        clauses = (self.unless, self.requires)
        return [self.contrasts, self.confounder or {}, *(clause.contrasts for clause in clauses if clause is not None)]

    @model_validator(mode="after")
    def _bounds_are_apart(self, info: Info) -> Self:
        self._check_epoch(terms.names_in((self.confounder or {}).values()), info)
        self._check_bounds(self.supported, self.not_supported)
        lower, upper = sorted((self.supported, self.not_supported), key=lambda condition: condition.sign != "<")
        any_of_many = lower.quantifier == upper.quantifier == "any" and len(self.contrasts) > 1
        if upper.sign == "<" or lower.sign != "<" or lower.bound > upper.bound or any_of_many:
            raise PydanticCustomError("overlap", "supported, not_supported: the bounds overlap, so both could be met")
        return self


class PairReading(Reading):
    """One that follows from planned comparisons; all have to agree.

    Either from the `verdicts` on the first of each pair, or, by `any_difference`, from whether its simultaneous
    interval excludes 0, however small the difference is.
    """

    pairs: Annotated[Many[PlannedPair], Field(min_length=1)]
    verdicts: Annotated[Mapping[PairVerdict, GivenVerdict], Field(min_length=1)] | None = None
    any_difference: Annotated[Mapping[Literal["better", "worse"], GivenVerdict], Field(min_length=1)] | None = None
    further: Many[Quantities] = ()

    @model_validator(mode="after")
    def _asks_one_question(self) -> Self:
        if (self.verdicts is None) == (self.any_difference is None):
            raise PydanticCustomError("question", "expected verdicts or any_difference, one of the two")
        return self


class DesignReading(Reading, Quantities):
    """One about a change between two variants: confounded if they differ in the setting `only_in` alone."""

    only_in: Literal["network", "optimizer", "loss", "epochs", "precision", "pixels"]

    @model_validator(mode="after")
    def _is_of_two(self) -> Self:
        if len(terms.names_in(self.contrasts.values())) != 2:
            raise PydanticCustomError("two", "contrasts: expected two variants")
        return self


class OppositeReading(Reading):
    """One that is the opposite of an earlier reading of the same claim."""

    opposite_of: Text


def _kind(value: Any) -> str | None:
    kinds = ("only_in", "opposite_of", "pairs", "contrasts")
    return next((f"<{key}>" for key in kinds if isinstance(value, Mapping) and key in value), None)


AnyReading = ContrastReading | PairReading | DesignReading | OppositeReading
GivenReading = Annotated[
    Annotated[DesignReading, Tag("<only_in>")]
    | Annotated[OppositeReading, Tag("<opposite_of>")]
    | Annotated[PairReading, Tag("<pairs>")]
    | Annotated[ContrastReading, Tag("<contrasts>")],
    Discriminator(
        _kind,
        custom_error_type="reading",
        custom_error_message="expected contrasts, pairs, opposite_of or only_in: nothing decides this reading",
    ),
]


def needed(reading: AnyReading, study: Study) -> list[list[Contrast]]:
    """Return the contrasts that have to be measured for a reading, set by set; of a pair, that is the difference."""
    sets: list[Iterable[Contrast]] = []
    if isinstance(reading, DesignReading):
        sets.append(reading.contrasts.values())
    if isinstance(reading, ContrastReading):
        sets += (contrasts.values() for contrasts in reading.deciding)
    if isinstance(reading, PairReading):
        paired = [plan.same_seeds(*(study.variants[name] for name in pair)) for pair in reading.pairs]
        pairs = zip(reading.pairs, paired, strict=True)
        sets.append([({a: 1.0, b: -1.0},) if together else ({a: 1.0}, {b: -1.0}) for (a, b), together in pairs])
    if isinstance(reading, ContrastReading | PairReading):
        sets += (quantities.contrasts.values() for quantities in reading.further)
    return [[*contrasts] for contrasts in sets]


def results(reading: AnyReading) -> int:
    """Return how many results are shown for a reading."""
    if isinstance(reading, PairReading):
        return len(reading.pairs)
    if isinstance(reading, ContrastReading):
        opposed = reading.unless.contrasts if reading.unless else {}
        return len(reading.contrasts) + len(reading.confounder or {}) + len(opposed)
    return len(reading.contrasts) if isinstance(reading, DesignReading) else 0
