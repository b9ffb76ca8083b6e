"""Stage preprocess: files of a data set -> one npz with the splits, class counts and a figure of the first images."""

import argparse
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import cli, files, params
from pipeline.data import audit, raw, sets, splits
from pipeline.data import dataset as datasets
from pipeline.data.dataset import Dataset, Split
from pipeline.data.image_set import ImageSet, PictureOptions
from pipeline.errors import InputError
from pipeline.reporting.plots import grids, style

GRID = 9
# Classes from which on they are not listed one by one.
MANY = 20


def preprocess(data: params.Data, image_set: ImageSet, directory: Path, at: Path) -> Dataset:
    """Return the splits of the data set whose files are in `directory`, each in the order of its files.

    Raises:
        InputError: A file is missing, is not what the data set states, or cannot be trained on; or `data`, which
            stands in the file at `at`, holds too many images out.
    """
    files_splits = raw.read(directory, image_set)
    train, test, validation = files_splits["train"], files_splits["test"], None
    if data.validation == "own":
        if (validation := files_splits.get("validation")) is None:
            what = f"data.validation: the files of {data.dataset} have no images to validate with"
            raise InputError(what, path=at, fix="set a number of training images, or test")
    elif data.validation != "test":
        if data.validation >= len(train):
            what = f"{data.validation} of {len(train)} images held out leaves no training data"
            raise InputError(f"data.validation: {what}", path=at)
        train, validation = splits.split(train, data.validation, data.split_seed)
    left = np.bincount(train.labels, minlength=len(image_set.classes))
    if not left.all():
        what = f"all images of the class {image_set.classes[int(left.argmin())]!r} are held out"
        raise InputError(what, path=at, fix="set a smaller data.validation, or held_out.share of the data set")
    return Dataset(train, validation, test, image_set.classes)


def summarise(data: params.Data, image_set: ImageSet, dataset: Dataset, sha256: str) -> dict[str, Any]:
    """Return the content of reports/data.json; `sha256` is that of the npz, mean and std are of pixels / 255."""
    findings = audit.audit(dataset.splits(), dataset.classes)
    return {
        "dataset": data.dataset,
        "title": image_set.title,
        "noun": image_set.noun,
        "credit": image_set.credit,
        "handwriting": image_set.handwriting,
        "pictures": image_set.pictures.model_dump(include=set(PictureOptions.model_fields)),
        "target_accuracy": image_set.target_accuracy,
        "image": list(dataset.shape),
        "classes": list(dataset.classes),
        "validation": data.validation,
        "split_seed": data.split_seed,
        "sha256": sha256,
        "negative": image_set.shown_negative,
        "audit": findings,
        "findings": audit.sentences(findings, image_set.noun, audit.white(image_set, dataset.splits())),
        "splits": {name: _describe(split, len(dataset.classes)) for name, split in dataset.splits().items()},
    }


def table(summary: dict[str, Any]) -> str:
    """Return the class counts of each split in `summary` as a plain-text table, a line for each class.

    Of many classes only the smallest and the largest count are shown.
    """
    counts = [split["classes"] for split in summary["splits"].values()]
    lines: dict[str, Iterable[int]] = dict(zip(summary["classes"], zip(*counts, strict=True), strict=True))
    if len(lines) > MANY:
        lines = {"smallest": map(min, counts), "largest": map(max, counts)}
    rows = [["class", *summary["splits"]]]
    rows += [[name, *map(str, numbers)] for name, numbers in lines.items()]
    rows += [["all", *(str(split["count"]) for split in summary["splits"].values())]]
    changes = [split.get("pictures", {}) for split in summary["splits"].values()]
    for name in dict.fromkeys(name for split in changes for name, count in split.items() if count):
        rows += [[name, *(str(split.get(name, 0)) for split in changes)]]
    width = max(len(row[0]) for row in rows)
    return "\n".join(row[0].ljust(width) + "".join(cell.rjust(12) for cell in row[1:]) for row in rows)


def _describe(split: Split, classes: int) -> dict[str, Any]:
    # Sums of integers are exact: the order of summation cannot change the last digit. Image by image, as a count takes
    # eight times the memory of what is counted.
    levels, pixels = sum(np.bincount(image.ravel(), minlength=256) for image in split.images), split.images.size
    total, squares = int(levels @ np.arange(256)), int(levels @ np.arange(256) ** 2)
    changed = {} if split.changes is None else {"pictures": _changed(split.changes)}
    return {
        "count": len(split),
        "classes": np.bincount(split.labels, minlength=classes).tolist(),
        "mean": total / pixels / 255,
        "std": math.sqrt(pixels * squares - total**2) / pixels / 255,
        **changed,
    }


def _changed(changes: NDArray[np.void]) -> dict[str, int]:
    """Return how many pictures were changed as they were read, by what was done, with a count for each mode."""
    modes, counts = np.unique(changes["mode"][changes["mode"] != ""], return_counts=True)
    return {
        **{f"converted from {mode}": int(count) for mode, count in zip(modes, counts, strict=True)},
        "of another aspect ratio": int(changes["reshaped"].sum()),
        "the first of several in their file": int(changes["is_first"].sum()),
    }


def main() -> int:
    """Preprocess the files of params.yaml's data set into one npz, a summary and a figure."""
    arguments = _arguments()
    inputs = files.Inputs("preprocess", arguments.set, arguments.input)
    values, image_set = params.load(arguments.params), sets.load(arguments.set)
    dataset = preprocess(values.data, image_set, arguments.input, arguments.params)
    params.check_images(values.models, values.train, dataset.shape, len(dataset.train), arguments.params)
    datasets.save(arguments.output, dataset)
    summary = summarise(values.data, image_set, dataset, files.sha256(arguments.output))
    files.write_json(arguments.summary, summary)
    chosen = grids.first(dataset.train.labels, GRID**2)
    shown = grids.drawn(dataset.train.images[chosen], negative=image_set.shown_negative)
    style.save(grids.samples(shown, GRID, GRID), arguments.samples)
    print("\n".join([table(summary), *summary["findings"]]))
    if "validation" in image_set.parts and dataset.validation is None:
        print("the validation images of the files are not used: `data.validation: own` in params.yaml uses them")
    inputs.check()
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pipeline.preprocess", description=main.__doc__)
    parser.add_argument("--set", type=Path, required=True, help="YAML that describes the data set")
    parser.add_argument("--input", type=Path, required=True, help="directory with its files")
    parser.add_argument("--output", type=Path, required=True, help="npz to write")
    parser.add_argument("--summary", type=Path, required=True, help="JSON with counts to write")
    parser.add_argument("--samples", type=Path, required=True, help="figure of training images to write")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="the experiment's settings")
    return parser.parse_args()


if __name__ == "__main__":
    cli.run(main)
