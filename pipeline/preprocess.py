"""Stage preprocess: IDX files -> one npz with the splits, class counts and a figure of the first digits."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import cli, files, params
from pipeline.data import dataset as datasets
from pipeline.data.dataset import CLASSES, SIDE, Dataset, Split
from pipeline.data.formats import idx
from pipeline.errors import InputError
from pipeline.reporting.plots import grids, style

GRID = 9


def preprocess(data: params.Data, directory: Path) -> Dataset:
    """Return the splits of the four IDX files in `directory`, each in the order of its file.

    Raises:
        InputError: A file is missing, is not the one that `data.files` describes, or cannot be trained on.
    """
    train = _read(directory, data.files.train_images, data.files.train_labels)
    test = _read(directory, data.files.test_images, data.files.test_labels)
    if data.validation == "test":
        return Dataset(train, None, test)
    held_out = hold_out(train.labels, data.validation, data.split_seed)
    return Dataset(_select(train, ~held_out), _select(train, held_out), test)


def hold_out(labels: NDArray[np.uint8], count: int, seed: int) -> NDArray[np.bool_]:
    """Return a mask (n,) that selects `count` of the n labels, from each class in proportion to its size.

    Counts per class are rounded by the largest-remainder (Hamilton) method; among equal remainders the lower classes
    are rounded up. Which images of a class are drawn depends on `seed` alone.
    """
    rng = np.random.default_rng(seed)
    mask = np.zeros(len(labels), dtype=np.bool_)
    for label, share in enumerate(_shares(np.bincount(labels, minlength=CLASSES), count)):
        mask[rng.choice(np.flatnonzero(labels == label), share, replace=False)] = True
    return mask


def summarise(data: params.Data, dataset: Dataset, sha256: str) -> dict[str, Any]:
    """Return the content of reports/data.json; `sha256` is that of the npz, mean and std are of pixels / 255."""
    splits = {name: _describe(split) for name, split in dataset.splits().items()}
    return {
        "dataset": data.dataset,
        "validation": data.validation,
        "split_seed": data.split_seed,
        "sha256": sha256,
        "splits": splits,
    }


def table(summary: dict[str, Any]) -> str:
    """Return the class counts of each split in `summary` as a plain-text table."""
    rows = [["split", "images", *map(str, range(CLASSES))]]
    rows += [[name, str(split["count"]), *map(str, split["classes"])] for name, split in summary["splits"].items()]
    return "\n".join(row[0].ljust(10) + "".join(cell.rjust(7) for cell in row[1:]) for row in rows)


def _shares(sizes: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    whole, remainder = np.divmod(sizes * count, sizes.sum())
    ranked = np.argsort(-remainder, kind="stable")
    whole[ranked[: count - whole.sum()]] += 1
    return whole


def _select(split: Split, mask: NDArray[np.bool_]) -> Split:
    return Split(split.images[mask], split.labels[mask])


def _read(directory: Path, images_file: params.File, labels_file: params.File) -> Split:
    images = _array(directory / images_file.name, images_file, (SIDE, SIDE))
    labels = _array(directory / labels_file.name, labels_file, ())
    if images.min() == images.max():
        text = f"pixels: expected more than one value, found {images.min()} everywhere"
        raise InputError(text, path=directory / images_file.name)
    if labels.max() >= CLASSES:
        item = int(np.argmax(labels >= CLASSES))
        text = f"labels: expected 0 to {CLASSES - 1}, found {labels[item]} for item {item}, counted from 0"
        raise InputError(text, path=directory / labels_file.name)
    return Split(images, labels)


def _array(path: Path, file: params.File, item: tuple[int, ...]) -> NDArray[np.uint8]:
    array = idx.read(path, dimensions=1 + len(item))
    if array.shape != (file.count, *item):
        raise InputError(f"dimensions: expected {(file.count, *item)}, found {array.shape}", path=path)
    found = files.sha256(path)
    if file.sha256 not in (None, found):
        text = f"sha256: expected {file.sha256}, found {found}"
        raise InputError(text, path=path, fix="`dvc repro fetch` downloads it again")
    return array


def _describe(split: Split) -> dict[str, Any]:
    # Sums of integers are exact: the order of summation cannot change the last digit.
    pixels = split.images.size
    total = int(split.images.sum(dtype=np.int64))
    squares = int(np.square(split.images, dtype=np.uint16).sum(dtype=np.int64))
    return {
        "count": len(split),
        "classes": np.bincount(split.labels, minlength=CLASSES).tolist(),
        "mean": total / pixels / 255,
        "std": math.sqrt(pixels * squares - total**2) / pixels / 255,
    }


def main() -> int:
    """Preprocess the IDX files of params.yaml into one npz, a summary and a figure."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.preprocess", description=main.__doc__)
    parser.add_argument("--input", type=Path, required=True, help="directory with the four IDX files")
    parser.add_argument("--output", type=Path, required=True, help="npz to write")
    parser.add_argument("--summary", type=Path, required=True, help="JSON with counts to write")
    parser.add_argument("--digits", type=Path, required=True, help="figure of the first training digits to write")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="the experiment's settings")
    arguments = parser.parse_args()
    data = params.load(arguments.params).data
    dataset = preprocess(data, arguments.input)
    datasets.save(arguments.output, dataset)
    summary = summarise(data, dataset, files.sha256(arguments.output))
    files.write_json(arguments.summary, summary)
    style.save(grids.digit_grid(dataset.train.images[: GRID**2], GRID, GRID), arguments.digits)
    print(table(summary))
    return 0


if __name__ == "__main__":
    cli.run(main)
