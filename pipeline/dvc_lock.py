"""Inputs that another stage made, held against the sums that DVC recorded when it made them.

DVC trusts its cache: an object that was altered there is handed out as good. So a stage asks itself.
"""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path
from typing import Any

from pipeline import files, params
from pipeline.errors import InputError

LOCK = Path("dvc.lock")


def verify(*paths: Path) -> None:
    """Refuse a file that is not the one dvc.lock records; a path that it does not name has nothing to be held against.

    Raises:
        InputError: A file is missing or another; the message has the command that heals it.
    """
    for path in paths:
        found = files.md5(path)
        expected = recorded().get(path.as_posix(), found)
        if found != expected and not _settles(path, found):
            cached = f".dvc/cache/files/md5/{expected[:2]}/{expected[2:]}"
            heal = f"`rm -f '{path}' '{cached}'`, then `dvc repro` makes it again"
            raise InputError(f"{path}: has md5 {found}, not the {expected} of dvc.lock; {heal}")


def recorded() -> dict[str, str]:
    """Return the md5 of every output in the current directory's dvc.lock, by path; without that file, nothing."""
    outputs = [out for stage in stages().values() for out in stage.get("outs", [])]
    return {out["path"]: out["md5"] for out in outputs if "md5" in out}


def stages() -> dict[str, Any]:
    """Return the stages in the current directory's dvc.lock by name; without that file, nothing."""
    return _read(LOCK.absolute(), LOCK.stat().st_mtime_ns) if LOCK.exists() else {}


@cache
def _read(path: Path, _modified: int) -> dict[str, Any]:
    stages: dict[str, Any] = (params.read(path) or {}).get("stages", {})
    return stages


def _settles(path: Path, found: str) -> bool:
    """Return whether dvc.lock has that sum a moment later: a stage running beside this one may be writing it."""
    time.sleep(0.5)
    return recorded().get(path.as_posix(), found) == found
