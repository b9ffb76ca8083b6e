"""Pictures of digits in MNIST's form: invariances, drawn with Pillow's own font, and scikit-learn's digits."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from pipeline.errors import InputError
from pipeline.inference import handwriting, reading, training_data
from pipeline.inference.segmentation import SegmentationError
from tests.support import made_sets, paper
from tests.support.untrained import saved

Pixels = NDArray[np.uint8]
MNIST, COLOUR = (
    training_data.load(Path(__file__).parents[2] / "data" / "sets" / f"{name}.yaml") for name in ("mnist", "cifar10")
)


def drawn(
    text: str = "5", size: tuple[int, int] = (300, 300), height: int = 180, at: tuple[int, int] = (0, 0)
) -> Image.Image:
    """Return a picture of a digit, black on white, its middle `at` that many pixels from the picture's."""
    image = Image.new("L", size, 255)
    middle = size[0] / 2 + at[0], size[1] / 2 + at[1]
    ImageDraw.Draw(image).text(middle, text, 0, ImageFont.load_default(height), anchor="mm")
    return image


def read(image: Image.Image, kind: str = "PNG", **options: object) -> Pixels:
    """Return what becomes of a picture saved as a file of that kind."""
    return reading.decode(saved(image, kind, **options), "picture", MNIST)


def distance(one: Pixels, other: Pixels) -> float:
    """Return the mean difference of two images' pixels, in grey levels."""
    return float(np.abs(one.astype(int) - other).mean())


def nearly(one: Pixels, other: Pixels) -> float:
    """Return their distance where one may be shifted by a pixel, since a centre of mass is rounded."""
    moved = (np.roll(other, (row, column), (0, 1)) for row in (-1, 0, 1) for column in (-1, 0, 1))
    return min(distance(one, place) for place in moved)


def centre(image: Pixels) -> tuple[float, float]:
    """Return the row and the column of an image's centre of mass."""
    weights = image / image.sum()
    return float(weights.sum(axis=1) @ np.arange(28)), float(weights.sum(axis=0) @ np.arange(28))


@pytest.mark.parametrize("text", "0123456789")
@pytest.mark.parametrize(("size", "height"), [((300, 500), 200), ((64, 40), 30), ((1400, 900), 300), ((28, 28), 22)])
def test_a_digit_is_20_pixels_long_and_its_mass_in_the_middle(text: str, size: tuple[int, int], height: int) -> None:
    """The longer side of the ink is 20 pixels, the centre of mass within half a pixel of (14, 14), the peak white."""
    image = read(drawn(text, size, height))

    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    assert (image.shape, image.dtype, image.max()) == ((28, 28), np.uint8, 255)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == pytest.approx(20, abs=1)
    assert centre(image) == (pytest.approx(14, abs=0.51), pytest.approx(14, abs=0.51))


def test_the_aspect_ratio_stays() -> None:
    """A bar four times as high as wide is 20 by 5 pixels."""
    image = Image.new("L", (300, 300), 255)
    ImageDraw.Draw(image).rectangle((100, 50, 149, 249), 0)

    found = read(image)

    assert np.array_equal(np.argwhere(found > 0).min(axis=0), [4, 12])
    assert found.sum() == 255 * 20 * 5


def transparent(image: Image.Image) -> Image.Image:
    """Return the ink of a picture, black, on a transparent background."""
    return Image.merge("LA", (Image.new("L", image.size, 0), ImageOps.invert(image)))


def sixteen_bits(image: Image.Image) -> Image.Image:
    """Return a picture with 16 bits a pixel."""
    return Image.fromarray(np.asarray(image, np.uint16) * 257)


def white_ink(image: Image.Image) -> Image.Image:
    """Return the ink of a picture, white, on a transparent background."""
    return Image.merge("LA", (Image.new("L", image.size, 255), ImageOps.invert(image)))


