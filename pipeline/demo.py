"""A page on this machine that takes a drawing or a picture and shows each trained model's prediction."""

from __future__ import annotations

import argparse
import io
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from pipeline import cli, dvc_lock, params
from pipeline.errors import InputError, PipelineError
from pipeline.inference import classifier, described, reading, server
from pipeline.inference.described import Described


class Classifiers:
    """The trained models by name, all of one data set; one picture is classified at a time, until `ends` says so."""

    def __init__(self, files: Mapping[str, Path], threads: int, dataset: Described) -> None:
        self._lock, self._dataset = Lock(), dataset
        self.ends: Callable[[], bool] = lambda: False
        self._networks = {
            name: classifier.load(file, threads, dataset.image.shape, dataset.classes) for name, file in files.items()
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
            name = "The drawing" if self._dataset.handwriting else "The picture"
            image = reading.decode(io.BytesIO(picture), name, self._dataset)
            found = {
                name: classifier.predict(network, image[None], self._dataset.classes)[0]
                for name, network in self._networks.items()
            }
        return {
            "pixels": image.ravel().tolist(),
            "predictions": [
                {"model": name, "label": one.label, "certain": one.certain, "probabilities": one.probabilities}
                for name, one in found.items()
            ],
        }

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
    names = [name for name in there if _is_on(dataset, described.data_of(name))]
    if not names:
        on = f" on {dataset}" if there else ""
        raise InputError(f"no model of params.yaml is trained{on}", path=folder, fix=classifier.HOW_TO_TRAIN)
    return {name: classifier.file_of(values, name) for name in names}


def _is_on(dataset: str, data: Mapping[str, Any]) -> bool:
    """Return whether the data that a model was trained on are those of the data set that dvc.lock records now."""
    path = data.get("path", "")
    return Path(path).stem == dataset and dvc_lock.recorded().get(path) == data.get("md5")


def about(dataset: Described, names: Sequence[str], missing: Sequence[str]) -> dict[str, Any]:
    """Return what the page shows: the models, trained or not, and what their images and classes are."""
    return {
        "trained": list(names),
        "missing": list(missing),
        "how": classifier.HOW_TO_TRAIN,
        "title": dataset.title,
        "noun": dataset.noun,
        "credit": dataset.credit,
        "classes": list(dataset.classes),
        "image": list(dataset.image.shape),
        "drawn": dataset.handwriting is not None,
        "limit": server.MAX_BYTES,
    }


def _listen(port: int) -> socket.socket:
    try:
        return server.listen(port)
    except OSError as error:
        what = f"{server.ADDRESS}:{port}: {os.strerror(error.errno or 0)}"
        raise PipelineError(what, fix="choose another port with --port") from None


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
    with _listen(arguments.port) as listening:
        dataset = described.of_set(arguments.set) if arguments.set else described.of_model(next(iter(files)))
        classifiers = Classifiers(files, values.train.threads, dataset)
        if missing:
            print(f"not trained: {', '.join(missing)}; {classifier.HOW_TO_TRAIN}")
        print(f"http://{server.ADDRESS}:{listening.getsockname()[1]}/ (Ctrl-C ends it)", flush=True)
        try:
            serving = server.create(listening, about(dataset, list(files), missing), classifiers.reply)
            classifiers.ends = lambda: serving.should_exit
            serving.run(sockets=[listening])
        finally:
            classifiers.finish()


if __name__ == "__main__":
    cli.run(main)
