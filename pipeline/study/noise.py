"""What chance alone shows: rises of a loss that does not rise, and seeds of one network that a test tells apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp, log

import numpy as np

from pipeline.analysis import means, overfitting
from pipeline.analysis.verdicts import MIN_SEEDS, Interval
from pipeline.study import comparisons
from pipeline.study.groups import StudyData, VariantGroup


@dataclass(frozen=True)
class Noise:
    """What a variant's `n` replicates show by chance.

    `rise` is the geometric mean of the rises of its single histories, and `rise_of_mean` that of their mean val_loss,
    with its 95% jackknife interval. `flat_slight` and `flat_strong` are the shares of histories with a slight and with a
    strong rise if the mean val_loss were the same after every epoch, and a history differed from it as it does: that is
    how often the rule finds what is not there. `mcnemar` is the share of pairs of its replicates with significantly
    different error rates on the test images.
    """

    variant: str
    n: int
    rise: float
    rise_of_mean: float
    interval: Interval
    flat_slight: float
    flat_strong: float
    mcnemar: float


def of_variants(data: StudyData) -> Iterator[Noise]:
    """Yield the noise of each variant with MIN_SEEDS replicates."""
    for group in data.groups.values():
        if len(group.entries) >= MIN_SEEDS:
            yield _of_variant(data, group)


def _of_variant(data: StudyData, group: VariantGroup) -> Noise:
    rule, losses = data.rules.overfitting, group.curves("val_loss")

    def log_rise(loss: means.Floats) -> float:
        return log(overfitting.rise(loss, rule.window))

    mean = losses.mean(axis=0)
    single = group.values("log_rise")
    of_mean = means.sum_of_means([means.pseudo_values(losses, log_rise)])
    flat = np.exp([log_rise(loss) for loss in losses / mean])
    return Noise(
        group.name,
        len(losses),
        exp(single.mean()),
        exp(of_mean.estimate),
        of_mean.interval().to(exp),
        float(np.mean(flat >= rule.slight)),
        float(np.mean(flat >= rule.strong)),
        float(comparisons.told_apart(data, group.name).mean()),
    )
