"""Photographs of one digit are read as that digit or refused; what is not one digit is refused."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier

from pipeline.errors import InputError
from pipeline.inference import handwriting, reading, segmentation, training_data
from pipeline.inference.segmentation import SegmentationError
from tests.support import no_digits, paper, photographs
from tests.support.paper import Kind, Pixels

MNIST = training_data.load(Path(__file__).parents[2] / "data" / "sets" / "mnist.yaml")
# Of so many pictures, how many of a kind must be read correctly, or may be wrong with what probability.
PICTURES, CORRECT, WRONG, CONFIDENT = 200, 190, 2, 0.9


def read(picture: bytes) -> Pixels:
    """Return what becomes of a picture's file."""
    return reading.decode(picture, "picture", MNIST)


def taken(kinds: Mapping[str, Kind], name: str, sources: Iterable[Pixels]) -> Iterator[bytes]:
    """Yield a picture of a kind for each of the digits, the same ones each time."""
    for number, source in enumerate(sources):
        yield kinds[name](source, np.random.default_rng([*name.encode(), number]))


def likeness(image: Pixels, source: Pixels) -> float:
    """Return the correlation of an image with another, which may lie a pixel aside."""
    moved = (np.roll(source, (row, column), (0, 1)) for row in (-1, 0, 1) for column in (-1, 0, 1))
    return max(float(np.corrcoef(image.ravel(), place.ravel())[0, 1]) for place in moved)


@pytest.mark.parametrize("name", photographs.READABLE)
def test_a_photograph_of_a_digit_gives_that_digit(name: str) -> None:
    """What is found has the digit's own shape, whatever the page, its light and its specks."""
    sources = paper.digits()[0][:3]

    for source, picture in zip(sources, taken(photographs.READABLE, name, sources), strict=True):
        alone = segmentation.ink(np.kron(source.astype(float), np.ones((4, 4))))
        assert likeness(read(picture), handwriting.digit(255 * alone)) > 0.9


@pytest.mark.fault("photograph of something other than one digit")
@pytest.mark.parametrize("name", no_digits.MEANINGLESS)
def test_what_is_not_one_digit_is_refused(name: str) -> None:
    """Several digits, scribbles, dots, empty pages, text and textures are refused in a line with the reason."""
    for picture in taken(no_digits.MEANINGLESS, name, paper.digits()[0][:3]):
        with pytest.raises(InputError, match="picture: not one digit: ") as refused:
            read(picture)

        assert "\n" not in str(refused.value)


@pytest.mark.fault("photograph of something other than one digit")
@pytest.mark.parametrize(
    ("draw", "reason"),
    [
        (lambda canvas: canvas.ellipse((180, 180, 220, 220), 255), "too thick"),
        (lambda canvas: canvas.line((100, 200, 300, 205), 255, 20), "too wide"),
        (lambda canvas: canvas.rectangle((100, 100, 300, 300), None, 255, 6), "fills its box"),
        (lambda canvas: [canvas.line((x, 100, x, 300), 255, 12) for x in (120, 280)], "several things"),
        (lambda canvas: canvas.line((200, 0, 200, 300), 255, 20), "edge of the picture"),
        (lambda canvas: canvas.line([(100 + i % 2 * 200, 100 + 20 * i) for i in range(11)], 255, 6), "more strokes"),
        (lambda canvas: canvas.point((200, 200), 255), "nothing stands out"),
    ],
    ids=["dot", "dash", "frame", "two strokes", "cut off", "zigzag", "one pixel"],
)
def test_the_reason_is_the_true_one(draw: object, reason: str) -> None:
    """A dot is too thick, a dash too wide, and so on: the reason says what to change."""
    ink = paper.drawn((400, 400), draw)  # type: ignore[arg-type]

    for page in (255 - 230 * ink, 20 + 200 * ink):
        with pytest.raises(SegmentationError, match=reason):
            handwriting.digit(page)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (2, 3), (28, 28), (300, 20)])
def test_any_brightness_is_an_image_or_refused(shape: tuple[int, int]) -> None:
    """Noise of any size and kind gives 28x28 pixels that reach white, or a reason."""
    random = np.random.default_rng(0)
    for levels in (random.random(shape), random.integers(0, 2, shape), random.random(shape) ** 9, np.ones(shape)):
        try:
            image = handwriting.digit(255.0 * levels)
        except SegmentationError:
            continue
        assert (image.shape, image.max()) == ((28, 28), 255)


