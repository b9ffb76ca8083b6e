"""Tables of images: which files are read as CSV, and that memory is bounded by bytes, not by rows."""

import bz2
import gzip
import io
import lzma
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest

from pipeline.data import raw, survey, survey_labels
from pipeline.data.formats import checks, parquet
from pipeline.data.formats import csv as csv_format
from pipeline.data.image_set import ImageSet
from pipeline.errors import InputError
from tests.support import made_sets, memory

ROOT = Path(__file__).parents[2]
MADE = made_sets.arrays((8, 8))


def with_table(folder: Path, content: bytes, name: str = "a.csv") -> ImageSet:
    """Write a CSV set whose first table is a file with another content."""
    described = made_sets.write(folder, "csv", MADE, (8, 8))
    path = folder / "data/local" / name
    path.write_bytes(content)
    stated = described.model_dump(mode="json", exclude_none=True)
    stated["files"]["train"][0] = made_sets.file(path)
    return made_sets.describe(folder, stated)


def plain(folder: Path) -> str:
    """Return the content of the first table of the CSV set."""
    made_sets.write(folder, "csv", MADE, (8, 8))
    return (folder / "data/local/a.csv").read_text()


def zipped(content: bytes) -> bytes:
    """Return a zip archive with one file."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("a.csv", content)
    return made.getvalue()


SAME: dict[str, Callable[[str], bytes]] = {
    "plain": lambda text: text.encode(),
    "with a mark of its encoding": lambda text: text.encode("utf-8-sig"),
    "of Windows": lambda text: text.replace("\n", "\r\n").encode(),
    "of old Macs": lambda text: text.replace("\n", "\r").encode(),
    "gzipped": lambda text: gzip.compress(text.encode()),
    "with blank last lines": lambda text: f"{text}\n \n".encode(),
    "without a last line break": lambda text: text.rstrip("\n").encode(),
    "of floats": lambda text: rows(text, lambda cell: f"{cell}.0"),
    "of powers of ten": lambda text: rows(text, lambda cell: f"{int(cell) / 10}e1"),
    "with spaces": lambda text: rows(text, lambda cell: f" {cell} "),
    "in quotes": lambda text: rows(text, lambda cell: f'"{cell}"'),
}


def rows(text: str, change: Callable[[str], str]) -> bytes:
    """Return a table with each cell below the header changed."""
    header, *others = text.splitlines()
    return "\n".join([header, *(",".join(map(change, line.split(","))) for line in others), ""]).encode()


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.bz2"])
@pytest.mark.parametrize("which", SAME)
def test_a_table_may_be_written_in_several_ways(tmp_path: Path, which: str, name: str) -> None:
    """Line ends, quotes, whole floats, blank last lines and gzip make no difference, nor does the file's name."""
    described = with_table(tmp_path, SAME[which](plain(tmp_path)), name)

    train = raw.read(tmp_path / "data/local", described)["train"]

    np.testing.assert_array_equal(train.images, MADE["train_images"], strict=True)
    np.testing.assert_array_equal(train.labels, MADE["train_labels"], strict=True)


OTHERS: dict[str, tuple[Callable[[str], bytes], str]] = {
    "bzip2": (lambda text: bz2.compress(text.encode()), "expected a CSV table in UTF-8, plain or gzipped, found bzip2"),
    "xz": (lambda text: lzma.compress(text.encode()), "expected a CSV table in UTF-8, plain or gzipped, found xz"),
    "zip": (lambda text: zipped(text.encode()), "expected a CSV table in UTF-8, plain or gzipped, found zip"),
    "zstd": (lambda _: b"\x28\xb5\x2f\xfd" + bytes(99), "plain or gzipped, found Zstandard"),
    "utf-16": (lambda text: text.encode("utf-16"), "expected a CSV table in UTF-8, plain or gzipped, found UTF-16"),
    "utf-16-be": (lambda text: b"\xfe\xff" + text.encode("utf-16-be"), "plain or gzipped, found UTF-16"),
    "utf-16 in gzip": (lambda text: gzip.compress(text.encode("utf-16")), "not a CSV table in UTF-8 ("),
    "latin-1": (lambda text: text.replace("pixel5,", "pixél5,").encode("latin-1"), "not a CSV table in UTF-8 ("),
    "half a gzip": (lambda text: gzip.compress(text.encode())[:-900], "cannot be read ("),
    "damaged gzip": (lambda text: gzip.compress(text.encode())[:60] + bytes(900), "cannot be read ("),
    "gzip in gzip": (lambda text: gzip.compress(gzip.compress(text.encode())), "not a CSV table in UTF-8 ("),
    "lzma": (lambda text: lzma.compress(text.encode(), lzma.FORMAT_ALONE), ""),
    "tar": (lambda text: b"a.csv".ljust(512, b"\0") + text.encode(), "no column 'label'"),
    "semicolons": (lambda text: text.replace(",", ";").encode(), "no column 'label', found 'label;pixel0"),
}


