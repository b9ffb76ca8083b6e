"""`make data`: from files on a disk to a data set, and on to a trained model."""

import io
import json
import os
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from sklearn.datasets import load_digits

from pipeline import describe, files
from pipeline.data import raw, sets
from pipeline.errors import InputError
from tests.support import forks, programs, small
from tests.test_data_sets import MODELS

NUMBER = 300
DIGITS = load_digits()
PIXELS, LABELS = DIGITS.images[:NUMBER], DIGITS.target[:NUMBER]
BYTES = (PIXELS * 255 / 16).round().astype(np.uint8)
NO_4 = LABELS != 4
TABLE = pd.DataFrame(BYTES.reshape(NUMBER, -1), columns=[f"px{number}" for number in range(64)]).assign(digit=LABELS)


def picture(index: int) -> Image.Image:
    """Return one of the digits, from black to white."""
    return Image.fromarray(BYTES[index])


def save(folder: Path, name: Callable[[int], str], count: int = NUMBER) -> Path:
    """Write the first digits as PNG files by their names, and return the folder."""
    for index in range(count):
        path = folder / name(index)
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(index).save(path)
    return folder


def npz(folder: Path, **arrays: np.ndarray) -> Path:
    """Write arrays, and return their file."""
    np.savez(folder / "x.npz", **arrays)
    return folder / "x.npz"


def csv(folder: Path, rows: pd.DataFrame, name: str = "digits") -> Path:
    """Write a table, and return its file."""
    rows.to_csv(folder / f"{name}.csv", index=False)
    return folder / f"{name}.csv"


def part(index: int) -> str:
    """Return the name of a split, as some call it."""
    return ("Training", "test", "valid")[max(0, index % 10 - 7)]


def folders(folder: Path) -> Path:
    """Write a folder per class."""
    return save(folder, lambda index: f"{LABELS[index]}/{index}.png")


def deeper(folder: Path) -> Path:
    """Write a folder per split in one per class, below one more, the same names in each."""
    return save(folder, lambda index: f"all/{LABELS[index]}/{part(index)}/{index}.png")


def listed(folder: Path, label: str = "Class", **columns: Any) -> Path:
    """Write a folder of files with a CSV of names and labels, and other columns."""
    rows = pd.DataFrame(
        {"file": [f"{index}.png" for index in range(NUMBER)], label: LABELS, "taken": "today"} | columns
    )
    csv(save(folder, lambda index: f"{index}.png"), rows.sample(frac=1, random_state=0), "labels")
    return folder


def fractions(folder: Path) -> Path:
    """Write an npz of fractions with text labels in a column."""
    return npz(folder, images=(PIXELS / 16).astype(np.float32), labels=LABELS.astype(str)[:, None])


def three_arrays(folder: Path) -> Path:
    """Write an npz with three splits of whole numbers."""
    rows = {"train": slice(0, 200), "val": slice(200, 250), "test": slice(250, None)}
    kinds = {"images": BYTES, "labels": LABELS}
    return npz(folder, **{f"{name}_{kind}": kinds[kind][chosen] for name, chosen in rows.items() for kind in kinds})


def table(folder: Path) -> Path:
    """Write a CSV of pixels."""
    return csv(folder, TABLE)


def parquet_table(folder: Path) -> Path:
    """Write a parquet table of pixels."""
    TABLE.to_parquet(folder / "digits.parquet")
    return folder / "digits.parquet"


def encoded(index: int) -> bytes:
    """Return one of the digits as a PNG file."""
    file = io.BytesIO()
    picture(index).save(file, "PNG")
    return file.getvalue()


def parquet_pictures(folder: Path) -> Path:
    """Write a parquet table of pictures, as Hugging Face's."""
    cells = [{"bytes": encoded(index), "path": f"{index}.png"} for index in range(NUMBER)]
    pd.DataFrame({"image": cells, "label": LABELS}).to_parquet(folder / "digits.parquet")
    return folder / "digits.parquet"


def whole(folder: Path) -> Path:
    """Write an npz of whole numbers of 64 bits."""
    return npz(folder, x=BYTES.astype(np.int64), y=LABELS)


