"""How fast the networks converge: accuracy at equal epochs, and epochs and seconds to a target accuracy (claim 4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, product
from typing import Any

import numpy as np

from pipeline.analysis import means, power, time_to_target
from pipeline.analysis.power import Assumed, Decision
from pipeline.analysis.time_to_target import EpochsToTarget
from pipeline.analysis.verdicts import Interval
from pipeline.errors import InputError
from pipeline.reporting import render
from pipeline.study import findings, rules
from pipeline.study.findings import Finding, Measurement, Reading
from pipeline.study.groups import SeedValues, StudyData, VariantGroup
from pipeline.study.rules import (
    ADADELTA,
    ADADELTA_PLAIN,
    CNN,
    CNN_PLAIN,
    RMSPROP,
    RMSPROP_PLAIN,
    TARGET,
    ClaimVerdict,
)

MLPS = (RMSPROP, ADADELTA)
MODELS = (*MLPS, CNN)
# The same networks without dropout; the CNN is the last one, too.
PLAIN = (RMSPROP_PLAIN, ADADELTA_PLAIN, CNN_PLAIN)
COLUMNS = ("accuracy", "train_accuracy", "val_accuracy")


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
    found = {}
    for name, entry in benchmarks.get("training", {}).items():
        if "epoch" not in entry:
            continue
        try:
            scale = images / entry["images"]
            figures = entry["epoch"]["project"]
            found[name] = EpochSeconds(*(figures[key] * scale for key in ("median", "smallest", "largest")))
        except (KeyError, TypeError) as error:
            raise InputError(f"benchmarks: training.{name}: cannot be read ({error})") from None
    return found


def until(group: VariantGroup, column: str = "val_accuracy") -> EpochsToTarget:
    """Return the first epoch at which each seed of a variant, one or more, reaches TARGET."""
    return time_to_target.epochs_to(group.curves(column), TARGET)


def table(data: StudyData, timings: Mapping[str, EpochSeconds]) -> list[dict[str, object]]:
    """Return the rows of convergence.csv: epochs to TARGET, and seconds for the variants that were benchmarked."""
    rows: list[dict[str, object]] = []
    for group in data.groups.values():
        for column in COLUMNS if group.entries else ():
            found = until(group, column)
            alone = timings[group.name].median if group.name in timings else None
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


def readings(data: StudyData, timings: Mapping[str, EpochSeconds]) -> Iterator[Reading]:
    """Yield the readings of claim 4."""
    rule = "supported if the CNN is behind both MLPs, not supported if it is ahead of both"
    by_training = partial(
        Reading,
        4,
        rule=f"{rule}, with and without dropout; confounded if dropout reverses the order",
        blocks=[[name] for name in (*MODELS, *PLAIN)],
    )
    by_target = partial(Reading, 4, rule=rule, blocks=[[name] for name in MODELS])
    yield by_training(
        "by running training accuracy",
        "`accuracy`, dropout on, in the CNN's last epoch",
        decide=lambda: _equal_epochs(data, "accuracy"),
    )
    yield by_training(
        "by training accuracy in inference mode",
        "accuracy on the first training images, dropout off, in the CNN's last epoch",
        decide=lambda: _equal_epochs(data, "train_accuracy"),
    )
    yield by_target(
        f"by epochs to {TARGET:.0%} validation accuracy",
        "the first epoch that reaches it (test images are not used during training)",
        decide=lambda: _epochs(data),
    )
    yield by_target(
        f"by seconds to {TARGET:.0%} validation accuracy",
        "these epochs times the seconds per epoch, benchmarked for each model separately",
        decide=lambda: _seconds(data, timings),
    )


def _equal_epochs(data: StudyData, column: str) -> Finding:
    epoch = min(data.groups[name].variant.epochs for name in (*MODELS, *PLAIN))
    at = {name: data.groups[name].curves(column)[:, epoch - 1] for name in (*MODELS, *PLAIN)}
    pairs = [(cnn, mlp) for *mlps, cnn in (MODELS, PLAIN) for mlp in mlps]
    ahead = [means.compare(at[cnn], at[mlp], paired=False) for cnn, mlp in pairs]
    numbers = [
        findings.estimate(f"`{cnn}` minus `{mlp}`", "points", one) for (cnn, mlp), one in zip(pairs, ahead, strict=True)
    ]
    averages = [findings.mean(f"`{name}` in epoch {epoch}", values, "share") for name, values in at.items()]
    lags = [one.interval().negative for one in ahead]
    verdict = rules.beyond_dropout(rules.slower(lags[: len(MLPS)]), rules.slower(lags[len(MLPS) :]))
    observed = [Assumed.observed(at[cnn], -at[mlp]) for cnn, mlp in pairs]
    remark = _confounded(data) if verdict is ClaimVerdict.CONFOUNDED else ""
    return Finding(
        verdict, tuple(numbers), remark, tuple(averages), _each_way(observed[: len(MLPS)], observed[len(MLPS) :])
    )


def _confounded(data: StudyData) -> str:
    rates = {name: getattr(data.groups[name].variant.network, "dropout", 0) for name in MODELS}
    stated = render.series([f"{rate:g} in `{name}`" for name, rate in rates.items()])
    return (
        f"These networks also differ in dropout ({stated}, before the last layer), and without any the order is the "
        "opposite: this comparison cannot show which network converges more slowly."
    )


def _each_way(*sets: Sequence[Assumed]) -> Decision:
    """Return what decides the order: in each set of lags or leads of the CNN, all of them on one side of 0."""
    sides = [[tuple(side(one, 0.0) for one in lags) for side in (power.above, power.below)] for lags in sets]
    return Decision(tuple(tuple(chain.from_iterable(way)) for way in product(*sides)))


def _epochs(data: StudyData) -> Finding:
    epochs = {name: _counted(until(data.groups[name]), data.groups[name]) for name in MODELS}
    lags = [
        findings.estimate(f"`{CNN}` minus `{name}`", "lag", means.compare(epochs[CNN], epochs[name], paired=False))
        for name in MLPS
    ]
    averages = [findings.mean(f"`{name}`", epochs[name], "epochs") for name in MODELS]
    return _until_target(data, lags, averages, [Assumed.observed(epochs[CNN], -epochs[name]) for name in MLPS])


def _seconds(data: StudyData, timings: Mapping[str, EpochSeconds]) -> Finding:
    missing = [f"`{name}`" for name in MODELS if name not in timings]
    if missing:
        return Finding(ClaimVerdict.UNDECIDED, (), f"There is no benchmark of {render.series(missing)}.")
    epochs = {name: _counted(until(data.groups[name]), data.groups[name]) for name in MODELS}
    delays = [_delay(epochs, timings, name) for name in MLPS]
    averages = [findings.mean(f"`{name}`", epochs[name] * timings[name].median, "seconds") for name in MODELS]
    per_epoch = [
        Measurement(
            f"`{name}`, per epoch (smallest to largest)", "seconds", one.median, Interval(one.smallest, one.largest)
        )
        for name, one in ((name, timings[name]) for name in MODELS)
    ]
    seconds = {name: epochs[name] * timings[name].median for name in MODELS}
    observed = [Assumed.observed(seconds[CNN], -seconds[name]) for name in MLPS]
    return _until_target(data, delays, (*averages, *per_epoch), observed)


def _until_target(
    data: StudyData, lags: Sequence[Measurement], others: Sequence[Measurement], observed: Sequence[Assumed]
) -> Finding:
    never = {name: found.n - found.reached for name in MODELS for found in [until(data.groups[name])]}
    verdict = rules.slower(
        [lag.interval for lag in lags if lag.interval],
        unfinished=never[CNN] > 0,
        others_unfinished=any(never[name] for name in MLPS),
    )
    remarks = [
        f"{count} seed{'s' * (count > 1)} of `{name}` never reached it and {'are' if count > 1 else 'is'} counted as "
        "reaching it one epoch after the last."
        for name, count in never.items()
        if count
    ]
    return Finding(verdict, tuple(lags), " ".join(remarks), tuple(others), _each_way(observed))


def _counted(found: EpochsToTarget, group: VariantGroup) -> SeedValues:
    """Return each seed's epochs to TARGET; a seed that never reached it counts one epoch more than were trained."""
    return np.array([group.variant.epochs + 1 if epoch is None else epoch for epoch in found.epochs], np.float64)


def _delay(epochs: Mapping[str, SeedValues], timings: Mapping[str, EpochSeconds], name: str) -> Measurement:
    """Return how many seconds longer the CNN takes; the interval also covers the extremes of the benchmark."""

    def behind(cnn: float, other: float) -> tuple[float, Interval]:
        found = means.compare(epochs[CNN] * cnn, epochs[name] * other, paired=False)
        return found.estimate, found.interval()

    cnn, other = timings[CNN], timings[name]
    estimate, (low, high) = behind(cnn.median, other.median)
    _, (fast, _) = behind(cnn.smallest, other.largest)
    _, (_, slow) = behind(cnn.largest, other.smallest)
    return Measurement(f"`{CNN}` minus `{name}`", "delay", estimate, Interval(min(low, fast), max(high, slow)))
