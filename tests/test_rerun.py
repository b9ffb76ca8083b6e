"""A run of MLflow trained again: from its own commit, params and data, outside the workspace, and compared."""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import mlflow
import pytest
import yaml

from pipeline import files, rerun, revision
from pipeline.analysis.verdicts import Interval
from pipeline.errors import InputError, PipelineError, UnavailableError
from pipeline.params import Params
from pipeline.tracking import LoggedTraining, description, logged_training
from tests.support import forks, programs, small
from tests.tracking.test_outages import tracker

MODEL = "mlp_rmsprop"


def test_params_are_read_back_as_they_were(values: Params) -> None:
    """Of every model of the project, and of kinds of values that it does not have, the flat texts give the block."""
    blocks = {name: model.settings() for name, model in values.models.items()}
    blocks["other"] = {"clip": None, "nesterov": True, "rate": 1e-8, "units": [512, 512], "name": "cosine", "steps": []}
    for block in blocks.values():
        sections = {**block, "train": values.train.model_dump(), "data": values.data.model_dump()}
        logged = {key: str(value) for key, value in description.flatten(sections).items()}

        assert description.nested(logged) == sections


@pytest.fixture
def log(store: Path) -> Callable[..., str]:
    """Return a function that logs a finished training run, with changes of its tags, and returns its id."""

    def log(without: str = "", *, status: str = "FINISHED", params: dict[str, str] | None = None, **tags: str) -> str:
        api = mlflow.MlflowClient(f"sqlite:///{store}")
        known = {"model": MODEL, "recipe": "r", "model.md5": "m" * 32, "data.md5": "d" * 32}
        known[description.COMMIT] = "0" * 40
        known |= {key.replace("_", "."): value for key, value in tags.items()}
        run = api.create_run("0", tags={key: value for key, value in known.items() if key != without}).info.run_id
        sections = {"network.name": "mlp", "optimizer.name": "adadelta", "loss.name": "crossentropy", "epochs": "2"}
        for key, value in {**sections, "train.seed": "0", "data.dataset": "mnist", **(params or {})}.items():
            if key != without:
                api.log_param(run, key, value)
        api.set_terminated(run, status)
        return str(run)

    return log


@pytest.mark.fault("rerun: no such run, or one without a commit or without params")
@pytest.mark.parametrize(
    ("without", "status", "reason"),
    [
        ("mlflow.source.git.commit", "FINISHED", "no commit is recorded with it; it was trained or added without git"),
        ("epochs", "FINISHED", "its params are gone: epochs"),
        ("data.dataset", "FINISHED", "its params are gone: data"),
        ("model.md5", "FINISHED", r"not a finished training run of `dvc repro` \(FINISHED\)"),
        ("", "KILLED", r"not a finished training run of `dvc repro` \(KILLED\)"),
    ],
)
def test_what_a_run_does_not_record_is_named(log: Callable[..., str], without: str, status: str, reason: str) -> None:
    """It is an error of exit code 2 with the id of the run."""
    run = log(without, status=status)

    with pytest.raises(InputError, match=f"run {run}: {reason}"):
        logged_training(run)


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("run", ["", "abc", "../" * 10, "f" * 32])
def test_an_id_that_is_none_is_an_error(run: str) -> None:
    """Whether it is malformed or unknown, the message has it and the command that shows which there are."""
    with pytest.raises(InputError, match=r"`make ui` shows"):
        logged_training(run)


