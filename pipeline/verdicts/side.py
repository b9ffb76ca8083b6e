"""One side of a change: what a git revision, an experiment of `dvc exp` or the workspace trains, and on which data."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import dvc_lock, files, revision
from pipeline.errors import InputError
from pipeline.training import recipe
from pipeline.trials.prepared import PreparedData
from pipeline.verdicts import describe, source
from pipeline.verdicts.source import Source

# What DVC calls the files as they are, committed or not.
WORKSPACE = "workspace"
PARAMS, SETS, LIBRARIES = Path("params.yaml"), Path("data/sets"), Path("requirements.lock")
# The preprocessed data, a file per data set.
PROCESSED = Path("data/processed")
# What data/sets/NAME.yaml says of a data set without changing an image of it.
_NOT_IMAGES = ("title", "noun", "credit", "sources", "target_accuracy", "handwriting", "negative")
_DESCRIBE = "pipeline/verdicts/describe.py"
_TIMEOUT_S = 120.0

# What determines the training of a model, as `trials.plan.ingredients` has it.
Ingredients = Mapping[str, Any]


@dataclass(frozen=True)
class Side:
    """One side of a change, called `letter` in what is printed; `commit` is None for the workspace.

    `models` has the ingredients of each model's recipe, as the side's own code understands its params, `data` the block
    of that name, and `implementation` what would train them. `image_set` is the content of its data/sets/NAME.yaml that
    affects the images, `data_md5` that of the preprocessed data in its dvc.lock, None if it records none. `libraries`
    are the versions that it pins, of those that compute a result.
    """

    name: str
    commit: str | None
    source: Source
    archive: Path
    models: Mapping[str, Ingredients]
    data: Mapping[str, Any]
    implementation: Mapping[str, Any]
    image_set: Mapping[str, Any]
    data_md5: str | None
    libraries: Mapping[str, str]
    letter: str

    def __str__(self) -> str:
        """Its name, with the abbreviated commit."""
        return self.name if self.commit is None else f"{self.name} ({self.commit[:7]})"

    @property
    def dataset(self) -> str:
        """The name of its data set."""
        return str(self.data["dataset"])


def read_side(name: str, prepared: PreparedData, folder: Path, letter: str = "A") -> Side:
    """Return what `name` stands for: a git revision, an experiment, or `workspace`.

    `prepared` is the data on which it is to be trained; an archive of the code is written into `folder`.

    Raises:
        InputError: There is no such revision, one of its files is missing or damaged, or its code cannot be asked.
    """
    commit = None if name == WORKSPACE else revision.resolve(name)

    def content(path: Path) -> bytes | None:
        if commit is not None:
            return revision.show(commit, path)
        return path.read_bytes() if path.exists() else None

    def place(path: Path) -> Path:
        return path if commit is None else Path(f"{name}:{path}")

    def needed(path: Path) -> bytes:
        if (found := content(path)) is None:
            raise InputError("no such file", path=place(path))
        return found

    code = source.read(commit)
    _check_askable(code, name)
    archive = code.save(folder)
    described = _described(None if code == source.read(None) else archive, needed(PARAMS), place(PARAMS), prepared)
    dataset = described["data"]["dataset"]
    image_set, lock = SETS / f"{dataset}.yaml", content(dvc_lock.LOCK)
    described_set = files.parse_yaml(needed(image_set), place(image_set))
    if not isinstance(described_set, Mapping):
        raise InputError("not the file of a data set", path=place(image_set))
    where = place(dvc_lock.LOCK)
    stages = dvc_lock.of_content(files.parse_yaml(lock, where), where) if lock else {}
    return Side(
        name,
        commit,
        code,
        archive,
        **described,
        image_set={key: value for key, value in described_set.items() if key not in _NOT_IMAGES},
        data_md5=dvc_lock.outputs(stages).get((PROCESSED / f"{dataset}.npz").as_posix()),
        libraries=_libraries(content(LIBRARIES) or b""),
        letter=letter,
    )


def _check_askable(code: Source, name: str) -> None:
    if _DESCRIBE not in code.modules:
        since = revision.added(Path(_DESCRIBE))
        what = f"not comparable: {name} has no {_DESCRIBE}, by which a verdict asks a side what it trains"
        raise InputError(what, fix=f"compare with a commit from {since[:7]} on" if since else "")


def _described(archive: Path | None, content: bytes, path: Path, prepared: PreparedData) -> dict[str, Any]:
    """Return `data`, `models` and `implementation` of a side from its own code, which is this one if it has no archive.

    Raises:
        InputError: The params break its rules, or it does not run.
    """
    asked: dict[str, Any] = {"name": str(path), "params": content.decode(errors="replace")}
    asked |= {"image": list(prepared.shape), "count": prepared.count("train")}
    if archive is None:
        return describe.describe(asked)
    # -P: otherwise the code in this folder would come first.
    command = [sys.executable, "-P", "-m", _DESCRIBE.removesuffix(".py").replace("/", ".")]
    environment = os.environ | {"PYTHONPATH": str(archive.resolve())}
    try:
        done = subprocess.run(
            command, input=json.dumps(asked), env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        raise InputError(f"its code gave no answer within {_TIMEOUT_S:g} s", path=path) from None
    if done.returncode == 0:
        return dict(json.loads(done.stdout))
    words = done.stderr.strip()
    if words.startswith("error: "):
        raise InputError(words.removeprefix("error: "))
    raise InputError(f"its code does not run ({words.rpartition(chr(10))[2] or done.returncode})", path=path)


def _libraries(lock: bytes) -> dict[str, str]:
    """Return the versions that a lock file pins of the libraries that compute a result, by name."""
    text = lock.decode(errors="replace")
    pins = {name: re.findall(rf"^{re.escape(name)}==(\S+)", text, re.MULTILINE) for name in recipe.versions()}
    return {name: ", ".join(found) for name, found in pins.items() if found}
