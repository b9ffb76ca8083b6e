"""The npz with the splits: it reads back as it was written, and nothing else is accepted."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.data import dataset
from pipeline.data.dataset import Dataset, Split
from pipeline.errors import InputError

CLASSES = ("nought", *"12345678", "T-shirt/top")


def split(n: int, seed: int = 0) -> Split:
    """Return random images and labels."""
    random = np.random.default_rng(seed)
    return Split(random.integers(0, 256, (n, 28, 28), np.uint8), random.integers(0, 10, n, np.uint8))


def arrays(**others: np.ndarray | None) -> dict[str, np.ndarray]:
    """Return the arrays of a small data set; those given replace theirs, None removes one."""
    train, test = split(4), split(3, 1)
    named = {
        "train_images": train.images,
        "train_labels": train.labels,
        "test_images": test.images,
        "test_labels": test.labels,
        "class_names": np.array(CLASSES),
    }
    return {name: array for name, array in (named | others).items() if array is not None}


@pytest.mark.parametrize("validation", [None, split(2, 2)], ids=["sealed", "held out"])
def test_a_dataset_reads_back(tmp_path: Path, validation: Split | None) -> None:
    """Every split reads back with the same values and types; a validation split appears only if there is one."""
    before = Dataset(split(4), validation, split(3, 1), CLASSES)

    dataset.save(tmp_path / "x.npz", before)
    after = dataset.load(tmp_path / "x.npz")

    assert list(after.splits()) == ["train", *(["validation"] if validation else []), "test"]
    assert after.classes == CLASSES
    assert after.shape == (28, 28)
    for name, found in after.splits().items():
        np.testing.assert_array_equal(found.images, before.splits()[name].images, strict=True)
        np.testing.assert_array_equal(found.labels, before.splits()[name].labels, strict=True)


def test_origins_read_back(tmp_path: Path) -> None:
    """Where images came from is kept for the splits that have it; one for each image, or the file is refused."""
    train, names = split(4), np.array(["a/1.png", "b/2.png", "b/é.png", "train.csv row 7"])
    dataset.save(tmp_path / "x.npz", Dataset(replace(train, origins=names), None, split(3, 1), CLASSES))

    found = dataset.load(tmp_path / "x.npz")

    assert found.train.origins is not None
    assert found.train.origins.tolist() == names.tolist()
    assert found.test.origins is None
    for wrong in (names[:3], np.arange(4), names[None]):
        np.savez(tmp_path / "x.npz", **arrays(train_origins=wrong))
        with pytest.raises(InputError, match=r"^[^\n]+x\.npz: train_origins: expected 4 texts, found [^\n]+$"):
            dataset.load(tmp_path / "x.npz")


def test_the_test_split_is_monitored_only_without_a_validation_split() -> None:
    """With a validation split, the test split stays sealed during training."""
    train, validation, test = split(4), split(2, 2), split(3, 1)

    assert Dataset(train, None, test, CLASSES).monitored is test
    assert Dataset(train, validation, test, CLASSES).monitored is validation


@pytest.mark.parametrize("name", ["train_images", "train_labels", "test_labels", "class_names"])
def test_a_missing_array_is_named(tmp_path: Path, name: str) -> None:
    """Images without labels, or the reverse, are not a split."""
    np.savez(tmp_path / "x.npz", **arrays(**{name: None}))

    with pytest.raises(InputError, match=f"not a preprocessed data set \\('{name}' is missing\\)"):
        dataset.load(tmp_path / "x.npz")


@pytest.mark.fault("npz with arrays of another form")
@pytest.mark.parametrize(
    "wrong",
    [
        {"train_images": np.zeros((4, 28, 28), np.float32)},
        {"train_images": np.zeros((4, 784), np.uint8)},
        {"train_images": np.zeros((4, 28, 28, 1), np.uint8)},
        {"train_images": np.zeros((4, 28, 28, 4), np.uint8)},
        {"train_images": np.zeros((4, 7, 28), np.uint8)},
        {"train_images": np.zeros((4, 28, 257), np.uint8)},
        {"train_images": np.zeros((5, 28, 28), np.uint8)},
        {"train_images": np.zeros((0, 28, 28), np.uint8), "train_labels": np.zeros(0, np.uint8)},
        {"train_labels": np.zeros(4, np.int64)},
        {"train_labels": np.zeros(4, np.uint16)},
        {"train_labels": np.zeros((4, 1), np.uint8)},
        {"train_labels": np.uint8(3)},
        {"train_labels": np.array([0, 1, 2, 10], np.uint8)},
    ],
)
def test_arrays_of_another_form_are_refused(tmp_path: Path, wrong: dict[str, np.ndarray]) -> None:
    """Other types, shapes and counts, no images, and labels that are not a class: one line with the split's name."""
    np.savez(tmp_path / "x.npz", **arrays(**wrong))

    with pytest.raises(
        InputError, match=r"^[^\n]+x\.npz: train: expected uint8 \(n, h, w\) or \(n, h, w, 3\), [^\n]+$"
    ):
        dataset.load(tmp_path / "x.npz")


@pytest.mark.fault("npz whose splits have images of different shapes")
@pytest.mark.parametrize("shape", [(3, 27, 28), (3, 28, 28, 3)])
def test_splits_have_images_of_one_shape(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """Test images of another size or with colours are refused, although they are images."""
    np.savez(tmp_path / "x.npz", **arrays(test_images=np.zeros(shape, np.uint8)))

    with pytest.raises(InputError, match=r"test: expected uint8"):
        dataset.load(tmp_path / "x.npz")


@pytest.mark.fault("npz with class names of another form")
@pytest.mark.parametrize(
    ("names", "fault"),
    [
        (np.array(["a"]), "expected 2 to 1000 class names, found 1"),
        (np.array(["a", "a"]), "expected different class names, found 'a' twice"),
        (np.array(["a", ""]), "expected a class name of"),
        (np.array([["a", "b"]]), "expected texts"),
        (np.arange(10), "expected texts"),
        (np.array([b"a", b"b"]), "expected texts"),
    ],
)
def test_class_names_of_another_form_are_refused(tmp_path: Path, names: np.ndarray, fault: str) -> None:
    """Names that the file of a data set may not have are refused in its npz too."""
    np.savez(tmp_path / "x.npz", **arrays(class_names=names))

    with pytest.raises(InputError, match=f"class_names: {fault}"):
        dataset.load(tmp_path / "x.npz")


@pytest.mark.parametrize(("count", "kind"), [(256, np.uint8), (257, np.uint16), (1000, np.uint16)])
@pytest.mark.parametrize("shape", [(8, 256), (32, 32, 3), (256, 9, 3)])
def test_the_limits_are_reached(tmp_path: Path, count: int, kind: type[np.integer], shape: tuple[int, ...]) -> None:
    """Up to 1,000 classes, labels of two bytes from 257 classes on, sides from 8 to 256, grey or three colours."""
    images = np.random.default_rng(0).integers(0, 256, (3, *shape), np.uint8)
    part = Split(images, np.array([0, 1, count - 1], kind))
    classes = tuple(f"class {number}" for number in range(count))

    dataset.save(tmp_path / "x.npz", Dataset(part, None, part, classes))
    found = dataset.load(tmp_path / "x.npz")

    assert (found.classes, found.shape, dataset.label_type(classes)) == (classes, shape, kind)
    np.testing.assert_array_equal(found.train.images, images, strict=True)
    np.testing.assert_array_equal(found.test.labels, part.labels, strict=True)