@pytest.mark.fault("rerun: tracking server sends a byte now and then, or announces 99 GB")
@pytest.mark.parametrize("mode", ["drip", "huge"])
def test_a_server_that_never_ends_its_answer_is_given_up(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow is unavailable, in one line, once a whole answer has taken too long; the rerun does not wait for ever."""
    monkeypatch.setattr("pipeline.tracking.client.ANSWER_TIMEOUT_S", 1.0)
    monkeypatch.setattr(sys, "argv", ["rerun", "f" * 32])
    with tracker(mode), pytest.raises(UnavailableError, match="its answer") as caught:
        rerun.main()

    assert len(str(caught.value).splitlines()) == 1


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have temporary folders in one of the test's own."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    return folder


@pytest.fixture
def repository(tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a git repository with one commit, as current directory; no temporary folder is there yet."""
    assert not [*temporary.iterdir()]
    folder = tmp_path / "it's a clone"
    folder.mkdir()
    (folder / "params.yaml").write_text("models: {}\ndata: {validation: test}\nkept: 1e-8\n")
    (folder / "dvc.yaml").write_text("stages: {}\n")
    small.run(folder, "git", "init", "--quiet")
    forks.run(folder, "dvc", "init", "--quiet")
    small.commit(folder, "change")
    # A hook such as DVC's own, which would check out data.
    hook = folder / ".git" / "hooks" / "post-checkout"
    hook.write_text("#!/bin/sh\necho hook >>hooked\nexit 1\n")
    hook.chmod(0o755)
    monkeypatch.chdir(folder)
    return folder


def left(folder: Path) -> tuple[str, list[str], list[Path]]:
    """Return git's list of worktrees, the changed files, and the temporary folders that are left."""
    temporary = sorted(Path(os.environ["TMPDIR"]).iterdir())
    return (
        small.run(folder, "git", "worktree", "list"),
        small.run(folder, "git", "status", "--porcelain").splitlines(),
        temporary,
    )


@pytest.mark.fault("rerun interrupted, or a stage of it fails")
@pytest.mark.parametrize("error", [KeyboardInterrupt(), PipelineError("it failed")], ids=["interrupted", "failed"])
def test_nothing_is_left_of_a_rerun(
    repository: Path, log: Callable[..., str], values: Params, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """However it ends, the worktree is removed, git forgets it, and the workspace is as it was; no hook runs."""
    head = small.run(repository, "git", "rev-parse", "HEAD").strip()
    logged = logged_training(log(mlflow_source_git_commit=head))
    before, seen = left(repository), []

    def stage(folder: Path, *_: str) -> None:
        seen.append((folder, yaml.safe_load((folder / "params.yaml").read_text())))
        raise error

    monkeypatch.setattr(rerun, "_stage", stage)
    with pytest.raises(type(error)):
        rerun.rerun(logged, repository / "dvc.yaml", values.overfitting)

    ((folder, written),) = seen
    names = {"network": "mlp", "optimizer": "adadelta", "loss": "crossentropy"}
    assert written["models"] == {MODEL: {**{key: {"name": name} for key, name in names.items()}, "epochs": 2}}
    assert (written["data"], written["train"]) == ({"validation": "test", "dataset": "mnist"}, {"seed": 0})
    assert not folder.exists()
    assert left(repository) == before
    assert not list(repository.glob("hooked"))


@pytest.mark.fault("rerun: the commit or the data of the run is gone")
def test_a_commit_or_data_that_is_gone_is_named(repository: Path, log: Callable[..., str], values: Params) -> None:
    """It is an error of exit code 2 with what is gone, and nothing is left; so is a commit that has no such stage."""
    before = left(repository)
    head = small.run(repository, "git", "rev-parse", "HEAD").strip()

    with pytest.raises(InputError, match=f"git knows no revision '{'0' * 40}'"):
        rerun.rerun(logged_training(log()), Path("dvc.yaml"), values.overfitting)
    with pytest.raises(InputError, match=f"the run's data .md5 {'d' * 32}. is neither in the workspace nor in DVC's"):
        rerun.find_data("d" * 32)
    with pytest.raises(InputError, match=f"the run's commit has no stage train@{MODEL} that can be run"):
        rerun.rerun(logged_training(log(mlflow_source_git_commit=head)), Path("dvc.yaml"), values.overfitting)

    assert left(repository) == before


def test_data_is_found_by_its_checksum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the workspace, or in DVC's cache where the workspace has other data by now; not what is damaged."""
    monkeypatch.chdir(tmp_path)
    Path("data.npz").write_bytes(b"data")
    md5 = files.md5(Path("data.npz"))
    stage = {"cmd": "true", "outs": [{"path": "data.npz", "md5": md5}]}
    Path("dvc.lock").write_text(yaml.safe_dump({"stages": {"preprocess": stage}}))
    assert rerun.find_data(md5) == Path("data.npz")
    Path("data.npz").write_bytes(b"other")
    with pytest.raises(InputError):
        rerun.find_data(md5)
    cached = Path(".dvc/cache/files/md5") / md5[:2] / md5[2:]
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"data")

    assert rerun.find_data(md5) == cached


@pytest.mark.parametrize(
    ("changes", "known"),
    [
        ({}, True),
        ({"train.seed": "7", "train.threads": "1"}, True),
        ({"train.batch_size": "64"}, False),
        ({"train.precision": "mixed_bfloat16"}, False),
        ({"epochs": "21"}, False),
        ({"keep": "best_val_loss"}, False),
        ({"data.dataset": "fashion_mnist"}, False),
        ({"data.validation": "test"}, False),
        ({"data.validation": "4000"}, False),
        ({"data.split_seed": "1"}, False),
        ({"network.name": "of another version"}, False),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_other_seeds_are_those_of_a_model_with_the_same_settings(
    log: Callable[..., str], values: Params, tmp_path: Path, changes: dict[str, str], known: bool
) -> None:
    """Whatever makes it another model than the study's, batch size and precision included, leaves it no intervals."""
    model, training = values.models[MODEL], values.train
    data = values.data.model_dump() | {"validation": 5000}
    params = description.flatten({**model.model_dump(exclude_unset=True), "train": training.model_dump(), "data": data})
    logged = logged_training(log(params={key: str(value) for key, value in params.items()} | changes))
    small.copy(tmp_path, "study/params.yaml")
    rows = f"variant,outcome,n,low,high\n{MODEL},test_accuracy,3,0.975,0.985\ncnn,test_loss,3,0,1\n"
    files.write_text(tmp_path / "study" / "reports" / "prediction.csv", rows)

    assert rerun.seeds(logged, tmp_path / "study") == ({"test_accuracy": (0.975, 0.985)} if known else {})
    assert rerun.seeds(logged, tmp_path / "nowhere") == {}


def test_differences_are_a_table(log: Callable[..., str]) -> None:
    """Scores that differ, with their difference and the interval of other seeds; others are counted."""
    logged = logged_training(log(version_keras="3.0", processor="Another"))
    logged = dataclasses.replace(logged, metrics={"test_accuracy": 0.98, "test_loss": 0.1, "train_loss": 0.2})

    intervals = {"test_accuracy": Interval(0.975, 0.985)}
    scores = {"test_accuracy": 0.9785, "test_loss": 0.1, "train_loss": 0.25}
    lines = list(rerun.table([*rerun.scores_of(logged, scores, intervals)]))

    assert lines[0].split() == ["score", "run", "again", "difference", "one", "more", "seed,", "95%"]
    assert lines[1].split() == ["test_accuracy", "0.98", "0.9785", "-0.0015", "0.975", "to", "0.985"]
    assert lines[2].split() == ["train_loss", "0.2", "0.25", "+0.05"]
    assert lines[3:] == ["1 more scores are the same"]
    found = rerun.Rerun("0" * 32, "1" * 32)
    assert found._asdict().keys() | {"exit_code", "identical"} == programs.keys("rerun")
    reasons = list(rerun.reasons(logged, {"recipe": "other", "keras": "3.1"}))
    assert reasons[0] == "library versions: keras 3.0 then, 3.1 now"
    assert reasons[1].startswith("processor: Another then, ")
    (reason, *_) = rerun.reasons(logged, {"recipe": "other", "keras": "3.0"})
    assert reason == "code: that of the commit is not the run's"


DVC_YAML = """
stages:
  train:
    foreach: ${models}
    do:
      cmd: python train.py ${key} ${item.network.name} --data in/${data.dataset}.npz --output model --history history
"""
# A stage that says how it was called.
NOTES = """
import json, os, sys
json.dump({"words": sys.argv[1:]}, open(os.environ["SEEN"], "w"))
open("model", "w").close()
"""
# A stage that starts a process of its own, and goes on for a minute after SIGTERM.
SLOW = """
import os, signal, subprocess, sys, time
# Not print(), which the signal may come in the middle of.
signal.signal(signal.SIGTERM, lambda *_: os.write(1, b"asked\\n"))
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", __file__])
print("at work", flush=True)
for number in range(600):
    time.sleep(0.1)
    open(f"written-{number}", "w").close()
"""


@pytest.fixture
def stages(repository: Path) -> LoggedTraining:
    """Return a run whose commit has a stage for its model, which dvc.yaml and params.yaml of now do not have."""
    (repository / "dvc.yaml").write_text(DVC_YAML)
    (repository / "params.yaml").write_text("models: {other: {}}\ndata: {dataset: mnist}\n")
    (repository / "train.py").write_text(NOTES)
    small.commit(repository, "then")
    commit = small.run(repository, "git", "rev-parse", "HEAD").strip()
    (repository / "dvc.yaml").write_text("stages: {}\n")
    (repository / "params.yaml").write_text("models: {other: {}}\ndata: {dataset: of_now}\n")
    params = {"network": {"name": "mlp"}, "epochs": 2, "train": {"seed": 0}, "data": {"dataset": "mnist"}}
    return LoggedTraining("f" * 32, MODEL, commit, params, {"model.md5": "0" * 32}, {})


def change(logged: LoggedTraining, **params: Any) -> LoggedTraining:
    """Return a run with other params."""
    return dataclasses.replace(logged, params={**logged.params, **params})


def test_the_command_is_that_of_the_runs_commit(stages: LoggedTraining) -> None:
    """A model that was removed or renamed since is in the commit, with the options that it had then."""
    with revision.worktree(stages.commit) as folder:
        rerun.write_params(folder, stages)
        found = rerun._stage(folder, "train", MODEL)

    assert found == {
        "cmd": f"python train.py {MODEL} mlp --data in/mnist.npz --output model --history history",
        "data": "in/mnist.npz",
        "output": "model",
        "history": "history",
    }


@pytest.mark.fault("rerun: a run that was edited in MLflow")
@pytest.mark.parametrize(
    "text", ["a; touch x; #", "$(touch x)", "`touch x`", "a\ntouch x", "a | touch x", "../x", "-x"]
)
@pytest.mark.parametrize("place", ["model", "dataset", "commit", "param"])
def test_what_mlflow_says_is_no_code(
    stages: LoggedTraining, values: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, text: str
) -> None:
    """Names are checked before anything is made of them, and a param of any text is one word of the command."""
    monkeypatch.setenv("SEEN", str(tmp_path / "seen"))
    changed = {
        "model": dataclasses.replace(stages, model=text),
        "dataset": change(stages, data={"dataset": text}),
        "commit": dataclasses.replace(stages, commit=text),
        "param": change(stages, network={"name": f"'{text}'"}),
    }[place]
    with pytest.raises(PipelineError) as refused:
        rerun.rerun(changed, Path("dvc.yaml"), values.overfitting)

    assert not [path for path in Path.cwd().parent.rglob("x") if ".git" not in path.parts]
    if place == "param":
        assert files.read_json(tmp_path / "seen")["words"][:2] == [MODEL, text]
    else:
        assert isinstance(refused.value, InputError)
        assert str(refused.value).startswith(f"run {'f' * 32}: {place}: expected a ")
        assert "\n" not in str(refused.value)
        assert not (tmp_path / "seen").exists()


@pytest.mark.fault("rerun: a run that was edited in MLflow")
@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"epochs": "[" * 6000}, None),
        ({"epochs": "[" * 6000 + "]" * 6000}, None),
        ({"epochs": "{" * 6000}, None),
        ({"epochs": "-" * 6000 + "1"}, None),
        ({"epochs": "9" * 6000}, None),
        ({"epochs.deep": "1"}, "the param epochs.deep is below one that has a value"),
        ({"train": "1"}, "below one that has a value|its params are others: train"),
    ],
)
def test_params_of_another_shape_are_one_line(
    log: Callable[..., str], tmp_path: Path, params: dict[str, str], message: str | None
) -> None:
    """However deep, long or odd a param is, it is written into the commit's params.yaml or refused."""
    run = log(params=params, without="train.seed" if "train" in params else "")

    if message is None:
        (tmp_path / "params.yaml").write_text("models: {}\n")
        with suppress(InputError):
            rerun.write_params(tmp_path, logged_training(run))
        return
    with pytest.raises(InputError, match=message):
        logged_training(run)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"x", {1}, "\ud800", 1j])
