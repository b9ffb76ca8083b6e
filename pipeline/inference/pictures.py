"""Pictures of handwriting from anywhere -> how bright each pixel is, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.data.formats import pictures
from pipeline.errors import InputError, is_printable

# The longer side of what is returned: larger pictures are averaged down, which also removes noise.
LONGEST = 560
# A picture whose grey levels differ by less, of 255, shows nothing.
_VISIBLE = 24


def read(path: Path) -> NDArray[np.float64]:
    """Return the brightness of the picture in the file at `path`, as `decode` does.

    Raises:
        InputError: As in `decode`, or the file cannot be read.
    """
    with opened(path) as file:
        return decode(file, shown(path))


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Yield the file at `path`, open for reading.

    Raises:
        InputError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise InputError(f"{shown(path)}: cannot be read ({error.strerror or error})") from None


def content_of(file: IO[bytes]) -> bytes:
    """Return the content of a file of a picture, of one that is too large no more than shows that it is."""
    return file.read(pictures.MAX_FILE + 1)


def decode(file: IO[bytes], name: str) -> NDArray[np.float64]:
    """Return the brightness (rows, columns), 0 to 255, of a picture in a file; errors call it `name`.

    What is transparent counts as white, or as black if white would hide all ink.

    Raises:
        InputError: It is not such a file, is damaged or too large.
    """
    try:
        with pictures.opened(content_of(file)) as picture:
            return _brightness(picture.image)
    except ValueError as error:
        raise InputError(f"{name}: {error}") from None


def shown(path: Path) -> str:
    """Return `path` as text for one line of a terminal, whatever characters are in it."""
    return str(path) if is_printable(str(path)) else ascii(str(path))


def _brightness(image: Image.Image) -> NDArray[np.float64]:
    grey = _on(image, "white")
    if image.has_transparency_data and np.ptp(grey) < _VISIBLE:
        return _on(image, "black")
    return grey


def _on(image: Image.Image, colour: str) -> NDArray[np.float64]:
    """Return the brightness of a picture in front of a colour, averaged down to LONGEST."""
    grey = pictures.flattened(image, "L", colour)
    grey.thumbnail((LONGEST, LONGEST), Image.Resampling.BOX)
    return np.asarray(grey, np.float64)
