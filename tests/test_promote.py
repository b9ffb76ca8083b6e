"""The champion: how a model becomes it, what is recorded, what prevents it, and what restores it."""

import copy
import dataclasses
import errno
import json
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import requests
import yaml
from matplotlib.figure import Figure
from mlflow.tracking._tracking_service import utils as tracking_utils
from numpy.typing import NDArray
from PIL import Image

from pipeline import dvc_lock, files, params, promote, schema, sync, tracking
from pipeline.analysis import metrics, proportions
from pipeline.data import dataset
from pipeline.data.dataset import Dataset, Split
from pipeline.data.formats import npz
from pipeline.errors import InputError, PipelineError
from pipeline.params import Params
from pipeline.tracking import experiments, logged_model, promotion
from pipeline.tracking import store as mlflow_store
from pipeline.tracking.artifacts import EvaluationArtifacts
from pipeline.training import backend, model_file, recipe
from pipeline.training.backend import keras
from tests.support import forks, programs, small
from tests.support.frozen import FROZEN
from tests.support.local_server import free_port, serving

ROOT = Path(__file__).parents[1]
DATA, SUMMARY = "data/processed/mnist.npz", "reports/data.json"
# How many images each linear network is fitted to: two good ones that differ little, and a poor one.
FITTED = {"good": 1400, "near": 1300, "poor": 60}
GATE = {"default": {"test_accuracy": {"min": 0.3, "max_drop": 0.05}}}


def fit(split: Split) -> NDArray[np.float64]:
    """Return the weights (785, 10) of a ridge regression on the digits; the last row is the bias."""
    pixels = np.c_[split.images.reshape(len(split), -1) / 255, np.ones(len(split))]
    return np.asarray(np.linalg.solve(pixels.T @ pixels + np.eye(785), pixels.T @ np.eye(10)[split.labels] * 10))


def probabilities(weights: NDArray[np.float64], split: Split) -> NDArray[np.float64]:
    """Return the probabilities (n, 10) that the weights give for images, computed without Keras."""
    raised = np.exp(np.c_[split.images.reshape(len(split), -1) / 255, np.ones(len(split))] @ weights)
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def correct_by(weights: NDArray[np.float64], split: Split) -> NDArray[np.bool_]:
    """Return which images the weights classify correctly."""
    return np.asarray(probabilities(weights, split).argmax(axis=1) == split.labels)


def network_of(weights: NDArray[np.float64]) -> Any:
    """Return the weights as a network for raw images."""
    # Named, since Keras counts those that are not, and the count is in the file.
    layers = [
        keras.Input((28, 28), dtype="uint8", name="images"),
        keras.layers.Rescaling(1 / 255, name="scaled"),
        keras.layers.Flatten(name="flat"),
        keras.layers.Dense(10, activation="softmax", name="answers"),
    ]
    network = keras.Sequential(layers, name="linear")
    network.set_weights([weights[:-1], weights[-1]])
    return network


@pytest.fixture(scope="module")
def weights(digits: Dataset) -> dict[str, NDArray[np.float64]]:
    """Return the weights of each network."""
    train = digits.train
    return {name: fit(Split(train.images[:count], train.labels[:count])) for name, count in FITTED.items()}


class Workspace:
    """The current directory as DVC would leave it, with models that were fitted in no time."""

    def __init__(self, weights: dict[str, NDArray[np.float64]], data: Dataset) -> None:
        self.weights, self.dataset = weights, "mnist"
        content = files.read_yaml(FROZEN / "params.yaml")
        block = content["models"]["mlp_rmsprop"] | {"epochs": 1}
        self.params = content | {"models": dict.fromkeys(weights, block), "gate": {"mnist": GATE}}
        self.write_params()
        self.prepare(data)

    def write_params(self, **changes: Any) -> None:
        """Write params.yaml after changes of its sections."""
        self.params |= changes
        Path("params.yaml").write_text(json.dumps(self.params))

    def prepare(self, data: Dataset) -> None:
        """Write the data and train all models on it."""
        self.data = data
        dataset.save(Path(DATA), data)
        held_out = "test" if data.validation is None else len(data.validation)
        facts = {"dataset": self.dataset, "validation": held_out, "split_seed": 0}
        summary = {"dataset": self.dataset, "title": "Digits", "noun": "digit", "credit": "made here"}
        summary |= {"handwriting": "digit", "image": [28, 28], "classes": list(data.classes)}
        files.write_json(Path(SUMMARY), summary)
        made = stage(f"preprocess --summary {SUMMARY}", [], [DATA, SUMMARY], {"data": facts})
        self.stages: dict[str, Any] = {"preprocess": made}
        self.metrics: dict[str, Any] = {}
        for name in self.weights:
            self.train(name, name)

    def train(self, name: str, like: str) -> None:
        """Write the files of a model, which is the network `like`, its part of dvc.lock, and its MLflow run."""
        paths = {"output": f"models/{name}.keras", "history": f"reports/history/{name}.csv"}
        paths["timing"] = f"reports/timing/{name}.csv"
        scores, predictions = f"reports/metrics/{name}.json", f"reports/predictions/{name}.npz"
        made_with = {"recipe": self.recipe(name)}
        model_file.save(Path(paths["output"]), network_of(self.weights[like]), made_with)
        files.write_text(Path(paths["history"]), "epoch,loss,accuracy,val_loss,val_accuracy\n1,0.5,0.5,0.5,0.5\n")
        files.write_text(Path(paths["timing"]), "epoch,seconds,processor\n1,2.5,A processor\n")
        found = {
            split: metrics.score(probabilities(self.weights[like], images), images.labels, None)
            for split, images in self.data.splits().items()
        }
        content = {"made_with": made_with, "parameters": 7850, "splits": found}
        content["classes"] = list(self.data.classes)
        files.write_json(Path(scores), content)
        self.metrics[name] = {"test_accuracy": found["test"]["accuracy"], "test_errors": found["test"]["errors"]}
        test = self.data.test
        npz.write(Path(predictions), {"probabilities": probabilities(self.weights[like], test), "labels": test.labels})
        block, train = self.params["models"][name], self.params["train"]
        options = " ".join(f"--{key} {value}" for key, value in ({"data": DATA} | paths).items())
        used = {f"models.{name}": block, "train": train}
        self.stages[f"train@{name}"] = stage(f"train {name} {options}", [DATA], list(paths.values()), used)
        evaluated = f"evaluate {name} --data {DATA} --output {scores} --reported data/report_history.csv"
        evaluated += f" --predictions {predictions}"
        self.stages[f"evaluate@{name}"] = stage(evaluated, [DATA, paths["output"]], [scores, predictions])
        self.report()
        tracking.sync_model(trained(name), Path("work"))

    def recipe(self, name: str) -> str:
        """Return that of a model by the params as they are."""
        values = schema.validate(Params, self.params)
        return recipe.of_model(name, values.models[name], values.train, files.md5(Path(DATA)), {})

    def report(self) -> None:
        """Write the metrics of all models and dvc.lock."""
        files.write_json(Path("reports/metrics.json"), self.metrics)
        rule = {"overfitting": self.params["overfitting"]}
        self.stages["report"] = stage("report", [], ["reports/metrics.json"], rule)
        Path("dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": self.stages}))


