"""All comparisons that were made in one folder: whoever tries many changes finds some that are better by chance."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Campaign:
    """The comparisons made before, and how many of so many would at most be wrong by chance if nothing differed."""

    comparisons: int
    by_chance: float


def record(path: Path, comparisons: Iterable[Mapping[str, Any]]) -> Campaign:
    """Add comparisons to the file at `path`, and return what it held before, these ones apart.

    A comparison has what it compares (`before`, `after`, `metric`), its outcome, and its `confidence`. It counts once,
    however often it is looked at. If the file cannot be used, a notice says so: no answer is lost by that.
    """
    new = {_key(one): one for one in comparisons}
    before = {}
    try:
        before = {_key(one): one for one in _read(path)}
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            # The line before may have been cut off.
            file.writelines(f"\n{json.dumps(one, allow_nan=False)}\n" for one in new.values())
    except OSError as error:
        print(f"notice: {path}: these comparisons are not counted ({error.strerror})", file=sys.stderr)
    others = [one for key, one in before.items() if key not in new]
    return Campaign(len(others), sum(1 - float(one["confidence"]) for one in others))


def _key(comparison: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(comparison[name]) for name in ("before", "after", "metric"))


def _read(path: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the comparisons in the order in which they were made; a line that is damaged counts for none."""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []:
        with suppress(ValueError, KeyError, TypeError):
            one = json.loads(line)
            float(one["confidence"]), _key(one)
            yield one
