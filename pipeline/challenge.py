"""A candidate beside the champion: both networks asked the same images, and what the candidate may lose."""

from __future__ import annotations

from collections.abc import Mapping
from math import floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.analysis import proportions
from pipeline.data.dataset import Dataset, Split
from pipeline.errors import InputError
from pipeline.inference import classifier
from pipeline.tracking import promotion
from pipeline.tracking.promotion import Comparison

_EXACT = 10**promotion.DIGITS


def images(data: Dataset) -> str:
    """Return the name of the split on which models are compared: the test images only where none are held out."""
    return "test" if data.validation is None else "validation"


def opponent(champion: Any, sums: Mapping[str, str], threads: int) -> Any:
    """Return the network of a registered version, or a text that says why no model with the tags `sums` is comparable.

    Raises:
        UnavailableError: MLflow does not answer.
    """
    if any(key not in champion.tags for key in sums):
        return "was not registered by this command"
    if champion.tags["data.md5"] != sums["data.md5"]:
        return "is of other data"
    try:
        return classifier.load_logged(f"{classifier.LOGGED}{champion.name}/{champion.version}", threads)
    except InputError as error:
        return f"cannot be loaded ({error})"


def right_answers(network: Any, split: Split) -> NDArray[np.bool_]:
    """Return which images of `split` the network gets right, (n,)."""
    found = np.array([answer.digit for answer in classifier.ask(network, split.images)])
    return np.asarray(found == split.labels)


def compare(network: Any, champion: Any, tags: Mapping[str, str], split: Split, max_drop: float) -> Comparison:
    """Ask both networks, of which the champion's version has these `tags`, the images of `split`."""
    now, before = right_answers(network, split), right_answers(champion, split)
    test, n = proportions.mcnemar(now, before), len(now)
    bound = proportions.tango_lower_bound(test.only_first, test.only_second, n, promotion.CONFIDENCE)
    return Comparison(
        champion=tags["model"],
        champion_md5=tags["model.md5"],
        count=n,
        accuracy=float(now.mean()),
        champion_accuracy=float(before.mean()),
        only_this=test.only_first,
        only_champion=test.only_second,
        difference=round((test.only_first - test.only_second) / n, promotion.DIGITS),
        # Downwards: none may seem to be above the limit that is not.
        lower_bound=floor(bound * _EXACT) / _EXACT,
        max_drop=max_drop,
    )
