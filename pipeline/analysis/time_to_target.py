"""How many epochs a model trains until a score first reaches a target."""

from dataclasses import dataclass
from math import inf, isfinite

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class EpochsToTarget:
    """The first epoch, counted from 1, at which each of `n` seeds reached a target; None where none of its epochs did.

    `median`, `smallest` and `largest` count such a seed as later than every epoch; they are None if that decides them.
    """

    epochs: tuple[int | None, ...]
    n: int
    reached: int
    median: float | None
    smallest: int | None
    largest: int | None


def epochs_to(histories: ArrayLike, target: float) -> EpochsToTarget:
    """Return when each seed first reaches `target`; `histories`, (seeds, epochs), hold a score, the higher the better.

    All seeds have the same number of epochs, so those that do not reach the target are censored at the same time, and
    the order of the others is known without a model. A score that falls below the target again does not count.
    Source: J. F. Lawless, Statistical Models and Methods for Lifetime Data, 2nd ed. (2003), chapter 2.

    Raises:
        ValueError: There is no seed or no epoch, the seeds have different numbers of epochs, or a number is not finite.
    """
    scores = np.asarray(histories, dtype=np.float64)
    if scores.ndim != 2 or not scores.size:
        raise ValueError(f"expected scores (seeds, epochs), found shape {scores.shape}")
    if not (np.isfinite(scores).all() and isfinite(target)):
        raise ValueError("expected finite scores and a finite target")
    hits = scores >= target
    first = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, inf)

    def known(epoch: float) -> int | None:
        return int(epoch) if epoch < inf else None

    median = float(np.median(first))
    return EpochsToTarget(
        epochs=tuple(known(epoch) for epoch in first),
        n=len(first),
        reached=int(np.isfinite(first).sum()),
        median=median if median < inf else None,
        smallest=known(first.min()),
        largest=known(first.max()),
    )
