"""Figures: they show the data they are given, and equal data gives equal bytes."""

import io
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import combinations, pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from pipeline.analysis.verdicts import Verdict
from pipeline.data.dataset import Dataset
from pipeline.reporting import colours
from pipeline.reporting.plots import classification, curves, effects, grids, readings, style
from pipeline.reporting.plots.readings import SIDES, Row

CLASSES = tuple("0123456789")
GARMENTS = ("T-shirt/top", "Trouser", "Dress", "Ankle boot $50$", "Bag", "Coat", "Sandal")
NAMES = ("first", "second", "third", "fourth", "fifth")
LOOKS = colours.of_models(NAMES)


def history(seed: int, epochs: int = 6) -> pd.DataFrame:
    """Return a made-up history: losses fall, accuracies rise, with noise."""
    rng = np.random.default_rng(seed)
    epoch = np.arange(1, epochs + 1)
    columns = {name: 0.3 / epoch**0.5 + rng.uniform(0, 0.02, epochs) for name in ("loss", "val_loss")}
    columns |= {name.replace("loss", "accuracy"): 1 - loss / 3 for name, loss in columns.items()}
    return pd.DataFrame({"epoch": epoch, **columns})


def bins(seed: int) -> pd.DataFrame:
    """Return a made-up reliability table of 15 bins, the first four empty."""
    rng = np.random.default_rng(seed)
    confidence = np.where(np.arange(15) < 4, np.nan, (np.arange(15) + 0.5) / 15)
    accuracy = confidence * rng.uniform(0.7, 1, 15)
    count = np.where(np.arange(15) < 4, 0, rng.integers(1, 9000, 15))
    return pd.DataFrame(
        {"confidence": confidence, "accuracy": accuracy, "low": accuracy / 2, "high": accuracy, "count": count}
    )


def confusions(seed: int) -> np.ndarray:
    """Return a made-up confusion matrix, most images correct."""
    rng = np.random.default_rng(seed)
    return np.diag(rng.integers(900, 1100, 10)) + rng.poisson(1.0, (10, 10))


def answers(count: int, models: int) -> dict[str, np.ndarray]:
    """Return made-up answers of some models to `count` images."""
    rng = np.random.default_rng(0)
    return {name: rng.integers(0, 10, count) for name in NAMES[:models]}


def band(seed: int, epochs: int = 6) -> pd.DataFrame:
    """Return a made-up curve with a band around it."""
    middle = history(seed, epochs)["val_loss"]
    return pd.DataFrame(
        {"epoch": np.arange(1, epochs + 1), "middle": middle, "low": middle * 0.9, "high": middle * 1.1}
    )


def panels(count: int, lines: int, epochs: int = 6) -> dict[str, dict[str, pd.DataFrame]]:
    """Return so many panels with so many made-up curves each."""
    return {f"panel {i}": {name: band(i + j, epochs) for j, name in enumerate(NAMES[:lines])} for i in range(count)}


VERDICTS = tuple(Verdict)
FAMILY = pd.DataFrame(
    [
        ("first less second", 0.0112, 0.01, 0.0124, "better"),
        ("a rather long name less another rather long one", -0.0002, -0.0005, 0.0001, "no relevant difference"),
        ("third less first", np.nan, np.nan, np.nan, "cannot tell with 2 and 10 seeds"),
        ("fourth less first", -0.12, -0.13, -0.11, "worse"),
        ("fifth less first", 0.0003, -0.001, 0.0016, "cannot tell"),
        ("sixth less first", 0.0009, 0.0002, 0.0016, "better, by how much is open"),
    ],
    columns=["label", "estimate", "low", "high", "verdict"],
)
ENDS = {
    "first": (np.array([0.983, 0.982, 0.984]), np.array([0.982, 0.983, 0.984])),
    "second": (np.array([0.991, 0.990]), np.array([0.976, 0.977])),
}
YES, NO = "supported", "not supported"
ROWS = (
    Row(
        "a. both",
        YES,
        [(0.3, 0.2, 0.4, True), (0.1, 0.05, 0.15, False)],
        [(0, np.inf, YES), (-np.inf, 0, NO)],
        [(0, "0.00%")],
    ),
    Row(
        "b. a gap", NO, [(-3, -4, -2, True)], [(2.5, np.inf, YES), (-np.inf, -1.5, NO)], [(-1.5, "-1.5"), (2.5, "2.5")]
    ),
    Row(
        "c. within", "undecided", [(0.001, -0.002, 0.004, True)], [(-0.003, 0.003, YES)], [(-0.003, "-"), (0.003, "+")]
    ),
    Row("d. a point without bounds", "confounded in the original", [(1, 1, 1, True)], [], []),
)

