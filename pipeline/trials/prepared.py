"""Data sets that replicates are trained on: `NAME.npz`, and a summary of it in `NAME.json`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from pipeline import files, schema
from pipeline.errors import InputError

Summary = Mapping[str, Any]
Summaries = Mapping[str, Summary]


class _Split(BaseModel):
    count: int


class _Splits(BaseModel):
    train: _Split
    test: _Split


class _Summary(BaseModel):
    dataset: str
    sha256: str
    image: list[int]
    classes: list[str]
    splits: _Splits


@dataclass(frozen=True)
class PreparedData:
    """A data set as an npz, and the summary of it."""

    path: Path
    summary: Summary

    @property
    def sha256(self) -> str:
        """The SHA-256 of the npz."""
        return str(self.summary["sha256"])

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of an image."""
        return tuple(self.summary["image"])

    def count(self, split: str) -> int:
        """Return the number of images in a split."""
        return int(self.summary["splits"][split]["count"])


def read(path: Path) -> Summary:
    """Return the summary in the file at `path`.

    Raises:
        InputError: It is missing or damaged.
    """
    summary = files.read_json(path)
    schema.check_shape(_Summary, summary, path, "a summary as preprocess writes it")
    return summary


def load(folder: Path, names: Iterable[str]) -> dict[str, Summary]:
    """Return the summaries of these data sets by name.

    Raises:
        InputError: One is missing, damaged, or of another data set.
    """
    summaries: dict[str, Summary] = {}
    for name in names:
        path = folder / f"{name}.json"
        summary = read(path)
        if summary["dataset"] != name:
            raise InputError(f"is not the summary of the data set {name}", path=path, fix=_again(name))
        summaries[name] = summary
    return summaries


def checksums(summaries: Summaries) -> dict[str, str]:
    """Return the SHA-256 of each data set's npz by name."""
    return {name: str(summary["sha256"]) for name, summary in summaries.items()}


def verified(folder: Path, summaries: Summaries) -> list[PreparedData]:
    """Return the data sets whose npz files are in `folder`.

    Raises:
        InputError: A file is missing, or is not the one that its summary describes.
    """
    prepared = [PreparedData(folder / f"{name}.npz", summary) for name, summary in summaries.items()]
    for name, data in zip(summaries, prepared, strict=True):
        if (actual := files.sha256(data.path)) != data.sha256:
            what = f"has sha256 {actual}, not the {data.sha256} of {name}.json"
            raise InputError(what, path=data.path, fix=_again(name))
    return prepared


def _again(name: str) -> str:
    return f"`dvc repro --force prepare@{name}` in study/ creates both again"
