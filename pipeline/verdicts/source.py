"""The code of a side, as one archive that Python imports from: that of a commit, or of the files as they are."""

import ast
import hashlib
import io
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pipeline
from pipeline import files, revision

PACKAGE = Path(pipeline.__file__).parent
# What trains: a result depends on the modules that it imports, at any distance.
_TRAINER = "pipeline/trials/forkserver.py"


@dataclass(frozen=True)
class Source:
    """The modules of the package by path, such as `pipeline/train.py`."""

    modules: Mapping[str, bytes]

    @cached_property
    def training(self) -> Mapping[str, bytes]:
        """The modules that a training run imports."""
        found: dict[str, bytes] = {}
        waiting = [_TRAINER]
        while waiting:
            path = waiting.pop()
            if path in self.modules and path not in found:
                found[path] = self.modules[path]
                waiting += _imported(found[path])
        return found

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of `training`."""
        return _digest(self.training)

    def save(self, folder: Path) -> Path:
        """Write the archive into `folder`, unless it is there, and return its path."""
        path = folder / f"{_digest(self.modules)}.zip"
        if not path.exists():
            content = io.BytesIO()
            with zipfile.ZipFile(content, "w") as archive:
                for name in sorted(self.modules):
                    archive.writestr(zipfile.ZipInfo(name), self.modules[name], zipfile.ZIP_DEFLATED)
            files.write_bytes(path, content.getvalue())
        return path


def read(commit: str | None) -> Source:
    """Return the source of a commit; without one, or if it has none as where the package is installed, that here.

    Raises:
        InputError: Git cannot tell.
    """
    modules = revision.archive(commit, PACKAGE.name) if commit else {}
    if not modules:
        here = sorted(PACKAGE.rglob("*.py"))
        modules = {path.relative_to(PACKAGE.parent).as_posix(): path.read_bytes() for path in here}
    return Source({path: content for path, content in modules.items() if path.endswith(".py")})


def _digest(modules: Mapping[str, bytes]) -> str:
    hashes = [f"{path} {hashlib.sha256(modules[path]).hexdigest()}" for path in sorted(modules)]
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def _imported(content: bytes) -> Iterator[str]:
    """Yield the paths that the imports of a module may stand for, those inside of functions included."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        # Training will say so.
        return
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            parents = name.split(".")
            packages = ["/".join([*parents[:depth], "__init__"]) for depth in range(1, len(parents) + 1)]
            yield from (f"{place}.py" for place in ["/".join(parents), *packages])
