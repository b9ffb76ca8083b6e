"""Files of pictures as images: each format, mode and size, by formulas in numpy; and the summary of what changed."""

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline import describe, preprocess
from pipeline.data import raw, sets, splits
from pipeline.data.dataset import Dataset
from pipeline.data.formats import pictures
from pipeline.data.image_set import ImageSet, ImageShape, PictureOptions
from pipeline.data.survey import Stated
from pipeline.inference import reading
from pipeline.params import Data
from tests.support import made_sets, untrained
from tests.support.untrained import saved

GREY, COLOUR = (ImageShape(height=20, width=24, channels=channels) for channels in (1, 3))
ALL = PictureOptions(convert=True)
RAMP = np.linspace(0, 65535, 480).round().astype(np.uint16).reshape(20, 24)


def read(image: Image.Image, shape: ImageShape, kind: str = "PNG", **options: Any) -> np.ndarray:
    """Return what becomes of a picture in a file, with `convert`."""
    return pictures.decode(saved(image, kind), shape, PictureOptions(convert=True, **options)).image


def rgba(seed: int = 0) -> np.ndarray:
    """Return colours and an opacity, all at random."""
    return np.random.default_rng(seed).integers(0, 256, (20, 24, 4), np.uint8)


def behind(layer: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Return a layer's colours in front of a colour, by the formula of alpha compositing."""
    opacity = layer[..., 3:] / 255
    return layer[..., :3] * opacity + np.array(colour) * (1 - opacity)


LOSSLESS = {"PNG": {}, "WEBP": {"lossless": True}, "BMP": {}, "TIFF": {}, "GIF": {}, "JPEG": {"quality": 95}}


@pytest.mark.parametrize("kind", pictures.FORMATS)
def test_each_format_gives_the_pixels_of_its_file(kind: str) -> None:
    """Grey and colour of every format are the pixels that were written; JPEG's are near them."""
    smooth = np.indices((20, 24)).sum(axis=0).astype(np.uint8) * 5
    for shape, image in ((GREY, smooth), (COLOUR, np.stack([smooth, 255 - smooth, smooth // 2], axis=-1))):
        found = pictures.decode(made_sets.png(image, kind, **LOSSLESS[kind]), shape, ALL).image

        assert found.shape == shape.shape
        assert abs(found.astype(int) - image).max() <= (16 if kind == "JPEG" else 0)


@pytest.mark.parametrize(("background", "colour"), [("white", (255,) * 3), ("#102030", (16, 32, 48))])
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_what_is_transparent_shows_the_background(kind: str, background: str, colour: tuple[int, int, int]) -> None:
    """Each pixel is the mean of layer and background, weighted by the opacity, in colour and in grey."""
    layer = rgba()
    content = made_sets.png(layer, kind, **({"lossless": True, "exact": True} if kind == "WEBP" else {}))
    expected = behind(layer, colour)

    options = PictureOptions(convert=True, background=background)
    in_colour, grey = (pictures.decode(content, shape, options).image for shape in (COLOUR, GREY))

    assert abs(in_colour - expected).max() <= 1
    assert abs(grey - expected @ [0.299, 0.587, 0.114]).max() <= 2


def icon(mode: str) -> Image.Image:
    """Return a black square on a transparent page, in one of the modes that can have one."""
    ink = Image.new("LA", (24, 20), (0, 0))
    ink.paste((0, 255), (4, 4, 12, 12))
    if mode in ("LA", "RGBA"):
        return ink.convert(mode)
    image = Image.new("L", (24, 20), 7)
    image.paste(0, (4, 4, 12, 12))
    image = image.convert("P") if mode == "P" else image.convert(mode) if mode != "I;16" else image.convert("I;16")
    image.info["transparency"] = {"RGB": (7, 7, 7)}.get(mode, 7)
    return image


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P", "L", "RGB", "I;16"])
def test_black_ink_on_a_transparent_page_stays_black_on_white(mode: str) -> None:
    """However a PNG says what is transparent, ink and page differ, in grey and in colour."""
    for shape in (GREY, COLOUR):
        found = read(icon(mode), shape).reshape(20, 24, -1)

        expected = np.full((20, 24, 1), 255)
        expected[4:12, 4:12] = 0
        np.testing.assert_array_equal(found, np.broadcast_to(expected, found.shape))


def test_a_palette_of_opacities_is_blended() -> None:
    """A palette whose colours each have an opacity, as in small PNG files, is one of transparent colours."""
    image = Image.fromarray((np.arange(480) % 4).astype(np.uint8).reshape(20, 24)).convert("P")
    image.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0, 9, 9, 9])
    image.info["transparency"] = bytes([0, 128, 255, 255])

    found = read(image, COLOUR).reshape(-1, 3)

    expected = [(255, 255, 255), (227, 127, 127), (0, 200, 0), (9, 9, 9)]
    assert abs(found[:4].astype(int) - expected).max() <= 1


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_the_range_of_16_bits_becomes_that_of_8(kind: str) -> None:
    """0 is 0, 65,535 is 255, and each value between is the nearest; nothing is clipped."""
    image = Image.fromarray(RAMP)

    np.testing.assert_array_equal(read(image, GREY, kind), np.rint(RAMP / 257).astype(np.uint8))
    np.testing.assert_array_equal(read(image, COLOUR, kind)[..., 1], np.rint(RAMP / 257).astype(np.uint8))


def test_of_a_tiff_whose_zero_is_white_ink_is_dark() -> None:
    """TIFF may count from white: 16 bits are turned as Pillow turns 8."""
    content = io.BytesIO()
    Image.fromarray(RAMP).save(content, "TIFF", tiffinfo={262: 0})

    found = pictures.decode(content.getvalue(), GREY, ALL).image

    assert abs(found - (255 - RAMP / 257)).max() <= 0.5


def sixteen_bit_colours(used: int = 16) -> bytes:
    """Return a PNG with 16 bits in each of three channels, some of them used: Pillow writes none."""
    values = (np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1]], axis=-1) >> (16 - used)).astype(">u2")
    return made_sets.png_of(24, 20, 16, 2, b"".join(b"\0" + row.tobytes() for row in values))


