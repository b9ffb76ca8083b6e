"""A page, its ink, the light on it, and its file: what generated photographs of digits are composed of."""

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]
Random = np.random.Generator
# From a digit's 28x28 pixels, light on black, to the bytes of a picture's file.
Kind = Callable[[Pixels, Random], bytes]

PAPER, INK = (205.0, 245.0), (20.0, 70.0)


def digits() -> tuple[Pixels, Pixels]:
    """Return scikit-learn's 1,797 digits, enlarged smoothly to 20x20 pixels within 28x28, and their labels."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    large = [Image.fromarray(image).resize((20, 20), Image.Resampling.BICUBIC) for image in bunch.images.astype("f4")]
    # Their levels go to 16. The lower ones are blur, which would make all strokes thick.
    sharp = np.clip(np.stack(large) / 10 - 0.4, 0, 1)
    return np.pad((255 * sharp).astype(np.uint8), ((0, 0), (4, 4), (4, 4))), bunch.target.astype(np.uint8)


def size(random: Random) -> tuple[int, int]:
    """Return the rows and columns of a page."""
    return int(random.integers(240, 420)), int(random.integers(240, 420))


def digit(image: Pixels, side: float, *, thin: int = 0) -> Floats:
    """Return a digit as ink, 0 to 1, its 28x28 pixels enlarged smoothly to `side`, each edge `thin` pixels thinner."""
    scale = round(side)
    large = Image.fromarray(image).resize((scale, scale), Image.Resampling.BICUBIC)
    for _ in range(thin):
        large = large.filter(ImageFilter.MinFilter(3))
    # As sharp as a pen's: the enlarged edge is otherwise as wide as a pixel of the small image.
    return np.clip((np.asarray(large, np.float64) / 255 - 0.5) * 3 + 0.5, 0, 1)


def put(ink: Floats, shape: tuple[int, int], top: float, left: float) -> Floats:
    """Return ink at a place on a page of that shape; what lies outside is cut off."""
    page = np.zeros(shape)
    row, column = round(top), round(left)
    rows = slice(max(row, 0), min(row + ink.shape[0], shape[0]))
    columns = slice(max(column, 0), min(column + ink.shape[1], shape[1]))
    page[rows, columns] = ink[rows.start - row : rows.stop - row, columns.start - column : columns.stop - column]
    return page


def one(image: Pixels, random: Random, shape: tuple[int, int], *, thin: int = 0) -> Floats:
    """Return the ink of one digit at some place near the middle of a page, at a third to two thirds of its size."""
    side = min(shape) * random.uniform(0.45, 0.85)
    ink = digit(image, side, thin=thin)
    top, left = ((length - side) / 2 + random.uniform(-0.12, 0.12) * length for length in shape)
    return put(ink, shape, top, left)


def page(ink: Floats, random: Random, *, paper: float | None = None, dark: float | None = None) -> Floats:
    """Return the brightness of a page with ink on it."""
    paper = random.uniform(*PAPER) if paper is None else paper
    dark = random.uniform(*INK) if dark is None else dark
    return paper + (dark - paper) * ink


def grain(page: Floats, random: Random, deviation: float = 2.0) -> Floats:
    """Return a page with noise of that standard deviation, in grey levels."""
    return page + random.normal(0, deviation, page.shape)


def grid(shape: tuple[int, int]) -> tuple[Floats, Floats]:
    """Return each pixel's row and column, from -1 to 1."""
    rows, columns = np.meshgrid(np.linspace(-1, 1, shape[0]), np.linspace(-1, 1, shape[1]), indexing="ij")
    return rows, columns


def slope(shape: tuple[int, int], random: Random, darkest: float) -> Floats:
    """Return light that falls evenly from 1 to `darkest` across a page, in some direction."""
    rows, columns = grid(shape)
    angle = random.uniform(0, 2 * np.pi)
    along = np.cos(angle) * rows + np.sin(angle) * columns
    return 1 - (1 - darkest) * (along - along.min()) / np.ptp(along)


def blotches(shape: tuple[int, int], random: Random, cell: float) -> Floats:
    """Return smooth noise of deviation 1 whose spots are about `cell` pixels wide."""
    small = random.normal(size=tuple(max(3, round(length / cell)) for length in shape)).astype(np.float32)
    large = np.asarray(Image.fromarray(small).resize(shape[::-1], Image.Resampling.BICUBIC), np.float64)
    return large / large.std()


def image_of(page: Floats) -> Image.Image:
    """Return a page as a picture with 8 bits per pixel."""
    return Image.fromarray(np.clip(np.rint(page), 0, 255).astype(np.uint8))


def png(page: Floats) -> bytes:
    """Return a page as a PNG file."""
    return saved(image_of(page), "PNG")


def jpeg(page: Floats, quality: int = 85) -> bytes:
    """Return a page as a JPEG file."""
    return saved(image_of(page), "JPEG", quality=quality)


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """Return the bytes of a picture's file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def drawn(shape: tuple[int, int], draw: Callable[[ImageDraw.ImageDraw], None]) -> Floats:
    """Return ink, 0 to 1, drawn with Pillow on a page."""
    canvas = Image.new("L", shape[::-1])
    draw(ImageDraw.Draw(canvas))
    return np.asarray(canvas, np.float64) / 255


def specks(shape: tuple[int, int], random: Random, count: int, radius: float) -> Floats:
    """Return the ink of some round specks of up to that radius, anywhere on a page."""

    def draw(canvas: ImageDraw.ImageDraw) -> None:
        for _ in range(count):
            x, y, r = random.uniform(0, shape[1]), random.uniform(0, shape[0]), random.uniform(0, radius)
            canvas.ellipse((x - r, y - r, x + r, y + r), 255)

    return drawn(shape, draw)


def rules(shape: tuple[int, int], random: Random, *, squares: bool = False) -> Floats:
    """Return the ink of ruled or squared paper."""
    spacing, width = random.uniform(20, 60), int(random.integers(1, 3))

    def draw(canvas: ImageDraw.ImageDraw) -> None:
        for y in np.arange(random.uniform(0, spacing), shape[0], spacing):
            canvas.line((0, y, shape[1], y), 255, width)
        for x in np.arange(random.uniform(0, spacing), shape[1], spacing) if squares else ():
            canvas.line((x, 0, x, shape[0]), 255, width)

    return drawn(shape, draw)
