"""A claims file as validated objects: the claims, how each can be read, and what answers it.

Whatever a file names has to be in the plan.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from string import ascii_lowercase
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, NonNegativeInt, Tag, model_validator
from pydantic_core import PydanticCustomError

from pipeline import files, schema
from pipeline.schema import Block, Name, Positive
from pipeline.study import groups, terms
from pipeline.study import readings as readings_of
from pipeline.study.findings import ClaimRow
from pipeline.study.groups import Rules
from pipeline.study.readings import GivenReading, GivenVerdict, OppositeReading
from pipeline.study.terms import Info, Many, PlannedName, Text
from pipeline.trials.plan import Study

# The figures that the page has anyway; those of further data sets go on with a dash.
PAGE_FIGURES = ("readings", "effects", "rises")
# A result in an answer: the reading by its letter, and its number.
_RESULT = re.compile(r"[a-z]\d+")
_PLACE = re.compile(rf"\{{({_RESULT.pattern})\}}")

ReplicateOutcome = Annotated[
    str, AfterValidator(lambda name: terms.known(name, groups.of_one_replicate(), "an outcome"))
]


class ClaimAnswer(Block):
    """The answer to a claim in a sentence that holds as long as its readings have these verdicts, in their order.

    `{b2}` in it stands for the second result of the second reading; any other name is a setting's.
    """

    verdicts: Annotated[Many[GivenVerdict], Field(min_length=1)]
    text: Annotated[str, Field(min_length=1), AfterValidator(lambda text, info: terms.filled(text, info, _RESULT))]

    @property
    def places(self) -> list[str]:
        """The places of the results that it names."""
        return _PLACE.findall(self.text)

    def filled(self, rows: Sequence[ClaimRow]) -> str:
        """Return the sentence with the results of the claim's rows.

        It is empty if their verdicts are others, or if it names a result that was not measured.
        """
        results = {
            f"{row.place[-1]}{number}": measurement.text
            for row in rows
            for number, measurement in enumerate(row.finding.measurements, 1)
        }
        if [row.finding.verdict for row in rows] != [*self.verdicts] or not {*self.places} <= results.keys():
            return ""
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

    outcome: ReplicateOutcome
    axis: Text
    ends: Annotated[tuple[Text, Text], BeforeValidator(schema.as_tuple)]
    log_scale: bool = False
    pairs: Annotated[Mapping[PlannedName, PlannedName], Field(min_length=1)]

    @property
    def points(self) -> dict[str, list[tuple[str, str]]]:
        """The variant and its outcome at either end of each line."""
        return {pair[0]: [(name, self.outcome) for name in pair] for pair in self.pairs.items()}


class Outcomes(Figure):
    """Some outcomes of the same replicates, by what each is called, and the `bound` with which they are compared."""

    outcomes: Annotated[Mapping[Text, ReplicateOutcome], Field(min_length=2)]
    axis: Text
    bound: float | None = None
    log_scale: bool = False
    variants: Annotated[Many[PlannedName], Field(min_length=1)]

    @property
    def ends(self) -> tuple[str, ...]:
        """What the outcomes are called."""
        return tuple(self.outcomes)

    @property
    def points(self) -> dict[str, list[tuple[str, str]]]:
        """The variant and its outcome at each point of each line."""
        return {name: [(name, outcome) for outcome in self.outcomes.values()] for name in self.variants}


def _planned_set(name: str, info: Info) -> str:
    return terms.known(name, info.context.study.data.sets, "a data set of the plan")


def _figure(value: Any) -> str:
    return next(
        (f"<{key}>" for key in ("pairs", "outcomes") if isinstance(value, Mapping) and key in value), "<columns>"
    )


GivenFigure = Annotated[
    Annotated[Change, Tag("<pairs>")] | Annotated[Outcomes, Tag("<outcomes>")] | Annotated[Curves, Tag("<columns>")],
    Discriminator(_figure),
]


class Claim(Block):
    """A claim and its readings, which are of variants on these data sets alone.

    `if_readings_disagree` is said if some readings are supported and others are not; with `seeds_needed`, the page says
    how many seeds would decide the readings.
    """

    claim: Text
    datasets: Annotated[Many[Name], Field(min_length=1)]
    answer: ClaimAnswer | None = None
    readings: Annotated[Many[GivenReading], Field(min_length=1, max_length=26)]
    if_readings_disagree: Text = ""
    seeds_needed: bool = True
    figure: GivenFigure | None = None

    @model_validator(mode="after")
    def _readings_fit(self, info: Info) -> Self:
        earlier: list[str] = []
        for reading in self.readings:
            for name in terms.names_in(chain.from_iterable(readings_of.needed(reading, info.context.study))):
                if (dataset := info.context.study.variants[name].dataset) not in self.datasets:
                    values = {"name": name, "dataset": dataset}
                    raise PydanticCustomError("sets", "datasets: {name} is on {dataset}", values)
            if isinstance(reading, OppositeReading):
                terms.known(reading.opposite_of, earlier, "an earlier reading")
            earlier.append(reading.reading)
        if len({*earlier}) < len(earlier):
            raise PydanticCustomError("names", "readings: expected a name of its own for each")
        if self.answer and len(self.answer.verdicts) != len(self.readings):
            raise PydanticCustomError("answer", "answer.verdicts: expected one for each reading")
        counts = zip(ascii_lowercase, map(readings_of.results, self.readings), strict=False)
        places = [f"{letter}{number}" for letter, count in counts for number in range(1, count + 1)]
        for place in self.answer.places if self.answer else ():
            terms.known(place, places, "a result of the readings")
        return self


class Claims(Block):
    """The content of a claims file: what the page says of the claims, and the claims by the numbers that they have.

    The page goes on from the `introduction`, whose subject is who makes the claims. `dataset` is the one that they are
    about. `networks` has the variant that repeats each of the original's models: of these, the page has what one more
    seed would give, and spread.csv the spread that bounds the gate. `sources` are variants that tell where the spread
    comes from, by what they vary. `doubted` are test images of data sets whose label most people would not give.
    `target` is the accuracy to which convergence.csv counts the epochs.
    """

    title: Text
    introduction: Text
    note: Text = ""
    protocol: Text = ""
    limits: Many[Text] = ()
    dataset: Annotated[Name, AfterValidator(_planned_set)]
    networks: Mapping[Name, PlannedName] = {}
    sources: Mapping[Text, PlannedName] = {}
    doubted: Mapping[Annotated[Name, AfterValidator(_planned_set)], Many[NonNegativeInt]] = {}
    target: Annotated[float, Field(gt=0, lt=1)] | None = None
    claims: Annotated[Mapping[Positive, Claim], Field(min_length=1)]

    @model_validator(mode="after")
    def _figures_have_names_of_their_own(self) -> Self:
        names = [claim.figure.name for claim in self.claims.values() if claim.figure]
        taken = [name for name in names if names.count(name) > 1 or name.partition("-")[0] in PAGE_FIGURES]
        if taken:
            raise PydanticCustomError("figures", "figure.name: {name} is another figure's", {"name": taken[0]})
        return self


def load(path: Path, study: Study, rules: Rules) -> Claims:
    """Return the validated content of the claims file at `path`, which is about the plan `study`.

    Raises:
        InputError: The file is missing, is not YAML, breaks a rule or refers to what is not in the plan; a line each.
    """
    content = files.read_yaml(path)
    dataset = content.get("dataset") if isinstance(content, Mapping) else None
    return schema.validate(Claims, content, path, context=terms.terms(study, rules, dataset))
