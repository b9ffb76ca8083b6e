"""What the gate requires of a model on a data set: the section `gate` of params.yaml.

Of `gate.DATASET`, `default` applies to every model, and `models.MODEL` replaces single bounds of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from pipeline import params, schema
from pipeline.analysis.metrics import SCORES, SPLITS
from pipeline.errors import InputError
from pipeline.schema import Block, Name

# What reports/metrics.json has besides the scores, of which less is better, with its range.
_OTHER_RANGES: dict[str, tuple[float, float]] = {
    "generalization_gap": (-1, 1),
    "loss_gap": (-inf, inf),
    "final_val_loss": (0, inf),
    "min_val_loss": (0, inf),
    "val_loss_rise": (0, inf),
}
# The status of what cannot be judged.
UNJUDGED = "CANNOT JUDGE"


class Bounds(Block):
    """The bounds of one metric, one or more."""

    min: float | None = None
    """The least value that passes."""
    max: float | None = None
    """The largest value that passes."""
    max_drop: Annotated[float, Field(ge=0)] | None = None
    """The most by which it may be worse than in the baseline, so the rise of a loss; and the margin of a promotion."""

    @model_validator(mode="after")
    def _some(self) -> Self:
        given = [getattr(self, name) for name in self.model_fields_set]
        if not given or None in given:
            raise PydanticCustomError("no_bound", "expected a number for one or more of min, max, max_drop")
        return self


BoundsByMetric = Mapping[Name, Bounds]


class Gate(Block):
    """The bounds on one data set by metric, for every model and for single models."""

    default: BoundsByMetric = Field(default_factory=dict)
    """The bounds of every model, by metric."""
    models: Mapping[Name, BoundsByMetric] = Field(default_factory=dict)
    """Bounds of single models, by name and metric, which replace the default ones."""
    removed: Annotated[tuple[Name, ...], BeforeValidator(schema.as_tuple)] = ()
    """Models that may be missing here though the baseline has them: they were removed or renamed on purpose."""

    def bounds(self, model: str) -> dict[str, Bounds]:
        """Return the bounds of one model by metric: the default ones, replaced by its own where it has any."""
        merged = dict(self.default)
        for metric, own in self.models.get(model, {}).items():
            given = own.model_dump(exclude_unset=True)
            merged[metric] = merged[metric].model_copy(update=given) if metric in merged else own
        return merged


class _Section(Block):
    """What the gate requires."""

    gate: Mapping[Name, Gate]
    """The bounds, by data set."""


@dataclass(frozen=True)
class ModelBounds:
    """The bounds on a data set, by model and metric, and the models that were removed on purpose."""

    dataset: str
    models: Mapping[str, Mapping[str, Bounds]]
    removed: tuple[str, ...] = ()


def load(path: Path) -> ModelBounds:
    """Return the bounds of every model of the params file at `path` on its data set.

    Raises:
        InputError: The file or its gate section breaks a rule, or the section has no bounds for the data set, or those
            of an unknown model; the models that it names for other data sets may be others.
    """
    values = params.load(path)
    section = schema.validate(_Section, {"gate": values.gate}, path).gate
    chosen = values.data.dataset
    if chosen not in section:
        raise _no_bounds(chosen, section, path)
    for name in section[chosen].models:
        if name not in values.models:
            known = ", ".join(values.models)
            raise InputError(f"gate.{chosen}.models.{name}: no such model; known: {known}", path=path)
    for name in section[chosen].removed:
        if name in values.models:
            raise InputError(f"gate.{chosen}.removed: {name} is a model here", path=path)
    bounds = {name: section[chosen].bounds(name) for name in values.models}
    return ModelBounds(chosen, bounds, section[chosen].removed)


def _no_bounds(dataset: str, section: Mapping[str, Gate], path: Path) -> InputError:
    others = f", only for {', '.join(section)}" if section else ""
    what = f"{UNJUDGED}: gate has no bounds for the data set {dataset}{others}"
    lines = f"`{dataset}: {{default: {{test_accuracy: {{min: A, max_drop: B}}}}}}`"
    fix = f"add {lines} below gate, where A is the least accuracy that may pass and B the largest drop"
    return InputError(what, path=path, fix=fix)


def meaning(name: str) -> tuple[bool, float, float] | None:
    """Return for a metric of reports/metrics.json whether more is better, and its range; None if it is none of these.

    A count of parameters or epochs, of which neither more nor less is better, is none.
    """
    if name in _OTHER_RANGES:
        return False, *_OTHER_RANGES[name]
    split, _, score = name.partition("_")
    if split not in SPLITS or score not in SCORES:
        return None
    one = SCORES[score]
    return one.more_is_better, 0.0, 1.0 if one.share else one.highest
