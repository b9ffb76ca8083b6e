"""make in an unexpected environment: git that fails, settings of the caller's login shell."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline import files
from pipeline.params import Params
from tests.support import small

ROOT = Path(__file__).parents[1]
STAGE = "stages:\n  copy:\n    cmd: echo done > out\n    params: [value]\n    outs: [out]\n"
NO_GIT_CONFIG = {"GIT_CONFIG_NOSYSTEM": "1"}
# Each breaks Python, pip, git, or the shell that DVC starts for a stage; PYTHONFUTURE stands for later variables.
LOGIN_SHELL = {
    "PYTHONSAFEPATH": "1",
    "PYTHONHOME": "/nonexistent",
    "PYTHONPATH": "other",
    "PYTHONSTARTUP": "/nonexistent.py",
    "PYTHONNOUSERSITE": "1",
    "PYTHONOPTIMIZE": "2",
    "PYTHONWARNINGS": "error",
    "PYTHONIOENCODING": "ascii:strict",
    "PYTHONINSPECT": "1",
    "PYTHONFUTURE": "1",
    "PIP_USER": "1",
    "PIP_TARGET": "/nonexistent",
    "GIT_DIR": "/nonexistent",
    "GIT_INDEX_FILE": "/nonexistent",
    "SHELL": "/bin/false",
}


def make(folder: Path, *targets: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Call make in a folder; its output holds its errors."""
    return small.execute(folder, "make", *targets, **NO_GIT_CONFIG, **more)


def complete(folder: Path) -> None:
    """Put the Makefile into a folder; make takes its .venv for complete, and the real one follows on PATH."""
    small.copy(folder, "Makefile", ".dvc/config", ".dvc/.gitignore", ".dvc/without-git/config")
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / "pipeline" / "study").mkdir(parents=True)
    # `make repro` ends with these two, which are not what these tests are about.
    modules = ("pipeline/sync.py", "pipeline/study/reproduction.py")
    for name in ("requirements.lock", "requirements-team.lock", ".venv/complete", ".venv/team", *modules):
        (folder / name).touch()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Return a folder with a pipeline of one stage, and no repository; its name is one that shells take apart."""
    folder = tmp_path / "it's $HOME"
    complete(folder)
    (folder / "dvc.yaml").write_text(STAGE)
    (folder / "params.yaml").write_text("value: 1\n")
    return folder


def commit(folder: Path) -> None:
    """Make the folder a repository with one commit of everything that git does not ignore."""
    (folder / ".gitignore").write_text("/.venv/\n")
    who = ("-c", "user.name=t", "-c", "user.email=t@t")
    for arguments in (("init", "--quiet"), ("add", "--all"), (*who, "commit", "--quiet", "--message=first")):
        small.run(folder, "git", *arguments)


def tools_without_git(folder: Path) -> str:
    """Return a PATH with the programs that make's targets call, and without git."""
    folder.mkdir()
    for name in ("make", "sh", "grep", "python", "dvc"):
        found = shutil.which(name, path=small.environment()["PATH"])
        assert found
        # Not a link: a program of the environment finds its packages by its own place.
        (folder / name).write_text(f'#!/bin/sh\nexec {found} "$@"\n')
        (folder / name).chmod(0o755)
    return str(folder)


@pytest.mark.fault("git missing, in a repository of another user or damaged, or no repository")
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("none", "not a git repository"),
        ("missing", "git: not found|git: command not found"),
        ("owner", "dubious ownership"),
        ("damaged", "not a git repository"),
    ],
)
def test_where_git_fails_the_pipeline_runs_and_nothing_is_kept(
    archive: Path, tmp_path: Path, fault: str, reason: str
) -> None:
    """`make repro` passes on git's reason and runs; once the cause has gone, DVC compares with HEAD, without make."""
    more = {}
    if fault != "none":
        commit(archive)
    if fault == "missing":
        more = {"PATH": tools_without_git(tmp_path / "tools")}
    if fault == "owner":
        # What git itself uses to test this; root can also give the folder away, which DVC's own reader would see.
        more = {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}
        if os.geteuid() == 0:
            os.chown(archive, 65534, 65534)
    if fault == "damaged":
        (archive / ".git" / "HEAD").rename(tmp_path / "HEAD")

    done = make(archive, "repro", **more)

    assert done.returncode == 0, done.stdout
    assert re.search(reason, done.stdout)
    assert ("notice: this folder is not a git repository" in done.stdout) == (fault == "none")
    assert "Running stage 'copy'" in done.stdout
    if fault == "none":
        commit(archive)
    if fault == "owner" and os.geteuid() == 0:
        os.chown(archive, 0, 0)
    if fault == "damaged":
        (tmp_path / "HEAD").rename(archive / ".git" / "HEAD")
    (archive / "params.yaml").write_text("value: 2\n")
    assert re.search(r"value +1 +2", small.run(archive, "dvc", "params", "diff"))
    assert make(archive, "git").stdout == ""


