"""`python -m pipeline.verdict`: its answers and exit codes, what it trains, and what it keeps."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import mlflow
import numpy as np
import pytest

from pipeline import files, verdict
from pipeline.analysis import metrics
from pipeline.errors import PipelineError
from pipeline.trials import ledger
from pipeline.trials.plan import Replicate
from pipeline.verdicts import sides, training
from tests.support import changes, programs, small
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
    """Stands in for MLflow; `logged` has the last answer that it took."""

    logged: ClassVar[list[Any]] = []

    def __init__(self, *_: Any, **__: Any) -> None:
        self.logged.clear()

    def add(self, _: Any) -> None:
        """Take an entry."""

    def put(self, _: str, run: Any) -> None:
        """Take the answer."""
        self.logged.append(run)

    def close(self) -> None:
        """Wait for nothing."""


@pytest.fixture
def stand(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Stand:
    """Stand in for the engine and for MLflow."""
    assert Path.cwd() == repository
    found = Stand(score)
    monkeypatch.setattr(sides.cluster, "connected", found.connected)
    monkeypatch.setattr(training.engine, "train", found.train)
    monkeypatch.setattr(sides, "Tracker", Silent)
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
@pytest.mark.fault("verdict: network that this machine cannot hold")
def test_a_network_that_fits_no_memory_is_refused_before_any_training(stand: Stand, call: Call) -> None:
    """Side and key are named; a model that is not compared, and workers elsewhere, are no matter."""
    epochs(3, "cnn")
    changes.edit(Path.cwd(), lambda values: values["models"][MODEL]["network"].update(units=[2 * 10**9]))

    code, printed = call("HEAD", "workspace")

    assert (code, stand.trained) == (2, [])
    assert f"workspace:params.yaml: models.{MODEL}.network: its 1,568,000,000,000 weights" in printed
    for others in (["--model", "cnn"], ["--scheduler", "tcp://elsewhere"]):
        stand.trained.clear()
        call("HEAD", "workspace", *others)
        assert stand.trained


@pytest.mark.usefixtures("repository")
@pytest.mark.fault("verdict: two revisions that do not differ")
def test_the_same_revision_twice_trains_nothing(stand: Stand, call: Call) -> None:
    """Nothing differs, as where a wrong revision was named: that is said, and is no pass."""
    code, printed = call("HEAD", "HEAD~0")

    assert code == call("HEAD", "HEAD~0", "--exit-zero")[0] == 2
    assert printed.splitlines()[1].startswith("CANNOT JUDGE: no model differs between A and B")
    assert json.loads(call("HEAD", "HEAD~0", "--json")[1])["error"].startswith("no model differs")
    expected = "error: expected 2 to 26 different sides, found 1; name those to compare"
    assert call("HEAD", "HEAD") == (2, expected)
    assert stand.trained == []


@pytest.mark.usefixtures("stand")
@pytest.mark.parametrize(("count", "code"), [(1, 1), (16, 2)])
def test_a_model_that_only_a_has_is_no_verdict(call: Call, count: int, code: int) -> None:
    """Whatever is found of another model, this is 2 where the exit code is not to be the verdict."""
    epochs(count)
    changes.edit(Path.cwd(), lambda values: values["models"].pop("cnn"))

    found, printed = call("HEAD", "workspace")

    assert (found, call("HEAD", "workspace", "--exit-zero")[0]) == (code, 2)
    assert "CANNOT JUDGE: B has no cnn, which A has" in printed


@pytest.mark.parametrize(
    ("count", "code", "words"),
    [(1, 1, "B is worse"), (16, 0, "B is better"), (9, 2, "cannot tell: ")],
    ids=["worse", "better", "cannot tell"],
)
def test_the_exit_code_is_the_verdict(stand: Stand, call: Call, count: int, code: int, words: str) -> None:
    """1 for worse, 0 for better, and 2 with what would decide if the budget is spent before."""
    if code == 2:
        stand.accuracy = lambda one: 0.5 + 2 * changes.noise(one, 0.05)
    epochs(count)

    found, printed = call("HEAD", "workspace", "--seeds", "12")

    assert call("HEAD", "workspace", "--seeds", "12", "--exit-zero") == (0, printed)
    assert (found, printed.splitlines()[-1].strip()[: len(words)]) == (code, words)
    assert f"{MODEL}: epochs 8 -> {count}" in printed
    # What is clear takes no more seeds; 5 are the fewest.
    assert len(stand.trained) == (24 if code == 2 else 10)


def test_the_answer_is_a_run_in_mlflow(stand: Stand, call: Call) -> None:
    """Difference and interval are metrics, the verdict is a tag, page and figure are artifacts."""
    epochs(1)

    _, printed = call("HEAD", "workspace", "--seeds", "6", "--json")

    (run,), (one,) = Silent.logged, json.loads(printed)["models"][0]["comparisons"]
    key = f"{MODEL} workspace - HEAD"
    assert run.final == {key: one["difference"], f"{key}_low": one["low"], f"{key}_high": one["high"]}
    assert run.tags[f"verdict.{key}"] == one["verdict"]
    assert json.loads(run.artifacts["verdict.json"]) == json.loads(printed)
    assert b"### Verdict on" in run.artifacts["verdict.md"]
    assert run.artifacts["intervals.png"].startswith(b"\x89PNG")
    assert stand.trained


def test_equal_results_are_no_reason_to_stop(stand: Stand, call: Call) -> None:
    """Results that are the same to the last bit are no difference, and need no more than two seeds."""
    stand.accuracy = lambda _: 0.9
    epochs(9)

    code, printed = call("HEAD", "workspace")

    assert (code, len(stand.trained)) == (0, 4)
    assert printed.splitlines()[-1].strip() == "no relevant difference: the same results to the last bit"


@pytest.mark.usefixtures("stand")
@pytest.mark.fault("verdict: too few seeds")
def test_too_few_seeds_are_refused_with_the_number_needed(call: Call) -> None:
    """Fewer than five have no interval."""
    expected = "error: --seeds: expected 5 to 10000, found 4: fewer have no interval"
    assert call("HEAD", "workspace", "--seeds", "4") == (2, expected)


@pytest.mark.usefixtures("stand")
@pytest.mark.parametrize("minutes", ["nan", "-1", "inf"])
def test_minutes_that_never_end_are_refused(call: Call, minutes: str) -> None:
    """A limit is a number from 0 on."""
    expected = f"error: --minutes: expected a number from 0 on, found {minutes}"
    assert call("HEAD", "workspace", f"--minutes={minutes}") == (2, expected)


def test_nothing_is_trained_twice(stand: Stand, call: Call) -> None:
    """A second call trains nothing, more seeds train only the new ones, and another B trains only B."""
    stand.accuracy = lambda one: 0.5 + 2 * changes.noise(one, 0.05)
    epochs(1)
    first = call("HEAD", "workspace", "--seeds", "6")
    assert len(stand.trained) == 12

    assert call("HEAD", "workspace", "--seeds", "6") == first
    assert len(stand.trained) == 12
    call("HEAD", "workspace", "--seeds", "8")
    assert [one.seed for one in stand.trained[12:]] == [6, 6, 7, 7]
    epochs(2)
    call("HEAD", "workspace", "--seeds", "8")
    assert [one.ingredients["model"]["epochs"] for one in stand.trained[16:]] == [2] * 8


@pytest.mark.fault("verdict: interrupted")
def test_an_interrupted_call_keeps_what_was_done(stand: Stand, call: Call) -> None:
    """After an interruption the next call trains only the rest, and gives the answer."""
    epochs(1)
    stand.interrupted_after = 5
    with pytest.raises(KeyboardInterrupt):
        verdict.main(["HEAD", "workspace"])
    stand.interrupted_after = None

    code, _ = call("HEAD", "workspace")

    assert code == 1
    assert len(stand.trained) == len({one.recipe for one in stand.trained}) == 10


def test_no_time_is_no_verdict(stand: Stand, call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    """With --minutes the answer is what is known when these are over; each look is shown meanwhile."""
    epochs(16)
    assert call("HEAD", "workspace", "--minutes", "0")[0] == 1
    code, printed = call("HEAD", "workspace", "--minutes", "1")

    assert code == 0
    assert "B is better" in printed
    assert len(stand.trained) == 10
    assert not capsys.readouterr().out


@pytest.mark.fault("verdict: training that diverges")
def test_a_training_run_that_fails_is_no_verdict(stand: Stand, call: Call) -> None:
    """What was trained before is kept, the exit code is 1, and nothing is said of the difference."""
    epochs(1)
    stand.failing = {2}

    code, printed = call("HEAD", "workspace")

    assert code == 1
    assert re.fullmatch(r"error: a training run of A failed: mlp_adadelta-[0-9a-f]{12}-2: diverged", printed)
    assert len([*ledger.read(Path("work/verdict/runs"))]) == 4
    stand.reason = "exit code 1: Traceback\n  File ...\nKeyError: 'gelu'"
    assert call("HEAD", "workspace") == (1, "error: a training run of A failed: KeyError: 'gelu'")


def test_several_models_are_judged_together(stand: Stand, call: Call) -> None:
    """Each has a verdict, by intervals that hold jointly; the worst decides; one can be asked for alone."""
    epochs(1)
    epochs(3, "cnn")

    code, printed = call("HEAD", "workspace")

    assert code == 1
    assert printed.count("97.5% interval") == 2
    assert "The intervals of all 2 comparisons hold jointly with 95% confidence (Bonferroni)." in printed
    before = len(stand.trained)
    assert call("HEAD", "workspace", "--model", "cnn")[0] == 0
    assert len(stand.trained) == before


def test_several_candidates_are_compared_with_each_other(stand: Stand, call: Call) -> None:
    """Each has a row, all pairs are judged jointly, and those that may be the best are named."""
    changes.git(Path.cwd(), "branch", "base")
    for name, count in (("few", 1), ("many", 16)):
        epochs(count)
        changes.commit(Path.cwd())
        changes.git(Path.cwd(), "branch", name)

    code, printed = call("base", "few", "many", "--json")

    content = json.loads(printed)
    (model,) = content["models"]
    assert code == 1
    assert [(one["before"], one["after"], one["verdict"]) for one in model["comparisons"]] == [
        ("base", "few", "worse"),
        ("base", "many", "better"),
        ("few", "many", "better"),
    ]
    assert {one["confidence"] for one in model["comparisons"]} == {1 - 0.05 / 3}
    assert model["may_be_best"] == ["many"]
    assert {one.ingredients["model"]["epochs"] for one in stand.trained} == {1, 8, 16}
    assert "May be the best, as no other one was found to be better: C" in call("base", "few", "many")[1]


def test_a_side_has_one_letter_throughout(stand: Stand, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """A candidate that leaves a model as it is takes no letter from the next one, while it trains or in the answer."""
    said: list[str] = []
    monkeypatch.setattr(sides, "_say", said.append)
    changes.git(Path.cwd(), "branch", "base")
    epochs(2, "cnn")
    changes.commit(Path.cwd())
    changes.git(Path.cwd(), "branch", "other")
    epochs(1, "cnn")
    epochs(16)
    changes.commit(Path.cwd())

    _, printed = call("base", "other", "HEAD", "--model", MODEL)

    assert f"{MODEL}: epochs 8 -> 16" in printed
    assert "C is better" in printed
    assert "C - A = " in printed
    assert stand.trained
    assert "C - A = " in said[-1]
    assert "B - A" not in printed + "".join(said)


def test_images_that_choose_an_epoch_are_not_trained_on(stand: Stand, call: Call) -> None:
    """A side that keeps its best epoch leaves fewer images to train on, which the interval for other images counts."""
    stand.accuracy = lambda one: 0.9 + changes.noise(one, 0.02)
    changes.edit(Path.cwd(), lambda values: values["data"].update(validation=140))
    described = files.read_json(Path("reports/data.json"))
    files.write_json(Path("reports/data.json"), described | {"validation": 140})
    changes.commit(Path.cwd())
    changes.git(Path.cwd(), "tag", "base")
    epochs(7)
    widths = []
    for keep in ("last", "best_val_loss"):
        changes.edit(Path.cwd(), lambda values, keep=keep: values["models"][MODEL].update(keep=keep))
        (one,) = json.loads(call("base", "workspace", "--seeds", "6", "--json")[1])["models"][0]["comparisons"]
        values = np.array(one["values_after"]) - np.array(one["values_before"])
        seeds = one["high_on_these_images"] - one["low_on_these_images"]
        widths.append(((one["high"] - one["low"]) ** 2 - seeds**2) ** 0.5 / max(values.std(ddof=1), 1 / 140))

    # 140 images were held out of 1,400, and 140 more to choose an epoch by.
    assert (widths[1] / widths[0]) ** 2 == pytest.approx(1260 / 1120)


def test_comparisons_are_counted(stand: Stand, call: Call) -> None:
    """Every answer says how many comparisons came before it, however often each was looked at."""
    for count in (1, 2, 16):
        epochs(count)
        call("HEAD", "workspace")
        _, printed = call("HEAD", "workspace", "--json")

    counted = json.loads(printed)
    assert (counted["earlier_comparisons"], counted["wrong_by_chance"]) == (2, pytest.approx(0.1))
    said = "2 comparisons before: had none made a difference, up to 0.1 would by chance."
    assert said in call("HEAD", "workspace")[1]
    assert stand.trained


@pytest.mark.fault("verdict: disk full")
def test_an_answer_that_cannot_be_counted_is_given(
    stand: Stand, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    """A disk that is full after all training, or a line that it cut off, costs a notice and no answer."""
    epochs(1)
    answered = call("HEAD", "workspace")
    path = Path("work/verdict/comparisons.jsonl")
    most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, most[1]))
    try:
        code = verdict.main(["HEAD", "workspace"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, most)

    printed = capsys.readouterr()
    assert (code, printed.out) == answered
    assert printed.err.endswith(f"notice: {path}: these comparisons are not counted (File too large)\n")
    path.write_text('{"before": "cut o')
    call("HEAD", "workspace")
    epochs(2)
    assert json.loads(call("HEAD", "workspace", "--json")[1])["earlier_comparisons"] == 1
    path.unlink()
    path.mkdir()
    assert call("HEAD", "workspace")[0] == 1
    assert stand.trained


def test_the_summary_is_markdown_and_the_output_json(stand: Stand, call: Call) -> None:
    """The table has a row per model; JSON has the values of each seed, from which all else follows."""
    Path("summary.md").write_text("# Before\n")
    epochs(1)

    code, printed = call("HEAD", "workspace", "--json", "--summary", "summary.md")

    content = json.loads(printed)
    (model,) = content["models"]
    (one,) = model["comparisons"]
    assert content.keys() | {"comparisons", "error"} == programs.keys("verdict")
    assert (content["exit_code"], content["images"]["judged"], content["smallest_effect"]) == (code, 140, 0.01)
    assert model["changes"]["workspace"]["params"] == {"epochs": {"before": 8, "after": 1}}
    assert one["difference"] == pytest.approx(np.mean(one["values_after"]) - np.mean(one["values_before"]))
    assert one["values_before"] == [score(made) for made in stand.trained if made.ingredients["model"]["epochs"] == 8]
    page = Path("summary.md").read_text()
    head = changes.git(Path.cwd(), "rev-parse", "HEAD")[:7]
    assert page.startswith(f"# Before\n\n### Verdict on workspace, compared with HEAD ({head})\n\n")
    assert page.splitlines()[-1].startswith(f"| {MODEL} | epochs 8 -> 1 | ")
    assert page.splitlines()[-1].endswith(f"| B is {one['verdict']} |")


@pytest.mark.usefixtures("stand")
def test_a_summary_says_why_nothing_could_be_judged(call: Call) -> None:
    """What is not comparable is in the summary as well, with the exit code 2."""
    changes.edit(Path.cwd(), lambda values: values["data"].update(split_seed=1))

    code, printed = call("HEAD", "workspace", "--summary", "summary.md")

    error = printed.removeprefix("error: ")
    assert code == 2
    assert Path("summary.md").read_text() == f"\n### Verdict\n\nCANNOT JUDGE: {error}\n"


def test_another_metric_is_judged_by_its_own_rule(stand: Stand, call: Call) -> None:
    """The loss is better where it is less, needs no training of its own, and has no figure in percentage points."""
    epochs(1)
    call("HEAD", "workspace")
    before = len(stand.trained)

    code, printed = call("HEAD", "workspace", "--metric", "loss")

    assert (code, len(stand.trained)) == (1, before)
    assert "loss on 140 held-out images (other ones for each seed), 5 seeds, paired; less is better." in printed
    assert "A difference matters from 0.02 on (verdict.digits.loss in params.yaml)." in printed
    assert Silent.logged[0].artifacts.keys() == {"verdict.md", "verdict.json"}


def judged_by(metric: str) -> None:
    """Say in the workspace which difference in a metric matters."""
    changes.edit(Path.cwd(), lambda values: values["verdict"]["digits"].update({metric: 0.01}))


def test_results_older_than_a_score_are_trained_again(
    stand: Stand, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They lack that score; for others they count."""
    epochs(1)
    call("HEAD", "workspace")
    monkeypatch.setitem(metrics.SCORES, "younger", metrics.Score(lambda *_: 0.1))
    judged_by("younger")

    assert call("HEAD", "workspace", "--metric", "younger")[0] == 0
    assert len(stand.trained) == 20
    assert call("HEAD", "workspace", "--metric", "loss")[0] == 1
    assert len(stand.trained) == 20