FIGURES: dict[str, Callable[[Dataset], Figure]] = {
    "samples": lambda data: grids.samples(data.train.images, 9, 9),
    "curves": lambda _: curves.training(history(0, 20), None, "first"),
    "curves with report": lambda _: curves.training(history(0, 20), history(1, 20), "first"),
    "comparison": lambda _: curves.comparison({name: history(i, 20) for i, name in enumerate(NAMES)}),
    "confusion": lambda _: classification.confusion(confusions(0), CLASSES, "first"),
    "confusion without errors": lambda _: classification.confusion(np.diag([5] * 10), CLASSES, "perfect"),
    "reliability": lambda _: classification.reliability({name: bins(i) for i, name in enumerate(NAMES[:3])}),
    "bands": lambda _: curves.bands(panels(3, 3, 20), "accuracy", LOOKS),
    "bands of one epoch": lambda _: curves.bands(panels(1, 1, 1), "accuracy", LOOKS),
    "many bands": lambda _: curves.bands(panels(7, 2, 20), "loss", LOOKS),
    "effects": lambda _: effects.intervals(FAMILY, 0.001, VERDICTS),
    "changes": lambda _: effects.changes(ENDS, ("before", "after"), "accuracy"),
    "readings": lambda _: readings.readings(ROWS),
    "augmented": lambda data: grids.augmented(data.train.images[:36].reshape(4, 9, 28, 28), ["original", *NAMES[:3]]),
    "gallery": lambda data: grids.gallery(data.test.images[:60], data.test.labels[:60], answers(60, 3), CLASSES),
}


def texts(figure: Figure) -> list[str]:
    """Return the words written into the first panel of `figure`."""
    return [text.get_text() for text in figure.axes[0].texts]


def assert_apart(words: Sequence[Text]) -> None:
    """Check that no two words of a drawn figure touch."""
    boxes = [word.get_window_extent() for word in words]
    assert not [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])]


@pytest.fixture(scope="module")
def drawn(digits: Dataset) -> Callable[[str], bytes]:
    """Return a function that draws each figure once."""
    return cache(lambda name: style.png(FIGURES[name](digits)))


@pytest.mark.parametrize("name", FIGURES)
def test_png_is_a_small_picture_without_metadata(name: str, drawn: Callable[[str], bytes]) -> None:
    """Every figure is a decodable PNG below 150 kB that names neither software nor date."""
    png = drawn(name)

    with Image.open(io.BytesIO(png)) as picture:
        picture.load()
        assert picture.format == "PNG"
        assert set(picture.info) <= {"dpi"}
        assert min(picture.size) > 300
    assert len(png) < 150_000


@pytest.mark.parametrize("name", FIGURES)
def test_equal_data_gives_equal_bytes(name: str, digits: Dataset, drawn: Callable[[str], bytes]) -> None:
    """A figure drawn again, under another matplotlibrc, has the same bytes."""
    with mpl.rc_context({"font.size": 23, "lines.linewidth": 7, "axes.facecolor": "red", "savefig.dpi": 40}):
        second = style.png(FIGURES[name](digits))

    assert drawn(name) == second


def test_save_writes_the_png(tmp_path: Path) -> None:
    """`save` writes what `png` returns, and leaves nothing else behind."""
    style.save(classification.confusion(confusions(0), CLASSES, "first"), tmp_path / "new" / "figure.png")

    expected = style.png(classification.confusion(confusions(0), CLASSES, "first"))
    assert (tmp_path / "new" / "figure.png").read_bytes() == expected
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["figure.png"]