def stage(
    command: str, deps: Sequence[str], outs: Sequence[str], params: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return a stage as dvc.lock has it."""
    body = {
        key: [{"path": path, "md5": files.md5(Path(path))} for path in paths]
        for key, paths in (("deps", deps), ("outs", outs))
    }
    return {"cmd": f"python -m pipeline.{command}", "params": {"params.yaml": params or {}}} | body


def trained(name: str) -> tracking.TrainedModel:
    """Return what the current directory has of a model."""
    found = tracking.trained_model(name, params.load(Path("params.yaml")).overfitting)
    assert found is not None
    return found


def lighten(patch: pytest.MonkeyPatch) -> None:
    """Have runs whose figures, and the description of whose model, take no time to make."""

    def save(path: Path, folder: Path, *_: Any) -> None:
        (folder / "data").mkdir(parents=True)
        (folder / "MLmodel").write_text("flavors: {}\n")
        shutil.copy(path, folder / logged_model.LOGGED_FILE)

    patch.setattr(logged_model, "_save", save)
    patch.setattr(logged_model, "FILES", {"MLmodel", logged_model.LOGGED_FILE})
    patch.setattr(EvaluationArtifacts, "figures", lambda _: {"curves.png": Figure(figsize=(1, 1))})


@pytest.fixture(autouse=True)
def _threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, TensorFlow's threads cannot be set any more."""
    monkeypatch.setattr(backend, "start", lambda **_: None)


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory,
    empty_store: Path,
    weights: dict[str, NDArray[np.float64]],
    digits: Dataset,
) -> tuple[Path, Workspace]:
    """Return a folder with a workspace and the store that has its runs."""
    folder = tmp_path_factory.mktemp("made")
    shutil.copy(empty_store, folder / "mlflow.db")
    (folder / "workspace").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        lighten(patch)
        patch.chdir(folder / "workspace")
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        return folder, Workspace(weights, digits)


