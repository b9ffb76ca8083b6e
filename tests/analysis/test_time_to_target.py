"""Epochs until a target, with the seeds that never reach it."""

from math import nan
from typing import Any

import pytest

from pipeline.analysis.time_to_target import EpochsToTarget, epochs_to


def test_epochs_to_counts_from_one_and_reaches_at_the_target() -> None:
    """The first epoch at or above the target counts, from 1, whatever comes after."""
    histories = [[0.5, 0.7, 0.6], [0.9, 0.1, 0.1], [0.1, 0.2, 0.7]]

    assert epochs_to(histories, 0.7) == EpochsToTarget((2, 1, 3), n=3, reached=3, median=2.0, smallest=1, largest=3)


def test_a_seed_that_never_reaches_the_target_is_later_than_all() -> None:
    """A censored seed makes the largest epoch unknown, and the median once half of the seeds are censored."""
    late, never = [0.0, 1.0, 1.0], [0.0, 0.0, 0.0]

    assert epochs_to([late, late, never], 0.5) == EpochsToTarget((2, 2, None), 3, 2, 2.0, 2, None)
    assert epochs_to([late, never], 0.5) == EpochsToTarget((2, None), 2, 1, None, 2, None)
    assert epochs_to([never, never], 0.5) == EpochsToTarget((None, None), 2, 0, None, None, None)


@pytest.mark.parametrize(
    ("histories", "target"),
    [([], 0.5), ([[]], 0.5), ([0.5], 0.5), ([[0.5, 0.6], [0.5]], 0.5), ([[0.5, nan]], 0.5), ([[0.5]], nan)],
)
def test_epochs_to_rejects_what_it_cannot_judge(histories: Any, target: float) -> None:
    """No seed, no epoch, unequal numbers of epochs and numbers that are not finite are a ValueError."""
    with pytest.raises(ValueError, match=r"expected|inhomogeneous"):
        epochs_to(histories, target)
