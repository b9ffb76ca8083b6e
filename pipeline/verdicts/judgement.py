"""What the scores of two sides, seed by seed, say about their difference, whoever trained them.

The scores of one seed have its order, dropout masks and, where the networks are alike, initial weights in common; so
the differences seed by seed are what is judged. It may be judged again after each further seed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from math import inf, sqrt

import numpy as np
from numpy.typing import NDArray

from pipeline.analysis import crossed, means, sequential, verdicts
from pipeline.analysis.metrics import SCORES
from pipeline.analysis.sequential import SequentialEstimate, factor
from pipeline.analysis.verdicts import Interval, Verdict

# The probability, at most, that any verdict of an answer is wrong, however often one looks.
LEVEL = 0.05
WORSE = (Verdict.WORSE, Verdict.WORSE_OPEN)
# More seeds than these are no plan, and fewer images no sample of others.
MOST_SEEDS, FEWEST_IMAGES = 10_000, 40


@dataclass(frozen=True)
class Question:
    """A metric, and the smallest difference in it that matters."""

    metric: str
    smallest_effect: float

    @property
    def sign(self) -> int:
        """1 if more of the metric is better, -1 if less is."""
        return 1 if SCORES[self.metric].more_is_better else -1


@dataclass(frozen=True)
class ImageSample:
    """The `judged` images that scores come from; `trained` is the number of the others if each seed draws them anew."""

    judged: int
    trained: int | None = None


@dataclass(frozen=True)
class Scores:
    """The metric of one side, (seeds,), and where it is known of each image, (seeds, images).

    The values are multiples of `step`, such as one image, or any numbers if that is 0.
    """

    values: NDArray[np.float64]
    by_image: crossed.Table | None = None
    step: float = 0.0


@dataclass(frozen=True)
class SideVerdict:
    """A verdict on B from the values of A and B by seed: B - A with its intervals, in the unit of the metric."""

    question: Question
    before: tuple[float, ...]
    after: tuple[float, ...]
    estimate: SequentialEstimate
    confidence: float

    @property
    def difference(self) -> float:
        """The mean of B's values minus that of A's."""
        return self.estimate.over_seeds.estimate

    @property
    def interval(self) -> Interval:
        """The interval for other seeds, and for other images where these count as a sample."""
        return self.estimate.interval(self.confidence)

    @property
    def verdict(self) -> Verdict:
        """The verdict on B by `interval`."""
        return self._decide(self.interval)

    @property
    def verdict_here(self) -> Verdict:
        """The verdict on B on these very images."""
        return self._decide(self.estimate.interval_of_seeds(self.confidence))

    @property
    def seeds_needed(self) -> int | None:
        """How many seeds would decide if difference and spread are as observed; None if no number would."""
        if self.estimate.same:
            return 2
        within = self._half_needed() ** 2 - _half(self.estimate.interval_of_images(self.confidence)) ** 2
        return None if within <= 0 else _seeds(self.estimate.over_seeds.sd, sqrt(within), self.confidence)

    @property
    def images_needed(self) -> float:
        """How many times as many images would decide, with any number of seeds; at most 1 if these suffice."""
        needed, half = self._half_needed(), _half(self.estimate.interval_of_images(self.confidence))
        return (half / needed) ** 2 if needed else inf

    @property
    def final(self) -> bool:
        """Whether more seeds would not change the verdict, or not as far as can be seen."""
        return self.verdict is not Verdict.UNDECIDED or (
            self.verdict_here is not Verdict.UNDECIDED and self.seeds_needed is None
        )

    def _half_needed(self) -> float:
        """Return the half-width below which an interval around the difference decides."""
        return max(abs(self.difference), self.question.smallest_effect - abs(self.difference))

    def _decide(self, interval: Interval) -> Verdict:
        better = interval if self.question.sign > 0 else interval.negative
        return verdicts.decide(better, self.question.smallest_effect)


def judge(
    before: Scores, after: Scores, question: Question, images: ImageSample | None, family: int = 1
) -> SideVerdict:
    """Return the verdict on B from the scores of A and B, paired by seed.

    `family` is the number of comparisons that are judged together: their intervals hold jointly with a probability of
    1 - LEVEL, by Bonferroni's inequality. Without `images`, nothing is said about other ones.
    Source: O. J. Dunn, J. Am. Stat. Assoc. 56 (1961) 52-64.

    Raises:
        ValueError: There are fewer than 2 seeds, a value is not finite, or the numbers of seeds differ.
    """
    over_seeds = means.compare(after.values, before.values, paired=True)
    # Where few seeds give equal differences, that is due to the steps: a spread below one step is taken for one step.
    step, seeds = max(before.step, after.step), len(before.values)
    over_seeds = replace(over_seeds, standard_error=max(over_seeds.standard_error, step / sqrt(seeds)))
    error = _image_error(before, after, over_seeds.sd, images)
    values = tuple(map(float, before.values)), tuple(map(float, after.values))
    return SideVerdict(question, *values, SequentialEstimate(over_seeds, error), 1 - LEVEL / family)


def judge_all(
    sides: Mapping[str, Scores], question: Question, images: ImageSample | None, family: int
) -> dict[tuple[str, str], SideVerdict]:
    """Return the judgements on all pairs of sides, as `judge` does."""
    pairs = combinations(sides, 2)
    return {(first, second): judge(sides[first], sides[second], question, images, family) for first, second in pairs}


def same_results(before: Scores, question: Question) -> SideVerdict:
    """Return the verdict on a side whose results are those of A to the last bit: no chance is left in it."""
    values = tuple(map(float, before.values))
    estimate = SequentialEstimate(means.Estimate(0.0, 0.0, max(len(values) - 1, 1)), image_error=0.0, same=True)
    return SideVerdict(question, values, values, estimate, 1 - LEVEL)


def best(judgements: Mapping[tuple[str, str], SideVerdict], sides: Iterable[str]) -> list[str]:
    """Return the sides that may be the best: none of the others was found to be better.

    `judgements` has the verdict on the second side of each pair.
    """
    beaten = {pair[0] for pair, one in judgements.items() if one.verdict in (Verdict.BETTER, Verdict.BETTER_OPEN)}
    beaten |= {pair[1] for pair, one in judgements.items() if one.verdict in WORSE}
    return [side for side in sides if side not in beaten]


def _image_error(before: Scores, after: Scores, sd: float, images: ImageSample | None) -> float | None:
    if images and images.trained:
        return sequential.split_error(sd, images.judged, images.trained)
    if before.by_image is None or after.by_image is None:
        return None
    return crossed.image_error(after.by_image, before.by_image, paired=True)


def _seeds(sd: float, half: float, confidence: float) -> int | None:
    """Return the fewest seeds whose interval has less than this half-width; None if MOST_SEEDS do not suffice."""
    n = np.arange(2, MOST_SEEDS + 1, dtype=np.float64)
    # Without any spread, as many as have an interval.
    enough = factor(n, confidence) * max(sd, 1e-9 * half) / np.sqrt(n) < half
    return int(n[enough.argmax()]) if enough.any() else None


def _half(interval: Interval) -> float:
    return (interval.high - interval.low) / 2