def test_a_healthy_clone_gets_no_notice(archive: Path) -> None:
    """In a repository in which git works, make adds nothing about git to what DVC prints."""
    commit(archive)

    done = make(archive, "repro")

    assert done.returncode == 0
    assert "git" not in done.stdout.replace("git add", "").replace("with git", "").replace(".gitignore", "")


@pytest.mark.fault("dvc.lock cannot be checked")
def test_check_lock_says_when_it_has_no_answer(archive: Path) -> None:
    """A stage that would run is a mismatch, a failure of DVC is reported in its own words; neither is a match."""
    commit(archive)
    make(archive, "repro")
    fits = make(archive, "check-lock")
    (archive / "params.yaml").write_text("value: 2\n")
    differs = make(archive, "check-lock")
    (archive / "dvc.yaml").write_text("stages: [\n")
    unknown = make(archive, "check-lock")

    assert (fits.returncode, fits.stdout) == (0, "dvc.lock matches code and params\n")
    assert differs.returncode == 2
    assert "Running stage 'copy'" in differs.stdout
    assert "does not match" in differs.stdout
    assert unknown.returncode == 2
    assert "'./dvc.yaml' is invalid" in unknown.stdout
    assert "cannot be checked" in unknown.stdout
    assert "match" not in unknown.stdout


@pytest.mark.fault("settings of the caller's login shell")
def test_no_target_sees_the_callers_settings(tmp_path: Path) -> None:
    """No program of .venv that a target starts gets a setting for another Python, pip or git, known or not."""
    complete(tmp_path)
    program = '#!/bin/sh\nenv >>"$SEEN"\n'
    for name in ("python", "dvc", "mlflow", "ruff", "mypy", "bandit", "pip-audit"):
        (tmp_path / ".venv" / "bin" / name).write_text(program)
        (tmp_path / ".venv" / "bin" / name).chmod(0o755)
    targets = "repro study test test-slow lint audit check-lock gate promote rerun sync ui demo verdict pages"

    for target in (*targets.split(), "check-pages"):
        seen = tmp_path / f"seen-{target}"
        named = {"promote": ["MODEL=cnn"], "rerun": ["RUN=abc"]}.get(target, [])
        done = make(tmp_path, target, *named, SEEN=str(seen), PYTHONUNBUFFERED="1", **LOGIN_SHELL)

        assert done.returncode == 0, done.stdout
        lines = seen.read_text().splitlines()
        assert "PYTHONUNBUFFERED=1" in lines
        assert [f"{name}={value}" for name, value in LOGIN_SHELL.items() if f"{name}={value}" in lines] == []
        assert {line for line in lines if line.startswith("SHELL=")} == {"SHELL=/bin/sh"}


@pytest.mark.parametrize("target", ["promote", "rerun"])
def test_what_is_not_named_is_asked_for_as_make_takes_it(tmp_path: Path, target: str) -> None:
    """Without its argument, a target shows its own usage, not that of the program behind it."""
    complete(tmp_path)

    done = make(tmp_path, target)

    assert done.returncode == 2
    assert f"usage: make {target} {'MODEL=NAME' if target == 'promote' else 'RUN=ID'}" in done.stdout
    assert "python -m" not in done.stdout


