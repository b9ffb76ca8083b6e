"""The README's worked experiment, by its own commands, and a model added and removed: for real, on a small copy."""

import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
import yaml

from pipeline import files
from pipeline.params import Params
from tests.support import changes, shell, small

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
HEADING = "## An experiment, worked"
# What is experimented on, and what no experiment touches.
MODEL, OTHER = "mlp_adadelta", "cnn"
NEW = "mlp_small"
SCORES, SCORE = f"reports/scores/{MODEL}.json", "test_accuracy"
TAG = "dvc.exp_name"
# What the report stage writes.
REPORT = (
    "report.md",
    "report.html",
    "metrics.json",
    "comparison.csv",
    "overfitting.csv",
    "curves.csv",
    "confusion.csv",
)
# What the stages of a model write, each a file of its own.
OF_MODEL = {
    f"models/{NEW}.keras",
    f"reports/history/{NEW}.csv",
    f"reports/timing/{NEW}.csv",
    f"reports/metrics/{NEW}.json",
    f"reports/predictions/{NEW}.npz",
    f"reports/mistakes/{NEW}.csv",
}


def ran(output: str) -> set[str]:
    """Return the stages that DVC ran."""
    return set(re.findall(r"Running stage '(.+)'", output))


def shrink(values: dict[str, Any]) -> None:
    """Leave two tiny networks, one epoch, and a bound that even they pass."""
    models = {name: values["models"][name] | {"epochs": 1} for name in (MODEL, OTHER)}
    models[MODEL]["network"]["units"] = [16, 16]
    models[OTHER]["network"] |= {"filters": [2, 2], "units": 8}
    values |= {"models": models, "gate": {"digits": {"default": {"test_accuracy": {"min": 0.01}}}}}


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return two repositories with the same committed results; only the first has its runs in MLflow."""
    first = tmp_path_factory.mktemp("experiments") / "a clone"
    small.make(first)
    changes.edit(first, shrink)
    for key, value in (("user.name", "somebody"), ("user.email", "somebody@example.org")):
        small.run(first, "git", "config", key, value)
    small.run(first, "dvc", "repro")
    small.commit(first, "result")
    other = first.with_name("another clone")
    # The addresses of the runs' artifacts lie in the first.
    shutil.copytree(first, other, symlinks=True, ignore=shutil.ignore_patterns("mlflow.db*", "mlruns", "work"))
    return first, other


def runs(repository: Path) -> list[Any]:
    """Return the runs in the repository's tracking store."""
    client = mlflow.MlflowClient(f"sqlite:///{repository}/mlflow.db")
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id]))


@dataclass(frozen=True)
class Step:
    """A command of the README, its output, and the workspace after it: git's status, the models' checksums."""

    words: list[str]
    output: str
    changed: str
    models: dict[str, str]

    def values(self, *options: str) -> list[str]:
        """Return what follows each of these options."""
        return [value for option, value in pairwise(self.words) if option in options]

    def rows(self) -> list[list[str]]:
        """Return the cells of the printed table, whose columns are separated by bars, or by two spaces or more."""
        lines = [line.strip("| ") for line in self.output.splitlines() if not line.startswith("|-")]
        return [re.split(r"\s+\| | {2,}", line) for line in lines if line]


@dataclass(frozen=True)
class Worked:
    """The README's worked experiment, complete: the params before it, its steps, and MLflow's runs after it."""

    repository: Path
    before: Mapping[str, Any]
    steps: list[Step]
    runs: list[Any]

    def step(self, *words: str) -> Step:
        """Return the one step whose command has all these words."""
        (found,) = [step for step in self.steps if {*words} <= {*step.words}]
        return found

    def made(self) -> dict[str, Step]:
        """Return the steps that made an experiment, by its name."""
        return {name: step for step in self.steps for name in step.values("-n", "--name")}

    def settings(self) -> dict[str, dict[str, float]]:
        """Return the params that each experiment sets."""
        options = {name: step.values("-S", "--set-param") for name, step in self.made().items()}
        pairs = {name: [option.split("=") for option in own] for name, own in options.items()}
        return {name: {param: float(value) for param, value in own} for name, own in pairs.items()}

    def experiments(self) -> dict[str, dict[str, float]]:
        """Return HEAD and the experiments with all params that any of them sets."""
        settings = self.settings()
        head = {param: param_of(self.before, param) for own in settings.values() for param in own}
        return {"HEAD": head} | {name: head | own for name, own in settings.items()}

    def trained(self) -> dict[str, str]:
        """Return, for HEAD and each experiment, which of them was the first with its params."""
        made = self.experiments()
        return {name: next(other for other in made if made[other] == params) for name, params in made.items()}

    def scores(self) -> dict[str, float]:
        """Return the test accuracy of HEAD and of each experiment as MLflow has it."""
        found = {one.data.tags.get(TAG, "HEAD"): one for one in self.runs if one.info.run_name == MODEL}
        return {name: found[first].data.metrics["test_accuracy"] for name, first in self.trained().items()}