@pytest.mark.fault("verdict: a metric for more classes")
def test_a_metric_for_more_classes_is_refused(stand: Stand, call: Call) -> None:
    """Before anything is trained, the classes that it needs and those of the data are named."""
    epochs(1)
    judged_by("top_3_accuracy")

    code, printed = call("HEAD", "workspace", "--metric", "top_3_accuracy")

    assert (code, printed) == (2, "error: --metric: top_3_accuracy needs 11 classes or more, digits has 10")
    assert stand.trained == []


@pytest.mark.usefixtures("stand")
@pytest.mark.fault("verdict: preprocessed data missing or other data")
def test_data_of_other_params_is_refused(call: Call) -> None:
    """Preprocessed data that is missing, or made by other params than both sides', is named with what to do."""
    epochs(1)
    Path("data/processed/digits.npz").rename("elsewhere.npz")
    assert call("HEAD", "workspace")[1].startswith("error: data/processed/digits.npz: no such file; `dvc repro")

    Path("elsewhere.npz").rename("data/processed/digits.npz")
    summary = files.read_json(Path("reports/data.json"))
    files.write_json(Path("reports/data.json"), summary | {"validation": 100})
    code, printed = call("HEAD", "workspace")
    assert code == 2
    assert printed.startswith("error: the preprocessed data have validation 100, and HEAD")

    files.write_json(Path("reports/data.json"), {"dataset": "digits"})
    assert call("HEAD", "workspace")[1].startswith("error: reports/data.json: not a summary as preprocess writes it")


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
    options = ("HEAD", "workspace", "--seeds", "5", "--workers", "1")

    code, printed = call(*options)

    assert (code, printed.splitlines()[-1].strip()) == (1, "B is worse"), printed
    assert call(*options) == (code, printed)
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("digits-verdict")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    trained = [one for one in runs if "seed" in one.data.tags]
    assert len(runs) == len(trained) + 1
    assert sorted((one.data.params["epochs"], one.data.tags["seed"]) for one in trained) == [
        (count, str(seed)) for count in "18" for seed in range(5)
    ]
    assert len({one.data.params["variant"] for one in trained}) == 2
    assert all("validation_accuracy" in one.data.metrics for one in trained)
    assert not [name for one in runs for name in one.data.metrics if name.startswith("test")]


