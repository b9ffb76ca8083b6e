"""Scores of a classifier from its class probabilities, in one table, SCORES, from which all that shows them follows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15
REPORT_CLIP = 1e-7
SPLITS = ("train", "validation", "test")
LIKELIHOOD = "negative_log_likelihood"

Probabilities = NDArray[np.floating[Any]]
Labels = NDArray[np.integer[Any]]
Floats = NDArray[np.float64]
# What `score` returns, by split.
Splits = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Score:
    """How a score is measured, and where it is shown; it is in evaluate's files, in MLflow and in the ledger anyway.

    `measure` gets probabilities (n, classes), labels (n,) and the clip of the model's loss; data with fewer than
    `min_classes` classes do not have the score. `share`: it is a share of images, or a mean of such shares, so that it
    changes in steps of about one image. No score is below 0 or above `highest`, and no share above 1.

    `gate`: its splits in reports/metrics.json, so what the gate can bound; `shown`: which of these `dvc metrics show`
    has; `study`: its splits in the study's summary. `verdict`: whether changes can be judged by it. Verdicts and study
    take the score `compared_by` in its place, where it is not comparable between models.

    With a `title` it has a row in the report's table of results, in the `form`, and `note` explains it there.
    """

    measure: Callable[[Floats, Labels, float | None], float]
    more_is_better: bool = False
    share: bool = False
    highest: float = inf
    min_classes: int = 2
    gate: Sequence[str] = ("test",)
    shown: Sequence[str] = ("test",)
    study: Sequence[str] = ("test",)
    verdict: bool = True
    compared_by: str = ""
    title: str = ""
    form: str = "{:.2%}"
    note: str = ""


@dataclass(frozen=True)
class Reliability:
    """Images binned by top probability: mean of it, accuracy (both NaN in an empty bin) and count, each (bins,)."""

    confidence: Floats
    accuracy: Floats
    count: NDArray[np.int64]


def score(probabilities: Probabilities, labels: Labels, clip: float | None) -> dict[str, Any]:
    """Score `probabilities` (n, classes) against `labels` (n,); all sums are float64.

    Returns what JSON holds: `count`, the scores by their names in SCORES, and `per_class`. The class of the highest
    probability is predicted; of equal ones, the first. `clip` is that of the model's loss, see `_cross_entropy`.

    Raises:
        ValueError: A shape or type is wrong, a row is not a distribution (within 1e-3), or a label is not a class.
    """
    _check(probabilities, labels)
    exact, classes = probabilities.astype(np.float64), probabilities.shape[1]
    values = {name: spec.measure(exact, labels, clip) for name, spec in SCORES.items() if classes >= spec.min_classes}
    return {
        "count": len(labels),
        "errors": values["errors"],
        **values,
        "per_class": per_class(exact, labels),
    }


def per_class(probabilities: Probabilities, labels: Labels) -> list[dict[str, Any]]:
    """Return precision, recall, f1 and support of each class: f1 is the harmonic mean of the two, 0/0 counts as 0."""
    from sklearn.metrics import precision_recall_fscore_support

    predicted, classes = probabilities.argmax(axis=1), range(probabilities.shape[1])
    columns = precision_recall_fscore_support(labels, predicted, labels=classes, zero_division=0)
    keys = ("precision", "recall", "f1", "support")
    return [dict(zip(keys, map(np.generic.item, row), strict=True)) for row in zip(*columns, strict=True)]


def confusion(probabilities: Probabilities, labels: Labels) -> NDArray[np.int64]:
    """Return the number of images by true and by predicted class, (classes, classes), a row for each true class."""
    from sklearn.metrics import confusion_matrix

    predicted, classes = probabilities.argmax(axis=1), range(probabilities.shape[1])
    return np.asarray(confusion_matrix(labels, predicted, labels=classes))


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


def flat(splits: Splits, place: Callable[[Score], Sequence[str]] = lambda _: SPLITS) -> dict[str, float]:
    """Return scores by split as `SPLIT_NAME`, those splits of each score that are shown at a `place`, by default all.

    A score that is missing is left out, since the file was written before it existed, and so is the negative
    log-likelihood where it is the loss, as it is for a model whose loss is clipped at 1e-7.
    """
    return {
        f"{split}_{name}": scores[name]
        for split, scores in splits.items()
        for name, spec in SCORES.items()
        if split in place(spec) and name in scores
        if name != LIKELIHOOD or scores[name] != scores["loss"]
    }


def monitored(splits: Splits) -> Mapping[str, Any]:
    """Return the scores on the images that are scored after every epoch: a history's val_ columns are of these."""
    return splits.get("validation", splits["test"])


def gaps(splits: Splits) -> dict[str, float]:
    """Return the generalization gaps: accuracy train - test, loss test - train."""
    train, test = splits["train"], splits["test"]
    return {"generalization_gap": train["accuracy"] - test["accuracy"], "loss_gap": test["loss"] - train["loss"]}


