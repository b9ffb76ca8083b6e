"""A difference in accuracy or loss over seeds and images together: both are samples, all seeds saw the same images.

The correct answers, or the losses, are a table with a row per seed and a column per image: crossed random effects, with
one value in each cell.
"""

from math import sqrt

import numpy as np
from numpy.typing import NDArray

from pipeline.analysis.means import Estimate

Floats = NDArray[np.float64]
Table = NDArray[np.bool_] | Floats


def over_seeds_and_images(over_seeds: Estimate, error: float) -> Estimate:
    """Return a difference with its standard error for other seeds and other images.

    `over_seeds` is the difference with its standard error for other seeds, and `error` the one that it has from the
    images. The degrees of freedom are those over seeds, fewer than any approximation gives, so that an interval is
    never narrower than the one over seeds alone.
    """
    return Estimate(over_seeds.estimate, sqrt(over_seeds.standard_error**2 + error**2), over_seeds.degrees_of_freedom)


def image_error(first: Table, second: Table, *, paired: bool) -> float:
    """Return the standard error that mean(first) - mean(second) has from the sample of images alone.

    Its square is the variance of the images' mean differences minus the residual one, which that contains: from the
    mean squares of the two-way layout without replication.
    Source: S. R. Searle, G. Casella and C. E. McCulloch, Variance Components (1992), chapter 4.

    Raises:
        ValueError: The numbers of images differ, or those of paired seeds, or one is below 2.
    """
    shapes = first.shape, second.shape
    if any(len(shape) != 2 or min(shape) < 2 for shape in shapes) or shapes[0][not paired :] != shapes[1][not paired :]:
        raise ValueError(f"expected (seeds, images) with 2 or more of each, found {first.shape} and {second.shape}")
    by_image = first.mean(axis=0) - second.mean(axis=0)
    tables = [first.astype(np.float64) - second] if paired else [first.astype(np.float64), second.astype(np.float64)]
    residual = sum(_residual_mean_square(table) / table.size for table in tables)
    return sqrt(max(float(by_image.var(ddof=1)) / first.shape[1] - residual, 0.0))


def _residual_mean_square(table: Floats) -> float:
    rest = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
    return float((rest**2).sum() / ((table.shape[0] - 1) * (table.shape[1] - 1)))
