"""A claims file as validated objects: the claims, how each can be read, and the bounds that decide each reading.

A reading compares whole intervals with bounds. They are of contrasts: weighted sums of variants, taken seed by seed
within a block and added up over blocks, which are independent. Whatever a file names has to be in the plan.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from string import ascii_lowercase
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from pipeline import files, schema
from pipeline.analysis.verdicts import Verdict
from pipeline.schema import Block, Name, Positive
from pipeline.study import groups, terms
from pipeline.study.findings import ClaimVerdict, Form
from pipeline.study.groups import Rules
from pipeline.study.terms import (
    Bound,
    Condition,
    Contrast,
    Contrasts,
    Info,
    Many,
    OutcomeText,
    PlannedName,
    PlannedPair,
    Text,
)
from pipeline.trials import plan
from pipeline.trials.plan import Study

# In a strict block, a member of an enumeration is not taken from its text otherwise.
GivenVerdict = Annotated[ClaimVerdict, Field(strict=False)]
_PLACE = re.compile(r"\{(\w+)\}")
PairVerdict = Annotated[Verdict, Field(strict=False)]


class Shown(Block):
    """An outcome and the form it is shown in: a factor is that of geometric means."""

    outcome: OutcomeText
    show: Form

    def _check_epoch(self, names: Iterable[str], info: Info) -> None:
        for name in names:
            epochs = info.context.study.variants[name].epochs
            if (self.outcome.epoch or 0) > epochs:
                values = {"name": name, "epochs": epochs}
                raise PydanticCustomError("epoch", "outcome: {name} has {epochs} epochs", values)

    def _check_bounds(self, *conditions: Condition) -> None:
        if self.show == "factor" and min(condition.bound for condition in conditions) <= 0:
            raise PydanticCustomError("factor", "expected bounds above 0 for a factor")


class Quantities(Shown):
    """Contrasts of an outcome, by their labels."""

    contrasts: Contrasts

    @model_validator(mode="after")
    def _fits(self, info: Info) -> Self:
        self._check_epoch(terms.names_in(self.contrasts.values()), info)
        return self


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


def _planned_set(name: str, info: Info) -> str:
    return terms.known(name, info.context.study.data.sets, "a data set of the plan")


def _kind(value: Any) -> str | None:
    kinds = ("only_in", "opposite_of", "pairs", "contrasts")
    return next((f"<{key}>" for key in kinds if isinstance(value, Mapping) and key in value), None)


AnyReading = ContrastReading | PairReading | DesignReading | OppositeReading
_Reading = Annotated[
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
    if isinstance(reading, ContrastReading | DesignReading):
        sets.append(reading.contrasts.values())
    if isinstance(reading, ContrastReading):
        sets.append((reading.confounder or {}).values())
        sets += (one.contrasts.values() for one in (reading.unless, reading.requires) if one is not None)
    if isinstance(reading, PairReading):
        paired = [plan.same_network(*(study.variants[name] for name in pair)) for pair in reading.pairs]
        pairs = zip(reading.pairs, paired, strict=True)
        sets.append([({a: 1.0, b: -1.0},) if together else ({a: 1.0}, {b: -1.0}) for (a, b), together in pairs])
    if isinstance(reading, ContrastReading | PairReading):
        sets += (one.contrasts.values() for one in reading.further)
    return [[*one] for one in sets]


class Answer(Block):
    """The answer to a claim in a sentence that holds as long as its readings have these verdicts, in their order.

    `{b2}` in it stands for the second result of the second reading.
    """

    verdicts: Annotated[Many[GivenVerdict], Field(min_length=1)]
    text: Annotated[str, Field(min_length=1)]

    @property
    def places(self) -> list[str]:
        """The places of the results that it names."""
        return _PLACE.findall(self.text)

    def filled(self, results: Mapping[str, str]) -> str:
        """Return the sentence with the `results` by their places."""
        return _PLACE.sub(lambda place: results[place[1]], self.text)


class Figure(Block):
    """A figure: the name of its file, what it shows in words, and its caption."""

    name: Name
    alt: Text
    caption: Text


class Curves(Figure):
    """Columns of the histories by epoch, a panel each: a line for the mean over the seeds of each variant, and a band.

    `columns` has the column by the title of its panel; `measure` is what they are.
    """

    measure: Literal["accuracy", "loss"]
    variants: Annotated[Many[PlannedName], Field(min_length=1)]
    columns: Annotated[Mapping[Text, terms.Column], Field(min_length=1)]


class Change(Figure):
    """An outcome of some variants, and of others that each of them becomes."""

    outcome: Annotated[str, AfterValidator(lambda name: terms.known(name, groups.of_one_replicate(), "an outcome"))]
    axis: Text
    ends: Annotated[tuple[Text, Text], BeforeValidator(schema.as_tuple)]
    log_scale: bool = False
    pairs: Annotated[Mapping[PlannedName, PlannedName], Field(min_length=1)]


def _results(reading: AnyReading) -> int:
    """Return how many results are shown for a reading."""
    if isinstance(reading, PairReading):
        return len(reading.pairs)
    if isinstance(reading, ContrastReading):
        opposed = reading.unless.contrasts if reading.unless else {}
        return len(reading.contrasts) + len(reading.confounder or {}) + len(opposed)
    return len(reading.contrasts) if isinstance(reading, DesignReading) else 0


def _figure(value: Any) -> str:
    return "<pairs>" if isinstance(value, Mapping) and "pairs" in value else "<columns>"


class Claim(Block):
    """A claim and its readings, which are of variants on these data sets alone.

    `if_readings_disagree` is said if some readings are supported and others are not; with `seeds_needed`, the page says
    how many seeds would decide the readings.
    """

    claim: Text
    datasets: Annotated[Many[Name], Field(min_length=1)]
    answer: Answer | None = None
    readings: Annotated[Many[_Reading], Field(min_length=1, max_length=26)]
    if_readings_disagree: Text = ""
    seeds_needed: bool = True
    figure: (
        Annotated[Annotated[Change, Tag("<pairs>")] | Annotated[Curves, Tag("<columns>")], Discriminator(_figure)]
        | None
    ) = None

    @model_validator(mode="after")
    def _readings_fit(self, info: Info) -> Self:
        earlier: list[str] = []
        for reading in self.readings:
            for name in terms.names_in(chain.from_iterable(needed(reading, info.context.study))):
                if (found := info.context.study.variants[name].dataset) not in self.datasets:
                    raise PydanticCustomError("sets", "datasets: {name} is on {found}", {"name": name, "found": found})
            if isinstance(reading, OppositeReading):
                terms.known(reading.opposite_of, earlier, "an earlier reading")
            earlier.append(reading.reading)
        if len({*earlier}) < len(earlier):
            raise PydanticCustomError("names", "readings: expected a name of its own for each")
        if self.answer and len(self.answer.verdicts) != len(self.readings):
            raise PydanticCustomError("answer", "answer.verdicts: expected one for each reading")
        counts = zip(ascii_lowercase, map(_results, self.readings), strict=False)
        places = [f"{letter}{number}" for letter, count in counts for number in range(1, count + 1)]
        for place in self.answer.places if self.answer else ():
            terms.known(place, places, "a result of the readings")
        return self


class Claims(Block):
    """The content of a claims file: what the page says of the claims, and the claims by the numbers that they have.

    The page goes on from the `introduction`, whose subject is who makes the claims. `dataset` is the one that they are
    about. Of `networks`, models of params.yaml, the page has what one more seed would give, and spread.csv the spread
    that bounds the gate. `target` is the accuracy to which convergence.csv counts the epochs.
    """

    title: Text
    introduction: Text
    note: Text = ""
    protocol: Text = ""
    limits: Many[Text] = ()
    dataset: Annotated[Name, AfterValidator(_planned_set)]
    networks: Many[PlannedName] = ()
    target: Annotated[float, Field(gt=0, lt=1)] | None = None
    claims: Annotated[Mapping[Positive, Claim], Field(min_length=1)]


def load(path: Path, study: Study, rules: Rules) -> Claims:
    """Return the validated content of the claims file at `path`, which is about the plan `study`.

    Raises:
        InputError: The file is missing, is not YAML, breaks a rule or refers to what is not in the plan; a line each.
    """
    content = files.read_yaml(path)
    dataset = content.get("dataset") if isinstance(content, Mapping) else None
    return schema.validate(Claims, content, path, context=terms.terms(study, rules, dataset))
