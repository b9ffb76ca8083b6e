"""What chance alone shows: rises of a loss that does not rise, and seeds of one network that a test tells apart."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from math import exp, sqrt

import numpy as np
import pandas as pd

from pipeline.analysis import means, overfitting, prediction
from pipeline.analysis.verdicts import MIN_SEEDS, Interval
from pipeline.study import comparisons
from pipeline.study.groups import StudyData


@dataclass(frozen=True)
class Noise:
    """What a variant's `n` replicates show by chance.

    `rise` is the geometric mean of the rises of its single histories, and `rise_of_mean` that of their mean val_loss,
    with its 95% jackknife interval. `flat_slight` and `flat_strong` are the shares of histories with a slight and a
    strong rise if the mean val_loss were the same after every epoch, and a history differed from it as it does: so
    often the rule finds what is not there. `mcnemar` is the share of pairs of its replicates with significantly
    different error rates on the test images.

    `sd` is the standard deviation of the test accuracy over seeds. `sd_of_images` is the part of it that other images
    would not repeat: if each image were missed independently, as often as it is. What is left, `sd_of_networks`, is how
    much the networks themselves differ.
    Source: K. Jordan, On the Variance of Neural Network Training with respect to Test Sets and Distributions (2024).
    """

    variant: str
    n: int
    rise: float
    rise_of_mean: float
    interval: Interval
    flat_slight: float
    flat_strong: float
    mcnemar: float
    sd: float
    sd_of_images: float
    sd_of_networks: float

    @property
    def sd_interval(self) -> Interval:
        """The 95% confidence interval of the standard deviation, for normal values."""
        low, high = (prediction.sd_upper_bound(self.sd, self.n - 1, confidence) for confidence in (0.025, 0.975))
        return Interval(low, high)


def of_variants(data: StudyData) -> Iterator[Noise]:
    """Yield the noise of each variant with MIN_SEEDS replicates."""
    rule = data.rules.overfitting

    def log_rises(losses: means.Floats) -> means.Floats:
        return np.log(overfitting.rise(losses, rule.window))

    for group in data.groups.values():
        if len(group.entries) < MIN_SEEDS:
            continue
        losses, single = group.curves("val_loss"), group.values("log_rise")
        mean = np.maximum(losses.mean(axis=0), overfitting.SMALLEST_LOSS)
        of_mean = means.sum_of_means([means.pseudo_values(losses, log_rises)])
        flat = overfitting.rise(losses / mean, rule.window)
        answers = np.stack([entry.correct for entry in group.entries.values()])
        variance = answers.mean(axis=1).var(ddof=1)
        of_images = answers.var(axis=0, ddof=1).sum() / answers.shape[1] ** 2
        yield Noise(
            group.name,
            len(losses),
            exp(single.mean()),
            exp(of_mean.estimate),
            of_mean.interval().to(exp),
            float(np.mean(flat >= rule.slight)),
            float(np.mean(flat >= rule.strong)),
            float(comparisons.told_apart(data, group.name).mean()),
            sqrt(variance),
            sqrt(of_images),
            sqrt(max(variance - of_images, 0.0)),
        )


def missed(data: StudyData, doubted: Mapping[str, Collection[int]]) -> list[dict[str, object]]:
    """Return the test images that at least half of the replicates on a data set miss, the most missed first.

    A row has the data set, the place of the image, its class by its label, the share of replicates that miss it, the
    class that most of these answer, and whether the label itself is `doubted`, of a data set that this is known of.
    """
    rows: list[dict[str, object]] = []
    for dataset in data.study.data.sets:
        entries = [entry for name in data.study.on(dataset) for entry in data.groups[name].entries.values()]
        if entries:
            errors = pd.concat([entry.errors for entry in entries])
            images = errors.groupby("image").agg(
                label=("label", "first"),
                misses=("label", "size"),
                answer=("answer", lambda given: given.mode().iloc[0]),
            )
            images["share"] = images["misses"] / len(entries)
            half = images[images["share"] >= 0.5].sort_values(["share"], ascending=False, kind="stable")
            half = half.reset_index().assign(dataset=dataset)
            if dataset in doubted:
                half["doubted"] = half["image"].isin(doubted[dataset])
            rows += half.to_dict("records")
    return rows
