"""What a person should know of a data set before training: copies, constant pictures, missing classes, pixel range."""

import hashlib
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.dataset import Split
from pipeline.data.image_set import ImageSet

# So many are named; all are counted.
NAMED = 5
# Pixels whose range is less than this of 255 use a part that costs accuracy.
_NARROW = 128
_SENTENCES = {
    "copies": "{things} the same as another one{named}",
    "validation_in_training": "{things} validation images and training images as well{named}",
    "test_in_training": "{things} test images and training images as well{named}",
    "test_in_validation": "{things} test images and validation images as well{named}",
    "validation_groups_in_training": "{things} validation images of groups that training images are of, too{named}",
    "test_groups_in_training": "{things} test images of groups that training images are of, too{named}",
    "test_groups_in_validation": "{things} test images of groups that validation images are of, too{named}",
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
    two_classes = [places for places in same if len({splits[name].labels[row] for name, row in places}) > 1]
    constant = [[(name, int(row))] for name, split in splits.items() for row in np.flatnonzero(_constant(split.images))]
    findings = {
        "copies": _finding(same, splits, sum(len(places) - 1 for places in same)),
        "two_classes": _finding(two_classes, splits, sum(map(len, two_classes))),
        "constant": _finding(constant, splits, len(constant)),
    }
    together = _by_group(splits)
    for first, second in combinations(splits, 2):
        for key, sets in {"": same, "_groups": together}.items():
            found = _shared(sets, first, second, splits)
            # Of the last pair only what there is, as summaries have not always had it.
            if found["count"] or (first == "train" and (together or not key)):
                findings[f"{second}{key}_in_{first.replace('train', 'training')}"] = found
    counts = {name: np.bincount(split.labels, minlength=len(classes)) for name, split in splits.items()}
    without = {
        name: [classes[label] for label in np.flatnonzero(count == 0).tolist()] for name, count in counts.items()
    }
    return {
        **{key: findings[key] for key in _SENTENCES if key in findings},
        "without": {name: missing for name, missing in without.items() if missing},
        "range": [
            min(int(split.images.min()) for split in splits.values()),
            max(int(split.images.max()) for split in splits.values()),
        ],
    }


def _finding(sets: Sequence[Sequence[Position]], splits: Mapping[str, Split], count: int) -> dict[str, Any]:
    """Return a count, and the first few sets of places as texts, each with the first few of its places."""
    named = [" = ".join(_shown(splits, *place) for place in places[:NAMED]) for places in sets[:NAMED]]
    return {"count": count, "named": named}


def _shared(sets: Sequence[Sequence[Position]], first: str, second: str, splits: Mapping[str, Split]) -> dict[str, Any]:
    """Return the finding of those sets of places that are in both splits; those in the second are counted."""
    crossing = [places for places in sets if {first, second} <= {split for split, _ in places}]
    return _finding(crossing, splits, sum(split == second for places in crossing for split, _ in places))


def sentences(findings: Mapping[str, Any], noun: str = "image", scale: int | None = None) -> list[str]:
    """Return a sentence for each finding of `audit` that there is, without markup; `scale` as `white` returns it."""
    lines = []
    for key, text in _SENTENCES.items():
        if count := findings.get(key, {}).get("count"):
            named = findings[key]["named"]
            more = ", ..." if len(named) == NAMED else ""
            things = f"{count:,} {noun} is" if count == 1 else f"{count:,} {noun}s are"
            lines.append(text.format(things=things, named=f": {'; '.join(named)}{more}"))
    for name, missing in findings["without"].items():
        more = ", ..." if len(missing) > NAMED else ""
        what = "class" if len(missing) == 1 else f"{len(missing):,} classes"
        lines.append(f"no {name} image of the {what} {', '.join(missing[:NAMED])}{more}")
    low, high = findings["range"]
    if high - low < _NARROW:
        advice = "`scaling: standardized` of a model spreads them"
        if scale and high < _NARROW:
            # A larger number would have been rounded to more.
            brightest = math.ceil(high if scale == 255 else (high + 0.5) * scale / 255)
            advice = f"`scale: {brightest}` in options makes {brightest} white"
        lines.append(f"pixels are {low} to {high}, of 0 to 255: {advice}")
    return lines


def white(image_set: ImageSet, splits: Mapping[str, Split]) -> int | None:
    """Return the number in the files that became 255, None if no `scale` can be stated, or one is."""
    if getattr(getattr(image_set, "options", None), "scale", 0) is not None:
        return None
    modes = (np.unique(split.changes["mode"]) for split in splits.values() if split.changes is not None)
    return 65535 if any(";16" in mode for some in modes for mode in some) else 255


def _by_content(splits: Mapping[str, Split]) -> dict[bytes, list[Position]]:
    places = defaultdict[bytes, list[Position]](list)
    for name, split in splits.items():
        rows = np.ascontiguousarray(split.images).reshape(len(split), -1)
        for row, pixels in enumerate(rows):
            places[hashlib.blake2b(pixels.data, digest_size=16).digest()].append((name, row))
    return places


def _by_group(splits: Mapping[str, Split]) -> list[list[Position]]:
    """Return the places of each group's images, one of those to train on and all of other splits; [] without groups."""
    places = defaultdict[int, list[Position]](list)
    for name, split in splits.items():
        for row, group in enumerate(() if split.groups is None else split.groups.tolist()):
            if name != "train" or group not in places:
                places[group].append((name, row))
    return [*places.values()]


def _constant(images: NDArray[np.uint8]) -> NDArray[np.bool_]:
    pixels = images.reshape(len(images), -1, images.shape[3] if images.ndim == 4 else 1)
    return np.asarray((pixels.max(axis=1) == pixels.min(axis=1)).all(axis=1))


def _shown(splits: Mapping[str, Split], name: str, position: int) -> str:
    """Return the file of an image, or its split and its row in the files."""
    origins = splits[name].origins
    origin = position if origins is None else origins[position]
    return str(origin) if isinstance(origin, str) else f"{name} {origin}"