@pytest.fixture
def workspace(made: tuple[Path, Workspace], store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Return a copy of that workspace, as current directory, with a copy of its store."""
    folder, workspace = made
    lighten(monkeypatch)
    shutil.copy(folder / "mlflow.db", store)
    for name in ("workspace", "mlruns"):
        shutil.copytree(folder / name, tmp_path / name)
    # MLflow remembers where the artifacts of a run are, as long as a process lives.
    tracking_utils._artifact_repos_cache.clear()
    monkeypatch.chdir(tmp_path / "workspace")
    return copy.deepcopy(workspace)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty directory."""
    (tmp_path / "workspace").mkdir()
    monkeypatch.chdir(tmp_path / "workspace")
    return tmp_path


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    output: str
    error: str


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Return a function that calls `python -m pipeline.promote` without the cost of a process."""

    def call(*arguments: str) -> Ended:
        capsys.readouterr()
        try:
            code, message = promote.main(arguments), ""
        except PipelineError as error:
            code, message = error.exit_code, str(error)
        captured = capsys.readouterr()
        assert "\n" not in message
        return Ended(code, captured.out, message or captured.err)

    return call


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[], Ended]:
    """Return a function that calls `python -m pipeline.sync`."""

    def synced() -> Ended:
        monkeypatch.setattr(sys, "argv", ["sync"])
        capsys.readouterr()
        code = sync.main()
        captured = capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    return synced


Call = Callable[..., Ended]


def client() -> Any:
    """Return MLflow's client of the test's store."""
    return mlflow.MlflowClient(mlflow_store.uri())


def versions() -> dict[str, Any]:
    """Return the registered versions by number."""
    return {str(one.version): one for one in client().search_model_versions("name = 'mnist'")}


def champion() -> str | None:
    """Return the name of the model that has the alias."""
    try:
        return champion_of("mnist")[1]
    except mlflow.MlflowException:
        return None


def run_of(name: str) -> Any:
    """Return the run of a model in the workspace."""
    return tracking.find_run(trained(name).dataset, trained(name).checksums())


def recorded() -> dict[str, Any]:
    """Return the content of the committed file."""
    return files.read_json(Path("reports/promotion.json"))


def rows(path: Path) -> list[str]:
    """Return each row of each table of a store."""
    with closing(sqlite3.connect(path)) as database:
        return sorted(database.iterdump())


def test_the_first_champion_needs_the_gate_alone(workspace: Workspace, call: Call, tmp_path: Path) -> None:
    """Its version has the run's file and tags; a description has run, commit, verdict, use, caution on test images."""
    for key, value in (("mlflow.source.git.commit", "c" * 40), ("git.dirty", "true")):
        client().set_tag(run_of("good").info.run_id, key, value)

    ended = call("good")

    assert (ended.code, ended.error) == (0, "")
    assert ended.output.startswith("good: is the champion now, mnist version 1: the gate passes, and there was no")
    (version,) = versions().values()
    assert champion() == "good"
    assert version.tags == trained("good").checksums()
    assert version.run_id == run_of("good").info.run_id
    assert version.source == f"models:/{run_of('good').outputs.model_outputs[0].model_id}"
    page = f"#/experiments/{run_of('good').info.experiment_id}/runs/{version.run_id}"
    trained_at = f"trained at commit `{'c' * 40}` with changes that were not committed: the gate passes"
    assert version.description.startswith(f"**good** of [run `{version.run_id}`]({page}), {trained_at}")
    assert f"[Its card]({page}/artifacts/card.md)" in version.description
    assert "--model models:/mnist@champion picture.png" in version.description
    accuracy = workspace.metrics["good"]["test_accuracy"]
    assert f"| good | test_accuracy | min | {accuracy} | 0.3 | pass |" in version.description
    assert "makes its test score optimistic" in version.description
    file = tracking.fetch("models:/mnist@champion", tmp_path / "to")
    assert files.md5(file) == recorded()["model_md5"] == files.md5(Path("models/good.keras"))
    assert recorded() | {"comparison": None, "images": "test", "recipe": workspace.recipe("good")} == recorded()


def test_a_model_that_is_not_inferior_takes_the_place(
    workspace: Workspace, call: Call, weights: dict[str, NDArray[np.float64]]
) -> None:
    """The two are compared image by image; file, output and description have the numbers, as numpy finds them."""
    call("near")

    ended = call("good")

    right = {name: correct_by(weights[name], workspace.data.test) for name in ("good", "near")}
    counts = (int(np.sum(right["good"] & ~right["near"])), int(np.sum(right["near"] & ~right["good"])), 397)
    assert min(counts) > 0
    found = recorded()["comparison"]
    assert (found["only_this"], found["only_champion"], found["count"]) == counts
    assert (found["accuracy"], found["champion_accuracy"]) == (right["good"].mean(), right["near"].mean())
    assert found["difference"] == pytest.approx(right["good"].mean() - right["near"].mean(), abs=1e-6)
    assert 0 <= proportions.tango_lower_bound(*counts) - found["lower_bound"] < 1e-6
    assert (found["champion"], found["champion_md5"]) == ("near", files.md5(Path("models/near.keras")))
    assert (ended.code, champion(), len(versions())) == (0, "good", 2)
    for text in (ended.output, versions()["2"].description):
        assert f"Compared with near (md5 `{found['champion_md5']}`) on the same 397 test images" in text
        assert (
            f"{counts[0]} images that only this model classifies correctly, {counts[1]} that only the other does"
            in text
        )
        assert f"95% lower confidence bound {found['lower_bound']:+.4f}; it had to be above -0.0500" in text


@pytest.mark.fault("promotion: model inferior to the champion, or too few images to tell")
@pytest.mark.parametrize(("before", "candidate", "max_drop"), [("good", "poor", 0.05), ("near", "good", 0.001)])
def test_a_model_that_may_be_inferior_is_refused(
    workspace: Workspace, call: Call, before: str, candidate: str, max_drop: float
) -> None:
    """Exit code 1 and one line with the numbers; champion, versions and file stay, also where --replace is said."""
    call(before)
    text = promotion.PATH.read_text()
    workspace.write_params(gate={"mnist": {"default": {"test_accuracy": {"min": 0.3, "max_drop": max_drop}}}})

    ended = call(candidate, "--replace")

    assert ended.code == 1
    assert ended.error.startswith(f"{candidate}: not promoted: it may be inferior. Compared with {before} (md5")
    assert (champion(), len(versions()), promotion.PATH.read_text()) == (before, 1, text)


@pytest.mark.fault("promotion: gate not passed, or not to be judged")
@pytest.mark.parametrize(
    ("bounds", "reason"),
    [
        ({"default": {"test_accuracy": {"min": 0.999}}}, "min 0.999: FAIL"),
        ({"default": {"test_brier": {"max": 0.1}}}, "test_brier -, max 0.1: CANNOT JUDGE: missing"),
        ({"default": {}}, "CANNOT JUDGE: no bound; set gate.mnist.models.good"),
        ({"default": {"test_accuracy": {"max_drop": 0.1}}}, "CANNOT JUDGE: nothing to compare with"),
    ],
)
def test_a_model_that_the_gate_does_not_pass_is_refused(
    workspace: Workspace, call: Call, bounds: Any, reason: str
) -> None:
    """Exit code 1, one line with the check, and nothing registered; a check that cannot be made does not pass."""
    workspace.write_params(gate={"mnist": bounds})

    ended = call("good", "--replace")

    assert ended.code == 1
    assert ended.error.startswith("good: not promoted: the gate does not pass: ")
    assert reason in ended.error
    assert (versions(), promotion.PATH.exists()) == ({}, False)


def test_another_models_failure_refuses_nobody(workspace: Workspace, call: Call) -> None:
    """The gate is asked of the candidate alone."""
    workspace.write_params(gate={"mnist": GATE | {"models": {"poor": {"test_accuracy": {"min": 0.999}}}}})

    assert call("good").code == 0


@pytest.mark.fault("promotion: a file edited, missing, or of another training run")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _: Path("models/good.keras").unlink(), "models/good.keras: no such file"),
        (lambda _: Path(DATA).write_bytes(b"edited"), f"{DATA}: has md5 "),
        (lambda _: Path("reports/metrics.json").write_text("{}"), "reports/metrics.json: has md5 "),
        (lambda _: Path("dvc.lock").unlink(), "good: out of date: "),
        (
            lambda w: (w.metrics["good"].update(test_errors=1), w.report()),
            "reports/metrics.json: its metrics of good are those of another training run; `dvc repro report` ",
        ),
        (
            lambda _: client().delete_run(run_of("good").info.run_id),
            "good: MLflow is missing its run; `make sync` adds it",
        ),
    ],
)
def test_what_is_not_as_dvc_left_it_is_no_candidate(
    workspace: Workspace, call: Call, change: Callable[[Workspace], object], message: str
) -> None:
    """Exit code 2, one line with the way out, and nothing registered."""
    change(workspace)

    ended = call("good")

    assert ended.code == 2
    assert ended.error.startswith(message)
    assert (versions(), promotion.PATH.exists()) == ({}, False)


@pytest.mark.usefixtures("workspace")
def test_an_unknown_model_is_reported(call: Call) -> None:
    """Exit code 2, with the names that there are."""
    ended = call("svm")

    assert (ended.code, ended.error) == (2, "models: no model 'svm'; known: good, near, poor")