def names(place: Callable[[Score], Sequence[str]]) -> list[str]:
    """Return `SPLIT_NAME` for the splits of each score that are shown at a `place`, those of test images first."""
    return [f"{split}_{name}" for split in reversed(SPLITS) for name, spec in SCORES.items() if split in place(spec)]


def comparable(name: str) -> str:
    """Return the score by which models are compared where `name` is asked for."""
    return SCORES[name].compared_by or name


def _accuracy(probabilities: Floats, labels: Labels, _: float | None) -> float:
    return (len(labels) - _errors(probabilities, labels, None)) / len(labels)


def _errors(probabilities: Floats, labels: Labels, _: float | None) -> int:
    return int(np.sum(probabilities.argmax(axis=1) != labels))


def _cross_entropy(probabilities: Floats, labels: Labels, clip: float | None) -> float:
    """Return the mean in nats per image, with probabilities clipped to [clip, 1 - clip].

    Where `clip` is None, they are clipped at float32's smallest normal number.
    """
    lowest, highest = (float(np.finfo(np.float32).tiny), 1.0) if clip is None else (clip, 1 - clip)
    return float(-np.log(np.clip(_of_truth(probabilities, labels), lowest, highest)).mean())


def _calibration_error(probabilities: Floats, labels: Labels, _: float | None) -> float:
    """Return the mean of |accuracy - confidence| over the bins, weighted by their counts (Guo et al. 2017)."""
    binned = reliability(probabilities, labels)
    full = binned.count > 0
    distances = np.abs(binned.accuracy - binned.confidence)[full]
    return float(np.average(distances, weights=binned.count[full]))


def _brier(probabilities: Floats, labels: Labels, _: float | None) -> float:
    """Return the score summed over the classes, so within [0, 2].

    Source: G. W. Brier, Monthly Weather Review 78 (1950) 1-3.
    """
    return float(((probabilities - np.eye(probabilities.shape[1])[labels]) ** 2).sum(axis=1).mean())


def _top(k: int, probabilities: Floats, labels: Labels) -> float:
    """Return the share of images whose class is among the `k` most probable; of equal ones, the first come first."""
    own = _of_truth(probabilities, labels)[:, None]
    earlier = np.arange(probabilities.shape[1]) < labels[:, None]
    before = ((probabilities > own) | ((probabilities == own) & earlier)).sum(axis=1)
    return int(np.sum(before < k)) / len(labels)


def _balanced_accuracy(probabilities: Floats, labels: Labels, _: float | None) -> float:
    """Return the mean recall of the classes that have images.

    Source: K. H. Brodersen et al., The Balanced Accuracy and Its Posterior Distribution, ICPR 2010, 3121-3124.
    """
    from sklearn.metrics import recall_score

    return float(recall_score(labels, probabilities.argmax(axis=1), labels=np.unique(labels), average="macro"))


def _macro_f1(probabilities: Floats, labels: Labels, _: float | None) -> float:
    """Return the mean F1 of the classes that have images or are predicted."""
    from sklearn.metrics import f1_score

    return float(f1_score(labels, probabilities.argmax(axis=1), average="macro", zero_division=0))


def _of_truth(probabilities: Floats, labels: Labels) -> Floats:
    return probabilities[np.arange(len(labels)), labels]


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


# Every score, declared once: all files, pages and commands follow. Of those without
# a title the report shows accuracy, loss and errors.
SCORES: dict[str, Score] = {
    "accuracy": Score(_accuracy, more_is_better=True, share=True, gate=SPLITS, shown=("train", "test"), study=SPLITS),
    "balanced_accuracy": Score(
        _balanced_accuracy,
        more_is_better=True,
        share=True,
        study=(),
        title="Balanced accuracy",
        note="Balanced accuracy: the mean recall of the classes, each of which counts alike.",
    ),
    "macro_f1": Score(
        _macro_f1,
        more_is_better=True,
        share=True,
        study=(),
        title="Macro F1",
        note="Macro F1: the mean F1 of the classes, where F1 is the harmonic mean of precision and recall.",
    ),
    # Models are trained with different clips; the likelihood clips all probabilities alike.
    "loss": Score(_cross_entropy, gate=SPLITS, study=("validation", "test"), compared_by=LIKELIHOOD),
    "errors": Score(_errors, shown=(), study=(), verdict=False),
    LIKELIHOOD: Score(lambda p, y, _: _cross_entropy(p, y, REPORT_CLIP), gate=(), shown=(), study=(), verdict=False),
    "calibration_error": Score(
        _calibration_error,
        highest=1,
        shown=(),
        title="Expected calibration error",
        note="Expected calibration error (ECE): the mean distance between confidence and accuracy on the test images, "
        f"over {BINS} equal bins of the highest probability.",
    ),
    "brier": Score(_brier, highest=2, shown=(), study=()),
    "top_3_accuracy": Score(
        lambda p, y, _: _top(3, p, y),
        more_is_better=True,
        share=True,
        min_classes=11,
        title="Top-3 accuracy",
        note="Top-3 accuracy: the share of test images whose class is among the three with the highest probabilities.",
    ),
}
