"""Memory: what the tests make from the same bytes again and again is remembered; and a bound of what code may take."""

from __future__ import annotations

import copy
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


@contextmanager
def below(size: float) -> Iterator[None]:
    """Check that what is done never takes as many bytes of memory."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < size
    finally:
        tracemalloc.stop()
