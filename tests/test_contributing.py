"""CONTRIBUTING's worked changes, made from the page in a clone: what they touch, and what runs again."""

import ast
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import small

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
# A file, what it gets, where, and the block.
EDIT = re.compile(
    r"`([\w./]+\.\w+)`,(?:[^`:]*?\b(before|after)\s(``?)(.+?)\3|\sa new file[^`:]*):\n```\w+\n(.+?)^```$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Edit:
    """A block that the page puts into a file: before or after the line that begins with `anchor`, or as a new file."""

    file: str
    place: str
    anchor: str
    block: str

    def of(self, text: str) -> str:
        """Return the file's text with the block in it."""
        if not self.place:
            return self.block
        lines = text.splitlines(keepends=True)
        found = [number for number, line in enumerate(lines) if line.lstrip().startswith(self.anchor)]
        assert len(found) == 1, f"{self.file} has {len(found)} lines that begin with {self.anchor}"
        position = found[0] + (self.place == "after")
        return "".join([*lines[:position], self.block, *lines[position:]])


@dataclass(frozen=True)
class Change:
    """What a section of the page has to do, and the test files that are run for `make test`."""

    heading: str
    source: set[str]
    others: set[str]
    runs: set[str]
    tests: tuple[str, ...]

    def edits(self) -> list[Edit]:
        """Return the edits of the section."""
        return [Edit(file, place, anchor, block) for file, place, _, anchor, block in EDIT.findall(self._text())]

    def commands(self) -> Iterator[list[str]]:
        """Yield the words of the commands of the section."""
        (block,) = re.findall(r"^```sh\n(.+?)^```$", self._text(), flags=re.DOTALL | re.MULTILINE)
        yield from (shlex.split(line, comments=True) for line in block.splitlines())

    def _text(self) -> str:
        (text,) = re.findall(rf"^## {self.heading}\n(.+?)^## ", PAGE, flags=re.DOTALL | re.MULTILINE)
        return str(text)


CHANGES = (
    Change(
        "Add a score",
        source={"pipeline/analysis/metrics.py"},
        others={"tests/test_scores.py"},
        runs={"evaluate@mlp_rmsprop", "evaluate@cnn", "report"},
        tests=(
            "test_scores.py",
            "test_pipeline.py",
            "test_report.py",
            "analysis/test_metrics.py",
            "reporting/test_tables.py",
        ),
    ),
    Change(
        "Add a kind of layer",
        source={"pipeline/training/layers.py", "pipeline/training/networks.py"},
        others={
            *("tests/training/test_kinds.py", "tests/training/results.json", "tests/support/bits.py"),
            "docs/params.md",
        },
        runs=set(),
        tests=("training/test_kinds.py", "training/test_results.py", "test_params_page.py"),
    ),
    Change(
        "Add a data set, or a format",
        source={"pipeline/data/sets.py", "pipeline/data/formats/npy.py", "pipeline/data/formats/__init__.py"},
        others={"tests/support/made_sets.py", "docs/datasets.md", "docs/params.md"},
        runs={"fetch", "preprocess"},
        tests=("data", "test_params_page.py", "test_readme.py::test_every_format_is_on_the_page"),
    ),
)
ALL = pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.heading.split()[-1])
LEDGER = """
import collections, json
from pathlib import Path
from pipeline.trials import ledger, plan, prepared
study = plan.load_study(Path("study/params.yaml"))
data = prepared.checksums(prepared.load(Path("study/reports/data"), study.data.sets))
states = [state.name for _, _, state in ledger.look_up(Path("study/runs"), plan.replicates(study, data))]
print(json.dumps(collections.Counter(states)))
"""


def replicates(clone: Path) -> dict[str, int]:
    """Return how many of the study's replicates are in which state to the clone's code."""
    return dict(json.loads(small.run(clone, "python", "-c", LEDGER).splitlines()[-1]))


def stages(printed: str) -> set[str]:
    """Return the stages that DVC says it runs."""
    return set(re.findall(r"Running stage '(.+?)'", printed))


def touched(clone: Path) -> set[str]:
    """Return the files that differ from the last commit, but for results."""
    names = small.run(clone, "git", "ls-files", "--modified", "--others", "--exclude-standard").splitlines()
    return {name for name in names if name != "dvc.lock" and not name.startswith("reports/")}


def run(clone: Path, change: Change, words: list[str]) -> str:
    """Run a command of the page: make's as make does, whose .venv the clone has not, and of all tests some."""
    if words == ["make", "repro"]:
        words = ["dvc", "repro"]
    if words == ["make", "pages"]:
        words = ["python", "-m", "tests.support.pages"]
    if words == ["make", "test"]:
        # No processes, nor folders, of the tests that run this one.
        own = ["env", *(word for name in ("TESTS_FORKS", "PYTEST_XDIST_WORKER") for word in ("-u", name))]
        tests = [f"tests/{name}" for name in (*change.tests, "test_repository.py", "test_contributing.py")]
        words = [*own, "python", "-m", "pytest", "--quiet", "-n", "2", f"--basetemp={clone.parent}/tests", *tests]
    return small.run(clone, *words)


def complete(reproduced: Path, folder: Path) -> Path:
    """Return `folder` as a repository with all of this project's files as they are now, and results of the digits."""
    shutil.copytree(reproduced, folder, symlinks=True)
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    names = [name for name in listed.stdout.splitlines() if not name.startswith((".dvc/", "reports/"))]
    wanted = "\n".join(name for name in names if (ROOT / name).exists() and not (folder / name).exists())
    archive = str(folder.with_suffix(".tar"))
    for words in (["-c", "-f", archive, "-T", "-"], ["-x", "-f", archive, "-C", folder]):
        subprocess.run(["tar", *words], cwd=ROOT, input=wanted, text=True, check=True)
    small.run(folder, "python", "-m", "tests.support.pages")
    small.commit(folder, "all files")
    return folder


@pytest.fixture
def clone(reproduced: Path, tmp_path: Path) -> Path:
    """Return a repository with all of this project's files as they are now, and results of the digits."""
    return complete(reproduced, tmp_path / "clone")


@ALL
def test_the_changes_fit_into_the_code(change: Change) -> None:
    """Each line that the page names is in its file, once, and what comes out is Python."""
    texts: dict[str, str] = {}
    for edit in change.edits():
        before = texts.get(edit.file) or (ROOT / edit.file).read_text(encoding="utf-8") if edit.place else ""
        texts[edit.file] = edit.of(before)

    for name in [name for name in texts if name.endswith(".py")]:
        ast.parse(texts[name])
    assert change.source <= texts.keys() <= change.source | change.others
    assert len(re.findall(r"^```(?!sh)\w", change._text(), flags=re.MULTILINE)) == len(change.edits())


@pytest.mark.slow
@ALL
def test_a_change_is_complete_as_the_page_has_it(change: Change, clone: Path) -> None:
    """It touches the files that it has to; tests pass; no model is trained; no replicate of the study becomes stale."""
    before = replicates(clone)
    for edit in change.edits():
        path = clone / edit.file
        path.write_text(edit.of(path.read_text(encoding="utf-8") if edit.place else ""), encoding="utf-8")

    printed = "".join(run(clone, change, words) for words in change.commands())

    assert touched(clone) == change.source | change.others
    assert stages(printed) == change.runs
    assert stages(small.run(clone, "dvc", "repro", "--dry")) == set()
    assert replicates(clone) == before
