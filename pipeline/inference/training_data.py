"""What a trained model takes and answers: the shape of its images, the names of its classes, what a picture must show.

This is as it was when the model was trained: preprocess recorded it with the data of that checksum, and MLflow with the
model. The file that describes the data set may have been changed since.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from pipeline import dvc_lock, files
from pipeline.data import sets
from pipeline.data.image_set import ImageShape, PictureOptions
from pipeline.errors import InputError

FOLDER = Path("data/sets")


@dataclass(frozen=True)
class TrainingData:
    """The images and classes of a data set, by the names that they have in its file; and how it reads pictures."""

    image: ImageShape
    classes: tuple[str, ...]
    title: str
    noun: str
    credit: str
    handwriting: Literal["digit", "character"] | None
    # What was recorded before pictures had options has none.
    pictures: PictureOptions = field(default_factory=PictureOptions)


def load(path: Path) -> TrainingData:
    """Return what the file at `path` says of a data set.

    Raises:
        InputError: There is no such file, or it breaks a rule.
    """
    image_set = sets.load(path)
    return TrainingData(**{key.name: getattr(image_set, key.name) for key in fields(TrainingData)})


def npz_of(name: str) -> dict[str, Any]:
    """Return path and md5 of the data that dvc.lock records for the model `name`; {} if it records none.

    Raises:
        InputError: dvc.lock is not as DVC writes it.
    """
    return _recorded(f"train@{name}", "deps", ".npz")


def of_model(name: str) -> TrainingData:
    """Return what the model `name` in the workspace was trained with.

    Raises:
        InputError: Nothing records it, or dvc.lock is not as DVC writes it.
    """
    npz = npz_of(name)
    known = dvc_lock.summary(npz.get("md5", "")) or _evaluated(name)
    if not npz or not known:
        what = f"nothing records the classes that {name} was trained with"
        raise InputError(what, fix="`dvc repro` trains it, or name its data set with --set data/sets/NAME.yaml")
    return from_record({**known, "dataset": Path(npz["path"]).stem}, name)


def from_record(record: Mapping[str, Any], model: str) -> TrainingData:
    """Return what preprocess recorded of the data that a `model` was trained on.

    Raises:
        InputError: The record is damaged; or it is from before all of this was recorded, and the file of that data set
            is missing or has other classes or images by now.
    """
    # Which preprocess has not always recorded: only the data set's own file has it then.
    if "handwriting" not in record:
        return _from_file(record, model)
    try:
        height, width, channels = (*record["image"], 1)[:3]
        content = {**record, "image": {"height": height, "width": width, "channels": channels}}
        return TypeAdapter(TrainingData).validate_python(content)
    except (KeyError, TypeError, ValueError) as error:
        what = f"{model}: the record of the data that it was trained on is damaged"
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise InputError(f"{what} ({reason})", fix="name its data set with --set data/sets/NAME.yaml") from None


def _from_file(record: Mapping[str, Any], model: str) -> TrainingData:
    path = FOLDER / f"{record['dataset']}.yaml"
    if not path.exists():
        what = f"no such file, and only it has all about {record['dataset']}, which {model} was trained on"
        raise InputError(what, path=path, fix="put it there, or name a copy with --set")
    data = load(path)
    now = {"classes": list(data.classes), "image": list(data.image.shape)}
    for key in sorted(now.keys() & record.keys()):
        if record[key] != now[key]:
            what = f"{key}: not those with which {model} was trained"
            raise InputError(what, path=path, fix="`dvc repro` trains it again, or restore the file")
    return data


def _evaluated(name: str) -> dict[str, Any]:
    """Return the classes in the metrics of the model `name`, if these are of the file that dvc.lock records for it."""
    metrics, model = _recorded(f"evaluate@{name}", "outs", ".json"), _recorded(f"evaluate@{name}", "deps", ".keras")
    if not metrics or model.get("md5") != dvc_lock.recorded().get(model.get("path", "")):
        return {}
    path = Path(metrics["path"])
    dvc_lock.verify(path)
    content = files.read_json(path)
    return {"classes": content["classes"]} if "classes" in content else {}


def _recorded(stage: str, kind: str, ending: str) -> dict[str, Any]:
    """Return the first of the deps or outs of a stage in dvc.lock whose path ends so; {} if there is none."""
    entries = dvc_lock.stages().get(stage, {}).get(kind, [])
    return next((entry for entry in entries if entry["path"].endswith(ending)), {})
