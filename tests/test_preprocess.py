"""Preprocessing on small IDX files made here: counts, splits, stability, refusals."""

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

from pipeline import files, params, preprocess, schema
from pipeline.data import dataset, sets
from pipeline.data.dataset import Dataset
from pipeline.data.formats import idx
from pipeline.data.splits import hold_out
from pipeline.errors import InputError
from tests.support.frozen import FROZEN

TRAIN, TEST = 150, 30
CLASSES = ("nought", *"12345678", "nine")
BATCH = {"batch_size: 128": "batch_size: 8"}
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
        # Each class once, so that none is missing.
        others = rng.choice(10, count - 10, p=np.arange(1, 11) / 55)
        made[f"{part}_labels"] = rng.permutation(np.concatenate([np.arange(10), others])).astype(np.uint8)
    return made


def _data(validation: Any = "test", seed: int = 0) -> params.Data:
    return params.Data(dataset="small", validation=validation, split_seed=seed)


def _set(folder: Path | None = None) -> sets.IdxSet:
    """Return what describes the files, with their checksums if they are in a `folder`."""
    block: dict[str, Any] = {}
    for key, name in NAMES.items():
        found = hashlib.sha256((folder / name).read_bytes()).hexdigest() if folder else None
        block[key] = {"name": name, **({"sha256": found} if found else {"gz_sha256": "0" * 64})}
    described = {
        "format": "idx",
        "title": "Small",
        "credit": "made here",
        "noun": "blot",
        "handwriting": None,
        "target_accuracy": 0.9,
        "image": {"height": 28, "width": 28, "channels": 1},
        "classes": list(CLASSES),
        "counts": {"train": TRAIN, "test": TEST},
        "sources": [{"directory": "none"}],
        "files": block,
    }
    return schema.validate(sets.IdxSet, described)


def _made(folder: Path, validation: Any = "test", described: sets.IdxSet | None = None) -> Dataset:
    return preprocess.preprocess(_data(validation), described or _set(), folder, Path("params.yaml"))


def _write(folder: Path, arrays: dict[str, np.ndarray]) -> Path:
    for key, array in arrays.items():
        files.write_bytes(folder / NAMES[key], idx.encode(array))
    return folder


def _numbers(split: dataset.Split) -> list[int]:
    return [int(image[0, 0]) * 256 + int(image[0, 1]) for image in split.images]


