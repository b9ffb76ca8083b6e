"""How far the seed alone moves a test accuracy, and the drop that the gate therefore allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

from pipeline.analysis import means
from pipeline.study.comparisons import OUTCOME
from pipeline.study.convergence import MODELS
from pipeline.study.groups import Evidence

POOLED = "pooled"
# A difference of two trainings has a standard deviation sqrt(2) times that of one; beyond three of these, it is rarely
# the seed's doing: Shewhart, Economic Control of Quality of Manufactured Product (1931).
ALLOWED = 3 * sqrt(2)


@dataclass(frozen=True)
class Spread:
    """The standard deviation of a test accuracy over `n` seeds, as a share, and on how many degrees of freedom."""

    n: int
    degrees_of_freedom: int
    sd: float

    @property
    def allowed_drop(self) -> float:
        """How much of its test accuracy a model may lose before more than the seed is to blame."""
        return ALLOWED * self.sd


def spreads(evidence: Evidence) -> Mapping[str, Spread]:
    """Return the spread of each of the report's networks that has two seeds, and POOLED, that of all of them.

    The pooled variance is the mean of the networks' own, weighted by their degrees of freedom: each is taken around its
    own mean. Source: Snedecor and Cochran, Statistical Methods, 8th ed. (1989).
    """
    found = {name: _spread(evidence, name) for name in MODELS if len(evidence.common([name])) > 1}
    if not found:
        return {}
    freedom = sum(one.degrees_of_freedom for one in found.values())
    variance = sum(one.degrees_of_freedom * one.sd**2 for one in found.values()) / freedom
    return {**found, POOLED: Spread(sum(one.n for one in found.values()), freedom, sqrt(variance))}


def _spread(evidence: Evidence, name: str) -> Spread:
    summary = means.describe(evidence.groups[name].values(OUTCOME))
    return Spread(summary.n, summary.n - 1, summary.sd)