def packed(folder: Path) -> Path:
    """Write a gzipped CSV of pixels."""
    TABLE.to_csv(folder / "digits.csv.gz", index=False)
    return folder / "digits.csv.gz"


def numbered(folder: Path) -> Path:
    """Write a CSV whose columns of pixels have only numbers for names."""
    return csv(folder, TABLE.rename(columns=lambda name: name.removeprefix("px")))


KINDS = [
    numbered,
    folders,
    deeper,
    listed,
    fractions,
    three_arrays,
    whole,
    table,
    packed,
    parquet_table,
    parquet_pictures,
]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder for files, in the one that the test works in."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "from").mkdir()
    return tmp_path / "from"


def described(path: Path, name: str = "digits", **stated: Any) -> list[str]:
    """Describe files with these answers to questions, and return what is printed."""
    return describe.describe(name, path, describe.Stated(**stated), "me")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_files_become_a_data_set(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, kind: Any) -> None:
    """Every picture is there once with its label, and the set's file is valid, whatever the files were."""
    monkeypatch.setattr(sys, "argv", ["describe", "digits", str(kind(place)), "--json"])

    assert describe.main() == 0

    content = json.loads(capsys.readouterr().out)
    assert content.keys() == programs.keys("describe")
    assert content["set"] == "data/sets/digits.yaml"
    image_set = sets.load(Path("data/sets/digits.yaml"))
    splits = raw.read(Path("data/local/digits"), image_set)
    assert image_set.classes == tuple("0123456789")
    found = {
        (image.tobytes(), int(label))
        for split in splits.values()
        for image, label in zip(split.images, split.labels, strict=True)
    }
    expected = {(np.asarray(picture(index)).tobytes(), int(LABELS[index])) for index in range(NUMBER)}
    assert found == expected
    assert sum(map(len, splits.values())) == NUMBER
    assert ("validation" in image_set.parts) == (kind in (deeper, three_arrays))
    assert any("data: {dataset: digits, validation: " in note for note in content["notes"])
    assert {path.name for path in Path("data/local").iterdir()} == {"digits"}