@pytest.mark.parametrize(
    ("count", "rows", "columns"),
    [(12, 3, 4), (20, 3, 4), (11, 3, 3), (10, 3, 3), (8, 2, 4), (7, 2, 3), (2, 1, 2), (1, 1, 1)],
)
def test_samples_shows_the_first_images_row_by_row(count: int, rows: int, columns: int) -> None:
    """Tile (r, c) is image r * columns + c; what is too much for the largest full grid is left out."""
    images = np.random.default_rng(0).integers(1, 256, (count, 28, 28), dtype=np.uint8)

    sheet = np.asarray(grids.samples(images, 3, 4).axes[0].images[0].get_array())

    assert sheet.shape == (30 * rows, 30 * columns)
    for position in range(rows * columns):
        top, left = position // columns * 30, position % columns * 30
        np.testing.assert_array_equal(sheet[top : top + 28, left : left + 28], images[position])
    assert np.count_nonzero(sheet) == 28 * 28 * rows * columns


@pytest.mark.parametrize("with_original", [False, True])
def test_curves_draw_the_history_and_the_original_dotted(with_original: bool) -> None:
    """Both panels have the training and the val curve, and that of the original as the one dotted line, if given."""
    ours, theirs = history(0), history(1, 4)

    figure = curves.training(ours, theirs if with_original else None, "first")

    for axes, column in zip(figure.axes, ("accuracy", "loss"), strict=True):
        lines = {line.get_label(): line for line in axes.get_lines()}
        np.testing.assert_array_equal(lines[column].get_ydata(), ours[column])
        np.testing.assert_array_equal(lines[f"val_{column}"].get_ydata(), ours[f"val_{column}"])
        assert lines[column].get_linestyle() == "--"
        dotted = [line for line in axes.get_lines() if line.get_linestyle() == ":"]
        assert len(dotted) == with_original
        for line in dotted:
            np.testing.assert_array_equal(line.get_xydata(), theirs[["epoch", f"val_{column}"]])
            assert "of the original" in str(line.get_label())


def test_comparison_has_every_model_in_its_colour_and_a_ring_at_the_lowest_loss() -> None:
    """Each model has one line per panel, in one colour of its own, and one ring where its val_loss is lowest."""
    histories = {name: history(i) for i, name in enumerate(NAMES)}

    accuracy, loss = curves.comparison(histories).axes

    lines = {line.get_label(): line for line in accuracy.get_lines()}
    assert list(lines) == list(NAMES)
    assert len({to_hex(line.get_color()) for line in lines.values()}) == len(NAMES)
    for name, table in histories.items():
        line, ring = [one for one in loss.get_lines() if to_hex(one.get_color()) == to_hex(lines[name].get_color())]
        np.testing.assert_array_equal(line.get_ydata(), table["val_loss"])
        epoch = table["epoch"][table["val_loss"].argmin()]
        assert ring.get_xydata().tolist() == [[epoch, table["val_loss"].min()]]


def test_more_models_than_colours_differ_in_line_style() -> None:
    """With twelve models no two lines look the same."""
    accuracy, _ = curves.comparison({f"model{i}": history(i) for i in range(12)}).axes

    assert len({(line.get_color(), line.get_linestyle()) for line in accuracy.get_lines()}) == 12


def test_confusion_writes_every_count_and_colours_errors_alone() -> None:
    """Each cell holds its count; a cell has the colour of errors where it is off the diagonal and not zero."""
    matrix = confusions(3)

    axes = classification.confusion(matrix, CLASSES, "first").axes[0]

    written = {(round(text.get_position()[1]), round(text.get_position()[0])): text.get_text() for text in axes.texts}
    assert written == {cell: str(count) for cell, count in np.ndenumerate(matrix)}
    coloured = ~np.ma.getmaskarray(axes.images[-1].get_array())
    np.testing.assert_array_equal(coloured, (matrix > 0) & ~np.eye(10, dtype=bool))


