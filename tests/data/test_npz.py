"""Writing npz files, and reading those that cannot be trusted: damaged, or made to exhaust memory or to run code."""

import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.data.formats import npz
from pipeline.errors import InputError
from tests.support import memory

ARRAYS = {
    "images": np.arange(2 * 28 * 28, dtype=np.uint8).reshape(2, 28, 28),
    "transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "text": np.array("epoch"),
    "empty": np.zeros((0, 3)),
}


def npy(shape: str, descr: str = "'|u1'", data: bytes = b"", version: tuple[int, int] = (1, 0)) -> bytes:
    """Return an .npy file whose header declares `shape` and `descr`, and whose content is `data`."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    size = struct.pack("<H" if version == (1, 0) else "<I", len(header))
    return b"\x93NUMPY" + bytes(version) + size + header + data


def archive(path: Path, *, compression: int = zipfile.ZIP_STORED, **members: bytes) -> Path:
    """Write a zip archive with these members; `x` becomes `x.npy`."""
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


def refusal(path: Path, **options: Any) -> InputError:
    """Return the error of reading `path`, which must be one line that has the path and the way out."""
    with pytest.raises(InputError) as caught:
        npz.read(path, stage="preprocess", **options)
    assert caught.value.path == path
    assert "dvc repro" in caught.value.fix
    assert "\n" not in str(caught.value)
    return caught.value


def test_numpy_reads_what_is_written(tmp_path: Path) -> None:
    """Values, types, shapes and names are those that were given, as numpy.load finds them."""
    npz.write(tmp_path / "x.npz", ARRAYS)

    with np.load(tmp_path / "x.npz", allow_pickle=False) as found:
        assert found.files == list(ARRAYS)
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(found[name], array, strict=True)


def test_written_bytes_hold_nothing_of_when_and_where(tmp_path: Path) -> None:
    """Beside names and arrays a file has but the headers that zip demands: no time, no fields of some Python's."""
    npz.write(tmp_path / "x.npz", ARRAYS)

    with zipfile.ZipFile(tmp_path / "x.npz") as file:
        members = file.infolist()
    assert {(member.date_time, member.extra, member.extract_version) for member in members} == {
        ((1980, 1, 1, 0, 0, 0), b"", 20)
    }
    # The fixed parts of a member's header, of its entry in the directory, and of the directory's end.
    smallest = sum(30 + 46 + 2 * len(member.filename) + member.file_size for member in members) + 22
    assert (tmp_path / "x.npz").stat().st_size == smallest


def test_equal_arrays_give_equal_bytes(tmp_path: Path) -> None:
    """How an array lies in memory does not show in the file."""
    table = np.arange(12, dtype=np.uint8).reshape(3, 4)
    npz.write(tmp_path / "rows.npz", {"x": table})
    npz.write(tmp_path / "columns.npz", {"x": np.asfortranarray(table)})

    assert (tmp_path / "rows.npz").read_bytes() == (tmp_path / "columns.npz").read_bytes()


def test_an_array_is_written_without_a_copy_of_it(tmp_path: Path) -> None:
    """Beside an array of 64 MiB, writing it takes a part of that."""
    images = np.zeros((2**16, 32, 32), np.uint8)

    with memory.below(images.nbytes / 2):
        npz.write(tmp_path / "x.npz", {"images": images})


def test_arrays_read_back_as_numpy_wrote_them(tmp_path: Path) -> None:
    """Values, types, shapes and names are those of numpy.load, and each array can be written to."""
    np.savez(tmp_path / "x.npz", **ARRAYS)

    found = npz.read(tmp_path / "x.npz", stage="any")

    with np.load(tmp_path / "x.npz", allow_pickle=False) as expected:
        assert list(found) == expected.files
        for name, array in found.items():
            np.testing.assert_array_equal(array, expected[name], strict=True)
            assert array.flags.writeable


def test_a_compressed_file_needs_a_limit(tmp_path: Path) -> None:
    """What unpacks to more than the file's size is read only where the caller states how much it may be."""
    zeros = np.zeros((100, 28, 28), np.uint8)
    np.savez_compressed(tmp_path / "x.npz", images=zeros)

    assert "unpacks to 78528 bytes, expected at most" in refusal(tmp_path / "x.npz").what
    np.testing.assert_array_equal(npz.read(tmp_path / "x.npz", stage="any", limit=78_528)["images"], zeros)
    refusal(tmp_path / "x.npz", limit=78_527)


@pytest.mark.fault("npz that declares arrays larger than it is")
@pytest.mark.parametrize(
    "shape",
    ["(1000000000000000, 28, 28)", "(60000, 28, 28)", "(2, 28, 28)", f"({2**63}, 2)", "(-1, 28)", "(-28, -28)", "(1,)"],
)
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_no_memory_is_taken_for_a_declared_shape(tmp_path: Path, shape: str, compression: int) -> None:
    """A header of 10^15 images, or of any other number of bytes than follow, is refused before memory is allocated."""
    path = archive(tmp_path / "x.npz", compression=compression, train_images=npy(shape, data=bytes(784)))

    with memory.below(2**20):
        error = refusal(path, limit=10**9)

    assert "bytes, found 784" in error.what or "negative" in error.what


