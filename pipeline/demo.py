"""A page on this machine on which a digit is drawn, and each trained model's prediction."""

from __future__ import annotations

import argparse
import io
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any

from pipeline import cli, params
from pipeline.errors import InputError, PipelineError
from pipeline.inference import classifier, digits, server


class Classifiers:
    """The trained models by name; one drawing is classified at a time."""

    def __init__(self, files: Mapping[str, Path], threads: int) -> None:
        self._lock = Lock()
        self._networks = {name: classifier.load(file, threads) for name, file in files.items()}

    def reply(self, drawing: bytes) -> dict[str, Any]:
        """Return the prediction of each model for a PNG or JPEG file, and the pixels (784) that they were given.

        Raises:
            InputError: It is not such a file, or does not show one digit.
            PipelineError: A model's output is not probabilities.
        """
        with self._lock:
            image = digits.decode(io.BytesIO(drawing), "The drawing")
            found = {name: classifier.predict(network, image[None])[0] for name, network in self._networks.items()}
        return {
            "pixels": image.ravel().tolist(),
            "predictions": [{"model": name} | prediction.as_dict() for name, prediction in found.items()],
        }

    def finish(self) -> None:
        """Let a prediction under way end, and start no other: the process must not exit inside TensorFlow."""
        self._lock.acquire(timeout=server.SHUTDOWN_TIMEOUT_S)


def trained(values: params.Params) -> dict[str, Path]:
    """Return the file of each model in params.yaml that is trained.

    Raises:
        InputError: None is, or a file is not the one in dvc.lock.
    """
    names = [name for name in values.models if (classifier.FOLDER / f"{name}.keras").exists()]
    if not names:
        raise InputError("no model of params.yaml is trained", path=classifier.FOLDER, fix=classifier.HOW_TO_TRAIN)
    return {name: classifier.file_of(values, name) for name in names}


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
    """Serve a page, on this machine only, on which a digit is drawn, with each trained model's prediction."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.demo", description=main.__doc__)
    parser.add_argument("--port", type=_port, default=8000, help="0: any free port (default: %(default)s)")
    parser.add_argument(
        "--params", type=Path, default=Path("params.yaml"), help="the file that names the models (default: %(default)s)"
    )
    arguments = parser.parse_args()
    values = params.load(arguments.params)
    files = trained(values)
    missing = [name for name in values.models if name not in files]
    models = {"trained": list(files), "missing": missing, "how": classifier.HOW_TO_TRAIN}
    with _listen(arguments.port) as listening:
        classifiers = Classifiers(files, values.train.threads)
        if missing:
            print(f"not trained: {', '.join(missing)}; {classifier.HOW_TO_TRAIN}")
        print(f"http://{server.ADDRESS}:{listening.getsockname()[1]}/ (Ctrl-C ends it)", flush=True)
        try:
            server.create(listening, models, classifiers.reply).run(sockets=[listening])
        finally:
            classifiers.finish()


if __name__ == "__main__":
    cli.run(main)