@pytest.mark.slow
@pytest.mark.fault("verdict: interrupted")
def test_an_interrupted_command_keeps_what_was_done(real: Path) -> None:
    """Ctrl-C ends it with 130 and no traceback; the next call trains only what is missing."""
    epochs(1)
    command = [sys.executable, "-m", "pipeline.verdict", "HEAD", "workspace", "--seeds", "5", "--workers", "1"]
    environment = small.environment() | {"PYTHONPATH": str(small.ROOT), "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}
    started = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    with started as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if ", 2 seeds: " in line:
                # A terminal sends it to the whole group.
                os.killpg(process.pid, signal.SIGINT)
        code = process.wait()

    assert code == 130, "".join(lines)
    assert "Traceback" not in "".join(lines)
    kept = len([*ledger.read(real / "work" / "verdict" / "runs")])
    assert 4 <= kept < 10
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stderr.count("seed 0") == 0
    assert done.returncode == 1, done.stderr


@pytest.fixture
def with_code(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the repository with this package committed to it, without a tracking server."""
    shutil.copytree(small.ROOT / "pipeline", repository / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    changes.commit(repository)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{repository}/mlflow.db")
    return repository


def rewrite(path: str, old: str, new: str) -> None:
    """Change the code of the workspace."""
    content = Path(path).read_text()
    assert old in content
    Path(path).write_text(content.replace(old, new))


@pytest.mark.slow
@pytest.mark.usefixtures("with_code")
def test_each_side_is_trained_by_its_own_code() -> None:
    """Another activation gives other results, a comment the same to the last bit, and labels flipped worse ones.

    The code that runs the command is that of B here, so A is trained by code that is not on the disk.
    """

    def answer(*options: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "pipeline.verdict", "HEAD", "workspace", "--model", MODEL, "--json", *options]
        done = subprocess.run(command, env=small.environment(), capture_output=True, text=True, check=False)
        assert done.stdout, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)["models"][0]
        return found

    rewrite("pipeline/training/recipe.py", "RESULTS = 1", "RESULTS = 1  # explained")
    same = answer()
    assert same["changes"]["workspace"] == {"params": {}, "code": ["pipeline/training/recipe.py"]}
    (one,) = same["comparisons"]
    assert (one["verdict"], one["low"], one["high"]) == ("no relevant difference", 0, 0)
    assert len(one["values_before"]) == 2

    rewrite(
        "pipeline/training/networks.py", "keras.activations.get(params.activation)", 'keras.activations.get("gelu")'
    )
    (other,) = answer("--seeds", "5")["comparisons"]
    assert other["values_before"][:2] == one["values_before"]
    assert other["values_after"] != other["values_before"]

    rewrite("pipeline/trials/replicate.py", "sample = Split(", "data.train.labels[::2] = 0\n    sample = Split(")
    (worse,) = answer()["comparisons"]
    assert worse["verdict"] in ("worse", "worse, by how much is open")
