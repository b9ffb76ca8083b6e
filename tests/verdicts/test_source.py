"""The code of a side: which modules train, and an archive that Python imports from."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.verdicts import source
from pipeline.verdicts.source import Source


@pytest.fixture(scope="module")
def here() -> Source:
    """Return the code of this working tree."""
    return source.read(None)


def test_what_trains_is_what_a_training_process_imports(here: Source) -> None:
    """All modules of this package that are loaded when a training run has been built count, whoever imports them."""
    program = (
        "import sys\nfrom pipeline.trials import forkserver\nfrom pipeline.training import trainer, networks, loop\n"
        "print('\\n'.join(m.__file__ for n, m in sys.modules.items() if n.split('.')[0] == 'pipeline' and m.__file__))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=source.PACKAGE.parent, capture_output=True, text=True, check=True
    )
    loaded = {Path(line).relative_to(source.PACKAGE.parent).as_posix() for line in done.stdout.splitlines()}
    assert loaded <= {*here.training}
    assert not [path for path in here.training if "/reporting/" in path or "/tracking/" in path]


def test_only_what_trains_is_its_identity(here: Source) -> None:
    """A page that changes is no change of the training code; a comment in a layer is one, to be on the safe side."""
    page = Source({**here.modules, "pipeline/reporting/render.py": b"# other"})
    layer = "pipeline/training/layers.py"
    assert page.digest == here.digest
    assert Source({**here.modules, layer: here.modules[layer] + b"# other\n"}).digest != here.digest


def test_python_imports_from_the_archive(here: Source, tmp_path: Path) -> None:
    """A program that runs in the archive has its code, not that of the folder where it runs; it is written once."""
    changed = Source({**here.modules, "pipeline/machine.py": b"WHO = 'archive'\n"})
    path = changed.save(tmp_path)
    written = path.stat().st_mtime_ns
    assert changed.save(tmp_path) == path
    assert path.stat().st_mtime_ns == written
    program = "import pipeline.machine\nprint(pipeline.machine.WHO)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=source.PACKAGE.parent,
        env={"PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "archive"
