"""How fast the networks converge: epochs and seconds to a target accuracy."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.analysis import time_to_target
from pipeline.errors import InputError
from pipeline.study.groups import StudyData
from pipeline.study.terms import ACCURACIES


@dataclass(frozen=True)
class EpochSeconds:
    """Seconds per epoch of a model that trains with the machine to itself, from repeated measurements."""

    median: float
    smallest: float
    largest: float


def epoch_seconds(benchmarks: Mapping[str, Any], images: int) -> dict[str, EpochSeconds]:
    """Return the seconds per epoch of `images` images for each model in benchmarks/results.json.

    Raises:
        InputError: A number is missing from a model's entry.
    """
    seconds = {}
    for name, entry in benchmarks.get("training", {}).items():
        if not isinstance(entry, Mapping) or "epoch" not in entry:
            continue
        try:
            scale = images / entry["images"]
            figures = entry["epoch"]["project"]
            seconds[name] = EpochSeconds(*(figures[key] * scale for key in ("median", "smallest", "largest")))
        except (ArithmeticError, KeyError, TypeError) as error:
            raise InputError(f"benchmarks: training.{name}: cannot be read ({error})") from None
    return seconds


def table(data: StudyData, target: float, timings: Mapping[str, EpochSeconds]) -> list[dict[str, object]]:
    """Return the rows of convergence.csv: epochs to a target, and seconds for the variants that were benchmarked."""
    rows: list[dict[str, object]] = []
    for group in data.groups.values():
        for column in ACCURACIES if group.entries else ():
            reached = time_to_target.epochs_to(group.curves(column), target)
            alone = timings[group.name].median if group.name in timings else None
            seconds = None if alone is None or reached.median is None else alone * reached.median
            row = {"variant": group.name, "column": column, "target": target, **vars(reached)}
            rows.append({**row, "seconds_per_epoch": alone, "median_seconds": seconds})
    return rows
