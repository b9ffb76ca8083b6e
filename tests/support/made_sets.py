"""Data sets made here in every format: the same images of 32x32 in colour with seven named classes."""

import gzip
import hashlib
import io
import json
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from pipeline.data import sets
from pipeline.data.formats import idx
from pipeline.data.image_set import ImageSet
from tests.support import paper

CLASSES = ("agate", "beryl", "coral", "T-shirt/top", "a|b <i>", "$x$", "garnet")
NAMES = ("train_images", "train_labels", "test_images", "test_labels")
COUNTS = {"train": 70, "test": 21}
Arrays = dict[str, np.ndarray]
Writer = Callable[[Path, Arrays], dict[str, Any]]
# By format: what writes made arrays into the files of a folder, and returns what the set's file says of them.
WRITERS: dict[str, Writer] = {}


def writes(kind: str) -> Callable[[Writer], Writer]:
    """Declare a function as the one that writes files in a format."""

    def declare(writer: Writer) -> Writer:
        return WRITERS.setdefault(kind, writer)

    return declare


def arrays(shape: tuple[int, ...] = (32, 32, 3), classes: int = len(CLASSES), seed: int = 0) -> Arrays:
    """Return images in which the place of a square shows the class, and labels: each class equally often."""
    rng = np.random.default_rng(seed)
    made: Arrays = {}
    for part, count in COUNTS.items():
        labels = rng.permutation(np.arange(count) % classes).astype(np.uint8)
        images = rng.integers(0, 60, (count, *shape), np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[4 * (label % 7) : 4 * (label % 7) + 4, 8:24] += np.uint8(20 * (label % 10) + 10)
        made |= {f"{part}_images": images, f"{part}_labels": labels}
    return made


def sha256(path: Path) -> str:
    """Return the checksum of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def described(kind: str, shape: tuple[int, ...] = (32, 32, 3), classes: tuple[str, ...] = CLASSES) -> dict[str, Any]:
    """Return what the files of all formats say of the images."""
    height, width, *channels = shape
    return {
        "format": kind,
        "title": "Stones",
        "noun": "stone",
        "credit": "made for a test",
        "image": {"height": height, "width": width, "channels": channels[0] if channels else 1},
        "classes": list(classes),
        "target_accuracy": 0.5,
        "counts": dict(COUNTS),
        "sources": [{"directory": "data/local"}],
    }


def file(path: Path) -> dict[str, Any]:
    """Return the name and the checksum of a file."""
    return {"name": path.name, "sha256": sha256(path)}


def png(image: np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    """Return an image as the content of a PNG or JPEG file."""
    return paper.saved(Image.fromarray(image), kind, **options)


def chunk(name: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG file."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_of(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """Return a PNG file by hand: with more bits than Pillow writes, or other rows than its header says."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@writes("npz")
def npz(folder: Path, made: Arrays) -> dict[str, Any]:
    """Write one npz with all arrays and a further one, labels (n, 1) as MedMNIST has them."""
    others = {"val_images": made["test_images"][::-1], "val_labels": made["test_labels"][::-1]}
    columns = {name: array[:, None] if name.endswith("labels") else array for name, array in made.items()}
    np.savez_compressed(folder / "stones.npz", **columns, **others)
    return {
        "files": {"data": file(folder / "stones.npz")},
        "arrays": {name: {"file": "data", "key": name} for name in NAMES},
    }


@writes("cifar")
def cifar(folder: Path, made: Arrays, label_bytes: int = 1) -> dict[str, Any]:
    """Write an archive with two batches to train on, one to test with, and a text."""
    parts = {"a.bin": ("train", slice(0, 40)), "b.bin": ("train", slice(40, None)), "t.bin": ("test", slice(None))}
    members = {f"stones/{name}": records(made, *part, label_bytes) for name, part in parts.items()}
    archive(folder / "stones.tar.gz", members | {"stones/readme.html": b"<p>stones</p>"})
    options = {"train": ["stones/a.bin", "stones/b.bin"], "test": ["stones/t.bin"], "label_bytes": label_bytes}
    return {"files": {"archive": file(folder / "stones.tar.gz")}, "options": options}


def records(made: Arrays, part: str, rows: slice, label_bytes: int = 1) -> bytes:
    """Return images as CIFAR's records: labels, of which the first of two is a coarse one, then each channel."""
    images, labels = made[f"{part}_images"][rows], made[f"{part}_labels"][rows]
    return b"".join(
        bytes([99] * (label_bytes - 1) + [label]) + b"".join(image[:, :, channel].tobytes() for channel in range(3))
        for image, label in zip(images, labels, strict=True)
    )


def archive(path: Path, members: dict[str, bytes]) -> None:
    """Write a tar.gz with `members` by name."""
    with gzip.GzipFile(path, "wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as made:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))


@writes("folder")
def folder_of_files(folder: Path, made: Arrays) -> dict[str, Any]:
    """Write one folder per class for both splits; PNG keeps each pixel, and some names end in capitals."""
    names = directories()
    for part in COUNTS:
        for number, (image, label) in enumerate(zip(made[f"{part}_images"], made[f"{part}_labels"], strict=True)):
            path = folder / part / names[label] / f"{number:04}.{'PNG' if number % 5 == 0 else 'png'}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(image))
    (folder / "train" / ".DS_Store").write_bytes(b"of the system")
    return {"classes": list(names), "options": {"train": "train", "test": "test"}}


def directories() -> tuple[str, ...]:
    """Return the class names, without what no directory can be called."""
    return tuple(name.replace("/", "-") for name in CLASSES)


@writes("csv")
def csv(folder: Path, made: Arrays) -> dict[str, Any]:
    """Write two tables to train on and one to test with: label, pixel0, pixel1, ..."""
    for name, part, rows in (("a", "train", slice(0, 40)), ("b", "train", slice(40, None)), ("t", "test", slice(None))):
        pixels = made[f"{part}_images"][rows].reshape(-1, made[f"{part}_images"][0].size)
        table = pd.DataFrame(pixels, columns=[f"pixel{number}" for number in range(pixels.shape[1])])
        table.insert(0, "label", made[f"{part}_labels"][rows])
        table.to_csv(folder / f"{name}.csv", index=False)
    return {"files": {"train": [file(folder / "a.csv"), file(folder / "b.csv")], "test": [file(folder / "t.csv")]}}


@writes("parquet")
def parquet(folder: Path, made: Arrays, classes: tuple[str, ...] = CLASSES) -> dict[str, Any]:
    """Write two tables to train on and one to test with, as Hugging Face does, class names in their metadata."""
    for name, part, rows in (("a", "train", slice(0, 40)), ("b", "train", slice(40, None)), ("t", "test", slice(None))):
        contents = [png(image) for image in made[f"{part}_images"][rows]]
        pq.write_table(table(contents, made[f"{part}_labels"][rows].tolist(), classes), folder / f"{name}.parquet")
    train = [file(folder / "a.parquet"), file(folder / "b.parquet")]
    return {"files": {"train": train, "test": [file(folder / "t.parquet")]}}


def table(contents: list[bytes | None], labels: list[Any], classes: tuple[str, ...] = CLASSES) -> Any:
    """Return a table of pictures and labels, as Hugging Face's `datasets` makes it."""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    images = pa.array([{"bytes": content, "path": "x.png"} for content in contents], kind)
    features = {"image": {"_type": "Image"}, "label": {"names": list(classes), "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pictures = pa.table({"image": images, "label": pa.array(labels, pa.int64())})
    return pictures.replace_schema_metadata(metadata)


@writes("idx")
def idx_files(folder: Path, made: Arrays) -> dict[str, Any]:
    """Write the four IDX files as EMNIST's letters are: images transposed, labels from 1."""
    for name in NAMES:
        array = made[name].swapaxes(1, 2).copy() if name.endswith("images") else made[name] + np.uint8(1)
        (folder / f"{name}-idx").write_bytes(idx.encode(array))
    return {
        "files": {name: file(folder / f"{name}-idx") for name in NAMES},
        "options": {"transposed": True, "first_label": 1},
    }


def write(folder: Path, kind: str, made: Arrays, shape: tuple[int, ...] = (32, 32, 3), **others: Any) -> ImageSet:
    """Write the files of a set and its description, of which `others` replace keys; None removes one."""
    local = folder / "data" / "local"
    local.mkdir(parents=True, exist_ok=True)
    content = described(kind, shape) | WRITERS[kind](local, made) | others
    return describe(folder, {key: value for key, value in content.items() if value is not None})


def describe(folder: Path, content: dict[str, Any]) -> ImageSet:
    """Write the description of a set and read it."""
    path = folder / "data" / "sets" / "stones.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return sets.load(path)
