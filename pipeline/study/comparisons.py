"""The study's family of comparisons: the test accuracy of pairs of variants, adjusted for multiple testing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.analysis import means, multitest, proportions
from pipeline.analysis.means import Comparison
from pipeline.analysis.multitest import Judgement
from pipeline.analysis.proportions import Proportion
from pipeline.analysis.verdicts import MIN_SEEDS, Verdict
from pipeline.study import plan
from pipeline.study.groups import SeedValues, StudyData
from pipeline.study.ledger import Entry

OUTCOME = "test_accuracy"
_FLIPPED = {Verdict.BETTER: Verdict.WORSE, Verdict.WORSE: Verdict.BETTER}


@dataclass(frozen=True)
class VariantPair:
    """The comparison of two variants: paired by seed if both share initial weights and image order, else unpaired.

    `judgement` and `superiority` are None if a variant has fewer than MIN_SEEDS seeds. `tested` counts the seeds that
    both variants have; for `significant` of these, McNemar's test (unadjusted) rejects equal error rates.
    """

    first: str
    second: str
    paired: bool
    n_first: int
    n_second: int
    judgement: Judgement | None
    superiority: Proportion | None
    tested: int
    significant: int

    @property
    def verdict(self) -> str:
        """The verdict on the first variant in words, or that there are too few seeds for one."""
        if self.judgement is not None:
            return str(self.judgement.verdict)
        counts = sorted({self.n_first, self.n_second})
        return f"cannot tell with {' and '.join(map(str, counts))} seed{'' if counts == [1] else 's'}"

    @property
    def words(self) -> str:
        """The verdict as the page shows it; a significant difference may still be too small to matter."""
        one = self.judgement
        small = one is not None and one.verdict in _FLIPPED and one.within_smallest_effect
        return f"*{self.verdict}*" + (", but by less than matters" if small else "")


def compare_variants(data: StudyData) -> tuple[VariantPair, ...]:
    """Compare all pairs listed in study/params.yaml; the adjustment also counts those that have too few seeds."""
    rules = data.study.statistics
    samples = {pair: _samples(data, *pair) for pair in rules.comparisons}
    compared: dict[tuple[str, str], Comparison] = {
        pair: means.compare(first, second, paired=paired)
        for pair, (first, second, paired) in samples.items()
        if min(len(first), len(second)) >= MIN_SEEDS
    }
    judged = multitest.judge(compared, rules.smallest_effect, rules.level, len(rules.comparisons))
    return tuple(_pair(data, pair, sample, judged.get(pair)) for pair, sample in samples.items())


def find_pair(pairs: Sequence[VariantPair], first: str, second: str) -> tuple[VariantPair, Verdict] | None:
    """Return the compared pair of these variants, in whichever order it is listed, and the verdict on `first`."""
    for pair in pairs:
        if pair.judgement is not None and {pair.first, pair.second} == {first, second}:
            verdict = pair.judgement.verdict
            return pair, verdict if pair.first == first else _FLIPPED.get(verdict, verdict)
    return None


def _samples(data: StudyData, first: str, second: str) -> tuple[SeedValues, SeedValues, bool]:
    groups = data.groups[first], data.groups[second]
    paired = plan.same_network(groups[0].variant, groups[1].variant)
    seeds = data.common((first, second)) if paired else None
    return groups[0].values(OUTCOME, seeds), groups[1].values(OUTCOME, seeds), paired


def _pair(
    data: StudyData, names: tuple[str, str], sample: tuple[SeedValues, SeedValues, bool], judgement: Judgement | None
) -> VariantPair:
    first, second, paired = sample
    seeds = data.common(names)
    one, other = (data.groups[name].entries for name in names)
    p_values = [mcnemar_p(one[seed], other[seed]) for seed in seeds]
    return VariantPair(
        *names,
        paired=paired,
        n_first=len(first),
        n_second=len(second),
        judgement=judgement,
        superiority=means.superiority(first, second, paired=paired) if judgement else None,
        tested=len(seeds),
        significant=sum(p < data.study.statistics.level for p in p_values),
    )


def mcnemar_p(first: Entry, second: Entry) -> float:
    """Return the p value of McNemar's exact test of two fitted networks on the same test images."""
    correct = np.ones((2, first.record["splits"]["test"]["count"]), bool)
    for row, entry in zip(correct, (first, second), strict=True):
        row[entry.errors["image"]] = False
    return proportions.mcnemar(*correct).p_value
