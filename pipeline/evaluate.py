"""Stage evaluate: a trained model in inference mode on every image of every split."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline import cli, dvc_lock, files, params, tracking
from pipeline.analysis import metrics, mistakes
from pipeline.data import dataset, original
from pipeline.data.dataset import Dataset
from pipeline.data.formats import npz
from pipeline.errors import PipelineError
from pipeline.params import Params
from pipeline.training import augmentation, backend, history, model_file, networks, portable
from pipeline.training.backend import keras
from pipeline.training.settings import Model

# Training images that show what a model's augmentation does.
_SAMPLES = 9


def evaluate(
    network: keras.Model, data: Dataset, clip: float | None
) -> tuple[metrics.Splits, pd.DataFrame, NDArray[Any]]:
    """Return scores by split, a row for each mistake (see `mistakes.table`), and probabilities on the test images.

    `clip` is that of the model's loss.

    Raises:
        PipelineError: The network's outputs are not probabilities.
    """
    scores, wrong, probabilities = {}, {}, np.empty(0)
    for name, split in data.splits().items():
        probabilities = network.predict(split.images, batch_size=networks.scoring_batch(network), verbose=0)
        try:
            scores[name] = metrics.score(probabilities, split.labels, clip)
        except ValueError as error:
            raise PipelineError(f"{name} images: {error}; train the model again") from None
        wrong[name] = mistakes.table(probabilities, split.labels, data.classes, split.origins)
    return scores, pd.concat(wrong, names=["split"]).reset_index(level="split"), probabilities


def main() -> int:
    """Score one model, write its metrics, test probabilities and augmented samples, and add them to its MLflow run."""
    arguments = _arguments()
    paths = (arguments.data, arguments.model, arguments.history, arguments.reported)
    inputs = files.Inputs(f"evaluate@{arguments.name}", *paths)
    values = params.load(arguments.params)
    name, model = arguments.name, values.model(arguments.name)
    dvc_lock.verify(arguments.data, arguments.model, arguments.history)
    data = dataset.load(arguments.data)
    portably = values.train.instructions == portable.AVX2
    if portably:
        portable.start()
    backend.start(intra_op=values.train.threads)
    network, made_with = model_file.load(arguments.model), model_file.made_with(arguments.model)
    dvc_lock.check_record(name, made_with)
    scores, wrong, probabilities = evaluate(portable.apply(network) if portably else network, data, model.loss.clip)
    predictions = {"probabilities": probabilities, "labels": data.test.labels}
    if data.test.origins is not None:
        predictions["origins"] = data.test.origins
    if model.augmentation is not None:
        seed, images = values.train.seed, data.train.images
        predictions["augmented"] = augmentation.samples(model.augmentation, images, seed=seed, count=_SAMPLES)
    npz.write(arguments.predictions, predictions)
    files.write_csv(arguments.mistakes, wrong)
    report = {
        "model": name,
        "parameters": network.count_params(),
        "epochs": model.epochs,
        **_kept(arguments.history, name, model),
        "made_with": made_with,
        "classes": list(data.classes),
        "splits": scores,
    }
    files.write_json(arguments.output, report)
    for split, score in scores.items():
        shown = f"accuracy {score['accuracy']:.4f} ({score['errors']} errors of {score['count']})"
        print(f"{name}  {split}: {shown}", flush=True)
    _log(arguments, values)
    inputs.check()
    return 0


def _kept(path: Path, name: str, model: Model) -> dict[str, int]:
    """Return the epoch whose weights were evaluated, if the model keeps another one than the last; print its scores."""
    if model.keep == "last":
        return {}
    rows = files.read_csv(path).to_dict("records")
    kept = history.kept_epoch(rows, model.keep)
    for epoch, which in ((kept, f"kept ({model.keep})"), (len(rows), "last")):
        scores = "  ".join(f"{key} {rows[epoch - 1][key]:.4f}" for key in ("val_loss", "val_accuracy"))
        print(f"{name}  epoch {epoch} of {len(rows)}, {which}: {scores}", flush=True)
    return {"kept_epoch": kept}


def _log(arguments: argparse.Namespace, values: Params) -> None:
    dataset_name, rule = values.data.dataset, values.overfitting
    reported = arguments.reported if dataset_name == original.DATASET else None
    paths = arguments.output, arguments.history, reported
    artifacts = tracking.EvaluationArtifacts(arguments.name, *paths, rule, arguments.predictions, arguments.data)
    checksums = {"model.md5": files.md5(arguments.model), "data.md5": files.md5(arguments.data)}
    tracking.log_evaluation(dataset_name, artifacts, checksums, required=arguments.require_tracking)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pipeline.evaluate", description=__doc__)
    parser.add_argument("name", metavar="model", help="name of a model in params.yaml")
    parser.add_argument("--data", type=Path, required=True, help="npz made by preprocess")
    parser.add_argument("--model", type=Path, required=True, help="model file made by train")
    parser.add_argument("--history", type=Path, required=True, help="scores per epoch, made by train")
    parser.add_argument("--reported", type=Path, required=True, help="the original report's scores per epoch")
    parser.add_argument("--output", type=Path, required=True, help="JSON to write: scores per split")
    parser.add_argument("--predictions", type=Path, required=True, help="npz to write: test probabilities, samples")
    parser.add_argument("--mistakes", type=Path, required=True, help="CSV to write: the images that it gets wrong")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="the experiment's settings")
    tracking.add_option(parser)
    return parser.parse_args()


if __name__ == "__main__":
    cli.run(main)