def test_colours_of_16_bits_are_a_conversion() -> None:
    """Of colours Pillow keeps the upper 8 of 16 bits: without `convert` that is refused, with it it is told."""
    found = pictures.decode(sixteen_bit_colours(), COLOUR, ALL)

    assert abs(found.image[..., 0] - RAMP / 257).max() <= 1
    assert found.change == ("RGB;16", False, False)
    with pytest.raises(ValueError, match=r"expected mode RGB, found RGB;16; `convert: true` scales 0 to 65535"):
        pictures.decode(sixteen_bit_colours(), COLOUR, PictureOptions())


@pytest.mark.parametrize(
    ("mode", "how"),
    [
        ("RGBA with transparency", "puts it on the `background`"),
        ("LA with transparency", "puts it on the `background`"),
        ("P with transparency", "puts it on the `background`"),
        ("L with transparency", "puts it on the `background`"),
        ("RGB with transparency", "puts it on the `background`"),
        ("I;16 with transparency", "puts it on the `background`"),
        ("CMYK", "converts it"),
        ("I;16", "scales 0 to 65535 to 0 to 255"),
    ],
)
def test_a_mode_that_cannot_be_shown_exactly_needs_convert(mode: str, how: str) -> None:
    """Without it the error says what it would do; with it, the change is told."""
    plain, _, clear = mode.partition(" ")
    content = saved(icon(plain) if clear else Image.new(mode, (24, 20), 5), "TIFF" if mode == "CMYK" else "PNG")

    with pytest.raises(ValueError, match=f"^expected mode RGB, found {mode}; `convert: true` {how}"):
        pictures.decode(content, COLOUR, PictureOptions())
    assert pictures.decode(content, COLOUR, ALL).change == (mode, False, False)


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA"])
def test_modes_that_rgb_shows_exactly_need_no_option(mode: str) -> None:
    """Grey, black-and-white, palettes, and opacities that are all full, give the same colours in RGB."""
    image = Image.fromarray(rgba()[..., :3]).convert(mode)

    found = pictures.decode(saved(image), COLOUR, PictureOptions())

    np.testing.assert_array_equal(found.image, np.asarray(image.convert("RGB")))
    assert found.change == ("", False, False)


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_numbers_of_32_bits_are_refused(dtype: Any) -> None:
    """Floats and 32 bits have no range that would be known: converted or not, they are a fault."""
    content = saved(Image.fromarray(RAMP.astype(dtype)), "TIFF")

    for options in (ALL, PictureOptions()):
        with pytest.raises(ValueError, match="expected 8 or 16 bits without a sign, found mode "):
            pictures.decode(content, GREY, options)


