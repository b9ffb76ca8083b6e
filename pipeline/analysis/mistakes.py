"""The images that a classifier gets wrong, one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.analysis.metrics import Labels, Probabilities

if TYPE_CHECKING:
    import pandas as pd


def surest(probabilities: Probabilities, labels: Labels) -> NDArray[np.int64]:
    """Return which images are not predicted as their class, the surest answer first."""
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    return wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")]


def table(
    probabilities: Probabilities, labels: Labels, classes: Sequence[str], origins: NDArray[np.str_] | None = None
) -> pd.DataFrame:
    """Return a row for each image that is not predicted as its class, the surest answer first.

    Its columns are `image`, the origin or else the row among the images, counted from 0, the names of its `true_class`
    and of the `answer`, and the `probability` of that.
    """
    import pandas as pd

    answers, sure, names = probabilities.argmax(axis=1), probabilities.max(axis=1), np.array(classes, object)
    wrong = surest(probabilities, labels)
    images = wrong if origins is None else origins[wrong]
    columns = {"true_class": names[labels[wrong]], "answer": names[answers[wrong]], "probability": sure[wrong]}
    return pd.DataFrame({"image": images, **columns})