def test_without_validation_the_files_are_the_splits(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Under `validation: test` the training split is the whole training set, and there is no validation split."""
    made = _made(_write(tmp_path, arrays))

    assert made.validation is None
    np.testing.assert_array_equal(made.train.images, arrays["train_images"])
    np.testing.assert_array_equal(made.train.labels, arrays["train_labels"])
    np.testing.assert_array_equal(made.test.images, arrays["test_images"])
    np.testing.assert_array_equal(made.test.labels, arrays["test_labels"])


@pytest.mark.parametrize("count", [1, 15, 60])
def test_held_out_images_and_the_rest_are_all_in_file_order(
    tmp_path: Path, arrays: dict[str, np.ndarray], count: int
) -> None:
    """Training and validation are disjoint, complete, in the files' order, each image with its own label."""
    made = _made(_write(tmp_path, arrays), count)

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

    held_out = Counter(labels[hold_out(labels, count, seed=0)].tolist())
    found = tuple(held_out[label] for label in range(len(sizes)))
    best = min(distance(shares) for shares in product(*(range(size + 1) for size in sizes)) if sum(shares) == count)
    assert sum(found) == count
    assert distance(found) == best


def test_the_split_is_a_function_of_its_seed() -> None:
    """The same seed holds the same images out; another seed holds others out."""
    labels = np.tile(np.arange(10, dtype=np.uint8), 40)

    first, again, other = (hold_out(labels, 100, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_each_image_of_a_class_has_the_same_chance() -> None:
    """Over many seeds each image of a class is held out as often as the others of it."""
    labels = np.tile(np.array([3, 8], dtype=np.uint8), 10)

    share = np.mean([hold_out(labels, 5, seed) for seed in range(2000)], axis=0)
    # Of equal remainders the lower class gets the rest: 3 of the ten 3s and 2 of the ten 8s. 0.05 is five deviations.
    np.testing.assert_allclose(share[labels == 3], 0.3, atol=0.05)
    np.testing.assert_allclose(share[labels == 8], 0.2, atol=0.05)


def test_the_summary_counts_and_measures_each_split(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Counts are those of a plain count; mean and standard deviation are numpy's, of pixels / 255 in float64."""
    arrays["test_labels"] %= 9  # a class without images is counted too
    made = _made(_write(tmp_path, arrays), 15)

    summary = preprocess.summarise(_data(15, seed=4), _set(), made, "abc")

    assert {key: value for key, value in summary.items() if key not in ("splits", "audit", "findings")} == {
        "dataset": "small",
        "title": "Small",
        "noun": "blot",
        "credit": "made here",
        "handwriting": None,
        "pictures": {"resize": None, "convert": False, "background": "white"},
        "target_accuracy": 0.9,
        "image": [28, 28],
        "classes": list(CLASSES),
        "validation": 15,
        "split_seed": 4,
        "sha256": "abc",
        "negative": False,
    }
    assert summary["findings"][-1] == "no test image of the class nine"
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


def test_the_table_has_a_line_per_class(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Each line of the printed table has the name of a class and its count in each split; the last has the sums."""
    made = _made(_write(tmp_path, arrays), 15)

    lines = preprocess.table(preprocess.summarise(_data(15), _set(), made, "")).splitlines()

    assert lines[0].split() == ["class", "train", "validation", "test"]
    assert [line.split()[0] for line in lines[1:]] == [*CLASSES, "all"]
    assert len({len(line) for line in lines}) == 1
    for column, split in enumerate(made.splits().values(), start=1):
        counts = np.bincount(split.labels, minlength=10).tolist()
        assert [int(line.split()[column]) for line in lines[1:]] == [*counts, len(split)]


def test_the_table_of_many_classes_is_short() -> None:
    """Of over twenty classes only the smallest and the largest count are printed."""
    counts = list(range(3, 103))
    summary = {"classes": [f"c{i}" for i in counts], "splits": {"train": {"count": sum(counts), "classes": counts}}}

    lines = [line.split() for line in preprocess.table(summary).splitlines()]

    assert lines == [["class", "train"], ["smallest", "3"], ["largest", "102"], ["all", str(sum(counts))]]


def _change(array: np.ndarray, **values: Any) -> np.ndarray:
    changed = array.copy()
    changed[values["at"]] = values["to"]
    return changed


@pytest.mark.fault("IDX file edited after it was fetched")
def test_files_changed_after_they_were_fetched_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Where the checksum of a file is known, a single changed pixel is noticed."""
    folder = _write(tmp_path, arrays)
    described = _set(folder)
    _made(folder, described=described)

    (folder / NAMES["test_images"]).write_bytes(idx.encode(_change(arrays["test_images"], at=(3, 3, 3), to=1)))

    with pytest.raises(InputError, match=f"sha256: expected {described.files.test_images.sha256}") as caught:
        _made(folder, described=described)
    assert caught.value.path == folder / NAMES["test_images"]
    assert "dvc repro fetch" in caught.value.fix


@pytest.mark.fault("params: all training images held out")
@pytest.mark.parametrize("count", [TRAIN, TRAIN + 1])
def test_something_has_to_be_left_to_train_on(tmp_path: Path, arrays: dict[str, np.ndarray], count: int) -> None:
    """Holding all training images out is an error of the params file, with its key."""
    folder = _write(tmp_path, arrays)

    with pytest.raises(InputError, match=r"data\.validation: .* leaves no training data") as caught:
        _made(folder, count)
    assert caught.value.path == Path("params.yaml")


@pytest.mark.fault("params: all images of a class held out")
def test_each_class_keeps_a_training_image(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Where a small class would be held out as a whole, its name is in the error."""
    arrays["train_labels"] = np.where(arrays["train_labels"] == 0, 9, arrays["train_labels"]).astype(np.uint8)
    arrays["train_labels"][7] = 0
    folder = _write(tmp_path, arrays)

    with pytest.raises(InputError, match="all images of the class 'nought' are held out") as caught:
        _made(folder, TRAIN - 20)
    assert caught.value.path == Path("params.yaml")


def _run(folder: Path, out: Path, validation: Any, capsys: pytest.CaptureFixture[str], **edits: str) -> str:
    """Preprocess with params, some texts of which are replaced, and return what is printed."""
    out.mkdir(parents=True, exist_ok=True)
    content = (FROZEN / "params.yaml").read_text().replace("validation: test", f"validation: {validation}")
    for old, new in {"dataset: mnist": "dataset: small", **edits}.items():
        assert old in content
        content = content.replace(old, new)
    (out / "params.yaml").write_text(content)
    (out / "small.yaml").write_text(json.dumps(_set().model_dump(mode="json", exclude_none=True)))
    options = {
        "set": "small.yaml",
        "output": "s.npz",
        "summary": "data.json",
        "samples": "d.png",
        "params": "params.yaml",
    }
    words = [word for key, name in options.items() for word in (f"--{key}", str(out / name))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["preprocess", "--input", str(folder), *words])
        assert preprocess.main() == 0
    return capsys.readouterr().out


def test_two_runs_write_the_same_bytes(
    tmp_path: Path, arrays: dict[str, np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    """Two runs write equal bytes: arrays, summary (with the checksum of the npz) and figure."""
    folder = _write(tmp_path / "raw", arrays)
    printed = [_run(folder, tmp_path / out, 15, capsys, **BATCH) for out in ("first", "second")]

    for name in ("s.npz", "data.json", "d.png"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    found = hashlib.sha256((tmp_path / "first" / "s.npz").read_bytes()).hexdigest()
    assert json.loads((tmp_path / "first" / "data.json").read_text())["sha256"] == found
    loaded = dataset.load(tmp_path / "first" / "s.npz")
    assert {name: len(split) for name, split in loaded.splits().items()} == {"train": 135, "validation": 15, "test": 30}
    assert "validation" in printed[0]


def test_the_figure_shows_the_first_81_images(
    tmp_path: Path, arrays: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The figure is a 9 by 9 grid of the first 81 training images, whose 0 is drawn as black unless they show ink."""
    seen: list[Any] = []
    monkeypatch.setattr(preprocess.grids, "samples", lambda *grid: seen.extend(grid))
    monkeypatch.setattr(preprocess.style, "save", lambda _figure, _path: None)

    _run(_write(tmp_path / "raw", arrays), tmp_path / "out", "test", capsys, **BATCH)

    # To the function, 0 is white.
    np.testing.assert_array_equal(seen[0], 255 - arrays["train_images"][:81])
    assert seen[1:] == [9, 9]


@pytest.mark.fault("params: batch or network that does not fit the data")
@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("batch_size: 128", "batch_size: 151", "train.batch_size: expected at most the 150 training images, found 151"),
        ("kernel: 3", "kernel: 15", "models.cnn.network: a 28x28 image is too small for 2 convolutions"),
        ("kernel: 3", "kernel: 99", "models.cnn.network: a 28x28 image is too small for 2 convolutions"),
    ],
)
def test_what_does_not_fit_the_data_is_refused_before_anything_is_trained(
    tmp_path: Path, arrays: dict[str, np.ndarray], capsys: Any, old: str, new: str, fault: str
) -> None:
    """A batch larger than the training set and a network larger than the image are a line each, and nothing is made."""
    folder = _write(tmp_path / "raw", arrays)

    with pytest.raises(InputError) as caught:
        _run(folder, tmp_path / "out", "test", capsys, **{old: new})

    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{tmp_path}/out/params.yaml: {fault}")
    assert not (tmp_path / "out" / "s.npz").exists()
