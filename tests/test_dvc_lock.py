"""What dvc.lock records, and inputs checked against the checksums in it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import dvc_lock, files, schema
from pipeline.errors import InputError
from pipeline.training import recipe
from pipeline.training.settings import Model, Training


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def recorded() -> None:
    """Have a model and a dvc.lock that records it."""
    files.write_text(Path("models/cnn.keras"), "weights")
    outs = [{"path": "models/cnn.keras", "hash": "md5", "md5": files.md5(Path("models/cnn.keras")), "size": 7}]
    Path("dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": {"train@cnn": {"cmd": "x", "outs": outs}}}))


@pytest.mark.usefixtures("recorded")
def test_the_recorded_file_is_admitted() -> None:
    """A file with its checksum in dvc.lock passes, and so does one that is not recorded there."""
    Path("other.txt").write_text("anything")

    dvc_lock.verify(Path("models/cnn.keras"), Path("other.txt"))


@pytest.mark.fault("input that is not the one of dvc.lock")
@pytest.mark.usefixtures("recorded")
def test_another_file_is_refused_with_the_command_that_restores_it() -> None:
    """An altered file is named with both checksums and a command that removes it and its cached object."""
    Path("models/cnn.keras").write_text("Weights")
    expected = dvc_lock.recorded()["models/cnn.keras"]

    with pytest.raises(InputError) as caught:
        dvc_lock.verify(Path("models/cnn.keras"))

    assert caught.value.path == Path("models/cnn.keras")
    assert files.md5(Path("models/cnn.keras")) in caught.value.what
    assert expected in caught.value.what
    assert f".dvc/cache/files/md5/{expected[:2]}/{expected[2:]}" in caught.value.fix
    assert "\n" not in str(caught.value)


@pytest.mark.fault("input missing")
@pytest.mark.usefixtures("recorded")
def test_a_missing_file_is_named() -> None:
    """A file that is not there is an input error."""
    Path("models/cnn.keras").unlink()

    with pytest.raises(InputError, match=r"models/cnn\.keras: no such file"):
        dvc_lock.verify(Path("models/cnn.keras"))


def test_the_lock_file_of_a_run_is_understood(reproduced: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checksums of every model, history and table are found in the dvc.lock that DVC wrote."""
    monkeypatch.chdir(reproduced)
    recorded = dvc_lock.recorded()

    assert {"data/processed/digits.npz", "models/cnn.keras", "reports/history/cnn.csv"} <= recorded.keys()
    assert files.md5(Path("reports/metrics.json")) == recorded["reports/metrics.json"]


@pytest.mark.fault("dvc.lock that tells of another experiment than the model was trained in")
@pytest.mark.parametrize(
    ("old", "new", "refused"),
    [
        ("learning_rate: 1.0", "learning_rate: 0.5", True),
        ("seed: 0", "seed: 1", True),
        ("batch_size: 128", "batch_size: 64", True),
        ("epochs: 3", "epochs: 4", True),
        ("split_seed: 0", "split_seed: 1", False),
        ("slight: 1.05", "slight: 1.06", False),
    ],
)
def test_a_model_is_what_its_own_record_says(reproduced: Path, old: str, new: str, refused: bool) -> None:
    """A lock with other params of its training is refused, with the way out; what it does not read does not count."""
    text = (reproduced / "dvc.lock").read_text()
    made_with = files.read_json(reproduced / "reports/metrics/cnn.json")["made_with"]
    Path("dvc.lock").write_text(text)
    dvc_lock.check_record("cnn", made_with)
    Path("dvc.lock").write_text(re.sub(rf"(?<![a-z_]){re.escape(old)}", new, text))
    assert Path("dvc.lock").read_text() != text

    if not refused:
        dvc_lock.check_record("cnn", made_with)
        return
    with pytest.raises(InputError, match="`dvc repro --force --single-item train@cnn` trains it again"):
        dvc_lock.check_record("cnn", made_with)


