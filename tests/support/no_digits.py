"""Pictures without exactly one digit, generated: whatever is predicted for them is wrong."""

from collections.abc import Mapping

import numpy as np
from PIL import ImageFont

from tests.support import paper
from tests.support.paper import Kind, Pixels, Random


def _several(image: Pixels, random: Random, places: list[tuple[float, float]], size: float) -> bytes:
    """Return digits of about a size, at places that are given in their sizes, in the middle of a page."""
    shape = (int(random.integers(200, 320)), int(random.integers(320, 480)))
    side = min(shape) * size
    ink = np.zeros(shape)
    middle = np.mean(places, axis=0)
    for number, (row, column) in enumerate(places):
        # Another digit each time: the same one, turned upside down or mirrored.
        turned = [image, image[::-1, ::-1], image[:, ::-1], image[::-1]][number % 4]
        digit = paper.digit(np.ascontiguousarray(turned), side * random.uniform(0.85, 1.1))
        top, left = shape[0] / 2 + (row - middle[0] - 0.5) * side, shape[1] / 2 + (column - middle[1] - 0.5) * side
        ink = np.maximum(ink, paper.put(digit, shape, top, left))
    return paper.jpeg(paper.page(ink, random))


def two(image: Pixels, random: Random) -> bytes:
    """Draw two digits next to each other, from touching to far apart."""
    return _several(image, random, [(0, 0), (random.uniform(-0.15, 0.15), random.uniform(0.6, 1.2))], 0.6)


def three(image: Pixels, random: Random) -> bytes:
    """Draw three digits in a row."""
    step = random.uniform(0.6, 0.9)
    return _several(image, random, [(0, 0), (0, step), (0, 2 * step)], 0.5)


def stacked(image: Pixels, random: Random) -> bytes:
    """Draw a digit below another."""
    return _several(image, random, [(0, 0), (random.uniform(0.9, 1.1), random.uniform(-0.1, 0.1))], 0.45)


def _curve(random: Random, shape: tuple[int, int], turns: int, spread: float) -> list[tuple[float, float]]:
    """Return points of a smooth curve through `turns` random places about the middle of a page."""
    corners = random.uniform(-spread, spread, (turns, 2)) * min(shape) + np.array(shape[::-1]) / 2
    times = np.linspace(0, turns - 1, 40 * turns)
    smooth = [np.interp(times, range(turns), corners[:, axis]) for axis in (0, 1)]
    window = np.hanning(41) / np.hanning(41).sum()
    return list(zip(*(np.convolve(np.pad(values, 20, "edge"), window, "valid") for values in smooth), strict=True))


def scribble(_image: Pixels, random: Random) -> bytes:
    """Draw a line that goes to and fro."""
    shape = paper.size(random)
    points = _curve(random, shape, int(random.integers(10, 40)), random.uniform(0.2, 0.4))
    width = round(min(shape) * random.uniform(0.01, 0.03))
    return paper.jpeg(paper.page(paper.drawn(shape, lambda canvas: canvas.line(points, 255, width, "curve")), random))


def hatching(_image: Pixels, random: Random) -> bytes:
    """Draw a zigzag, as one fills an area."""
    shape = paper.size(random)
    rows = np.linspace(0.3, 0.7, int(random.integers(7, 20))) * shape[0]
    points = [(shape[1] * (0.3 if at % 2 else 0.7) + random.normal(0, 8), row) for at, row in enumerate(rows)]
    width = max(2, round((rows[1] - rows[0]) * random.uniform(0.2, 0.7)))
    return paper.jpeg(paper.page(paper.drawn(shape, lambda canvas: canvas.line(points, 255, width, "curve")), random))


def dot(_image: Pixels, random: Random) -> bytes:
    """Draw a dot, from a pen's to a fist's size."""
    shape = paper.size(random)
    r = random.uniform(0.01, 0.3) * min(shape)
    y, x = (length / 2 + random.uniform(-0.15, 0.15) * length for length in shape)
    box = (x - r, y - r * random.uniform(0.8, 1), x + r, y + r * random.uniform(0.8, 1))
    return paper.jpeg(paper.page(paper.drawn(shape, lambda canvas: canvas.ellipse(box, 255)), random))


