"""tests/FAULTS.md: the faults that tests show, what is required of the project, and which test shows it."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).parents[1]
HEAD = """# Faults

Written by `make pages` from the tests that are marked with a fault. Those marked slow run with `make test-slow`.

| fault | required behaviour | test |
|---|---|---|
"""


@dataclass(frozen=True)
class Shown:
    """A fault, what its test claims, and the test."""

    fault: str
    claim: str
    file: str
    test: str
    slow: bool

    def row(self) -> str:
        """Return a row of the table."""
        cells = [self.fault, self.claim, f"`{self.file}::{self.test}`{' slow' if self.slow else ''}"]
        return f"| {' | '.join(' '.join(cell.replace('|', chr(92) + '|').split()) for cell in cells)} |\n"


def shown() -> list[Shown]:
    """Return what the marked tests show, in the order of files and lines."""
    return [fault for path in sorted(TESTS.rglob("test_*.py")) for fault in _of_file(path)]


def _of_file(path: Path) -> Iterator[Shown]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            marks = [ast.unparse(mark) for mark in node.decorator_list]
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.fault":
                    fault = ast.literal_eval(mark.args[0])
                    claim = ast.get_docstring(node) or ""
                    yield Shown(
                        fault, claim, path.relative_to(TESTS).as_posix(), node.name, "pytest.mark.slow" in marks
                    )


def page() -> str:
    """Return the page."""
    return HEAD + "".join(fault.row() for fault in shown())
