"""The data sets of the study as prepare wrote them: `NAME.npz`, and a summary of it in `NAME.json`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipeline import files
from pipeline.errors import InputError
from pipeline.study.plan import Study

Summary = Mapping[str, Any]
Summaries = Mapping[str, Summary]


def load(folder: Path, names: Iterable[str]) -> dict[str, Summary]:
    """Return the summaries of these data sets by name.

    Raises:
        InputError: One is missing, damaged, or of another data set.
    """
    return {name: _load(folder / f"{name}.json", name) for name in names}


def _load(path: Path, name: str) -> Summary:
    summary = files.read_json(path)
    found = summary.get("dataset") if isinstance(summary, Mapping) else None
    if found != name or "sha256" not in summary:
        raise InputError(f"is not the summary of the data set {name}", path=path, fix=_again(name))
    return dict(summary)


def checksums(summaries: Summaries) -> dict[str, str]:
    """Return the SHA-256 of each data set's npz by name."""
    return {name: str(summary["sha256"]) for name, summary in summaries.items()}


def verified(folder: Path, summaries: Summaries) -> dict[str, Path]:
    """Return the npz files in `folder` by their SHA-256.

    Raises:
        InputError: One is missing, or is not the one that its summary describes.
    """
    found = {}
    for name, expected in checksums(summaries).items():
        path = folder / f"{name}.npz"
        if (actual := files.sha256(path)) != expected:
            what = f"has sha256 {actual}, not the {expected} of {name}.json"
            raise InputError(what, path=path, fix=_again(name))
        found[expected] = path
    return found


def check_images(study: Study, summaries: Summaries, path: Path) -> None:
    """Check that each variant of the params at `path` can be trained on its data set.

    Raises:
        InputError: A network does not fit the images, or there are fewer images than in a batch; one line per fault.
    """
    faults = []
    for name, variant in study.variants.items():
        summary = summaries[variant.dataset]
        try:
            variant.network.check_shape(tuple(summary["image"]))
        except ValueError as error:
            faults.append(f"variants.{name}.network: {variant.dataset}: {error}")
    for name, summary in summaries.items():
        if study.train.batch_size > (count := summary["splits"]["train"]["count"]):
            faults.append(f"train.batch_size: more than the {count} training images of {name}")
    if faults:
        raise InputError(f"\n{path}: ".join(faults), path=path)


def _again(name: str) -> str:
    return f"`dvc repro --force prepare@{name}` in study/ creates both again"