def test_confusion_names_its_classes() -> None:
    """Rows and columns carry the names of the classes, as they are, and no two labels touch."""
    figure = classification.confusion(confusions(3)[:7, :7], GARMENTS, "first")
    figure.draw_without_rendering()

    axes = figure.axes[0]
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert [label.get_text().replace("\\$", "$") for label in labels] == list(GARMENTS)
    boxes = [label.get_window_extent() for label in axes.get_yticklabels()]
    assert all(upper.y0 > lower.y1 - 1 for upper, lower in pairwise(boxes))
    assert min(box.x0 for box in boxes) >= 0


def test_confusion_of_many_classes_shows_those_with_most_errors() -> None:
    """Of 30 classes the 20 that take part in most errors are shown, in their order."""
    matrix = np.diag(np.full(30, 50))
    busy = [number for number in range(30) if number % 3]
    for number in busy:
        matrix[number, busy[0] if number != busy[0] else busy[1]] = number

    axes = classification.confusion(matrix, [f"class {number}" for number in range(30)], "many").axes[0]

    assert [label.get_text() for label in axes.get_xticklabels()] == [f"class {number}" for number in busy]
    assert len(axes.texts) == 400


def test_reliability_shows_the_bins_that_have_images() -> None:
    """Points and whiskers are those of the bins with images, the bars count the images of all."""
    table = bins(0)

    upper, lower = classification.reliability({"first": table}).axes

    full = table[table["count"] > 0]
    points = upper.get_lines()[-1].get_xydata()
    np.testing.assert_array_equal(points, full[["confidence", "accuracy"]])
    whiskers = [segment[:, 1].tolist() for segment in upper.collections[0].get_segments()]
    assert whiskers == full[["low", "high"]].to_numpy().tolist()
    assert [bar.get_height() for bar in lower.patches] == table["count"].tolist()
    assert [bar.get_x() for bar in lower.patches] == pytest.approx(np.arange(15) / 15)


def test_samples_of_sorted_images_show_all_classes() -> None:
    """Of images sorted by class as many as fit are taken at equal steps; of others the first ones."""
    labels = np.repeat(np.arange(7), 100)

    steps = np.diff(grids.first(labels, 81))
    assert (len(steps), {*steps.tolist()}) == (80, {8, 9})
    assert {*labels[grids.first(labels, 81)].tolist()} == {*range(7)}
    assert grids.first(labels[:81], 81).tolist() == list(range(81))
    assert grids.first(labels[:30], 81).tolist() == list(range(30))
    assert grids.first(labels[::-1], 81).tolist() == list(range(81))
    assert len({*grids.first(labels[:100], 81).tolist()}) == 81


def one_glyph_font(path: Path, character: str) -> None:
    """Write a font with a square for one character."""
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for corner in ((100, 700), (800, 700), (800, 0)):
        pen.lineTo(corner)
    pen.closePath()
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder([".notdef", "square"])
    font.setupCharacterMap({ord(character): "square"})
    font.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "square": pen.glyph()})
    font.setupHorizontalMetrics({".notdef": (500, 0), "square": (900, 100)})
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": "Made Sans", "styleName": "Regular"})
    font.setupOS2(usWeightClass=400)
    font.setupPost()
    font.save(path)


