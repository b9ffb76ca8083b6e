"""PNG and JPEG files from anywhere -> how bright each pixel is, in bounded memory."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from pipeline.errors import InputError

# A phone's photograph has 12 to 50 million; one with transparency takes a gigabyte here.
MAX_PIXELS = 50_000_000
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


def decode(file: IO[bytes], name: str) -> NDArray[np.float64]:
    """Return the brightness (rows, columns), 0 to 255, of a PNG or JPEG file; errors call it `name`.

    What is transparent counts as white, or as black if white would hide all ink. EXIF orientation is applied.

    Raises:
        InputError: It is not such a file, is damaged, or has more than MAX_PIXELS.
    """
    # Pillow warns about sizes, whose bound here is lower, and about data that make no difference.
    with warnings.catch_warnings(action="ignore"):
        try:
            return _brightness(_opened(file))
        except _TooLargeError as error:
            limit = f"expected at most {MAX_PIXELS:,} pixels"
            raise InputError(f"{name}: {limit}, found {error}; make the picture smaller") from None
        except UnidentifiedImageError:
            raise InputError(f"{name}: neither a PNG nor a JPEG file") from None
        except Exception as error:
            # A decoder of damaged bytes can raise anything, not only OSError.
            reason = " ".join(str(error).split())[:120] or type(error).__name__
            raise InputError(f"{name}: a damaged picture ({reason})") from None


def shown(path: Path) -> str:
    """Return `path` as text for one line of a terminal, whatever characters are in it."""
    return str(path) if str(path).isprintable() else ascii(str(path))


class _TooLargeError(Exception):
    """The picture has more than MAX_PIXELS."""


def _opened(file: IO[bytes]) -> Image.Image:
    """Return the picture, of which the header alone has been read."""
    try:
        image = Image.open(file, formats=("PNG", "JPEG"))
    except Image.DecompressionBombError:
        raise _TooLargeError("far more") from None
    if image.width * image.height > MAX_PIXELS:
        raise _TooLargeError(f"{image.width} x {image.height}")
    return image


def _brightness(image: Image.Image) -> NDArray[np.float64]:
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        # 16 bits per pixel, which Pillow would clip to 8.
        image = Image.fromarray((np.asarray(image, np.uint32) >> 8).astype(np.uint8))
    grey = _on(image, "white")
    if image.has_transparency_data and np.ptp(grey) < _VISIBLE:
        return _on(image, "black")
    return grey


def _on(image: Image.Image, colour: str) -> NDArray[np.float64]:
    """Return the brightness of a picture in front of a colour, averaged down to LONGEST."""
    if image.has_transparency_data:
        drawn = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", drawn.size, colour), drawn)
    grey = image.convert("L")
    grey.thumbnail((LONGEST, LONGEST), Image.Resampling.BOX)
    return np.asarray(grey, np.float64)
