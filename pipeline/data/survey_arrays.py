"""What files with arrays on a disk say of a data set: npz, CSV and parquet."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline import files
from pipeline.data.formats import checks, npz, parquet
from pipeline.data.surveyed import LABELS, SPLITS, Stated, Survey, held_out, label_column, natural
from pipeline.errors import InputError

_IMAGES = ("image", "images", "data", "x")


def of_npz(paths: Sequence[Path], stated: Stated) -> Survey:
    """Return what one npz file holds, or raise InputError."""
    if len(paths) > 1:
        raise InputError(f"which file? {', '.join(path.name for path in paths)}", path=paths[0].parent)
    try:
        arrays = npz.arrays(paths[0], limit=checks.MAX_BYTES)
    except ValueError as error:
        raise InputError(f"not an npz file that can be read ({error})", path=paths[0]) from None
    named: dict[str, str] = {}
    for key in arrays:
        steps = key.lower().split("_")
        split = next((SPLITS[step] for step in steps if step in SPLITS), "train")
        kinds = [kind for kind, words in (("labels", LABELS), ("images", _IMAGES)) if set(words) & set(steps)]
        if len(kinds) == 1 and named.setdefault(f"{split}_{kinds[0]}", key) != key:
            raise InputError(
                f"which array has {split} {kinds[0]}? {named[f'{split}_{kinds[0]}']}, {key}", path=paths[0]
            )
    if not {"train_images", "train_labels"} <= named.keys():
        what = "expected arrays such as x_train and y_train, train_images and train_labels, or images and labels"
        raise InputError(f"{what}, found {', '.join(arrays)[:200]}", path=paths[0])
    images = [arrays[key] for name, key in named.items() if name.endswith("images")]
    labels = np.concatenate([arrays[key].ravel() for name, key in named.items() if name.endswith("labels")])
    shape = images[0].shape[1:]
    if len(shape) not in (2, 3):
        raise InputError(f"expected images (n, h, w) or (n, h, w, channels), found {images[0].shape}", path=paths[0])
    known, first = _classes(labels, paths[0])
    options = {"first_label": first} | _scale([images[0]], stated, paths[0])
    channels = shape[2] if len(shape) == 3 else 1
    content = {
        "format": "npz",
        "image": {"height": shape[0], "width": shape[1], "channels": channels},
        "classes": known,
        "files": {"data": _file(paths[0], "data.npz")},
        "arrays": {name: {"file": "data", "key": key} for name, key in named.items()},
        "options": options,
    }
    return Survey(held_out(content, tests="test_images" in named), {"data.npz": paths[0]})


def of_csv(paths: Sequence[Path], stated: Stated) -> Survey:
    """Return what CSV tables of pixels hold, or raise InputError."""
    split = _splits_of(paths)
    train = pd.read_csv(split["train"], low_memory=False)
    columns = [str(column) for column in train]
    label = label_column([one for one in columns if not re.search(r"\d$", one)], split["train"], stated)
    prefix = {re.sub(r"\d+$", "", column) for column in columns if column != label}
    if len(prefix) != 1:
        what = f"expected columns of pixels with one prefix, found {', '.join(sorted(prefix)[:3])}"
        raise InputError(what, path=split["train"])
    shape = _shape(len(columns) - 1, stated, split["train"])
    every = [train, *(pd.read_csv(path, low_memory=False) for name, path in split.items() if name != "train")]
    known, first = _classes(np.concatenate([table[label].to_numpy() for table in every]), split["train"])
    pixels = train.drop(columns=label).to_numpy()
    content = {
        "format": "csv",
        "image": dict(zip(("height", "width", "channels"), shape, strict=True)),
        "classes": known,
        "files": {name: [_file(path, f"{name}.csv")] for name, path in split.items()},
        "options": {"label": label, "pixels": prefix.pop(), "first_label": first} | _scale([pixels], stated, paths[0]),
    }
    return Survey(held_out(content, tests="test" in split), {f"{name}.csv": path for name, path in split.items()})


def of_parquet(paths: Sequence[Path], stated: Stated) -> Survey:
    """Return what parquet tables of pictures hold, or raise InputError."""
    split = _splits_of(paths)
    schema = pq.read_schema(split["train"])
    is_bytes = [
        column.name
        for column in schema
        if pa.types.is_binary(column.type)
        or (pa.types.is_struct(column.type) and column.type.get_field_index("bytes") >= 0)
    ]
    if len(is_bytes) != 1:
        what = f"expected one column of pictures, found {', '.join(is_bytes) or 'none'}"
        raise InputError(what, path=split["train"], fix="write pixels as CSV or npz instead")
    label = label_column([name for name in schema.names if name != is_bytes[0]], split["train"], stated)
    labels = [pq.read_table(path, columns=[label]).column(label).to_pylist() for path in split.values()]
    known, first = _classes(np.array([value for part in labels for value in part]), split["train"])
    if first:
        raise InputError(f"labels begin with {first}, expected 0 or names", path=split["train"])
    if (names := parquet.class_names(schema.metadata or {}, label)) is not None:
        known = names
    if stated.size is None:
        raise InputError("which size are the images to have?", path=split["train"], fix="say SIZE=32")
    content = {
        "format": "parquet",
        "image": {"height": stated.size[0], "width": stated.size[1], "channels": 3},
        "classes": known,
        "files": {name: [_file(path, f"{name}.parquet")] for name, path in split.items()},
        "options": {"image": is_bytes[0], "label": label, "resize": "stretch", "convert": True},
    }
    return Survey(held_out(content, tests="test" in split), {f"{name}.parquet": path for name, path in split.items()})


def _splits_of(paths: Sequence[Path]) -> dict[str, Path]:
    """Return the table of each split, by the word in its name; a single one is to train on."""
    if len(paths) == 1:
        return {"train": paths[0]}
    found: dict[str, Path] = {}
    for path in paths:
        words = {SPLITS[word] for word in re.split(r"[^a-z]+", path.stem.lower()) if word in SPLITS}
        if len(words) != 1 or found.setdefault(next(iter(words)), path) != path:
            what = f"which table is which? {', '.join(one.name for one in paths)}"
            raise InputError(what, path=path.parent, fix="name them train, test and val, one of each")
    if "train" not in found:
        raise InputError(f"no table to train on among {', '.join(path.name for path in paths)}", path=paths[0].parent)
    return found


def _classes(labels: NDArray[Any], path: Path) -> tuple[list[str], int]:
    """Return the names of the classes, and the label of the first one; that of names is 0."""
    if labels.dtype.kind not in "iu":
        return natural({str(label) for label in labels}), 0
    present = sorted({int(label) for label in labels})
    if present != list(range(present[0], present[-1] + 1)):
        gap = next(label for label in range(present[0], present[-1]) if label not in present)
        raise InputError(f"no image has the label {gap}, of {present[0]} to {present[-1]}", path=path)
    return [str(label) for label in present], present[0]


def _scale(arrays: Sequence[NDArray[Any]], stated: Stated, path: Path) -> dict[str, float]:
    """Return the option that makes pixels 0 to 255, if one is needed."""
    low, high = min(array.min() for array in arrays), max(array.max() for array in arrays)
    whole = all(array.dtype.kind in "iu" for array in arrays)
    if stated.scale is not None:
        return {} if stated.scale == 255 and whole else {"scale": stated.scale}
    if not whole and low >= 0 and 0.5 < high <= 1:
        return {"scale": 1.0}
    if whole and low >= 0 and 128 <= high <= 255:
        return {}
    raise InputError(f"which number is white? pixels are {low} to {high}", path=path, fix="say SCALE=255, for instance")


def _shape(pixels: int, stated: Stated, path: Path) -> tuple[int, int, int]:
    for channels in (1, 3):
        side = math.isqrt(pixels // channels)
        if stated.size and math.prod(stated.size) * channels == pixels:
            return (*stated.size, channels)
        if not stated.size and side**2 * channels == pixels:
            return side, side, channels
    raise InputError(f"which height and width have {pixels} pixels?", path=path, fix="say SIZE=28x20, for instance")


def _file(path: Path, name: str) -> dict[str, str]:
    return {"name": name, "sha256": files.sha256(path)}
