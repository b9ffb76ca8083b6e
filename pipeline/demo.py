"""A page on this machine on which a digit is drawn, and each trained model answers."""

from __future__ import annotations

import argparse
import io
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any

from pipeline import cli, params
from pipeline.errors import InputError, PipelineError
from pipeline.inference import classifier, digits
from pipeline.inference.server import ADDRESS, Server


class Models:
    """The trained models by name, asked one drawing at a time."""

    def __init__(self, files: Mapping[str, Path], threads: int) -> None:
        self._lock = Lock()
        self._networks = {name: classifier.load(file, threads) for name, file in files.items()}

    def reply(self, drawing: bytes) -> dict[str, Any]:
        """Return the answer of each model to a PNG or JPEG file, and the pixels (784) that they were given.

        Raises:
            InputError: It is no such file, or shows nothing.
            PipelineError: A model's answers are no probabilities.
        """
        with self._lock:
            image = digits.decode(io.BytesIO(drawing), "the drawing")
            found = {name: classifier.ask(network, image[None])[0] for name, network in self._networks.items()}
        return {
            "pixels": image.ravel().tolist(),
            "answers": [{"model": name} | answer.as_dict() for name, answer in found.items()],
        }

    def finish(self) -> None:
        """Let the answer that is being computed end, and no other begin: the process may not end within TensorFlow."""
        self._lock.acquire(timeout=5)


def trained(values: params.Params) -> dict[str, Path]:
    """Return the file of each model in params.yaml that is trained.

    Raises:
        InputError: None is, or a file is not the one in dvc.lock.
    """
    names = [name for name in values.models if (classifier.FOLDER / f"{name}.keras").exists()]
    if not names:
        raise InputError(f"{classifier.FOLDER}: no model of params.yaml is trained; {classifier.HOW}")
    return {name: classifier.file_of(values, name) for name in names}


def _listen(port: int) -> Server:
    try:
        return Server(port)
    except OSError as error:
        raise PipelineError(f"{ADDRESS}:{port}: {error.strerror}; choose another port with --port") from None


def _port(text: str) -> int:
    if not 0 <= (port := int(text)) < 2**16:
        raise ValueError
    return port


def main() -> None:
    """Serve a page, to this machine alone, on which a digit is drawn and each trained model answers."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.demo", description=main.__doc__)
    parser.add_argument("--port", type=_port, default=8000, help="0: any that is free (default: %(default)s)")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    arguments = parser.parse_args()
    values = params.load(arguments.params)
    files = trained(values)
    about = {"trained": list(files), "missing": [name for name in values.models if name not in files]}
    with _listen(arguments.port) as server:
        models = Models(files, values.train.threads)
        if about["missing"]:
            print(f"not trained: {', '.join(about['missing'])}; {classifier.HOW}")
        print(f"http://{ADDRESS}:{server.server_port}/ (Ctrl-C ends it)", flush=True)
        try:
            server.serve(about | {"how": classifier.HOW}, models.reply)
        finally:
            models.finish()


if __name__ == "__main__":
    cli.run(main)