@pytest.mark.fault("CSV packed or encoded in another way, or damaged")
@pytest.mark.parametrize("name", ["a.csv", "a.csv.xz", "a.csv.zip", "a.csv.zst"])
@pytest.mark.parametrize("which", OTHERS)
def test_what_is_not_a_plain_or_gzipped_table_is_one_line(tmp_path: Path, which: str, name: str) -> None:
    """Other packings and encodings are named for what they are, whatever the file is called."""
    make, reason = OTHERS[which]
    described = with_table(tmp_path, make(plain(tmp_path)), name)

    with pytest.raises(InputError) as caught:
        raw.read(tmp_path / "data/local", described)

    assert reason in caught.value.what
    assert (caught.value.path, "\n" in str(caught.value)) == (tmp_path / "data/local" / name, False)
    assert str(caught.value).isprintable()


def test_the_cell_that_is_wrong_is_named(tmp_path: Path) -> None:
    """Before it, a float that is whole is not blamed; after it, another fault is not either."""
    lines = [line.split(",") for line in plain(tmp_path).splitlines()]
    lines[5][20], lines[8][5], lines[9][2] = "95.0", "1.5", "white"
    described = with_table(tmp_path, "\n".join(map(",".join, lines)).encode())

    with pytest.raises(InputError, match=r"row 7, counted from 0, column 'pixel4': .* from 0 to 255, found 1\.5"):
        raw.read(tmp_path / "data/local", described)


