"""A picture as an image of a data set: of the shape and in the form of those that its models were trained on."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.data.formats import pictures
from pipeline.errors import InputError, is_printable
from pipeline.inference import handwriting
from pipeline.inference.segmentation import SegmentationError
from pipeline.inference.training_data import TrainingData

# The longer side of a picture of handwriting: larger ones are averaged down, which also removes noise.
LONGEST = 560
# A picture whose grey levels differ by less, of 255, shows nothing.
_VISIBLE = 24


def read(path: Path, data: TrainingData) -> NDArray[np.uint8]:
    """Return the picture in the file at `path` as an image of the data set, of the shape that it states.

    Raises:
        InputError: As in `decode`, or the file cannot be read.
    """
    try:
        content = pictures.content_of(path)
    except OSError as error:
        raise InputError(f"{shown(path)}: cannot be read ({error.strerror or error})") from None
    return decode(content, shown(path), data)


def decode(content: bytes, name: str, data: TrainingData) -> NDArray[np.uint8]:
    """Return the picture in a file with `content` as an image of the data set; errors call the file `name`.

    Of handwriting the ink is found first. Any other picture is resized and converted as the data set says of those to
    train on, so that one of them gives the very image that was trained on; where it says nothing, stretched, on white.

    Raises:
        InputError: It is not such a file, is damaged or too large, or shows nothing, or not what the data set has.
    """
    try:
        match data.handwriting:
            case "digit":
                return handwriting.digit(brightness(content, data.pictures.scale))
            case "character":
                return handwriting.character(brightness(content, data.pictures.scale))
        image = pictures.decode(content, data.image, data.pictures.lenient).image
    except SegmentationError as error:
        expected = "one digit" if data.handwriting == "digit" else "a character"
        raise InputError(f"{name}: not {expected}: {error}") from None
    except ValueError as error:
        raise InputError(f"{name}: {error}") from None
    if image.min() == image.max():
        raise InputError(f"{name}: shows nothing: all of it has one brightness")
    return image


def brightness(content: bytes, scale: float | None = None) -> NDArray[np.float64]:
    """Return the brightness (rows, columns), 0 to 255, of the picture in a file with `content`, of at most LONGEST.

    What is transparent counts as white, or as black if white would hide all ink.

    Raises:
        ValueError: It is not such a file, is damaged or too large; the text is the reason.
    """
    with pictures.opened(content, scale) as picture:
        grey = _on(picture.image, "white")
        if picture.image.has_transparency_data and np.ptp(grey) < _VISIBLE:
            return _on(picture.image, "black")
        return grey


def _on(image: Image.Image, colour: str) -> NDArray[np.float64]:
    """Return the brightness of a picture in front of a colour, averaged down to LONGEST."""
    grey = pictures.flattened(image, "L", colour)
    grey.thumbnail((LONGEST, LONGEST), Image.Resampling.BOX)
    return np.asarray(grey, np.float64)


def shown(path: Path) -> str:
    """Return `path` as text for one line of a terminal, whatever characters are in it."""
    return str(path) if is_printable(str(path)) else ascii(str(path))
