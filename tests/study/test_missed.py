"""The figure of the test images that most replicates miss."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from pipeline import files
from pipeline.data import dataset
from pipeline.data.dataset import Dataset
from pipeline.study import missed


@pytest.fixture
def drawn(digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Work in a folder with a prepared data set and a table; return what a gallery is drawn of."""
    monkeypatch.chdir(tmp_path)
    dataset.save(Path("digits.npz"), digits)
    splits = {"splits": {"train": {"count": 1}, "test": {"count": 1}}}
    summary = {"dataset": "digits", "sha256": files.sha256(Path("digits.npz")), "negative": True}
    files.write_json(Path("digits.json"), summary | {"classes": list("0123456789"), "image": [28, 28]} | splits)
    rows = [("digits", 9, 1, 1.0, 7), ("other", 3, 1, 1.0, 7), ("digits", 4, 2, 0.5, 8)]
    pd.DataFrame(rows, columns=["dataset", "image", "label", "share", "answer"]).to_csv("missed.csv", index=False)
    given: list[Any] = []
    monkeypatch.setattr(missed.grids, "gallery", lambda *arguments: given.append(arguments) or Figure())
    return given


def call(monkeypatch: pytest.MonkeyPatch, name: str = "digits") -> None:
    """Call the command, which writes figure.png."""
    options = ["--data", ".", "--summaries", ".", "--missed", "missed.csv", "--output", "figure.png"]
    monkeypatch.setattr(sys, "argv", ["missed", name, *options])
    assert missed.main() == 0
    with Image.open("figure.png") as picture:
        assert picture.format == "PNG"


def test_it_shows_the_images_of_the_table(drawn: list[Any], digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the table's order, each with its label and what most answer; rows of other data sets are left out."""
    call(monkeypatch)

    ((images, labels, answers, classes),) = drawn
    assert np.array_equal(images, digits.test.images[[9, 4]])
    assert (list(labels), list(answers["most answers"])) == ([1, 2], [7, 8])
    assert classes == list("0123456789")


def test_where_no_image_is_missed_it_is_empty(drawn: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is there all the same, as DVC expects."""
    table = pd.read_csv("missed.csv")
    table[table["dataset"] == "other"].to_csv("missed.csv", index=False)

    call(monkeypatch)

    assert drawn == []