def param_of(values: Mapping[str, Any], name: str) -> float:
    """Return the param of a dotted name."""
    found = reduce(lambda inner, key: inner[key], name.split("."), values)
    assert isinstance(found, (int, float))
    return float(found)


def commands() -> Iterator[str]:
    """Yield the commands of the README's worked experiment; a loop, on several lines, is one."""
    _, _, section = (ROOT / "README.md").read_text(encoding="utf-8").partition(f"\n{HEADING}\n")
    return (one for one in shell.statements(section.partition("\n## ")[0]) if one not in shell.ACTIVATION)


def take(repository: Path, command: str) -> list[Step]:
    """Run a command of the README in a shell that traces the programs it calls; return each of these as a step."""
    traced = re.split(r"^\+ (.*)\n", small.run(repository, "bash", "-exc", command), flags=re.MULTILINE)[1:]
    changed = small.run(repository, "git", "status", "--porcelain")
    models = {path.name: files.md5(path) for path in (repository / "models").glob("*.keras")}
    return [
        Step(shlex.split(words), text, changed, models) for words, text in zip(traced[::2], traced[1::2], strict=True)
    ]


@pytest.fixture(scope="module")
def worked(repositories: tuple[Path, Path]) -> Worked:
    """Run the README's worked experiment in the first repository; before it there is a step that does nothing."""
    repository, _ = repositories
    before = yaml.safe_load((repository / "params.yaml").read_text())
    steps = [step for command in ("true", *commands()) for step in take(repository, command)]
    return Worked(repository, before, steps, runs(repository))


def test_experiments_leave_the_workspace_as_it_is(worked: Worked) -> None:
    """Until one is applied, no command changes a file of git, leaves an untracked one, or changes a model."""
    until = worked.steps.index(worked.step("exp", "apply"))

    assert {step.changed for step in worked.steps[:until]} == {""}
    assert [step.models for step in worked.steps[:until]] == [worked.steps[0].models] * until
    assert {"exp", "run", "show", "diff"} <= {word for step in worked.steps[:until] for word in step.words}


def test_each_training_run_carries_the_experiments_name(worked: Worked) -> None:
    """MLflow has one run of the changed model, with its params, for each new combination, and no other run."""
    of_experiments = [one for one in worked.runs if TAG in one.data.tags]
    made = worked.experiments()

    assert sorted(one.data.tags[TAG] for one in of_experiments) == sorted({*worked.trained().values()} - {"HEAD"})
    for one in of_experiments:
        expected = made[one.data.tags[TAG]]
        assert (one.info.run_name, one.info.status) == (MODEL, "FINISHED")
        assert {name: float(one.data.params[name.removeprefix(f"models.{MODEL}.")]) for name in expected} == expected


def test_a_grid_is_every_combination_and_no_training_is_repeated(worked: Worked) -> None:
    """A repeated combination of params comes from DVC's cache; for one that equals HEAD, nothing runs."""
    trained = worked.trained()
    made = [tuple(params.values()) for params in worked.experiments().values()]

    assert {*made} == {*product(*({*values} for values in zip(*made, strict=True)))}
    assert len({*trained.values()}) < len(trained)
    for name, step in worked.made().items():
        evaluated = {f"evaluate@{MODEL}", "report"} if trained[name] != "HEAD" else set()
        assert ran(step.output) == evaluated | ({f"train@{MODEL}"} if trained[name] == name else set())
        assert (f"Stage 'train@{MODEL}' is cached" in step.output) == (trained[name] not in (name, "HEAD"))


def test_params_diff_shows_the_changed_param_alone(worked: Worked) -> None:
    """For HEAD and an experiment it prints one row, with both values."""
    step = worked.step("params", "diff")
    old, new = step.words[3:]
    header, (file, name, *values) = step.rows()
    made = worked.experiments()

    assert header == ["Path", "Param", old, new]
    assert (file, {name: float(values[1])}) == ("params.yaml", worked.settings()[new])
    assert float(values[0]) == made[old][name] != made[new][name]


