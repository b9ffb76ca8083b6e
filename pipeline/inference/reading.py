"""A picture as an image of a data set: of the shape and in the form of those that its models were trained on."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from pipeline.data.formats import pictures as whole
from pipeline.errors import InputError
from pipeline.inference import characters, digits, pictures
from pipeline.inference.described import Described


def read(path: Path, described: Described) -> NDArray[np.uint8]:
    """Return the picture in the file at `path` as an image of the data set, of the shape that it states.

    Raises:
        InputError: As in `decode`, or the file cannot be read.
    """
    with pictures.opened(path) as file:
        return decode(file, pictures.shown(path), described)


def decode(file: IO[bytes], name: str, described: Described) -> NDArray[np.uint8]:
    """Return the picture in a file as an image of the data set; errors call the file `name`.

    Of handwriting the ink is found first. Any other picture is resized and converted as the data set says of those to
    train on, so that one of them gives the very image that was trained on; where it says nothing, stretched, on white.

    Raises:
        InputError: It is not such a file, is damaged or too large, or shows nothing, or not what the data set has.
    """
    match described.handwriting:
        case "digit":
            return digits.decode(file, name)
        case "character":
            return characters.decode(file, name)
    try:
        content = pictures.content_of(file)
        image = whole.decode(content, described.image, described.pictures.of_any).image
    except ValueError as error:
        raise InputError(f"{name}: {error}") from None
    if image.min() == image.max():
        raise InputError(f"{name}: shows nothing: all of it has one brightness")
    return image
