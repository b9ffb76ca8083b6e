from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = ("crossed", "means", "multitest", "permutation", "power", "prediction", "proportions", "time_to_target")


@pytest.mark.parametrize("module", [*MODULES, "verdicts"])
def test_the_import_is_light(module: str) -> None:
    """Importing a module of statistics does not import statsmodels or scipy, which take more than a second."""
    code = f"import sys, pipeline.analysis.{module}; sys.exit(bool({{'statsmodels', 'scipy'}} & set(sys.modules)))"

    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