@pytest.mark.parametrize("block", [2**22, 700])
def test_names_are_names_in_all_of_a_table(tmp_path: Path, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some classes have numbers for names, and one an accent in another form: no block of lines is read as labels."""
    monkeypatch.setattr(csv_format, "_BLOCK", block)
    names = [*map(str, range(1, 7)), "ag\u00e1te"]
    header, *lines = plain(tmp_path).splitlines()
    # Those with names that are numbers come first.
    ordered = sorted((line.split(",") for line in lines), key=lambda cells: int(cells[0]))
    written = [",".join(["aga\u0301te" if cells[0] == "6" else names[int(cells[0])], *cells[1:]]) for cells in ordered]
    described = with_table(tmp_path, "\n".join([header, *written]).encode())

    found = raw.read(tmp_path / "data/local", described.model_copy(update={"classes": tuple(names)}))["train"]

    first = found.labels[: len(ordered)]
    assert first.tolist() == [int(cells[0]) for cells in ordered]
    assert found.origins is not None
    assert found.origins[:2].tolist() == ["a.csv row 0", "a.csv row 1"]


# Memory

PEAK = """
import resource, sys
from pathlib import Path
from pipeline.data import raw, sets
import numpy, pyarrow.parquet, PIL.Image, PIL.PngImagePlugin
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    raw.read(Path(sys.argv[1]) / "data/local", sets.load(Path(sys.argv[1]) / "data/sets/stones.yaml"))
    print("read")
except Exception as error:
    print(str(error)[-150:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def peak(folder: Path) -> tuple[str, int]:
    """Read a set in a process of its own; return what it says and the memory, in MiB, that reading took at most."""
    line = [sys.executable, "-c", PEAK, str(folder)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True)
    said, kilobytes = done.stdout.splitlines()
    return said, int(kilobytes) // 1024


@pytest.mark.fault("CSV with a line without end")
@pytest.mark.parametrize("begin", ["", "label", "a"])
def test_a_line_without_end_takes_little_memory(tmp_path: Path, begin: str) -> None:
    """A gzipped table that is one huge line, as its header or as a row, is refused in bounded memory."""
    head = plain(tmp_path).splitlines()[0] + "\n" if begin == "a" else begin
    content = io.BytesIO()
    with gzip.open(content, "wb", 1) as packed:
        packed.write(head.encode())
        for _ in range(40):
            packed.write(b"7" * 2**24)
    with_table(tmp_path, content.getvalue())

    said, memory = peak(tmp_path)

    assert "expected at most 16777216 characters, found more" in said
    assert memory < 200


def test_blocks_of_lines_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few lines are held at a time, the images are the same, and a fault's row is the table's."""
    monkeypatch.setattr(csv_format, "_BLOCK", 700)
    described = with_table(tmp_path, (text := plain(tmp_path)).encode())
    train = raw.read(tmp_path / "data/local", described)["train"]

    np.testing.assert_array_equal(train.images, MADE["train_images"], strict=True)
    lines = text.splitlines()
    described = with_table(tmp_path, "\n".join([*lines[:31], "x" + lines[31], *lines[32:]]).encode())
    with pytest.raises(InputError, match=r"row 30, counted from 0, column 'label': .*found x"):
        raw.read(tmp_path / "data/local", described)
    described = with_table(tmp_path, "\n".join([*lines[:31], " ", *lines[31:]]).encode())
    with pytest.raises(InputError, match=r"row 30, counted from 0: expected a label and pixels, found nothing"):
        raw.read(tmp_path / "data/local", described)


@pytest.mark.parametrize("kind", ["csv", "parquet", "folder"])
def test_images_beyond_the_bound_are_not_kept(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """More bytes of images than a split may have are refused in every format that has no size in its files' header."""
    described = made_sets.write(tmp_path, kind, MADE, (8, 8))
    monkeypatch.setattr(checks, "MAX_BYTES", 70 * 64 - 1)

    with pytest.raises(InputError, match="expected at most 4479 bytes of images, found "):
        raw.read(tmp_path / "data/local", described)


@pytest.mark.parametrize("kind", ["csv", "parquet", "cifar"])
def test_images_are_in_memory_once(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the images of all tables, or all members, that are read, hardly anything is held."""
    monkeypatch.setattr(csv_format, "_BLOCK", 2**14)
    shape = (32, 32, 3) if kind == "cifar" else (32, 32)
    made = made_sets.arrays(shape)
    made |= {name: np.concatenate([made[name]] * 20) for name in ("train_images", "train_labels")}
    described = made_sets.write(tmp_path, kind, made, shape, counts=None)

    with memory.below(1.6 * (made["train_images"].nbytes + made["test_images"].nbytes)):
        splits = raw.read(tmp_path / "data/local", described)

    assert len(splits["train"]) == 1400


def large(seed: int) -> bytes:
    """Return a picture of 8x8 whose file has 12 MiB, most of them in a chunk of a program's own."""
    image = made_sets.png(MADE["train_images"][seed])
    end = image.index(b"IEND") - 4
    return image[:end] + made_sets.chunk(b"raNd", np.random.default_rng(seed).bytes(12 * 2**20)) + image[end:]


@pytest.mark.slow
@pytest.mark.fault("parquet with large pictures")
@pytest.mark.parametrize("options", [{}, {"use_dictionary": False}, {"compression": "none", "data_page_size": 2**30}])
def test_a_table_of_large_pictures_takes_little_memory(tmp_path: Path, options: dict[str, Any]) -> None:
    """Of 100 pictures of 12 MiB in one group of rows, some equal, a few are held at a time."""
    described = made_sets.write(tmp_path, "parquet", MADE, (8, 8))
    local = tmp_path / "data/local"
    contents = [large(seed) for seed in range(2)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pq.read_schema(local / "a.parquet")
    with pq.ParquetWriter(local / "a.parquet", schema, **options) as writer:
        images = pa.array([{"bytes": contents[number % 2], "path": "x"} for number in range(100)], kind)
        writer.write_table(pa.table({"image": images, "label": [n % 7 for n in range(100)]}, schema=schema))
    stated = described.model_dump(mode="json", exclude_none=True)
    stated["counts"] = None
    stated["files"]["train"] = [made_sets.file(local / "a.parquet")]
    made_sets.describe(tmp_path, stated)

    said, memory = peak(tmp_path)

    assert said == "read"
    assert memory < 400


DESCRIBE = """
import os, resource, sys
from pathlib import Path
from pipeline import describe
import pyarrow.csv
os.chdir(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    print(describe.describe("made", Path(sys.argv[2]), describe.Stated(scale=1.0), "me")[0])
except Exception as error:
    print(str(error)[-150:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def described(folder: Path, path: Path) -> tuple[str, int]:
    """Make a data set of a table in a process of its own; return what it says and the memory, in MiB, at most."""
    line = [sys.executable, "-c", DESCRIBE, str(folder), str(path)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True)
    said, kilobytes = done.stdout.splitlines()
    return said, int(kilobytes) // 1024


@pytest.mark.parametrize("rows", [3000, pytest.param(24_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_large_table_becomes_a_data_set_in_little_memory(tmp_path: Path, kind: str, rows: int) -> None:
    """Of fractions with 18 letters, as CSV some 45 MB or 360 MB, hardly more than their pixels in 8 bits is held."""
    header = ["label", *(f"p{number}" for number in range(784))]
    generator = np.random.default_rng(0)
    path = tmp_path / f"x.{kind}"
    blocks = (
        pa.Table.from_arrays([pa.array(np.arange(1000) % 7), *generator.random((784, 1000))], header)
        for _ in range(rows // 1000)
    )
    first = next(blocks)
    writer = pc.CSVWriter(path, first.schema) if kind == "csv" else pq.ParquetWriter(path, first.schema)
    with writer:
        for block in (first, *blocks):
            writer.write_table(block)

    said, memory = described(tmp_path, path)

    assert said.startswith("1 files copied from ")
    assert memory < 2 * rows * 784 / 2**20 + 120


@pytest.mark.fault("CSV with a line without end, to make a data set of")
@pytest.mark.parametrize("picture", [False, True])
def test_a_data_set_of_a_line_without_end_takes_little_memory(tmp_path: Path, picture: bool) -> None:
    """A gzipped table that is one huge line is refused in bounded memory, also where it has the labels of pictures."""
    (tmp_path / "from").mkdir()
    if picture:
        (tmp_path / "from/x.png").write_bytes(made_sets.png(MADE["train_images"][0]))
    with gzip.open(tmp_path / "from/x.csv.gz", "wb", 1) as packed:
        for _ in range(40):
            packed.write(b"7" * 2**24)

    said, memory = described(tmp_path, tmp_path / "from")

    assert "expected at most 16777216 characters, found more" in said
    assert memory < 200


def test_a_table_of_labels_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row may have line breaks in quotes, and one cell too few or all beyond the bound are one line."""
    path, picture = tmp_path / "x.csv", tmp_path / "a.png"
    path.write_text('name,label,note\na.png,stone,"two\nlines"\n\n')

    assert [at.label for at in survey_labels.by_table(tmp_path, [picture], [path], survey.Stated()).values()] == [
        "stone"
    ]
    monkeypatch.setattr(survey_labels, "_LENGTH", 20)
    with pytest.raises(InputError, match="expected at most 20 characters, found more; leave out the columns"):
        survey_labels.by_table(tmp_path, [picture], [path], survey.Stated())
    monkeypatch.undo()
    path.write_text("name,label\na.png\n")
    with pytest.raises(InputError, match="row 0, counted from 0: expected 2 cells, found 1"):
        survey_labels.by_table(tmp_path, [picture], [path], survey.Stated())


def test_a_table_with_an_index_of_pandas_becomes_csv_without_it(tmp_path: Path) -> None:
    """What pandas keeps of its index in a parquet table is no column of the CSV."""
    table = pd.DataFrame({"a,b": [1.5, None], "c": ["x", 'y"']}, index=[7, 9])
    table.to_parquet(tmp_path / "x.parquet")

    text = "".join(parquet.as_csv(checks.Place(tmp_path / "x.parquet")))

    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(text)), table.reset_index(drop=True))
