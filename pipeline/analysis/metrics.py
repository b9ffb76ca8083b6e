"""Scores of a classifier from its class probabilities: accuracy, losses, calibration, errors per class."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15
REPORT_CLIP = 1e-7

Probabilities = NDArray[np.floating[Any]]
Labels = NDArray[np.integer[Any]]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ClassScore:
    """One class: precision, recall and their harmonic mean, each 0 where it is 0/0; `support` images belong to it."""

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Score:
    """A classifier on one split. Losses are means in nats per image; `confusion` has a row for each true class."""

    count: int
    errors: int
    accuracy: float
    loss: float
    negative_log_likelihood: float
    calibration_error: float
    brier: float
    per_class: list[ClassScore]
    confusion: list[list[int]]

    def as_dict(self) -> dict[str, Any]:
        """Return the score as JSON has it, keys in the order above."""
        return asdict(self)


@dataclass(frozen=True)
class Reliability:
    """Images binned by top probability: mean of it, accuracy (both NaN in an empty bin) and count, each (bins,)."""

    confidence: Floats
    accuracy: Floats
    count: NDArray[np.int64]


def score(probabilities: Probabilities, labels: Labels, clip: float | None) -> Score:
    """Score `probabilities` (n, classes) against `labels` (n,); all sums are float64.

    The class of the highest probability is predicted; of equal ones, the first.

    `loss` has probabilities clipped to [clip, 1 - clip], or at float32's smallest normal number where `clip` is None;
    `negative_log_likelihood` has them clipped at 1e-7 always. `brier` is summed over the classes, so within [0, 2].
    Source: G. W. Brier, Monthly Weather Review 78 (1950) 1-3.

    Raises:
        ValueError: A shape or type is wrong, a row is not a distribution (within 1e-3), or a label is not a class.
    """
    _check(probabilities, labels)
    from sklearn.metrics import confusion_matrix

    exact = probabilities.astype(np.float64)
    predicted = exact.argmax(axis=1)
    errors = int(np.sum(predicted != labels))
    return Score(
        count=len(labels),
        errors=errors,
        accuracy=(len(labels) - errors) / len(labels),
        loss=_cross_entropy(exact, labels, clip),
        negative_log_likelihood=_cross_entropy(exact, labels, REPORT_CLIP),
        calibration_error=_calibration_error(reliability(probabilities, labels)),
        brier=float(((exact - np.eye(exact.shape[1])[labels]) ** 2).sum(axis=1).mean()),
        per_class=_per_class(predicted, labels, exact.shape[1]),
        confusion=confusion_matrix(labels, predicted, labels=range(exact.shape[1])).tolist(),
    )


def reliability(probabilities: Probabilities, labels: Labels, bins: int = BINS) -> Reliability:
    """Bin the images by their top probability; bin i is (i/bins, (i + 1)/bins].

    Source: C. Guo et al., On Calibration of Modern Neural Networks, 2017, arXiv:1706.04599.

    Raises:
        ValueError: As for `score`, or `bins` is not above 0.
    """
    _check(probabilities, labels)
    if bins <= 0:
        raise ValueError(f"expected bins above 0, found {bins}")
    exact = probabilities.astype(np.float64)
    top = exact.max(axis=1)
    # A float32 row may exceed 1 by a rounding, hence the upper limit.
    index = np.minimum(np.searchsorted(np.arange(bins + 1) / bins, top, side="left") - 1, bins - 1)
    count = np.bincount(index, minlength=bins)
    sums = [np.bincount(index, values, bins) for values in (top, exact.argmax(axis=1) == labels)]
    confidence, accuracy = (np.divide(total, count, out=np.full(bins, np.nan), where=count > 0) for total in sums)
    return Reliability(confidence, accuracy, count)


def _calibration_error(binned: Reliability) -> float:
    """Return the mean of |accuracy - confidence| over the bins, weighted by their counts (Guo et al. 2017)."""
    full = binned.count > 0
    gaps = np.abs(binned.accuracy - binned.confidence)[full]
    return float(np.average(gaps, weights=binned.count[full]))


def _cross_entropy(probabilities: Floats, labels: Labels, clip: float | None) -> float:
    lowest, highest = (float(np.finfo(np.float32).tiny), 1.0) if clip is None else (clip, 1 - clip)
    of_truth = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.clip(of_truth, lowest, highest)).mean())


def _per_class(predicted: NDArray[np.int64], labels: Labels, classes: int) -> list[ClassScore]:
    from sklearn.metrics import precision_recall_fscore_support

    columns = precision_recall_fscore_support(labels, predicted, labels=range(classes), zero_division=0)
    return [ClassScore(float(p), float(r), float(f), int(n)) for p, r, f, n in zip(*columns, strict=True)]


def _check(probabilities: Probabilities, labels: Labels) -> None:
    if probabilities.ndim != 2 or probabilities.shape[1] < 2 or not len(probabilities):
        raise ValueError(f"expected probabilities (n, classes) with n above 0, found {probabilities.shape}")
    if labels.shape != probabilities.shape[:1]:
        raise ValueError(f"expected {len(probabilities)} labels, found {labels.shape}")
    if not (np.issubdtype(probabilities.dtype, np.floating) and np.issubdtype(labels.dtype, np.integer)):
        raise ValueError(f"expected floats and integers, found {probabilities.dtype} and {labels.dtype}")
    if labels.min() < 0 or labels.max() >= probabilities.shape[1]:
        raise ValueError(
            f"expected labels within 0..{probabilities.shape[1] - 1}, found {labels.min()}..{labels.max()}"
        )
    # Comparisons with NaN are false, so both conditions are written as what must hold.
    if not (probabilities >= 0).all() or not (abs(probabilities.sum(axis=1, dtype=np.float64) - 1) <= 1e-3).all():
        raise ValueError("expected rows of probabilities that sum to 1, found others")
