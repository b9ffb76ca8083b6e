"""What an import brings with it: commands that need none of the heavy packages do not wait for them."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STATISTICS = ("crossed", "means", "multitest", "permutation", "power", "prediction", "proportions", "time_to_target")
# scipy itself only names its parts, and imports each when it is first asked for.
SCIPY = {"scipy.stats", "scipy.special", "scipy.optimize"}
FIGURES = ("classification", "curves", "effects", "grids")
NETWORKS = {"keras", "mlflow", "tensorflow"}
WITHOUT = {
    **{f"analysis.{name}": {*SCIPY, "statsmodels"} for name in (*STATISTICS, "verdicts")},
    **{f"reporting.plots.{name}": NETWORKS | {"matplotlib.pyplot"} for name in FIGURES},
    "gate": NETWORKS | SCIPY | {"matplotlib", "sklearn"},
}


@pytest.mark.parametrize("module", WITHOUT)
def test_the_import_is_light(module: str) -> None:
    """No statistics is waited for before it is asked for, nothing by the gate, nor pyplot's state by the figures."""
    code = f"import sys, pipeline.{module}; print(*{WITHOUT[module]} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout == "\n"
