"""Arrays in an npz file -> what data/sets/ says of them; classes and scale, of tables too. What is unclear is asked."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline import errors
from pipeline.data import dataset
from pipeline.data.formats import checks, npz
from pipeline.data.survey import (
    LABEL_WORDS,
    SPLIT_WORDS,
    Stated,
    Survey,
    held_out,
    natural,
)
from pipeline.errors import InputError

_IMAGE_WORDS = ("image", "images", "data", "x")
# What to do with numbers as labels that have gaps, or begin where the format's do not.
RELABEL = "number the classes from 0 on without gaps, or write names, such as class-10"


class Range(NamedTuple):
    """The smallest and the largest pixel, and whether all are whole numbers."""

    low: float
    high: float
    are_whole: bool


def of_npz(paths: Sequence[Path], stated: Stated) -> Survey:
    """Return what one npz file holds, or raise InputError."""
    if len(paths) > 1:
        raise InputError(f"which file? {', '.join(path.name for path in paths)}", path=paths[0].parent)
    path = paths[0]
    try:
        arrays = npz.arrays(path, limit=checks.MAX_BYTES)
    except OSError as error:
        raise errors.unreadable(path, error) from None
    keys = _keys(arrays, path)
    if not {"train_images", "train_labels"} <= keys.keys():
        what = "expected arrays such as x_train and y_train, train_images and train_labels, or images and labels"
        raise InputError(f"{what}, found {', '.join(arrays)[:200]}", path=path)
    images = arrays[keys["train_images"]]
    if images.ndim not in (3, 4) or images.shape[3:] not in ((), (1,), (3,)):
        what = f"expected images (n, h, w), (n, h, w, 1) or (n, h, w, 3), found {images.shape}"
        fix = "np.moveaxis(images, 1, -1) puts channels last, images[..., :3] leaves out a fourth"
        raise InputError(what, path=path, fix=fix)
    height, width, channels = (*images.shape[1:], 1)[:3]
    labels = [arrays[key] for name, key in keys.items() if name.endswith("labels")]
    for array in labels:
        if array.dtype.kind not in "iuU" or array.shape[:1] != (array.size,):
            what = f"expected a whole number or a name for each image, found {array.dtype}{array.shape}"
            fix = "astype(int) or astype(str) makes these, np.argmax(labels, axis=1) those of rows of 0 and 1"
            raise InputError(what, path=path, fix=fix)
    classes, first_label = classes_of({*np.concatenate([array.ravel() for array in labels]).tolist()}, path)
    content = {
        "format": "npz",
        "image": {"height": height, "width": width, "channels": channels},
        "classes": classes,
        "files": {"data": {"name": "data.npz"}},
        "arrays": {name: {"file": "data", "key": key} for name, key in keys.items()},
        "options": {"first_label": first_label} | _scale_of(arrays, keys, stated, path),
        **held_out(["test"] if "test_images" in keys else [], stated),
    }
    others = ", ".join(key for key in arrays if key not in keys.values())
    return Survey(content, {"data.npz": path}, [f"left out: the arrays {others}"] if others else [])


def _scale_of(
    arrays: Mapping[str, NDArray[Any]], keys: Mapping[str, str], stated: Stated, path: Path
) -> dict[str, float]:
    """Return the option that makes the images of all splits 0 to 255, if one is needed: of others than uint8, it is."""
    images = {key: arrays[key] for name, key in keys.items() if name.endswith("images")}
    if len({array.dtype.kind == "f" for array in images.values()}) > 1:
        kinds = ", ".join(f"{key} is {array.dtype}" for key, array in images.items())
        raise InputError(
            f"{kinds}, of which white is not one number", path=path, fix="save all with one type and one range"
        )
    kept = {} if all(array.dtype == np.uint8 for array in images.values()) else {"scale": 255.0}
    return kept | scale_of(_range_of(images.values(), path), stated, path)


def _keys(arrays: Sequence[str] | dict[str, Any], path: Path) -> dict[str, str]:
    """Return the key of the images and labels of each split, by the words in it."""
    keys: dict[str, str] = {}
    for key in arrays:
        words = key.lower().split("_")
        split = next((SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS), "train")
        usual = {"labels": LABEL_WORDS, "images": _IMAGE_WORDS}
        kinds = [f"{split}_{kind}" for kind, names in usual.items() if set(names) & set(words)]
        if len(kinds) == 1 and keys.setdefault(kinds[0], key) != key:
            what = f"which array has {kinds[0].replace('_', ' ')}? {keys[kinds[0]]}, {key}"
            raise InputError(what, path=path)
    return keys


def classes_of(labels: Collection[Any], path: Path) -> tuple[list[str], int]:
    """Return the names of the classes, and the label of the first one; that of names is 0."""
    if not labels:
        raise InputError("no images", path=path)
    if len(labels) > dataset.MAX_CLASSES:
        what = f"expected at most {dataset.MAX_CLASSES} classes, found more labels than that"
        raise InputError(what, path=path, fix="say LABEL=column if others than these are the labels")
    if any(isinstance(label, str) or label != label // 1 for label in labels):
        return natural({str(label) for label in labels}), 0
    present = sorted(map(int, labels))
    if len(present) != present[-1] - present[0] + 1:
        gap = next(label for label in range(present[0], present[-1]) if label not in present)
        raise InputError(f"no image has the label {gap}, of {present[0]} to {present[-1]}", path=path, fix=RELABEL)
    return [str(label) for label in present], present[0]


def _range_of(arrays: Iterable[NDArray[Any]], path: Path) -> Range:
    """Return the range of the pixels in arrays of which the first has the type of all."""
    made = list[Range]()
    for pixels in arrays:
        if pixels.dtype.kind not in "iuf" or not pixels.size:
            raise InputError(f"expected numbers as pixels, found {pixels.dtype}{pixels.shape}", path=path)
        made.append(Range(pixels.min(), pixels.max(), pixels.dtype.kind in "iu"))
    return Range(min(found.low for found in made), max(found.high for found in made), made[0].are_whole)


def scale_of(found: Range, stated: Stated, path: Path) -> dict[str, float]:
    """Return the option that makes pixels 0 to 255, if one is needed."""
    low, high, are_whole = found
    # Not a number is neither.
    if not 0 <= low <= high:
        raise InputError(f"expected pixels of 0 or more, found {low} to {high}", path=path, fix="make black 0")
    if stated.scale is not None:
        return {} if stated.scale == 255 and are_whole else {"scale": stated.scale}
    # Whole numbers up to 1 are black and white.
    if 0.5 < high <= 1:
        return {"scale": 1.0}
    if are_whole and 128 <= high <= 255:
        return {}
    fix = f"say SCALE={high:g}" + (", or SCALE=255" if high < 255 else "")
    raise InputError(f"which number is white? pixels are {low} to {high}", path=path, fix=fix)
