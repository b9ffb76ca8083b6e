"""Several tests at once: p values adjusted for their number, simultaneous intervals, a verdict for each comparison."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pipeline.analysis import verdicts
from pipeline.analysis.means import Comparison
from pipeline.analysis.verdicts import MIN_SEEDS, Interval, Verdict

Key = TypeVar("Key")


@dataclass(frozen=True)
class Judgement:
    """A comparison as a member of a family of comparisons.

    `adjusted_p` is Holm's; `interval` is that of this comparison alone; `simultaneous` is Bonferroni's at `confidence`:
    all those of the family contain their true differences with the confidence that each plain one has alone. The
    verdict is that on the simultaneous interval.
    """

    comparison: Comparison
    adjusted_p: float
    interval: Interval
    confidence: float
    simultaneous: Interval
    verdict: Verdict


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p values adjusted for their number by Holm's step-down rule, in the order given.

    Source: S. Holm, Scand. J. Stat. 6 (1979) 65-70.

    Raises:
        ValueError: A p value is not within [0, 1].
    """
    if not all(0 <= p <= 1 for p in p_values):
        raise ValueError(f"expected p values within [0, 1], found {list(p_values)}")
    # statsmodels takes more than a second to import.
    from statsmodels.stats.multitest import multipletests

    return [float(p) for p in multipletests(p_values, method="holm")[1]]


def simultaneous_confidence(family_size: int, alpha: float = 0.05) -> float:
    """Return the confidence of Bonferroni's intervals: 1 - alpha / family_size.

    Source: O. J. Dunn, J. Am. Stat. Assoc. 56 (1961) 52-64.

    Raises:
        ValueError: The family is empty, or `alpha` is not strictly between 0 and 1.
    """
    if family_size < 1 or not 0 < alpha < 1:
        raise ValueError(f"expected a family of at least 1 and alpha between 0 and 1, found {family_size} and {alpha}")
    return 1 - alpha / family_size


def judge(
    comparisons: Mapping[Key, Comparison], smallest_effect: float, alpha: float = 0.05, family_size: int | None = None
) -> dict[Key, Judgement]:
    """Judge a family of comparisons; `smallest_effect`, in the unit of their estimates, is the least that would matter.

    Each verdict is `verdicts.decide` on the simultaneous interval, so the probability that any verdict of the family is
    wrong is `alpha` at most. Holm's p values, of equal means, are given too: less strict than these intervals, one may
    be below alpha where the interval still contains 0.
    `family_size` counts the planned comparisons, by default those given: each that could not be made counts with
    p = 1, so that missing data never make the correction more lenient.

    Raises:
        ValueError: A group has fewer than MIN_SEEDS values, `smallest_effect` is not above 0, `alpha` not strictly
            between 0 and 1, or `family_size` is smaller than the number of comparisons given.
    """
    verdicts.check_smallest_effect(smallest_effect)
    size = len(comparisons) if family_size is None else family_size
    missing = size - len(comparisons)
    if missing < 0:
        raise ValueError(f"expected a family of at least {len(comparisons)}, found {family_size}")
    for key, comparison in comparisons.items():
        sizes = comparison.n_first, comparison.n_second
        if min(sizes) < MIN_SEEDS:
            raise ValueError(f"{key}: expected {MIN_SEEDS} seeds per group, found {sizes[0]} and {sizes[1]}")
    confidence = simultaneous_confidence(max(size, 1), alpha)
    adjusted = holm([comparison.p_value for comparison in comparisons.values()] + [1.0] * missing)
    judged: dict[Key, Judgement] = {}
    for (key, comparison), p in zip(comparisons.items(), adjusted, strict=False):
        simultaneous = comparison.interval(confidence)
        verdict = verdicts.decide(simultaneous, smallest_effect)
        judged[key] = Judgement(comparison, p, comparison.interval(1 - alpha), confidence, simultaneous, verdict)
    return judged
