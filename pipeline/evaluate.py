"""Stage evaluate: a trained model in inference mode on every image of every split."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import backend, cli, dataset, files, metrics, model_file, params, plots, tracking
from pipeline.backend import keras
from pipeline.cli import PipelineError
from pipeline.dataset import Dataset
from pipeline.metrics import Score

# Only memory and time depend on it.
_BATCH = 1000


def evaluate(network: keras.Sequential, data: Dataset, clip: float | None) -> tuple[dict[str, Score], NDArray[Any]]:
    """Return the score of `network` on each split by name, and its probabilities (n, 10) on the test images.

    `clip` is that of the model's loss.

    Raises:
        PipelineError: The network's answers are no probabilities.
    """
    scores, probabilities = {}, np.empty(0)
    for name, split in data.splits().items():
        probabilities = network.predict(split.images, batch_size=_BATCH, verbose=0)
        try:
            scores[name] = metrics.score(probabilities, split.labels, clip)
        except ValueError as error:
            raise PipelineError(f"{name} images: {error}; train the model again") from None
    return scores, probabilities


def final_metrics(scores: dict[str, Score]) -> dict[str, float]:
    """Return the scores as flat metrics, such as `test_accuracy`, with the gaps between training and test images."""
    names = ("accuracy", "loss", "negative_log_likelihood", "errors", "calibration_error", "brier")
    flat = {f"{split}_{name}": float(getattr(score, name)) for split, score in scores.items() for name in names}
    return flat | {
        "generalization_gap": flat["train_accuracy"] - flat["test_accuracy"],
        "loss_gap": flat["test_loss"] - flat["train_loss"],
    }


def main() -> int:
    """Score one model, write its metrics and test probabilities, and add them to its MLflow run."""
    arguments = _arguments()
    values = params.load(arguments.params)
    name, model = arguments.name, values.model(arguments.name)
    data = dataset.load(arguments.data)
    backend.start(values.train.threads)
    network, made_with = model_file.load(arguments.model), model_file.made_with(arguments.model)
    scores, probabilities = evaluate(network, data, model.loss.clip)
    with files.whole(arguments.predictions) as temporary, temporary.open("wb") as file:
        np.savez(file, probabilities=probabilities, labels=data.test.labels)
    report = {
        "model": name,
        "parameters": network.count_params(),
        "epochs": model.epochs,
        "made_with": made_with,
        "splits": {split: score.as_dict() for split, score in scores.items()},
    }
    files.write_json(arguments.output, report)
    for split, score in scores.items():
        print(f"{name}  {split}: accuracy {score.accuracy:.4f} ({score.errors} errors of {score.count})", flush=True)
    _log(arguments, values.data.dataset, scores)
    return 0


def _log(arguments: argparse.Namespace, data_name: str, scores: dict[str, Score]) -> None:
    history, reported = files.read_csv(arguments.history), files.read_csv(arguments.reported)
    reported = reported[reported.model == arguments.name]
    figures = {
        "curves.png": plots.curves(
            history, None if reported.empty or data_name != "mnist" else reported, arguments.name
        ),
        "confusion.png": plots.confusion(np.array(scores["test"].confusion), arguments.name),
    }
    sums = {"model.md5": files.md5(arguments.model), "data.md5": files.md5(arguments.data)}
    tables = [arguments.history, arguments.output]
    tracking.log_evaluation(arguments.name, sums, final_metrics(scores), figures, tables)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pipeline.evaluate", description=__doc__)
    parser.add_argument("name", metavar="model", help="name of a model in params.yaml")
    parser.add_argument("--data", type=Path, required=True, help="npz made by preprocess")
    parser.add_argument("--model", type=Path, required=True, help="model file made by train")
    parser.add_argument("--history", type=Path, required=True, help="scores per epoch, made by train")
    parser.add_argument("--reported", type=Path, required=True, help="the original report's scores per epoch")
    parser.add_argument("--output", type=Path, required=True, help="JSON to write: scores per split")
    parser.add_argument("--predictions", type=Path, required=True, help="npz to write: test probabilities")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    return parser.parse_args()


if __name__ == "__main__":
    cli.run(main)
