"""docs/programs.md as data: the keys that the page names for each command."""

import re
from pathlib import Path

_PAGE = Path(__file__).parents[2] / "docs" / "programs.md"


def keys(command: str) -> set[str]:
    """Return the keys of the object that a command prints, such as `gate`."""
    _, _, section = _PAGE.read_text(encoding="utf-8").partition(f"`python -m pipeline.{command} ")
    rows = re.findall(r"^\| (`.*?`) \|", section.partition("\n## ")[0], re.MULTILINE)
    return set(re.findall(r"`(\w+)`", " ".join(rows)))
