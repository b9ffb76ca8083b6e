"""Photographs of digits as people take them, generated: on paper, under some light, with what else lies there.

Each kind draws sizes, places, grey levels and strengths at random, so that 200 of a kind are 200 different pictures.
READABLE are the kinds that must be read; in DIFFICULT there is a digit, too, but it may be refused.
"""

from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tests.support import paper
from tests.support.paper import Kind, Pixels, Random


def clean(image: Pixels, random: Random) -> bytes:
    """Draw dark ink on an even page."""
    return paper.jpeg(paper.page(paper.one(image, random, paper.size(random)), random))


def pencil(image: Pixels, random: Random) -> bytes:
    """Draw thin, pale lines."""
    shape = paper.size(random)
    side = min(shape) * random.uniform(0.45, 0.85)
    ink = paper.digit(image, side, thin=max(1, round(side / 140)))
    top, left = ((length - side) / 2 for length in shape)
    page = paper.page(paper.put(ink, shape, top, left), random, dark=random.uniform(110, 150))
    return paper.jpeg(paper.grain(page, random))


def specks(image: Pixels, random: Random) -> bytes:
    """Draw a few dark specks of dirt, down to one pixel."""
    shape = paper.size(random)
    ink = np.maximum(paper.one(image, random, shape), paper.specks(shape, random, int(random.integers(1, 8)), 3))
    return paper.png(paper.page(ink, random))


def faint_rules(image: Pixels, random: Random) -> bytes:
    """Draw ruled paper whose lines have a tenth to a fifth of the ink's contrast."""
    shape = paper.size(random)
    lines = paper.rules(shape, random) * random.uniform(0.1, 0.2)
    return paper.jpeg(paper.grain(paper.page(np.maximum(paper.one(image, random, shape), lines), random), random))


def light(image: Pixels, random: Random) -> bytes:
    """Draw a page with light that falls evenly to 60% across the page."""
    shape = paper.size(random)
    page = paper.page(paper.one(image, random, shape), random) * paper.slope(shape, random, random.uniform(0.6, 0.9))
    return paper.jpeg(paper.grain(page, random))


def noise(image: Pixels, random: Random) -> bytes:
    """Draw a page with moderate noise."""
    page = paper.page(paper.one(image, random, paper.size(random)), random)
    return paper.jpeg(paper.grain(page, random, random.uniform(4, 12)))


def vignette(image: Pixels, random: Random) -> bytes:
    """Draw a page with corners darker than the middle, as through a cheap lens."""
    shape = paper.size(random)
    rows, columns = paper.grid(shape)
    falloff = 1 - random.uniform(0.1, 0.25) * (rows**2 + columns**2)
    return paper.jpeg(paper.grain(paper.page(paper.one(image, random, shape), random) * falloff, random))


def jpeg(image: Pixels, random: Random) -> bytes:
    """Draw JPEG's artefacts at a low quality."""
    return paper.jpeg(paper.page(paper.one(image, random, paper.size(random)), random), int(random.integers(8, 30)))


def exif(image: Pixels, random: Random) -> bytes:
    """Draw a page that is stored lying, with the EXIF orientation that sets it upright."""
    upright = paper.image_of(paper.page(paper.one(image, random, paper.size(random)), random))
    orientation, turned = [(3, 180), (6, 90), (8, 270)][random.integers(3)]
    data = Image.Exif()
    data[0x0112] = orientation
    return paper.saved(upright.rotate(turned, expand=True), "JPEG", exif=data)


def white_on_transparent(image: Pixels, random: Random) -> bytes:
    """Draw white ink on nothing."""
    ink = paper.image_of(255 * paper.one(image, random, paper.size(random)))
    return paper.saved(Image.merge("LA", (Image.new("L", ink.size, 255), ink)), "PNG")


READABLE: Mapping[str, Kind] = {
    "clean": clean,
    "thin pencil": pencil,
    "specks": specks,
    "faint ruled lines": faint_rules,
    "light falling to 60%": light,
    "moderate noise": noise,
    "vignette": vignette,
    "JPEG artefacts": jpeg,
    "EXIF rotation": exif,
    "white on transparent": white_on_transparent,
}


def dim(image: Pixels, random: Random) -> bytes:
    """Draw a page with light that falls to a third across the page."""
    shape = paper.size(random)
    return paper.jpeg(
        paper.grain(paper.page(paper.one(image, random, shape), random) * paper.slope(shape, random, 0.33), random)
    )


def shadow(image: Pixels, random: Random) -> bytes:
    """Draw the sharp edge of a shadow across the page."""
    shape = paper.size(random)
    slope = paper.slope(shape, random, 0)
    shade = np.where(slope < random.uniform(0.3, 0.7), random.uniform(0.5, 0.85), 1)
    return paper.jpeg(paper.grain(paper.page(paper.one(image, random, shape), random) * shade, random))


def spot(image: Pixels, random: Random) -> bytes:
    """Draw a page with glare: a round, bright spot."""
    shape = paper.size(random)
    rows, columns = paper.grid(shape)
    y, x = random.uniform(-0.8, 0.8, 2)
    glare = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / random.uniform(0.02, 0.2))
    page = paper.page(paper.one(image, random, shape), random, paper=random.uniform(140, 200))
    return paper.jpeg(paper.grain(page + (255 - page) * glare, random))


