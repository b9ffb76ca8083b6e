"""Inputs against the sums in dvc.lock."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pipeline import dvc_lock, files
from pipeline.errors import InputError


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory to work in, with a model and a dvc.lock that records it."""
    monkeypatch.chdir(tmp_path)
    files.write_text(Path("models/cnn.keras"), "weights")
    outs = [{"path": "models/cnn.keras", "hash": "md5", "md5": files.md5(Path("models/cnn.keras")), "size": 7}]
    Path("dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": {"train@cnn": {"cmd": "x", "outs": outs}}}))
    return tmp_path


@pytest.mark.usefixtures("workspace")
def test_the_recorded_file_is_admitted() -> None:
    """A file with the sum in dvc.lock passes, and so does one that it does not name."""
    Path("other.txt").write_text("anything")

    dvc_lock.verify(Path("models/cnn.keras"), Path("other.txt"))


@pytest.mark.fault("input that is not the one of dvc.lock")
@pytest.mark.usefixtures("workspace")
def test_another_file_is_refused_with_the_way_to_heal_it() -> None:
    """An altered file is named with both sums and a command that removes it and its cached object."""
    Path("models/cnn.keras").write_text("Weights")
    expected = dvc_lock.recorded()["models/cnn.keras"]

    with pytest.raises(InputError) as caught:
        dvc_lock.verify(Path("models/cnn.keras"))

    message = str(caught.value)
    assert message.startswith("models/cnn.keras: has md5 ")
    assert expected in message
    assert f".dvc/cache/files/md5/{expected[:2]}/{expected[2:]}" in message
    assert "\n" not in message


@pytest.mark.fault("input missing")
@pytest.mark.usefixtures("workspace")
def test_a_missing_file_is_named() -> None:
    """A file that is not there is an input error."""
    Path("models/cnn.keras").unlink()

    with pytest.raises(InputError, match=r"models/cnn\.keras: no such file"):
        dvc_lock.verify(Path("models/cnn.keras"))


def test_without_a_lock_file_there_is_nothing_to_hold_against(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A first run, or one outside DVC, has no recorded sums."""
    monkeypatch.chdir(tmp_path)
    Path("data.npz").write_text("x")

    assert dvc_lock.recorded() == {}
    dvc_lock.verify(Path("data.npz"))


def test_the_projects_own_lock_file_is_understood() -> None:
    """The sums of every model, history and table are found in the dvc.lock of this repository."""
    recorded = dvc_lock.recorded()

    assert {"data/processed/mnist.npz", "models/cnn.keras", "reports/metrics/cnn.json"} <= recorded.keys()
    assert files.md5(Path("reports/metrics.json")) == recorded["reports/metrics.json"]
