"""Tables of images: that memory is bounded by bytes, not by rows."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.data import raw
from pipeline.data.formats import checks
from pipeline.errors import InputError
from tests.support import made_sets

ROOT = Path(__file__).parents[2]
MADE = made_sets.arrays((8, 8))


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


@pytest.mark.parametrize("kind", ["parquet", "folder"])
def test_images_beyond_the_bound_are_not_kept(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """More bytes of images than a split may have are refused in every format that has no size in its files' header."""
    described = made_sets.write(tmp_path, kind, MADE, (8, 8))
    monkeypatch.setattr(checks, "MAX_BYTES", 70 * 64 - 1)

    with pytest.raises(InputError, match="expected at most 4479 bytes of images, found "):
        raw.read(tmp_path / "data/local", described)


def large(seed: int) -> bytes:
    """Return a picture of 8x8 whose file has 12 MiB, most of them in a chunk of a program's own."""
    image, data = made_sets.png(MADE["train_images"][seed]), b"raNd" + np.random.default_rng(seed).bytes(12 * 2**20)
    end = image.index(b"IEND") - 4
    chunk = struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
    return image[:end] + chunk + image[end:]


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
