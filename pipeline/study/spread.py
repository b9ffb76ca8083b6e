"""How much test accuracy varies between seeds, and the drop that the gate therefore allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

from pipeline.analysis import means
from pipeline.study.comparisons import OUTCOME
from pipeline.study.convergence import MODELS
from pipeline.study.groups import StudyData

POOLED = "pooled"
# The difference of two runs has sqrt(2) times the standard deviation of one; one above three of these is rarely
# due to the seed: Shewhart, Economic Control of Quality of Manufactured Product (1931).
ALLOWED = 3 * sqrt(2)


@dataclass(frozen=True)
class Spread:
    """The standard deviation of the test accuracy over `n` seeds, as a share, and its degrees of freedom."""

    n: int
    degrees_of_freedom: int
    sd: float

    @property
    def allowed_drop(self) -> float:
        """The drop in test accuracy that the seed alone rarely exceeds."""
        return ALLOWED * self.sd


def spreads(data: StudyData) -> Mapping[str, Spread]:
    """Return the spread of each of the original's networks that has two seeds, and POOLED, that of all of them.

    The pooled variance is the mean of the within-network variances, weighted by their degrees of freedom.
    Source: Snedecor and Cochran, Statistical Methods, 8th ed. (1989).
    """
    found = {name: _spread(data, name) for name in MODELS if len(data.common([name])) > 1}
    if not found:
        return {}
    freedom = sum(one.degrees_of_freedom for one in found.values())
    variance = sum(one.degrees_of_freedom * one.sd**2 for one in found.values()) / freedom
    return {**found, POOLED: Spread(sum(one.n for one in found.values()), freedom, sqrt(variance))}


def _spread(data: StudyData, name: str) -> Spread:
    summary = means.describe(data.groups[name].values(OUTCOME))
    return Spread(summary.n, summary.n - 1, summary.sd)