@pytest.mark.fault("settings of the caller's login shell")
def test_the_programs_work_under_the_callers_settings(tmp_path: Path, values: Params) -> None:
    """The real gate and a real stage run in a shell whose settings name another numpy, no home and no such shell."""
    complete(tmp_path)
    shutil.rmtree(tmp_path / "pipeline")
    small.copy(tmp_path, "pipeline", "params.yaml")
    scores = {name: {"test_accuracy": 0.99, "test_loss": 0.1} for name in values.models}
    files.write_json(tmp_path / "reports" / "metrics.json", scores)
    for name in scores:
        files.write_text(tmp_path / "reports" / "history" / f"{name}.csv", "epoch,accuracy\n1,0.9\n")
    (tmp_path / "dvc.yaml").write_text(
        STAGE.replace("[value]", "[train]").replace("echo done", "python -m pipeline.gate")
    )
    (tmp_path / "other" / "numpy").mkdir(parents=True)
    (tmp_path / "other" / "numpy" / "__init__.py").write_text("raise SystemExit('another numpy')\n")

    for target in ("gate", "repro"):
        done = make(tmp_path, target, **LOGIN_SHELL)

        assert done.returncode == 0, done.stdout
        assert "Traceback" not in done.stdout
    assert (tmp_path / "out").read_text().startswith("model")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ((), "HEAD workspace"),
        (("A=main", "B=slower"), "main slower"),
        (("B=slower wider", "MINUTES=5"), "HEAD slower wider --minutes=5"),
        (("A=it's;touch", "B=$(touch y) z"), "it's;touch $(touch y) z"),
        (("B=slower", "MODEL=cnn", "SEEDS=20", "METRIC=loss"), "HEAD slower --model=cnn --seeds=20 --metric=loss"),
    ],
    ids=["nothing", "both sides", "two candidates", "not for a shell", "all"],
)
def test_make_verdict_hands_on_its_settings(tmp_path: Path, settings: tuple[str, ...], expected: str) -> None:
    """Sides, model, budget and metric reach the command; without any, the workspace is compared with HEAD."""
    complete(tmp_path)

    done = make(tmp_path, "--dry-run", "verdict", *settings)

    words = f"python -m pipeline.verdict --exit-zero {expected}".split()
    assert shlex.split(done.stdout.replace("\\\n", " "), comments=False) == words


@pytest.mark.parametrize(("target", "key"), [("gate", "BASELINE"), ("promote", "MODEL"), ("rerun", "RUN")])
@pytest.mark.parametrize("value", ["a;touch\tx", "$(touch\tx)", "`touch\tx`", "it's", "a&b", "$HOME"])
def test_what_a_user_names_is_no_program(tmp_path: Path, target: str, key: str, value: str) -> None:
    """The name of a branch, model or run is a word, or several, whatever a shell or make would make of it."""
    complete(tmp_path)
    (tmp_path / ".venv" / "bin" / "python").write_text('#!/bin/sh\nprintf "%s " "$@" >seen\n')
    (tmp_path / ".venv" / "bin" / "python").chmod(0o755)
    given = value.split()

    done = make(tmp_path, target, f"{key}={value}")

    assert not (tmp_path / "x").exists()
    if len(given) == 1 or target == "gate":
        assert done.returncode == 0, done.stdout
        assert (tmp_path / "seen").read_text().replace("--baseline=", "").split()[-len(given) :] == given
    else:
        assert f"usage: make {target} {key}=" in done.stdout


def test_make_check_is_what_ci_runs() -> None:
    """`make check` and .ci/run make the same targets in the same order."""
    (wanted,) = re.findall(r"^check: (.+?) ##", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)

    assert wanted.split() == re.findall(r"^make (\S+)$", (ROOT / ".ci" / "run").read_text(), flags=re.MULTILINE)
    assert {"test", "lint", "check-lock", "check-pages", "gate"} == set(wanted.split())


@pytest.mark.fault("the folder moved after `make repro`")
@pytest.mark.parametrize("place", ["", "here", "elsewhere"])
def test_after_a_move_the_environment_is_made_again(archive: Path, place: str) -> None:
    """Its programs name the folder in which they were installed; one that says nothing of it is left alone."""
    named = {"": "", "here": f"{archive}\n", "elsewhere": "/home/me/mnist\n"}[place]
    (archive / ".venv" / "complete").write_text(named)

    done = make(archive, "--dry-run", "demo")

    assert done.returncode == 0, done.stdout
    assert ("-m venv --clear .venv" in done.stdout) == (place == "elsewhere")
    assert "python -m pipeline.demo" in done.stdout
