"""Pictures as images of a data set: resized and converted as those that were trained on, or their ink found first."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pipeline.data import sets
from pipeline.data.image_set import ImageSet, PictureOptions
from pipeline.errors import InputError
from pipeline.inference import reading
from pipeline.inference.training_data import from_record
from tests.support import made_sets, untrained
from tests.support.untrained import saved

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def stones(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    """Return a data set of 32x32 in colour."""
    folder = tmp_path_factory.mktemp("stones")
    untrained.write_set(folder, "stones", untrained.stones())
    return sets.load(folder / "data" / "sets" / "stones.yaml")


def shipped(name: str) -> ImageSet:
    """Return a data set of the repository."""
    return sets.load(ROOT / "data" / "sets" / f"{name}.yaml")


def read(content: bytes, described: ImageSet) -> np.ndarray:
    """Return the picture in a file with this content as an image of the data set."""
    return reading.decode(content, "x.png", described)


def test_an_image_of_the_data_set_stays_as_it_is(stones: ImageSet) -> None:
    """A file with a training image, in colour or grey, gives every pixel of it."""
    rng = np.random.default_rng(0)
    colour, grey = made_sets.arrays()["train_images"][0], rng.integers(0, 256, (28, 28), np.uint8)

    np.testing.assert_array_equal(read(saved(Image.fromarray(colour)), stones), colour)
    np.testing.assert_array_equal(read(saved(Image.fromarray(grey)), shipped("fashion_mnist")), grey)


@pytest.mark.parametrize(("orientation", "turned"), [(3, 180), (6, 90), (8, 270)])
def test_a_photograph_is_upright(stones: ImageSet, orientation: int, turned: int) -> None:
    """A picture that is stored lying, with EXIF data that set it upright, is read upright, to train on it too."""
    exif, upright = Image.Exif(), untrained.picture()
    exif[0x0112] = orientation
    lying = saved(upright.rotate(turned, expand=True), "PNG", exif=exif)

    np.testing.assert_array_equal(read(lying, stones), read(saved(upright), stones))


def strokes(*lines: tuple[int, int, int, int], light: bool = False) -> bytes:
    """Return a page of 300x300 with strokes of ink that lie apart."""
    image = Image.new("L", (300, 300), 20 if light else 250)
    for line in lines:
        ImageDraw.Draw(image).line(line, 240 if light else 10, 16)
    return saved(image)


def test_all_strokes_are_the_character() -> None:
    """Of a set of characters, strokes that lie apart are one character, which fills the image, light on black."""
    parts = (80, 60, 80, 240), (180, 60, 180, 240)
    for light in (False, True):
        found = read(strokes(*parts, light=light), shipped("kmnist"))

        rows, columns = np.flatnonzero(found.max(axis=1) > 128), np.flatnonzero(found.max(axis=0) > 128)
        assert (found.shape, found.max(), rows[0], rows[-1]) == ((28, 28), 255, 0, 27)
        # Two strokes of 16 pixels, 100 apart, where 181 rows become 28.
        assert np.ptp(columns) + 1 == pytest.approx(116 * 28 / 181, abs=1.5)
        assert (found[14] == 0).any()
    with pytest.raises(InputError, match=r"x\.png: not one digit: several things stand out"):
        read(strokes(*parts), shipped("mnist"))


def test_an_image_of_characters_stays_as_it_is() -> None:
    """A grey picture of 28x28 with a black border is such an image already; an empty page shows nothing."""
    image = np.zeros((28, 28), np.uint8)
    image[1:27, 5:9], image[3:20, 15:25] = 200, 90

    np.testing.assert_array_equal(read(saved(Image.fromarray(image)), shipped("kmnist")), image)
    with pytest.raises(InputError, match=r"x\.png: not a character: nothing stands out"):
        read(strokes(), shipped("kmnist"))


@pytest.mark.parametrize(
    "options", [{"resize": "pad", "convert": False, "background": "#aa0033"}, {"scale": 4095.0}, None]
)
def test_the_options_of_pictures_travel_with_the_model(options: dict[str, Any] | None) -> None:
    """What preprocess recorded says how a picture is read; a record from before there were options has none."""
    record: dict[str, Any] = dict.fromkeys(("title", "noun", "credit"), "x")
    record |= {"classes": ["a", "b"], "image": [20, 24, 3], "handwriting": None}

    found = from_record(record if options is None else record | {"pictures": options}, "cnn")

    assert found.pictures == (PictureOptions() if options is None else PictureOptions(**options))
