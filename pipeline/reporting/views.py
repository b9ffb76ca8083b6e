"""Files for DVC's own views: curves.csv and confusion.csv for `dvc plots`, scores/ for `dvc metrics` and `dvc exp`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline import files
from pipeline.analysis import metrics
from pipeline.reporting import colours

# In a model's file in scores/, after the scores. It does not have all, so that `dvc metrics show` fits a terminal.
DERIVED = ("generalization_gap", "val_loss_rise")


def curves(histories: Mapping[str, pd.DataFrame], monitored: str) -> pd.DataFrame:
    """Return a row per model, split and epoch: loss, accuracy, and the model's colour, the one that figures have.

    `monitored` is the split of the histories' val_ columns: validation or test.
    """
    looks = colours.of_models(histories)
    tables = [
        pd.DataFrame(
            {
                "model": name,
                "split": split,
                "epoch": history["epoch"],
                "loss": history[f"{prefix}loss"],
                "accuracy": history[f"{prefix}accuracy"],
                "colour": looks[name].colour,
            }
        )
        for name, history in histories.items()
        for split, prefix in (("train", ""), (monitored, "val_"))
    ]
    return pd.concat(tables, ignore_index=True)


def confusion(matrices: Mapping[str, tuple[NDArray[np.integer[Any]], Sequence[str]]]) -> pd.DataFrame:
    """Return a row per model, true class and predicted class: the number of test images.

    `matrices` has for each model its confusion matrix (classes, classes), rows = true class, and the classes' names.
    """
    rows = [
        (name, classes[true], classes[predicted], count)
        for name, (matrix, classes) in matrices.items()
        for (true, predicted), count in np.ndenumerate(matrix)
    ]
    return pd.DataFrame(rows, columns=["model", "true_class", "predicted_class", "count"])


def write_scores(directory: Path, models: Mapping[str, Mapping[str, float]]) -> None:
    """Write scores of each model's entry of metrics.json into `directory`; files of models that have gone are removed.

    A score that a model does not have is left out.
    """
    keys = (*metrics.names(lambda score: score.shown), *DERIVED)
    for name, values in models.items():
        files.write_json(directory / f"{name}.json", {key: values[key] for key in keys if key in values})
    for path in directory.glob("*.json"):
        if path.stem not in models:
            path.unlink()