def test_what_a_person_should_know_is_printed(place: Path) -> None:
    """Sizes, modes, transparency, copies, constant, damaged and other files are named; these two are not copied."""
    folder = folders(place)
    shutil.copy(folder / "0" / "0.png", folder / "1" / "copy.png")
    (folder / "2" / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    Image.new("L", (8, 8), 9).save(folder / "3" / "plain.png")
    Image.new("RGBA", (8, 9), (1, 2, 3, 0)).save(folder / "4" / "through.png")
    for name in ("1/more/x.HEIC", "none/deep/y.heic", "README.md", "3/film.mp4", "0/Thumbs.db", "@eaDir/0.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()

    text = "\n".join(described(folder, size=(8, 8)))

    for words in (
        "sizes: 8x8 (302), 8x9 (1)",
        "1 of another aspect ratio are stretched; `resize: pad` or `crop` in options keeps it",
        "modes: L (302), RGBA (1); all become colour",
        "1 have transparent parts, which become white, or what `background` in options says; "
        "of these would show nothing: on white 1, on black 1",
        "1 cannot be read and are not copied: 2/damaged.png: not a PNG, JPEG, ",
        "left out: .heic (2), .mp4 (1), .md (1)",
        "folders without a picture: 1/more, none",
        "1 image is the same as another one: ",
        "2 images are of another class than the same picture elsewhere: ",
        "1/copy.png",
        "3/plain.png",
    ):
        assert words in text
    assert not Path("data/local/digits/train/2/damaged.png").exists()


def test_pictures_in_a_table_are_looked_at(place: Path) -> None:
    """Those in a column are told and measured as those in files are; one that is damaged is told with its row."""
    Image.new("RGBA", (9, 8), (1, 2, 3, 0)).save(place / "x.png")
    cells = [*map(encoded, range(8)), (place / "x.png").read_bytes()]
    pd.DataFrame({"image": cells, "label": [*"abababab", "b"]}).to_parquet(place / "x.parquet")
    pd.DataFrame({"image": [*cells[:-1], b""], "label": [*"abababab", "b"]}).to_parquet(place / "damaged.parquet")

    lines = described(place / "x.parquet")

    assert "sizes: 8x8 (8), 9x8 (1); all become 32x32 (SIZE=64 or SIZE=48x64 says otherwise)" in lines
    assert "modes: L (8), RGBA (1); all become colour" in lines
    assert any(line.startswith("1 have transparent parts") for line in lines)
    assert sets.load(Path("data/sets/digits.yaml")).image.shape == (32, 32, 3)
    with pytest.raises(InputError, match=r"from/damaged.parquet: row 8, counted from 0: not a PNG"):
        described(place / "damaged.parquet", "other")


@pytest.mark.parametrize(
    ("name", "count"),
    [
        (lambda index: f"film{'XYZUVW'[index % 6]}_{index:04}.png", 6),
        (lambda index: f"p{index % 6}-{'abcdefghij'[index // 6]}.png", 6),
        (lambda index: f"{index}.png", None),
        (lambda index: f"IMG_{index}.png", None),
        (lambda index: f"{'ab'[index % 2]}_{index}.png", None),
        (lambda index: f"{index}-of-60.png", None),
    ],
)
def test_names_that_show_groups_are_a_question(place: Path, name: Callable[[int], str], count: int | None) -> None:
    """Where several pictures of each class have a part of their name in common, its answer keeps them together."""
    # Two classes, ten pictures in each of six people.
    save(place, lambda index: f"{'ab'[index % 2]}/{name(index)}", 60)

    questions = [line for line in described(place, "asked") if "GROUP" in line]

    assert len(questions) == (count is not None)
    if count is None:
        return
    assert f"each of {count} such groups" in questions[0]
    expression = questions[0].partition("GROUP='")[2].partition("'")[0]
    assert not any("GROUP" in line for line in described(place, "grouped", group=expression))
    splits = raw.read(Path("data/local/grouped"), sets.load(Path("data/sets/grouped.yaml")))
    train, test = (set(np.asarray(split.groups).tolist()) for split in splits.values())
    assert len(train | test) == count
    assert not train & test


def test_groups_of_tables_are_a_column(place: Path) -> None:
    """GROUP names a column; those of a given test table that are trained on as well are printed."""
    csv(place, TABLE[:200].assign(person=np.arange(200) % 30), "train")
    csv(place, TABLE[200:220].assign(person=np.arange(25, 45)), "test")

    with pytest.raises(InputError, match="one prefix, found person, px; say GROUP=column"):
        described(place, label="digit")
    lines = described(place, label="digit", group="person")

    told = "5 images are test images of groups that training images are of, too: train.csv row 25 = test.csv row 0; "
    assert any(line.startswith(told) for line in lines)


@pytest.mark.parametrize(
    ("name", "target", "why"),
    [
        ("0/nothing.png", "nowhere.png", "0/nothing.png: a link to nothing"),
        ("other", "0", "other: a link to a folder; put the folder itself there"),
        ("0/loop", "loop", "0/loop: a link to nothing"),
        ("0/out.png", "../../out.png", "0/out.png: a link that leads out of the source; put the file itself there"),
    ],
)
def test_links_that_fetch_would_refuse_are_refused(place: Path, name: str, target: str, why: str) -> None:
    """A picture, or a class, that would be missing or come from elsewhere is one line; a link within is a file."""
    folder = folders(place)
    picture(0).save(folder.parent / "out.png")
    (folder / "0" / "inside.png").symlink_to("0.png")
    (folder / name).symlink_to(target)

    with pytest.raises(InputError, match=r"^[^\n]+$") as caught:
        described(folder)

    assert str(caught.value) == f"{folder}: {why}"
    (folder / name).unlink()
    assert described(folder)[0].startswith(f"{NUMBER + 1} files copied")


def large(path: Path) -> None:
    """Write a picture with more pixels than are read."""
    Image.new("1", (9000, 9000)).save(path)


def precise(path: Path) -> None:
    """Write a picture of fractions."""
    Image.fromarray(np.ones((8, 8), np.float32)).save(path, "TIFF")


@pytest.mark.parametrize(
    ("part", "lost", "write", "why"),
    [
        ("train/", "7", precise, "expected 8 or 16 bits without a sign, found mode F;32F"),
        ("train/", "7", large, "expected at most 50,000,000 pixels, found 9000x9000"),
        ("test/", "test", precise, "expected 8 or 16 bits without a sign, found mode F;32F"),
    ],
)
def test_a_class_or_a_split_is_not_lost(place: Path, part: str, lost: str, write: Any, why: str) -> None:
    """Where no picture of a class, or of a split, can be read, that is an error with the first one's reason."""
    save(place, lambda index: f"{part if index % 5 == 0 else 'train/'}{LABELS[index]}/{index}.png")
    paths = sorted(path for path in place.rglob("*.png") if lost in path.parts)
    write(paths[0])
    for path in paths[1:]:
        shutil.copy(paths[0], path)

    with pytest.raises(InputError) as caught:
        described(place)

    named = paths[0].relative_to(place).as_posix()
    assert f"{place}: no picture of {lost!r} can be read, such as {named}: {why}; " in str(caught.value)


PEOPLE = [f"p/{index % 30}" for index in range(NUMBER)]


def in_folders(folder: Path) -> Path:
    """Write a folder per split, and a CSV of names and labels next to them."""
    rows = pd.DataFrame({"file": [f"{index}.png" for index in range(NUMBER)], "label": LABELS})
    csv(save(folder, lambda index: f"{part(index)}/{index}.png"), rows, "labels")
    return folder


@pytest.mark.parametrize("kind", [partial(listed, split=[*map(part, range(NUMBER))]), in_folders])
def test_a_table_of_labels_has_splits(place: Path, kind: Any) -> None:
    """A column of train, test and val next to the labels is the split, as are folders of these names."""
    described(kind(place))

    splits = raw.read(Path("data/local/digits"), sets.load(Path("data/sets/digits.yaml")))
    found = {
        name: sorted(int(Path(origin).stem) for origin in np.asarray(split.origins)) for name, split in splits.items()
    }
    names = {"Training": "train", "test": "test", "valid": "validation"}
    assert found == {names[name]: [index for index in range(NUMBER) if part(index) == name] for name in names}


def test_groups_of_pictures_may_be_a_column(place: Path) -> None:
    """GROUP names a column of the table of labels, too: the set's groups are its values, whatever is in these."""
    described(listed(place, person=PEOPLE), group="person")

    splits = raw.read(Path("data/local/digits"), sets.load(Path("data/sets/digits.yaml")))
    groups = {
        name: {(PEOPLE[int(str(origin).rpartition("=")[2][:-4])], int(group)) for origin, group in pairs}
        for name, split in splits.items()
        for pairs in [zip(np.asarray(split.origins), np.asarray(split.groups), strict=True)]
    }
    assert len(groups["train"] | groups["test"]) == 30
    assert len({group for _, group in groups["train"] | groups["test"]}) == 30
    assert not groups["train"] & groups["test"]


def with_splits(folder: Path) -> Path:
    """Write a parquet table of pictures with a column of splits."""
    rows = {"image": [encoded(index) for index in range(8)], "label": [*"abababab"], "split": [*["train", "test"] * 4]}
    pd.DataFrame(rows).to_parquet(folder / "x.parquet")
    return folder / "x.parquet"


def recoded(folder: Path, *, encoding: str = "utf-8", sep: str = ",") -> Path:
    """Write a folder of files with a CSV of names and labels in another form."""
    text = (listed(folder) / "labels.csv").read_text().replace("today", "été").replace(",", sep)
    (folder / "labels.csv").write_text(text, encoding=encoding)
    return folder


def from_1(folder: Path) -> Path:
    """Write a parquet table of pictures whose labels begin with 1."""
    pd.DataFrame({"image": [encoded(index) for index in range(8)], "label": [1, 2] * 4}).to_parquet(
        folder / "x.parquet"
    )
    return folder / "x.parquet"


def without_labels(folder: Path) -> Path:
    """Write parquet tables of pictures, of which that to test with has no labels."""
    pd.DataFrame({"image": [encoded(index) for index in range(8)], "label": [0, 1] * 4}).to_parquet(
        folder / "train.parquet"
    )
    pd.DataFrame({"image": [encoded(8)]}).to_parquet(folder / "test.parquet")
    return folder


def fifo(folder: Path) -> Path:
    """Make a pipe."""
    os.mkfifo(folder / "x.png")
    return folder / "x.png"


def alike(folder: Path) -> Path:
    """Write pictures of one name in folders whose names are the same with hyphens, and a CSV of names and labels."""
    names = [f"{name}/x.png" for name in ("a-b/c", "a/b-c", "d/e")]
    csv(save(folder, lambda index: names[index], 3), pd.DataFrame({"file": names, "label": [*"aab"]}), "labels")
    return folder


def uneven(folder: Path) -> Path:
    """One picture deeper than the others."""
    folders(folder)
    (folder / "0" / "more").mkdir()
    picture(0).save(folder / "0" / "more" / "x.png")
    return folder


def oblong(folder: Path) -> Path:
    """As many pixels as no square has."""
    pixels = pd.DataFrame(np.arange(9 * 96).reshape(9, 96) % 256, columns=[f"p{number}" for number in range(96)])
    return csv(folder, pixels.assign(label=np.arange(9) % 2))


def lists(folder: Path) -> Path:
    """Write a parquet table with a list of pixels in each row."""
    pd.DataFrame({"image": BYTES.reshape(NUMBER, -1).tolist(), "label": LABELS}).to_parquet(folder / "x.parquet")
    return folder / "x.parquet"


def with_cell(text: Any) -> Callable[[Path], Path]:
    """Return what writes a CSV of pixels with this in a cell, or nothing."""
    return lambda folder: csv(folder, TABLE.astype(object).assign(px5=[*TABLE["px5"][:3], text, *TABLE["px5"][4:]]))


def other_sizes(folder: Path) -> Path:
    """Write a table to test with that has fewer pixels than that to train on."""
    csv(folder, TABLE, "train")
    return csv(folder, TABLE.drop(columns="px63"), "test").parent


@pytest.mark.fault("own images that could be read in more than one way, or in none")
@pytest.mark.parametrize(
    ("kind", "question", "answer"),
    [
        (
            lambda folder: save(folder, lambda index: f"{'ab'[index % 2]}/{LABELS[index]}/{index}.png"),
            "which level of folders has the classes?",
            {"level": 2},
        ),
        (uneven, "pictures are 1 to 2 folders deep", None),
        (
            lambda folder: npz(folder, data=PIXELS, target=LABELS),
            "which number is white? pixels are 0.0 to 16.0; say SCALE=16, or SCALE=255",
            {"scale": 16.0},
        ),
        (oblong, "which height and width have 96 pixels?", {"size": (8, 12)}),
        (partial(listed, label="kind"), "which column has the labels? kind, taken", {"label": "kind"}),
        (
            lambda folder: csv(folder, TABLE.rename(columns={"digit": "of10"}).astype({"of10": float})),
            "which column has the labels? px0, px1, ",
            {"label": "of10"},
        ),
        (
            partial(listed, split=["train"] * 200 + ["dev"] * 100),
            "labels.csv: column 'split': expected train, test or val, found 'dev'",
            None,
        ),
        (
            partial(listed, Class=["a/b", "a-b"] * 150),
            "labels.csv: labels 'a/b' and 'a-b' would be one class, 'a-b'; rename one",
            None,
        ),
        (with_splits, "the column 'split' has train, test; write a table for each, called train, test and val", None),
        (
            lambda folder: csv(folder, TABLE.assign(set=["train", "val"] * 150)),
            "the column 'set' has train, val; write a table for each, called train, test and val",
            None,
        ),
        (lists, "row 0, counted from 0, column 'image': expected a number, found ", None),
        (with_cell("white"), "row 3, counted from 0, column 'px5': expected a number, found white", None),
        (with_cell(""), "row 3, counted from 0, column 'px5': expected a number, found nothing", None),
        (
            lambda folder: csv(
                folder, TABLE.assign(digit=range(NUMBER)).loc[[*range(NUMBER)] * 4].assign(digit=range(1200))
            ),
            "expected at most 1000 classes, found more labels than that; say LABEL=column",
            None,
        ),
        (
            lambda folder: csv(folder, TABLE.astype({"digit": str}).assign(digit=["", *LABELS[1:].astype(str)])),
            "column 'digit': expected a label in each row, found nothing in some",
            None,
        ),
        (
            lambda folder: csv(folder, TABLE.reset_index().rename(columns={"index": ""})),
            "digits.csv: a column without a name; to_csv(index=False) leaves out pandas' index",
            None,
        ),
        (
            lambda folder: csv(folder, TABLE.set_axis(TABLE.iloc[0], axis=1)),
            "digits.csv: expected names of columns in the first line, found 0, 0, 80; write names, such as",
            None,
        ),
        (with_cell(95.5), "which number is white? pixels are 0.0 to 255.0", None),
        (other_sizes, "from/test.csv: expected 64 columns of pixels, found 63", None),
        (
            lambda folder: npz(folder, x_train=BYTES[NO_4], y_train=LABELS[NO_4]),
            "no image has the label 4, of 0 to 9; number the classes from 0 on without gaps, or write names",
            None,
        ),
        (lambda folder: npz(folder, x=BYTES, y=LABELS * 10**15), "no image has the label 1, of 0 to 9000000000", None),
        (from_1, "labels begin with 1, expected 0 or names; number the classes from 0 on", None),
        (without_labels, "from/test.parquet: expected the columns 'image' and 'label', as in that to train on", None),
        (
            lambda folder: npz(folder, x=BYTES.astype(float), y=LABELS),
            "which number is white? pixels are 0.0 to 255.0; say SCALE=255",
            {"scale": 255.0},
        ),
        (
            lambda folder: npz(folder, x_train=BYTES, y_train=LABELS, x_test=PIXELS / 16, y_test=LABELS),
            "x_train is uint8, x_test is float64, of which white is not one number; save all with one type",
            None,
        ),
        (
            lambda folder: npz(folder, x=PIXELS - 8, y=LABELS),
            "expected pixels of 0 or more, found -8.0 to 8.0; make black 0",
            None,
        ),
        (lambda folder: npz(folder, x=BYTES[:0], y=LABELS[:0]), "no images", None),
        (
            lambda folder: npz(folder, x=np.stack([BYTES] * 3, 1), y=LABELS),
            "expected images (n, h, w), (n, h, w, 1) or (n, h, w, 3), found (300, 3, 8, 8); np.moveaxis(images",
            None,
        ),
        (
            lambda folder: npz(folder, x=np.stack([BYTES] * 4, -1), y=LABELS),
            "found (300, 8, 8, 4); np.moveaxis(images, 1, -1) puts channels last, images[..., :3] leaves out a fourth",
            None,
        ),
        (
            lambda folder: npz(folder, x=BYTES, y=np.eye(10)[LABELS]),
            "expected a whole number or a name for each image, found float64(300, 10); astype(int) or ",
            None,
        ),
        (
            lambda folder: npz(folder, x=BYTES, y=LABELS > 4),
            "a name for each image, found bool(300,); astype(int) ",
            None,
        ),
        (lambda folder: npz(folder, x=BYTES, y=np.int64(3)), "a name for each image, found int64(); ", None),
        (partial(listed, Class=[".5", "5"] * 150), "labels.csv: label '.5': a folder of this name is left out", None),
        (alike, "a-b/c/x.png and a/b-c/x.png would both be called train/a/a-b-c-x.png; rename one of them", None),
        (
            lambda folder: npz(folder, x=BYTES, y=LABELS.astype(str).astype(object)),
            "y.npy: holds Python objects, which could run code; astype(str) makes texts of names",
            None,
        ),
        (
            partial(recoded, encoding="latin-1"),
            "labels.csv: not a CSV table in UTF-8 (invalid continuation byte); save it as UTF-8",
            None,
        ),
        (
            partial(recoded, sep=";"),
            "labels.csv: expected commas between columns, found ';'; save it with commas",
            None,
        ),
        (partial(listed, Class=["", "a"] * 150), "from: classes: expected a class name of 1 to 60 printable ", None),
        (
            lambda folder: save(folder, lambda index: f"{'ab'[index % 2]} /{index}.png"),
            "from: classes: expected a class name of 1 to 60 printable letters without spaces at its ends, found 'a '",
            None,
        ),
        (
            lambda folder: save(folder, lambda index: f"train/a/{index}.png"),
            "from: expected folders of two classes or more, found only train/a",
            None,
        ),
        (lambda folder: folder, "from: no files", None),
        (fifo, "from/x.png: no such file or folder", None),
        (lambda folder: folder / "nowhere", "no such file or folder", None),
    ],
)
def test_what_is_unclear_is_asked(place: Path, kind: Any, question: str, answer: dict[str, Any] | None) -> None:
    """One line asks, with exit code 2, and nothing is written; a question that a key can answer is answered by it."""
    made = kind(place)

    with pytest.raises(InputError, match=r"^[^\n]+$") as caught:
        described(made)

    assert question in str(caught.value)
    assert not Path("data/sets/digits.yaml").exists()
    assert not Path("data/local/digits").exists()
    if answer:
        described(made, **answer)
        assert sets.load(Path("data/sets/digits.yaml")).image.shape == answer.get("size", (8, 8))


def test_what_is_there_is_kept(place: Path) -> None:
    """A set of that name is an error, and stays as it is."""
    described(folders(place))
    before = Path("data/sets/digits.yaml").read_bytes()

    with pytest.raises(InputError, match="is there already"):
        described(place)
    assert Path("data/sets/digits.yaml").read_bytes() == before


def ink(index: int) -> Image.Image:
    """Return one of the digits, black on white: with 8 bits, with 16, or on a transparent page."""
    levels = np.asarray(picture(index))
    if index % 3 == 0:
        return Image.fromarray(255 - levels)
    if index % 3 == 1:
        return Image.fromarray((255 - levels).astype(np.uint16) * 257)
    return Image.merge("LA", (Image.new("L", (8, 8), 0), Image.fromarray(levels)))


@pytest.mark.slow
def test_from_a_folder_to_a_report(tmp_path: Path, place: Path) -> None:
    """Pictures become a data set, a model and a report; ten that are then relabelled are ten more in another class."""
    small.start(tmp_path)
    folder = folders(place)
    for path in folder.rglob("*.png"):
        ink(int(path.stem)).save(path)
    for index in range(3):
        shutil.copy(folder / str(LABELS[index]) / f"{index}.png", folder / str(LABELS[index]) / f"copy-{index}.png")
    small.copy(tmp_path, "Makefile")
    # As make sees it, the environment is complete; what is in use is found behind it, on PATH.
    (tmp_path / ".venv").mkdir()
    for name in ("requirements.lock", ".venv/complete"):
        (tmp_path / name).touch()
    printed = forks.run(tmp_path, "make", "data", "NAME=stones", f"FROM={folder}", "CREDIT=it's me")
    assert "3 images are the same as another one: " in printed
    assert "modes: L (101), I;16 (101), LA (101); all become grey" in printed
    assert "of these would show nothing: on white 0, on black 101" in printed
    assert sets.load(tmp_path / "data/sets/stones.yaml").credit == "it's me"
    assert (tmp_path / "data/local/stones.dvc").exists()
    values = yaml.safe_load((tmp_path / "params.yaml").read_text())
    values["models"] = {"dense": MODELS["dense"]}
    values["train"] |= {"batch_size": 8, "threads": 1}
    for line in printed.splitlines():
        if line.startswith(("  data:", "  gate:", "  verdict:")):
            values |= yaml.safe_load(line)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))

    forks.run(tmp_path, "dvc", "repro")
    before = (tmp_path / "reports" / "report.md").read_text()
    local = tmp_path / "data" / "local" / "stones" / "train"
    for path in sorted((local / "7").iterdir())[:10]:
        path.rename(local / "1" / f"was-7-{path.name}")
    forks.run(tmp_path, "dvc", "repro")

    after = (tmp_path / "reports" / "report.md").read_text()
    raw_set = raw.read(tmp_path / "data/local/stones", sets.load(tmp_path / "data/sets/stones.yaml"))
    assert {image.tobytes() for split in raw_set.values() for image in split.images} == {
        (255 - np.asarray(picture(index))).tobytes() for index in range(NUMBER)
    }
    assert "are the same as another one: train/" in before
    assert before != after
    counts = np.sum(
        [split["classes"] for split in files.read_json(tmp_path / "reports/data.json")["splits"].values()], 0
    )
    expected = np.bincount(np.concatenate([LABELS, LABELS[:3]]), minlength=10)
    expected[7], expected[1] = expected[7] - 10, expected[1] + 10
    assert counts.tolist() == expected.tolist()
