"""The data set of a trained model: the shape of its images, the names of its classes, what a picture has to show.

A model file has the shape and the number of classes, but no names. These are in the file that describes the data set;
which data set it was, dvc.lock says.
"""

from __future__ import annotations

from pathlib import Path

from pipeline import dvc_lock, files
from pipeline.data import sets
from pipeline.data.image_set import ImageSet
from pipeline.errors import InputError
from pipeline.params import Params

FOLDER = Path("data/sets")


def trained_on(values: Params, name: str) -> str:
    """Return the data set that dvc.lock records for the model `name`; that of params.yaml if it records none.

    The model keeps its own until it is trained again, whatever params.yaml says by then.

    Raises:
        InputError: dvc.lock is not as DVC writes it.
    """
    data = _recorded(f"train@{name}", "deps", ".npz")
    return data.stem if data else values.data.dataset


def load(dataset: str) -> ImageSet:
    """Return what describes the data set here.

    Raises:
        InputError: There is no such file, it breaks a rule, or its classes are others than when the images were
            preprocessed.
    """
    path = FOLDER / f"{dataset}.yaml"
    if not path.exists():
        what = f"no such file, and only it has the class names of {dataset}, which the model was trained on"
        raise InputError(what, path=path, fix="put it there, or name a copy with --set")
    described, summary = sets.load(path), _recorded("preprocess", "outs", ".json")
    content = files.read_json(summary) if summary and summary.exists() else {}
    if content.get("dataset") == dataset and content.get("classes") != list(described.classes):
        what = f"classes: not those of {summary}, with which the models were trained"
        raise InputError(what, path=path, fix="`dvc repro` trains them again, or restore the file")
    return described


def _recorded(stage: str, kind: str, ending: str) -> Path | None:
    """Return the first of the deps or outs of a stage in dvc.lock that ends so; None if there is none."""
    try:
        entries = dvc_lock.stages().get(stage, {}).get(kind, [])
        return next((Path(entry["path"]) for entry in entries if entry["path"].endswith(ending)), None)
    except (AttributeError, KeyError, TypeError):
        what = f"{stage}: not as DVC writes it"
        raise InputError(what, path=dvc_lock.LOCK, fix="restore it from version control") from None
