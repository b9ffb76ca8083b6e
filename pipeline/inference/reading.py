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
    """Return the picture in the PNG or JPEG file at `path` as an image of the data set, of the shape that it states.

    Raises:
        InputError: As in `decode`, or the file cannot be read.
    """
    with pictures.opened(path) as file:
        return decode(file, pictures.shown(path), described)


def decode(file: IO[bytes], name: str, described: Described) -> NDArray[np.uint8]:
    """Return the picture in a PNG or JPEG file as an image of the data set; errors call the file `name`.

    Of handwriting the ink is found first. Any other picture is resized and converted as pictures to train on are where
    the data set allows that, so that one of these gives the very image that was trained on.

    Raises:
        InputError: It is not such a file, is damaged or too large, or shows nothing, or not what the data set has.
    """
    match described.handwriting:
        case "digit":
            return digits.decode(file, name)
        case "character":
            return characters.decode(file, name)
    try:
        image = whole.decode(file.read(whole.MAX_FILE + 1), described.image, resize=True, convert=True)
    except ValueError as error:
        raise InputError(f"{name}: {error}") from None
    if image.min() == image.max():
        raise InputError(f"{name}: shows nothing: all of it has one brightness")
    return image
