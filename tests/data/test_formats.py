"""Every format, by the real programs, on files made here: the arrays that come out are those that went in."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline import fetch, files
from pipeline import preprocess as stage
from pipeline.data import dataset, raw, sets
from pipeline.data.formats import checks, pictures
from pipeline.data.image_set import ImageSet
from pipeline.data.splits import hold_out
from pipeline.errors import InputError
from tests.support import forks, made_sets, memory, small
from tests.support.frozen import FROZEN
from tests.support.made_sets import CLASSES, COUNTS, NAMES, Arrays, describe, write

ROOT = Path(__file__).parents[2]
NO_PICTURE = f"not a {pictures.KINDS} file that can be read"
COLOURS = [kind for kind in made_sets.WRITERS if kind != "idx"]


def read(folder: Path, described: ImageSet) -> Arrays:
    """Return the arrays that are read from the files of a set where they were written."""
    splits = raw.read(folder / "data" / "local", described)
    return {name: getattr(splits[name.partition("_")[0]], name.partition("_")[2]) for name in NAMES}


def assert_equal(found: Arrays, expected: Arrays) -> None:
    """Check that values, types and shapes are equal."""
    for name in NAMES:
        np.testing.assert_array_equal(found[name], expected[name], strict=True)


def by_class(made: Arrays) -> Arrays:
    """Return images and labels sorted by class, each class in its order, as folders have them."""
    orders = {part: np.argsort(made[f"{part}_labels"], kind="stable") for part in COUNTS}
    return {name: array[orders[name.partition("_")[0]]] for name, array in made.items()}


def run(folder: Path, module: str, *words: str, real: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a stage as DVC does; forked, unless it has to be the `real` program with its imports."""
    environment = {**small.environment(), "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    environment |= {} if real else forks.environment()
    line = ["python", "-m", f"pipeline.{module}", "--set", "data/sets/stones.yaml", *words]
    return subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def stages(folder: Path, *, real: bool = False) -> subprocess.CompletedProcess[str]:
    """Fetch and preprocess the set; return the first program that fails, or the last one."""
    fetched = run(folder, "fetch", "--output", "data/raw/stones", real=real)
    return fetched if fetched.returncode else preprocess(folder, "data/raw/stones", real=real)


def preprocess(folder: Path, directory: str, *, real: bool = False) -> subprocess.CompletedProcess[str]:
    """Preprocess the files of the set in a directory, 14 images held out."""
    return run(folder, "preprocess", *preprocessing(folder, directory), real=real)


def preprocessing(folder: Path, directory: str) -> list[str]:
    """Write params and return the options for preprocessing the files in a directory."""
    values = files.read_yaml(FROZEN / "params.yaml")
    values["data"] |= {"dataset": "stones", "validation": 14}
    values["train"]["batch_size"] = 16
    (folder / "params.yaml").write_text(json.dumps(values))
    paths = {"input": directory, "output": "stones.npz", "summary": "data.json", "samples": "samples.png"}
    return [word for key, path in paths.items() for word in (f"--{key}", path)]


def restated(folder: Path, described: ImageSet) -> dict[str, Any]:
    """Return the description of a set with the checksums of its files as they are now."""
    text = json.dumps(described.model_dump(mode="json", exclude_none=True))
    for file in described.all_files:
        text = text.replace(str(file.sha256), made_sets.sha256(folder / "data" / "local" / file.name))
    content: dict[str, Any] = json.loads(text)
    return content


def test_each_format_is_made_here() -> None:
    """The tests of all formats go over exactly those that a file in data/sets/ may have."""
    assert {*made_sets.WRITERS} == {*sets.FORMATS}


@pytest.mark.parametrize("kind", [kind for kind in made_sets.WRITERS if kind != "folder"])
@pytest.mark.parametrize("content", ["half", "pickle"])
def test_a_damaged_file_of_any_format_is_one_line(tmp_path: Path, kind: str, content: str) -> None:
    """The first half of a file, and pickled objects, which could run code, are an error that names the file."""
    described = write(tmp_path, kind, made_sets.arrays())
    path = tmp_path / "data" / "local" / described.all_files[0].name
    whole, pickled = path.read_bytes(), io.BytesIO()
    np.save(pickled, np.array([print] * 70), allow_pickle=True)
    path.write_bytes(whole[: len(whole) // 2] if content == "half" else pickled.getvalue())
    described = describe(tmp_path, restated(tmp_path, described))

    with pytest.raises(InputError) as caught:
        read(tmp_path, described)
    assert caught.value.path == path
    assert "\n" not in str(caught.value)


def opened(directory: Path, origin: str, made: Arrays) -> np.ndarray:
    """Return the image that an origin names: that in the file, or in the row of the table that was written."""
    if (directory / origin).exists():
        return np.asarray(Image.open(directory / origin))
    table, _, row = origin.rpartition(" row ")
    assert (directory / table).exists()
    images = np.concatenate([made["train_images"], made["test_images"]])
    return images[{"a": 0, "b": 40, "t": COUNTS["train"]}[table.partition(".")[0]] + int(row)]


@pytest.mark.parametrize("kind", COLOURS)
def test_the_programs_give_the_images_of_each_format(tmp_path: Path, kind: str) -> None:
    """Fetched and preprocessed, each format's pixels, labels and class names are those that were written."""
    made = made_sets.arrays()
    write(tmp_path, kind, made)
    expected = by_class(made) if kind == "folder" else made

    # Parquet needs more packages than the others.
    done = stages(tmp_path, real=kind == "parquet")

    assert (done.returncode, done.stderr) == (0, "")
    found = dataset.load(tmp_path / "stones.npz")
    assert found.classes == (made_sets.directories() if kind == "folder" else CLASSES)
    assert found.shape == (32, 32, 3)
    assert found.validation is not None
    mask = hold_out(expected["train_labels"], 14, 0)
    splits = {"train": ~mask, "validation": mask}
    for name, rows in splits.items():
        np.testing.assert_array_equal(found.splits()[name].images, expected["train_images"][rows], strict=True)
        np.testing.assert_array_equal(found.splits()[name].labels, expected["train_labels"][rows], strict=True)
    np.testing.assert_array_equal(found.test.images, expected["test_images"], strict=True)
    np.testing.assert_array_equal(found.test.labels, expected["test_labels"], strict=True)
    for split in found.splits().values():
        assert (split.origins is None) is (kind not in ("folder", "csv", "parquet"))
        for origin, image in zip([] if split.origins is None else split.origins, split.images, strict=False):
            np.testing.assert_array_equal(opened(tmp_path / "data" / "raw" / "stones", origin, made), image)
    summary = files.read_json(tmp_path / "data.json")
    assert (summary["title"], summary["noun"], summary["image"]) == ("Stones", "stone", [32, 32, 3])
    assert all(name in done.stdout for name in found.classes)
    assert "digit" not in done.stdout
    with Image.open(tmp_path / "samples.png") as figure:
        colours = np.asarray(figure.convert("RGB"))
    assert (colours[..., 0] != colours[..., 2]).any()


def test_transposed_letters_are_turned_back(tmp_path: Path) -> None:
    """Of EMNIST's letters, stored column by column with labels from 1, rows are rows and the first class is 0."""
    made = made_sets.arrays((32, 24))
    write(tmp_path, "idx", made, (32, 24))

    done = stages(tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    found = dataset.load(tmp_path / "stones.npz")
    np.testing.assert_array_equal(found.test.images, made["test_images"], strict=True)
    np.testing.assert_array_equal(found.test.labels, made["test_labels"], strict=True)


@pytest.mark.parametrize("kind", ["npz", "csv", "folder", "parquet"])
def test_grey_images_have_no_axis_of_channels(tmp_path: Path, kind: str) -> None:
    """Of a grey set every format gives (n, h, w), height before width."""
    made = made_sets.arrays((32, 24))
    described = write(tmp_path, kind, made, (32, 24))

    assert_equal(read(tmp_path, described), by_class(made) if kind == "folder" else made)


def test_a_last_axis_of_one_channel_is_dropped(tmp_path: Path) -> None:
    """Grey arrays of (n, h, w, 1), of which Keras has some, are grey images; two axes of labels are one."""
    made = made_sets.arrays((32, 24))
    more = {name: array[..., None] for name, array in made.items()}
    described = write(tmp_path, "npz", more | {name: made[name] for name in NAMES[1::2]}, (32, 24))

    assert_equal(read(tmp_path, described), made)


def test_one_array_per_file_and_labels_of_two_bytes(tmp_path: Path) -> None:
    """Files with one array each, as Kuzushiji's, and 300 classes: labels are uint16."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.arange(600) % 300)
    images = rng.integers(0, 256, (600, 8, 8), np.uint8)
    made = dict(zip(NAMES, (images, labels, images[:9], labels[:9]), strict=True))
    local = tmp_path / "data" / "local"
    local.mkdir(parents=True)
    for name, array in made.items():
        np.savez_compressed(local / f"k300-{name}.npz", array)
    content = made_sets.described("npz", (8, 8), tuple(f"letter {number}" for number in range(300)))
    content |= {
        "counts": None,
        "files": {name: made_sets.file(local / f"k300-{name}.npz") for name in NAMES},
        "arrays": {name: {"file": name, "key": "arr_0"} for name in NAMES},
    }

    found = read(tmp_path, describe(tmp_path, content))

    assert found["train_labels"].dtype == np.uint16
    np.testing.assert_array_equal(found["train_labels"], labels)
    np.testing.assert_array_equal(found["test_images"], images[:9], strict=True)


def test_of_two_label_bytes_the_second_counts(tmp_path: Path) -> None:
    """CIFAR-100's records have a coarse label first, which is not used."""
    made = made_sets.arrays()
    described = write(tmp_path, "cifar", made)
    local = tmp_path / "data" / "local"
    content = made_sets.described("cifar") | made_sets.cifar(local, made, label_bytes=2)

    assert_equal(read(tmp_path, describe(tmp_path, content)), made)
    with pytest.raises(InputError, match=r"stones/a\.bin: expected records of 3073 bytes"):
        read(tmp_path, described.model_copy(update={"files": sets.load(tmp_path / "data/sets/stones.yaml").files}))


def test_kaggles_other_numbering_is_read(tmp_path: Path) -> None:
    """Columns may be numbered from 1, as Kaggle's Fashion-MNIST has them, and the label may come last."""
    made = made_sets.arrays()
    local = tmp_path / "data" / "local"
    write(tmp_path, "csv", made)
    for path in local.glob("*.csv"):
        table = pd.read_csv(path)
        table = table.rename(columns={f"pixel{number}": f"p{number + 1}" for number in range(3072)})
        table[[*table.columns[1:], "label"]].to_csv(path, index=False)
    content = made_sets.described("csv") | {
        "options": {"pixels": "p"},
        "files": {
            "train": [made_sets.file(local / "a.csv"), made_sets.file(local / "b.csv")],
            "test": [made_sets.file(local / "t.csv")],
        },
    }

    assert_equal(read(tmp_path, describe(tmp_path, content)), made)


# A test split that is held out


@pytest.mark.parametrize("kind", ["folder", "csv", "parquet", "npz"])
def test_a_share_is_held_out_for_testing(tmp_path: Path, kind: str) -> None:
    """Without test files a fifth of each class is held out, by a seed; both splits are in the order of the files."""
    made = made_sets.arrays()
    described = write(tmp_path, kind, made)
    expected = by_class(made) if kind == "folder" else made
    content = described.model_dump(mode="json", exclude_none=True)
    content |= {"held_out": {"share": 0.2, "seed": 3}, "counts": {"train": COUNTS["train"]}}
    block = content["options"] if kind == "folder" else content["arrays"] if kind == "npz" else content["files"]
    for key in [key for key in block if key.startswith("test")]:
        del block[key]

    found, again = (read(tmp_path, describe(tmp_path, content)) for _ in range(2))
    content["held_out"]["seed"] = 4
    other = read(tmp_path, describe(tmp_path, content))

    assert_equal(found, again)
    assert (found["test_images"] != other["test_images"]).any()
    assert np.bincount(found["test_labels"]).tolist() == [2] * 7
    mask = hold_out(expected["train_labels"], 14, 3)
    np.testing.assert_array_equal(found["test_images"], expected["train_images"][mask], strict=True)
    np.testing.assert_array_equal(found["train_labels"], expected["train_labels"][~mask], strict=True)


# Pictures in folders


def folder_set(folder: Path, **options: Any) -> ImageSet:
    """Write the folders, and a description with further options."""
    described = write(folder, "folder", made_sets.arrays())
    content = described.model_dump(mode="json", exclude_none=True)
    content["options"] |= options
    return describe(folder, content)


# Faults, found by the program


@pytest.mark.fault("data set of another format: torn archive, wrong shape, label out of range, class without images")
@pytest.mark.parametrize(
    ("kind", "change", "name", "reason"),
    [
        ("idx", "torn", "test_labels-idx", "data: truncated: 21 is 21 bytes, found 18"),
        ("idx", "shape", "test_images-idx", "dimensions: expected (21, 24, 32), found (21, 23, 32)"),
        ("idx", "label", "train_labels-idx", "labels: expected 1 to 7, found 8 in row 45, counted from 0"),
        ("idx", "class", "train_labels-idx", "train: no image of the class 'coral'"),
        ("cifar", "torn", "stones.tar.gz", "not a tar.gz archive that can be read ("),
        ("cifar", "label", "stones.tar.gz", "stones/b.bin: labels: expected 0 to 6, found 7 in row 5, counted from 0"),
        ("cifar", "class", "stones.tar.gz", "train: no image of the class 'coral'"),
        ("npz", "torn", "stones.npz", "not an npz file that can be read ("),
        ("npz", "shape", "stones.npz", "test_images: dimensions: expected (n, 32, 32, 3), found (21, 32, 31, 3)"),
        ("npz", "label", "stones.npz", "train_labels: labels: expected 0 to 6, found 7 in row 45, counted from 0"),
        ("npz", "class", "stones.npz", "train: no image of the class 'coral'"),
        ("npz", "float", "stones.npz", "train_images: pixels: expected uint8, found float32 from 0.0 to "),
        ("csv", "torn", "t.csv", "row 20, counted from 0: expected 3073 cells, found "),
        ("csv", "shape", "t.csv", "expected 3072 columns of pixels, found 2976"),
        ("csv", "label", "b.csv", "row 5, counted from 0, column 'label': expected a whole number from 0 to 6"),
        ("csv", "class", "a.csv", "train: no image of the class 'coral'"),
        ("parquet", "torn", "t.parquet", "not a parquet table that can be read ("),
        ("parquet", "shape", "t.parquet", "row 0, counted from 0: expected 32x32 pixels, found 31x32; `resize: pad`"),
        ("parquet", "label", "b.parquet", "labels: expected 0 to 6, found 7 in row 5, counted from 0"),
        ("parquet", "class", "a.parquet", "train: no image of the class 'coral'"),
        ("folder", "torn", "test/agate/0.jpg", f"{NO_PICTURE} ("),
        ("folder", "shape", "test/agate/", "expected 32x32 pixels, found 31x32; `resize: pad` or `crop` keeps"),
        ("folder", "class", "train", "train: no image of the class 'coral'"),
    ],
)  # fmt: skip
def test_the_stage_names_file_and_row(
    tmp_path: Path, kind: str, change: str, name: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2 and one line with the file, what was expected and what was found; nothing is written."""
    shape = (32, 24) if kind == "idx" else (32, 32, 3)
    made = made_sets.arrays(shape)
    match change:
        case "shape":
            made["test_images"] = made["test_images"][:, :, :-1].copy()
        case "label":
            made["train_labels"][45] = 7
        case "class":
            made["train_labels"][made["train_labels"] == 2] = 3
        case "float":
            made["train_images"] = made["train_images"].astype(np.float32)
    described = write(tmp_path, kind, made, shape)
    path = tmp_path / "data" / "local" / name
    match change, kind:
        case "torn", "folder":
            path.write_bytes(JPEG[: len(JPEG) // 2])
        case "torn", _:
            path.write_bytes(path.read_bytes()[: -3 if kind == "idx" else -2000])
    describe(tmp_path, restated(tmp_path, described))
    words = ["--set", "data/sets/stones.yaml", *preprocessing(tmp_path, "data/local")]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["preprocess", *words])

    with pytest.raises(InputError) as caught:
        stage.main()

    first, *others = str(caught.value).splitlines()
    assert caught.value.exit_code == 2
    assert first.startswith(f"data/local/{name}")
    assert reason in first
    # Where every picture has another size, the first of them and their number.
    assert others == [] if change != "shape" or kind not in ("folder", "parquet") else others[-1] == "and 11 more"
    assert not (tmp_path / "stones.npz").exists()


# Faults, found by the readers


def fault(folder: Path, described: ImageSet, name: str) -> str:
    """Return what is wrong with the file `name`, with the checksum of the file as it is now."""
    changed = describe(folder, restated(folder, described))
    with pytest.raises(InputError) as caught:
        read(folder, changed)
    assert caught.value.path == folder / "data" / "local" / name
    first, *others = str(caught.value).splitlines()
    assert first.isprintable()
    assert len(first) < 600
    # Of files that are all damaged, the first ones and how many more.
    assert others == [] or re.fullmatch(r"and \d+ more", others[-1])
    return caught.value.what.splitlines()[0]


def cell(row: int, column: str, text: str) -> Callable[[Path], None]:
    """Return a change of one cell of a table."""

    def change(path: Path) -> None:
        table = pd.read_csv(path, dtype=str)
        table.loc[row, column] = text
        table.to_csv(path, index=False)

    return change


def lines(edit: Callable[[list[str]], list[str]]) -> Callable[[Path], None]:
    """Return a change of the lines of a text."""
    return lambda path: path.write_text("\n".join(edit(path.read_text().splitlines())) + "\n")


def header(old: str, new: str) -> Callable[[Path], None]:
    """Return a change of a text's first line."""
    return lines(lambda text: [text[0].replace(old, new, 1), *text[1:]])


def before(name: str, value: str) -> Callable[[Path], None]:
    """Return a change that adds a first column."""
    return lines(lambda text: [f"{name},{text[0]}", *(f"{value},{line}" for line in text[1:])])


PIXEL = "row 7, counted from 0, column 'pixel9': expected a whole number from 0 to 255"
LABEL = "row 7, counted from 0, column 'label': expected a whole number from 0 to 6"
COLUMNS = "expected 64 columns of pixels, found"
CELLS = "row 8, counted from 0: expected 65 cells, found"
UNREADABLE = "not a parquet table that can be read ("
CELLS_AND_COLUMNS: list[tuple[Callable[[Path], Any], str]] = [
    (cell(7, "pixel9", ""), f"{PIXEL}, found nothing"),
    (cell(7, "pixel9", "NaN"), f"{PIXEL}"),
    (cell(7, "pixel9", "1.5"), f"{PIXEL}, found 1.5"),
    (cell(7, "pixel9", "256"), f"{PIXEL}, found 256"),
    (cell(7, "pixel9", "-1"), f"{PIXEL}, found -1"),
    (cell(7, "pixel9", "inf"), f"{PIXEL}, found inf"),
    (cell(7, "pixel9", "1" * 30), f"{PIXEL}"),
    (cell(7, "pixel9", "white"), f"{PIXEL}, found white"),
    (cell(7, "pixel9", "\x1b[31m" * 30), f"{PIXEL}, found "),
    (cell(7, "label", "coral"), f"{LABEL}, found coral"),
    (cell(7, "label", ""), f"{LABEL}, found nothing"),
    (cell(7, "pixel9", "9" * 400), f"{PIXEL}, found 999"),
    (cell(7, "pixel9", "9" * 200_000), "not a CSV table (field larger"),
    (cell(7, "pixel9", "0x10"), f"{PIXEL}, found 0x10"),
    (cell(7, "pixel9", "1_0"), f"{PIXEL}, found 1_0"),
    (cell(7, "pixel9", "5,6"), f"{PIXEL}, found 5,6"),
    (cell(7, "pixel9", "\u0665"), f"{PIXEL}, found \u0665"),
    (header("label", "class"), "no column 'label', found 'class', 'pixel0', 'pixel1', ..."),
    (header("pixel7,", "pixel3072,"), "expected a column 'pixel7', found 'pixel3072'"),
    (header("pixel3,pixel4", "pixel4,pixel3"), "expected a column 'pixel3', found 'pixel4'"),
    (lines(lambda text: text[1:]), "no column 'label', found"),
    (lines(lambda text: text[:1]), "train: expected 70 images, found 30"),
    (before("id", "7"), f"{COLUMNS} 65, one of them 'id'"),
    (before("", "7"), f"{COLUMNS} 65, one of them ''"),
    (header("pixel7,", ""), f"{COLUMNS} 63"),
    (lines(lambda text: [f"{line},{line}" for line in text]), "more than one column 'label'"),
    (lines(lambda _: []), "no column 'label', found"),
    (lines(lambda text: [*text[:9], text[9] + ",1", *text[10:]]), f"{CELLS} 66"),
    (lines(lambda text: [*text[:9], text[9].rpartition(",")[0], *text[10:]]), f"{CELLS} 64"),
    (lines(lambda text: [*text[:9], "", *text[9:]]), "row 8, counted from 0: expected a label and pixels"),
    (lambda path: path.write_bytes(b"label,pixel0\n\xff\xfe\x00,1\n"), "not a CSV table in UTF-8 ("),
    (lambda path: path.write_bytes(b"\x00" * 999), ""),
    (lambda path: path.write_text('label,"pixel0\n1,2'), ""),
]  # fmt: skip


def rewritten(**columns: Any) -> Callable[[Path], None]:
    """Return a change of a table's columns, each a function of the old one; None removes it."""

    def change(path: Path) -> None:
        table = pq.read_table(path)
        for name, edit in columns.items():
            position = table.column_names.index(name)
            old = table.column(name)
            table = table.remove_column(position)
            if edit is not None:
                table = table.add_column(position, name, edit(old))
        pq.write_table(table, path)

    return change


def labels(edit: Callable[[list[int]], list[Any]]) -> Callable[[Path], None]:
    """Return a change of a table's labels."""
    return rewritten(label=lambda old: pa.array(edit(old.to_pylist())))


def with_picture(content: bytes | None, row: int = 3) -> Callable[[Path], None]:
    """Return a change of the picture in one row."""

    def edit(column: Any) -> Any:
        values = column.to_pylist()
        values[row]["bytes"] = content
        return pa.array(values, column.type)

    return rewritten(image=edit)


GOOD = made_sets.png(made_sets.arrays()["train_images"][0])
JPEG = made_sets.png(made_sets.arrays()["train_images"][0], "JPEG")


def bomb(side: int) -> bytes:
    """Return a small PNG of so many pixels in height and width."""
    content = io.BytesIO()
    Image.new("1", (side, side)).save(content, "PNG")
    return content.getvalue()


BAD_PICTURES = {
    "text": (b"<html>not a picture</html>", f"{NO_PICTURE} (another kind of file)"),
    "empty": (b"", NO_PICTURE),
    "truncated PNG": (GOOD[: len(GOOD) // 2], NO_PICTURE),
    "truncated JPEG": (JPEG[: len(JPEG) // 2], NO_PICTURE),
    "damaged PNG": (GOOD[:60] + bytes(40) + GOOD[100:], NO_PICTURE),
    "ICO": (made_sets.png(made_sets.arrays()["train_images"][0], "ICO"), NO_PICTURE),
    "large": (bomb(7100), "expected at most 50,000,000 pixels, found 7100x7100"),
    "bomb": (bomb(20_000), "expected at most 50,000,000 pixels, found far more"),
}


@pytest.mark.fault("picture that is none, truncated, damaged, of another kind, or a bomb")
@pytest.mark.parametrize("which", BAD_PICTURES)
def test_a_picture_that_is_none_is_named(tmp_path: Path, which: str) -> None:
    """In a folder the file is named, in a table the row; a bomb is refused in little memory."""
    content, reason = BAD_PICTURES[which]
    of_table, of_folder = tmp_path / "table", tmp_path / "folder"
    table = write(of_table, "parquet", made_sets.arrays())
    with_picture(content)(of_table / "data/local/a.parquet")
    described = folder_set(of_folder)
    path = sorted((of_folder / "data/local/train/agate").iterdir())[0]
    path.write_bytes(content)

    with memory.below(2**25):
        found = fault(of_table, table, "a.parquet")
        in_folder = fault(of_folder, described, str(path.relative_to(of_folder / "data/local")))

    assert found.startswith("row 3, counted from 0: ")
    assert reason in found
    assert in_folder.startswith(reason)


TABLES: list[tuple[Callable[[Path], Any], str]] = [
    (with_picture(None), "row 3, counted from 0: no image in it"),
    (rewritten(label=None), "expected one column 'label', found image"),
    (rewritten(image=None), "expected one column 'image', found label"),
    (labels(lambda old: list(map(str, old))), "labels: no class '"),
    (labels(lambda old: list(map(float, old))), "column 'label': expected whole numbers or names, found double"),
    (labels(lambda old: [*old[:-1], None]), "row 39, counted from 0: no label"),
    (labels(lambda old: [-1, *old[1:]]), "labels: expected 0 to 6, found -1 in row 0, counted from 0"),
    (rewritten(image=lambda old: pa.array(["x.png"] * len(old))), "column 'image': expected bytes, found string"),
    (rewritten(image=lambda old: pa.array([{"path": "x"}] * len(old))), "column 'image': expected bytes"),
    (lambda path: path.write_bytes(path.read_bytes()[:-50]), UNREADABLE),
    (lambda path: path.write_bytes(b"PAR1" + bytes(99) + b"PAR1"), UNREADABLE),
    (lambda path: path.write_bytes(b""), UNREADABLE),
    (lambda path: path.write_bytes(path.read_bytes()[:200] + bytes(3000) + path.read_bytes()[3200:]), ""),
    (lambda path: pq.write_table(made_sets.table([GOOD], [0], ("agate", "opal")), path), "class names: expected"),
    (lambda path: pq.write_table(made_sets.table([GOOD], [0], CLASSES[::-1]), path), "class names: expected"),
    (lambda path: pq.write_table(made_sets.table([GOOD], [0]), path), "train: expected 70 images, found 31"),
]  # fmt: skip


def test_a_table_without_hugging_faces_metadata_is_read(tmp_path: Path) -> None:
    """The names are then those of the set's file; pictures may be plain bytes."""
    made = made_sets.arrays()
    described = write(tmp_path, "parquet", made)
    for path in (tmp_path / "data" / "local").iterdir():
        contents = [row["bytes"] for row in pq.read_table(path).column("image").to_pylist()]
        labels = pa.array(pq.read_table(path).column("label").to_pylist(), pa.uint8())
        pq.write_table(pa.table({"label": labels, "image": pa.array(contents, pa.large_binary())}), path)

    assert_equal(read(tmp_path, describe(tmp_path, restated(tmp_path, described))), made)


WHOLE = "train_labels: labels: expected whole numbers (n,), found "
EMPTY = {"test_images": np.zeros((0, 32, 32, 3), np.uint8), "test_labels": np.zeros(0, np.uint8)}
ARRAYS: list[tuple[dict[str, Any], str]] = [
    ({"train_images": np.array([print] * 70, dtype=object)}, "not an npz file that can be read (train_images.npy"),
    ({"train_labels": np.array(["opal"] * 70)}, "train_labels: labels: no class 'opal', found in row 0"),
    ({"train_labels": np.zeros((70, 2), np.uint8)}, f"{WHOLE}uint8(70, 2)"),
    ({"train_labels": np.zeros(70)}, f"{WHOLE}float64(70,)"),
    ({"train_labels": np.arange(70) % 7 - 1}, "train_labels: labels: expected 0 to 6, found -1 in row 0"),
    ({"train_labels": np.arange(69) % 7}, "train_labels: train: expected a label for each image, found 69"),
    ({"train_images": np.zeros((70, 3, 32, 32), np.uint8)}, "train_images: dimensions: expected (n, 32, 32, 3)"),
    ({"train_images": np.zeros((70, 32, 32, 3), np.int64)}, "train_images: pixels: expected uint8, found int64"),
    ({"train_images": np.zeros((70, 32, 32, 3), np.uint8)}, "train_images: train: pixels: expected more than one"),
    ({"train_images": np.uint8(3)}, "train_images: dimensions"),
    ({"test_images": None}, "no array 'test_images'"),
    (EMPTY, "test_images: test: expected 21 images, found 0"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "name", "reason"),
    [
        ("npz", "stones.npz", "unpacks to 215168 bytes, expected at most 100000"),
        ("cifar", "stones.tar.gz", "unpacks to more than 100000 bytes"),
    ],
)
def test_what_is_beyond_the_bound_is_not_unpacked(
    tmp_path: Path, kind: str, name: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than a split may have is refused: by an array's size in the file, or where members nobody asked for end."""
    described = write(tmp_path, kind, made_sets.arrays())
    if kind == "cifar":
        made_sets.archive(tmp_path / "data" / "local" / name, {"stones/zeros": bytes(10**6)})
    monkeypatch.setattr(checks, "MAX_BYTES", 100_000)

    assert reason in fault(tmp_path, described, name)


TORN = "not a tar.gz archive that can be read ("


def batches(content: bytes) -> Callable[[Path], None]:
    """Return a change of an archive, after which each of its batches has the same content."""
    return lambda path: made_sets.archive(path, {f"stones/{name}.bin": content for name in "abt"})


def links(path: Path) -> None:
    """Make each of an archive's batches a link to a file outside of it."""
    with tarfile.open(path, "w:gz") as made:
        for name in "abt":
            info = tarfile.TarInfo(f"stones/{name}.bin")
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            made.addfile(info)


ARCHIVES: list[tuple[Callable[[Path], Any], str]] = [
    (lambda path: path.write_bytes(path.read_bytes()[:-30]), TORN),
    (lambda path: path.write_bytes(path.read_bytes()[:90_000]), TORN),
    (lambda path: path.write_bytes(b"<html>"), TORN),
    (lambda path: path.write_bytes(b""), TORN),
    (lambda path: made_sets.archive(path, {"stones/a.bin": bytes(3073)}), "no member 'stones/b.bin'"),
    (batches(bytes(3072)), "stones/a.bin: expected records of 3073 bytes, found 3072"),
    (batches(b""), "stones/a.bin: expected records of 3073 bytes, found 0"),
    (batches(bytes(3073)), "train: expected 70 images, found 2"),
    (links, "no member 'stones/a.bin'"),
]  # fmt: skip


def with_arrays(others: dict[str, Any]) -> Callable[[Path], None]:
    """Return a change of the arrays of an npz; None removes one."""
    arrays = {name: array for name, array in (made_sets.arrays() | others).items() if array is not None}
    return lambda path: np.savez_compressed(path, **arrays)


@pytest.mark.fault("CSV with NaN, fractions, texts, missing columns or ragged rows")
@pytest.mark.fault("parquet table damaged, or with other columns or class names")
@pytest.mark.fault("npz pickled, damaged, or a bomb")
@pytest.mark.fault("CIFAR archive torn, with other members, links or a bomb")
@pytest.mark.parametrize(
    ("kind", "name", "change", "reason"),
    [
        *(("csv", "a.csv", *one) for one in CELLS_AND_COLUMNS),
        *(("parquet", "a.parquet", *one) for one in TABLES),
        *(("npz", "stones.npz", with_arrays(others), reason) for others, reason in ARRAYS),
        *(("cifar", "stones.tar.gz", *one) for one in ARCHIVES),
    ],
)
def test_what_is_wrong_in_a_file_is_named(
    tmp_path: Path, kind: str, name: str, change: Callable[[Path], Any], reason: str
) -> None:
    """Cells that are no pixels, other columns, arrays or members, links and damage: one line, with row and column."""
    shape = (8, 8) if kind == "csv" else (32, 32, 3)
    described = write(tmp_path, kind, made_sets.arrays(shape), shape)
    change(tmp_path / "data" / "local" / name)

    assert fault(tmp_path, described, name).startswith(reason)


# Folders, from their source to the reader


def kept(folder: Path) -> dict[str, bytes]:
    """Return the content of each file below a folder by its path."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def expected_files(folder: Path) -> dict[str, bytes]:
    """Return the pictures below a folder, without what the system put there."""
    return {name: content for name, content in kept(folder).items() if not Path(name).name.startswith(".")}


def test_a_folder_is_copied_and_kept_equal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files that are gone from the source, changed, or left by a killed run are replaced; hidden files stay behind."""
    described, local, output = folder_set(tmp_path), tmp_path / "data/local", tmp_path / "raw"

    fetch.fetch("stones", described, output, tmp_path)
    assert kept(output) == expected_files(local)
    some = sorted((output / "train/agate").iterdir())
    some[0].write_bytes(b"changed")
    some[1].unlink()
    (output / "train/agate/old.png").write_bytes(b"old")
    (output / "train/agate/.0001.png.abc.part.png").write_bytes(b"half")
    (output / "notes.txt").write_text("mine")
    fetch.fetch("stones", described, output, tmp_path)

    assert kept(output) == expected_files(local) | {"notes.txt": b"mine"}
    assert "checksum: " in capsys.readouterr().out


def test_a_folder_with_its_checksum_needs_no_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The checksum that fetch prints identifies all files: with it they are verified in place, and by the reader."""
    described, output = folder_set(tmp_path), tmp_path / "raw"
    fetch.fetch("stones", described, output, tmp_path)
    checksum = capsys.readouterr().out.rpartition("checksum: ")[2].split()[0]
    content = described.model_dump(mode="json", exclude_none=True) | {"checksum": checksum}
    (tmp_path / "data/local").rename(tmp_path / "gone")
    stated = describe(tmp_path, content)

    fetch.fetch("stones", stated, output, tmp_path)
    raw.read(output, stated)
    sorted((output / "test/coral").iterdir())[0].write_bytes(GOOD)

    with pytest.raises(InputError, match=f"checksum: expected {checksum}, found ") as caught:
        raw.read(output, stated)
    assert caught.value.path == output


@pytest.mark.fault("folder of pictures that cannot be copied")
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda local: local.rename(local.with_name("gone")), "no such directory"),
        (lambda local: (local / "test").rename(local / "testing"), "test: no such directory"),
        (lambda local: (local / "train" / "agate" / "a\nb.png").write_bytes(b"x"), "expected a printable name"),
        (lambda local: os.truncate(next((local / "train" / "agate").iterdir()), 2**27), "expected at most 67108864"),
    ],
)
def test_a_folder_that_cannot_be_copied_is_a_reason(
    tmp_path: Path, change: Callable[[Path], Any], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The reason is printed and the next source is used; nothing of the first one is copied."""
    folder_set(tmp_path / "good")
    described = folder_set(tmp_path)
    change(tmp_path / "data/local")
    content = described.model_dump(mode="json", exclude_none=True)
    content["sources"].append({"directory": "good/data/local"})

    fetch.fetch("stones", describe(tmp_path, content), tmp_path / "raw", tmp_path)

    (skipped,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("skipped ")]
    assert reason in skipped
    assert skipped.isprintable()
    assert kept(tmp_path / "raw") == expected_files(tmp_path / "good/data/local")


def test_mnist_loads_no_other_reader() -> None:
    """A set of IDX files is read without pandas' CSV, pyarrow or Pillow's pictures being imported by a reader."""
    code = (
        "import sys; from pathlib import Path; from pipeline.data import raw, sets; "
        "d = sets.load(Path('data/sets/mnist.yaml'))\n"
        "try: raw.read(Path('nowhere'), d)\n"
        "except Exception as e: print(type(e).__name__)\n"
        "print(*({'pandas', 'pyarrow', 'PIL', 'tarfile'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["InputError"]


@pytest.mark.fault("the same images to train on and to test with")
@pytest.mark.parametrize("kind", made_sets.WRITERS)
def test_the_images_to_train_on_are_not_those_to_test_with(tmp_path: Path, kind: str) -> None:
    """Under whatever names the two splits have the same images, that is refused in every format."""
    shape = (8, 8) if kind != "cifar" else (32, 32, 3)
    made = made_sets.arrays(shape)
    made |= {"test_images": made["train_images"], "test_labels": made["train_labels"]}
    described = made_sets.write(tmp_path, kind, made, shape, counts={"train": 70, "test": 70})

    with pytest.raises(InputError, match="the test images are those to train on"):
        read(tmp_path, described)


def test_the_images_to_validate_with_are_not_those_to_test_with(tmp_path: Path) -> None:
    """What chooses a model cannot judge it: that both splits have the same images is refused, too."""
    content = made_sets.write(tmp_path, "csv", made_sets.arrays()).model_dump(mode="json", exclude_none=True)
    (table,) = content["files"]["test"]
    shutil.copy(tmp_path / "data/local" / table["name"], tmp_path / "data/local/other.csv")
    content["files"]["validation"] = [table | {"name": "other.csv"}]

    with pytest.raises(InputError, match="the test images are those to validate with"):
        read(tmp_path, describe(tmp_path, content))
