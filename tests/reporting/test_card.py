"""The cards of a data set, for people and as Croissant metadata; those of models: tests/tracking/test_artifacts.py."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support import data_card

SUMMARY: dict[str, Any] = {
    "dataset": "stones",
    "title": "Stones | found",
    "credit": "A. Finder (2026)",
    "image": [32, 32, 3],
    "classes": ["agate", "pebble"],
    "sha256": "a" * 64,
    "findings": ["2 images are copies"],
    "splits": {"train": {"count": 1300, "classes": [1200, 100]}, "test": {"count": 30, "classes": [20, 10]}},
}


def test_the_card_of_a_data_set_counts_its_images() -> None:
    """Each class has a row with its images in each split; checksum, credit and what the checks found are there."""
    lines = data_card.data_card(SUMMARY).splitlines()

    assert lines[0] == "# Stones \\| found"
    assert "| Class | train (1,300 images) | test (30 images) |" in lines
    assert {"| agate | 1,200 | 20 |", "| pebble | 100 | 10 |", "- 2 images are copies", "A. Finder (2026)"} <= {*lines}
    assert "a" * 64 in data_card.data_card(SUMMARY)


def test_a_data_set_without_findings_says_so() -> None:
    """That nothing was found is said, too."""
    assert "- The checks found nothing." in data_card.data_card(SUMMARY | {"findings": []})


def test_the_metadata_are_croissant(tmp_path: Path) -> None:
    """The format's own validator takes them, without an error; the classes are records, the file has its checksum."""
    validator = pytest.importorskip("mlcroissant", reason="needs mlcroissant, which is not locked")
    path = tmp_path / "croissant.json"
    path.write_text(json.dumps(data_card.croissant(SUMMARY)))

    dataset = validator.Dataset(jsonld=path)

    records = [tuple(record.values()) for record in dataset.records("classes")]
    assert records == [(0, "agate"), (1, "pebble")]
    (file,) = dataset.metadata.distribution
    assert (file.name, file.sha256) == ("stones.npz", "a" * 64)


def test_the_metadata_are_what_the_validator_was_asked() -> None:
    """Where the validator is not installed: these are the very metadata that it took, mlcroissant 1.1."""
    recorded = json.loads((Path(__file__).parent / "croissant.json").read_text())

    assert data_card.croissant(SUMMARY) == recorded
