"""Which digit is in a picture: PNG and JPEG files, classified by one trained model."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pipeline import cli, params
from pipeline.errors import InputError
from pipeline.inference import classifier, digits, pictures
from pipeline.inference.classifier import Prediction


def predict(paths: Sequence[Path], model: str, values: params.Params) -> dict[Path, Prediction]:
    """Return the prediction of a model (a name in params.yaml, or a models:/ address) for each file that shows a digit.

    Each of the other files gets one line on stderr.

    Raises:
        InputError: There is no such model, it is not trained, or its file is not the one that was trained.
        UnavailableError: The model is in MLflow, which does not answer.
    """
    logged = model.startswith(classifier.REGISTRY_URI)
    file = None if logged else classifier.file_of(values, model)
    images = {}
    for path in dict.fromkeys(paths):
        try:
            images[path] = digits.read(path)
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
    if not images:
        return {}
    threads = values.train.threads
    network = classifier.load(file, threads) if file else classifier.load_logged(model, threads)
    return dict(zip(images, classifier.predict(network, np.stack(list(images.values()))), strict=True))


def table(found: Mapping[Path, Prediction]) -> str:
    """Return a line per file: its digit, the probability of each, its name; and what a "?" after a digit means."""
    head = ["digit", *(f"{digit:>5}" for digit in range(classifier.CLASSES)), "file"]
    rows = [
        [
            f"{prediction.digit}{'' if prediction.certain else '?'}".rjust(5),
            *(f"{value:.3f}" for value in prediction.probabilities),
            pictures.shown(path),
        ]
        for path, prediction in found.items()
    ]
    text = "\n".join("  ".join(cells) for cells in [head, *rows])
    if all(prediction.certain for prediction in found.values()):
        return text
    return f"{text}\n?: uncertain, with a probability below {classifier.CERTAIN}"


def lines(found: Mapping[Path, Prediction]) -> str:
    """Return a JSON object per file, one to a line."""
    return "\n".join(json.dumps({"file": str(path)} | prediction.as_dict()) for path, prediction in found.items())


def main() -> int:
    """Print which digit each picture shows: dark on light or light on dark, of any size, alone on its background."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.predict", description=main.__doc__)
    parser.add_argument("images", metavar="IMAGE", nargs="+", type=Path, help="PNG or JPEG file; transparent is white")
    parser.add_argument(
        "--model", default="cnn", help="a model of params.yaml, or one in MLflow such as models:/mnist@champion"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object per file, one to a line")
    parser.add_argument(
        "--params", type=Path, default=Path("params.yaml"), help="the file that names the models (default: %(default)s)"
    )
    arguments = parser.parse_args()
    found = predict(arguments.images, arguments.model, params.load(arguments.params))
    if found:
        print((lines if arguments.json else table)(found))
    return 0 if found.keys() == set(arguments.images) else InputError.exit_code


if __name__ == "__main__":
    cli.run(main)
