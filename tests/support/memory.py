"""What the tests have made from the same bytes again and again, remembered for as long as a process lives."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any


def of_yaml(parse: Callable[[bytes, Path], Any]) -> Callable[[bytes, Path], Any]:
    """Return `files.parse_yaml` with a memory for texts; each caller has a value of its own."""
    values: dict[bytes, Any] = {}

    def parsed(content: bytes, path: Path) -> Any:
        if content not in values:
            values[content] = parse(content, path)
        return copy.deepcopy(values[content])

    return parsed