def test_params_that_no_file_can_hold_are_one_line(stages: LoggedTraining, values: Params, value: Any) -> None:
    """Nothing is left of the worktree then."""
    before = left(Path.cwd())

    with pytest.raises(InputError, match=f"run {'f' * 32}: its params cannot be written"):
        rerun.rerun(change(stages, epochs=value), Path("dvc.yaml"), values.overfitting)

    assert left(Path.cwd()) == before


RERUN = """
import sys, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from pathlib import Path
from pipeline import cli, rerun
from pipeline.tracking import LoggedTraining
rerun._END_TIMEOUT_S = 1.0
params = {"network": {"name": "mlp"}, "epochs": 2, "train": {"seed": 0}, "data": {"dataset": "mnist"}}
logged = LoggedTraining("f" * 32, "mlp_rmsprop", sys.argv[1], params, {"model.md5": "0" * 32}, {})
cli.run(lambda: 1 - rerun.rerun(logged, Path("dvc.yaml"), None).identical)
"""


@pytest.mark.fault("rerun interrupted, or a stage of it fails")
@pytest.mark.parametrize(
    ("number", "times", "code"),
    [(signal.SIGINT, 1, 130), (signal.SIGTERM, 1, 143), (signal.SIGTERM, 3, 143), (signal.SIGKILL, 1, -9)],
)
def test_a_rerun_that_is_ended_leaves_nothing_at_work(
    repository: Path, temporary: Path, number: int, times: int, code: int
) -> None:
    """Whoever is in the stage's group ends before its folder is removed; what kill -9 leaves, the next call removes."""
    (repository / "dvc.yaml").write_text(DVC_YAML)
    (repository / "train.py").write_text(SLOW)
    small.commit(repository, "slow")
    head = small.run(repository, "git", "rev-parse", "HEAD").strip()
    command = [sys.executable, "-c", RERUN, head]
    environment = small.environment() | {"TMPDIR": str(temporary), "PYTHONPATH": str(small.ROOT)}
    before = left(repository)
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=repository, env=environment, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stderr
        assert process.stderr.readline() == "at work\n"
        for _ in range(times):
            process.send_signal(number)
            time.sleep(0.2)
        # Its end of the pipe closes with the last process of the group.
        errors = process.stderr.read()
        # The last of several signals may come when the handlers are gone; a shell says 128 + 15 of both.
        assert process.wait(30) in (code, *([-number] if times > 1 else []))
    assert "Traceback" not in errors

    if number == signal.SIGKILL:
        assert left(repository) != before
        with revision.worktree(head):
            assert len(small.run(repository, "git", "worktree", "list").splitlines()) == 2
    assert left(repository) == before