@pytest.fixture
def fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Return what makes these files all installed fonts, besides those of matplotlib."""
    own = [one for one in style.font_manager.fontManager.ttflist if "site-packages" in str(one.fname)]

    def install(*paths: Path) -> None:
        monkeypatch.setattr(style.font_manager.fontManager, "ttflist", list(own))
        monkeypatch.setattr(style.font_manager, "findSystemFonts", lambda: list(map(str, paths)))
        style._family.cache_clear()
        style._installed.cache_clear()

    yield install
    style._family.cache_clear()
    style._installed.cache_clear()


@pytest.mark.filterwarnings("error")
def test_characters_are_drawn_with_a_font_that_has_them(tmp_path: Path, fonts: Callable[..., None]) -> None:
    """One that no font has is its code point; one of a font installed since the last run is drawn; ASCII stays."""
    names = ("字", "x", *CLASSES[2:])
    ascii_only = style.png(classification.confusion(confusions(0), CLASSES, "first"))

    def drawn() -> tuple[str, bytes]:
        figure = classification.confusion(confusions(0), names, "first")
        return figure.axes[0].get_yticklabels()[0].get_text(), style.png(figure)

    fonts()
    label, without = drawn()
    assert label == "U+5B57"
    one_glyph_font(tmp_path / "made.ttf", "字")
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    fonts(tmp_path / "broken.ttf", tmp_path / "made.ttf")
    label, drawing = drawn()
    assert label == "字"
    assert drawing != without
    assert style.png(classification.confusion(confusions(0), CLASSES, "first")) == ascii_only


def test_captions_of_code_points_do_not_overlap(fonts: Callable[..., None]) -> None:
    """Classes of one character each, which no font has, have their captions one below the other."""
    fonts()
    images, labels = np.zeros((3, 28, 28), np.uint8), np.arange(3)

    figure = grids.gallery(images, labels, {"first": labels[::-1]}, ("字", "中", "日"))

    places = [text.get_position() for text in figure.axes[0].texts]
    assert [text.get_text() for text in figure.axes[0].texts[:2]] == ["U+5B57", "U+65E5"]
    assert places[0][0] == places[1][0]
    assert places[0][1] < places[1][1]


@pytest.mark.parametrize("shape", [(8, 128), (128, 8), (9, 128, 3), (128, 9, 3)])
def test_narrow_images_are_framed_in_white(shape: tuple[int, ...]) -> None:
    """A sheet of images far wider than high, or the reverse, is at most twice as long as wide, the images unchanged."""
    images = np.full((9, *shape), 100, np.uint8)

    figure = grids.samples(images, 3, 3)

    width, height = figure.get_size_inches()
    assert 0.5 <= width / height <= 2
    sheet = np.asarray(figure.axes[0].images[0].get_array())
    assert np.sum(sheet == 100) == images.size
    assert set(np.unique(sheet)) == {100, 255 if len(shape) == 3 else 0}


@pytest.mark.parametrize("most", [1, 6, 25, 200, 9000])
def test_reliability_counts_images_in_plain_numbers(most: int) -> None:
    """Of few images as of many the bars' axis has plain numbers, two or more, and none as a power."""
    table = bins(0)
    table["count"] = np.minimum(table["count"], most)

    figure = classification.reliability({"first": table})
    figure.draw_without_rendering()

    axis = figure.axes[1].yaxis
    ticks = zip(axis.get_majorticklocs(), axis.get_ticklabels(), strict=True)
    low, high = figure.axes[1].get_ylim()
    shown = [label.get_text() for place, label in ticks if low <= place <= high]
    assert all(re.fullmatch(r"[\d,]+", text) for text in shown)
    assert len(shown) >= (2 if most > 1 else 1)
    assert [label.get_text() for label in axis.get_ticklabels(minor=True) if label.get_text()] == []


@pytest.mark.parametrize("models", [1, 3, 5])
def test_gallery_gives_label_and_every_answer_in_the_models_colours(models: int, digits: Dataset) -> None:
    """Under each image stand its label and the answers in the models' order, each in the colour of its model."""
    shown = answers(13, models)

    figure = grids.gallery(digits.test.images[:13], digits.test.labels[:13], shown, CLASSES)

    expected: list[str] = []
    for index in range(13):
        expected += [str(digits.test.labels[index]), "\N{RIGHTWARDS ARROW}"]
        expected += [str(of_model[index]) for of_model in shown.values()]
    assert texts(figure) == expected
    first = figure.axes[0].texts[2 : 2 + models]
    assert [text.get_color() for text in first] == [look.colour for look in colours.of_models(shown).values()]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend[1:] == list(shown)


