"""What is on a picture: files, classified by one trained model."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import cli, params
from pipeline.data.formats.pictures import KINDS
from pipeline.errors import InputError
from pipeline.inference import classifier, reading, training_data
from pipeline.inference.classifier import Prediction
from pipeline.inference.training_data import TrainingData

# The table has a column for each of so many classes or fewer, if their names are no longer; else only the first FEW.
MANY, LETTERS, FEW = 10, 5, 3


def predict(
    paths: Sequence[Path], model: str, values: params.Params, given: Path | None = None
) -> tuple[dict[Path, Prediction], dict[Path, InputError], TrainingData]:
    """Return the prediction of a model for each file, the error of each that cannot be read, and what its data are.

    `model` is a name in params.yaml, a models:/ address or a `.keras` file. The file `given` describes its data set;
    without it, they are as they were when the model was trained.

    Raises:
        InputError: There is no such model, it is not trained, its file is not the one that was trained, or nothing
            says what it was trained on.
        UnavailableError: The model is in MLflow, which does not answer.
    """
    file, data = _find(model, values, given)
    images, errors = {}, {}
    for path in dict.fromkeys(paths):
        try:
            images[path] = reading.read(path, data)
        except InputError as error:
            errors[path] = error
    if not images:
        return {}, errors, data
    expected = values.train.threads, data.image.shape, data.classes
    network = classifier.load(file, *expected) if file else classifier.load_logged(model, *expected)
    predictions = classifier.predict(network, np.stack(list(images.values())), data.classes)
    return dict(zip(images, predictions, strict=True)), errors, data


def _find(model: str, values: params.Params, given: Path | None) -> tuple[Path | None, TrainingData]:
    """Return the file of a model, None if it is in MLflow, and what it was trained on."""
    data = training_data.load(given) if given else None
    if model.startswith(classifier.REGISTRY_URI):
        from pipeline import tracking

        return None, data or training_data.from_record(tracking.trained_on(model), model)
    if not model.endswith(classifier.FILE_ENDING):
        file = classifier.file_of(values, model)
        return file, data or training_data.of_model(model)
    if data is None:
        what = "the file of a model does not have the names of its classes"
        raise InputError(what, path=Path(model), fix="name its data set with --set data/sets/NAME.yaml")
    return Path(model), data


def table(predictions: Mapping[Path, Prediction], noun: str) -> str:
    """Return a line per file: its class, the probabilities, its name; and what a "?" after a class means.

    The first column is headed by `noun`, what one image is called.
    """
    classes = next(iter(predictions.values())).classes
    few = len(classes) <= MANY and max(map(len, classes)) <= LETTERS
    rows = [[noun, *classes, "file"] if few else [noun, "probability", "next", "file"]]
    for path, prediction in predictions.items():
        cells = [f"{value:.3f}" for value in prediction.probabilities]
        if not few:
            (_, first), *others = prediction.ranked()[:FEW]
            cells = [f"{first:.3f}", ", ".join(f"{name} {value:.3f}" for name, value in others)]
        rows.append([f"{prediction.name}{'' if prediction.certain else '?'}", *cells, reading.shown(path)])
    # To the left: names in many classes, and the file, which ends the line.
    sides = ">" * (1 + len(classes)) + "<" if few else "<><<"
    widths = [max(5, *map(len, column)) for column in zip(*rows, strict=True)]
    lines = (zip(row, sides, widths, strict=True) for row in rows)
    text = "\n".join("  ".join(f"{cell:{side}{width}}" for cell, side, width in line).rstrip() for line in lines)
    if all(prediction.certain for prediction in predictions.values()):
        return text
    return f"{text}\n?: uncertain, with a probability below {classifier.CERTAIN}"


def objects(predictions: Mapping[Path, Prediction], errors: Mapping[Path, InputError]) -> list[dict[str, Any]]:
    """Return an object for each file: its class, or its error."""
    answers: list[dict[str, Any]] = [
        {
            "file": str(path),
            "class": prediction.name,
            "certain": prediction.certain,
            "probabilities": dict(zip(prediction.classes, prediction.probabilities, strict=True)),
        }
        for path, prediction in predictions.items()
    ]
    return answers + [{"file": str(path), "error": str(error)} for path, error in errors.items()]


def main() -> int:
    """Print what each picture shows: one of the classes of the data set that the model was trained on.

    Of a data set of handwriting, such as MNIST, a picture shows one digit or character alone on its background, dark on
    light or light on dark, of any size. Any other picture is resized and converted as the data set says of those that
    are trained on.
    """
    parser = argparse.ArgumentParser(prog="python -m pipeline.predict", description=main.__doc__)
    parser.add_argument("images", metavar="IMAGE", nargs="+", type=Path, help=f"{KINDS} file")
    parser.add_argument(
        "--model",
        help="a model of params.yaml (default: the only one, or cnn), one such as models:/mnist@champion, or a file",
    )
    parser.add_argument(
        "--set", type=Path, help="file that describes the model's data set (default: as it was trained)"
    )
    cli.add_json_argument(parser, "print a JSON object per file, one to a line (docs/programs.md)")
    parser.add_argument(
        "--params", type=Path, default=Path("params.yaml"), help="the file that names the models (default: %(default)s)"
    )
    arguments = parser.parse_args()
    values = params.load(arguments.params)
    model = arguments.model or (next(iter(values.models)) if len(values.models) == 1 else "cnn")
    predictions, errors, data = predict(arguments.images, model, values, arguments.set)
    for error in errors.values():
        print(f"error: {error}", file=sys.stderr)
    if arguments.json:
        cli.objects(*objects(predictions, errors))
    elif predictions:
        print(table(predictions, data.noun))
    return InputError.exit_code if errors else 0


if __name__ == "__main__":
    cli.run(main)