def test_without_a_largest_drop_there_is_no_comparison(workspace: Workspace, call: Call) -> None:
    """A second model needs gate's test_accuracy.max_drop; the line names it."""
    call("near")
    workspace.write_params(gate={"mnist": {"default": {"test_accuracy": {"min": 0.3}}}})

    ended = call("good")

    assert (ended.code, champion()) == (2, "near")
    assert "gate.mnist.models.good.test_accuracy.max_drop is not set" in ended.error


@pytest.mark.usefixtures("workspace")
def test_the_champion_promoted_again_changes_nothing(call: Call, store: Path) -> None:
    """Exit code 0, a line that says so, and no byte of store or file is another."""
    call("good")
    before = rows(store), promotion.PATH.read_bytes()

    ended = call("good")

    assert (ended.code, ended.error) == (0, "")
    assert ended.output == "good: is the champion already, mnist version 1\n"
    assert (rows(store), promotion.PATH.read_bytes()) == before
    content = json.loads(call("good", "--json").output.partition("\n")[2])
    assert content.keys() == programs.keys("promote")
    assert (content["version"], content["promoted_now"]) == (1, False)
    assert content["promotion"] == json.loads(promotion.PATH.read_text())
    promotion.PATH.unlink()
    assert (
        call("good").error
        == "notice: reports/promotion.json does not record it; the file that does may be in version control\n"
    )


@pytest.mark.usefixtures("workspace")
def test_a_run_has_one_version(call: Call) -> None:
    """A model that was the champion before gets the alias back with the version that it has, described anew."""
    for name in ("good", "near", "good"):
        assert call(name).code == 0

    assert (champion(), len(versions())) == ("good", 2)
    assert "Compared with near" in versions()["1"].description


@pytest.mark.fault("promotion: champion of other data, registered by hand, or with its file lost")
@pytest.mark.parametrize("kind", ["other data", "by hand", "lost"])
def test_what_cannot_be_compared_is_replaced_on_demand_alone(
    workspace: Workspace, call: Call, kind: str, store: Path
) -> None:
    """Exit code 1 with the reason; --replace takes its place without a comparison, and says so."""
    call("near")
    if kind == "other data":
        workspace.prepare(dataclasses.replace(workspace.data, test=workspace.data.train))
    elif kind == "by hand":
        client().delete_model_version_tag("mnist", "1", "data.md5")
    else:
        model_id = versions()["1"].source.removeprefix("models:/")
        shutil.rmtree(next((store.parent / "mlruns").rglob(f"{model_id}/artifacts")))

    refused = call("good")
    assert (refused.code, champion()) == (1, "near")
    replaced = call("good", "--replace")

    reason = {
        "other data": "was trained on other data",
        "by hand": "was not registered by",
        "lost": "cannot be loaded (",
    }[kind]
    assert refused.error.startswith(f"good: not promoted: the champion {reason}")
    assert (replaced.code, champion(), recorded()["comparison"]) == (0, "good", None)
    assert f"it replaces, without a comparison, a champion that {reason}" in recorded()["reason"]
    assert recorded()["reason"] in versions()["2"].description


def choose_another(workspace: Workspace) -> None:
    """Train the models on another data set, as `make repro` does after data.dataset was changed."""
    workspace.dataset = "fashion_mnist"
    data = workspace.params["data"] | {"dataset": "fashion_mnist"}
    workspace.write_params(data=data, gate={"mnist": GATE, "fashion_mnist": GATE})
    workspace.prepare(dataclasses.replace(workspace.data, test=workspace.data.train))


def champion_of(dataset: str) -> tuple[str, str]:
    """Return the version and the model that is the champion on a data set."""
    version = client().get_model_version_by_alias(dataset, "champion")
    return str(version.version), version.tags["model"]


@pytest.mark.fault("promotion: the champion is of another data set")
def test_each_data_set_has_a_champion_of_its_own(workspace: Workspace, call: Call, synced: Call) -> None:
    """The first of another one needs the gate alone, whatever the file records of the one before, and both stay."""
    call("near")
    choose_another(workspace)

    first = call("good")

    assert (first.code, first.error) == (0, "")
    assert "fashion_mnist version 1: the gate passes, and there was no champion on fashion_mnist before" in first.output
    assert (champion_of("mnist"), champion_of("fashion_mnist")) == (("1", "near"), ("1", "good"))
    assert (recorded()["registered_model"], recorded()["comparison"]) == ("fashion_mnist", None)
    assert "champion: complete in MLflow" in synced().output
    compared = call("near")
    assert (compared.code, champion_of("fashion_mnist")) == (0, ("2", "near")), compared.error
    assert recorded()["comparison"]["champion"] == "good"


@pytest.mark.fault("promotion: params.yaml names another data set than the model was trained on")
def test_a_model_of_another_data_set_is_no_candidate(workspace: Workspace, call: Call) -> None:
    """Exit code 2 with both names and the command, since the gate's bounds are for the other one."""
    data = workspace.params["data"] | {"dataset": "fashion_mnist"}
    workspace.write_params(data=data, gate={"fashion_mnist": GATE})

    ended = call("good")

    assert ended.code == 2
    assert ended.error.startswith("good: trained on mnist, and data.dataset of params.yaml is fashion_mnist")
    assert "make repro" in ended.error
    assert not promotion.PATH.exists()


@pytest.fixture
def to_another_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_store: Path) -> Callable[[], None]:
    """Return a function that goes on with a new store, as another machine has."""

    def change() -> None:
        shutil.copy(empty_store, tmp_path / "another.db")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/another.db")

    return change


@pytest.mark.fault("promotion.json is of another data set, whose runs this store does not have")
def test_sync_speaks_of_no_other_data_set(
    workspace: Workspace, call: Call, synced: Call, to_another_store: Callable[[], None]
) -> None:
    """Where the champion of the file cannot be restored, nothing of its data set appears."""
    call("near")
    choose_another(workspace)
    to_another_store()

    ended = synced()

    assert ended.code == 0
    assert "champion" not in ended.output
    api = client()
    assert {experiment.name for experiment in api.search_experiments()} == {"Default", "fashion_mnist"}
    assert [one.name for one in api.search_registered_models()] == []


