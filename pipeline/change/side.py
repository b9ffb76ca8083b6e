"""One side of a change: what a git revision, an experiment of `dvc exp` or the workspace trains, and on which data."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import dvc_lock, files, revision, schema
from pipeline.errors import InputError
from pipeline.params import Params

# What DVC calls the files as they are, committed or not.
WORKSPACE = "workspace"
PARAMS, SETS, CODE = Path("params.yaml"), Path("data/sets"), Path("pipeline")
# The modules of CODE that the scores of a training run depend on.
_TRAINING = (
    "analysis/metrics",
    "data/dataset",
    "training/augmentation",
    "training/backend",
    "training/forward",
    "training/history",
    "training/loop",
    "training/networks",
    "training/optimizers",
    "training/portable",
    "training/settings",
    "training/trainer",
    "trials/replicate",
)
# The preprocessed data, a file per data set.
PROCESSED = Path("data/processed")
# What data/sets/NAME.yaml says of a data set without changing an image of it.
_NOT_IMAGES = ("title", "noun", "credit", "sources", "target_accuracy", "handwriting")


@dataclass(frozen=True)
class Side:
    """One side of a change; `commit` is None for the workspace.

    `image_set` is the content of its data/sets/NAME.yaml that affects the images, and `data_md5` that of the
    preprocessed data in its dvc.lock, None if it records none. `code` has a hash of what each training module does,
    None for a module that the side does not have.
    """

    name: str
    commit: str | None
    params: Params
    image_set: Mapping[str, Any]
    data_md5: str | None
    code: Mapping[str, str | None]

    def __str__(self) -> str:
        """Its name, with the abbreviated commit."""
        return self.name if self.commit is None else f"{self.name} ({self.commit[:7]})"

    @property
    def dataset(self) -> str:
        """The name of its data set."""
        return self.params.data.dataset


def read_side(name: str) -> Side:
    """Return what `name` stands for: a git revision, an experiment, or `workspace`.

    Raises:
        InputError: There is no such revision, or one of its files is missing or damaged.
    """
    commit = None if name == WORKSPACE else revision.resolve(name)

    def content(path: Path) -> bytes | None:
        if commit is not None:
            return revision.show(commit, path)
        return path.read_bytes() if path.exists() else None

    def parsed(path: Path) -> Any:
        place = path if commit is None else Path(f"{name}:{path}")
        if (found := content(path)) is None:
            raise InputError("no such file", path=place)
        return files.parse_yaml(found, place)

    params = schema.validate(Params, parsed(PARAMS), PARAMS if commit is None else Path(f"{name}:{PARAMS}"))
    dataset = params.data.dataset
    return Side(
        name,
        commit,
        params,
        {key: value for key, value in parsed(SETS / f"{dataset}.yaml").items() if key not in _NOT_IMAGES},
        _recorded(parsed(dvc_lock.LOCK), PROCESSED / f"{dataset}.npz") if content(dvc_lock.LOCK) else None,
        code_of(content),
    )


def code_of(content: Callable[[Path], bytes | None]) -> dict[str, str | None]:
    """Return a hash of what each training module does, by its path; empty if there is no code in this folder.

    That is so where the package is installed and the repository has only params.
    """
    paths = [CODE / f"{module}.py" for module in _TRAINING]
    if not CODE.is_dir():
        return {}
    sources = {path.as_posix(): content(path) for path in paths}
    return {path: None if source is None else _meaning(source) for path, source in sources.items()}


def _meaning(source: bytes) -> str:
    """Return the code of a module in one form, without comments, docstrings and imports: explaining it is no change."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return source.hex()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body[0] = ast.Pass()
    kept = [node for node in tree.body if not isinstance(node, ast.Import | ast.ImportFrom)]
    return ast.dump(ast.Module(kept, []))


def _recorded(lock: Any, path: Path) -> str | None:
    """Return the md5 of the output at `path` in the content of a dvc.lock; None if it records none."""
    stages = lock.get("stages") if isinstance(lock, Mapping) else None
    outputs = [out for stage in (stages or {}).values() for out in stage.get("outs", [])]
    return next((out.get("md5") for out in outputs if out.get("path") == path.as_posix()), None)
