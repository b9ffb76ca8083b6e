"""dvc.lock: what DVC recorded of the stages that ran last: checksums of their outputs, their params and commands.

DVC trusts its cache: it checks out a corrupted object as if it were good. So a stage verifies its inputs itself.

What the paths in a command are for is read from the names of its options, such as `--output`: in dvc.yaml, these are an
interface.
"""

import shlex
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from pipeline import files, schema
from pipeline.errors import InputError
from pipeline.training import recipe
from pipeline.training.settings import Model, Training

LOCK = Path("dvc.lock")
PREPROCESS = "preprocess"


class _File(BaseModel):
    path: str
    md5: str = ""


class _Stage(BaseModel):
    cmd: str | list[str] = ""
    deps: list[_File] = []
    outs: list[_File] = []
    params: dict[str, dict[str, Any]] = {}


_STAGES = TypeAdapter(dict[str, _Stage])


def verify(*paths: Path) -> None:
    """Check each file against its checksum in dvc.lock; a path that is not recorded there passes.

    Raises:
        InputError: A file is missing or has another checksum; the message has the command that restores it.
    """
    for path in paths:
        md5 = files.md5(path)
        expected = recorded().get(path.as_posix(), md5)
        if md5 != expected and not _follows(path, md5):
            fix = f"`rm -f '{path}' '{cached(expected)}'`, then `dvc repro` creates it again"
            raise InputError(f"has md5 {md5}, not {expected} as recorded in dvc.lock", path=path, fix=fix)


def recorded() -> dict[str, str]:
    """Return the md5 of every output in the current directory's dvc.lock, by path; {} without that file.

    Raises:
        InputError: As `stages` does.
    """
    return outputs(stages())


def stages() -> dict[str, Any]:
    """Return the stages in the current directory's dvc.lock by name; {} without that file.

    Raises:
        InputError: The file cannot be read, or is not a lock file.
    """
    return _read(LOCK.absolute(), LOCK.stat().st_mtime_ns) if LOCK.exists() else {}


@cache
def _read(path: Path, _modified: int) -> dict[str, Any]:
    return of_content(files.read_yaml(path), path)


def of_content(content: Any, path: Path) -> dict[str, Any]:
    """Return the stages by name in what was read of a lock file; `path` is for the error.

    Raises:
        InputError: It is not a lock file.
    """
    stages = content.get("stages", {}) if isinstance(content, Mapping) else content or {}
    try:
        _STAGES.validate_python(stages, strict=True)
    except ValidationError:
        fix = "restore it from version control"
        raise InputError("not a lock file as DVC writes it", path=path, fix=fix) from None
    return dict(stages)


def outputs(stages: Mapping[str, Any]) -> dict[str, str]:
    """Return the md5 of every output of `stages`, by path."""
    outs = [out for stage in stages.values() for out in stage.get("outs", [])]
    return {out["path"]: out["md5"] for out in outs if "md5" in out}


def cached(md5: str) -> Path:
    """Return the place in DVC's cache of the file with this md5, whether or not it is there."""
    return Path(".dvc/cache/files/md5") / md5[:2] / md5[2:]


def paths(stage: Mapping[str, Any]) -> dict[str, Path]:
    """Return the paths in the command of a stage by the names of their options, without the dashes."""
    command = stage["cmd"]
    words = shlex.split(command if isinstance(command, str) else " ".join(command))
    return {word[2:]: Path(value) for word, value in pairwise(words) if word.startswith("--")}


def param(stage: Mapping[str, Any], key: str) -> Any:
    """Return a value that a stage read of params.yaml, such as that of `data.dataset`.

    dvc.lock has it under its own key, or within a whole section, as `params:` in dvc.yaml has it.

    Raises:
        KeyError: It is not there.
    """
    values = stage["params"]["params.yaml"]
    section, _, rest = key.partition(".")
    return values[key] if key in values or not rest else values[section][rest]


def trained() -> set[str]:
    """Return the names of the models whose training is recorded."""
    return {model for stage, _, model in (name.partition("@") for name in stages()) if stage == "train"}


def check_record(name: str, made_with: Any) -> None:
    """Check that the model `name` was trained with the params and data that are recorded, by what it was `made_with`.

    That is its own record, of its recipe and the versions of libraries. A model that is not recorded here passes.

    Raises:
        InputError: It was trained with others: they changed while its stage ran.
    """
    stage = f"train@{name}"
    if (recorded := stages().get(stage)) is None:
        return
    own = made_with if isinstance(made_with, Mapping) else {}
    libraries = {key: version for key, version in own.items() if key != "recipe"}
    try:
        block, data = param(recorded, f"models.{name}"), paths(recorded)["data"].as_posix()
        model, training = schema.validate(Model, block, LOCK), schema.validate(Training, param(recorded, "train"), LOCK)
        (md5,) = (dep["md5"] for dep in recorded["deps"] if dep["path"] == data)
        expected = recipe.of_model(name, model, training, md5, libraries)
    except (KeyError, TypeError, ValueError) as error:
        raise missing(name, error) from None
    if own.get("recipe") != expected:
        what = f"{name}: was not trained with the params and data that are recorded for {stage}"
        raise InputError(what, path=LOCK, fix=f"`dvc repro --force --single-item {stage}` trains it again")


def dataset() -> str | None:
    """Return the name of the data set that was preprocessed last; None if none was.

    Raises:
        InputError: dvc.lock has the stage without its params.
    """
    if (stage := stages().get(PREPROCESS)) is None:
        return None
    try:
        return str(param(stage, "data.dataset"))
    except (KeyError, TypeError) as error:
        raise missing(PREPROCESS, error) from None


def title(name: str) -> str:
    """Return the title of the data set `name`, from the summary that preprocess wrote; `name` if it has none of it."""
    with suppress(InputError, KeyError, TypeError):
        summary = files.read_json(paths(stages()[PREPROCESS])["summary"])
        if summary["dataset"] == name:
            return str(summary["title"])
    return name


def summary(data_md5: str) -> dict[str, Any] | None:
    """Return what preprocess wrote about the data with this md5; None if the data that it made last are others.

    Raises:
        InputError: The summary differs from dvc.lock.
    """
    stage = stages().get(PREPROCESS, {})
    if data_md5 not in outputs({PREPROCESS: stage}).values() or (path := paths(stage).get("summary")) is None:
        return None
    verify(path)
    return files.read_json(path)


def missing(name: str, error: Exception) -> InputError:
    """Return the error about what DVC writes to dvc.lock and what is not there for the model or stage `name`."""
    return InputError(f"{name}: {error} is missing", path=LOCK, fix="`dvc repro` writes it again")


def _follows(path: Path, md5: str) -> bool:
    """Return whether dvc.lock records that checksum a moment later: DVC may be recording a stage that just ended."""
    time.sleep(0.5)
    return recorded().get(path.as_posix(), md5) == md5