@pytest.mark.parametrize(("mode", "kind"), [("CMYK", "JPEG"), ("CMYK", "TIFF"), ("1", "PNG"), ("YCbCr", "TIFF")])
def test_other_modes_keep_black_and_white(mode: str, kind: str) -> None:
    """A page that is half black and half white stays one, in grey and in colour."""
    half = np.zeros((20, 24, 3), np.uint8)
    half[:, 8:] = 255
    content = saved(Image.fromarray(half).convert(mode), kind)

    for shape in (GREY, COLOUR):
        found = pictures.decode(content, shape, ALL).image.reshape(20, 24, -1)
        assert abs(found.astype(int) - half[..., : found.shape[2]]).max() < 9


def two_frames(kind: str) -> bytes:
    """Return a file with two pictures, the first one dark."""
    first, second = Image.new("L", (24, 20), 40), Image.new("L", (24, 20), 200)
    first.paste(90, (0, 0, 9, 9))
    return saved(first, kind, save_all=True, append_images=[second], **({"lossless": True} if kind == "WEBP" else {}))


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG"])
def test_of_several_pictures_the_first_is_read_and_told(kind: str) -> None:
    """Of an animation, or of several pages, the first picture is the image, and that there are more is told."""
    found = pictures.decode(two_frames(kind), GREY, ALL)

    assert (found.image[0, 0], found.image[19, 23]) == (90, 40)
    assert found.change[2] is True
    assert pictures.decode(saved(Image.new("L", (24, 20), 40), kind), GREY, ALL).change[2] is False


@pytest.mark.parametrize("scale", [4095.0, 12000.0, 65535.0])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_the_scale_is_white_before_16_bits_are_rounded(kind: str, scale: float) -> None:
    """Numbers up to the scale are the nearest of 0 to 255, of which all come up; one beyond it is a fault."""
    values = np.linspace(0, scale, 480).round().astype(np.uint16).reshape(20, 24)

    found = read(Image.fromarray(values), GREY, kind, scale=scale)

    np.testing.assert_array_equal(found, np.rint(values / scale * 255).astype(np.uint8))
    assert len(np.unique(found)) == 256
    with pytest.raises(ValueError, match=rf"expected 0 to 300, found {scale:.0f}; `scale` states the largest"):
        read(Image.fromarray(values), GREY, kind, scale=300)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P"])
def test_the_scale_is_white_of_8_bits_and_opacities_stay(mode: str) -> None:
    """Grey and colours up to 16 are spread to 255 before they are put on the background, which is not."""
    image = Image.fromarray((rgba() % np.array([17, 17, 17, 256])).astype(np.uint8))
    image = image.convert("RGB").quantize(64) if mode == "P" else image.convert(mode)
    expected = np.asarray(image.convert("RGBA")) * np.array([255 / 16] * 3 + [1])

    found = read(image, COLOUR, scale=16)

    assert abs(found - behind(expected, (255,) * 3)).max() <= 1.5


def test_the_scale_of_16_bit_colours_is_that_of_the_file() -> None:
    """Colours of which only the upper 8 of 16 bits are kept are multiplied as their numbers in the file say."""
    found = pictures.decode(sixteen_bit_colours(12), COLOUR, PictureOptions(convert=True, scale=4095)).image

    assert abs(found[..., 0] - RAMP / 65535 * 255).max() <= 17


# Sizes


def test_stretch_is_what_it_was() -> None:
    """`stretch`, and `true` as it was called before, is Pillow's bilinear resizing of the whole picture."""
    image = untrained.picture()
    expected = np.asarray(image.resize((24, 20), Image.Resampling.BILINEAR))

    for way in ("stretch", True):
        np.testing.assert_array_equal(read(image, COLOUR, resize=way), expected)