def dash(_image: Pixels, random: Random) -> bytes:
    """Draw a level stroke."""
    shape = paper.size(random)
    half, slant = random.uniform(0.1, 0.4) * shape[1], random.uniform(-0.1, 0.1)
    ends = (
        shape[1] / 2 - half,
        shape[0] / 2 - slant * half,
        shape[1] / 2 + half,
        shape[0] / 2 + slant * half,
    )
    width = round(min(shape) * random.uniform(0.01, 0.06))
    return paper.jpeg(paper.page(paper.drawn(shape, lambda canvas: canvas.line(ends, 255, width)), random))


def block(_image: Pixels, random: Random) -> bytes:
    """Draw a filled rectangle, not so narrow that it is a 1."""
    shape = paper.size(random)
    half = [random.uniform(0.05, 0.3) * min(shape), 0.0]
    half[1] = half[0] * random.uniform(0.5, 2)
    box = (shape[1] / 2 - half[1], shape[0] / 2 - half[0], shape[1] / 2 + half[1], shape[0] / 2 + half[0])
    return paper.jpeg(paper.page(paper.drawn(shape, lambda canvas: canvas.rectangle(box, 255)), random))


def blank(_image: Pixels, random: Random) -> bytes:
    """Draw an empty page, under any light, with any grain."""
    shape = paper.size(random)
    page = paper.page(np.zeros(shape), random) * paper.slope(shape, random, random.uniform(0.3, 1))
    return paper.jpeg(paper.grain(page, random, random.uniform(0, 15)))


def stains(_image: Pixels, random: Random) -> bytes:
    """Draw an empty page with stains and folds."""
    shape = paper.size(random)
    page = paper.page(np.zeros(shape), random) + random.uniform(5, 60) * paper.blotches(
        shape, random, random.uniform(10, 150)
    )
    return paper.jpeg(paper.grain(page, random))


def empty_rules(_image: Pixels, random: Random) -> bytes:
    """Draw ruled or squared paper with nothing on it."""
    shape = paper.size(random)
    return paper.jpeg(
        paper.grain(paper.page(paper.rules(shape, random, squares=bool(random.integers(2))), random), random)
    )


def text(_image: Pixels, random: Random) -> bytes:
    """Draw a word or two."""
    shape = paper.size(random)
    words = ["Hello", "MNIST digits", "two", "No 7", "A4 page", "Total 42.00"][random.integers(6)]
    font = ImageFont.load_default(int(random.integers(30, 90)))
    middle = shape[1] / 2, shape[0] / 2
    return paper.jpeg(
        paper.page(paper.drawn(shape, lambda canvas: canvas.text(middle, words, 255, font, "mm")), random)
    )


def grain(_image: Pixels, random: Random) -> bytes:
    """Draw nothing but noise."""
    return paper.png(random.uniform(80, 180) + random.uniform(5, 80) * random.normal(size=paper.size(random)))


def wood(_image: Pixels, random: Random) -> bytes:
    """Draw a table without paper."""
    shape = paper.size(random)
    rows, columns = paper.grid(shape)
    bend = 0.2 * paper.blotches(shape, random, 80)
    rings = np.sin((random.uniform(5, 30) * rows + random.uniform(0, 4) * columns + bend) * np.pi)
    return paper.jpeg(paper.grain(random.uniform(90, 150) + random.uniform(10, 50) * rings, random, 4))


MEANINGLESS: Mapping[str, Kind] = {
    "two digits": two,
    "three digits": three,
    "digit below digit": stacked,
    "scribble": scribble,
    "hatching": hatching,
    "dot": dot,
    "dash": dash,
    "block": block,
    "blank page": blank,
    "stained page": stains,
    "ruled page": empty_rules,
    "words": text,
    "grain": grain,
    "wood": wood,
}