@pytest.mark.parametrize("change", ["data", "libraries", "no record"])
def test_a_model_of_other_data_or_libraries_is_told_from_its_record(reproduced: Path, change: str) -> None:
    """Other data are refused, and so is a model without a record; libraries are its own, and part of its recipe."""
    lock = files.read_yaml(reproduced / "dvc.lock")
    made_with = files.read_json(reproduced / "reports/metrics/cnn.json")["made_with"]
    trained = lock["stages"]["train@cnn"]
    if change == "data":
        next(dep for dep in trained["deps"] if dep["path"].endswith(".npz"))["md5"] = "0" * 32
    elif change == "no record":
        made_with = {}
    else:
        libraries = {"keras": "3.0"}
        settings = [
            schema.validate(kind, trained["params"]["params.yaml"][key])
            for kind, key in ((Model, "models.cnn"), (Training, "train"))
        ]
        md5 = next(dep["md5"] for dep in trained["deps"] if dep["path"].endswith(".npz"))
        made_with = {"recipe": recipe.of_model("cnn", *settings, md5, libraries), **libraries}
    Path("dvc.lock").write_text(json.dumps(lock))

    if change == "libraries":
        dvc_lock.check_record("cnn", made_with)
    else:
        with pytest.raises(InputError, match="was not trained with the params and data"):
            dvc_lock.check_record("cnn", made_with)
    dvc_lock.check_record("another", made_with)


@pytest.mark.fault("dvc.lock damaged")
@pytest.mark.parametrize(
    "content",
    ["- stages\n", "stages: [a]\n", "stages: {a: [1]}\n", "stages: {a: 5}\n",
     "stages: {5: {cmd: x}}\n", "stages: {a: {cmd: 3}}\n", "stages: {a: {deps: {b: 1}}}\n",
     "stages: {a: {params: [b]}}\n",     "stages: {a: {outs: [md5]}}\n", "stages: {a: {outs: 3}}\n",
     "stages: {a: {outs: [{md5: x}]}}\n", "text\n"],
)  # fmt: skip
def test_what_is_not_a_lock_file_is_one_line(content: str) -> None:
    """A lock file that DVC did not write is named, with the way out; nothing is concluded from it."""
    Path("dvc.lock").write_text(content)

    with pytest.raises(InputError, match="not a lock file") as caught:
        dvc_lock.recorded()

    assert caught.value.path is not None
    assert caught.value.path.name == "dvc.lock"
    assert "version control" in caught.value.fix


@pytest.mark.parametrize("content", ["", "schema: '2.0'\n", "schema: '2.0'\nstages: {}\n", None])
def test_an_empty_lock_file_records_nothing(content: str | None) -> None:
    """DVC writes an empty file where every stage has been removed, and none before the first run: all files pass."""
    if content is not None:
        Path("dvc.lock").write_text(content)
    Path("data.npz").write_text("x")

    assert dvc_lock.recorded() == {}
    dvc_lock.verify(Path("data.npz"))


def write_lock(title: str = "Fashion-MNIST", dataset: str = "fashion_mnist", **stages: Any) -> None:
    """Write dvc.lock and the summary of a data set as preprocess and DVC leave them."""
    files.write_json(Path("out/summary.json"), {"dataset": dataset, "title": title})
    preprocess = {
        "cmd": "python -m pipeline.preprocess --set s.yaml --summary out/summary.json",
        "params": {"params.yaml": {"data": {"dataset": dataset, "validation": "test", "split_seed": 0}}},
    }
    Path("dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": {"preprocess": preprocess} | stages}))


@pytest.mark.fault("reports/data.json is missing, damaged, or of another data set when MLflow's experiment is created")
@pytest.mark.parametrize("content", [None, "{", "[]", '{"dataset": "kmnist", "title": "KMNIST"}', '{"dataset": "f"}'])
def test_without_its_summary_a_data_set_goes_by_its_name(content: str | None) -> None:
    """The title is the name in params.yaml, whatever the file has."""
    write_lock()
    assert dvc_lock.title("fashion_mnist") == "Fashion-MNIST"
    summary = Path("out/summary.json")
    summary.unlink()
    if content is not None:
        summary.write_text(content)

    assert dvc_lock.title("fashion_mnist") == "fashion_mnist"


def test_the_data_set_is_that_of_dvc_lock() -> None:
    """Without dvc.lock there is none; it is read as DVC records it, under its own key or within its section.

    A stage without its params is an error that names the file.
    """
    assert dvc_lock.dataset() is None
    write_lock()
    assert dvc_lock.dataset() == "fashion_mnist"
    flat = {"cmd": "true", "params": {"params.yaml": {"data.dataset": "kmnist", "data.validation": "test"}}}
    write_lock(preprocess=flat)
    assert dvc_lock.dataset() == "kmnist"
    Path("dvc.lock").write_text(json.dumps({"stages": {"preprocess": {"cmd": "true"}}}))

    with pytest.raises(InputError) as caught:
        dvc_lock.dataset()
    assert caught.value.path == Path("dvc.lock")
