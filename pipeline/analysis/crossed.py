"""A difference in accuracy over seeds and images together: both are samples, and every seed saw the same images.

The correct answers are a table with a row per seed and a column per image: crossed random effects, with one answer in
each cell.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy.typing import NDArray

from pipeline.analysis import means
from pipeline.analysis.means import Comparison, Estimate

Answers = NDArray[np.bool_]
Floats = NDArray[np.float64]


def over_seeds_and_images(first: Answers, second: Answers, *, paired: bool) -> Estimate:
    """Return accuracy(first) - accuracy(second) with its standard error for other seeds and other images.

    `first`, (n_first, images), and `second`, (n_second, images), mark the correct answers, each with 2 seeds or more.
    The variance is that over seeds (as in `means.compare`) plus that of the images' mean differences, minus the
    residual one, which both contain: from the mean squares of the two-way layout without replication. The degrees of
    freedom are those over seeds, fewer than any approximation gives, so that an interval is never narrower than the one
    over seeds alone.
    Source: S. R. Searle, G. Casella and C. E. McCulloch, Variance Components (1992), chapter 4.

    Raises:
        ValueError: As for `means.compare`, or the numbers of images differ or are below 2.
    """
    if first.shape[1:] != second.shape[1:] or first.ndim != 2 or first.shape[1] < 2:
        raise ValueError(f"expected (seeds, images) for 2 or more images, found {first.shape} and {second.shape}")
    over_seeds = _over_seeds(first, second, paired)
    images = first.shape[1]
    by_image = first.mean(axis=0) - second.mean(axis=0)
    tables = [first.astype(np.float64) - second] if paired else [first.astype(np.float64), second.astype(np.float64)]
    residual = sum(_residual_mean_square(table) / table.size for table in tables)
    of_images = max(float(by_image.var(ddof=1)) / images - residual, 0.0)
    error = sqrt(over_seeds.standard_error**2 + of_images)
    return Estimate(over_seeds.estimate, error, over_seeds.degrees_of_freedom)


def _over_seeds(first: Answers, second: Answers, paired: bool) -> Comparison:
    return means.compare(first.mean(axis=1), second.mean(axis=1), paired=paired)


def _residual_mean_square(table: Floats) -> float:
    rest = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
    return float((rest**2).sum() / ((table.shape[0] - 1) * (table.shape[1] - 1)))
