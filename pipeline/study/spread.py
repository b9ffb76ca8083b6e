"""How much test accuracy varies between seeds, and the drop that the gate therefore allows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import sqrt

from pipeline.analysis import means, prediction
from pipeline.study.comparisons import OUTCOME
from pipeline.study.groups import StudyData

# The difference of two runs has sqrt(2) times the standard deviation of one; one above three of these is rarely
# due to the seed: Shewhart, Economic Control of Quality of Manufactured Product (1931).
ALLOWED = 3 * sqrt(2)


@dataclass(frozen=True)
class Spread:
    """The standard deviation of a model's test accuracy over `n` seeds, as a share, and its upper 80% bound."""

    n: int
    sd: float

    @property
    def upper(self) -> float:
        """The one-sided upper confidence bound of the standard deviation (see `prediction.sd_upper_bound`)."""
        return prediction.sd_upper_bound(self.sd, self.n - 1)

    @property
    def allowed_drop(self) -> float:
        """The drop in test accuracy that the seed alone rarely exceeds, however few seeds tell of the spread."""
        return ALLOWED * self.upper


def spreads(data: StudyData, networks: Iterable[str]) -> Mapping[str, Spread]:
    """Return the spread of each of the networks that has two seeds; their spreads differ."""
    return {name: _spread(data, name) for name in networks if len(data.common([name])) > 1}


def _spread(data: StudyData, name: str) -> Spread:
    summary = means.describe(data.groups[name].values(OUTCOME))
    return Spread(summary.n, summary.sd)