def test_a_worktree_that_is_in_use_is_left_alone(repository: Path) -> None:
    """Two at once do not remove each other's; one that is locked by git, or whose folder is gone, is forgotten."""
    before = left(repository)
    with revision.worktree("HEAD") as first, revision.worktree("HEAD") as second:
        assert first.exists()
        assert second.exists()
    with revision.worktree("HEAD") as lost:
        shutil.rmtree(lost.parent)
        small.run(repository, "git", "worktree", "lock", str(lost))
    assert left(repository) == before
    with revision.worktree("HEAD") as kept:
        copy = Path(shutil.copytree(kept.parent, kept.parents[1] / "rerun-left")) / "worktree"
        (repository / ".git" / "worktrees" / "worktree" / "gitdir").write_text(f"{copy}/.git\n")
        small.run(repository, "git", "worktree", "lock", str(copy))

        with revision.worktree("HEAD"):
            assert not copy.parent.exists()
    assert left(repository) == before


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository with one small model, trained at its first commit."""
    folder = tmp_path_factory.mktemp("rerun") / "a clone"
    small.make(folder)
    with small.edited(folder / "params.yaml") as values:
        values["models"] = {MODEL: values["models"][MODEL] | {"epochs": 2}}
    small.commit(folder, "change")
    small.run(folder, "dvc", "repro", "evaluate")
    return folder


def run_of(folder: Path) -> Any:
    """Return the one run of the small model."""
    api = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    (run,) = api.search_runs([api.get_experiment_by_name("digits").experiment_id])
    return run


@pytest.mark.slow
def test_a_rerun_is_identical_and_leaves_the_workspace_alone(trained: Path, tmp_path: Path) -> None:
    """Though params and code have changed since; a run with another md5 has a table; nothing in the folder changes."""
    with small.edited(trained / "params.yaml") as values:
        values["models"][MODEL]["epochs"] = 1
    (trained / "pipeline" / "train.py").write_text("raise SystemExit('not this one')\n")
    run = run_of(trained)

    def contents() -> dict[Path, str]:
        found = [path for path in trained.rglob("*") if path.is_file() and ".git" not in path.parts]
        return {path: files.md5(path) for path in found if "__pycache__" not in path.parts}

    before = contents()
    command = [sys.executable, "-m", "pipeline.rerun", run.info.run_id]

    same = small.execute(trained, *command, TMPDIR=str(tmp_path))
    after = contents()
    mlflow.MlflowClient(f"sqlite:///{trained}/mlflow.db").set_tag(run.info.run_id, "model.md5", "0" * 32)
    other = small.execute(trained, *command, TMPDIR=str(tmp_path))

    assert same.returncode == 0, same.stdout
    assert f"{MODEL}: identical: the model file has the md5 of run {run.info.run_id}" in same.stdout
    assert {path for path, md5 in after.items() if md5 != before.get(path) and path.suffix != ".lock"} == set()
    assert after.keys() == before.keys()
    assert other.returncode == 1
    assert "scores are the same" in other.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.fault("rerun interrupted, or a stage of it fails")
def test_an_interrupted_rerun_leaves_no_process(trained: Path, tmp_path: Path) -> None:
    """After Ctrl-C it ends with 130, the training with it, and the worktree is gone."""
    command = [sys.executable, "-m", "pipeline.rerun", run_of(trained).info.run_id]
    environment = small.environment() | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, cwd=trained, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        while "epoch  1/2" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.stderr.read()

        assert process.wait(60) == 130
    time.sleep(0.5)
    assert list(tmp_path.iterdir()) == []
    assert shutil.which("pgrep") is None or not small.execute(trained, "pgrep", "-f", str(tmp_path)).stdout
    assert len(small.run(trained, "git", "worktree", "list").splitlines()) == 1
