"""What the texts of a claims file mean: variants, outcomes, contrasts, bounds and settings, as a plan has them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain, combinations, product
from math import nan
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, get_args

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo
from pydantic_core import PydanticCustomError

from pipeline import schema
from pipeline.reporting import render
from pipeline.schema import Name
from pipeline.study import groups
from pipeline.study.groups import Rules
from pipeline.trials import plan
from pipeline.trials.plan import ListedPair, Study

ACCURACIES = ("accuracy", "train_accuracy", "val_accuracy")
Column = Literal["accuracy", "train_accuracy", "val_accuracy", "loss", "train_loss", "val_loss"]
COLUMNS: tuple[str, ...] = get_args(Column)
_CONDITION = re.compile(r"(all|any) (>=?|<) (-?)(1/)?([a-z_]+|\d+(?:\.\d+)?)")


class Terms(NamedTuple):
    """What a claims file may refer to: the variants and comparisons of a plan, and settings as numbers and as texts."""

    study: Study
    numbers: Mapping[str, float]
    texts: Mapping[str, str]


class Outcome(NamedTuple):
    """An outcome of a replicate; or a column of its history at an `epoch`, or the epochs or seconds to a `target`."""

    name: str
    epoch: int | None = None
    target: float | None = None
    in_seconds: bool = False


class Condition(NamedTuple):
    """What a verdict takes: all intervals, or any, wholly on one side of a bound, which is in the form of the page."""

    quantifier: str
    sign: str
    bound: float


def terms(study: Study, rules: Rules, dataset: Any) -> Terms:
    """Return what claims about a plan may refer to, whose `dataset` is still to be validated."""
    rule, least = rules.overfitting, rules.smallest_effects.get(str(dataset), nan)
    texts = {
        "smallest_effect": f"{render.fixed(100 * least, 2)} points",
        "slight": f"{rule.slight:.2f}",
        "1/slight": f"{1 / rule.slight:.3f}",
        "strong": f"{rule.strong:.2f}",
        "window": str(rule.window),
        "validation": render.thousands(study.data.validation),
    }
    for name, variant in study.variants.items():
        texts.update(_settings(name, variant.model_dump(exclude_unset=True)))
    return Terms(study, {"smallest_effect": least, "slight": rule.slight, "strong": rule.strong}, texts)


def known(name: str, names: Collection[str], what: str) -> str:
    """Return `name` if it is one of `names`.

    Raises:
        PydanticCustomError: It is not; the message says which one is like it.
    """
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        values = {"name": schema.shown(name), "what": what, "hint": f"; did you mean {near[0]}?" if near else ""}
        raise PydanticCustomError("unknown", "{name} is not {what}{hint}", values)
    return name


def names_in(contrasts: Iterable[Contrast]) -> list[str]:
    """Return the variants that contrasts are of, in their order."""
    return list(dict.fromkeys(name for contrast in contrasts for block in contrast for name in block))


def _settings(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _settings(f"{name}.{key}", item)
    else:
        yield name, render.value(value)


def _planned(name: str, info: Info) -> str:
    return known(name, info.context.study.variants, "a variant of the plan")


def filled(text: str, info: Info, kept: re.Pattern[str] | None = None) -> str:
    """Return a text with each `{name}` replaced by that setting, but for names that `kept` matches.

    Raises:
        PydanticCustomError: A name is not a setting's.
    """
    texts = info.context.texts

    def setting(name: re.Match[str]) -> str:
        is_kept = kept is not None and kept.fullmatch(name[1])
        return name[0] if is_kept else str(texts[known(name[1], texts, "a setting")])

    return re.sub(r"\{([^{}]*)\}", setting, text)


def _outcome(value: Any) -> Outcome:
    text = str(value)
    if parts := re.fullmatch(r"(\w+) in epoch ([1-9]\d*)", text):
        return Outcome(known(parts[1], COLUMNS, "a column of the histories"), epoch=int(parts[2]))
    if parts := re.fullmatch(r"(epochs|seconds) until (\w+) reaches (0\.\d+)", text):
        name = known(parts[2], ACCURACIES, "a column of accuracies")
        return Outcome(name, target=float(parts[3]), in_seconds=parts[1] == "seconds")
    return Outcome(known(text, {*groups.of_one_replicate(), groups.RISE}, "an outcome"))


def _condition(value: Any, info: Info) -> Condition:
    parts, numbers = _CONDITION.fullmatch(str(value)), info.context.numbers
    if parts is None or (parts[5] not in numbers and parts[5][0].isalpha()):
        text = "expected all or any, then >, >= or <, then a number or one of {names}, found {value}"
        values = {"names": ", ".join(numbers), "value": schema.shown(value)}
        raise PydanticCustomError("condition", text, values)
    number = numbers[parts[5]] if parts[5] in numbers else float(parts[5])
    number = 1 / number if parts[4] and number else number
    return Condition(parts[1], parts[2], -number if parts[3] else number)


def _independent(blocks: Contrast, info: Info) -> Contrast:
    variants = info.context.study.variants
    for first, second in chain.from_iterable(product(*two) for two in combinations(blocks, 2)):
        if plan.same_seeds(variants[first], variants[second]):
            text = "{first} and {second} share initial weights and image order by seed, so they belong in one block"
            raise PydanticCustomError("blocks", text, {"first": first, "second": second})
    return blocks


def _listed(pair: tuple[str, str], info: Info) -> tuple[str, str]:
    if not any({*pair} == {*listed} for listed in info.context.study.statistics.every):
        text = "{first} and {second} are not among the comparisons of the plan"
        raise PydanticCustomError("pair", text, {"first": pair[0], "second": pair[1]})
    return pair


Info = ValidationInfo[Any]
Item = TypeVar("Item")
Many = Annotated[tuple[Item, ...], BeforeValidator(schema.as_tuple)]
PlannedName = Annotated[Name, AfterValidator(_planned)]
PlannedPair = Annotated[ListedPair, AfterValidator(_listed)]
Text = Annotated[str, AfterValidator(lambda text, info: filled(text, info))]
OutcomeText = Annotated[Outcome, BeforeValidator(_outcome)]
Bound = Annotated[Condition, BeforeValidator(_condition)]
Weights = Annotated[Mapping[PlannedName, float], Field(min_length=1)]
# A single block need not be a list.
Contrast = Annotated[
    tuple[Weights, ...],
    BeforeValidator(lambda value: (value,) if isinstance(value, Mapping) else schema.as_tuple(value)),
    Field(min_length=1),
    AfterValidator(_independent),
]
Contrasts = Annotated[Mapping[Text, Contrast], Field(min_length=1)]
