"""CI: the workflow has no logic of its own, and its scripts are called here as it calls them."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import files
from tests.support import changes, forks, small

ROOT = Path(__file__).parents[1]
WORKFLOW, AUDIT = (ROOT / ".github" / "workflows" / name for name in ("ci.yml", "audit.yml"))
SCRIPTS = {"audit", "digits", "full", "run", "summary"}
MODELS = ("mlp_rmsprop", "mlp_adadelta", "cnn")
BEFORE, FLOOR, MAX_DROP = 0.995, 0.98, 0.003


@pytest.fixture(scope="module")
def workflow() -> dict[Any, Any]:
    """Return the workflow; YAML 1.1 reads its key `on` as true."""
    return yaml.safe_load(WORKFLOW.read_text())


@pytest.fixture(scope="module")
def steps(workflow: dict[Any, Any]) -> list[dict[str, Any]]:
    """Return the steps of all jobs of both workflows."""
    jobs = [*workflow["jobs"].values(), *yaml.safe_load(AUDIT.read_text())["jobs"].values()]
    return [step for job in jobs for step in job["steps"]]


def commands(steps: list[dict[str, Any]]) -> list[str]:
    """Return what the steps run."""
    return [step["run"] for step in steps if "run" in step]


def test_the_workflow_holds_no_logic(steps: list[dict[str, Any]]) -> None:
    """Each `run:` is one line that calls a script of this repository, with quoted variables, and nothing else."""
    assert [line for line in commands(steps) if not re.fullmatch(r'\.ci/[a-z]+( "\$[A-Z_]+[a-z/]*")*', line)] == []


def test_every_script_is_called_and_can_be(steps: list[dict[str, Any]]) -> None:
    """The workflow calls every script; each is executable, stops at the first error and has a line on its purpose."""
    scripts = [path for path in (ROOT / ".ci").iterdir() if path.is_file() and not path.suffix]

    assert {path.name for path in scripts} == SCRIPTS
    assert {line.split()[0] for line in commands(steps)} == {f".ci/{name}" for name in SCRIPTS}
    for path in scripts:
        start = path.read_text().splitlines()[:3]
        assert os.access(path, os.X_OK)
        assert start[0] == "#!/usr/bin/env bash"
        assert re.match(r"# \w", start[1])
        assert start[2] == "set -euo pipefail"


def test_only_the_full_pipeline_is_started_by_hand(workflow: dict[Any, Any]) -> None:
    """Only the full pipeline is started by hand, and only by hand: not by pull requests and pushes."""
    jobs = workflow["jobs"]
    by_hand = {name for name, job in jobs.items() if job["if"] == "github.event_name == 'workflow_dispatch'"}

    assert set(workflow[True]) == {"pull_request", "push", "workflow_dispatch"}
    assert by_hand == {"full"}
    assert {job["if"] for name, job in jobs.items() if name != "full"} == {"github.event_name != 'workflow_dispatch'"}


def test_the_workflow_may_read_and_no_more(workflow: dict[Any, Any], steps: list[dict[str, Any]]) -> None:
    """Its token only reads contents and is not kept; each job has a time limit, and a new run cancels the old one."""
    assert workflow["permissions"] == {"contents": "read"}
    assert [name for name, job in workflow["jobs"].items() if "permissions" in job or "secrets" in job] == []
    checkouts = [step for step in steps if step.get("uses", "").startswith("actions/checkout@")]
    assert len(checkouts) == len(workflow["jobs"]) + 1
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)
    assert all(job["timeout-minutes"] <= 120 for job in workflow["jobs"].values())
    assert workflow["concurrency"]["cancel-in-progress"] is True


def test_a_vulnerability_that_becomes_known_turns_no_pull_request_red() -> None:
    """Packages are audited on a schedule or by hand, with a token that only reads, and not by what CI requires."""
    audit = yaml.safe_load(AUDIT.read_text())

    assert set(audit[True]) == {"schedule", "workflow_dispatch"}
    assert audit["permissions"] == {"contents": "read"}
    assert [job["steps"][-1]["run"] for job in audit["jobs"].values()] == [".ci/audit"]
    made = subprocess.run(["make", "--dry-run", "check"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "pip-audit" not in made


def test_every_action_is_pinned_by_its_commit() -> None:
    """Each `uses:` names a commit by 40 hex digits, with the release as a comment."""
    used = re.findall(r"uses: (.+)", WORKFLOW.read_text() + AUDIT.read_text())

    assert used
    assert [one for one in used if not re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one)] == []


def test_the_summary_sees_the_base_branch(workflow: dict[Any, Any]) -> None:
    """The job that compares has the whole history, and names the base through the environment."""
    steps = workflow["jobs"]["compare"]["steps"]
    (summary,) = [step for step in steps if step.get("run", "").startswith(".ci/summary")]

    assert steps[0]["with"]["fetch-depth"] == 0
    assert summary["run"] == '.ci/summary "$BASE"'
    assert summary["env"] == {"BASE": "origin/${{ github.base_ref }}"}


@pytest.mark.parametrize(
    ("line", "targets"),
    [("run", ["test", "lint", "check-lock", "check-pages", "gate"]), ("full results", ["repro", "gate"])],
)
def test_a_script_ends_at_the_first_target_that_fails(line: str, targets: list[str], tmp_path: Path) -> None:
    """Targets run in this order, from any folder; the first that fails ends the script with its exit code."""
    name, *arguments = line.split()
    folder = tmp_path / "clone"
    small.copy(folder, ".ci")
    files.write_text(folder / "reports" / "report.md", "results")
    stub(tmp_path / "bin" / "make", 'echo "$PWD" "$*"\n[ "$*" != "$FAILS" ] || exit 7')

    for number, fails in enumerate([*targets, "nothing"], start=1):
        environment = os.environ | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "FAILS": fails}
        script = [str(folder / ".ci" / name), *arguments]
        done = subprocess.run(script, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

        assert done.stdout.splitlines() == [f"{folder} {target}" for target in targets[:number]]
        assert done.returncode == (0 if fails == "nothing" else 7)
        # The full pipeline's reports are copied even if the gate fails, but not if the pipeline itself fails.
        assert (tmp_path / "results" / "report.md").exists() == (name == "full" and number > 1)


def write_metrics(folder: Path, **accuracy: float | None) -> None:
    """Write metrics in which every model has the previous accuracy, except for those given; None leaves it out."""
    values = {model: {"test_accuracy": accuracy.get(model, BEFORE), "test_loss": 0.05} for model in MODELS}
    kept = {model: {name: value for name, value in one.items() if value is not None} for model, one in values.items()}
    (folder / "reports").mkdir(exist_ok=True)
    (folder / "reports" / "metrics.json").write_text(json.dumps(kept))
    (folder / "reports" / "data.json").write_text(json.dumps({"dataset": "mnist", "sha256": "0" * 64}))


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository with this project's code, bounds for every model, and previous metrics, on `main`."""
    folder = tmp_path_factory.mktemp("ci") / "a clone"
    small.copy(folder, *small.PROJECT, ".ci", ".dvc/config", ".dvc/.gitignore", "Makefile")
    # make takes this environment for complete; the programs come from the real one, further back on PATH.
    (folder / ".venv").mkdir()
    for name in ("requirements.lock", ".venv/complete"):
        (folder / name).touch()
    bounds = {"mnist": {"default": {"test_accuracy": {"min": FLOOR, "max_drop": MAX_DROP}}}}
    changes.edit(folder, lambda values: values.update(gate=bounds))
    write_metrics(folder)
    changes.git(folder, "init", "--quiet", "--initial-branch=main")
    changes.commit(folder)
    return folder


