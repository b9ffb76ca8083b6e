"""What the tests have made from the same bytes again and again, remembered for as long as a process lives."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pipeline.training import recipe


def of_yaml(parse: Callable[[bytes, Path], Any]) -> Callable[[bytes, Path], Any]:
    """Return `files.parse_yaml` with a memory for texts; each caller has a value of its own."""
    values: dict[bytes, Any] = {}

    def parsed(content: bytes, path: Path) -> Any:
        if content not in values:
            values[content] = parse(content, path)
        return copy.deepcopy(values[content])

    return parsed


def of_code(code_hash: Callable[[Sequence[str]], str]) -> Callable[[Sequence[str]], str]:
    """Return `recipe.code_hash` with a memory for the sources of its modules."""
    hashes: dict[tuple[str | bytes, ...], str] = {}

    def hashed(modules: Sequence[str]) -> str:
        folder = Path(recipe.__file__).parents[1]
        sources = (*modules, *((folder / f"{name}.py").read_bytes() for name in modules))
        if sources not in hashes:
            hashes[sources] = code_hash(modules)
        return hashes[sources]

    return hashed
