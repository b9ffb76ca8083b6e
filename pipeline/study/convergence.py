"""How fast the networks learn, at equal epochs and until a target, in epochs and in seconds: claim 4."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from pipeline.analysis import means, time_to_target
from pipeline.analysis.time_to_target import EpochsToTarget
from pipeline.errors import InputError
from pipeline.reporting import render
from pipeline.study import findings, rules
from pipeline.study.findings import Answer, Number, Question
from pipeline.study.groups import Evidence, Floats, Group
from pipeline.study.rules import ADADELTA, CNN, RMSPROP, TARGET, Finding, Interval

MLPS = (RMSPROP, ADADELTA)
MODELS = (*MLPS, CNN)
COLUMNS = ("accuracy", "train_accuracy", "val_accuracy")


@dataclass(frozen=True)
class Seconds:
    """Seconds per epoch of a model that trains alone on a machine, from repeated measurements."""

    median: float
    smallest: float
    largest: float


def seconds(benchmarks: Mapping[str, Any], images: int) -> dict[str, Seconds]:
    """Return the seconds that an epoch of so many images takes each model in benchmarks/results.json.

    Raises:
        InputError: A model's entry lacks a number.
    """
    found = {}
    for name, entry in benchmarks.get("training", {}).items():
        if "epoch" not in entry:
            continue
        try:
            scale = images / entry["images"]
            figures = entry["epoch"]["project"]
            found[name] = Seconds(*(figures[key] * scale for key in ("median", "smallest", "largest")))
        except (KeyError, TypeError) as error:
            raise InputError(f"benchmarks: training.{name}: cannot be read ({error})") from None
    return found


def until(group: Group, column: str = "val_accuracy") -> EpochsToTarget:
    """Return when each seed of a variant, one or more, first reaches TARGET."""
    return time_to_target.epochs_to(group.curves(column), TARGET)


def table(evidence: Evidence, pace: Mapping[str, Seconds]) -> list[dict[str, object]]:
    """Return the rows of convergence.csv: epochs, and seconds where the variant was measured alone."""
    rows: list[dict[str, object]] = []
    for group in evidence.groups.values():
        for column in COLUMNS if group.entries else ():
            found = until(group, column)
            alone = pace[group.name].median if group.name in pace else None
            rows.append(
                {
                    "variant": group.name,
                    "column": column,
                    "target": TARGET,
                    "n": found.n,
                    "reached": found.reached,
                    "median": found.median,
                    "smallest": found.smallest,
                    "largest": found.largest,
                    "seconds_per_epoch": alone,
                    "median_seconds": None if alone is None or found.median is None else alone * found.median,
                }
            )
    return rows


def questions(evidence: Evidence, pace: Mapping[str, Seconds]) -> Iterator[Question]:
    """Yield claim 4 under its readings."""
    rule = "supported if the CNN is behind both MLPs, not supported if it is ahead of both"
    ask = partial(Question, 4, rule=rule, blocks=[[name] for name in MODELS])
    yield ask(
        "by running training accuracy",
        "`accuracy`, dropout on, in the CNN's last epoch",
        decide=lambda: _equal_epochs(evidence, "accuracy"),
    )
    yield ask(
        "by training accuracy in inference mode",
        "accuracy on the first training images, dropout off, in the CNN's last epoch",
        decide=lambda: _equal_epochs(evidence, "train_accuracy"),
    )
    yield ask(
        f"by epochs until {TARGET:.0%} validation accuracy",
        "the first epoch that reaches it (the test images are not looked at during a training)",
        decide=lambda: _epochs(evidence),
    )
    yield ask(
        "by seconds until then",
        "these epochs times the seconds of one, measured for each model alone",
        decide=lambda: _seconds(evidence, pace),
    )


def _equal_epochs(evidence: Evidence, column: str) -> Answer:
    epoch = min(evidence.groups[name].variant.epochs for name in MODELS)
    at = {name: evidence.groups[name].curves(column)[:, epoch - 1] for name in MODELS}
    ahead = [means.compare(at[CNN], at[name], paired=False) for name in MLPS]
    numbers = [
        findings.difference(f"`{CNN}` less `{name}`", "points", one) for name, one in zip(MLPS, ahead, strict=True)
    ]
    averages = [findings.mean(f"`{name}` in epoch {epoch}", at[name], "share") for name in MODELS]
    verdict = rules.slower([(-high, -low) for low, high in (one.interval() for one in ahead)])
    return Answer(verdict, tuple(numbers), f"In epoch {epoch}: {findings.listed(numbers)}.", tuple(averages))


def _epochs(evidence: Evidence) -> Answer:
    epochs = {name: _counted(until(evidence.groups[name]), evidence.groups[name]) for name in MODELS}
    lags = [
        findings.difference(f"`{CNN}` less `{name}`", "lag", means.compare(epochs[CNN], epochs[name], paired=False))
        for name in MLPS
    ]
    tests = [
        findings.difference(
            f"`{CNN}` less `{name}`, test accuracy", "points", findings.compare(evidence, "test_accuracy", CNN, name)
        )
        for name in MLPS
    ]
    averages = [findings.mean(f"`{name}`", epochs[name], "epochs") for name in MODELS]
    return _until_target(evidence, lags, (*averages, *tests))


def _seconds(evidence: Evidence, pace: Mapping[str, Seconds]) -> Answer:
    lacking = [f"`{name}`" for name in MODELS if name not in pace]
    if lacking:
        return Answer(Finding.UNDECIDED, (), f"There is no benchmark of {render.series(lacking)}.")
    epochs = {name: _counted(until(evidence.groups[name]), evidence.groups[name]) for name in MODELS}
    delays = [_delay(epochs, pace, name) for name in MLPS]
    averages = [findings.mean(f"`{name}`", epochs[name] * pace[name].median, "seconds") for name in MODELS]
    per_epoch = [
        Number(f"`{name}`, per epoch (smallest to largest)", "seconds", one.median, (one.smallest, one.largest))
        for name, one in ((name, pace[name]) for name in MODELS)
    ]
    return _until_target(evidence, delays, (*averages, *per_epoch))


def _until_target(evidence: Evidence, lags: Sequence[Number], others: Sequence[Number]) -> Answer:
    never = {name: found.n - found.reached for name in MODELS for found in [until(evidence.groups[name])]}
    verdict = rules.slower(
        [lag.interval for lag in lags if lag.interval],
        unfinished=never[CNN] > 0,
        others_unfinished=any(never[name] for name in MLPS),
    )
    said = "".join(
        f" {count} seed{'s' * (count > 1)} of `{name}` never got there and count as one epoch more than were trained."
        for name, count in never.items()
        if count
    )
    return Answer(verdict, tuple(lags), f"Until {TARGET:.0%}: {findings.listed(lags)}.{said}", tuple(others))


def _counted(found: EpochsToTarget, group: Group) -> Floats:
    """Return the epochs of the seeds, one more than were trained for a seed that never got there."""
    return np.array([group.variant.epochs + 1 if epoch is None else epoch for epoch in found.epochs], np.float64)


def _delay(epochs: Mapping[str, Floats], pace: Mapping[str, Seconds], name: str) -> Number:
    """Return how many seconds the CNN takes longer; the interval also holds for the benchmark's extremes."""

    def behind(cnn: float, other: float) -> tuple[float, Interval]:
        found = means.compare(epochs[CNN] * cnn, epochs[name] * other, paired=False)
        return found.estimate, found.interval()

    cnn, other = pace[CNN], pace[name]
    estimate, (low, high) = behind(cnn.median, other.median)
    _, (fast, _) = behind(cnn.smallest, other.largest)
    _, (_, slow) = behind(cnn.largest, other.smallest)
    return Number(f"`{CNN}` less `{name}`", "delay", estimate, (min(low, fast), max(high, slow)))
