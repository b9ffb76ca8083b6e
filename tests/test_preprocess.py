"""Preprocessing on small IDX files made here: counts, splits, stability, refusals."""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import params, preprocess, schema
from pipeline.data import dataset
from pipeline.data.formats import idx
from pipeline.errors import InputError

TRAIN, TEST = 150, 30
NAMES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    """Make four arrays: classes of unequal size, and each image with its number in its first two pixels."""
    rng = np.random.default_rng(7)
    made: dict[str, np.ndarray] = {}
    for part, count in (("train", TRAIN), ("test", TEST)):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        images[:, 0, 0], images[:, 0, 1] = np.arange(count) // 256, np.arange(count) % 256
        made[f"{part}_images"] = images
        made[f"{part}_labels"] = rng.choice(10, count, p=np.arange(1, 11) / 55).astype(np.uint8)
    return made


def _data(validation: Any = "test", seed: int = 0, checksums: bool = False, folder: Path | None = None) -> params.Data:
    block: dict[str, Any] = {}
    for key, name in NAMES.items():
        found = hashlib.sha256((folder / name).read_bytes()).hexdigest() if checksums and folder else None
        known = {"sha256": found} if found else {"gz_sha256": "0" * 64}
        block[key] = {"name": name, "count": TRAIN if key.startswith("train") else TEST, **known}
    value = {
        "dataset": "small",
        "sources": [{"directory": "none"}],
        "files": block,
        "validation": validation,
        "split_seed": seed,
    }
    return schema.validate(params.Data, value)


def _write(folder: Path, arrays: dict[str, np.ndarray]) -> Path:
    for key, array in arrays.items():
        idx.write(folder / NAMES[key], array)
    return folder


def _numbers(split: dataset.Split) -> list[int]:
    return [int(image[0, 0]) * 256 + int(image[0, 1]) for image in split.images]


