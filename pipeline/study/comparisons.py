"""The study's family of comparisons: the test accuracy of pairs of variants, adjusted for multiple testing."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from pipeline.analysis import crossed, means, multitest, power, proportions, verdicts
from pipeline.analysis.means import Comparison, Estimate
from pipeline.analysis.multitest import Judgement
from pipeline.analysis.power import Assumed, Decision
from pipeline.analysis.verdicts import MIN_SEEDS, Interval, Verdict
from pipeline.study.groups import SeedValues, StudyData
from pipeline.trials import plan
from pipeline.trials.ledger import Entry

OUTCOME, HELD_OUT = "test_accuracy", "validation_accuracy"
# A verdict depends on what counts as too small to matter: it is also given for these multiples of that.
MULTIPLES = (0.5, 1.0, 2.0)


@dataclass(frozen=True)
class Agreement:
    """The same difference on the held-out images, by which no variant was chosen but those that are called tuned.


    `error` is the standard error of the difference between both samples of images, for the same replicates.
    """

    held_out: Estimate
    distance: float
    error: float

    @property
    def agrees(self) -> bool:
        """Whether the two samples differ by no more than chance allows in 95% of cases."""
        return abs(self.distance) <= 1.96 * self.error


@dataclass(frozen=True)
class Judged:
    """What at least MIN_SEEDS seeds of both variants tell.

    `over_images` is the difference on test and held-out images together, with its standard error for other seeds and
    other images, and `new_images` the verdict on that one's interval; `multiples` are the verdicts if MULTIPLES of the
    smallest effect counted. `without` has the simultaneous interval without each replicate, by (variant, seed); of a
    pair, without both. `base_rate` is the share of pairs of seeds of one variant, over both variants, that McNemar's
    test finds different. `assumed` is what the seeds needed for a verdict are planned with.
    """

    smallest_effect: float
    judgement: Judgement
    superiority: float
    rank_p: float
    agreement: Agreement
    over_images: Estimate
    new_images: Verdict
    multiples: Mapping[float, Verdict]
    without: Mapping[tuple[str, int], Interval]
    base_rate: float
    assumed: Assumed

    @property
    def changed(self) -> dict[str, Verdict]:
        """The verdict without each replicate, by its name, without which it is another."""
        paired = self.judgement.comparison.paired
        by_name = {
            replicate_name(replicate, paired=paired): verdicts.decide(interval, self.smallest_effect)
            for replicate, interval in self.without.items()
        }
        return {name: verdict for name, verdict in by_name.items() if verdict is not self.judgement.verdict}


@dataclass(frozen=True)
class VariantPair:
    """The comparison of two variants: paired by seed if both share initial weights and image order, else unpaired.

    `judged` is None if there are too few seeds. `tested` counts the seeds that both variants have; for `significant` of
    these, McNemar's test (unadjusted) rejects equal error rates.
    """

    first: str
    second: str
    paired: bool
    n_first: int
    n_second: int
    tested: int
    significant: int
    judged: Judged | None

    @property
    def label(self) -> str:
        """The difference in words."""
        return f"`{self.first}` minus `{self.second}`"

    def interval(self, first: str, without: tuple[str, int] | None = None) -> Interval | None:
        """Return the simultaneous interval of `first` minus the other, `without` a replicate if it has that one."""
        if self.judged is None:
            return None
        interval = self.judged.judgement.simultaneous
        if without is not None:
            name, seed = without
            pair = self.first if self.paired and name == self.second else name
            interval = self.judged.without.get((pair, seed), interval)
        return interval if first == self.first else interval.negative

    @property
    def verdict(self) -> str:
        """The verdict on the first variant in words, or that there are too few seeds for one."""
        if self.judged is not None:
            return str(self.judged.judgement.verdict)
        counts = sorted({self.n_first, self.n_second})
        return f"cannot tell with {' and '.join(map(str, counts))} seed{'' if counts == [1] else 's'}"


def replicate_name(replicate: tuple[str, int], *, paired: bool) -> str:
    """Return what a replicate is called: of a pair, which is left out together, by its seed alone."""
    name, seed = replicate
    return f"seed {seed}" if paired else f"`{name}` {seed}"


def compare_variants(data: StudyData) -> tuple[VariantPair, ...]:
    """Compare all pairs listed in study/params.yaml; the adjustment also counts those that have too few seeds."""
    return tuple(pair for family in data.study.statistics.families for pair in _family(data, family))


def _family(data: StudyData, family: Sequence[tuple[str, str]]) -> Iterator[VariantPair]:
    values = {pair: samples(data, *pair) for pair in family}
    compared: dict[tuple[str, str], Comparison] = {
        pair: means.compare(first, second, paired=paired)
        for pair, (first, second, paired) in values.items()
        if min(len(first), len(second)) >= MIN_SEEDS
    }
    least = data.smallest_effect(family[0][0])
    judged = multitest.judge(compared, least, data.study.statistics.level, len(family))
    significant = {name: told_apart(data, name) for name in {name for pair in judged for name in pair}}
    for pair, sample in values.items():
        judgement, seeds = judged.get(pair), data.common(pair)
        one, other = (data.groups[name].entries for name in pair)
        yield VariantPair(
            *pair,
            paired=sample[2],
            n_first=len(sample[0]),
            n_second=len(sample[1]),
            tested=len(seeds),
            significant=sum(mcnemar_p(one[seed], other[seed]) < data.study.statistics.level for seed in seeds),
            judged=_judged(data, pair, sample, judgement, significant) if judgement else None,
        )


def find_pair(pairs: Sequence[VariantPair], first: str, second: str) -> VariantPair:
    """Return the planned comparison of two variants, in whichever order it is listed."""
    return next(pair for pair in pairs if {pair.first, pair.second} == {first, second})


def decision(judged: Judged, accepted: Collection[Verdict] = power.DECIDED) -> Decision:
    """Return what decides a comparison: one of the `accepted` verdicts on it, in its family."""
    confidence = judged.judgement.confidence
    return Decision(((power.verdict_among(judged.assumed, judged.smallest_effect, accepted, confidence),),))


def samples(data: StudyData, first: str, second: str, outcome: str = OUTCOME) -> tuple[SeedValues, SeedValues, bool]:
    """Return an outcome of two variants, and whether it is paired by seed, as both start and see images alike."""
    groups = data.groups[first], data.groups[second]
    paired = plan.same_seeds(groups[0].variant, groups[1].variant)
    seeds = data.common((first, second)) if paired else None
    return groups[0].values(outcome, seeds), groups[1].values(outcome, seeds), paired


def difference(first: SeedValues, second: SeedValues, paired: bool) -> Estimate:
    """Return the mean of the first variant minus that of the second."""
    scale = max(float(np.abs(first).max()), float(np.abs(second).max()))
    return means.sum_of_means([first - second] if paired else [first, -second], scale=scale)


def _judged(
    data: StudyData,
    names: tuple[str, str],
    sample: tuple[SeedValues, SeedValues, bool],
    judgement: Judgement,
    significant: Mapping[str, NDArray[np.bool_]],
) -> Judged:
    first, second, paired = sample
    least, confidence = data.smallest_effect(names[0]), judgement.confidence
    agreement, over_images = _samples_of_images(data, names, sample)
    return Judged(
        least,
        judgement,
        means.superiority(first, second, paired=paired),
        means.rank_p(first, second, paired=paired),
        agreement,
        over_images,
        verdicts.decide(over_images.interval(confidence), least),
        {multiple: verdicts.decide(judgement.simultaneous, multiple * least) for multiple in MULTIPLES},
        dict(_without(data, names, judgement)),
        float(np.concatenate([significant[name] for name in names]).mean()),
        Assumed.observed(first - second) if paired else Assumed.observed(first, -second),
    )


def _without(
    data: StudyData, names: tuple[str, str], judgement: Judgement
) -> Iterator[tuple[tuple[str, int], Interval]]:
    paired = judgement.comparison.paired
    for name in names[:1] if paired else names:
        for seed in data.common(names) if paired else data.groups[name].entries:
            sample = samples(data.without(name, seed), *names)
            if min(len(sample[0]), len(sample[1])) >= MIN_SEEDS:
                yield (name, seed), difference(*sample).interval(judgement.confidence)


def _samples_of_images(
    data: StudyData, names: tuple[str, str], sample: tuple[SeedValues, SeedValues, bool]
) -> tuple[Agreement, Estimate]:
    """Return the difference on the held-out images beside that on the test images, and on both together.

    The ledger has the answers to the test images alone: the held-out images are taken to vary as these do.
    """
    held_out = samples(data, *names, outcome=HELD_OUT)
    paired, seeds = sample[2], data.common(names) if sample[2] else None
    groups = [data.groups[name].entries for name in names]
    answers = [np.stack([group[seed].correct for seed in seeds or group]) for group in groups]
    splits = next(iter(groups[0].values())).record["splits"]
    tested, others = (int(splits[name]["count"]) for name in ("test", "validation"))
    error = crossed.image_error(*answers, paired=paired) * sqrt(tested)
    by_variant = list(zip(sample[:2], held_out[:2], strict=True))
    first, second = ((tested * one + others * other) / (tested + others) for one, other in by_variant)
    over_images = crossed.over_seeds_and_images(difference(first, second, paired), error / sqrt(tested + others))
    first, second = (one - other for one, other in by_variant)
    apart = difference(first, second, paired)
    distance_error = sqrt(apart.standard_error**2 + error**2 * (1 / tested + 1 / others))
    return Agreement(difference(*held_out), apart.estimate, distance_error), over_images


def told_apart(data: StudyData, name: str) -> NDArray[np.bool_]:
    """Return for which pairs of a variant's own replicates McNemar's test finds different error rates."""
    answers = np.stack([entry.correct for entry in data.groups[name].entries.values()])
    return proportions.mcnemar_among(answers) < data.study.statistics.level


def mcnemar_p(first: Entry, second: Entry) -> float:
    """Return the p value of McNemar's exact test of two fitted networks on the same test images."""
    return proportions.mcnemar(first.correct, second.correct).p_value