@pytest.fixture
def repository(committed: Path, tmp_path: Path) -> Path:
    """Return a repository of the test's own."""
    return Path(shutil.copytree(committed, tmp_path / "a clone"))


@pytest.fixture
def summary(repository: Path) -> Callable[[str], tuple[int, str]]:
    """Return a function that calls .ci/summary as a CI without summaries does, and returns exit code and Markdown."""

    def call(base: str) -> tuple[int, str]:
        done = called(repository, base)
        return done.returncode, done.stdout

    return call


def called(repository: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Call .ci/summary from another folder."""
    kept = {key: value for key, value in small.environment().items() if key != "GITHUB_STEP_SUMMARY"}
    kept |= forks.environment() | environment
    line = [str(repository / ".ci" / "summary"), *arguments]
    return subprocess.run(line, cwd="/", env=kept, capture_output=True, text=True, check=False)


Summary = Callable[[str], tuple[int, str]]


@pytest.mark.fault("CI: a change makes a model worse")
def test_a_degraded_model_fails(repository: Path, summary: Summary) -> None:
    """If an accuracy drops by more than max_drop, the exit code is 1, and the page shows the drop and the check."""
    now = 0.9919
    write_metrics(repository, cnn=now)

    code, page = summary("main")

    assert code == 1
    assert f"| reports/metrics.json | cnn.test_accuracy | {BEFORE} | {now} | -0.0031 |\n" in page
    assert f"| cnn | test_accuracy | max_drop | {now} | {MAX_DROP} below {BEFORE} | FAIL |\n" in page
    assert page.endswith("gate: 5 pass, 1 FAIL\n")


def test_noise_passes_and_is_shown_in_order(repository: Path, summary: Summary) -> None:
    """A drop of exactly max_drop passes; changed params and metrics are listed by name, with both values."""
    write_metrics(repository, cnn=0.992, mlp_adadelta=0.9951)

    def change(values: dict[str, Any]) -> None:
        values["train"]["seed"] = 1
        values["models"]["cnn"]["network"]["filters"] = [8]
        values["models"]["cnn"]["loss"]["clip"] = None
        values["data"]["split_seed"] = 7

    changes.edit(repository, change)

    code, page = summary("main")

    params, metrics, judged = re.split(r"^### .*\n\n", page, flags=re.MULTILINE)[1:]
    assert code == 0
    header, rule, *others = params.splitlines()
    assert (header, rule) == ("| file | param | before | after |", "|---|---|---|---|")
    assert others == [
        "| params.yaml | data.split_seed | 0 | 7 |",
        "| params.yaml | models.cnn.loss.clip | 1e-07 | - |",
        "| params.yaml | models.cnn.network.filters | \\[32, 64\\] | \\[8\\] |",
        "| params.yaml | train.seed | 0 | 1 |",
        "",
    ]
    assert [row.split(" | ")[1::3] for row in metrics.splitlines()[2:4]] == [
        ["cnn.test_accuracy", "-0.003 |"],
        ["mlp_adadelta.test_accuracy", "+0.0001 |"],
    ]
    assert judged.endswith("gate: 6 pass\n")


@pytest.mark.fault("CI: a metric is missing")
def test_a_missing_metric_does_not_pass(repository: Path) -> None:
    """Without a model's accuracy the exit code is 2, and GitHub's page, to which the summary is added, says so."""
    write_metrics(repository, cnn=None)
    page = repository / "page.md"
    page.write_text("of another step\n")

    done = called(repository, "main", GITHUB_STEP_SUMMARY=str(page))

    assert (done.returncode, done.stdout) == (2, "")
    assert page.read_text().startswith("of another step\n### Params since `main`\n\nNothing has changed.\n")
    assert f"| reports/metrics.json | cnn.test_accuracy | {BEFORE} | - | - |\n" in page.read_text()
    assert f"| cnn | test_accuracy | min | - | {FLOOR} | CANNOT JUDGE: missing |\n" in page.read_text()
    assert done.stderr.endswith("gate: 4 pass, 2 CANNOT JUDGE\n")


@pytest.mark.fault("CI: DVC cannot read the base")
def test_where_dvc_cannot_compare_the_gate_decides(repository: Path, summary: Summary) -> None:
    """With a damaged dvc.yaml in the base, DVC's message replaces the params; metrics.json needs none, nor the gate."""
    good = (repository / "dvc.yaml").read_text()
    (repository / "dvc.yaml").write_text("stages: [\n")
    changes.git(repository, "commit", "--quiet", "--all", "--message=damaged")
    (repository / "dvc.yaml").write_text(good)

    code, page = summary("main")

    assert code == 0
    assert page.count("DVC cannot compare with `main`:") == 1
    assert page.count("unable to read: 'dvc.yaml'") == 1
    assert "### Metrics since `main`\n\nNothing has changed.\n" in page
    assert page.endswith("gate: 6 pass\n")


@pytest.mark.fault("CI: the base is unknown")
@pytest.mark.parametrize("base", ["origin/nowhere", ""])
def test_an_unknown_base_does_not_pass(repository: Path, summary: Summary, base: str) -> None:
    """A branch that was not fetched, or an empty revision, is reported, and the exit code is 2."""
    stub(repository / ".venv" / "bin" / "dvc", "exit 255")  # starting DVC twice takes most of the time

    code, page = summary(base)

    assert code == 2
    assert "\n### Gate\n\nCANNOT JUDGE: --baseline: " in page


@pytest.mark.fault("CI: a pull request that writes into the summary")
def test_names_in_params_write_nothing_of_their_own(repository: Path, summary: Summary) -> None:
    """A key, of this revision or of the base, stays within the cell of its table, and is neither HTML nor a link."""
    evil = "x\n\n### Gate\n\n| all | is | well |\n```\n<img src=x>![a](b)"
    changes.edit(repository, lambda values: values["models"].update({evil: values["models"]["cnn"]}))
    changes.git(repository, "commit", "--quiet", "--all", "--message=evil")
    changes.edit(repository, lambda values: values["models"].pop(evil))
    changes.edit(repository, lambda values: values["train"].update({evil: evil}))
    before = (repository / "params.yaml").read_text()
    (repository / "params.yaml").write_text(before.replace("seed:", "seed :"))

    for base in ("main", "HEAD~1"):
        _, page = summary(base)

        assert [line for line in page.splitlines() if line.startswith("#")] == [
            f"### Params since `{base}`",
            f"### Metrics since `{base}`",
            "### Gate",
        ]
        assert "\n| all" not in page
        assert "\n```" not in page
        assert re.findall(r"(?<!\\)<img|\[a\]\(b", page) == []


def stub(program: Path, script: str) -> None:
    """Write a program that runs a shell script."""
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


@pytest.mark.fault("CI: DVC does not end")
def test_a_dvc_that_does_not_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a partial clone DVC waits for ever for a blob that is missing: after a time the page says so instead."""
    spec = importlib.util.spec_from_file_location("changes", ROOT / ".ci" / "changes.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    stub(tmp_path / "bin" / "dvc", "exec sleep 60")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(script, "DVC_TIMEOUT_S", 0.2)

    page = script.section("params", "main")

    assert page.startswith("### Params since `main`\n\nDVC cannot compare with `main`:")
    assert "no answer within 0.2 s" in page


@pytest.mark.fault("settings of the caller's login shell")
def test_the_callers_settings_do_not_reach_the_summary(repository: Path) -> None:
    """Under variables for another Python and another shell the gate passes, and DVC compares."""
    settings = {
        "PYTHONSAFEPATH": "1",
        "PYTHONPATH": "/nonexistent",
        "PYTHONHOME": "/nonexistent",
        "SHELL": "/bin/false",
        # The programs as they are: a forked one would not see this.
        "PATH": small.environment()["PATH"],
    }

    done = called(repository, "main", **settings)

    assert done.returncode == 0
    assert done.stdout.count("Nothing has changed.") == 2
    assert done.stdout.endswith("gate: 6 pass\n")


def test_scripts_without_their_argument_say_so(repository: Path) -> None:
    """Without a base, or a folder, the exit code is 2, and one line shows the usage."""
    for script, word in (("summary", "BASE"), ("digits", "FOLDER"), ("full", "FOLDER")):
        line = [str(repository / ".ci" / script)]
        done = subprocess.run(line, capture_output=True, text=True, check=False)

        assert (done.returncode, done.stdout, done.stderr) == (2, "", f"usage: .ci/{script} {word}\n")


@pytest.mark.slow
def test_the_small_pipeline_runs_every_stage(repository: Path, tmp_path: Path) -> None:
    """Every stage runs, the gate checks each model, the folder gets curves and page, and nothing else is left."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    small.copy(repository, "tests/support/small.py", "tests/support/frozen.py", "tests/frozen", ".dvc/plots")
    line = [str(repository / ".ci" / "digits"), "the curves"]
    environment = small.environment() | {"TMPDIR": str(temporary)}

    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    ran = set(re.findall(r"Running stage '(.+)'", done.stdout))
    assert ran == {
        "fetch",
        "preprocess",
        "report",
        *(f"{stage}@{m}" for stage in ("train", "evaluate") for m in MODELS),
    }
    assert done.stdout.endswith("gate: 3 pass\n")
    curves = {path.name for path in (tmp_path / "the curves").iterdir()}
    assert {"report.html", "comparison.png", *(f"curves-{model}.png" for model in MODELS)} <= curves
    assert list(temporary.iterdir()) == []
