"""PNG and JPEG files -> arrays of a stated size and mode, in bounded memory."""

from __future__ import annotations

import io
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from pipeline.data.image_set import ImageShape

# Of a file, and of the picture in it: far more than an image of 128x128 needs.
MAX_FILE = 2**24
MAX_PIXELS = 2**24
# The modes that another mode shows exactly.
_EXACT = {"L": ("L", "1"), "RGB": ("RGB", "L", "1", "P")}


def decode(content: bytes, image: ImageShape, *, resize: bool = False, convert: bool = False) -> NDArray[np.uint8]:
    """Return the PNG or JPEG file with `content` as an array of the shape that `image` states.

    A picture of another size is an error unless `resize` (the mean of the pixels that one covers, else bilinear), and
    one of another mode unless `convert`, as Pillow converts it. Its orientation in EXIF data is applied.

    Raises:
        ValueError: It is no such file, is damaged, or has another size or mode; the text is the reason.
    """
    if len(content) > MAX_FILE:
        raise ValueError(f"larger than {MAX_FILE} bytes")
    try:
        # Pillow warns of sizes, whose bound here is lower, and of data that make no difference.
        with warnings.catch_warnings(action="ignore"):
            return _decode(content, image, resize, convert)
    except _OtherError as error:
        raise ValueError(str(error)) from None
    # A decoder that reads damaged bytes raises whatever it trips over, not OSError alone.
    except Exception as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise ValueError(f"not a PNG or JPEG file that can be read ({_without_address(reason)})") from None


class _OtherError(Exception):
    """The picture is of another size or mode."""


def _decode(content: bytes, image: ImageShape, resize: bool, convert: bool) -> NDArray[np.uint8]:
    picture: Image.Image = Image.open(io.BytesIO(content), formats=("PNG", "JPEG"))
    if picture.width * picture.height > MAX_PIXELS:
        raise _OtherError(f"expected at most {MAX_PIXELS} pixels, found {picture.width}x{picture.height}")
    # A photograph that is stored lying on its side would be learnt, or answered, lying on its side.
    ImageOps.exif_transpose(picture, in_place=True)
    size, found = (image.width, image.height), picture.size
    if found != size and not resize:
        raise _OtherError(
            f"expected {size[0]}x{size[1]} pixels, found {found[0]}x{found[1]}; `resize: true` resizes it"
        )
    mode = "L" if image.channels == 1 else "RGB"
    exact = picture.mode in _EXACT[mode] and not picture.has_transparency_data
    if not exact and not convert:
        raise _OtherError(f"expected mode {mode}, found {picture.mode}; `convert: true` converts it")
    picture.load()
    picture = picture.convert(mode)
    if found != size:
        picture = picture.resize(size, Image.Resampling.BILINEAR)
    return np.asarray(picture, np.uint8)


def _without_address(reason: str) -> str:
    # Pillow names the object that it was given, at an address that is different in each run.
    return "another kind of file" if "cannot identify" in reason else reason