SAME = {
    "light on dark": ImageOps.invert(drawn()),
    "larger": drawn(size=(900, 900), height=540),
    "smaller": drawn(size=(120, 120), height=72),
    "in another format": drawn(size=(300, 500)),
    "elsewhere": drawn(at=(40, -35)),
    "at the border": drawn(at=(-100, 0)),
    "pale": drawn().point(lambda value: 120 + value // 4),
    "in colour": ImageOps.colorize(drawn(), "#802010", "#f0f0c0"),
    "of a palette": drawn().convert("P"),
    "of two levels": drawn().convert("1"),
    "transparent": transparent(drawn()),
    "transparent, in colour": transparent(drawn()).convert("RGBA"),
    "white on transparent": white_ink(drawn()),
    "of 16 bits": sixteen_bits(drawn()),
}


@pytest.mark.parametrize("image", SAME.values(), ids=SAME)
def test_a_digit_drawn_in_another_way_is_the_same(image: Image.Image) -> None:
    """Colours, size, place, transparency and depth make no difference, or one of a few grey levels at the edges."""
    assert distance(read(image), read(drawn())) < 4


@pytest.mark.parametrize("quality", [30, 75, 95])
def test_jpeg_makes_little_difference(quality: int) -> None:
    """JPEG's artefacts around the ink are not mistaken for ink."""
    assert nearly(read(drawn(), "JPEG", quality=quality), read(drawn())) < 4


def photographed(image: Image.Image, light: tuple[float, float], noise: float) -> Image.Image:
    """Return a picture under light that changes from left to right, with noise of that deviation."""
    shade = np.linspace(*light, image.width)
    strays = np.random.default_rng(0).normal(0, noise, (image.height, image.width))
    return Image.fromarray(np.clip(np.asarray(image) * 0.8 * shade + 20 + strays, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("size", [(300, 300), (1200, 1600)])
@pytest.mark.parametrize("inverted", [False, True])
def test_shade_and_noise_are_background(size: tuple[int, int], inverted: bool) -> None:
    """Under uneven light, with the noise of a bad photograph, nearly the same digit is found."""
    image = drawn(size=size, height=size[0] // 2)
    photo = photographed(image, (0.75, 1), noise=6)

    found = read(ImageOps.invert(photo) if inverted else photo, "JPEG")

    assert nearly(found, read(image)) < 8


def normalised() -> Iterator[Pixels]:
    """Yield some of scikit-learn's digits, normalised; the strokes of a few are too thick."""
    for image in paper.digits()[0][:300]:
        with contextlib.suppress(SegmentationError):
            yield handwriting.digit(image.astype(float))


def test_what_is_normalised_already_stays() -> None:
    """A digit that was normalised before is recognised as such: it moves by a pixel at most."""
    images = list(normalised())

    assert len(images) > 250
    for image in images[:50]:
        assert nearly(handwriting.digit(image.astype(float)), image) < 1


def box(image: Pixels, least: float) -> list[int]:
    """Return the first and last row and column with a pixel of at least so much."""
    rows, columns = np.flatnonzero((image >= least).any(axis=1)), np.flatnonzero((image >= least).any(axis=0))
    return [rows[0], rows[-1], columns[0], columns[-1]]


def test_an_image_in_the_form_of_mnist_keeps_every_byte() -> None:
    """A digit whose clear pixels fill 20 rows or columns, with its mass in the middle, comes through unchanged."""
    unchanged = 0
    for image in normalised():
        clear = box(image, 0.15 * 255)
        if clear == box(image, 1) and max(clear[1] - clear[0], clear[3] - clear[2]) == 19:
            assert np.array_equal(handwriting.digit(image.astype(float)), image)
            unchanged += 1

    assert unchanged >= 20


NOISE = Image.fromarray(np.random.default_rng(0).normal(128, 4, (300, 300)).clip(0, 255).astype(np.uint8))
BROKEN = {
    "empty": (b"", "not a PNG, JPEG, "),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not a PNG, JPEG, "),
    "an ICO": (saved(drawn(), "ICO"), "not a PNG, JPEG, "),
    "half a JPEG": (saved(drawn(), "JPEG")[:2000], "file that can be read "),
    "half a PNG": (saved(drawn(), "PNG")[:700], "file that can be read "),
    "no pixels": (made_sets.png_of(28, 28, 8, 0, b""), "file that can be read "),
    "a bomb": (made_sets.png_of(30_000, 30_000, 8, 0, b""), "at most 50,000,000 pixels"),
    "somewhat large": (made_sets.png_of(8_000, 7_000, 8, 0, b""), "at most 50,000,000 pixels, found 8000x7000"),
    "larger than Pillow likes": (made_sets.png_of(10_000, 10_000, 8, 0, b""), "pixels, found 10000x10000"),
}
BLANK = {
    "white": Image.new("L", (300, 300), 255),
    "one pixel": Image.new("L", (1, 1), 0),
    "white on nothing": Image.new("LA", (30, 30), (255, 0)),
    "noise": NOISE,
}
BAD = [
    *((about, *bad) for about in (MNIST, COLOUR) for bad in BROKEN.values()),
    *((MNIST, saved(image), "nothing stands out") for image in BLANK.values()),
    (COLOUR, saved(BLANK["white"]), "shows nothing"),
]


@pytest.mark.fault("picture damaged, blank, too large, or not a picture")
@pytest.mark.parametrize(("about", "content", "message"), BAD)
def test_what_shows_nothing_is_refused(
    about: training_data.TrainingData, content: bytes, message: str, tmp_path: Path
) -> None:
    """The error is one line with the file's name and what is wrong; nothing is decoded that is too large.

    Where the images are no handwriting, there is no word on digits.
    """
    path = tmp_path / "file.png"
    path.write_bytes(content)

    with pytest.raises(InputError, match=message) as error:
        reading.read(path, about)

    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    assert about is MNIST or "digit" not in str(error.value)


@pytest.mark.fault("picture damaged, blank, too large, or not a picture")
def test_a_file_with_flipped_bytes_is_answered_or_refused() -> None:
    """Whatever a decoder makes of damaged bytes, it is a digit or an InputError."""
    random = np.random.default_rng(0)
    for kind in ("PNG", "JPEG"):
        good = np.frombuffer(saved(drawn(size=(60, 60), height=40), kind), np.uint8)
        for _ in range(150):
            bad = good.copy()
            bad[random.integers(len(bad), size=3)] = random.integers(256, size=3)
            with contextlib.suppress(InputError):
                assert reading.decode(bad.tobytes(), "picture", MNIST).shape == (28, 28)


def test_a_path_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A missing file and a directory have different messages; a line break in a name does not make a second line."""
    with pytest.raises(InputError, match="No such file"):
        reading.read(tmp_path / "missing.png", MNIST)
    with pytest.raises(InputError, match="Is a directory"):
        reading.read(tmp_path, MNIST)
    assert reading.shown(Path("a\nb")) == "'a\\nb'"
