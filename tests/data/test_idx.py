"""The IDX reader and writer against bytes written by hand."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from pipeline import fetch
from pipeline.data import raw
from pipeline.data.formats import idx
from pipeline.errors import InputError
from tests.support import made_sets

LABELS = b"\x00\x00\x08\x01\x00\x00\x00\x03\x05\x00\x09"
# Two images of 2 rows and 3 columns.
IMAGES = b"\x00\x00\x08\x03\x00\x00\x00\x02\x00\x00\x00\x02\x00\x00\x00\x03" + bytes(range(244, 256))


def test_images_lie_row_by_row() -> None:
    """A file with magic 0x803 holds images one after the other, each row by row, bytes unsigned."""
    images = idx.decode(IMAGES, dimensions=3, path=Path("images"))

    assert images.tolist() == [[[244, 245, 246], [247, 248, 249]], [[250, 251, 252], [253, 254, 255]]]


@pytest.mark.parametrize(("content", "dimensions"), [(LABELS, 1), (IMAGES, 3)])
def test_encode_writes_the_bytes_that_were_read(content: bytes, dimensions: int) -> None:
    """Encoding a decoded array gives the file back, byte by byte."""
    array = idx.decode(content, dimensions=dimensions, path=Path("file"))

    assert (idx.encode(array), array.dtype) == (content, np.uint8)


def test_encode_lays_a_transposed_array_out_in_rows() -> None:
    """An array that lies otherwise in memory is written in the order of its indices all the same."""
    array = np.array([[1, 2], [3, 4]], dtype=np.uint8)

    assert idx.encode(array.T)[-4:] == b"\x01\x03\x02\x04"


def _with(content: bytes, position: int, value: int) -> bytes:
    return content[:position] + bytes([value]) + content[position + 1 :]


@pytest.mark.fault("IDX file: wrong magic, count or dimensions, truncated, trailing bytes")
@pytest.mark.parametrize(
    ("content", "dimensions", "field"),
    [
        (b"", 1, "header"),
        (LABELS[:7], 1, "header"),
        (IMAGES[:15], 3, "header"),
        (LABELS, 3, "header"),
        (IMAGES, 1, "magic: expected 0x00000801, found 0x00000803"),
        (LABELS + bytes(20), 3, "magic: expected 0x00000803, found 0x00000801"),
        (_with(LABELS, 0, 1), 1, "magic"),
        (_with(LABELS, 2, 9), 1, "magic"),
        (b"<!DOCTYPE html><html>", 1, "magic"),
        (LABELS[:4] + bytes(4), 1, "dimensions"),
        (_with(IMAGES, 7, 0)[:16], 3, "dimensions"),
        (_with(IMAGES, 11, 0)[:16], 3, "dimensions"),
        (LABELS[:-1], 1, "data: truncated: 3 is 3 bytes, found 2"),
        (IMAGES[:-1], 3, "data: truncated: 2 x 2 x 3 is 12 bytes, found 11"),
        (LABELS + b"\x00", 1, "data: trailing bytes"),
        (IMAGES + b"\x00", 3, "data: trailing bytes"),
        (_with(IMAGES, 7, 1), 3, "data: trailing bytes"),
        (IMAGES[:4] + b"\xff" * 12, 3, "data: truncated"),
    ],
)
def test_anything_but_one_whole_array_is_refused(content: bytes, dimensions: int, field: str) -> None:
    """The error is bad input, and names the file and the field that is wrong."""
    path = Path("some-file")

    with pytest.raises(InputError) as caught:
        idx.decode(content, dimensions=dimensions, path=path)

    assert caught.value.path == path
    assert caught.value.what.startswith(field)
    assert "\n" not in str(caught.value)


@pytest.mark.fault("IDX file missing")
def test_a_missing_file_is_bad_input(tmp_path: Path) -> None:
    """A missing file, and a directory in its place, are named."""
    described = made_sets.write(tmp_path, "idx", made_sets.arrays((8, 8)), (8, 8))
    path = tmp_path / "data/local/test_labels-idx"
    for change in (path.unlink, path.mkdir):
        change()
        with pytest.raises(InputError) as caught:
            raw.read(tmp_path / "data/local", described)
        assert caught.value.path == path


@pytest.mark.parametrize("array", [np.zeros((0,), np.uint8), np.zeros((2, 0), np.uint8), np.zeros(2), np.uint8(3)])
def test_only_uint8_with_elements_is_encoded(array: np.ndarray) -> None:
    """Another type, no element and no dimension are refused before a byte is written."""
    with pytest.raises(ValueError, match="expected uint8"):
        idx.encode(array)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_name_may_have_a_dot(tmp_path: Path, ending: str) -> None:
    """Files that a program has unpacked as NAME.idx3-ubyte are those that are called NAME-idx3-ubyte."""
    described = made_sets.write(tmp_path, "idx", made_sets.arrays((8, 8)), (8, 8))
    for path in sorted((tmp_path / "data/local").iterdir()):
        content = path.read_bytes()
        path.unlink()
        dotted = path.with_name(path.name.replace("-idx", ".idx") + ending)
        dotted.write_bytes(gzip.compress(content) if ending else content)

    fetch.fetch("stones", described, tmp_path / "raw", tmp_path)

    assert len(raw.read(tmp_path / "raw", described)["train"]) == 70
