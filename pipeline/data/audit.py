"""What a person should know of a data set before training: copies, constant pictures, missing classes, pixel range."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.dataset import Split

# So many are named; all are counted.
NAMED = 5
# Pixels of which the brightest is below this use a part of the range that costs accuracy.
_DIM = 128
_SENTENCES = {
    "copies": "{things} the same as another one{named}",
    "validation_in_training": "{things} validation images and training images as well{named}",
    "test_in_training": "{things} test images and training images as well{named}",
    "two_classes": "{things} of another class than the same picture elsewhere{named}",
    "constant": "{things} of one colour, which shows nothing{named}",
}

# A split, and a row in it.
Position = tuple[str, int]


def audit(splits: Mapping[str, Split], classes: Sequence[str]) -> dict[str, Any]:
    """Return what is found in the splits of a data set: for each finding its count, and where the first few are.

    Pictures are the same if all their pixels are. `without` has the classes of which a split has no image, `range` the
    smallest and the largest pixel.
    """
    same = [places for places in _by_content(splits).values() if len(places) > 1]
    found: dict[str, list[Sequence[Position]]] = {"copies": [*same]}
    for name in splits.keys() - {"train"}:
        found[f"{name}_in_training"] = [places for places in same if {"train", name} <= {split for split, _ in places}]
    found["two_classes"] = [places for places in same if len({splits[name].labels[row] for name, row in places}) > 1]
    found["constant"] = [
        [(name, int(row))] for name, split in splits.items() for row in np.flatnonzero(_constant(split.images))
    ]
    counts = {"copies": sum(len(places) - 1 for places in same)} | {
        f"{name}_in_training": sum(split == name for places in found[f"{name}_in_training"] for split, _ in places)
        for name in splits.keys() - {"train"}
    }
    missing = {name: _missing(split, classes) for name, split in splits.items()}
    return {
        **{
            key: {"count": counts.get(key, sum(map(len, found[key]))), "named": _named(found[key], splits)}
            for key in _SENTENCES
            if key in found
        },
        "without": {name: names for name, names in missing.items() if names},
        "range": [
            min(int(split.images.min()) for split in splits.values()),
            max(int(split.images.max()) for split in splits.values()),
        ],
    }


def sentences(found: Mapping[str, Any], noun: str = "image") -> list[str]:
    """Return a sentence for each finding of `audit` that there is, without any markup."""
    made = []
    for key, text in _SENTENCES.items():
        if count := found.get(key, {}).get("count"):
            named = found[key]["named"]
            more = ", ..." if len(named) == NAMED else ""
            things = f"{count:,} {noun} is" if count == 1 else f"{count:,} {noun}s are"
            made.append(text.format(things=things, named=f": {'; '.join(named)}{more}"))
    for name, missing in found["without"].items():
        more = ", ..." if len(missing) > NAMED else ""
        what = "class" if len(missing) == 1 else f"{len(missing):,} classes"
        made.append(f"no {name} image of the {what} {', '.join(missing[:NAMED])}{more}")
    low, high = found["range"]
    if high < _DIM:
        made.append(f"pixels are {low} to {high}, of 0 to 255: `scale: {high}` in options makes {high} the brightest")
    return made


def _by_content(splits: Mapping[str, Split]) -> dict[bytes, list[Position]]:
    found: dict[bytes, list[Position]] = {}
    for name, split in splits.items():
        rows = np.ascontiguousarray(split.images).reshape(len(split), -1)
        for row, pixels in enumerate(rows):
            found.setdefault(hashlib.blake2b(pixels.data, digest_size=16).digest(), []).append((name, row))
    return found


def _constant(images: NDArray[np.uint8]) -> NDArray[np.bool_]:
    pixels = images.reshape(len(images), -1, images.shape[3] if images.ndim == 4 else 1)
    return np.asarray((pixels.max(axis=1) == pixels.min(axis=1)).all(axis=1))


def _missing(split: Split, classes: Sequence[str]) -> list[str]:
    counts = np.bincount(split.labels, minlength=len(classes))
    return [name for name, count in zip(classes, counts, strict=True) if count == 0]


def _named(groups: Sequence[Sequence[Position]], splits: Mapping[str, Split]) -> list[str]:
    """Return the first few groups of places as texts, each with the first few of its places."""
    return [" = ".join(_shown(splits, *place) for place in places[:NAMED]) for places in groups[:NAMED]]


def _shown(splits: Mapping[str, Split], name: str, position: int) -> str:
    """Return the file of an image, or its split and its row in the files."""
    origins = splits[name].origins
    origin = position if origins is None else origins[position]
    return str(origin) if isinstance(origin, str) else f"{name} {origin}"
