"""What a survey of files on a disk needs whatever their format: usual names, what the user has stated, the result."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.errors import InputError
from pipeline.schema import Block, Name

# What splits, and columns or arrays of labels and of images, are usually called.
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
}
LABELS = ("label", "labels", "class", "category", "target", "y")


class Named(Block):
    """The name of a data set that is to be."""

    name: Name


@dataclass(frozen=True)
class Stated:
    """What the user has stated, where files could be either: `size` is (height, width), `scale` becomes 255."""

    size: tuple[int, int] | None = None
    scale: float | None = None
    label: str | None = None
    level: int | None = None


@dataclass
class Survey:
    """What was found: what the set's file says, where each file goes, and what to know of them."""

    content: dict[str, Any]
    copies: dict[str, Path]
    notes: list[str] = field(default_factory=list)


def label_column(columns: Sequence[str], path: Path, stated: Stated) -> str:
    """Return the column of the labels: the stated one, the only one, or the only one with a usual name."""
    usual = [column for column in columns if column.lower() in LABELS]
    chosen = [stated.label] if stated.label else columns if len(columns) == 1 else usual
    if len(chosen) != 1 or chosen[0] not in columns:
        raise InputError(f"which column has the labels? {', '.join(columns[:10])}", path=path, fix="say LABEL=column")
    return chosen[0]


def natural(names: Iterable[str]) -> list[str]:
    """Return names in their order, numbers by their value."""
    return sorted(names, key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name))


def held_out(content: dict[str, Any], *, tests: bool) -> dict[str, Any]:
    """Return `content`, with a share held out where no images are there to test with."""
    return content if tests else content | {"held_out": {"share": 0.2, "seed": 0}}