def test_metrics_diff_shows_what_came_of_it(worked: Worked) -> None:
    """For HEAD and an experiment it prints the changed model's scores, before and after, and no other model's."""
    step = worked.step("metrics", "diff")
    old, new = step.words[3:]
    header, *rows = step.rows()
    changes = {name: [*map(float, cells)] for _, name, *cells in rows}
    before, after = worked.scores()[old], worked.scores()[new]

    assert header == ["Path", "Metric", old, new, "Change"]
    assert {path for path, *_ in rows} == {SCORES}
    assert before != after
    assert changes[SCORE] == pytest.approx([before, after, after - before], abs=1e-5)


def test_exp_show_lists_every_experiment_with_params_and_score(worked: Worked) -> None:
    """It prints HEAD and the experiments with the params that differ and the test accuracy, and no other column."""
    header, *rows = worked.step("exp", "show").rows()
    table = pd.DataFrame(rows, columns=header)
    names = table["Experiment"].str.extract(r"\[(.+)\]$", expand=False).fillna("HEAD")
    made, scores = worked.experiments(), worked.scores()

    assert {*header} == {"Experiment", f"{SCORES}:{SCORE}", *made["HEAD"]}
    assert {*names} == {*made}
    for name, row in zip(names, table.to_dict("records"), strict=True):
        assert {param: float(row[param]) for param in made[name]} == made[name]
        assert float(row[f"{SCORES}:{SCORE}"]) == pytest.approx(scores[name], abs=1e-5)


def test_plots_diff_draws_the_curves_of_each_revision(worked: Worked) -> None:
    """Its page has each named revision's history of the model, and one chart of all models with all revisions."""
    step = worked.step("plots", "diff")
    page = (worked.repository / "dvc_plots" / "index.html").read_text()
    charts = dict(re.findall(r'<div id = "(\w+)">(.*?)</script>', page, flags=re.DOTALL))
    history = charts[f"reports_history_{MODEL}_csv"]
    own = re.findall(r'"val_loss": "([^"]+)", "val_accuracy": "[^"]+", "rev": "([^"]+)"', history)
    every = re.findall(r'"model": "([^"]+)", "split": "([^"]+)", [^}]*"rev": "([^"]+)"', charts["loss"])

    assert "dvc_plots/index.html" in step.output
    assert sorted(revision for _, revision in own) == sorted(step.words[3:])
    assert len({loss for loss, _ in own}) == len(own)
    assert sorted(every) == sorted(product((MODEL, OTHER), ("train", "test"), step.words[3:]))


def test_an_experiment_that_is_applied_is_the_workspace(worked: Worked) -> None:
    """Params, models and reports are the experiment's, and once committed there is nothing to run or to commit."""
    step = worked.step("exp", "apply")
    (name,) = step.words[3:]
    values = yaml.safe_load((worked.repository / "params.yaml").read_text())
    metrics = files.read_json(worked.repository / "reports" / "metrics.json")

    assert {line[3:] for line in step.changed.splitlines()} >= {"params.yaml", "dvc.lock", "reports/report.md"}
    assert {param: param_of(values, param) for param in worked.experiments()[name]} == worked.experiments()[name]
    assert metrics[MODEL]["test_accuracy"] == worked.scores()[name]
    assert worked.steps[-1].changed == ""
    assert ran(small.run(worked.repository, "dvc", "repro")) == set()


def test_removed_experiments_are_gone(worked: Worked) -> None:
    """The last command removes every one, since all began at the commit before."""
    removed = re.findall(r"'([^']+)'", worked.step("exp", "remove").output)

    assert sorted(removed) == sorted(worked.settings())
    assert small.run(worked.repository, "dvc", "exp", "list", "--all-commits").strip() == ""


def test_an_experiment_is_judged(repositories: tuple[Path, Path], tmp_path: Path) -> None:
    """One of `dvc exp run` with 1 epoch instead of 8 is worse, with exit code 1; HEAD is the workspace."""
    repository = tmp_path / "judged"
    shutil.copytree(repositories[1], repository, symlinks=True)

    def lengthen(values: dict[str, Any]) -> None:
        values["models"][MODEL] |= {"epochs": 8}
        values["models"][MODEL]["network"]["units"] = [32]
        values["verdict"] = {"digits": {"accuracy": 0.01}}

    changes.edit(repository, lengthen)
    small.commit(repository, "longer")
    small.run(repository, "dvc", "exp", "run", "--temp", "--name", "short", "-S", f"models.{MODEL}.epochs=1")
    python = (sys.executable, "-m", "pipeline.verdict")
    same = small.execute(repository, *python, "HEAD", "workspace")
    judged = small.execute(repository, *python, "HEAD", "short", "--seeds", "5")

    assert (same.returncode, judged.returncode) == (2, 1), same.stdout + judged.stdout
    assert "CANNOT JUDGE: no model differs" in same.stdout
    assert f"{MODEL}: epochs 8 -> 1" in judged.stdout
    assert judged.stdout.rstrip().endswith("B is worse")
    assert small.run(repository, "git", "status", "--porcelain") == ""