def test_gallery_shows_colour_and_names() -> None:
    """Colour images keep their colours, and below each stand the names of its classes, one to a line."""
    images = np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), dtype=np.uint8)
    labels, shown = np.arange(7), {"first": np.arange(7)[::-1], "second": np.roll(np.arange(7), 1)}

    figure = grids.gallery(images, labels, shown, GARMENTS)

    sheet = np.asarray(figure.axes[0].images[0].get_array())
    assert np.array_equal(sheet[:32, :32], images[0])
    expected = [GARMENTS[label] for index in range(7) for label in (index, 6 - index, (index - 1) % 7)]
    assert [text.replace("\\$", "$") for text in texts(figure)] == expected


NAMINGS = {
    "wide classes": ("", [f"W{number}" * 12 for number in range(10)]),
    "long classes": ("", [f"a class with a long name {number}" for number in range(10)]),
    "long names": ("a_rather_long_name_", CLASSES),
    "digits": ("", CLASSES),
}
SHAPES = [(28, 28), (8, 8), (128, 128), (40, 20, 3), (16, 128), (128, 16)]


@pytest.mark.parametrize(
    ("naming", "shape"),
    [
        pytest.param(naming, shape, marks=[pytest.mark.slow] * (naming != "wide classes" and shape != (28, 28)))
        for naming in NAMINGS
        for shape in SHAPES
    ],
    ids=str,
)
def test_gallery_is_legible(naming: str, shape: tuple[int, ...]) -> None:
    """With five models no two words of the gallery touch, and the legend lies within the picture."""
    prefix, classes = NAMINGS[naming]
    shown = {prefix + name: labels for name, labels in answers(20, 5).items()}

    figure = grids.gallery(np.zeros((20, *shape), np.uint8), np.arange(20) % 10, shown, classes)
    figure.draw_without_rendering()

    assert_apart(figure.axes[0].texts)
    legend = figure.legends[0].get_window_extent()
    assert legend.x0 >= 0
    assert legend.x1 <= figure.bbox.x1
    assert legend.y0 >= figure.axes[0].get_window_extent().y1


@pytest.mark.parametrize("count", [1, 3, 7])
def test_bands_draw_every_curve_with_its_range(count: int) -> None:
    """Each panel has its title, and each label's line and band in the label's colour; unused panels are hidden."""
    given = panels(count, 3)

    figure = curves.bands(given, "loss", LOOKS)

    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in shown] == list(given)
    for axes, lines in zip(shown, given.values(), strict=True):
        for line, area, (label, table) in zip(axes.get_lines(), axes.collections, lines.items(), strict=True):
            np.testing.assert_array_equal(line.get_xydata(), table[["epoch", "middle"]])
            assert line.get_label() == label
            assert (line.get_color(), line.get_linestyle()) == LOOKS[label]
            edges = area.get_paths()[0].vertices
            assert (edges[:, 1].min(), edges[:, 1].max()) == pytest.approx((table["low"].min(), table["high"].max()))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(NAMES[:3])


def test_bands_have_one_scale_or_one_each() -> None:
    """On request each panel has its own vertical axis, on which its curves fill the height, and it has numbers."""
    low, high = band(0) * [1, 0.01, 0.01, 0.01], band(1)
    given = {"training": {"first": low}, "validation": {"first": high}}

    for one_scale in (True, False):
        figure = curves.bands(given, "loss", LOOKS, one_scale=one_scale)
        figure.draw_without_rendering()
        limits = [axes.get_ylim() for axes in figure.axes]
        assert (limits[0] == limits[1]) == one_scale
    assert limits[0][1] < limits[1][0]
    for axes, (bottom, top) in zip(figure.axes, limits, strict=True):
        assert sum(bottom <= tick <= top for tick in axes.get_yticks()) >= 2
        assert axes.get_yscale() == "log"


def test_bands_of_accuracies_leave_out_the_first_epoch_below() -> None:
    """The axis begins at the lowest accuracy after the first epoch, so that later epochs can be distinguished."""
    table = band(0).assign(middle=[0.2, 0.95, 0.97, 0.98, 0.985, 0.987])

    axes = curves.bands({"one": {"a": table}}, "accuracy", {"a": colours.TRAINING}).axes[0]

    assert axes.get_ylim()[0] == pytest.approx(0.95)
    assert axes.get_yscale() == "linear"
    assert curves.bands({"one": {"a": table}}, "loss", {"a": colours.TRAINING}).axes[0].get_yscale() == "log"


