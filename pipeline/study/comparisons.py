"""The study's family of comparisons: the test accuracy of pairs of variants, adjusted for multiple testing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.analysis import crossed, means, multitest, power, proportions, verdicts
from pipeline.analysis.means import Comparison, Estimate
from pipeline.analysis.multitest import Judgement
from pipeline.analysis.power import Assumed, Decision
from pipeline.analysis.proportions import Proportion
from pipeline.analysis.verdicts import MIN_SEEDS, Verdict
from pipeline.study.groups import SeedValues, StudyData
from pipeline.trials import plan
from pipeline.trials.ledger import Entry

OUTCOME = "test_accuracy"


@dataclass(frozen=True)
class VariantPair:
    """The comparison of two variants: paired by seed if both share initial weights and image order, else unpaired.

    From `judgement` on, what needs MIN_SEEDS seeds of both is None if there are fewer: `over_images` is the difference
    with its standard error for other seeds and other images, `new_images` the verdict on that one's interval, and
    `assumed` what the seeds needed for a verdict are planned with. `tested` counts the seeds that both variants have;
    for `significant` of these, McNemar's test (unadjusted) rejects equal error rates.
    """

    first: str
    second: str
    paired: bool
    n_first: int
    n_second: int
    judgement: Judgement | None
    superiority: Proportion | None
    over_images: Estimate | None
    new_images: Verdict | None
    assumed: Assumed | None
    tested: int
    significant: int

    @property
    def label(self) -> str:
        """The difference in words."""
        return f"`{self.first}` minus `{self.second}`"

    @property
    def verdict(self) -> str:
        """The verdict on the first variant in words, or that there are too few seeds for one."""
        if self.judgement is not None:
            return str(self.judgement.verdict)
        counts = sorted({self.n_first, self.n_second})
        return f"cannot tell with {' and '.join(map(str, counts))} seed{'' if counts == [1] else 's'}"

    @property
    def on_new_images(self) -> str:
        """A sentence: whether the verdict would hold for new images too; empty if there is no verdict to hold."""
        if self.judgement is None or self.judgement.verdict is Verdict.UNDECIDED:
            return ""
        if self.new_images is self.judgement.verdict:
            return "It would hold for new images too."
        return f"It holds for these test images; over new images as well, the verdict is *{self.new_images}*."


def compare_variants(data: StudyData) -> tuple[VariantPair, ...]:
    """Compare all pairs listed in study/params.yaml; the adjustment also counts those that have too few seeds."""
    rules = data.study.statistics
    if not rules.comparisons:
        return ()
    values = {pair: samples(data, *pair) for pair in rules.comparisons}
    compared: dict[tuple[str, str], Comparison] = {
        pair: means.compare(first, second, paired=paired)
        for pair, (first, second, paired) in values.items()
        if min(len(first), len(second)) >= MIN_SEEDS
    }
    least = data.smallest_effect(rules.comparisons[0][0])
    judged = multitest.judge(compared, least, rules.level, len(rules.comparisons))
    return tuple(_pair(data, pair, sample, judged.get(pair)) for pair, sample in values.items())


def find_pair(pairs: Sequence[VariantPair], first: str, second: str) -> tuple[VariantPair, Verdict]:
    """Return the planned comparison of two variants, in whichever order it is listed, and the verdict on `first`."""
    pair = next(pair for pair in pairs if {pair.first, pair.second} == {first, second})
    verdict = pair.judgement.verdict if pair.judgement else Verdict.UNDECIDED
    return pair, verdict if pair.first == first else verdict.reverse


def decision(pair: VariantPair, data: StudyData, accepted: Collection[Verdict] = power.DECIDED) -> Decision | None:
    """Return what decides a pair: one of the `accepted` verdicts on it, in its family; None if it was not judged."""
    if pair.judgement is None or pair.assumed is None:
        return None
    least, confidence = data.smallest_effect(pair.first), pair.judgement.confidence
    return Decision(((power.verdict_among(pair.assumed, least, accepted, confidence),),))


def samples(data: StudyData, first: str, second: str, outcome: str = OUTCOME) -> tuple[SeedValues, SeedValues, bool]:
    """Return an outcome of two variants, and whether it is paired by seed, as both start and see images alike."""
    groups = data.groups[first], data.groups[second]
    paired = plan.same_network(groups[0].variant, groups[1].variant)
    seeds = data.common((first, second)) if paired else None
    return groups[0].values(outcome, seeds), groups[1].values(outcome, seeds), paired


def _pair(
    data: StudyData, names: tuple[str, str], sample: tuple[SeedValues, SeedValues, bool], judgement: Judgement | None
) -> VariantPair:
    first, second, paired = sample
    seeds = data.common(names)
    one, other = (data.groups[name].entries for name in names)
    p_values = [mcnemar_p(one[seed], other[seed]) for seed in seeds]
    over_images = _over_images(data, names, paired) if judgement else None
    return VariantPair(
        *names,
        paired=paired,
        n_first=len(first),
        n_second=len(second),
        judgement=judgement,
        superiority=means.superiority(first, second, paired=paired) if judgement else None,
        over_images=over_images,
        new_images=verdicts.decide(over_images.interval(judgement.confidence), data.smallest_effect(names[0]))
        if judgement and over_images
        else None,
        assumed=_assumed(first, second, paired) if judgement else None,
        tested=len(seeds),
        significant=sum(p < data.study.statistics.level for p in p_values),
    )


def _assumed(first: SeedValues, second: SeedValues, paired: bool) -> Assumed:
    return Assumed.observed(first - second) if paired else Assumed.observed(first, -second)


def _over_images(data: StudyData, names: tuple[str, str], paired: bool) -> Estimate:
    seeds = data.common(names) if paired else None
    groups = (data.groups[name].entries for name in names)
    answers = (
        np.stack([correct(entry) for seed, entry in group.items() if seeds is None or seed in seeds])
        for group in groups
    )
    return crossed.over_seeds_and_images(*answers, paired=paired)


def correct(entry: Entry) -> NDArray[np.bool_]:
    """Return which test images a replicate classifies correctly, (images,)."""
    found = np.ones(entry.record["splits"]["test"]["count"], bool)
    found[entry.errors["image"]] = False
    return found


def mcnemar_p(first: Entry, second: Entry) -> float:
    """Return the p value of McNemar's exact test of two fitted networks on the same test images."""
    return proportions.mcnemar(correct(first), correct(second)).p_value
