"""Trained networks as classifiers of digits: find their files, check and load them, predict. For predict and demo."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import dvc_lock
from pipeline.errors import InputError, PipelineError
from pipeline.inference.digits import SIDE
from pipeline.params import Params

# Where the stage train@MODEL puts its model.
FOLDER = Path("models")
HOW_TO_TRAIN = "`make repro` trains all models, in 10 to 30 minutes on two cores"
# How the address of a model in MLflow's registry begins.
REGISTRY_URI = "models:/"
CLASSES = 10
# A prediction whose probability is lower is reported as uncertain.
CERTAIN = 0.9
# Affects memory and time only.
_BATCH = 250


@dataclass(frozen=True)
class Prediction:
    """The most probable digit, and the probability of each."""

    digit: int
    probabilities: list[float]

    @property
    def certain(self) -> bool:
        """Whether the digit has a probability of at least CERTAIN."""
        return self.probabilities[self.digit] >= CERTAIN

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, and whether it is certain, by name."""
        return {"digit": self.digit, "certain": self.certain, "probabilities": self.probabilities}


def file_of(values: Params, name: str) -> Path:
    """Return the file of the trained model `name`, checked against dvc.lock.

    Raises:
        InputError: params.yaml has no such model, it is not trained, or the file is not the one in dvc.lock.
    """
    # Only a name in params.yaml becomes part of a path: those are a params.Name.
    values.model(name)
    path = FOLDER / f"{name}.keras"
    if not path.exists():
        raise InputError("not trained yet", path=path, fix=HOW_TO_TRAIN)
    dvc_lock.verify(path)
    return path


def load(path: Path, threads: int) -> Any:
    """Return the network in a `.keras` file, for `predict`; TensorFlow is first imported here.

    Raises:
        InputError: The file holds no network that can be loaded without running code of its own, or one for something
            other than uint8 images (n, 28, 28) and ten classes.
    """
    from pipeline.training import backend, model_file

    backend.start(intra_op=threads)
    network = model_file.load(path)
    try:
        found = (network.input_dtype, network.input_shape[1:], network.output_shape[1:])
    except Exception as error:
        # A network with several inputs, for example, or with none.
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"not a network for one image ({reason})", path=path) from None
    if found != (expected := ("uint8", (SIDE, SIDE), (CLASSES,))):
        raise InputError(f"expected a network from and to {expected}, found {found}", path=path)
    return network


def load_logged(address: str, threads: int) -> Any:
    """Return the network of the model in MLflow at `address`, such as models:/mnist@champion, as `load` does.

    Raises:
        InputError: MLflow has no such model, or what it has is not one of this project's.
        UnavailableError: MLflow does not answer.
    """
    from pipeline import tracking

    with tempfile.TemporaryDirectory() as folder:
        path = tracking.fetch(address, Path(folder))
        try:
            return load(path, threads)
        except InputError as error:
            raise InputError(f"{address}: not a model of this project ({error.what})") from None


def predict(network: Any, images: NDArray[np.uint8]) -> Sequence[Prediction]:
    """Return the network's predictions for images (n, 28, 28), light on black.

    Raises:
        PipelineError: The network's output is not probabilities.
    """
    # Called as a function: for the one image of a drawing, Keras' `predict` would take twenty times as long.
    parts = [network(images[first : first + _BATCH], training=False) for first in range(0, len(images), _BATCH)]
    probabilities = np.concatenate(parts).astype(np.float64)
    if not np.isfinite(probabilities).all():
        raise PipelineError(f"{network.name}: its output is {probabilities.min()}", fix="train the model again")
    return [Prediction(int(row.argmax()), row.tolist()) for row in probabilities]