@dataclass(frozen=True)
class Change:
    """What `dvc repro` did after a change of the models: the stages that it ran, and the reports after it."""

    repository: Path
    ran: set[str]
    reports: Path


def reproduce(repository: Path, kept: Path) -> Change:
    """Run what has changed, and keep a copy of the reports."""
    output = small.run(repository, "dvc", "repro")
    shutil.copytree(repository / "reports", kept)
    return Change(repository, ran(output), kept)


@pytest.fixture(scope="module")
def first(repositories: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Change:
    """Return the second repository before the change."""
    return reproduce(repositories[1], tmp_path_factory.mktemp("first") / "reports")


@pytest.fixture(scope="module")
def added(first: Change, values: Params, tmp_path_factory: pytest.TempPathFactory) -> Change:
    """Add a block under `models`, reproduce, and commit."""
    block = values.models["mlp_rmsprop"].model_dump(mode="json") | {"epochs": 1}
    block["network"]["units"] = [32]
    changes.edit(first.repository, lambda content: content["models"].update({NEW: block}))
    change = reproduce(first.repository, tmp_path_factory.mktemp("added") / "reports")
    small.commit(first.repository, "another model")
    return change


@pytest.fixture(scope="module")
def removed(added: Change, tmp_path_factory: pytest.TempPathFactory) -> Change:
    """Remove the block again and reproduce; the files that its stages made are left."""
    changes.edit(added.repository, lambda content: content["models"].pop(NEW))
    return reproduce(added.repository, tmp_path_factory.mktemp("removed") / "reports")


def figures(reports: Path) -> set[str]:
    """Return the names of a report's figures."""
    return {path.name for path in (reports / "figures").iterdir()}


def test_another_block_runs_its_own_stages_alone(first: Change, added: Change) -> None:
    """It is trained and evaluated, the report is written again, no other model is run, and MLflow has its run."""
    (one,) = runs(added.repository)

    assert first.ran == set()
    assert added.ran == {f"train@{NEW}", f"evaluate@{NEW}", "report"}
    assert (one.info.run_name, one.info.status, one.data.tags["dvc.state"]) == (NEW, "FINISHED", "current")
    assert "test_accuracy" in one.data.metrics


def test_without_the_block_the_report_is_the_old_one(first: Change, removed: Change) -> None:
    """Nothing is trained again, and every file of the report has the bytes that it had before the model was added."""
    names = [*REPORT, *(f"figures/{name}" for name in sorted(figures(first.reports)))]

    assert removed.ran == {"report"}
    assert figures(removed.reports) == figures(first.reports)
    assert [n for n in names if (removed.reports / n).read_bytes() != (first.reports / n).read_bytes()] == []


def left(repository: Path) -> set[str]:
    """Return the files of the new model in the folders of models and reports."""
    paths = [path for folder in ("models", "reports") for path in (repository / folder).rglob(f"*{NEW}*")]
    return {path.relative_to(repository).as_posix() for path in paths}


def test_what_is_left_of_a_removed_model_goes_by_two_globs(removed: Change) -> None:
    """Only its stages' files and a line for git are left; without them only the report runs, and dvc.lock matches."""
    repository, ignored = removed.repository, removed.repository / "models" / ".gitignore"
    assert left(repository) == OF_MODEL
    assert ignored.read_text() == f"/{MODEL}.keras\n/{OTHER}.keras\n/{NEW}.keras\n"

    small.run(repository, "bash", "-c", f"rm models/{NEW}.keras reports/*/{NEW}.*")
    ignored.write_text(ignored.read_text().replace(f"/{NEW}.keras\n", ""))

    assert left(repository) == set()
    assert ran(small.run(repository, "dvc", "repro")) == {"report"}
    small.commit(repository, "a model removed")
    clone = repository.with_name("a third clone")
    small.run(repository, "git", "clone", "--quiet", ".", str(clone))
    assert ran(small.run(clone, "dvc", "repro", "--dry", "--allow-missing")) == set()
    for name in REPORT:
        # DVC keeps the page in HTML, git does not.
        assert name.endswith(".html") or NEW not in (clone / "reports" / name).read_text()