@pytest.mark.parametrize("epochs", [1, 2, 20])
def test_axes_end_where_epochs_and_accuracies_do(epochs: int) -> None:
    """The axis of epochs has whole numbers and less than one epoch beyond the data; no accuracy is above 100%."""
    table = history(0, epochs).assign(accuracy=1.0, val_accuracy=0.9995)

    for figure in (curves.training(table, None, "first"), curves.comparison({"first": table})):
        figure.draw_without_rendering()
        for axes in figure.axes:
            low, high = axes.get_xlim()
            assert 0 < low < 1
            assert epochs < high < epochs + 1
            assert all(tick == int(tick) for tick in axes.get_xticks())
        bottom, top = figure.axes[0].get_ylim()
        assert bottom < 0.9995 < top <= 1


@pytest.mark.parametrize("length", [8, 60])
def test_a_legend_leaves_room_for_the_curves(length: int) -> None:
    """However long the names of six models, the legend is within the picture, and the panels keep their height."""
    names = [f"{'m' * (length - 1)}{i}" for i in range(6)]

    figure = curves.comparison({name: history(0) for name in names})
    figure.draw_without_rendering()

    legend = figure.legends[0].get_window_extent()
    assert legend.x1 <= figure.bbox.x1
    for axes in figure.axes:
        box = axes.get_window_extent()
        assert box.y1 <= legend.y0
        assert box.height > figure.bbox.height / 3


def test_effects_draw_estimate_interval_and_verdict() -> None:
    """Each row has its point and interval in points, and its verdict's marker; nothing is drawn without numbers.

    The shaded range ends at the smallest effect on both sides, and every interval lies within the axis.
    """
    axes = effects.intervals(FAMILY, 0.001, VERDICTS).axes[0]

    drawn = FAMILY.dropna()
    intervals, points = axes.get_lines()[1::2], axes.get_lines()[2::2]
    for (place, row), interval, point in zip(drawn.iterrows(), intervals, points, strict=True):
        np.testing.assert_allclose(interval.get_xydata(), [[100 * row["low"], place], [100 * row["high"], place]])
        np.testing.assert_allclose(point.get_xydata(), [[100 * row["estimate"], place]])
        assert point.get_marker() == effects.MARKERS[VERDICTS.index(row["verdict"])]
    assert [text.get_text() for text in axes.texts] == FAMILY["verdict"].tolist()
    assert [label.get_text() for label in axes.get_yticklabels()] == FAMILY["label"].tolist()
    shade = axes.patches[0]
    assert (shade.get_x(), shade.get_x() + shade.get_width()) == pytest.approx((-0.1, 0.1))
    left, right = axes.get_xlim()
    assert left < 100 * FAMILY["low"].min() < 100 * FAMILY["high"].max() < right


def test_effects_are_legible() -> None:
    """No two words of the figure touch, and all lie within the picture."""
    figure = effects.intervals(FAMILY, 0.001, VERDICTS)
    figure.draw_without_rendering()

    axes = figure.axes[0]
    words = [*axes.texts, *axes.get_yticklabels(), *axes.get_xticklabels()]
    boxes = [word.get_window_extent() for word in words]
    assert_apart(words)
    assert min(box.x0 for box in boxes) >= 0
    assert max(box.x1 for box in boxes) <= figure.bbox.x1


def test_changes_draw_every_seed_and_the_mean() -> None:
    """Each group has a thin line per seed and a thick one between the means, all in one colour."""
    axes = effects.changes(ENDS, ("before", "after"), "accuracy").axes[0]

    lines = axes.get_lines()
    assert len(lines) == 3 + 1 + 2 + 1
    for name, (before, after) in ENDS.items():
        own = [line for line in lines if line.get_color() == colours.of_models(ENDS)[name].colour]
        *seeds, mean = own
        assert [line.get_ydata().tolist() for line in seeds] == np.stack((before, after), axis=1).tolist()
        assert mean.get_ydata() == pytest.approx([before.mean(), after.mean()])
        assert mean.get_label() == name
        assert mean.get_linewidth() > max(line.get_linewidth() for line in seeds)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["before", "after"]