@pytest.mark.parametrize(("size", "inner"), [((96, 40), (24, 10)), ((12, 40), (6, 20)), ((6, 5), (24, 20))])
def test_pad_shows_the_whole_picture_on_the_background(size: tuple[int, int], inner: tuple[int, int]) -> None:
    """The picture keeps its aspect ratio in the middle; the rest has the background's colour."""
    image = untrained.picture(size)

    found = read(image, COLOUR, resize="pad", background="#0000ff")

    left, top = (24 - inner[0]) // 2, (20 - inner[1]) // 2
    expected = np.broadcast_to(np.array([0, 0, 255], np.uint8), (20, 24, 3)).copy()
    expected[top : top + inner[1], left : left + inner[0]] = image.resize(inner, Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("size", [(1000, 1), (1, 1000)])
@pytest.mark.parametrize("way", ["stretch", "pad", "crop"])
def test_a_thin_picture_is_not_lost(size: tuple[int, int], way: str) -> None:
    """A line of one pixel, far thinner than the image's ratio, is still seen."""
    assert (read(Image.new("L", size, 0), GREY, resize=way) == 0).any()


def test_crop_fills_the_image_from_the_middle() -> None:
    """The largest middle part with the image's aspect ratio is resized; nothing of the ends is left."""
    image = Image.new("L", (96, 40), 0)
    image.paste(Image.fromarray(np.tile(np.arange(48, dtype=np.uint8) * 5, (40, 1))), (24, 0))

    found = read(image, GREY, resize="crop")

    expected = np.arange(48).reshape(24, 2).mean(axis=1) * 5
    assert abs(found[10, 2:-2] - expected[2:-2]).max() <= 1


@pytest.mark.parametrize("way", ["stretch", "pad", "crop"])
@pytest.mark.parametrize(
    ("size", "reshaped"), [((48, 40), False), ((24, 20), False), ((40, 48), True), ((24, 21), True)]
)
def test_another_aspect_ratio_is_told(way: str, size: tuple[int, int], reshaped: bool) -> None:
    """Whatever way it is fitted, a picture that has the image's aspect ratio is not counted, and any other is."""
    options = PictureOptions(resize=way, convert=True)

    assert pictures.decode(saved(Image.new("L", size, 3)), GREY, options).change == ("", reshaped, False)


@pytest.mark.parametrize(("size", "how"), [((48, 40), "stretch"), ((40, 48), "pad")])
def test_the_error_of_another_size_recommends_no_distortion(size: tuple[int, int], how: str) -> None:
    """Only where nothing is squashed the message names `stretch`."""
    with pytest.raises(ValueError, match=rf"expected 24x20 pixels, found {size[0]}x{size[1]}; `resize: {how}`"):
        pictures.decode(saved(Image.new("L", size)), GREY, PictureOptions())


# In a data set


def mixed(folder: Path, **options: Any) -> ImageSet:
    """Write a set whose pictures have other modes and sizes, 3 of 70 and 2 of 21, and describe it."""
    described = made_sets.write(folder, "folder", made_sets.arrays())
    for part in ("train", "test"):
        first, second, *_ = sorted((folder / "data/local" / part / "agate").iterdir())
        first.unlink()
        Image.fromarray(rgba()).resize((32, 32)).save(first.with_suffix(".webp"), lossless=True)
        second.unlink()
        Image.fromarray(RAMP).save(second.with_suffix(".tif"))
    third = sorted((folder / "data/local/train/coral").iterdir())[0]
    third.write_bytes(two_frames("GIF"))
    content = described.model_dump(mode="json", exclude_none=True)
    content["options"] |= {"convert": True, "resize": "pad"} | options
    return made_sets.describe(folder, content)


def test_the_summary_counts_what_was_changed(tmp_path: Path) -> None:
    """data.json, and the table that is printed, have the number of pictures by mode and by fit, for each split."""
    described = mixed(tmp_path)
    found = raw.read(tmp_path / "data/local", described)
    train, test = found["train"], found["test"]

    held_out = splits.hold_out(train.labels, 14, 0)
    validation, rest = splits.select(train, held_out), splits.select(train, ~held_out)
    made = Dataset(rest, validation, test, described.classes)
    summary = preprocess.summarise(Data(dataset="stones", validation=14, split_seed=0), described, made, "")

    counts = [split["pictures"] for split in summary["splits"].values()]
    names = (
        "converted from I;16",
        "converted from RGBA with transparency",
        "of another aspect ratio",
        "the first of several in their file",
    )
    together = [counts[0].get(name, 0) + counts[1].get(name, 0) for name in names]
    assert together == [1, 1, 2, 1]
    assert [counts[2].get(name, 0) for name in names] == [1, 1, 1, 0]
    printed = {line.rsplit(maxsplit=3)[0]: line.split()[-3:] for line in preprocess.table(summary).splitlines()}
    assert printed["converted from RGBA with transparency"][2] == "1"
    assert [int(count) for count in printed["of another aspect ratio"]] == [one[names[2]] for one in counts]
    assert "converted" not in json.dumps(
        preprocess.summarise(Data(dataset="x", validation=14, split_seed=0), described, plain(made), "")
    )


def plain(made: Dataset) -> Dataset:
    """Return splits that were not read from pictures."""
    return Dataset(*(type(split)(split.images, split.labels) for split in made.splits().values()), made.classes)


@pytest.mark.parametrize(
    "options",
    [{"resize": "pad", "background": "black"}, {"resize": "crop"}, {"resize": "stretch", "background": "#aa0033"}],
)
def test_predict_reads_each_picture_as_it_was_trained_on(tmp_path: Path, options: dict[str, Any]) -> None:
    """Of every file to train on, whatever its mode and size, `predict` and the demo make the very same image."""
    described = mixed(tmp_path, **options)
    train = raw.read(tmp_path / "data/local", described)["train"]
    paths = [path for label in described.classes for path in sorted((tmp_path / "data/local/train" / label).iterdir())]

    for path, image in zip(paths, train.images, strict=True):
        np.testing.assert_array_equal(reading.read(path, described), image)
        np.testing.assert_array_equal(reading.decode(path.read_bytes(), "x", described), image)


def test_the_advice_on_pictures_of_12_bits_is_one_to_follow(tmp_path: Path) -> None:
    """As they are, they have 17 levels, which is said; with the `scale` that is advised, over 240, and peace."""
    described = made_sets.write(tmp_path, "folder", made_sets.arrays((8, 8)), (8, 8))
    paths = [path for path in (tmp_path / "data/local").rglob("*") if path.suffix.lower() == ".png"]
    for number, path in enumerate(paths):
        Image.fromarray(np.random.default_rng(number).integers(0, 4096, (8, 8), np.uint16)).save(path)
    content = described.model_dump(mode="json", exclude_none=True)
    content["options"] |= {"convert": True}
    data = Data(dataset="stones", validation="test", split_seed=0)

    def told() -> tuple[int, list[str]]:
        described = made_sets.describe(tmp_path, content)
        made = preprocess.preprocess(data, described, tmp_path / "data/local", tmp_path)
        return len(np.unique(made.train.images)), preprocess.summarise(data, described, made, "")["findings"]

    levels, (advice,) = told()
    content["options"] |= json.loads(re.sub(r".*`(scale): (\d+)`.*", r'{"\1": \2}', advice))

    assert levels == 17
    assert told()[0] > 240
    assert told()[1] == []


def test_a_stated_scale_is_that_of_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`make data` with SCALE writes it for pictures, too."""
    for label in ("a", "b"):
        (tmp_path / "mine" / label).mkdir(parents=True)
        for number in range(9):
            Image.fromarray(RAMP >> (4 + number % 2)).save(tmp_path / "mine" / label / f"{label}{number}.png")
    monkeypatch.chdir(tmp_path)

    describe.describe("stones", tmp_path / "mine", Stated(scale=4095), "x")

    assert sets.load(Path("data/sets/stones.yaml")).pictures.scale == 4095


def test_a_picture_for_a_set_without_pictures_is_stretched_on_white() -> None:
    """Where a data set says nothing of pictures, `predict` stretches them, and what is transparent is white."""
    described = sets.load(Path(__file__).parents[2] / "data/sets/fashion_mnist.yaml")
    ink = Image.new("LA", (80, 40), (0, 0))
    ink.paste((0, 255), (0, 0, 40, 40))

    found = reading.decode(saved(ink), "x", described)

    assert (found[:, :13] == 0).all()
    assert (found[:, 15:] == 255).all()
