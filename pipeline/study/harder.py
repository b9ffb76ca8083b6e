"""Claim 8, the original's outlook: on a more complex problem the difference between CNN and MLP shows clearly.

That problem is Fashion-MNIST here: as many images of the same size in as many classes. The rule was fixed before any
replicate on it was run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import exp, log

import numpy as np

from pipeline.analysis import means
from pipeline.analysis.means import Comparison
from pipeline.analysis.verdicts import Interval
from pipeline.reporting import render
from pipeline.study import findings
from pipeline.study.findings import ClaimRow, Finding, Measurement, Reading
from pipeline.study.groups import SeedValues, StudyData
from pipeline.study.rules import ADADELTA, CNN, RMSPROP, ClaimVerdict

CLAIM = 8
SENTENCE = "On a more complex problem the difference between CNN and MLP shows clearly."
# The original's networks on MNIST, and the same ones on the harder problem.
HARDER: Mapping[str, str] = {RMSPROP: "fashion_mlp_rmsprop", ADADELTA: "fashion_mlp_adadelta", CNN: "fashion_cnn"}
MLPS = (RMSPROP, ADADELTA)
# The smallest factor between two ratios of errors that matters.
SMALLEST_FACTOR = 1.1
_BLOCKS = [[name, harder] for name, harder in HARDER.items()]
_ZERO = "A replicate has no errors at all, so that there is no ratio."
_EASY = "Not every network makes more errors on Fashion-MNIST than on MNIST, so it is not shown to be more complex."


def clearer(lags: Sequence[Interval], least: float) -> ClaimVerdict:
    """Return the verdict on how far the CNN's errors are below those of each MLP: both have to agree.

    `lags` are intervals of CNN minus MLP, or of how much that differs between the problems; `least` is the smallest
    that matters. Supported if they are below -`least`, not supported if they are above it.
    """
    if all(high < -least for _, high in lags):
        return ClaimVerdict.SUPPORTED
    return ClaimVerdict.NOT_SUPPORTED if all(low > -least for low, _ in lags) else ClaimVerdict.UNDECIDED


def rows(data: StudyData) -> list[ClaimRow]:
    """Return the rows of the audit for claim 8, one per reading; `data` has the replicates on both data sets."""
    found = [reading.evaluate(data) for reading in _readings(data)]
    verdicts = {row.finding.verdict for row in found}
    if not was_run(data):
        text = "Not run yet: there are no replicates of the original's networks on Fashion-MNIST."
        return [replace(row, finding=replace(row.finding, remark=text)) for row in found]
    if {ClaimVerdict.SUPPORTED, ClaimVerdict.NOT_SUPPORTED} <= verdicts:
        last = found[-1].finding
        text = f"{last.remark} The readings disagree: the answer depends on how a difference is measured.".strip()
        found[-1] = replace(found[-1], finding=replace(last, remark=text))
    return found


def was_run(data: StudyData) -> bool:
    """Return whether there is any replicate of the original's networks on the harder problem."""
    return any(data.common([name]) for name in HARDER.values())


def errors(data: StudyData, name: str, seeds: Sequence[int] | None = None) -> SeedValues:
    """Return a variant's test errors as shares of the test images, for each of `seeds`, by default all: (seeds,)."""
    return 1 - data.groups[name].values("test_accuracy", seeds)


def change(data: StudyData, mlp: str, to: Callable[[SeedValues], SeedValues] = np.asarray) -> Comparison:
    """Return the difference of differences: CNN minus `mlp` on Fashion-MNIST, minus the same on MNIST.

    It is of test errors transformed by `to`. A network and a seed give the same initial weights and order of images on
    both problems, so each network's own change is taken within seeds; those of the two networks are independent.
    """
    return means.compare(_increase(data, CNN, to), _increase(data, mlp, to), paired=False)


def _increase(data: StudyData, name: str, to: Callable[[SeedValues], SeedValues] = np.asarray) -> SeedValues:
    """Return how much more a network's error is on Fashion-MNIST than on MNIST, for each seed that has both."""
    seeds = data.common((name, HARDER[name]))
    return to(errors(data, HARDER[name], seeds)) - to(errors(data, name, seeds))


