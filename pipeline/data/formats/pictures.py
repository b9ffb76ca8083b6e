"""Picture files -> images of a stated size and mode, in bounded memory: to train on, for `predict` and for the demo."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from pipeline import errors
from pipeline.data.image_set import ImageShape, PictureOptions

# The formats by Pillow's names, with the endings of their files.
FORMATS = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg"),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
}
ENDINGS = tuple(ending for endings in FORMATS.values() for ending in endings)
KINDS = "PNG, JPEG, WebP, BMP, GIF or TIFF"
# Of a file, and of the picture in it, which takes eight bytes a pixel here: a phone's photograph has 12 to 50 million.
MAX_FILE = 2**26
MAX_PIXELS = 50_000_000
# The modes that another mode shows exactly, if all of a picture is opaque.
_EXACT = {"L": ("L", "LA", "1"), "RGB": ("RGB", "RGBA", "L", "LA", "1", "P")}
# TIFF's tag of what a value of 0 shows, and its value where that is white.
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0


class PictureError(ValueError):
    """The picture cannot be used as it is; the text is the reason."""


class Picture(NamedTuple):
    """A picture that stands upright, its mode in the file, and whether the file has more pictures than this first."""

    image: Image.Image
    mode: str
    is_first: bool


class Decoded(NamedTuple):
    """An image of a data set, and how its picture was changed: a row of `dataset.CHANGE`."""

    image: NDArray[np.uint8]
    change: tuple[str, bool, bool]


def content_of(path: Path) -> bytes:
    """Return the content of a file, of one that is too large no more than shows that it is; or raise OSError."""
    with path.open("rb") as file:
        # A buffer as large as the largest file only where the size is not known, as of a pipe.
        size = path.stat().st_size if path.is_file() else MAX_FILE
        return file.read(min(size, MAX_FILE) + 1)


def decode(content: bytes, shape: ImageShape, options: PictureOptions) -> Decoded:
    """Return the picture in the file with `content` as an image of `shape`, as the `options` say.

    What is transparent shows the background. Of 16 bits the whole range becomes that of 8: 0 to 65,535 is 0 to 255, or
    0 to the `scale` is. A picture of another size is resized by the mean of the pixels that one covers, or bilinearly
    where it is smaller.

    Raises:
        ValueError: It is no such file, is damaged, or has another size or mode; the text is the reason.
    """
    with opened(content, options.scale) as picture:
        mode, size = "L" if shape.channels == 1 else "RGB", (shape.width, shape.height)
        # Opacities that are all full lose nothing.
        clear = is_transparent(picture.image)
        found = f"{picture.mode} with transparency" if clear else picture.mode
        exact = found in _EXACT[mode]
        if not exact and not options.convert:
            raise PictureError(f"expected mode {mode}, found {found}; {_advice(found)}")
        width, height = picture.image.size
        reshaped = width * size[1] != height * size[0]
        if (width, height) != size and options.resize is None:
            how = "`resize: pad` or `crop` keeps its aspect ratio" if reshaped else "`resize: stretch` resizes it"
            raise PictureError(f"expected {size[0]}x{size[1]} pixels, found {width}x{height}; {how}")
        plain = _resized(flattened(picture.image, mode, options.background), size, options)
        return Decoded(np.asarray(plain, np.uint8), ("" if exact else found, reshaped, picture.is_first))


def _advice(found: str) -> str:
    if found.endswith("transparency"):
        return "`convert: true` puts it on the `background`, white if none is stated"
    return f"`convert: true` {'scales 0 to 65535 to 0 to 255' if ';16' in found else 'converts it'}"


@contextmanager
def opened(content: bytes, scale: float | None = None) -> Iterator[Picture]:
    """Yield the first picture in the file with `content`; the orientation in its EXIF data is applied, and the `scale`.

    Raises:
        ValueError: It is no such file, is damaged or too large, has more than 16 bits, or a number beyond the `scale`;
            the text is the reason.
    """
    if len(content) > MAX_FILE:
        raise PictureError(f"larger than {MAX_FILE} bytes")
    try:
        # Pillow warns of sizes, whose bound here is lower, and of data that make no difference.
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(io.BytesIO(content), formats=tuple(FORMATS)) as image,
        ):
            if image.width * image.height > MAX_PIXELS:
                raise PictureError(f"expected at most {MAX_PIXELS:,} pixels, found {image.width}x{image.height}")
            mode, is_first = _mode(image), bool(getattr(image, "is_animated", False))
            # A photograph that is stored lying on its side would be learnt, or answered, lying on its side.
            ImageOps.exif_transpose(image, in_place=True)
            yield Picture(_of_8_bits(image, mode, scale), mode, is_first)
    except PictureError:
        raise
    except Image.DecompressionBombError:
        raise PictureError(f"expected at most {MAX_PIXELS:,} pixels, found far more") from None
    # A decoder that reads damaged bytes raises whatever it trips over, not OSError alone.
    except Exception as error:
        reason = errors.reason(error, 120)
        # Pillow names the object that it was given, at an address that is different in each run.
        reason = "another kind of file" if "cannot identify" in reason else reason
        raise PictureError(f"not a {KINDS} file that can be read ({reason})") from None


def _mode(image: Image.Image) -> str:
    """Return the mode in the file: Pillow's, with ;16 where it keeps only the upper 8 of 16 bits.

    Raises:
        PictureError: It has numbers of other bits.
    """
    arguments = next((tile.args for tile in getattr(image, "tile", ())), "")
    raw = str(arguments if isinstance(arguments, str) else (*(arguments or ()), "")[0])
    if image.mode in ("I", "F") or raw == "I;12":
        raise PictureError(f"expected 8 or 16 bits without a sign, found mode {raw or image.mode}")
    cut = image.format in ("PNG", "TIFF") and ";16" in raw and not image.mode.startswith("I")
    return f"{image.mode};16" if cut else image.mode


def is_transparent(image: Image.Image) -> bool:
    """Return whether any of a picture is not opaque."""
    return image.has_transparency_data and np.asarray(image.convert("RGBA").getchannel("A")).min() < 255


def flattened(image: Image.Image, mode: str, background: str) -> Image.Image:
    """Return an image in `mode`, L or RGB, with the `background` where it is transparent."""
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.new("RGB", layer.size, background)
        image.paste(layer, mask=layer)
    return image if image.mode == mode else image.convert(mode)


def _of_8_bits(image: Image.Image, mode: str, scale: float | None) -> Image.Image:
    """Return a picture of that mode in its file, of which 0 to `scale` became 0 to 255, but opacities stay."""
    if image.mode.startswith("I;16"):
        return _of_16_bits(image, 65535 if scale is None else scale)
    if scale is None:
        return image
    layer = image.convert("RGBA" if image.has_transparency_data else "RGB")
    # Of colours of 16 bits the upper 8 are here.
    step = 257 if mode.endswith(";16") else 1
    levels = _levels(scale, step, int(np.asarray(layer)[..., :3].max()))
    return layer.point(levels[:256].tolist() * 3 + [*range(256)] * (len(layer.getbands()) - 3))


def _levels(scale: float, step: int, highest: int) -> NDArray[np.uint8]:
    """Return the values of 8 bits, 255 for `scale`, of 0, `step`, 2 `step` and so on, of which there is a `highest`.

    Raises:
        PictureError: That is beyond the `scale`.
    """
    if highest * step > scale:
        raise PictureError(f"pixels: expected 0 to {scale:g}, found {highest * step}; `scale` states the largest")
    levels: NDArray[np.uint8] = np.rint(np.minimum(np.arange(2**16) * (step * 255 / scale), 255)).astype(np.uint8)
    return levels


def _of_16_bits(image: Image.Image, scale: float) -> Image.Image:
    """Return a grey image of 16 bits with the nearest value of 8 bits for each."""
    values, key = np.asarray(image), image.info.get("transparency")
    grey = _levels(scale, 1, int(values.max()))[values]
    if image.format == "TIFF" and getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        # Pillow turns such an image of 8 bits to light on dark, but not one of 16.
        grey = 255 - grey
    made = Image.fromarray(grey)
    if key is not None:
        made.putalpha(Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8)))
    return made


def _resized(image: Image.Image, size: tuple[int, int], options: PictureOptions) -> Image.Image:
    if image.size == size:
        return image
    match options.resize:
        case "crop":
            return ImageOps.fit(image, size, Image.Resampling.BILINEAR)
        case "pad":
            # Not Pillow's own, which loses a line of one pixel in a picture that is to be smaller.
            scale = min(size[0] / image.width, size[1] / image.height)
            inner = max(1, round(image.width * scale)), max(1, round(image.height * scale))
            padded = Image.new(image.mode, size, options.background)
            part = image.resize(inner, Image.Resampling.BILINEAR)
            padded.paste(part, ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2))
            return padded
    return image.resize(size, Image.Resampling.BILINEAR)