@pytest.mark.fault("npz bomb")
def test_a_bomb_is_refused_in_little_memory(tmp_path: Path) -> None:
    """A file of 128 kB that would unpack to 128 MB is refused without unpacking it."""
    size = 2**27
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as file, file.open("x.npy", "w") as member:
        member.write(npy(f"({size},)"))
        for _ in range(size // 2**24):
            member.write(bytes(2**24))

    with memory.below(2**20):
        error = refusal(tmp_path / "x.npz")

    assert "unpacks to 134217" in error.what


class Harmful:
    """Unpickling it opens a file for writing."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.path), "w")


@pytest.mark.fault("npz with pickled objects")
@pytest.mark.parametrize("descr", ["'|O'", "[('a', '|u1'), ('b', '|O')]"])
def test_pickled_objects_are_never_loaded(tmp_path: Path, descr: str) -> None:
    """An array of Python objects, plain or as a field, is refused and its pickle not read."""
    pickled = pickle.dumps(np.array([Harmful(tmp_path / "mark")], dtype=object))

    error = refusal(archive(tmp_path / "x.npz", x=npy("(1,)", descr, pickled)))

    assert "holds Python objects" in error.what
    assert not (tmp_path / "mark").exists()


def flipped(content: bytes, position: int) -> bytes:
    """Return the bytes with one bit changed."""
    return content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]


def saved(**options: Any) -> bytes:
    """Return the bytes of a good file."""
    file = io.BytesIO()
    save: Callable[..., None] = np.savez_compressed if options.get("compressed") else np.savez
    save(file, x=np.random.default_rng(0).integers(0, 9, (40, 28), np.uint8))
    return file.getvalue()


def encrypted() -> bytes:
    """Return a good file whose member is flagged as encrypted."""
    content = bytearray(saved())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def unknown_method() -> bytes:
    """Return a good file whose member names a compression that does not exist."""
    content = bytearray(saved())
    content[8] = 77
    content[content.index(b"PK\x01\x02") + 10] = 77
    return bytes(content)


@pytest.mark.fault("npz damaged")
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        b"PK\x03\x04",
        saved()[:200],
        saved()[:-30],
        flipped(saved(), len(saved()) // 2),
        flipped(saved(compressed=True), len(saved(compressed=True)) // 2),
        saved(compressed=True).replace(b"\x08\x00", b"\x09\x00"),
        encrypted(),
        unknown_method(),
    ],
    ids=[
        "empty", "text", "beginning", "cut short", "end cut off", "one bit", "damaged deflate", "another method",
        "encrypted", "unknown method",
    ],
)  # fmt: skip
def test_a_damaged_file_is_one_line(tmp_path: Path, content: bytes) -> None:
    """Whatever is wrong with the bytes, the error is one line with the path and the command that restores it."""
    (tmp_path / "x.npz").write_bytes(content)

    assert refusal(tmp_path / "x.npz", limit=10**9).what.startswith("not an npz file that can be read (")


@pytest.mark.fault("npz with members that are not arrays")
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00\xff\xff",
        npy("(3,)", data=b"abc", version=(9, 9)),
        npy("(3,)", data=b"abc", version=(3, 0)),
        npy("3", data=b"abc"),
        npy("(3.0,)", data=b"abc"),
        npy("('a',)", data=b"abc"),
        npy("(True, 3)", data=b"abcd"),
        npy("(3,)", "'|x9'", b"abc"),
        npy("(3,)", "None", b"abc"),
        npy("(3,)", "{}", b"abc"),
        npy("(3,)", "__import__('os').getpid()", b"abc"),
        npy("(" * 9000, data=b"abc"),
        npy("-" * 9000 + "1", data=b"abc"),
        npy("'''", data=b"abc"),
        npy("\xff\0", data=b"abc"),
        npy("(" + "9" * 5000 + ",)", data=b"abc"),
        npy("(0,)", "'|V999999999999'", b"abc"),
    ],
)
def test_a_member_that_is_not_an_array_is_one_line(tmp_path: Path, content: bytes) -> None:
    """Wrong magic, versions, shapes and types, headers that are code or exhaust the parser: one line each.

    So is an archive of other files, such as a model's.
    """
    refusal(archive(tmp_path / "x.npz", good=npy("(3,)", data=b"abc"), x=content))
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as file:
        file.writestr("config.json", "{}")
    assert "config.json: not an .npy file" in refusal(tmp_path / "x.npz").what


@pytest.mark.fault("npz missing, or a directory")
def test_what_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    """A missing file is named with the stage that creates it, a directory with the system's reason."""
    assert str(refusal(tmp_path / "x.npz")).endswith("x.npz: no such file; `dvc repro preprocess` creates it")
    with pytest.raises(InputError, match=r"cannot be read \(Is a directory\)"):
        npz.read(tmp_path, stage="preprocess")
