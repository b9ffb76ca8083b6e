"""The history of a training run: one row per epoch, which train writes and everything after it reads."""

from collections.abc import Mapping, Sequence

# `loss` and `accuracy` are Keras' running means over the epoch, with dropout on; `val_*` are measured after it, in
# inference mode, on the validation images or, under the original's protocol, on the test images. Epochs count from 1.
COLUMNS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy")
SCORES = COLUMNS[1:]


def kept_epoch(rows: Sequence[Mapping[str, float]], keep: str) -> int:
    """Return the epoch, from 1, whose weights a model keeps: the last, or the best, of equal ones the first.

    `keep` is a model's in params.yaml: "last", "best_val_loss" or "best_val_accuracy".
    """
    if keep == "best_val_loss":
        return min(range(len(rows)), key=lambda row: rows[row]["val_loss"]) + 1
    if keep == "best_val_accuracy":
        return max(range(len(rows)), key=lambda row: rows[row]["val_accuracy"]) + 1
    return len(rows)
