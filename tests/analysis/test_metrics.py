import json
import math

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support, recall_score

from pipeline.analysis import metrics
from pipeline.analysis.metrics import SCORES, reliability, score

TEN = [name for name, one in SCORES.items() if one.min_classes <= 10]
FIELDS = ["count", "errors", *(name for name in TEN if name != "errors"), "per_class"]


def some(n: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities, mostly correct, confident and unsure ones; class 7 neither occurs nor is predicted."""
    random = np.random.default_rng(seed)
    labels = random.choice([0, 1, 2, 3, 4, 5, 6, 8, 9], n).astype(np.uint8)
    logits = random.normal(0, 3, (n, 10))
    logits[np.arange(n), labels] += 3
    logits[:, 7] = -30
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32), labels


def one_hot(classes: list[int], top: float = 1.0) -> np.ndarray:
    """Rows that give `top` to one class and the rest in equal parts to the others."""
    rows = np.full((len(classes), 10), (1 - top) / 9, np.float32)
    rows[np.arange(len(classes)), classes] = top
    return rows


def top_of(row: np.ndarray) -> tuple[int, float]:
    """Return the predicted class and its probability, by a loop."""
    best = 0
    for index, value in enumerate(row):
        if value > row[best]:
            best = index
    return best, float(row[best])


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int) -> float:
    """Guo et al.'s formula, by a loop over images and one over bins."""
    members: list[list[tuple[float, bool]]] = [[] for _ in range(bins)]
    for row, label in zip(probabilities, labels, strict=True):
        predicted, confidence = top_of(row)
        index = next(i for i in range(bins) if confidence <= (i + 1) / bins or i == bins - 1)
        members[index].append((confidence, predicted == label))
    gaps = [abs(sum(right for _, right in m) - sum(confidence for confidence, _ in m)) for m in members if m]
    return sum(gaps) / len(labels)


def test_a_score_follows_its_definitions() -> None:
    """Counts, losses, calibration and Brier score are those of loops written from the definitions."""
    probabilities, labels = some()
    pairs = list(zip(probabilities.tolist(), labels.tolist(), strict=True))

    result = score(probabilities, labels, clip=0.01)

    errors = sum(top_of(np.array(row))[0] != label for row, label in pairs)
    brier = [sum((p - (k == label)) ** 2 for k, p in enumerate(row)) for row, label in pairs]
    assert 0 < errors == result["errors"] < result["count"] == 400
    assert result["accuracy"] == (400 - errors) / 400
    assert result["loss"] == pytest.approx(
        -sum(math.log(min(max(r[k], 0.01), 0.99)) for r, k in pairs) / 400, rel=1e-12
    )
    assert result["negative_log_likelihood"] == pytest.approx(
        -sum(math.log(min(max(r[k], 1e-7), 1 - 1e-7)) for r, k in pairs) / 400, rel=1e-12
    )
    assert result["brier"] == pytest.approx(sum(brier) / 400, rel=1e-12)
    assert result["calibration_error"] == pytest.approx(
        expected_calibration_error(probabilities, labels, 15), rel=1e-12
    )


def test_the_confusion_matrix_has_a_row_for_each_true_class() -> None:
    """It is scikit-learn's, a 10x10 table whatever classes occur: row t, column p counts class t taken for p."""
    probabilities, labels = some()
    expected = confusion_matrix(labels, probabilities.argmax(axis=1), labels=range(10))

    assert metrics.confusion(probabilities, labels).tolist() == expected.tolist()
    assert metrics.confusion(one_hot([3]), np.array([5]))[5, 3] == 1


def test_scores_per_class_are_scikit_learns() -> None:
    """Precision, recall, F1 and the number of images; 0/0, as in a class that never occurs, is 0."""
    probabilities, labels = some()
    answers = probabilities.argmax(axis=1)
    expected = precision_recall_fscore_support(labels, answers, labels=range(10), zero_division=0)

    found = score(probabilities, labels, clip=None)["per_class"]

    for name, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        assert [one[name] for one in found] == pytest.approx(values)
    assert (found[7]["precision"], found[7]["support"]) == (0, 0)


@pytest.mark.filterwarnings("error")
def test_scores_in_which_each_class_counts_alike_are_means_over_the_classes() -> None:
    """Balanced accuracy: the recall of classes with images; macro F1: also of classes that are only predicted.

    Both are scikit-learn's.
    """
    random = np.random.default_rng(3)
    for _ in range(50):
        labels = random.choice([0, 1, 2, 5], 12, p=[0.7, 0.1, 0.1, 0.1])
        answers = random.choice([0, 1, 2, 3], 12, p=[0.7, 0.1, 0.1, 0.1])
        recall = recall_score(labels, answers, labels=np.unique(labels), average="macro")

        result = score(one_hot(answers.tolist(), top=0.9), labels, None)

        assert result["balanced_accuracy"] == pytest.approx(recall)
        assert result["macro_f1"] == pytest.approx(f1_score(labels, answers, average="macro"))


@pytest.mark.parametrize(
    ("clip", "right", "wrong"),
    [
        (1e-7, -math.log(1 - 1e-7), 7 * math.log(10)),
        (0.01, -math.log(0.99), math.log(100)),
        (None, 0.0, -math.log(np.finfo(np.float32).tiny)),
    ],
)
def test_the_clip_bounds_the_loss(clip: float | None, right: float, wrong: float) -> None:
    """A probability of exactly 1 or 0 costs what the clip says; without one, what float32's smallest number says."""
    sure = one_hot([4])

    assert score(sure, np.array([4]), clip)["loss"] == pytest.approx(right, rel=1e-9)
    assert score(sure, np.array([3]), clip)["loss"] == pytest.approx(wrong, rel=1e-9)
    assert score(sure, np.array([3]), clip)["negative_log_likelihood"] == pytest.approx(16.118, abs=1e-3)


def test_sums_are_double_precision() -> None:
    """The mean over many equal float32 rows is that of one row, which a float32 sum would miss."""
    row = one_hot([2], top=0.7)

    many = score(np.repeat(row, 60_000, axis=0), np.full(60_000, 2), 1e-7)

    assert many["loss"] == pytest.approx(-math.log(row[0, 2]), rel=1e-12)
    assert many["brier"] == pytest.approx(score(row, np.array([2]), 1e-7)["brier"], rel=1e-12)


def test_a_perfect_and_a_hopeless_classifier_are_the_extremes() -> None:
    """Certain and correct: no error, ECE 0, Brier 0. Certain and wrong: ECE 1, Brier 2."""
    labels = np.arange(10)

    best, worst = (
        score(one_hot(labels.tolist()), labels, None),
        score(one_hot(labels.tolist()), (labels + 1) % 10, None),
    )

    assert (best["errors"], best["accuracy"], best["calibration_error"], best["brier"]) == (0, 1, 0, 0)
    assert (worst["errors"], worst["accuracy"], worst["calibration_error"], worst["brier"]) == (10, 0, 1, 2)


def test_of_equal_probabilities_the_first_counts() -> None:
    """A tie is decided for the lower class, as numpy and Keras decide it."""
    tie = np.zeros((1, 10), np.float32)
    tie[0, [3, 6]] = 0.5

    assert score(tie, np.array([3]), None)["errors"] == 0
    assert score(tie, np.array([6]), None)["errors"] == 1


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("bins", [1, 4, 15])
def test_bins_hold_mean_confidence_and_accuracy(bins: int, seed: int) -> None:
    """Each bin's numbers are those of the images whose top probability lies in it; empty bins are NaN."""
    probabilities, labels = some(seed=seed)
    top = np.array([top_of(row) for row in probabilities])

    binned = reliability(probabilities, labels, bins)

    assert binned.count.sum() == len(labels)
    for i in range(bins):
        inside = (top[:, 1] > i / bins) & (top[:, 1] <= (i + 1) / bins)
        assert binned.count[i] == inside.sum()
        if inside.any():
            assert binned.confidence[i] == pytest.approx(top[inside, 1].mean())
            assert binned.accuracy[i] == pytest.approx((top[inside, 0] == labels[inside]).mean())
        else:
            assert np.isnan([binned.confidence[i], binned.accuracy[i]]).all()


@pytest.mark.parametrize(("top", "index"), [(0.25, 0), (0.2500001, 1), (0.5, 1), (0.75, 2), (1.0, 3)])
def test_a_bin_includes_its_upper_edge(top: float, index: int) -> None:
    """Bin i of n is (i/n, (i + 1)/n]."""
    assert reliability(one_hot([1], top), np.array([1]), bins=4).count.argmax() == index


def test_a_confidence_rounded_above_one_is_in_the_last_bin() -> None:
    """A softmax in float32 may give a little more than 1."""
    row = one_hot([1])
    row[0, 1] = np.nextafter(np.float32(1), np.float32(2))

    assert reliability(row, np.array([1])).count.tolist() == [0] * 14 + [1]
    assert score(row, np.array([1]), None)["loss"] == 0


def test_the_dictionary_is_the_json() -> None:
    """Keys stand in the order that the files have, and JSON holds every value without loss."""
    content = score(*some(), clip=1e-7)

    assert list(content) == FIELDS
    assert list(content["per_class"][0]) == ["precision", "recall", "f1", "support"]
    assert json.loads(json.dumps(content, allow_nan=False)) == content


@pytest.mark.parametrize("function", [lambda p, y: score(p, y, None), reliability])
@pytest.mark.parametrize(
    ("probabilities", "labels"),
    [
        (np.full((2, 10), np.nan, np.float32), np.array([0, 1])),
        (np.array([[np.inf, *[0] * 9]]), np.array([0])),
        (np.array([[1.5, -0.5, *[0] * 8]]), np.array([0])),
        (one_hot([1]) * 1.002, np.array([1])),
        (one_hot([1]) * 0.998, np.array([1])),
        (np.full((2, 1), 1.0), np.array([0, 0])),
        (np.full(10, 0.1), np.array(0)),
        (np.empty((0, 10)), np.empty(0, int)),
        (one_hot([1, 2]), np.array([1])),
        (one_hot([1]), np.array([[1]])),
        (one_hot([1]), np.array([10])),
        (one_hot([1]), np.array([-1])),
        (one_hot([1]), np.array([1.0])),
        (one_hot([1]).astype(int), np.array([1])),
    ],
)
def test_what_is_not_a_prediction_is_rejected(function, probabilities: np.ndarray, labels: np.ndarray) -> None:
    """NaN, infinity, negative numbers, sums other than 1, wrong shapes and impossible labels: ValueError."""
    with pytest.raises(ValueError, match="expected"):
        function(probabilities, labels)


def test_sums_near_one_are_accepted() -> None:
    """Half precision misses 1 by less than a thousandth."""
    assert score(one_hot([1]) * np.float32(1.0009), np.array([1]), None)["errors"] == 0


def test_bins_must_be_some() -> None:
    """No bins are no diagram."""
    with pytest.raises(ValueError, match="bins above 0"):
        reliability(one_hot([1]), np.array([1]), bins=0)


def made(value: float, **changes: float) -> dict[str, float]:
    """Return a split's scores, all of one value but for `changes`."""
    return dict.fromkeys(SCORES, value) | {"count": 7} | changes


def test_flat_scores_are_named_by_split_and_gaps_are_differences() -> None:
    """Accuracy's gap is train minus test, the loss's test minus train; only scores of splits that exist are there."""
    splits = {"train": made(0.75), "test": made(0.5)}

    found = metrics.flat(splits)

    assert (found["test_brier"], found["train_errors"]) == (0.5, 0.75)
    assert {name.partition("_")[0] for name in found} == {"train", "test"}
    assert not [name for name in found if name.endswith("count")]
    assert metrics.gaps(splits) == {"generalization_gap": 0.25, "loss_gap": -0.25}


def test_the_likelihood_is_shown_if_it_is_not_the_loss() -> None:
    """The negative log-likelihood is among the flat scores only of a split where the loss is another number."""
    found = metrics.flat({"train": made(0.5), "test": made(0.5, loss=0.7)})

    assert "train_negative_log_likelihood" not in found
    assert (found["test_loss"], found["test_negative_log_likelihood"]) == (0.7, 0.5)


def test_a_score_that_did_not_exist_yet_is_left_out() -> None:
    """Scores that were written before another existed are shown as they are."""
    earlier = {name: value for name, value in made(0.5).items() if name != "brier"}

    assert {*metrics.flat({"test": made(0.5)})} - {*metrics.flat({"test": earlier})} == {"test_brier"}