def test_changes_may_have_more_ends_and_a_bound() -> None:
    """A line goes through an array for each end, and a straight one lies across at the bound."""
    three = np.array([[0.983, 0.982], [0.991, 0.993], [0.976, 0.977]])
    axes = effects.changes({"first": list(three)}, ("a", "b", "c"), "accuracy", bound=0.98).axes[0]

    *seeds, mean, bound = axes.get_lines()
    assert [line.get_ydata().tolist() for line in seeds] == three.T.tolist()
    assert mean.get_ydata() == pytest.approx(three.mean(axis=1))
    assert [*bound.get_ydata()] == [0.98, 0.98]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b", "c"]


def test_readings_draw_intervals_over_the_sides_of_their_bounds() -> None:
    """Each row has its intervals, rings where they are not its own, its bounds' sides in colour, and its verdict."""
    figure = readings.readings(ROWS)

    assert len(figure.axes) == len(ROWS)
    for axes, row in zip(figure.axes, ROWS, strict=True):
        left, right = axes.get_xlim()
        lines, points = axes.get_lines()[::2], axes.get_lines()[1::2]
        for place, (line, point, (estimate, low, high, main)) in enumerate(
            zip(lines, points, row.intervals, strict=True)
        ):
            np.testing.assert_allclose(line.get_xydata(), [[low, place], [high, place]])
            np.testing.assert_allclose(point.get_xydata(), [[estimate, place]])
            assert point.get_markerfacecolor() == ("black" if main else "white")
            assert left < low <= high < right
        shades = [(one.get_x(), one.get_x() + one.get_width(), to_hex(one.get_facecolor())) for one in axes.patches]
        expected = [(max(low, left), min(high, right), SIDES[verdict]) for low, high, verdict in row.sides]
        assert [shade[2] for shade in shades] == [shade[2] for shade in expected]
        for shade, one in zip(shades, expected, strict=True):
            assert shade[:2] == pytest.approx(one[:2])
        ticks = zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
        assert [(place, label.get_text()) for place, label in ticks] == row.bounds
        assert [text.get_text() for text in axes.texts] == [row.label, row.verdict]


@pytest.mark.fault("TQDM_*, MLFLOW_LOGGING_LEVEL or DASK_LOGGING__DISTRIBUTED that is no number or level")
def test_what_only_draws_or_prints_ends_no_command() -> None:
    """Whoever has set them otherwise for another program can import tqdm, MLflow and Dask here."""
    names = ("TQDM_MININTERVAL", "MLFLOW_LOGGING_LEVEL", "DASK_LOGGING__DISTRIBUTED")
    environment = os.environ | dict.fromkeys(names, "FOO") | {"PYTHONPATH": str(Path(__file__).parents[2])}
    line = [sys.executable, "-c", "import pipeline.tracking, pipeline.trials.cluster"]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.fault("MPLBACKEND as a notebook's shell exports it")
def test_a_notebooks_backend_is_not_ours(tmp_path: Path) -> None:
    """A figure is drawn by a process whose environment names a backend of Jupyter's, or one that there is not."""
    draw = "import pipeline, sys; from pathlib import Path; from matplotlib.figure import Figure; "
    draw += "from pipeline.reporting.plots import style; style.save(Figure(), Path(sys.argv[1]))"
    for number, backend in enumerate(("module://matplotlib_inline.backend_inline", "module://none", "nbagg")):
        path = tmp_path / f"{number}.png"
        environment = os.environ | {"MPLBACKEND": backend, "PYTHONPATH": str(Path(__file__).parents[2])}
        line = [sys.executable, "-c", draw, str(path)]
        done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, path.exists()) == (0, True), done.stderr
