"""What scores of both sides, seed by seed, say about a change: an interval, a verdict, and how many seeds would decide.

The scores of one seed have its order, dropout masks and, where the networks are alike, initial weights in common; so
the differences seed by seed are what is judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from pipeline.analysis import means, power, verdicts
from pipeline.analysis.means import Estimate
from pipeline.analysis.metrics import SCORES, comparable
from pipeline.analysis.power import Assumed
from pipeline.analysis.verdicts import MIN_SEEDS, Interval, Verdict
from pipeline.change.trials import Trial
from pipeline.errors import InputError
from pipeline.trials.ledger import Entry, EntryState, Lookup
from pipeline.trials.plan import Replicate
from pipeline.trials.prepared import PreparedData

# The probability, at most, that any of the verdicts of a call is wrong; and that of a verdict with the seeds needed.
LEVEL, POWER = 0.05, 0.8


@dataclass(frozen=True)
class Question:
    """What is asked of each changed model: a metric, measured on `images`, and the smallest difference that matters."""

    metric: str
    smallest_effect: float
    images: int

    @property
    def sign(self) -> int:
        """1 if more of the metric is better, -1 if less is."""
        return 1 if SCORES[self.metric].more_is_better else -1

    @property
    def score(self) -> str:
        """The score of a replicate that is compared."""
        return comparable(self.metric)

    def values(self, entries: Sequence[Entry]) -> list[float]:
        """Return the metric of each replicate on the validation images, after its last epoch."""
        return [entry.score("validation", self.score) for entry in entries]


@dataclass(frozen=True)
class ChangeVerdict:
    """A verdict on B: the mean of B's values minus A's, with its interval, in the unit of the metric.

    `seeds_needed` would decide it with the probability POWER if difference and spread are as observed, and
    `seeds_needed_at_most` if the spread is at its upper bound; both are None for a verdict that is decided, and if no
    number suffices.
    """

    before: tuple[float, ...]
    after: tuple[float, ...]
    difference: float
    interval: Interval
    confidence: float
    verdict: Verdict
    seeds_needed: int | None = None
    seeds_needed_at_most: int | None = None

    @property
    def seeds(self) -> int:
        """The number of seeds of each side."""
        return len(self.before)


def ask(metric: str, effect: float, data: PreparedData) -> Question:
    """Return the question which change of a metric the models of `data` show, if at least `effect` matters.

    Raises:
        InputError: The metric is for data with more classes.
    """
    if (classes := len(data.summary["classes"])) < (needed := SCORES[metric].min_classes):
        raise InputError(f"--metric: {metric} needs {needed} classes or more, {data.summary['dataset']} has {classes}")
    return Question(metric, effect, data.count("validation"))


def check_scored(found: Sequence[Lookup], question: Question, folder: Path) -> None:
    """Check that the replicates that the ledger in `folder` has can be judged.

    Raises:
        InputError: They were made before the score existed.
    """
    entries = [entry for _, entry, state in found if entry and state is EntryState.CURRENT]
    if earlier := [entry for entry in entries if not entry.has("validation", question.score)]:
        what = f"{len(earlier)} of {len(found)} replicates have no {question.score} yet: made before that score existed"
        variants = ", ".join(dict.fromkeys(entry.variant for entry in earlier))
        fix = f"delete the files of {variants} in it, to train them again, or choose another --metric"
        raise InputError(what, path=folder, fix=fix)


def judge_trials(
    trials: Sequence[Trial], entries: Mapping[str, Entry], question: Question
) -> tuple[ChangeVerdict, ...]:
    """Return the verdict on each trial from its replicates, by their recipes."""

    def values(replicates: Sequence[Replicate]) -> list[float]:
        return question.values([entries[one.recipe] for one in replicates])

    return tuple(judge_change(values(one.before), values(one.after), question, len(trials)) for one in trials)


def judge_change(before: ArrayLike, after: ArrayLike, question: Question, family: int = 1) -> ChangeVerdict:
    """Return the verdict on B from the values of A and B, (seeds,) each, paired by seed.

    `family` is the number of models that are judged together: their intervals hold jointly with a probability of
    1 - LEVEL, by Bonferroni's inequality.
    Source: O. J. Dunn, J. Am. Stat. Assoc. 56 (1961) 52-64.

    Raises:
        ValueError: There are fewer than MIN_SEEDS values, one is not finite, or the lengths differ.
    """
    first, second = (np.asarray(values, np.float64) for values in (before, after))
    if min(len(first), len(second)) < MIN_SEEDS:
        raise ValueError(f"expected at least {MIN_SEEDS} seeds, found {len(first)} and {len(second)}")
    found, confidence = _estimate(first, second, question), 1 - LEVEL / family
    interval = found.interval(confidence)
    verdict = verdicts.decide(interval if question.sign > 0 else interval.negative, question.smallest_effect)
    needed = _seeds_needed(found, len(first), question, confidence) if verdict is Verdict.UNDECIDED else (None, None)
    values = tuple(map(float, first)), tuple(map(float, second))
    return ChangeVerdict(*values, found.estimate, interval, confidence, verdict, *needed)


def _estimate(before: np.ndarray, after: np.ndarray, question: Question) -> Estimate:
    """Return the mean difference with its standard error.

    Shares of images are multiples of one image. Where few seeds give equal differences, that is due to these steps: a
    spread of less than one image is taken for one image.
    """
    found = means.sum_of_means([after - before])
    step = 1 / question.images if SCORES[question.metric].share else 0.0
    return replace(found, standard_error=max(found.standard_error, step / sqrt(len(before))))


def _seeds_needed(found: Estimate, seeds: int, question: Question, confidence: float) -> tuple[int | None, int | None]:
    assumed = Assumed.of_mean(found) if question.sign > 0 else Assumed.of_mean(found).negative

    def more(one: Assumed) -> int | None:
        needed = power.seeds_to_decide(one, question.smallest_effect, power=POWER, confidence=confidence)
        # These seeds had their chance.
        return None if needed is None else max(needed, seeds + 1)

    return more(assumed), more(assumed.at_upper_bound())
