"""Trained networks as classifiers of images: find their files, check and load them, predict. For predict and demo."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import dvc_lock, errors
from pipeline.errors import InputError, PipelineError
from pipeline.params import Params

# Where the stage train@MODEL puts its model.
FOLDER = Path("models")
HOW_TO_TRAIN = "`make repro` trains all models, in 10 to 30 minutes on two cores"
# How the address of a model in MLflow's registry begins.
REGISTRY_URI = "models:/"
FILE_ENDING = ".keras"
# A prediction whose probability is lower is reported as uncertain.
CERTAIN = 0.9


@dataclass(frozen=True)
class Prediction:
    """The probability of each of the `classes`, in their order; the first of the most probable ones is predicted."""

    classes: tuple[str, ...]
    probabilities: list[float]

    @property
    def label(self) -> int:
        """The position of the predicted class."""
        return self.probabilities.index(max(self.probabilities))

    @property
    def name(self) -> str:
        """The name of the predicted class."""
        return self.classes[self.label]

    @property
    def certain(self) -> bool:
        """Whether the predicted class has a probability of at least CERTAIN."""
        return max(self.probabilities) >= CERTAIN

    def ranked(self) -> list[tuple[str, float]]:
        """Return the classes with their probabilities, the most probable ones first."""
        return sorted(zip(self.classes, self.probabilities, strict=True), key=lambda pair: -pair[1])


def file_of(values: Params, name: str) -> Path:
    """Return the file of the trained model `name`, checked against dvc.lock.

    Raises:
        InputError: params.yaml has no such model, it is not trained, or the file differs from dvc.lock.
    """
    # Only a name in params.yaml becomes part of a path: those are a params.Name.
    values.model(name)
    path = FOLDER / f"{name}{FILE_ENDING}"
    if not path.exists():
        raise InputError("not trained yet", path=path, fix=HOW_TO_TRAIN)
    dvc_lock.verify(path)
    return path


def load(path: Path, threads: int, shape: tuple[int, ...], classes: Sequence[str]) -> Any:
    """Return the network in a `.keras` file, for `predict`; TensorFlow is first imported here.

    Raises:
        InputError: The file holds no network that can be loaded without running code of its own, or one for something
            other than uint8 images of `shape`, (h, w) or (h, w, 3), and so many classes.
    """
    from pipeline.training import backend, model_file

    backend.start(intra_op=threads)
    network = model_file.load(path)
    try:
        form = (network.inputs[0].dtype, network.input_shape[1:], network.output_shape[1:])
    except Exception as error:
        # A network with several inputs, for example, or with none.
        raise InputError(f"not a network for one image ({errors.reason(error)})", path=path) from None
    if form != (expected := ("uint8", shape, (len(classes),))):
        raise InputError(f"expected a network from and to {expected}, found {form}", path=path)
    return network


def load_logged(address: str, threads: int, shape: tuple[int, ...], classes: Sequence[str]) -> Any:
    """Return the network of the model in MLflow at `address`, such as models:/mnist@champion, as `load` does.

    Raises:
        InputError: MLflow has no such model, or what it has is not one of this project's.
        UnavailableError: MLflow does not answer.
    """
    from pipeline import tracking

    with tempfile.TemporaryDirectory() as folder:
        path = tracking.fetch(address, Path(folder))
        try:
            return load(path, threads, shape, classes)
        except InputError as error:
            raise InputError(f"{address}: not a model of this project for this data ({error.what})") from None


def predict(network: Any, images: NDArray[np.uint8], classes: tuple[str, ...]) -> Sequence[Prediction]:
    """Return the network's predictions for images (n, h, w) or (n, h, w, 3).

    Raises:
        PipelineError: The network's output is not probabilities.
    """
    return [Prediction(classes, row.tolist()) for row in probabilities(network, images)]


def probabilities(network: Any, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the network's probabilities (n, classes) for images (n, h, w) or (n, h, w, 3).

    Raises:
        PipelineError: The network's output is not probabilities.
    """
    from pipeline.training import networks

    size = networks.scoring_batch(network)
    # Called as a function: for the one image of a drawing, Keras' `predict` would take twenty times as long.
    parts = [network(images[first : first + size], training=False) for first in range(0, len(images), size)]
    output = np.concatenate(parts).astype(np.float64)
    if not np.isfinite(output).all():
        raise PipelineError(f"{network.name}: its output is {output.min()}", fix="train the model again")
    return output