@pytest.mark.parametrize("name", ["mnist' or name != '", "", 3, "a/b"])
def test_a_file_whose_registered_model_is_no_data_set_is_refused(
    workspace: Workspace, call: Call, synced: Call, name: Any
) -> None:
    """Exit code 2 and one line that names the file and the field."""
    assert workspace.dataset == "mnist"
    call("near")
    files.write_json(promotion.PATH, recorded() | {"registered_model": name})

    ended = synced()

    assert ended.code == 2
    assert ended.error.startswith("error: reports/promotion.json: registered_model: ")
    assert ended.error.count("\n") == 1


def test_images_that_were_held_out_decide(
    workspace: Workspace, call: Call, weights: dict[str, NDArray[np.float64]]
) -> None:
    """Under the protocol with a validation split the comparison is made on it, and the description says so."""
    train, test = workspace.data.train, workspace.data.test
    held = Split(test.images[:200], test.labels[:200])
    workspace.prepare(Dataset(train, held, Split(test.images[200:], test.labels[200:]), small.DIGITS))
    call("near")

    assert call("good").code == 0

    assert recorded()["images"] == "validation"
    assert recorded()["comparison"]["count"] == 200
    assert recorded()["comparison"]["accuracy"] == correct_by(weights["good"], held).mean()
    assert "on the same 200 validation images" in versions()["2"].description
    assert "optimistic" not in versions()["2"].description
    assert "held out from training" in versions()["2"].description


def cut(monkeypatch: pytest.MonkeyPatch, method: str, error: BaseException) -> None:
    """Let a method of MLflow's client have its effect, and then end in `error`: once."""
    original = getattr(mlflow.MlflowClient, method)

    def and_then(*arguments: Any, **named: Any) -> None:
        monkeypatch.setattr(mlflow.MlflowClient, method, original)
        original(*arguments, **named)
        raise error

    monkeypatch.setattr(mlflow.MlflowClient, method, and_then)


STEPS = ("create_registered_model", "create_model_version", "set_registered_model_alias")


