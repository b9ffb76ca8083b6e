"""Groups that no split divides, and validation images that the files bring."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline import params, preprocess
from pipeline.data import dataset, raw
from pipeline.data.image_set import ImageSet
from pipeline.data.splits import hold_out
from pipeline.errors import InputError
from tests.support import made_sets
from tests.support.made_sets import WRITERS, Arrays, describe, described, sha256

PLACE = Path("data/local")


def write(folder: Path, kind: str, made: Arrays, change: Any) -> ImageSet:
    """Write the files of a set, and its description after `change` of it."""
    local = folder / PLACE
    local.mkdir(parents=True)
    content = described(kind) | WRITERS[kind](local, made)
    del content["counts"]
    change(content, local)
    return describe(folder, content)


def made_splits(folder: Path, image_set: ImageSet, validation: Any) -> dataset.Dataset:
    """Preprocess the files."""
    data = params.Data(dataset="stones", validation=validation, split_seed=3)
    return preprocess.preprocess(data, image_set, folder / PLACE, Path("params.yaml"))


@pytest.mark.parametrize("count", [8, 30, 100])
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("sizes", ["equal", "unequal"])
def test_no_group_is_on_both_sides(count: int, seed: int, sizes: str) -> None:
    """Of 40 groups each is on one side, and the held-out images of each class are nearly as many as they should be."""
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.arange(400) % 40) if sizes == "equal" else rng.geometric(0.08, 400)
    labels = rng.integers(0, 3, 400).astype(np.uint8)

    mask = hold_out(labels, count, seed, groups)

    assert set(groups[mask]).isdisjoint(groups[~mask])
    largest = np.unique(groups, return_counts=True)[1].max()
    assert 0 < mask.sum() < 400
    assert abs(mask.sum() - count) <= largest
    for label in range(3):
        assert abs(np.sum(labels[mask] == label) - count * np.mean(labels == label)) <= 1.5 * largest
    np.testing.assert_array_equal(mask, hold_out(labels, count, seed, groups))


def test_a_group_for_each_side_is_enough() -> None:
    """Of two groups that are both too large the smaller is held out; a single one is refused."""
    labels, groups = np.zeros(10, np.uint8), np.array([5] * 6 + [7] * 4)

    np.testing.assert_array_equal(hold_out(labels, 1, 0, groups), groups == 7)
    with pytest.raises(InputError, match="all images are of one group"):
        hold_out(labels, 1, 0, groups * 0)


def by_column(content: dict[str, Any], local: Path) -> None:
    """Give each row of the tables a patient, and say so."""
    content["held_out"] = {"share": 0.2, "seed": 1, "group": "patient"}
    content["files"]["train"] = []
    for name in ("a", "b"):
        path = local / f"{name}.csv"
        table = pd.read_csv(path)
        patients = pd.Series([f"p{row % 9}" for row in range(len(table))], name="patient")
        pd.concat([patients, table], axis=1).to_csv(path, index=False)
        content["files"]["train"].append({"name": path.name, "sha256": sha256(path)})
    del content["files"]["test"]


def by_name(content: dict[str, Any], _: Path) -> None:
    """Say that the last digit of a file's name is its patient."""
    content["held_out"] = {"share": 0.2, "seed": 1, "group": r"(\d)\.(png|PNG)$"}
    del content["options"]["test"]


@pytest.mark.parametrize(("kind", "change", "count"), [("csv", by_column, 9), ("folder", by_name, 10)])
def test_groups_of_files_are_kept_together(tmp_path: Path, kind: str, change: Any, count: int) -> None:
    """Neither the test split nor the validation split shares a group with the training split, of table or folder."""
    made = made_sets.arrays(seed=4)
    # The number of an image, so that its group is known afterwards.
    made["train_images"][:, 31, 31, 0] = np.arange(70)
    image_set = write(tmp_path, kind, made, change)

    data = made_splits(tmp_path, image_set, 14)

    def groups(split: dataset.Split | None) -> set[int]:
        assert split is not None
        numbers = split.images[:, 31, 31, 0].astype(int)
        # Those of the second table are counted from its beginning.
        return set(np.where(numbers < 40, numbers, numbers - 40) % 9 if kind == "csv" else numbers % 10)

    sides = [groups(split) for split in (data.train, data.validation, data.test)]
    assert sum(map(len, sides)) == len(set.union(*sides)) == count
    # What is stored keeps them, for whoever splits the training images again.
    dataset.save(tmp_path / "x.npz", data)
    np.testing.assert_array_equal(dataset.load(tmp_path / "x.npz").train.groups, data.train.groups)


@pytest.mark.fault("groups that are not in the data")
@pytest.mark.parametrize(
    ("kind", "group", "fault"),
    [
        ("csv", "patient", "held_out.group: no column 'patient'"),
        ("parquet", "patient", "held_out.group: no column 'patient'"),
        ("folder", "x(.)", "does not match"),
        ("folder", "(", "held_out.group: expected a regular expression"),
        ("npz", "patient", "held_out.group: only a column of a table or the path of a file"),
    ],
)
def test_unknown_groups_are_refused(tmp_path: Path, kind: str, group: str, fault: str) -> None:
    """A column that a table does not have, a name that does not match, or a format without either is one line."""

    def change(content: dict[str, Any], _: Path) -> None:
        content["held_out"] = {"group": group}

    with pytest.raises(InputError, match=r"^[^\n]*$") as caught:
        raw.read(tmp_path / PLACE, write(tmp_path, kind, made_sets.arrays(), change))
    assert fault in str(caught.value)


