"""What several test files need: a small set of real digits, params for it, and a tracking store of their own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline import params
from pipeline.dataset import Dataset, Split
from pipeline.params import Params

ROOT = Path(__file__).parents[1]


def pytest_report_header() -> str:
    """Name the versions that a numerical result depends on."""
    from pipeline import recipe

    return ", ".join(f"{name} {version}" for name, version in recipe.versions().items())


@pytest.fixture(scope="session")
def values() -> Params:
    """Return the project's own params.yaml."""
    return params.load(ROOT / "params.yaml")


@pytest.fixture(scope="session")
def digits() -> Dataset:
    """Return scikit-learn's 1,797 digits of 8x8 pixels, enlarged to 28x28: 1,400 to train on, 397 to test."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    enlarged = np.kron(bunch.images * 255 / 16, np.ones((3, 3)))
    images = np.pad(enlarged, ((0, 0), (2, 2), (2, 2))).astype(np.uint8)
    labels = bunch.target.astype(np.uint8)
    return Dataset(Split(images[:1400], labels[:1400]), None, Split(images[1400:], labels[1400:]))


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a tracking store with its tables and nothing else: making one takes seconds, copying it none."""
    import mlflow

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    mlflow.MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments(max_results=1)
    return path


@pytest.fixture
def store(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give the test a tracking store of its own and return its path."""
    import mlflow

    path = tmp_path / "mlflow.db"
    shutil.copy(empty_store, path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
    yield path
    mlflow.end_run("FAILED")
