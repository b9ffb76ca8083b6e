"""`python -m pipeline.verdict`: its answers and exit codes, what it trains, and what it keeps."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest

from pipeline import files, verdict
from pipeline.analysis import metrics
from pipeline.change import trials
from pipeline.data import dataset
from pipeline.data.dataset import Dataset
from pipeline.errors import PipelineError
from pipeline.trials import ledger, run
from pipeline.trials.plan import Replicate
from tests.support import changes, small
from tests.support.changes import Stand

MODEL = "mlp_adadelta"
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def score(one: Replicate) -> float:
    """Return an accuracy that grows with the number of epochs and varies by a few images."""
    return 0.5 + 0.05 * one.ingredients["model"]["epochs"] + changes.noise(one, 0.01)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository with one commit."""
    return changes.make(tmp_path_factory.mktemp("verdict"))


@pytest.fixture
def repository(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a copy of it."""
    folder = tmp_path / "clone"
    subprocess.run(["cp", "-r", made, folder], check=True)
    monkeypatch.chdir(folder)
    return folder


class Silent:
    """Stands in for MLflow."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def add(self, _: Any) -> None:
        """Take an entry."""

    def close(self) -> None:
        """Wait for nothing."""


@pytest.fixture
def stand(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Stand:
    """Stand in for the engine and for MLflow."""
    assert Path.cwd() == repository
    found = Stand(score)
    monkeypatch.setattr(run.cluster, "connected", found.connected)
    monkeypatch.setattr(run.cluster, "dashboard", lambda _: "")
    monkeypatch.setattr(run, "train", found.train)
    monkeypatch.setattr(verdict, "Tracker", Silent)
    return found


Call = Callable[..., tuple[int, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Return a function that calls the command and returns exit code and output; an error is its exit code."""

    def run(*arguments: str) -> tuple[int, str]:
        try:
            return verdict.main(arguments), capsys.readouterr().out
        except PipelineError as error:
            return error.exit_code, f"{capsys.readouterr().out}error: {error}"

    return run


def epochs(count: int, model: str = MODEL) -> None:
    """Change the number of epochs in the workspace."""
    changes.edit(Path.cwd(), lambda values: values["models"][model].update(epochs=count))


@pytest.mark.usefixtures("repository")
def test_the_same_revision_twice_trains_nothing(stand: Stand, call: Call) -> None:
    """Nothing differs: that is said, and is no reason to stop a change."""
    code, printed = call("HEAD", "HEAD")

    assert code == 0
    assert printed.splitlines()[1].startswith("No model differs between A and B")
    assert stand.trained == []


@pytest.mark.parametrize(
    ("count", "code", "words"),
    [(1, 1, "B is worse"), (16, 0, "B is better"), (9, 2, "cannot tell: ")],
    ids=["worse", "better", "cannot tell"],
)
def test_the_exit_code_is_the_verdict(stand: Stand, call: Call, count: int, code: int, words: str) -> None:
    """1 for worse, 0 for better, and 2 with the number of seeds if 10 of each side cannot tell."""
    if code == 2:
        stand.accuracy = lambda one: 0.5 + 2 * changes.noise(one, 0.05)
    epochs(count)

    found, printed = call("HEAD", "workspace")

    assert (found, printed.splitlines()[-1].strip()[: len(words)]) == (code, words)
    assert ("seeds would decide it" in printed) == (code == 2)
    assert f"{MODEL}: epochs 8 -> {count}" in printed
    assert {one.seed for one in stand.trained} == {*range(10)}
    assert len(stand.trained) == 20


def test_no_relevant_difference_is_no_reason_to_stop(stand: Stand, call: Call) -> None:
    """Equal scores exit with 0."""
    stand.accuracy = lambda _: 0.9
    epochs(9)

    code, printed = call("HEAD", "workspace")

    assert (code, printed.splitlines()[-1].strip()) == (0, "no relevant difference")


@pytest.mark.usefixtures("stand")
@pytest.mark.fault("verdict: too few seeds")
def test_two_seeds_are_refused_with_the_number_needed(call: Call) -> None:
    """It takes three to see a spread at all."""
    assert call("HEAD", "workspace", "--seeds", "2") == (
        2,
        "error: --seeds: expected at least 3, found 2: fewer show no spread",
    )


def test_nothing_is_trained_twice(stand: Stand, call: Call) -> None:
    """A second call trains nothing, more seeds train only the new ones, and another B trains only B."""
    epochs(1)
    first = call("HEAD", "workspace", "--seeds", "4")
    assert len(stand.trained) == 8

    assert call("HEAD", "workspace", "--seeds", "4") == first
    assert len(stand.trained) == 8
    call("HEAD", "workspace", "--seeds", "6")
    assert [one.seed for one in stand.trained[8:]] == [4, 4, 5, 5]
    epochs(2)
    call("HEAD", "workspace", "--seeds", "6")
    assert [one.ingredients["model"]["epochs"] for one in stand.trained[12:]] == [2] * 6


@pytest.mark.fault("verdict: interrupted")
def test_an_interrupted_call_keeps_what_was_done(stand: Stand, call: Call) -> None:
    """After an interruption the next call trains only the rest, and gives the answer."""
    epochs(1)
    stand.interrupted_after = 5
    with pytest.raises(KeyboardInterrupt):
        verdict.main(["HEAD", "workspace", "--seeds", "4"])
    stand.interrupted_after = None

    code, _ = call("HEAD", "workspace", "--seeds", "4")

    assert code == 1
    assert len(stand.trained) == len({one.recipe for one in stand.trained}) == 8


@pytest.mark.fault("verdict: training that diverges")
def test_a_training_run_that_fails_is_no_verdict(stand: Stand, call: Call) -> None:
    """The others are kept, the exit code is 1, and nothing is said of the difference."""
    epochs(1)
    stand.failing = {2}

    assert call("HEAD", "workspace", "--seeds", "4") == (
        1,
        "error: 2 training runs failed; the others are in work/verdict/runs",
    )


def test_several_models_are_judged_together(stand: Stand, call: Call) -> None:
    """Each has a verdict, by intervals that hold jointly; the worst decides; one can be asked for alone."""
    epochs(1)
    epochs(3, "cnn")

    code, printed = call("HEAD", "workspace")

    assert code == 1
    assert printed.count("97.5% interval") == 2
    assert "The intervals of the 2 models hold jointly with 95% confidence (Bonferroni)." in printed
    before = len(stand.trained)
    assert call("HEAD", "workspace", "--model", "cnn")[0] == 0
    assert len(stand.trained) == before


def test_the_summary_is_markdown_and_the_output_json(stand: Stand, call: Call) -> None:
    """The table has a row per model; JSON has the values of each seed, from which all else follows."""
    Path("summary.md").write_text("# Before\n")
    epochs(1)

    code, printed = call("HEAD", "workspace", "--json", "--summary", "summary.md")

    content = json.loads(printed)
    (model,) = content["models"]
    assert (content["exit_code"], content["images"], content["smallest_effect"]) == (code, 140, 0.01)
    assert model["params"] == {"epochs": {"before": 8, "after": 1}}
    assert model["difference"] == pytest.approx(np.mean(model["after"]) - np.mean(model["before"]))
    expected = [score(one) for one in stand.trained if one.ingredients["model"]["epochs"] == 8]
    assert model["before"] == expected
    page = Path("summary.md").read_text()
    head = changes.git(Path.cwd(), "rev-parse", "HEAD")[:7]
    assert page.startswith(f"# Before\n\n### Verdict on `workspace`, compared with `HEAD ({head})`\n\n")
    assert page.splitlines()[-1].startswith(f"| {MODEL} | epochs 8 -> 1 | ")
    assert page.splitlines()[-1].endswith(f"| B is {model['verdict']} |")


@pytest.mark.usefixtures("stand")
def test_a_summary_says_why_nothing_could_be_judged(call: Call) -> None:
    """What is not comparable is in the summary as well, with the exit code 2."""
    changes.edit(Path.cwd(), lambda values: values["data"].update(split_seed=1))

    code, printed = call("HEAD", "workspace", "--summary", "summary.md")

    assert code == 2
    assert Path("summary.md").read_text() == f"\n### Verdict\n\n{printed.replace('error: ', 'CANNOT JUDGE: ')}\n"


def test_another_metric_is_judged_by_its_own_rule(stand: Stand, call: Call) -> None:
    """The loss is better where it is less, and needs no training of its own."""
    epochs(1)
    call("HEAD", "workspace")
    before = len(stand.trained)

    code, printed = call("HEAD", "workspace", "--metric", "loss")

    assert (code, len(stand.trained)) == (1, before)
    assert "loss on 140 validation images, 10 seeds of each side, paired by seed; less is better." in printed
    assert "A difference matters from 0.02 on (verdict.digits.loss in params.yaml)." in printed


def judged_by(metric: str) -> None:
    """Say in the workspace which difference in a metric matters."""
    changes.edit(Path.cwd(), lambda values: values["verdict"]["digits"].update({metric: 0.01}))


@pytest.mark.fault("verdict: results older than the score")
def test_results_older_than_a_score_are_named_with_the_ways_out(
    stand: Stand, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is trained then; without their files they are trained again, and other metrics need no training."""
    epochs(1)
    call("HEAD", "workspace", "--seeds", "3")
    monkeypatch.setitem(metrics.SCORES, "younger", metrics.Score(lambda *_: 0.1))
    judged_by("younger")
    before = len(stand.trained)

    code, printed = call("HEAD", "workspace", "--metric", "younger")

    variants = sorted({one.variant for one in stand.trained})
    what = "6 of 20 replicates have no younger yet: made before that score existed"
    assert (code, len(stand.trained)) == (2, before)
    assert printed.startswith(f"error: work/verdict/runs: {what}; delete the files of ")
    assert all(name in printed for name in variants)
    assert len(printed.splitlines()) == 1
    assert call("HEAD", "workspace", "--seeds", "3", "--metric", "loss")[0] == 1
    assert len(stand.trained) == before
    for name in variants:
        (Path("work/verdict/runs") / f"{name}.jsonl").unlink()
    assert call("HEAD", "workspace", "--seeds", "3", "--metric", "younger")[0] == 0
    assert len(stand.trained) == before + 6


@pytest.mark.fault("verdict: a metric for more classes")
def test_a_metric_for_more_classes_is_refused(stand: Stand, call: Call) -> None:
    """Before anything is trained, the classes that it needs and those of the data are named."""
    epochs(1)
    judged_by("top_3_accuracy")

    code, printed = call("HEAD", "workspace", "--metric", "top_3_accuracy")

    assert (code, printed) == (2, "error: --metric: top_3_accuracy needs 11 classes or more, digits has 10")
    assert stand.trained == []


@pytest.mark.usefixtures("repository")
def test_validation_images_are_held_out_of_the_training_images(digits: Dataset) -> None:
    """A tenth of these few, of every class its share; the others stay training images, and no test image is judged."""
    found = trials.held_out(verdict.read_side("HEAD"), Path("reports/data.json"), Path("work"))

    data = dataset.load(found.path)
    assert data.validation is not None
    assert (found.count("train"), found.count("validation"), found.sha256) == (1260, 140, files.sha256(found.path))
    counts = np.bincount(data.validation.labels) - 140 * np.bincount(digits.train.labels) / 1400
    assert abs(counts).max() < 1
    rows = [tuple(image.ravel()) for split in (data.train, data.validation) for image in split.images]
    assert sorted(rows) == sorted(tuple(image.ravel()) for image in digits.train.images)
    assert np.array_equal(data.test.images, digits.test.images)
    assert {name: one["count"] for name, one in found.summary["splits"].items()} == {
        "train": 1260,
        "validation": 140,
        "test": 397,
    }


def test_images_that_are_held_out_already_are_used(repository: Path, digits: Dataset) -> None:
    """Where the params hold images out, the verdict is on these, and no copy is made."""
    parts = [
        dataset.Split(digits.train.images[cut], digits.train.labels[cut]) for cut in (slice(200, None), slice(200))
    ]
    path = Path("data/processed/digits.npz")
    dataset.save(path, Dataset(parts[0], parts[1], digits.test, digits.classes))
    changes.edit(repository, lambda values: values["data"].update(validation=200))
    summary = files.read_json(Path("reports/data.json")) | {"validation": 200}
    files.write_json(Path("reports/data.json"), summary)

    found = trials.held_out(verdict.read_side("workspace"), Path("reports/data.json"), Path("work"))

    assert (found.path, found.count("train"), found.count("validation")) == (path, 1200, 200)
    assert not Path("work").exists()


@pytest.mark.usefixtures("stand")
@pytest.mark.fault("verdict: preprocessed data missing or other data")
def test_data_of_other_params_is_refused(call: Call) -> None:
    """Preprocessed data that is missing, or made by other params than both sides', is named with what to do."""
    epochs(1)
    Path("data/processed/digits.npz").rename("elsewhere.npz")
    assert call("HEAD", "workspace")[1].startswith("error: data/processed/digits.npz: no such file; `dvc repro")

    Path("elsewhere.npz").rename("data/processed/digits.npz")
    files.write_json(Path("reports/data.json"), files.read_json(Path("reports/data.json")) | {"validation": 100})
    code, printed = call("HEAD", "workspace")
    assert code == 2
    assert printed.startswith("error: reports/data.json: describes validation 100, and HEAD")


@pytest.fixture
def real(repository: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the repository with a tracking store."""
    subprocess.run(["cp", empty_store, repository / "mlflow.db"], check=True)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{repository}/mlflow.db")
    return repository


@pytest.mark.usefixtures("real")
def test_one_epoch_is_worse_for_real(call: Call) -> None:
    """Trained on real digits, 1 epoch is worse than 8, with exit code 1; a second call trains nothing.

    MLflow has each run once in the experiment of verdicts, by its setting, without a test score.
    """
    epochs(1)
    options = ("HEAD", "workspace", "--seeds", "3", "--workers", "1")

    code, printed = call(*options)

    assert (code, printed.splitlines()[-1].strip()) == (1, "B is worse"), printed
    assert call(*options) == (code, printed)
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("digits-verdict")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert sorted((one.data.params["epochs"], one.data.tags["seed"]) for one in runs) == [
        (count, str(seed)) for count in "18" for seed in range(3)
    ]
    assert len({one.data.params["variant"] for one in runs}) == 2
    assert all("validation_accuracy" in one.data.metrics for one in runs)
    assert not [name for one in runs for name in one.data.metrics if name.startswith("test")]


@pytest.mark.slow
@pytest.mark.fault("verdict: interrupted")
def test_an_interrupted_command_keeps_what_was_done(real: Path) -> None:
    """Ctrl-C ends it with 130 and no traceback; the next call trains only what is missing."""
    epochs(1)
    command = [sys.executable, "-m", "pipeline.verdict", "HEAD", "workspace", "--seeds", "3", "--workers", "1"]
    environment = small.environment() | {"PYTHONPATH": str(small.ROOT), "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}
    started = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    with started as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            # The line of counts, and two replicates.
            if len(lines) == 3:
                # A terminal sends it to the whole group.
                os.killpg(process.pid, signal.SIGINT)
        code = process.wait()

    assert code == 130, "".join(lines)
    assert "Traceback" not in "".join(lines)
    kept = len([*ledger.read(real / "work" / "verdict" / "runs")])
    assert 2 <= kept < 6
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert f"6 replicates planned, {kept} of them in work/verdict/runs" in done.stderr
    assert done.returncode == 1
