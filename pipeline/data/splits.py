"""Images of a split held out of it: each class with its share, and groups as a whole."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.dataset import Split
from pipeline.errors import InputError


def split(images: Split, count: int, seed: int) -> tuple[Split, Split]:
    """Return the images that are left when `hold_out` holds `count` of them out, and those held out, both in order."""
    mask = hold_out(images.labels, count, seed, images.groups)
    return select(images, ~mask), select(images, mask)


def hold_out(
    labels: NDArray[np.integer], count: int, seed: int, groups: NDArray[np.int64] | None = None
) -> NDArray[np.bool_]:
    """Return a mask (n,) that selects `count` of the n labels, from each class in proportion to its size.

    Counts per class are rounded by the largest-remainder (Hamilton) method; among equal remainders the lower classes
    are rounded up. Which images of a class are drawn depends on `seed` alone. With `groups` (n,), all images of a group
    are selected or none, and the counts are only near these.

    Raises:
        InputError: There is one group only.
    """
    rng = np.random.default_rng(seed)
    if groups is not None:
        return _hold_out_groups(labels, count, groups, rng)
    mask = np.zeros(len(labels), dtype=np.bool_)
    for label, share in enumerate(_shares(np.bincount(labels), count)):
        mask[rng.choice(np.flatnonzero(labels == label), share, replace=False)] = True
    return mask


def _hold_out_groups(
    labels: NDArray[np.integer], count: int, groups: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Return a mask of whole groups: in random order, each that brings the counts of the classes nearer is taken."""
    present, member = np.unique(groups, return_inverse=True)
    if len(present) < 2:
        raise InputError("held_out.group: all images are of one group, so that none can be held out")
    sizes = np.zeros((len(present), int(labels.max()) + 1), np.int64)
    np.add.at(sizes, (member, labels), 1)
    missing = sizes.sum(axis=0) * count / len(labels)
    taken = np.zeros(len(present), np.bool_)
    for group in rng.permutation(len(present)):
        left = missing - sizes[group]
        if np.sum(left**2) < np.sum(missing**2):
            taken[group], missing = True, left
    if not taken.any():
        # Each is too large: the one that is least so.
        taken[np.square(missing - sizes).sum(axis=1).argmin()] = True
    return np.asarray(taken[member])


def _shares(sizes: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    whole, remainder = np.divmod(sizes * count, sizes.sum())
    ranked = np.argsort(-remainder, kind="stable")
    whole[ranked[: count - whole.sum()]] += 1
    return whole


def select(split: Split, rows: NDArray[np.bool_] | slice) -> Split:
    """Return the images of `split` that a mask (n,) selects, or views of those in a slice."""
    arrays: dict[str, Any] = {name: None if array is None else array[rows] for name, array in vars(split).items()}
    return Split(**arrays)


def joined(*parts: Split | None) -> Split:
    """Return the images of all parts that there are, in this order, and what else all of these have."""
    present = [part for part in parts if part is not None]
    if len(present) == 1:
        return present[0]
    arrays: dict[str, Any] = {}
    for name in vars(present[0]):
        pieces = [getattr(part, name) for part in present]
        arrays[name] = None if any(piece is None for piece in pieces) else np.concatenate(pieces)
    return Split(**arrays)
