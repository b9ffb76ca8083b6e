"""The tests' own params and results, in tests/frozen/, and the guard that keeps a test from reading a user's.

A user's first command rewrites the results of this repository, and its params are there to be changed: no test may pass
or fail by them. What has to agree among them is checked by `make check-pages`.
"""

import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FROZEN = ROOT / "tests" / "frozen"
# What is the user's.
CHANGING = (
    *("params.yaml", "dvc.lock", "reports", "models"),
    *(f"study/{name}" for name in ("params.yaml", "claims.yaml", "dvc.lock", "reports", "runs", "pilot.yaml")),
)
_PATHS = tuple(f"{ROOT}/{name}" for name in CHANGING)


def own(name: str) -> Path:
    """Return the file or folder of this name: of the tests where that is a user's, else of the project."""
    return (FROZEN if name.startswith(CHANGING) else ROOT) / name


def guard() -> None:
    """Have this process, and those that it forks, refuse to read what is the user's in this repository."""
    if not hasattr(sys, "_tests_guarded"):
        sys.addaudithook(_refuse)
        sys._tests_guarded = True  # type: ignore[attr-defined]


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or not isinstance(arguments[0], (str, bytes, os.PathLike)):
        return
    path = os.fsdecode(arguments[0])
    # Without a mode, a path may be relative to another folder than the current one.
    if arguments[1] is not None:
        path = os.path.abspath(path)  # noqa: PTH100
    if path.startswith(_PATHS):
        raise AssertionError(f"{path} is the user's: the tests have their own in tests/frozen/")
