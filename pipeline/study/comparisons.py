"""The study's one family of comparisons: the test accuracy of variants, two by two, judged together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.analysis import means, multitest, proportions
from pipeline.analysis.means import Comparison
from pipeline.analysis.multitest import MIN_SEEDS, Judgement, Verdict
from pipeline.analysis.proportions import Proportion
from pipeline.study import plan
from pipeline.study.groups import Evidence, Floats
from pipeline.study.ledger import Entry

OUTCOME = "test_accuracy"
_FLIPPED = {Verdict.BETTER: Verdict.WORSE, Verdict.WORSE: Verdict.BETTER}


@dataclass(frozen=True)
class Pair:
    """Two variants, compared: paired where they share initial weights and order by seed, which then both have to have.

    `judgement` and `superiority` are None where a variant has fewer than MIN_SEEDS. `tested` counts the seeds that
    both have, `significant` those of them whose two fitted networks McNemar's test tells apart, not adjusted.
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
        """What the comparison says of its first variant, in words."""
        if self.judgement is not None:
            return str(self.judgement.verdict)
        counts = sorted({self.n_first, self.n_second})
        return f"cannot tell with {' and '.join(map(str, counts))} seed{'' if counts == [1] else 's'}"

    @property
    def words(self) -> str:
        """The verdict as the page has it: what is told apart may still be too close to matter."""
        one = self.judgement
        told = one is not None and one.verdict in _FLIPPED and one.within_smallest_effect
        return f"*{self.verdict}*" + (", by less than matters" if told else "")


def judge(evidence: Evidence) -> tuple[Pair, ...]:
    """Compare all pairs that study/params.yaml lists; those that lack seeds make the correction no lighter."""
    rules = evidence.study.statistics
    samples = {pair: _samples(evidence, *pair) for pair in rules.comparisons}
    compared: dict[tuple[str, str], Comparison] = {
        pair: means.compare(first, second, paired=paired)
        for pair, (first, second, paired) in samples.items()
        if min(len(first), len(second)) >= MIN_SEEDS
    }
    judged = multitest.judge(compared, rules.smallest_effect, rules.level, len(rules.comparisons))
    return tuple(_pair(evidence, pair, sample, judged.get(pair)) for pair, sample in samples.items())


def find(pairs: Sequence[Pair], first: str, second: str) -> tuple[Pair, Verdict] | None:
    """Return the judged pair of these variants, in whichever order it is listed, and what it says of `first`."""
    for pair in pairs:
        if pair.judgement is not None and {pair.first, pair.second} == {first, second}:
            verdict = pair.judgement.verdict
            return pair, verdict if pair.first == first else _FLIPPED.get(verdict, verdict)
    return None


def _samples(evidence: Evidence, first: str, second: str) -> tuple[Floats, Floats, bool]:
    groups = evidence.groups[first], evidence.groups[second]
    paired = plan.same_network(groups[0].variant, groups[1].variant)
    seeds = evidence.common((first, second)) if paired else None
    return groups[0].values(OUTCOME, seeds), groups[1].values(OUTCOME, seeds), paired


def _pair(
    evidence: Evidence, names: tuple[str, str], sample: tuple[Floats, Floats, bool], judgement: Judgement | None
) -> Pair:
    first, second, paired = sample
    seeds = evidence.common(names)
    one, other = (evidence.groups[name].entries for name in names)
    p_values = [mcnemar(one[seed], other[seed]) for seed in seeds]
    return Pair(
        *names,
        paired=paired,
        n_first=len(first),
        n_second=len(second),
        judgement=judgement,
        superiority=means.superiority(first, second, paired=paired) if judgement else None,
        tested=len(seeds),
        significant=sum(p < evidence.study.statistics.level for p in p_values),
    )


def mcnemar(first: Entry, second: Entry) -> float:
    """Return McNemar's exact p value of two fitted networks on the same test images."""
    right = np.ones((2, first.record["splits"]["test"]["count"]), bool)
    for row, entry in zip(right, (first, second), strict=True):
        row[entry.errors["image"]] = False
    return proportions.mcnemar(*right).p_value
