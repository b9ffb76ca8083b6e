"""The smallest difference that matters, by data set and metric: the section `verdict` of params.yaml."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from pipeline import schema
from pipeline.analysis.metrics import SCORES
from pipeline.errors import InputError
from pipeline.params import Params
from pipeline.schema import Block, Name


def metric_names() -> list[str]:
    """Return the scores by which a change can be judged."""
    return [name for name, score in SCORES.items() if score.verdict]


def _metric(name: str) -> str:
    if name not in (known := metric_names()):
        what = {"known": ", ".join(known), "found": schema.shown(name)}
        raise PydanticCustomError("metric", "expected one of {known}, found {found}", what)
    return name


_Effect = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _EffectsSection(Block):
    """Which differences matter."""

    verdict: Mapping[Name, Mapping[Annotated[str, AfterValidator(_metric)], _Effect]]
    """The smallest difference that matters, by data set and metric, in the unit of the metric."""


def find(values: Params, dataset: str, metric: str, path: Path) -> float:
    """Return the smallest difference in a metric that matters on a data set, from the params file at `path`.

    Raises:
        InputError: The section breaks a rule, or says nothing about that metric on that data set.
    """
    section = schema.validate(_EffectsSection, {"verdict": values.verdict}, path).verdict
    effects = section.get(dataset, {})
    if metric not in effects:
        what = f"verdict.{dataset}.{metric} is not set, so nothing says which difference matters"
        fix = f"add `verdict: {{{dataset}: {{{metric}: D}}}}`, where D is the smallest difference that matters"
        raise InputError(what, path=path, fix=fix)
    return effects[metric]