def test_without_validation_the_files_are_the_splits(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Under `validation: test` the training split is the whole training set, and there is no validation split."""
    made = preprocess.preprocess(_data(), _write(tmp_path, arrays))

    assert made.validation is None
    np.testing.assert_array_equal(made.train.images, arrays["train_images"])
    np.testing.assert_array_equal(made.train.labels, arrays["train_labels"])
    np.testing.assert_array_equal(made.test.images, arrays["test_images"])
    np.testing.assert_array_equal(made.test.labels, arrays["test_labels"])


@pytest.mark.parametrize("count", [1, 15, 149])
def test_held_out_images_and_the_rest_are_all_in_file_order(
    tmp_path: Path, arrays: dict[str, np.ndarray], count: int
) -> None:
    """Training and validation are disjoint, complete, in the files' order, each image with its own label."""
    made = preprocess.preprocess(_data(count), _write(tmp_path, arrays))

    assert made.validation is not None
    train, validation = _numbers(made.train), _numbers(made.validation)
    assert len(validation) == count
    assert train == sorted(train)
    assert validation == sorted(validation)
    assert sorted(train + validation) == list(range(TRAIN))
    for split in (made.train, made.validation):
        np.testing.assert_array_equal(split.labels, arrays["train_labels"][_numbers(split)])
    np.testing.assert_array_equal(made.test.images, arrays["test_images"])


@pytest.mark.parametrize(("sizes", "count"), [((5, 3, 2), 4), ((1, 1, 7), 3), ((4, 0, 5), 3), ((6, 6, 6), 7)])
def test_classes_are_held_out_in_proportion(sizes: tuple[int, ...], count: int) -> None:
    """No other whole numbers per class come nearer (in squares) to each class's exact share."""
    labels = np.repeat(np.arange(len(sizes), dtype=np.uint8), sizes)
    np.random.default_rng(0).shuffle(labels)
    exact = [Fraction(size * count, sum(sizes)) for size in sizes]

    def distance(shares: tuple[int, ...]) -> Fraction:
        return sum(((share - wish) ** 2 for share, wish in zip(shares, exact, strict=True)), Fraction(0))

    held_out = Counter(labels[preprocess.hold_out(labels, count, seed=0)].tolist())
    found = tuple(held_out[label] for label in range(len(sizes)))
    best = min(distance(shares) for shares in product(*(range(size + 1) for size in sizes)) if sum(shares) == count)
    assert sum(found) == count
    assert distance(found) == best


def test_the_split_is_a_function_of_its_seed() -> None:
    """The same seed holds the same images out; another seed holds others out."""
    labels = np.tile(np.arange(10, dtype=np.uint8), 40)

    first, again, other = (preprocess.hold_out(labels, 100, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_each_image_of_a_class_has_the_same_chance() -> None:
    """Over many seeds each image of a class is held out as often as the others of it."""
    labels = np.tile(np.array([3, 8], dtype=np.uint8), 10)

    share = np.mean([preprocess.hold_out(labels, 5, seed) for seed in range(2000)], axis=0)
    # Of equal remainders the lower class gets the rest: 3 of the ten 3s and 2 of the ten 8s. 0.05 is five deviations.
    np.testing.assert_allclose(share[labels == 3], 0.3, atol=0.05)
    np.testing.assert_allclose(share[labels == 8], 0.2, atol=0.05)


def test_the_summary_counts_and_measures_each_split(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Counts are those of a plain count; mean and standard deviation are numpy's, of pixels / 255 in float64."""
    arrays["test_labels"] %= 9  # a class without images is counted too
    data = _data(15, seed=4)
    made = preprocess.preprocess(data, _write(tmp_path, arrays))

    summary = preprocess.summarise(data, made, "abc")

    assert list(summary) == ["dataset", "validation", "split_seed", "sha256", "splits"]
    assert list(summary.values())[:4] == ["small", 15, 4, "abc"]
    assert list(summary["splits"]) == ["train", "validation", "test"]
    for name, split in made.splits().items():
        counted = Counter(split.labels.tolist())
        pixels = split.images.astype(np.float64) / 255
        found = summary["splits"][name]
        assert list(found) == ["count", "classes", "mean", "std"]
        assert found["count"] == len(split.labels)
        assert found["classes"] == [counted[label] for label in range(10)]
        assert found["mean"] == pytest.approx(pixels.mean(), rel=1e-12)
        assert found["std"] == pytest.approx(pixels.std(), rel=1e-12)


def test_the_table_has_a_line_per_split(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Each line of the printed table has the split's name, its count and its ten class counts."""
    data = _data(15)
    made = preprocess.preprocess(data, _write(tmp_path, arrays))

    lines = preprocess.table(preprocess.summarise(data, made, "")).splitlines()

    assert [line.split()[0] for line in lines[1:]] == ["train", "validation", "test"]
    for line, split in zip(lines[1:], made.splits().values(), strict=True):
        assert [int(cell) for cell in line.split()[2:]] == np.bincount(split.labels, minlength=10).tolist()


def _change(array: np.ndarray, **values: Any) -> np.ndarray:
    changed = array.copy()
    changed[values["at"]] = values["to"]
    return changed


@pytest.mark.fault("IDX files that do not fit each other, constant images, labels above 9")
@pytest.mark.parametrize(
    ("key", "change", "field"),
    [
        ("train_images", lambda a: a[:-1], "dimensions: expected (150, 28, 28), found (149, 28, 28)"),
        ("test_images", lambda a: np.concatenate([a, a[:1]]), "dimensions"),
        ("train_labels", lambda a: a[:-1], "dimensions: expected (150,), found (149,)"),
        ("test_labels", lambda a: a[:-1], "dimensions"),
        ("train_images", lambda a: a[:, :, :27], "dimensions"),
        ("train_images", lambda a: a.reshape(TRAIN, 14, 56), "dimensions"),
        ("train_images", lambda a: np.full_like(a, 9), "pixels: expected more than one value, found 9 everywhere"),
        ("test_images", np.zeros_like, "pixels"),
        ("train_labels", lambda a: _change(a, at=17, to=10), "labels: expected 0 to 9, found 10 for item 17"),
        ("test_labels", lambda a: _change(a, at=0, to=255), "labels"),
        ("train_labels", lambda a: a.reshape(TRAIN, 1, 1), "magic"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    tmp_path: Path, arrays: dict[str, np.ndarray], key: str, change: Any, field: str
) -> None:
    """The error is bad input and names the file and what is wrong in it."""
    arrays[key] = change(arrays[key])
    folder = _write(tmp_path, arrays)

    with pytest.raises(InputError) as caught:
        preprocess.preprocess(_data(), folder)

    assert caught.value.path == folder / NAMES[key]
    assert caught.value.what.startswith(field)


@pytest.mark.fault("IDX file truncated or missing")
def test_damaged_and_missing_files_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """A truncated file and a missing one are named."""
    path = _write(tmp_path, arrays) / NAMES["test_images"]
    path.write_bytes(path.read_bytes()[:-1])

    for what in ("data: truncated", "no such file"):
        with pytest.raises(InputError, match=what) as caught:
            preprocess.preprocess(_data(), tmp_path)
        assert caught.value.path == path
        path.unlink(missing_ok=True)


@pytest.mark.fault("IDX file edited after it was fetched")
def test_files_changed_after_they_were_fetched_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Where params.yaml has the checksum of a file, a single changed pixel is noticed."""
    folder = _write(tmp_path, arrays)
    data = _data(checksums=True, folder=folder)
    preprocess.preprocess(data, folder)

    idx.write(folder / NAMES["test_images"], _change(arrays["test_images"], at=(3, 3, 3), to=1))

    with pytest.raises(InputError, match=f"sha256: expected {data.files.test_images.sha256}") as caught:
        preprocess.preprocess(data, folder)
    assert caught.value.path == folder / NAMES["test_images"]
    assert "dvc repro fetch" in caught.value.fix


def _run(folder: Path, out: Path, data: params.Data, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(params, "load", lambda _path: type("Params", (), {"data": data}))
    options = {"--input": folder, "--output": out / "s.npz", "--summary": out / "data.json", "--digits": out / "d.png"}
    monkeypatch.setattr(sys, "argv", ["preprocess", *(str(part) for pair in options.items() for part in pair)])
    assert preprocess.main() == 0


def test_two_runs_write_the_same_bytes(
    tmp_path: Path, arrays: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two runs write equal bytes: arrays, summary (with the checksum of the npz) and figure."""
    folder = _write(tmp_path / "raw", arrays)
    for out in ("first", "second"):
        _run(folder, tmp_path / out, _data(15), monkeypatch)

    for name in ("s.npz", "data.json", "d.png"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    found = hashlib.sha256((tmp_path / "first" / "s.npz").read_bytes()).hexdigest()
    assert json.loads((tmp_path / "first" / "data.json").read_text())["sha256"] == found
    loaded = dataset.load(tmp_path / "first" / "s.npz")
    assert {name: len(split) for name, split in loaded.splits().items()} == {"train": 135, "validation": 15, "test": 30}
    assert "validation" in capsys.readouterr().out


def test_the_figure_shows_the_first_81_digits(
    tmp_path: Path, arrays: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The figure is a 9 by 9 grid of the first 81 training images."""
    seen: list[Any] = []
    monkeypatch.setattr(preprocess.grids, "digit_grid", lambda *grid: seen.extend(grid))
    monkeypatch.setattr(preprocess.style, "save", lambda _figure, _path: None)

    _run(_write(tmp_path / "raw", arrays), tmp_path / "out", _data(), monkeypatch)

    np.testing.assert_array_equal(seen[0], arrays["train_images"][:81])
    assert seen[1:] == [9, 9]