@pytest.mark.fault("promotion killed between its parts, or an answer of MLflow lost")
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("connection lost")])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.usefixtures("workspace")
def test_a_promotion_cut_short_is_completed(
    call: Call, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    """Run again it leaves one registered model, one version, the alias and the file, as if undisturbed."""
    cut(monkeypatch, step, error)
    with suppress(KeyboardInterrupt):
        assert call("good").code == 3

    ended = call("good")

    assert ended.code == 0
    (version,) = versions().values()
    assert (champion(), version.tags) == ("good", trained("good").checksums())
    assert version.description == promotion.read().description(run_of("good"))


@pytest.mark.fault("promotion: tracking server away, before or after the judgement")
@pytest.mark.usefixtures("workspace")
def test_without_mlflow_nobody_is_promoted(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 3 and no password; nothing is written before it answers; after an outage, running again completes."""
    with monkeypatch.context() as outage:
        outage.setenv("MLFLOW_TRACKING_URI", "http://somebody:hunter2@127.0.0.1:9")
        away = call("good")
        assert not promotion.PATH.exists()
    cut(monkeypatch, "create_model_version", mlflow.MlflowException("no answer"))
    lost = call("good")

    assert (away.code, lost.code) == (3, 3)
    assert away.error.startswith("http://***@127.0.0.1:9: ")
    assert "hunter2" not in away.error
    assert "reports/promotion.json records a promotion that MLflow is missing; run this command again" in lost.error
    assert (call("good").code, len(versions())) == (0, 1)


@pytest.mark.fault("disk full at reports/promotion.json")
@pytest.mark.usefixtures("workspace")
def test_without_its_file_there_is_no_promotion(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 1 with the file's name, and nothing registered that the workspace does not record."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "_replace", full)

    ended = call("good")

    assert ended.code == 1
    assert ended.error.startswith("reports/promotion.json: cannot be written")
    assert versions() == {}


@pytest.mark.fault("mlflow.db deleted after a promotion")
@pytest.mark.usefixtures("workspace")
def test_a_lost_champion_is_brought_back(
    call: Call, synced: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sync registers it again with the same words and file; a second sync, and promoting it again, change nothing."""
    call("near")
    call("good")
    before, text = versions()["2"], promotion.PATH.read_bytes()

    lost = tmp_path / "new.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{lost}")
    first = synced()
    stored = rows(lost)
    second = synced()

    assert (first.code, second.code) == (0, 0)
    assert "champion: good added to MLflow" in first.output.splitlines()
    assert "champion: complete in MLflow" in second.output.splitlines()
    assert rows(lost) == stored
    (after,) = versions().values()
    assert after.tags == before.tags
    assert after.description == before.description.replace(before.run_id, run_of("good").info.run_id)
    assert files.md5(tracking.fetch("models:/mnist@champion", tmp_path / "to")) == recorded()["model_md5"]
    assert "already" in call("good").output
    assert promotion.PATH.read_bytes() == text


@pytest.mark.fault("mlflow.db deleted after a promotion")
@pytest.mark.usefixtures("workspace")
def test_a_lost_champion_is_still_to_be_beaten(call: Call) -> None:
    """Where the store has lost it, it is brought back first; where it cannot be, only --replace does without."""
    api = client()
    call("good")
    api.delete_registered_model("mnist")
    compared = call("near")
    api.delete_registered_model("mnist")
    api.delete_run(run_of("near").info.run_id)
    refused = call("good")
    replaced = call("good", "--replace")

    assert compared.output.startswith("champion: good added to MLflow\nnear: is the champion now")
    assert refused.code == 1
    assert "champion is recorded in reports/promotion.json, but not in MLflow, so" in refused.error
    assert (replaced.code, champion(), recorded()["comparison"]) == (0, "good", None)


@pytest.fixture
def artifacts(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_store: Path) -> Path:
    """Train the workspace's models in a store of its own, and return the folder of its artifacts, which may be lost."""
    shutil.copy(empty_store, tmp_path / "own.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/own.db")
    workspace.prepare(workspace.data)
    return tmp_path / "mlruns"


@pytest.mark.fault("mlruns/ deleted or damaged, and mlflow.db kept")
@pytest.mark.parametrize(
    ("loss", "reason"),
    [
        (shutil.rmtree, "lost"),
        (lambda artifacts: [path.write_bytes(b"damaged") for path in artifacts.rglob("model.keras")], "model.keras"),
    ],
    ids=["lost", "damaged"],
)
def test_files_that_mlflow_has_lost_are_reported_and_put_back(
    call: Call, synced: Call, artifacts: Path, tmp_path: Path, loss: Callable[[Path], object], reason: str
) -> None:
    """Promote and predict exit with 2, the reason, and the command that puts them back; after it both work."""
    call("good")
    loss(artifacts)
    (version,) = versions().values()

    for name in ("good", "near"):
        ended = call(name)
        assert (ended.code, reason in ended.error) == (2, True), ended.error
        assert ended.error.endswith("; `make sync` puts it back")
    for uri in ("models:/mnist@champion", "models:/mnist/1", version.source):
        with pytest.raises(InputError, match=reason) as caught:
            tracking.fetch(uri, tmp_path / "to")
        assert caught.value.fix == "`make sync` puts it back"

    assert synced().code == 0
    assert "already" in call("good").output
    for uri in ("models:/mnist@champion", "models:/mnist/1", version.source):
        assert files.md5(tracking.fetch(uri, tmp_path / "to")) == recorded()["model_md5"]
    assert call("near").code == 0


@pytest.mark.fault("mlruns/ deleted after the champion has left the workspace")
def test_the_files_of_a_champion_that_left_the_workspace_come_from_dvcs_cache(
    workspace: Workspace, call: Call, synced: Call, artifacts: Path, tmp_path: Path
) -> None:
    """If the cache has them; if not, exit code 2 and one line with what else there is."""
    call("good")
    content, md5 = Path("models/good.keras").read_bytes(), recorded()["model_md5"]
    workspace.train("good", "near")
    shutil.rmtree(artifacts)

    lost = synced()
    files.write_bytes(Path(".dvc/cache/files/md5") / md5[:2] / md5[2:], content)
    found = synced()

    assert lost.code == 2
    assert lost.error.startswith("error: champion: MLflow has lost ")
    assert lost.error.count("\n") == 1
    assert "make promote MODEL=good REPLACE=1" in lost.error
    assert (found.code, found.error) == (0, "")
    assert "champion: files of good put back into MLflow" in found.output.splitlines()
    assert tracking.fetch("models:/mnist@champion", tmp_path / "to").read_bytes() == content
    assert "champion: complete in MLflow" in synced().output


@pytest.mark.fault("the experiment, or the champion's version or alias, deleted in MLflow's pages")
@pytest.mark.parametrize("kind", ["experiment", "version", "alias", "registered model"])
@pytest.mark.usefixtures("workspace")
def test_what_is_deleted_in_mlflow_comes_back_or_is_named(call: Call, synced: Call, kind: str) -> None:
    """A champion is restored by sync; a deleted experiment is one line with the command that restores it."""
    call("good")
    api = client()
    if kind == "experiment":
        api.delete_experiment(api.get_experiment_by_name("mnist").experiment_id)
        ended = call("near")
        assert ended.code == 3
        assert "mlflow experiments restore" in ended.error
        return
    if kind == "version":
        api.delete_model_version("mnist", "1")
    elif kind == "alias":
        api.delete_registered_model_alias("mnist", "champion")
    else:
        api.delete_registered_model("mnist")

    ended = synced()

    assert ended.code == 0
    assert "champion: good added to MLflow" in ended.output
    assert champion() == "good"
    assert "already" in call("good").output


def delete_model(of: str) -> None:
    """Delete the logged model of the latest run of a model, as MLflow's pages do."""
    (output,) = next(run for run in all_runs() if run.data.tags["model"] == of).outputs.model_outputs
    client().delete_logged_model(output.model_id)


def purge() -> None:
    """Call `mlflow gc`."""
    # In a process of its own: it would leave this one with its own store.
    store = mlflow_store.uri()
    forks.run(Path.cwd(), "python", "-m", "mlflow", "gc", "--backend-store-uri", store, "--tracking-uri", store)


def keep_in_cache() -> None:
    """Put the champion's file into DVC's cache."""
    content = Path(f"models/{recorded()['model']}.keras").read_bytes()
    files.write_bytes(dvc_lock.cached(recorded()["model_md5"]), content)


def damage_the_record() -> None:
    """Commit the file that records the champion, and damage it."""
    small.run(Path(), "git", "init", "--quiet")
    small.run(Path(), "git", "add", str(promotion.PATH))
    small.commit(Path(), "promoted")
    promotion.PATH.write_text("{}")


def delete(what: str, *, of: str = "good") -> None:
    """Delete the champion's alias, its version, or the runs of a model, as MLflow's pages do."""
    api = client()
    if what == "run":
        for run in all_runs():
            if run.data.tags["model"] == of:
                api.delete_run(run.info.run_id)
    elif what == "alias":
        api.delete_registered_model_alias("mnist", "champion")
    else:
        api.delete_model_version("mnist", "1")


def train_again(workspace: Workspace) -> None:
    """Let the champion leave the workspace: its model is trained to other bits."""
    workspace.train("good", "near")


# What is done, in order, after "good" has become the champion.
Steps = Sequence[Callable[[Workspace], object]]
LOST: dict[str, Steps] = {
    "model deleted": [lambda _: delete_model("good")],
    "model purged": [lambda _: delete_model("good"), lambda _: purge()],
    "model and alias deleted": [lambda _: delete_model("good"), lambda _: delete("alias")],
    "model and version deleted": [lambda _: delete_model("good"), lambda _: delete("version")],
    "run deleted": [lambda _: delete("run")],
    "run purged": [lambda _: delete_model("good"), lambda _: delete("run"), lambda _: purge()],
    "record gone": [lambda _: delete_model("good"), lambda _: promotion.PATH.unlink()],
    "record damaged": [lambda _: delete_model("good"), lambda _: damage_the_record()],
}
LOST |= {
    f"{name}, {kept}, champion trained again": [*([lambda _: keep_in_cache()] * (kept == "cached")), *steps]
    for name, steps in {
        "model deleted": [lambda _: delete_model("good"), train_again],
        "model purged": [lambda _: delete_model("good"), lambda _: purge(), train_again],
        "model and alias deleted": [lambda _: delete_model("good"), lambda _: delete("alias"), train_again],
        "run purged": [lambda _: delete("run"), lambda _: purge(), train_again],
        "record gone": [lambda _: delete_model("good"), lambda _: promotion.PATH.unlink(), train_again],
    }.items()
    for kept in ("cached", "not cached")
}


class Walk:
    """What a person does who takes each message at its word: runs the command that it names, and tries again."""

    def __init__(self, call: Call, synced: Call) -> None:
        self._call, self._synced = call, synced
        self._said: list[str] = []
        self._offered: list[str] = []

    def run(self, command: str) -> Ended:
        """Run a command as make does, without the cost of a process; any other in a shell."""
        try:
            match shlex.split(command):
                case ["make", "sync"]:
                    return self._synced()
                case ["make", "promote", model, *replace]:
                    return self._call(model.removeprefix("MODEL="), *["--replace"] * (replace == ["REPLACE=1"]))
                case ["predict"]:
                    tracking.fetch("models:/mnist@champion", Path("to"))
                    return Ended(0, "", "")
        except PipelineError as error:
            return Ended(error.exit_code, "", str(error))
        done = small.execute(Path(), "sh", "-c", command)
        return Ended(done.returncode, "", done.stdout)

    def until_it_works(self, command: str) -> None:
        """Run a command and what its messages name, until it succeeds.

        Where a message comes again, what it named did not help: unless that offered something else, there is no way.
        """
        while (ended := self.run(command)).code:
            named = self._offered if ended.error in self._said else re.findall("`(.+?)`", ended.error)
            assert named, [*self._said, ended.error]
            self._said.append(ended.error)
            self._offered = []
            self.until_it_works(named[0])
        self._offered = re.findall("`(make promote MODEL=[a-z].*?)`", ended.output)


FIRST = ("predict", "make sync", "make promote MODEL=good", "make promote MODEL=near")


@pytest.mark.fault("the champion's model, run, version or alias deleted in MLflow's pages, with or without `mlflow gc`")
@pytest.mark.parametrize(
    ("lost", "first"),
    [
        # A few states with one beginning each, or all of them in the slow tests.
        pytest.param(lost, first, marks=[] if number % 4 == 0 and at == number // 4 else pytest.mark.slow)
        for number, lost in enumerate(LOST)
        for at, first in enumerate(FIRST)
    ],
)
def test_each_way_out_leads_out(workspace: Workspace, call: Call, synced: Call, lost: str, first: str) -> None:
    """Whoever follows the messages, wherever they begin, ends with a champion that every command takes for whole."""
    assert call("good").code == 0
    for step in LOST[lost]:
        step(workspace)
    walk = Walk(call, synced)

    for command in (first, "make sync", "predict", "make promote MODEL=good"):
        walk.until_it_works(command)

    assert [walk.run(command).code for command in ("make sync", "predict", "make promote MODEL=good")] == [0, 0, 0]
    assert champion() == recorded()["model"]
    assert files.md5(tracking.fetch("models:/mnist@champion", Path("to"))) == recorded()["model_md5"]


def test_the_same_promotion_writes_the_same_file(
    workspace: Workspace, call: Call, to_another_store: Callable[[], None]
) -> None:
    """In another store, with other runs, a promotion writes the same bytes: no ids and no times are in them."""
    call("good")
    text, run_id = promotion.PATH.read_text(), run_of("good").info.run_id
    promotion.PATH.unlink()
    to_another_store()
    workspace.prepare(workspace.data)

    assert call("good").code == 0

    assert promotion.PATH.read_text() == text
    assert run_id not in text
    assert run_of("good").info.run_id not in text


OFFER = (
    "champion: none in MLflow; reports/promotion.json records another near than this; "
    "`make promote MODEL=near REPLACE=1` promotes this one"
)


@pytest.mark.fault("promotion.json is of another machine, which trained the same model to other bits")
def test_a_clone_is_offered_the_promotion_of_its_own_model(
    workspace: Workspace, call: Call, synced: Call, to_another_store: Callable[[], None]
) -> None:
    """In one line, with the command, until it is done; of a champion that this machine never had, nothing is said."""
    call("near")
    to_another_store()
    workspace.train("near", "good")

    first, second = synced(), synced()
    model, replace = shlex.split(OFFER.split("`")[1])[2:]
    done = call(model.removeprefix("MODEL="), *["--replace"] * (replace == "REPLACE=1"))
    after = synced()

    assert [one.output.splitlines()[-2] for one in (first, second)] == [OFFER, OFFER]
    assert first.output.count("champion") == 1
    assert (done.code, champion()) == (0, "near"), done.error
    assert after.output.splitlines()[-2] == "champion: complete in MLflow"


@pytest.mark.fault("sync with a promotion.json that is damaged, or records another model than the champion")
def test_sync_changes_no_champion(workspace: Workspace, call: Call, synced: Call) -> None:
    """A champion other than the file's stays, one that is not there is offered anew, a damaged file is exit code 2."""
    call("near")
    older = promotion.PATH.read_bytes()
    call("good")
    promotion.PATH.write_bytes(older)

    kept = synced()
    workspace.train("near", "poor")
    client().delete_registered_model("mnist")
    client().delete_run(
        next(run.info.run_id for run in all_runs() if run.data.tags["model.md5"] == recorded()["model_md5"])
    )
    gone = synced()
    promotion.PATH.write_text('{"model": 3}')
    damaged = synced()

    assert kept.output.splitlines()[-2].startswith("champion: MLflow has another one than reports/promotion.json")
    assert gone.output.splitlines()[-2] == OFFER
    assert (kept.code, gone.code, damaged.code) == (0, 0, 2)
    assert damaged.error.startswith("error: reports/promotion.json: ")
    assert damaged.error.count("\n") == 1
    assert versions() == {}


def all_runs() -> list[Any]:
    """Return the runs of the experiment."""
    return list(client().search_runs([experiments.connect(experiments.of_dataset("mnist"))]))


def draw_three(path: Path) -> None:
    """Write a picture of a digit."""
    from PIL import ImageDraw, ImageFont

    picture = Image.new("L", (200, 300), 255)
    ImageDraw.Draw(picture).text((100, 150), "3", 0, ImageFont.load_default(160), anchor="mm")
    picture.save(path)


def test_dvc_knows_nothing_of_the_file() -> None:
    """No stage of either pipeline has the file, or a folder around it, as dep or out; neither ignore file names it."""
    for folder in (ROOT, ROOT / "study"):
        stages = yaml.safe_load((folder / "dvc.yaml").read_text())["stages"].values()
        bodies = [one.get("do", one) for one in stages]
        entries = [entry for body in bodies for key in ("deps", "outs", "plots") for entry in body.get(key, [])]
        paths = {entry if isinstance(entry, str) else next(iter(entry)) for entry in entries}
        assert {(folder / path).resolve() for path in paths}.isdisjoint({ROOT / "reports", ROOT / promotion.PATH})
    ignored = [line for name in (".gitignore", ".dvcignore") for line in (ROOT / name).read_text().splitlines()]
    assert not [line for line in ignored if line.strip("/") in ("reports", "reports/promotion.json", "*.json")]


def documented(program: str) -> str:
    """Return the one block of commands of the page on promotion that calls a program."""
    page = (ROOT / "docs" / "promotion.md").read_text()
    (block,) = [one for one in re.findall(r"^```sh\n(.*?)^```$", page, re.DOTALL | re.MULTILINE) if program in one]
    return str(block)


@pytest.mark.slow
def test_the_champion_is_served_over_http(
    place: Path,
    weights: dict[str, NDArray[np.float64]],
    digits: Dataset,
    call: Call,
    empty_store: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The page's commands serve the file's answers, which are `pipeline.predict`'s too; other pixels are refused."""
    shutil.copy(empty_store, "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{Path('mlflow.db').resolve()}")
    # As make sees it, the environment is complete; the one in use is found behind it, on PATH.
    Path(".venv").mkdir()
    for name in ("requirements.lock", ".venv/complete"):
        Path(name).touch()
    small.copy(Path(), "Makefile", "data/report_history.csv")
    Workspace({"good": weights["good"]}, digits)
    assert call("good").code == 0
    images = digits.test.images[:5]
    expected = model_file.load(Path("models/good.keras")).predict(images, verbose=0)

    port = free_port()
    server, settings = f"http://127.0.0.1:{port}", {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PORT": port}
    with serving(["sh", "-c", documented("make serve")], f"{server}/health", place / "log", **settings):
        curl = documented("curl").replace("http://127.0.0.1:5002", server)
        answer = json.loads(subprocess.run(["sh", "-c", curl], capture_output=True, check=True).stdout)
        reply = requests.post(f"{server}/invocations", json={"inputs": images.tolist()}, timeout=120)
        divided = requests.post(f"{server}/invocations", json={"inputs": (images / 255).tolist()}, timeout=120)
        outside = [images.tolist() for _ in range(2)]
        for pixels, value in zip(outside, (256, -1), strict=True):
            pixels[0][0][0] = value
        rejected = [requests.post(f"{server}/invocations", json={"inputs": one}, timeout=120) for one in outside]
    draw_three(Path("three.png"))
    command = [sys.executable, "-m", "pipeline.predict", "three.png", "--json", "--model"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    said = [
        json.loads(
            subprocess.run([*command, model], env=environment, capture_output=True, text=True, check=True).stdout
        )
        for model in ("models:/mnist@champion", "good")
    ]

    assert np.shape(answer["predictions"]) == (1, 10)
    assert np.argmax(answer["predictions"]) == 1
    assert reply.status_code == 200, reply.text
    assert np.allclose(reply.json()["predictions"], expected, atol=1e-6)
    # As the page says: all that was below 1 is black.
    assert np.argmax(divided.json()["predictions"], axis=1).tolist() != np.argmax(expected, axis=1).tolist()
    assert [one.status_code for one in rejected] == [400, 400]
    assert said[0] == said[1]


@pytest.mark.slow
@pytest.mark.fault("promotion killed between its parts, or an answer of MLflow lost")
def test_a_tracking_server_takes_a_promotion(
    place: Path,
    weights: dict[str, NDArray[np.float64]],
    digits: Dataset,
    call: Call,
    synced: Call,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Over HTTP it is the same: one version of each run, the comparison, the alias, and sync adds nothing."""
    options = ["--backend-store-uri", f"sqlite:///{place}/server.db", "--artifacts-destination", str(place / "files")]
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", *options, "--workers", "1", "--port", port]
    server, settings = f"http://127.0.0.1:{port}", {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with serving(command, f"{server}/health", place / "log", **settings):
        lighten(monkeypatch)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
        Workspace(weights, digits)
        cut(monkeypatch, "create_model_version", OSError("the answer is lost"))
        codes = [call("near").code, call("near").code, call("good").code, call("good").code, call("poor").code]
        done = synced()

        assert codes == [3, 0, 0, 0, 1]
        assert (champion(), sorted(versions())) == ("good", ["1", "2"])
        assert versions()["2"].source == f"models:/{run_of('good').outputs.model_outputs[0].model_id}"
        assert "champion: complete in MLflow" in done.output.splitlines()


@pytest.mark.usefixtures("workspace")
def test_with_gto_the_champion_is_registered_in_git_too(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only with --gto, when it becomes the champion or is it already; a refused candidate is not registered."""
    registered: list[tuple[str, Path]] = []

    def register(promoted: promotion.Promotion, model: Path) -> str:
        registered.append((promoted.model_md5, model))
        return "registered"

    monkeypatch.setattr(promotion, "register", register)

    without = call("good")
    already = call("good", "--gto")
    refused = call("poor", "--gto")
    replaced = call("near", "--gto", "--replace")

    assert "registered" not in without.output
    assert [ended.output.splitlines()[-1] for ended in (already, replaced)] == ["registered"] * 2
    assert refused.code == 1
    models = [Path(f"models/{name}.keras") for name in ("good", "near")]
    assert registered == [(files.md5(model), model) for model in models]