def strong_noise(image: Pixels, random: Random) -> bytes:
    """Draw a page with noise of a quarter to half of the ink's contrast."""
    return paper.jpeg(
        paper.grain(paper.page(paper.one(image, random, paper.size(random)), random), random, random.uniform(40, 90))
    )


def crumpled(image: Pixels, random: Random) -> bytes:
    """Draw paper with soft stains and folds."""
    shape = paper.size(random)
    page = paper.page(paper.one(image, random, shape), random)
    return paper.jpeg(
        paper.grain(page + random.uniform(5, 40) * paper.blotches(shape, random, random.uniform(15, 100)), random)
    )


def pale(image: Pixels, random: Random) -> bytes:
    """Draw ink that hardly differs from its page, with some noise."""
    page = paper.page(paper.one(image, random, paper.size(random)), random, paper=200, dark=200 - random.uniform(5, 40))
    return paper.jpeg(paper.grain(page, random, random.uniform(1, 6)))


def dark_rules(image: Pixels, random: Random) -> bytes:
    """Draw ruled paper whose lines are nearly as dark as the ink."""
    shape = paper.size(random)
    lines = paper.rules(shape, random) * random.uniform(0.4, 1)
    return paper.jpeg(paper.grain(paper.page(np.maximum(paper.one(image, random, shape), lines), random), random))


def squares(image: Pixels, random: Random) -> bytes:
    """Draw squared paper, from faint to dark."""
    shape = paper.size(random)
    lines = paper.rules(shape, random, squares=True) * random.uniform(0.1, 1)
    return paper.jpeg(paper.grain(paper.page(np.maximum(paper.one(image, random, shape), lines), random), random))


def dirt(image: Pixels, random: Random) -> bytes:
    """Draw many and larger specks, some of them on the digit."""
    shape = paper.size(random)
    ink = np.maximum(paper.one(image, random, shape), paper.specks(shape, random, int(random.integers(20, 200)), 8))
    return paper.jpeg(paper.page(ink, random))


def table(image: Pixels, random: Random) -> bytes:
    """Draw the table around the paper, dark or light, on one to four sides."""
    shape = paper.size(random)
    page = paper.page(paper.one(image, random, shape), random)
    inside = np.zeros(shape, bool)
    top, left, bottom, right = (
        round(random.uniform(0.02, 0.15) * length) if random.random() < 0.7 else 0 for length in (*shape, *shape)
    )
    inside[top : shape[0] - bottom, left : shape[1] - right] = True
    wood = random.uniform(20, 200) + 10 * paper.blotches(shape, random, 30)
    return paper.jpeg(paper.grain(np.where(inside, page, wood), random))


def thumb(image: Pixels, random: Random) -> bytes:
    """Draw something dark that reaches into the picture from a corner."""
    shape = paper.size(random)
    rows, columns = paper.grid(shape)
    y, x = random.choice([-1, 1], 2)
    over = (rows - y) ** 2 + (columns - x) ** 2 < random.uniform(0.2, 0.9) ** 2
    page = paper.page(paper.one(image, random, shape), random)
    return paper.jpeg(paper.grain(np.where(over, random.uniform(30, 160), page), random))


def framed(image: Pixels, random: Random) -> bytes:
    """Draw a digit in a drawn box."""
    shape = paper.size(random)
    side = min(shape) * random.uniform(0.4, 0.6)
    top, left = ((length - side) / 2 for length in shape)
    gap = side * random.uniform(0, 0.3)
    box = (left - gap, top - gap, left + side + gap, top + side + gap)
    frame = paper.drawn(shape, lambda canvas: canvas.rectangle(box, None, 255, int(random.integers(2, 10))))
    return paper.jpeg(paper.page(np.maximum(paper.put(paper.digit(image, side), shape, top, left), frame), random))


def cut_off(image: Pixels, random: Random) -> bytes:
    """Draw a digit that reaches beyond the picture."""
    shape = paper.size(random)
    side = min(shape) * random.uniform(0.5, 0.9)
    place = [random.uniform(0, length - side) for length in shape]
    axis = random.integers(2)
    place[axis] = random.choice([-0.5 * side, shape[axis] - 0.5 * side]) + random.uniform(-0.15, 0.15) * side
    return paper.jpeg(paper.page(paper.put(paper.digit(image, side), shape, place[0], place[1]), random))


def printed(image: Pixels, random: Random) -> bytes:
    """Draw a digit above lines of print."""
    shape = paper.size(random)
    font = ImageFont.load_default(int(random.integers(12, 40)))

    def draw(canvas: ImageDraw.ImageDraw) -> None:
        text = "The quick brown fox jumps over the lazy dog"
        for line in range(int(random.integers(1, 4))):
            canvas.text((20, shape[0] - 50 - 45 * line), text, 255, font)

    side = min(shape) * random.uniform(0.3, 0.5)
    ink = paper.put(paper.digit(image, side), shape, shape[0] * 0.1, (shape[1] - side) / 2)
    return paper.jpeg(paper.page(np.maximum(ink, paper.drawn(shape, draw)), random))


DIFFICULT: Mapping[str, Kind] = {
    "light falling to 33%": dim,
    "shadow": shadow,
    "glare": spot,
    "strong noise": strong_noise,
    "crumpled paper": crumpled,
    "pale ink": pale,
    "dark ruled lines": dark_rules,
    "squared paper": squares,
    "dirt": dirt,
    "table's edge": table,
    "thumb": thumb,
    "framed": framed,
    "cut off": cut_off,
    "print below": printed,
}
