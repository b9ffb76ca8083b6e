"""numpy's npz format: a zip archive with one .npy file per array. Read without trust in what the archive declares."""

import math
import zipfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import errors, files
from pipeline.errors import InputError

# The versions of the .npy format that numpy writes for arrays of numbers and texts.
_HEADERS: dict[tuple[int, int], Callable[..., tuple[tuple[int, ...], bool, np.dtype[Any]]]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def write(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write `arrays` to `path` atomically, uncompressed, as numpy's savez does; equal arrays give equal bytes.

    With savez the headers differ between Python 3.11.2 and 3.11.7: it asks for the long form that sizes over 4 GiB
    need, which these write differently. A size that is known beforehand decides the form.
    """
    with files.atomic(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in arrays.items():
            # Without a time of its own, a member has that of 1980.
            member = zipfile.ZipInfo(f"{name}.npy")
            member.file_size = np.asarray(array).nbytes
            with archive.open(member, "w") as content:
                np.lib.format.write_array(content, np.asarray(array, order="C"), allow_pickle=False)


def read(path: Path, *, stage: str, limit: int | None = None) -> dict[str, NDArray[Any]]:
    """Return the arrays in the npz file at `path` as `arrays` does; `stage` is the DVC stage that creates the file.

    Raises:
        InputError: The file is missing, unreadable, damaged, or holds anything but arrays of numbers and texts.
    """
    try:
        return arrays(path, limit=limit, fix=f"`dvc repro -f {stage}` creates it again")
    except FileNotFoundError:
        raise errors.missing(path, stage) from None
    except OSError as error:
        raise errors.unreadable(path, error) from None


def arrays(
    path: Path, *, names: Collection[str] | None = None, limit: int | None = None, fix: str = ""
) -> dict[str, NDArray[Any]]:
    """Return the arrays in the npz file at `path` by name; with `names` those of them that it has.

    The arrays together may take `limit` bytes, by default the size of the file: what an uncompressed one can hold.
    No memory is allocated for an array before the archive has shown to hold as many bytes.

    Raises:
        OSError: The file cannot be read.
        InputError: It is damaged, or holds anything but arrays of numbers and texts; `fix` says what to do then.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
            wanted = {name: member for name, member in members.items() if names is None or name in names}
            size = sum(member.file_size for member in wanted.values())
            limit = path.stat().st_size if limit is None else limit
            if size > limit:
                raise ValueError(f"unpacks to {size} bytes, expected at most {limit}")
            return {name: _array(archive, member) for name, member in wanted.items()}
    except OSError:
        raise
    # Damaged content makes zipfile, zlib, tokenize, struct and numpy raise a dozen types; MemoryError is one.
    except Exception as error:
        raise InputError(f"not an npz file that can be read ({errors.reason(error)})", path=path, fix=fix) from None


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    name = member.filename
    if not name.endswith(".npy"):
        raise ValueError(f"{name}: not an .npy file")
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version not in _HEADERS:
            raise ValueError(f"{name}: .npy format {version}, expected one of {', '.join(map(str, _HEADERS))}")
        shape, _, dtype = _HEADERS[version](file)
        if dtype.hasobject:
            raise ValueError(f"{name}: holds Python objects, which could run code; astype(str) makes texts of names")
        if min(shape, default=0) < 0:
            raise ValueError(f"{name}: negative dimensions: {shape}")
        expected, found = math.prod(shape) * dtype.itemsize, member.file_size - file.tell()
        if expected != found:
            raise ValueError(f"{name}: {dtype}{shape} takes {expected} bytes, found {found}")
    with archive.open(member) as file:
        array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return array
