"""The commands of a page of the documentation, in their order, as a reader gives them to a shell."""

import re
import subprocess
from collections.abc import Iterator

ACTIVATION = "`. .venv/bin/activate`"


def statements(text: str) -> Iterator[str]:
    """Yield each statement in a page's text; a loop, on several lines, is one, as is what a sentence asks for."""
    found = re.findall(rf"{re.escape(ACTIVATION)}|^```sh\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    for block in found:
        yield from _statements(block or ACTIVATION.strip("`"))


def _statements(block: str) -> Iterator[str]:
    waiting = ""
    for line in block.splitlines(keepends=True):
        waiting += line
        command = re.sub(r"(^|\s)#.*", "", line).rstrip()
        if not command or command.endswith(("\\", "|")):
            continue
        if subprocess.run(["bash", "-nc", waiting], stderr=subprocess.DEVNULL, check=False).returncode == 0:
            yield waiting
            waiting = ""
    assert not waiting, f"not a whole command: {waiting}"
