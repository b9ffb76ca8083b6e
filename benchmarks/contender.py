"""What all contenders of a benchmark share: the task they are handed, and the answer they print."""

import argparse
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Task:
    """One training: which network, on how many images of the data, for how many epochs, with how many threads."""

    model: str
    data: Path
    images: int
    epochs: int
    batch_size: int
    threads: int
    precision: str
    instructions: str
    side: int
    channels: int
    augmented: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of an image."""
        return (self.side, self.side) if self.channels == 1 else (self.side, self.side, self.channels)

    def arrays(self) -> tuple[Bytes, Bytes, Bytes, Bytes]:
        """Return images (n, *shape) and labels (n,) to train on, then those to score after every epoch."""
        with np.load(self.data, allow_pickle=False) as arrays:
            kept = self.images or None
            train = arrays["train_images"][:kept], arrays["train_labels"][:kept]
            # As many fewer, so that scoring keeps its share of an epoch.
            scored = round(len(arrays["test_labels"]) * len(train[1]) / len(arrays["train_labels"]))
            test = arrays["test_images"][:scored], arrays["test_labels"][:scored]
        return self._shaped(train[0]), train[1], self._shaped(test[0]), test[1]

    def _shaped(self, images: Bytes) -> Bytes:
        """Return images (n, 28, 28) enlarged to the task's shape, one channel differing from the other."""
        places = np.arange(self.side) * images.shape[1] // self.side
        enlarged = images[:, places][:, :, places]
        channels = [enlarged, enlarged[:, ::-1], 255 - enlarged][: self.channels]
        return enlarged if self.channels == 1 else np.stack(channels, axis=-1)


def task() -> Task:
    """Return the task that the command line states."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--data", type=Path, required=True, help="npz made by preprocess")
    parser.add_argument("--images", type=int, default=0, help="how many to train on; 0 for all")
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--instructions", default="native", help="of this project alone")
    parser.add_argument("--side", type=int, default=28, help="of the images, in pixels")
    parser.add_argument("--channels", type=int, default=1, choices=(1, 3))
    parser.add_argument("--augmented", action="store_true", help="images shifted by up to two pixels, and mirrored")
    return Task(**vars(parser.parse_args()))


def answer(seconds: Iterable[float], accuracy: float) -> None:
    """Print the seconds of each epoch and the last epoch's accuracy on the scored images, as JSON."""
    print(json.dumps({"seconds": [float(value) for value in seconds], "accuracy": float(accuracy)}))
