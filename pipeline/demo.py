"""A page on this machine that takes a drawing or a picture and shows each trained model's prediction."""

import argparse
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline import cli, dvc_lock, params
from pipeline.data import dataset as datasets
from pipeline.errors import InputError, PipelineError
from pipeline.inference import classifier, reading, server, training_data
from pipeline.inference.training_data import TrainingData

_TRIES = 20


class Classifiers:
    """The trained models by name, all of one data set; one picture is classified at a time, until `ends` says so."""

    def __init__(self, files: Mapping[str, Path], threads: int, data: TrainingData) -> None:
        self._lock, self._data = Lock(), data
        self.ends: Callable[[], bool] = lambda: False
        self._networks = {
            name: classifier.load(file, threads, data.image.shape, data.classes) for name, file in files.items()
        }

    def reply(self, picture: bytes) -> dict[str, Any]:
        """Return the prediction of each model for a file of a picture, and the pixels that they were given, row by row.

        Raises:
            InputError: It is not such a file, or does not show what the data set has.
            PipelineError: A model's output is not probabilities, or the demo ends before it is this picture's turn.
        """
        with self._lock:
            if self.ends():
                raise PipelineError("the demo ends")
            name = "The drawing" if self._data.handwriting else "The picture"
            image = reading.decode(picture, name, self._data)
            predictions = [
                {"model": model, "label": given.label, "certain": given.certain, "probabilities": given.probabilities}
                for model, network in self._networks.items()
                for given in classifier.predict(network, image[None], self._data.classes)
            ]
        return {"pixels": image.ravel().tolist(), "predictions": predictions}

    def finish(self) -> None:
        """Let a prediction under way end, and start no other: the process must not exit inside TensorFlow."""
        self._lock.acquire(timeout=server.SHUTDOWN_TIMEOUT_S)


def trained(values: params.Params) -> dict[str, Path]:
    """Return the file of each model in params.yaml that is trained on its data set as it was preprocessed last.

    Raises:
        InputError: None is, or a file is not the one in dvc.lock.
    """
    dataset, folder = values.data.dataset, classifier.FOLDER
    there = [name for name in values.models if (folder / f"{name}{classifier.FILE_ENDING}").exists()]
    names = [name for name in there if _is_on(dataset, training_data.npz_of(name))]
    if not names:
        on = f" on {dataset}" if there else ""
        raise InputError(f"no model of params.yaml is trained{on}", path=folder, fix=classifier.HOW_TO_TRAIN)
    return {name: classifier.file_of(values, name) for name in names}


def _is_on(dataset: str, data: Mapping[str, Any]) -> bool:
    """Return whether the data that a model was trained on are those of the data set that dvc.lock records now."""
    path = data.get("path", "")
    return Path(path).stem == dataset and dvc_lock.recorded().get(path) == data.get("md5")


def sample(path: Path, data: TrainingData) -> bytes:
    """Return one of the test images in the npz at `path`, drawn at random, as PNG.

    Raises:
        InputError: The file is not there any more, or damaged.
    """
    images = _test_images(path)
    for _ in range(_TRIES):
        file = BytesIO()
        Image.fromarray(images[secrets.randbelow(len(images))]).save(file, "png")
        # A few of MNIST's test images cannot be read as a picture of one digit.
        with suppress(InputError):
            reading.decode(file.getvalue(), "The image", data)
            break
    return file.getvalue()


@cache
def _test_images(path: Path) -> NDArray[np.uint8]:
    """Return the test images of a data set, read once however often a sample is asked for."""
    return datasets.load(path).test.images


def about(data: TrainingData, names: Sequence[str], missing: Sequence[str]) -> dict[str, Any]:
    """Return what the page shows: the models, trained or not, and what their images and classes are."""
    return {
        "trained": list(names),
        "missing": list(missing),
        "how": classifier.HOW_TO_TRAIN,
        "title": data.title,
        "noun": data.noun,
        "credit": data.credit,
        "classes": list(data.classes),
        "image": list(data.image.shape),
        "drawn": data.handwriting is not None,
        "limit": server.MAX_BYTES,
    }


def _port(text: str) -> int:
    if not 0 <= (port := int(text)) < 2**16:
        raise ValueError
    return port


def main() -> None:
    """Serve a page, on this machine only, that takes a drawing or a picture and shows each model's prediction."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.demo", description=main.__doc__)
    parser.add_argument("--port", type=_port, default=8000, help="0: any free port (default: %(default)s)")
    parser.add_argument(
        "--set", type=Path, help="file that describes the models' data set (default: as they were trained)"
    )
    parser.add_argument(
        "--params", type=Path, default=Path("params.yaml"), help="the file that names the models (default: %(default)s)"
    )
    arguments = parser.parse_args()
    values = params.load(arguments.params)
    files = trained(values)
    missing = [name for name in values.models if name not in files]
    with server.listen(arguments.port) as listening:
        path, model = arguments.set, next(iter(files))
        data = training_data.load(path) if path else training_data.of_model(model)
        classifiers = Classifiers(files, values.train.threads, data)
        if missing:
            print(f"not trained: {', '.join(missing)}; {classifier.HOW_TO_TRAIN}")
        print(f"http://{server.ADDRESS}:{listening.getsockname()[1]}/ (Ctrl-C ends it)", flush=True)
        try:
            images = Path(training_data.npz_of(model).get("path", ""))
            told = about(data, list(files), missing) | {"sample": images.is_file()}
            serving = server.create(listening, told, classifiers.reply, lambda: sample(images, data))
            classifiers.ends = lambda: serving.should_exit
            serving.run(sockets=[listening])
        finally:
            classifiers.finish()


if __name__ == "__main__":
    cli.run(main)
