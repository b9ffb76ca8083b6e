"""Several tests at once: p values adjusted for their number, matching intervals, and a verdict for each comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, nan
from typing import TypeVar

from pipeline.analysis.means import Comparison
from pipeline.analysis.verdicts import MIN_SEEDS, Verdict

Key = TypeVar("Key")


@dataclass(frozen=True)
class Judgement:
    """A comparison as a member of a family of comparisons.

    `adjusted_p` is Holm's; (`low`, `high`) is the interval at `confidence`, which agrees with it (see
    `simultaneous_confidences`); (`narrow_low`, `narrow_high`) is the interval at 1 - 2 alpha, not adjusted.
    `within_smallest_effect` is True if the latter lies strictly between -smallest_effect and +smallest_effect. A
    verdict of better or worse together with it means: the difference is significant, and too small to matter.
    """

    comparison: Comparison
    adjusted_p: float
    confidence: float
    low: float
    high: float
    narrow_low: float
    narrow_high: float
    within_smallest_effect: bool
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


def simultaneous_confidences(p_values: Sequence[float], alpha: float = 0.05) -> list[float]:
    """Return, in the order given, the confidence at which each test's interval agrees with Holm's rule at `alpha`.

    It is 1 - alpha / k, where k is the number of hypotheses that Holm's rule has not rejected when it comes to this
    one; all that it never rejects share the last k. Equal p values are taken in the order given. An interval that
    belongs to its test, such as the t interval to the t test, then excludes 0 exactly where the adjusted p value is
    below alpha. These intervals promise no more than that. Their confidences depend on the observed p values, so
    simultaneous coverage of 1 - alpha is not proven; Bonferroni's intervals, all with k = len(p_values), have it.
    Sources: R. C. Serlin, J. Exp. Educ. 61 (1993) 350-360; for Hochberg's rule instead of Holm's, J. T. Efird and
    S. S. Nielsen, Int. J. Environ. Res. Public Health 5 (2008) 394-398.

    Raises:
        ValueError: A p value is not within [0, 1], or `alpha` not strictly between 0 and 1.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"expected alpha between 0 and 1, found {alpha}")
    rejected = sum(p < alpha for p in holm(p_values))
    confidences = [nan] * len(p_values)
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        confidences[index] = 1 - alpha / (len(p_values) - min(rank, rejected))
    return confidences


def judge(
    comparisons: Mapping[Key, Comparison], smallest_effect: float, alpha: float = 0.05, family_size: int | None = None
) -> dict[Key, Judgement]:
    """Judge a family of comparisons; `smallest_effect`, in the unit of their estimates, is the least that would matter.

    The first group is better (its mean is the higher one) or worse if the p value of the t test, adjusted by Holm's
    rule for the family, is below `alpha`. Otherwise there is no relevant difference if the interval at 1 - 2 alpha
    lies strictly within the smallest effect on both sides: two one-sided tests (TOST), each at alpha, not adjusted for
    the family. Otherwise one cannot tell.
    `family_size` counts the planned comparisons, by default those given: each that could not be made counts with
    p = 1, so that missing data never make the correction more lenient.
    Sources: S. Holm, Scand. J. Stat. 6 (1979) 65-70; D. J. Schuirmann, J. Pharmacokinet. Biopharm. 15 (1987) 657-680;
    D. Lakens, Soc. Psychol. Personal. Sci. 8 (2017) 355-362.

    Raises:
        ValueError: A group has fewer than MIN_SEEDS values, `smallest_effect` is not above 0, `alpha` not strictly
            between 0 and 0.5, or `family_size` is smaller than the number of comparisons given.
    """
    if not 0 < smallest_effect < inf:
        raise ValueError(f"expected a smallest effect above 0, found {smallest_effect}")
    if not 0 < alpha < 0.5:
        raise ValueError(f"expected alpha between 0 and 0.5, found {alpha}")
    missing = 0 if family_size is None else family_size - len(comparisons)
    if missing < 0:
        raise ValueError(f"expected a family of at least {len(comparisons)}, found {family_size}")
    for key, one in comparisons.items():
        if min(one.n_first, one.n_second) < MIN_SEEDS:
            raise ValueError(f"{key}: expected {MIN_SEEDS} seeds per group, found {one.n_first} and {one.n_second}")
    p_values = [one.p_value for one in comparisons.values()] + [1.0] * missing
    adjusted, confidences = holm(p_values), simultaneous_confidences(p_values, alpha)
    return {
        key: _judgement(one, p, confidence, smallest_effect, alpha)
        for (key, one), p, confidence in zip(comparisons.items(), adjusted, confidences, strict=False)
    }


def _judgement(
    one: Comparison, adjusted_p: float, confidence: float, smallest_effect: float, alpha: float
) -> Judgement:
    low, high = one.interval(confidence)
    narrow_low, narrow_high = one.interval(1 - 2 * alpha)
    within = -smallest_effect < narrow_low and narrow_high < smallest_effect
    if adjusted_p < alpha:
        verdict = Verdict.BETTER if one.estimate > 0 else Verdict.WORSE
    else:
        verdict = Verdict.EQUIVALENT if within else Verdict.UNDECIDED
    return Judgement(one, adjusted_p, confidence, low, high, narrow_low, narrow_high, within, verdict)