def add_folder(content: dict[str, Any], local: Path) -> None:
    """Let the test folder be that of validation images, and their negatives those to test with."""
    (local / "test").rename(local / "val")
    for path in sorted((local / "val").rglob("*.*")):
        if path.is_file():
            target = local / "test" / path.relative_to(local / "val")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(made_sets.png(255 - np.asarray(Image.open(path))))
    content["options"]["validation"] = "val"


def add_arrays(content: dict[str, Any], _: Path) -> None:
    """Name the arrays of validation images that the file has."""
    for part in ("images", "labels"):
        content["arrays"][f"validation_{part}"] = {"file": "data", "key": f"val_{part}"}


def add_table(content: dict[str, Any], _: Path) -> None:
    """Let the second table be validation images."""
    content["files"]["validation"] = [content["files"]["train"].pop()]


def add_member(content: dict[str, Any], _: Path) -> None:
    """Let the second member be validation images."""
    content["options"]["validation"] = [content["options"]["train"].pop()]


@pytest.mark.parametrize(
    ("kind", "change", "expected"),
    [
        ("folder", add_folder, ("test_labels", slice(None))),
        ("npz", add_arrays, ("test_labels", slice(None))),
        ("csv", add_table, ("train_labels", slice(40, None))),
        ("parquet", add_table, ("train_labels", slice(40, None))),
        ("cifar", add_member, ("train_labels", slice(40, None))),
    ],
)
def test_validation_images_of_the_files_are_used(tmp_path: Path, kind: str, change: Any, expected: Any) -> None:
    """With `validation: own` they are the validation split; with a number or `test` they are none of the splits."""
    made = made_sets.arrays()
    image_set = write(tmp_path, kind, made, change)
    name, rows = expected
    labels = np.sort(made[name][rows])

    own, number, tested = (made_splits(tmp_path, image_set, validation) for validation in ("own", 7, "test"))

    assert own.validation is not None
    np.testing.assert_array_equal(np.sort(own.validation.labels), labels)
    assert number.validation is not None
    assert len(number.validation) == 7
    assert tested.validation is None
    assert len(own.train) == len(tested.train) == len(number.train) + 7


def test_a_set_without_validation_images_has_none_of_its_own(tmp_path: Path) -> None:
    """`validation: own` is one line where the files bring none."""
    image_set = write(tmp_path, "csv", made_sets.arrays(), lambda *_: None)

    with pytest.raises(InputError, match=r"data.validation: the files of stones have no images to validate with"):
        made_splits(tmp_path, image_set, "own")


@pytest.mark.parametrize(
    ("values", "scale"),
    [(np.linspace(0, 1, 64), 1.0), (np.arange(64) % 17, 16.0), (np.arange(64) * 1000, 65535.0)],
)
@pytest.mark.parametrize("kind", ["npz", "csv"])
def test_other_ranges_are_scaled_and_names_are_labels(tmp_path: Path, kind: str, values: Any, scale: float) -> None:
    """Numbers up to the stated scale become 0 to 255, each the nearest, and labels may be names of classes."""
    pixels, names = np.stack([np.roll(values, step) for step in range(6)]), np.array(list("ababab"))
    local = tmp_path / PLACE
    local.mkdir(parents=True)
    content = described(kind, (8, 8), ("a", "b")) | {"options": {"scale": scale}, "held_out": {"share": 0.3, "seed": 0}}
    del content["counts"]
    if kind == "npz":
        np.savez(local / "x.npz", x=pixels.reshape(6, 8, 8), y=names)
        content["files"] = {"data": made_sets.file(local / "x.npz")}
        content["arrays"] = {
            f"train_{part}": {"file": "data", "key": key} for part, key in (("images", "x"), ("labels", "y"))
        }
    else:
        table = pd.DataFrame(pixels, columns=[f"pixel{number}" for number in range(64)])
        pd.concat([pd.Series(names, name="label"), table], axis=1).to_csv(local / "x.csv", index=False)
        content["files"] = {"train": [made_sets.file(local / "x.csv")]}

    splits = raw.read(local, describe(tmp_path, content))

    for split in splits.values():
        assert split.origins is not None
        rows = [int(str(origin).removeprefix("x.csv row ")) for origin in split.origins]
        expected = [[round(float(value) * 255 / scale) for value in pixels[row]] for row in rows]
        np.testing.assert_array_equal(split.images.reshape(len(split), -1), expected)
        assert ["ab"[label] for label in split.labels] == names[rows].tolist()
    with pytest.raises(InputError, match=r"pixels: expected 0 to .* in row \d"):
        raw.read(local, describe(tmp_path, content | {"options": {"scale": scale / 2}}))