def _readings(data: StudyData) -> Iterator[Reading]:
    least = data.study.statistics.smallest_effect
    points = f"{render.fixed(100 * least, 2)} points"
    yield Reading(
        CLAIM,
        "it shows on Fashion-MNIST",
        "test error there, CNN minus MLP",
        f"supported if the CNN's error is below both MLPs' by more than {points}, not supported if by less",
        [[name] for name in HARDER.values()],
        lambda: _shows(data, least),
    )
    yield Reading(
        CLAIM,
        "more than on MNIST, in points",
        "test error, CNN minus MLP, on Fashion-MNIST minus on MNIST, each network's change within seeds",
        f"supported if the CNN gains more than {points} on both MLPs, not supported if it gains less",
        _BLOCKS,
        lambda: _grows(data, least),
    )
    yield Reading(
        CLAIM,
        "more than on MNIST, as a ratio",
        "the CNN's test error over the MLP's (geometric means), on Fashion-MNIST over on MNIST, within seeds likewise",
        f"supported if the factor is below 1/{SMALLEST_FACTOR} with both MLPs, not supported if it is above",
        _BLOCKS,
        lambda: _grows_by_factor(data),
    )


def _shows(data: StudyData, least: float) -> Finding:
    found = [_between(data, HARDER[CNN], HARDER[name]) for name in MLPS]
    numbers = (
        findings.estimate(f"`{HARDER[CNN]}` minus `{HARDER[name]}`", "points", one)
        for name, one in zip(MLPS, found, strict=True)
    )
    return Finding(clearer([one.interval() for one in found], least), tuple(numbers))


def _grows(data: StudyData, least: float) -> Finding:
    found = [change(data, name) for name in MLPS]
    numbers = (
        findings.estimate(f"`{CNN}` minus `{name}`, change", "points", one)
        for name, one in zip(MLPS, found, strict=True)
    )
    further = (
        *(findings.estimate(f"`{CNN}` minus `{name}`, on MNIST", "points", _between(data, CNN, name)) for name in MLPS),
        *(
            findings.mean(f"`{name}`, on Fashion-MNIST minus on MNIST", _increase(data, name), "points")
            for name in HARDER
        ),
    )
    return _judged(data, found, least, numbers, further)


def _grows_by_factor(data: StudyData) -> Finding:
    if not all(errors(data, name).all() for pair in HARDER.items() for name in pair):
        return Finding(ClaimVerdict.UNDECIDED, (), _ZERO)
    found = [change(data, name, np.log) for name in MLPS]
    numbers = (
        findings.estimate(f"`{CNN}` over `{name}`, change", "factor", one, exp)
        for name, one in zip(MLPS, found, strict=True)
    )
    further = [
        findings.estimate(f"`{cnn}` over `{mlp}`", "factor", _between(data, cnn, mlp, np.log), exp)
        for name in MLPS
        for cnn, mlp in ((HARDER[CNN], HARDER[name]), (CNN, name))
    ]
    return _judged(data, found, log(SMALLEST_FACTOR), numbers, further)


def _judged(
    data: StudyData,
    found: Sequence[Comparison],
    least: float,
    numbers: Iterator[Measurement],
    further: Sequence[Measurement],
) -> Finding:
    """Return the finding on a change; without a more complex problem there is nothing to judge."""
    if any(means.describe(_increase(data, name)).interval.low <= 0 for name in HARDER):
        return Finding(ClaimVerdict.UNDECIDED, tuple(numbers), _EASY, tuple(further))
    verdict = clearer([one.interval() for one in found], least)
    return Finding(verdict, tuple(numbers), further=tuple(further))


def _between(
    data: StudyData, first: str, second: str, to: Callable[[SeedValues], SeedValues] = np.asarray
) -> Comparison:
    return means.compare(to(errors(data, first)), to(errors(data, second)), paired=False)