def test_the_page_is_found_under_its_ink() -> None:
    """A quadratic page under noise is found to a grey level, also below ink that hides a tenth of it."""
    random = np.random.default_rng(0)
    rows, columns = paper.grid((200, 300))
    page = 180 - 40 * rows + 15 * columns - 12 * rows**2 + 8 * rows * columns - 20 * columns**2
    ink = np.zeros(page.shape)
    ink[60:140, 110:190] = 120

    found, noise = segmentation.background(page - ink + random.normal(0, 3, page.shape))

    assert np.abs(found - page).max() < 1
    assert noise == pytest.approx(3 * 0.6745, rel=0.1)  # the median distance of a normal distribution


@dataclass(frozen=True)
class Reader:
    """A classifier of normalised images, and digits that it has not seen but reads correctly when nothing is wrong."""

    network: MLPClassifier
    sources: Pixels
    labels: Pixels

    def probabilities(self, images: list[Pixels]) -> NDArray[np.float64]:
        """Return the probability of each digit for each image."""
        return np.asarray(self.network.predict_proba(np.stack(images).reshape(len(images), -1) / 255))


@pytest.fixture(scope="module")
def reader() -> Reader:
    """Train on the photographs of most digits under a good light, and keep the others."""
    sources, labels = paper.digits()
    order = np.random.default_rng(0).permutation(len(sources))
    read_as, kept = [], []
    for number, picture in zip(order, taken(photographs.READABLE, "clean", sources[order]), strict=True):
        try:
            read_as.append(read(picture))
            kept.append(number)
        except InputError:
            continue
    # The strokes of some are too thick, since they had 8x8 pixels.
    assert len(kept) > 0.85 * len(sources)
    split = len(kept) - 300
    inputs = np.stack(read_as).reshape(len(kept), -1) / 255
    network = MLPClassifier((128,), early_stopping=True, random_state=0).fit(inputs[:split], labels[kept[:split]])
    correct = np.flatnonzero(network.predict(inputs[split:]) == labels[kept[split:]])[:PICTURES]
    chosen = np.array(kept[split:])[correct]
    return Reader(network, sources[chosen], labels[chosen])


def outcome(reader: Reader, kinds: Mapping[str, Kind], name: str, *, digit: bool) -> tuple[int, int]:
    """Return how many pictures of a kind are read correctly, and how many are read wrong with confidence."""
    images, labels = [], []
    for label, picture in zip(reader.labels, taken(kinds, name, reader.sources), strict=True):
        try:
            images.append(read(picture))
        except InputError:
            continue
        labels.append(int(label) if digit else -1)
    if not images:
        return 0, 0
    probabilities = reader.probabilities(images)
    correct = probabilities.argmax(axis=1) == np.array(labels)
    return int(correct.sum()), int((~correct & (probabilities.max(axis=1) > CONFIDENT)).sum())


@pytest.mark.slow
@pytest.mark.parametrize("name", photographs.READABLE)
def test_nearly_all_good_photographs_are_read(reader: Reader, name: str) -> None:
    """Of 200 pictures of each promised kind, at least 190 are read correctly."""
    assert len(reader.labels) == PICTURES
    assert outcome(reader, photographs.READABLE, name, digit=True)[0] >= CORRECT


@pytest.mark.slow
@pytest.mark.fault("photograph of something other than one digit")
@pytest.mark.parametrize("name", photographs.DIFFICULT)
def test_difficult_photographs_are_read_or_refused(reader: Reader, name: str) -> None:
    """Of 200 pictures of each kind under bad light or with other marks, at most 2 are wrong with confidence."""
    assert outcome(reader, photographs.DIFFICULT, name, digit=True)[1] <= WRONG


@pytest.mark.slow
@pytest.mark.fault("photograph of something other than one digit")
@pytest.mark.parametrize("name", no_digits.MEANINGLESS)
def test_what_is_not_one_digit_gets_no_confident_prediction(reader: Reader, name: str) -> None:
    """Of 200 pictures of each kind without exactly one digit, at most 2 get a prediction with a probability > 0.9."""
    assert outcome(reader, no_digits.MEANINGLESS, name, digit=False)[1] <= WRONG
