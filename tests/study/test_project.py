"""The study as a DVC project inside the other one, by DVC itself; a stub stands for what its stages start."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import files
from tests.support import forks, small

OUTPUTS = yaml.safe_load((small.ROOT / "study" / "dvc.yaml").read_text())["stages"]["report"]["outs"]
# Of the report, those beside the figures.
FILES = [Path(name).name for one in OUTPUTS for name in ([one] if isinstance(one, str) else one) if "." in name]
# Creates the outputs of whichever stage starts it, and notes where it runs and which folder $DVC_ROOT is.
STUB = """#!/bin/sh
name=$(basename -- "$4" .yaml)
echo "$2 $PWD $(cd "$DVC_ROOT" && pwd)" >>{log}
case $2 in
*fetch) mkdir -p "study/data/raw/$name" && touch "study/data/raw/$name/images" ;;
*prepare) mkdir -p study/data/processed study/reports/data &&
  touch "study/data/processed/$name.npz" "study/reports/data/$name.json" ;;
*run) mkdir -p study/runs && touch study/runs/record ;;
*report) mkdir -p study/reports/figures && touch study/reports/figures/a.png && cd study/reports &&
  touch claims.html claims.md {tables} ;;
*missed) mkdir -p study/reports/missed && touch "study/reports/missed/$3.png" ;;
esac
"""


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository in which the stages of the study, and none of those around it, have run."""
    folder = tmp_path_factory.mktemp("study") / "a clone"
    small.copy(folder, *small.PROJECT, "study/dvc.yaml", "study/params.yaml", "study/.dvc/config")
    small.copy(folder, "study/.dvc/.gitignore", "study/.dvcignore", "study/claims.yaml", "benchmarks/results.json")
    (folder / "study" / "pipeline").symlink_to("../pipeline")
    for name in ("study/pilot.yaml", "reports/metrics.json", "reports/data.json"):
        files.write_text(folder / name, "")
    for program in ("git", "dvc"):
        small.run(folder, program, "init", "--quiet")
    stub = folder / "bin" / "python"
    stub.parent.mkdir()
    stub.write_text(STUB.format(log=f"'{folder}/log'", tables=" ".join(FILES)))
    stub.chmod(0o755)
    small.run(folder, "dvc", "--cd", "study", "repro", PATH=f"{stub.parent}:{forks.environment()['PATH']}")
    return folder


def changed(folder: Path) -> set[str]:
    """Return the stages of the study that DVC would run."""
    return {*json.loads(forks.run(folder, "dvc", "--cd", "study", "status", "--json"))}


def test_its_stages_run_in_the_root(studied: Path) -> None:
    """Each is started in the folder around the study's; those that need its store or its local data have it as root."""
    each = {"fetch": ("", 2), "study.prepare": ("/study", 2), "study.run": ("", 1), "study.report": ("/study", 1)}
    each["study.missed"] = ("/study", 2)

    lines = (studied / "log").read_text().splitlines()

    assert sorted(lines) == sorted(
        f"pipeline.{stage} {studied} {studied}{root}" for stage, (root, sets) in each.items() for _ in range(sets)
    )
    assert [line.split()[0].rpartition(".")[2] for line in lines[-4:-1]] == ["run", "report", "missed"]


def test_after_its_stages_nothing_is_to_be_run(studied: Path) -> None:
    """The status names no stage, also once Python has left its bytecode next to the code."""
    (studied / "pipeline" / "study" / "__pycache__").mkdir()
    (studied / "pipeline" / "study" / "__pycache__" / "plan.pyc").write_bytes(b"code")

    assert changed(studied) == set()


def test_the_project_around_it_shows_nothing_of_it(studied: Path) -> None:
    """There, neither the status nor the params name a stage, a file or a variant of the study."""
    status = forks.run(studied, "dvc", "status", "--json")
    stages = {name.partition("@")[0] for name in json.loads(status)}
    small.run(studied, "git", "add", "--all")
    small.run(studied, "git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "--quiet", "--message", "all")
    params = json.loads(forks.run(studied, "dvc", "params", "diff", "--all", "--json"))

    assert stages == {"fetch", "preprocess", "train", "evaluate", "report"}
    assert "study" not in status
    assert {*params} == {"params.yaml"}


@pytest.mark.parametrize(
    ("key", "value", "stages"),
    [
        ("statistics", {"level": 0.01}, {"report"}),
        ("train", {"batch_size": 64}, {"run", "report"}),
        ("variants", {"cnn": None}, {"run", "report"}),
        ("data", {"validation": 1}, {"prepare@mnist", "prepare@fashion_mnist", "run", "report"}),
        (
            "data",
            {"sets": ["mnist", "fashion_mnist", "kmnist"]},
            {"fetch@kmnist", "prepare@kmnist", "run", "report", "missed@kmnist"},
        ),
    ],
)
def test_a_change_runs_what_depends_on_it(studied: Path, key: str, value: dict[str, Any], stages: set[str]) -> None:
    """Nothing is trained for another statistic; the seeds and variants, and what they share, concern no data."""
    path = studied / "study" / "params.yaml"
    before = path.read_text()

    with small.edited(path) as values:
        values[key].update(value)
    found = changed(studied)
    path.write_text(before)

    assert found == stages


def test_other_claims_only_write_the_page_again(studied: Path) -> None:
    """Nothing is trained or prepared for another bound."""
    path = studied / "study" / "claims.yaml"
    before = path.read_text()

    path.write_text(before.replace("all >= strong", "all >= slight"))
    found = changed(studied)
    path.write_text(before)

    assert found == {"report"}
