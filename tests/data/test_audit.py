"""What is found in made splits, against a comparison of every picture with every other one."""

import time
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from pipeline.data import audit
from pipeline.data.dataset import Split

CLASSES = ("a", "b", "c", "d")


def split(count: int, seed: int, shape: tuple[int, ...] = (8, 8), labels: int = 3, **more: Any) -> Split:
    """Return a split of few different pictures, so that many are the same, without the last class."""
    rng = np.random.default_rng(seed)
    known = np.random.default_rng(9).integers(0, 256, (40, *shape), np.uint8)
    return Split(known[rng.integers(0, 40, count)], rng.integers(0, labels, count).astype(np.uint8), **more)


@pytest.mark.parametrize("shape", [(8, 8), (8, 9, 3)])
def test_copies_leaks_and_contradictions_are_counted(shape: tuple[int, ...]) -> None:
    """Each count is that of all pairs compared pixel by pixel."""
    splits = {"train": split(50, 1, shape), "validation": split(9, 2, shape), "test": split(12, 3, shape)}

    found = audit.audit(splits, CLASSES)

    places = [(name, row) for name, part in splits.items() for row in range(len(part))]
    same = {place: {place} for place in places}
    for one, other in combinations(places, 2):
        if (splits[one[0]].images[one[1]] == splits[other[0]].images[other[1]]).all():
            same[one].add(other)
            same[other].add(one)
    labels = {place: splits[place[0]].labels[place[1]] for place in places}
    assert found["copies"]["count"] == len(places) - len({min(others) for others in same.values()})
    assert found["two_classes"]["count"] == sum(len({labels[one] for one in same[place]}) > 1 for place in places)
    for within, name in combinations(splits, 2):
        leaked = [one for one in places if one[0] == name and any(other[0] == within for other in same[one])]
        assert found[f"{name}_in_{within.replace('train', 'training')}"]["count"] == len(leaked) > 0
    assert found["without"] == {name: ["d"] for name in splits}


def test_files_and_rows_are_named() -> None:
    """A picture is named by its file, or by its split and the row of its files, whichever is known."""
    images = np.zeros((3, 8, 8), np.uint8)
    images[:, 0, 0] = 1, 2, 1
    labels = np.array([0, 1, 1], np.uint8)
    files, rows = np.array(["a/1.png", "b/2.png", "b/3.png"]), np.array([10, 11, 12])

    of_files = audit.audit({"train": Split(images, labels, origins=files)}, CLASSES)
    of_rows = audit.audit({"train": Split(images, labels, origins=rows)}, CLASSES)

    assert of_files["copies"] == {"count": 1, "named": ["a/1.png = b/3.png"]}
    assert of_rows["two_classes"] == {"count": 2, "named": ["train 10 = train 12"]}
    (first, *_) = audit.sentences(of_files, "stone")
    assert first == "1 stone is the same as another one: a/1.png = b/3.png"


def test_groups_of_a_given_test_set_that_are_trained_on_are_named() -> None:
    """Each image of a group that has one in training is counted, with one of those; splits without groups have none."""
    images = np.random.default_rng(0).integers(0, 256, (9, 8, 8), np.uint8)
    train = Split(images[:4], np.zeros(4, np.uint8), groups=np.array([0, 1, 1, 2]), origins=np.arange(4))
    test = Split(images[4:], np.zeros(5, np.uint8), groups=np.array([3, 1, 4, 2, 1]), origins=np.arange(10, 15))

    found = audit.audit({"train": train, "test": test}, CLASSES)

    named = ["train 1 = test 11 = test 14", "train 3 = test 13"]
    assert found["test_groups_in_training"] == {"count": 3, "named": named}
    assert "3 images are test images of groups that training images are of, too: train 1 = " in " ".join(
        audit.sentences(found)
    )
    assert "test_groups_in_training" not in audit.audit({"train": split(9, 1), "test": split(9, 2)}, CLASSES)


def test_what_validation_and_test_share_is_a_sentence() -> None:
    """A picture and a group in both are named, although neither is trained on; where there is none, nothing is said."""
    images, labels = np.random.default_rng(0).integers(0, 256, (6, 8, 8), np.uint8), np.zeros(2, np.uint8)
    made = {
        name: Split(images[rows], labels, groups=np.array(groups))
        for name, rows, groups in (("train", [0, 1], [0, 0]), ("validation", [2, 3], [1, 2]), ("test", [4, 3], [2, 3]))
    }

    told = audit.sentences(audit.audit(made, CLASSES))

    assert "1 image is test images and validation images as well: validation 1 = test 1" in told
    assert "1 image is test images of groups that validation images are of, too: validation 1 = test 0" in told
    made["test"] = Split(images[4:], labels, groups=np.array([3, 4]))
    assert not any("in_validation" in key for key in audit.audit(made, CLASSES))


@pytest.mark.parametrize("colour", [False, True])
def test_constant_pictures_are_named(colour: bool) -> None:
    """A picture is constant if each of its channels is, whatever the channels are."""
    part = split(6, 1, (8, 8, 3) if colour else (8, 8))
    part.images[2], part.images[4] = 7, ([1, 2, 3] if colour else 9)

    assert audit.audit({"train": part}, CLASSES)["constant"] == {"count": 2, "named": ["train 2", "train 4"]}


@pytest.mark.parametrize(
    ("low", "high", "scale", "advice"),
    [
        (0, 16, 255, "`scale: 16` in options makes 16 white"),
        (0, 16, 65535, "`scale: 4241` in options makes 4241 white"),
        (0, 16, None, "`scaling: standardized` of a model spreads them"),
        (200, 255, 255, "`scaling: standardized` of a model spreads them"),
        (100, 180, 65535, "`scaling: standardized` of a model spreads them"),
        (0, 128, 255, ""),
        (100, 255, None, ""),
    ],
)
def test_a_part_of_the_range_is_said(low: int, high: int, scale: int | None, advice: str) -> None:
    """Pixels that use less than half of the range are a sentence with what helps; others are none."""
    images = np.linspace(low, high, 3 * 64).round().astype(np.uint8).reshape(3, 8, 8)

    told = audit.sentences(audit.audit({"train": Split(images, np.arange(3))}, CLASSES[:3]), scale=scale)

    assert told == ([f"pixels are {low} to {high}, of 0 to 255: {advice}"] if advice else [])


def test_as_many_images_as_mnists_take_seconds() -> None:
    """70,000 images are compared in seconds, as only equal hashes are."""
    images = np.random.default_rng(0).integers(0, 256, (70_000, 28, 28), np.uint8)
    started = time.perf_counter()

    found = audit.audit({"train": Split(images, np.zeros(len(images), np.uint8))}, CLASSES)

    assert found["copies"]["count"] == 0
    assert time.perf_counter() - started < 10
