"""The gate: each exit code, through main() and through the real command in a git repository."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import bounds, files, gate
from pipeline import revision as revision_module
from pipeline.analysis import metrics
from pipeline.errors import InputError
from tests.support import changes, programs
from tests.support.frozen import FROZEN

ROOT = Path(__file__).parents[1]
MODELS = ("mlp_rmsprop", "mlp_adadelta", "cnn")
GOOD = {
    "mlp_rmsprop": {"test_accuracy": 0.9834, "test_loss": 0.11},
    "mlp_adadelta": {"test_accuracy": 0.9831, "test_loss": 0.06},
    "cnn": {"test_accuracy": 0.9902, "test_loss": 0.03},
}
FLOOR = {"default": {"test_accuracy": {"min": 0.98}}}
UNJUDGED = "--baseline: CANNOT JUDGE"
FETCH = "if it is of another clone, fetch it first"
DROP = {"default": {"test_accuracy": {"min": 0.5, "max_drop": 0.003}}}


def write(
    bounds: Any, metrics: Any = GOOD, models: tuple[str, ...] = MODELS, *, dataset: str = "mnist", of: str = "mnist"
) -> None:
    """Write params with other models, a data set and bounds `of` one, metrics (text or object), and which data."""
    content = files.read_yaml(FROZEN / "params.yaml")
    content["models"] = {name: content["models"].get(name, content["models"]["cnn"]) for name in models}
    content["data"]["dataset"] = dataset
    Path("params.yaml").write_text(json.dumps(content | {"gate": {of: bounds}}))
    Path("reports").mkdir(exist_ok=True)
    Path("reports/metrics.json").write_text(metrics if isinstance(metrics, str) else json.dumps(metrics))
    Path("reports/data.json").write_text(json.dumps({"dataset": dataset, "sha256": "0" * 64}))


git, commit = partial(changes.git, Path()), partial(changes.commit, Path())


def changed(model: str, **values: Any) -> dict[str, Any]:
    """Return the good metrics with some of one model's replaced."""
    return GOOD | {model: GOOD[model] | values}


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty directory."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def repository() -> None:
    """Work in a git repository whose first commit has the good metrics."""
    git("init", "--quiet", "--initial-branch=main")
    write(DROP)
    commit()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Return a function that calls main() and returns the exit code with what was printed."""

    def call(*arguments: str) -> tuple[int, str]:
        try:
            code = gate.main(arguments)
        except InputError as error:
            return error.exit_code, str(error)
        return code, capsys.readouterr().out

    return call


Run = Callable[..., tuple[int, str]]


def refused(run: Run, *arguments: str) -> str:
    """Return the one line with which the gate ends with 2."""
    code, message = run(*arguments)
    assert (code, "\n" in message) == (2, False)
    return message


def of_accuracy(bounds: Any) -> dict[str, Any]:
    """Return a section with these bounds of every model's accuracy."""
    return {"default": {"test_accuracy": bounds}}


def rows(output: str) -> list[list[str]]:
    """Return the table's cells; columns are set apart by two spaces or more."""
    lines = output.splitlines()
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines if line.count("  ") >= 4]


def test_good_metrics_pass(run: Run) -> None:
    """Every check is printed with its value, bound and status, and 0 is returned; a line says that drops go unseen."""
    write({"default": {"test_accuracy": {"min": 0.98, "max_drop": 0.003}}})

    code, output = run()

    assert code == 0
    assert rows(output) == [
        ["model", "metric", "check", "value", "bound", "status"],
        ["mlp_rmsprop", "test_accuracy", "min", "0.9834", "0.98", "pass"],
        ["mlp_adadelta", "test_accuracy", "min", "0.9831", "0.98", "pass"],
        ["cnn", "test_accuracy", "min", "0.9902", "0.98", "pass"],
    ]
    assert output.splitlines()[-2:] == ["No --baseline: drops are not checked.", "gate: 3 pass"]


@pytest.mark.fault("gate: model worse than its bound")
def test_a_program_reads_the_checks(run: Run) -> None:
    """With --json the answer is one object with the documented keys and the exit code: 1, as one value is too low."""
    write(FLOOR, changed("cnn", test_accuracy=0.9799))

    code, output = run("--json")

    content = json.loads(output)
    assert content.keys() == programs.keys("gate")
    assert content["exit_code"] == code == 1
    assert [one["status"] for one in content["checks"]] == ["pass", "pass", "FAIL"]
    assert [content["checks"][-1][key] for key in ("model", "value")] == ["cnn", "0.9799"]
    assert content["notes"][-1] == "gate: 2 pass, 1 FAIL"


@pytest.mark.parametrize(
    ("bound", "value", "code"),
    [
        ({"max": 0.3}, 0.3, 0),
        ({"max": 0.3}, 0.29, 0),
        ({"max": 0.3}, 0.31, 1),
        ({"min": 0.98}, 0.98, 0),
        ({"min": 0.98}, 0.9799999999, 1),
        ({"min": 0, "max": 1}, 1, 0),
        ({"min": 1}, 0, 1),
    ],
)
def test_a_value_equal_to_its_bound_passes(run: Run, bound: Any, value: float, code: int) -> None:
    """`min` is the least value that passes, `max` the largest; whole numbers are numbers."""
    write(of_accuracy(bound), {model: {"test_accuracy": value} for model in MODELS})

    assert run()[0] == code


@pytest.mark.fault("gate: NaN, or not a number")
@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), float("-inf"), "0.99", True, None, [0.99], {"value": 0.99}, 10**400]
)
def test_what_is_not_a_number_cannot_be_judged(run: Run, value: Any) -> None:
    """NaN, infinities, texts, booleans, null, lists and objects never pass, not even where a bound would hold."""
    write({"default": {"test_accuracy": {"min": -1e308, "max": 1e308}}}, changed("cnn", test_accuracy=value))

    code, output = run()

    assert code == 2
    assert [row[-1][:12] for row in rows(output)[-2:]] == ["CANNOT JUDGE"] * 2
    assert output.endswith("gate: 4 pass, 2 CANNOT JUDGE\n")


NO_METRICS = ["cnn", "test_accuracy", "min", "-", "0.98", "CANNOT JUDGE: no metrics of this model"]
MISSING = ["cnn", "test_accuracy", "min", "-", "0.98", "CANNOT JUDGE: missing"]
NO_BOUND = ["mlp_rmsprop", "-", "-", "-", "-", "CANNOT JUDGE: no bound; set gate.mnist.models.mlp_rmsprop"]


@pytest.mark.fault("gate: metric missing")
@pytest.mark.fault("gate: model without a bound")
@pytest.mark.parametrize(
    ("section", "metrics", "row"),
    [
        (FLOOR, {name: GOOD[name] for name in MODELS[:2]}, NO_METRICS),
        (FLOOR, GOOD | {"cnn": {"accuracy": 0.99}}, MISSING),
        (FLOOR, GOOD | {"cnn": 0.99}, NO_METRICS),
        (FLOOR, GOOD | {"cnn": None}, NO_METRICS),
        ({}, GOOD, NO_BOUND),
        ({"default": {}}, GOOD, NO_BOUND),
        ({"models": {"cnn": {"test_accuracy": {"min": 0.98}}}}, GOOD, NO_BOUND),
    ],
)
def test_what_is_missing_never_passes(run: Run, section: Any, metrics: Any, row: list[str]) -> None:
    """A model or metric that is missing from the file, or has no bound, is 2 with the reason: none passes unseen."""
    write(section, metrics)

    code, output = run()

    assert code == 2
    assert row in rows(output)


def test_a_failure_outweighs_what_cannot_be_judged(run: Run) -> None:
    """With one check failed and another one not judged, 1 is returned: it is certain."""
    write(FLOOR, GOOD | {"mlp_rmsprop": {}, "cnn": {"test_accuracy": 0.5}})

    code, output = run()

    assert code == 1
    assert output.endswith("gate: 1 pass, 1 FAIL, 1 CANNOT JUDGE\n")


@pytest.mark.fault("gate: no metrics, or metrics damaged")
@pytest.mark.parametrize("text", ["", "{", "[]", "3", "\xff", None])
def test_metrics_that_are_not_a_json_object_cannot_be_judged(run: Run, text: str | None) -> None:
    """A file of metrics that is damaged or missing is 2 and named, in the summary too."""
    write(FLOOR, text or "")
    if text is None:
        Path("reports/metrics.json").unlink()

    message = refused(run, "--summary", "summary.md")

    assert message.startswith("reports/metrics.json: ")
    assert text is not None or message.endswith(": no such file; `dvc repro` creates it")
    assert Path("summary.md").read_text().replace("\\`", "`") == f"\n### Gate\n\nCANNOT JUDGE: {message}\n"


def test_a_models_bounds_replace_the_defaults_one_by_one(run: Run) -> None:
    """A model's own `min` leaves the default's `max` and other metrics in force, and other models alone."""
    section = {
        "default": {"test_accuracy": {"min": 0.98, "max": 1.0}, "test_loss": {"max": 0.2}},
        "models": {"cnn": {"test_accuracy": {"min": 0.9881}, "test_brier": {"max": 0.02}}},
    }
    write(section, changed("cnn", test_brier=0.01))

    table = rows(run()[1])

    assert [row[1:3] + row[4:5] for row in table if row[0] == "cnn"] == [
        ["test_accuracy", "min", "0.9881"],
        ["test_accuracy", "max", "1.0"],
        ["test_loss", "max", "0.2"],
        ["test_brier", "max", "0.02"],
    ]
    assert [row[1:3] + row[4:5] for row in table if row[0] == "mlp_rmsprop"] == [
        ["test_accuracy", "min", "0.98"],
        ["test_accuracy", "max", "1.0"],
        ["test_loss", "max", "0.2"],
    ]


def test_bounds_on_another_data_set_may_be_of_other_models(run: Run) -> None:
    """Models come and go with the data set: those that only bounds on another one name are no fault."""
    write({"default": {"test_accuracy": {"min": 0.5}}})
    content = files.read_yaml(Path("params.yaml"))
    content["gate"]["stones"] = {"models": {"of_stones": {"test_accuracy": {"min": 0.9}}}}
    files.write_json(Path("params.yaml"), content)

    assert run()[0] == 0


@pytest.mark.fault("gate: bounds that break a rule")
@pytest.mark.parametrize(
    ("section", "fault"),
    [
        (of_accuracy({"mim": 0.9}), ".default.test_accuracy: unknown key 'mim'; did you mean min?"),
        ({"defaults": {}}, ": unknown key 'defaults'; did you mean default?"),
        (of_accuracy({}), ".default.test_accuracy: expected a number for one or more of min"),
        (of_accuracy({"min": None}), ".default.test_accuracy: expected a number for one or more"),
        (of_accuracy({"min": None, "max": 1.0}), ".default.test_accuracy: expected a number for one or more"),
        (of_accuracy(0.98), ".default.test_accuracy: expected a mapping, found 0.98"),
        (of_accuracy({"min": "0.98"}), ".default.test_accuracy.min: expected a valid number, found '0.98'"),
        (of_accuracy({"min": True}), ".default.test_accuracy.min: expected a valid number, found True"),
        (of_accuracy({"min": float("nan")}), ".default.test_accuracy.min: expected a finite number, found nan"),
        (of_accuracy({"max": float("inf")}), ".default.test_accuracy.max: expected a finite number, found inf"),
        (
            of_accuracy({"max_drop": -1}),
            ".default.test_accuracy.max_drop: expected greater than or equal to 0, found -1",
        ),
        ({"default": {"test accuracy": {"min": 0}}}, ".default.'test accuracy': expected a name of at most"),
        ({"default": None}, ".default: expected a mapping, found None"),
        ({"models": {"cmn": {"a": {"min": 0}}}}, ".models.cmn: no such model; known: mlp_rmsprop, "),
        ([], ": expected a mapping, found []"),
    ],
)
def test_a_section_that_breaks_a_rule_is_refused(run: Run, section: Any, fault: str) -> None:
    """Each fault of the section is one line with its key's path, what was expected and what was found, and is 2."""
    write({})
    text = Path("params.yaml").read_text().replace('"mnist": {}', f'"mnist": {json.dumps(section)}')
    Path("params.yaml").write_text(text.replace("NaN", ".nan").replace("Infinity", ".inf"))

    assert refused(run).startswith(f"params.yaml: gate.mnist{fault}")


@pytest.mark.usefixtures("repository")
def test_an_unchanged_model_has_not_dropped(run: Run) -> None:
    """Against a revision with equal metrics every check passes, and no model is new."""
    code, output = run("--baseline", "main")

    assert code == 0
    assert output.endswith("gate: 6 pass\n")
    assert ["cnn", "test_accuracy", "max_drop", "0.9902", "0.003 below 0.9902", "pass"] in rows(output)
    assert "new" not in output


LOSSES = ("test_loss", "test_errors", "test_brier", "val_loss_rise", "generalization_gap")
RISES = [(0.5, 0.6, 0), (0.5, 0.61, 1), (0.5, 0.1, 0), (0.6, 0.5, 0)]
DROPS = [
    (0.9850, 0.9820, 0),  # .0030000000000000027 in binary
    (0.9902, 0.9872, 0),
    (0.9902, 0.9871, 1),
    (0.9902, 0.98719999, 1),
    (0.9902, 0.9899, 0),  # noise
    (0.9902, 0.9999, 0),
    (1, 0.997, 0),
]


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize(
    ("metric", "most", "before", "now", "code"),
    [
        *(("test_accuracy", "0.003 below", *drop) for drop in DROPS),
        *((metric, "0.1 above", *rise) for metric in LOSSES for rise in RISES),
    ],
)
def test_a_drop_is_a_difference_of_decimals(
    run: Run, metric: str, most: str, before: float, now: float, code: int
) -> None:
    """A drop, or a rise where less is better, of just `max_drop` passes in spite of binary rounding; more fails."""
    bounds = {"default": {metric: {"max_drop": float(most.split()[0])}}}
    write(bounds, {model: {metric: before} for model in MODELS})
    commit()
    write(bounds, {model: {metric: before} for model in MODELS} | {"cnn": {metric: now}})

    result, output = run("--baseline", "HEAD")

    assert result == code
    assert ["cnn", metric, "max_drop", str(now), f"{most} {before}", ["pass", "FAIL"][code]] in rows(output)
    assert [row[-1] for row in rows(output)[1:]] == ["pass", "pass", ["pass", "FAIL"][code]]


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize(
    ("section", "code", "said"),
    [
        (DROP, 0, "wide is new, not in HEAD: it has no drop check."),
        (
            {"default": {"test_accuracy": {"max_drop": 0.003}}},
            2,
            "CANNOT JUDGE: nothing to compare with and no min or max; set gate.mnist.models.wide",
        ),
    ],
    ids=["floor", "no floor"],
)
def test_a_new_model_has_no_drop_check(run: Run, section: Any, code: int, said: str) -> None:
    """A model that the revision did not have is judged by its floor alone; without one it cannot be judged."""
    write(section, GOOD | {"wide": {"test_accuracy": 0.97}}, (*MODELS, "wide"))

    result, output = run("--baseline", "HEAD")

    assert result == code
    assert said in output
    assert ["min" in row for row in rows(output) if row[0] == "wide"] == [code == 0]


@pytest.mark.fault("gate: model removed or renamed")
@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize("models", [("cnn",), ("cnn", "mlp_adadelta", "renamed")], ids=["removed", "renamed"])
def test_a_model_that_is_gone_cannot_be_judged(run: Run, models: tuple[str, ...]) -> None:
    """It may be the one that got worse: 2, until params.yaml says that it was removed on purpose; then it is noted."""
    metrics = {model: GOOD.get(model, GOOD["cnn"]) for model in models}
    write(DROP, metrics, models)

    code, output = run("--baseline", "HEAD")

    gone = sorted({*MODELS} - {*models})
    assert code == 2
    assert [row[0] for row in rows(output) if "gate.mnist.removed" in row[-1]] == gone

    write({**DROP, "removed": gone}, metrics, models)
    code, output = run("--baseline", "HEAD")
    assert code == 0
    assert all(f"{model} was removed since HEAD." in output for model in gone)
    write({**DROP, "removed": ["cnn"]}, metrics, models)
    assert run() == (2, "params.yaml: gate.mnist.removed: cnn is a model here")


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize("metric", ["parameters", "epochs", "min_val_loss_epoch", "own_metric", "test_own"])
def test_a_drop_of_what_is_neither_good_nor_bad_cannot_be_judged(run: Run, metric: str) -> None:
    """Whether more of it is better is not known: 2, though `min` and `max` can be judged."""
    bounds = {"default": {metric: {"max": 9, "max_drop": 0.1}}}
    write(bounds, {model: {metric: 1} for model in MODELS})
    commit()

    code, output = run("--baseline", "HEAD")

    assert code == 2
    assert output.endswith("gate: 3 pass, 3 CANNOT JUDGE\n")


@pytest.mark.fault("gate: metric outside of its range")
@pytest.mark.parametrize(
    ("metric", "value", "judged"),
    [
        ("test_accuracy", 99.12, False),
        ("test_accuracy", 1.0000001, False),
        ("test_accuracy", 1, True),
        ("validation_accuracy", -0.1, False),
        ("train_top_3_accuracy", 2, False),
        ("test_loss", -0.01, False),
        ("test_loss", 99, True),
        ("test_brier", 2.01, False),
        ("test_brier", 2, True),
        ("test_calibration_error", 1.01, False),
        ("generalization_gap", -1.5, False),
        ("generalization_gap", -0.5, True),
        ("loss_gap", -5, True),
        ("val_loss_rise", -1, False),
        ("parameters", 10**6, True),
    ],
)
def test_what_no_metric_can_be_cannot_be_judged(run: Run, metric: str, value: float, judged: bool) -> None:
    """A share in percent, or a negative loss, is a mistake of whoever wrote it, wherever the bounds are."""
    write({"default": {metric: {"min": -1e9, "max": 1e9}}}, {model: {metric: value} for model in MODELS})

    code, output = run()

    assert code == (0 if judged else 2)
    assert ("is not within" in output) == (not judged)


def test_every_score_has_a_range_and_a_direction() -> None:
    """Of each that reports/metrics.json holds, the range has the scores of random answers, and a gap has them too."""
    rng = np.random.default_rng(0)
    for classes in (2, 12):
        probabilities, labels = rng.dirichlet(np.full(classes, 0.1), 50), rng.integers(0, classes, 50)
        scores = metrics.score(probabilities, labels, 1e-7)
        splits = dict.fromkeys(metrics.SPLITS, scores)
        for name, value in {**metrics.flat(splits), **metrics.gaps(splits)}.items():
            known = bounds.meaning(name)
            assert known is not None
            better, low, high = known
            assert low <= value <= high
            assert better == name.endswith(("accuracy", "f1"))


@pytest.mark.fault("gate: metrics with a key twice")
@pytest.mark.parametrize(
    "text",
    ['{"cnn": {"test_accuracy": 0.1, "test_accuracy": 0.99}}', '{"cnn": {"test_accuracy": 0.1}, "cnn": {}}'],
    ids=["metric", "model"],
)
@pytest.mark.usefixtures("repository")
def test_a_key_twice_cannot_be_judged(run: Run, text: str) -> None:
    """As a bad merge leaves it: which of them is meant is not known, here or in the baseline."""
    write(DROP, text)
    assert run()[0] == 2
    commit()
    write(DROP)

    message = refused(run, "--baseline", "HEAD")

    assert "twice" in message


@pytest.mark.fault("gate: a pipe or device in the place of a file")
@pytest.mark.parametrize("path", ["reports/metrics.json", "reports/data.json", "params.yaml"])
@pytest.mark.parametrize("kind", ["pipe", "device"])
@pytest.mark.usefixtures("repository")
def test_what_never_ends_cannot_be_judged(run: Run, path: str, kind: str) -> None:
    """It is neither waited for nor read until the memory is full."""
    Path(path).unlink()
    if kind == "pipe":
        os.mkfifo(path)
    else:
        Path(path).symlink_to("/dev/zero")

    assert run("--baseline", "HEAD") == (2, f"{path}: expected a file, found a pipe, socket or device")


@pytest.mark.fault("gate: baseline without metrics, or without one of them")
@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize(
    "metrics",
    [
        {name: GOOD[name] for name in MODELS[:2]},
        GOOD | {"cnn": {}},
        changed("cnn", test_accuracy=float("nan")),
        changed("cnn", test_accuracy="0.99"),
        None,
    ],
)
def test_a_gap_in_the_revisions_metrics_cannot_be_judged(run: Run, metrics: Mapping[str, Any] | None) -> None:
    """A model of the revision whose metric there is missing or not a number is 2, and the revision is named."""
    write(DROP, metrics or {})
    if metrics is None:
        Path("reports/metrics.json").unlink()
    commit()
    write(DROP)

    code, output = run("--baseline", "main")

    assert code == 2
    row = rows(output)[-1]
    assert row[:5] == ["cnn", "test_accuracy", "max_drop", "0.9902", "0.003 below ?"]
    assert row[5].startswith("CANNOT JUDGE: main: ")
    assert output.endswith(f"gate: {3 if metrics is None else 5} pass, {3 if metrics is None else 1} CANNOT JUDGE\n")


@pytest.mark.fault("gate: baseline damaged")
@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize(
    ("name", "content"), [("reports/metrics.json", "{"), ("reports/metrics.json", "[]"), ("params.yaml", "models: [a]")]
)
def test_a_damaged_file_in_the_revision_cannot_be_judged(run: Run, name: str, content: str) -> None:
    """A file of the revision that cannot be read is 2 and named with the revision."""
    Path(name).write_text(content)
    commit()
    write(DROP)

    assert refused(run, "--baseline", "HEAD").startswith(f"HEAD:{name}: ")


@pytest.mark.usefixtures("repository")
def test_an_older_form_of_params_gives_its_models(run: Run) -> None:
    """Of the revision's params only the models' names are read: a change of their form does not stop the gate."""
    Path("params.yaml").write_text("seed: 1\nmodels:\n  cnn: {layers: 3}\n")
    commit()
    write(DROP)

    code, output = run("--baseline", "HEAD")

    assert code == 0
    assert [row[0] for row in rows(output) if row[2] == "max_drop"] == ["cnn"]
    assert "mlp_rmsprop is new, not in HEAD" in output


@pytest.mark.fault("gate: baseline without models")
@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize("content", [None, "seed: 1\n", "models:\n", "models: {}\n", "models: [cnn]\n", "7\n"])
def test_a_revision_without_models_cannot_be_judged(run: Run, content: str | None) -> None:
    """Nothing there can be compared with, as where its params file has another name: 2, not a pass."""
    if content is None:
        git("rm", "--quiet", "--cached", "params.yaml")
        git("commit", "--quiet", "--message", "beginning")
    else:
        Path("params.yaml").write_text(content)
        commit()
        write(DROP)

    code, output = run("--baseline", "HEAD")

    assert code == 2
    assert output.startswith("HEAD:params.yaml: CANNOT JUDGE: no models to compare with")


@pytest.mark.fault("gate: baseline that is unknown, or an option of git")
@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize(
    ("revision", "reason"),
    [
        *(
            (name, "git knows no revision {!r} in {}; {}")
            for name in ("nowhere", "HEAD~9", "HEAD:params.yaml", "0" * 40)
        ),
        *((name, "expected a git revision, found {!r}") for name in ("-n", "--all", "--output=x", "", "a\nb", "a\0b")),
    ],
)
def test_an_unknown_revision_cannot_be_judged(run: Run, revision: str, reason: str) -> None:
    """What names no commit is 2, and the line says where it was sought; options of git do not reach it."""
    expected = f"{UNJUDGED}: {reason.format(revision, Path.cwd(), FETCH)}"

    assert run(f"--baseline={revision}") == (2, expected)


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize("revision", ["HEAD", "main", "v1", "HEAD~0", "@"])
def test_any_name_of_a_commit_is_a_revision(run: Run, revision: str) -> None:
    """Branches, annotated tags and relative names all work."""
    git("tag", "--annotate", "v1", "--message", "release")

    assert run("--baseline", revision)[0] == 0


@pytest.mark.fault("gate: data set without bounds")
def test_a_data_set_without_bounds_cannot_be_judged(run: Run) -> None:
    """The bounds of another data set are not used: 2, with the lines to add, in the summary too."""
    write(FLOOR, changed("cnn", test_accuracy=0.9), dataset="fashion_mnist")

    message = refused(run, "--summary", "summary.md")

    assert message.startswith(
        "params.yaml: CANNOT JUDGE: gate has no bounds for the data set fashion_mnist, only for mnist"
    )
    assert "`fashion_mnist: {default: {test_accuracy: {min: A, max_drop: B}}}` below gate" in message
    assert "CANNOT JUDGE: gate has no bounds" in Path("summary.md").read_text()


def test_the_lines_to_add_are_accepted(run: Run) -> None:
    """With the lines of the message below gate, numbers for A and B, the gate judges the other data set."""
    write(FLOOR, dataset="fashion_mnist")
    lines = run()[1].split("`")[1].replace("A", "0.8").replace("B", "0.01")

    text = json.loads(Path("params.yaml").read_text())
    text["gate"] |= files.parse_yaml(lines.encode(), Path("lines"))
    Path("params.yaml").write_text(json.dumps(text))

    assert run()[0] == 0


@pytest.mark.fault("gate: baseline of another data set")
@pytest.mark.usefixtures("repository")
def test_a_baseline_of_another_data_set_cannot_be_judged(run: Run) -> None:
    """Scores on two data sets are no drop, whichever is higher: 2, and the floors are judged all the same."""
    write(DROP, changed("cnn", test_accuracy=0.9), dataset="fashion_mnist", of="fashion_mnist")

    code, output = run("--baseline", "main")

    assert code == 2
    reason = "CANNOT JUDGE: main is of the data set mnist"
    assert ["cnn", "test_accuracy", "max_drop", "0.9", "0.003 below ?", reason] in rows(output)
    assert output.endswith("gate: 3 pass, 3 CANNOT JUDGE\n")


@pytest.mark.fault("gate: other images under the same name")
@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize("side", ["baseline", "workspace"])
@pytest.mark.parametrize("content", [{"dataset": "mnist", "sha256": "1" * 64}, {"dataset": "mnist"}, None])
def test_a_baseline_of_other_images_cannot_be_judged(run: Run, side: str, content: Any) -> None:
    """Equal scores on other test images are no proof, and neither is a data.json that does not say which they were."""
    if side == "workspace":
        commit()
    path = Path("reports/data.json")
    path.write_text(json.dumps(content)) if content else path.unlink()
    if side == "baseline":
        commit()
        write(DROP)

    code, output = run("--baseline", "HEAD")

    assert code == 2
    assert output.endswith("gate: 3 pass, 3 CANNOT JUDGE\n")


@pytest.mark.fault("gate: tag called as the branch that is meant")
@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize("configured", ["true", "false"])
def test_a_name_that_is_a_tag_and_a_branch_cannot_be_judged(run: Run, configured: str) -> None:
    """Git would take the tag; whatever the user has it warn of, the gate says so, and each full name is judged."""
    git("config", "core.warnAmbiguousRefs", configured)
    git("update-ref", "refs/remotes/origin/main", "HEAD")
    write(DROP, changed("cnn", test_accuracy=0.6))
    commit()
    git("tag", "origin/main")

    message = refused(run, "--baseline", "origin/main")

    assert message.startswith(f"{UNJUDGED}: git finds 'origin/main', but says: warning: refname 'origin/main' is ambig")
    assert run("--baseline", "refs/remotes/origin/main")[0] == 1
    assert run("--baseline", "refs/tags/origin/main")[0] == 0


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize("variable", ["GIT_TRACE", "GIT_ALTERNATE_OBJECT_DIRECTORIES"])
def test_what_else_git_says_is_no_doubt_about_a_name(run: Run, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """Where git traces what it does, or warns of something else, a name is found or unknown as without these words."""
    monkeypatch.setenv(variable, "1")

    assert run("--baseline", "main")[0] == 0
    assert refused(run, "--baseline", "nowhere").startswith(f"{UNJUDGED}: git knows no revision 'nowhere'")


@pytest.fixture
def partial_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Return a function that works in a partial clone whose current accuracy has dropped, and returns its remote."""

    def clone(leaves_out: str) -> Path:
        origin = tmp_path / "origin"
        origin.mkdir()
        monkeypatch.chdir(origin)
        git("init", "--quiet", "--initial-branch=main")
        write(DROP)
        commit()
        write(DROP, changed("cnn", test_accuracy=0.6))
        commit()
        git("config", "uploadpack.allowFilter", "true")
        git("clone", "--quiet", f"--filter={leaves_out}", origin.as_uri(), str(tmp_path / "clone"))
        monkeypatch.chdir(tmp_path / "clone")
        return origin

    return clone


@pytest.mark.parametrize("leaves_out", ["tree:0", "blob:none"])
def test_a_partial_clone_fetches_what_it_needs(run: Run, partial_clone: Callable[[str], Path], leaves_out: str) -> None:
    """While its remote can be reached, a clone without trees or blobs is judged as a full one."""
    partial_clone(leaves_out)

    code, output = run("--baseline", "HEAD~1")

    assert code == 1
    assert ["cnn", "test_accuracy", "max_drop", "0.6", "0.003 below 0.9902", "FAIL"] in rows(output)


@pytest.mark.fault("gate: partial clone whose remote is out of reach")
@pytest.mark.parametrize("leaves_out", ["tree:0", "blob:none"])
def test_what_git_cannot_fetch_cannot_be_judged(
    run: Run, partial_clone: Callable[[str], Path], leaves_out: str
) -> None:
    """Trees or blobs missing from the clone are not files missing from the revision: 2, with git's words."""
    partial_clone(leaves_out).rename("../gone")

    message = refused(run, "--baseline", "HEAD~1", "--summary", "summary.md")

    assert message.startswith(f"{UNJUDGED}: `git ")
    assert "promisor remote" in message
    assert "CANNOT JUDGE" in Path("summary.md").read_text()


@pytest.mark.fault("gate: damaged repository")
@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize(
    "what", ["HEAD", "HEAD^{tree}", "HEAD:params.yaml", "HEAD:reports", "HEAD:reports/metrics.json"]
)
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_damaged_repository_cannot_be_judged(run: Run, what: str, damage: Callable[[Path], Any]) -> None:
    """A commit, tree or blob that is missing or empty is 2 with git's words, whichever of the files it is about."""
    found = git("rev-parse", what)
    path = Path(".git/objects") / found[:2] / found[2:]
    path.chmod(0o644)
    damage(path)

    assert refused(run, "--baseline", "HEAD").startswith(UNJUDGED)


@pytest.mark.usefixtures("repository")
def test_a_shallow_clone_says_to_fetch(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit before those that a shallow clone has is an unknown revision, by whatever name."""
    commit()
    full = git("rev-parse", "HEAD~1")
    git("clone", "--quiet", "--depth=1", tmp_path.as_uri(), str(tmp_path / "shallow"))
    monkeypatch.chdir(tmp_path / "shallow")

    for revision in ("HEAD~1", full):
        message = refused(run, "--baseline", revision)

        assert message.endswith(f"; {FETCH}")


@pytest.mark.fault("gate: repository of another user")
@pytest.mark.usefixtures("repository")
def test_a_repository_of_another_user_cannot_be_judged(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What git says of dubious ownership is reported, with the command that it names."""
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")

    message = refused(run, "--baseline", "HEAD")

    assert message.startswith(f"{UNJUDGED}: `git rev-parse` failed (fatal: detected dubious ownership")
    assert "safe.directory" in message


@pytest.mark.fault("gate: git that does not answer")
@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize("command", ["rev-parse", "ls-tree", "show"])
def test_a_git_that_hangs_or_fails_cannot_be_judged(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """A git that never ends, or fails without a word, at any of its three commands: 2, and the command is named."""
    real = shutil.which("git")
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    for does, seconds, reason in (
        ("exec sleep 60", 1.0, "no answer within 1 s"),
        ("exit 9", 60.0, "exit code 9|knows no revision"),
    ):
        monkeypatch.setattr(revision_module, "GIT_TIMEOUT_S", seconds)
        program.write_text(f'#!/bin/sh\n[ "$1" != {command} ] || {does}\nexec {real} "$@"\n')
        program.chmod(0o755)

        message = refused(run, "--baseline", "HEAD")

        assert message.startswith(UNJUDGED)
        assert any(words in message for words in reason.split("|"))


@pytest.mark.parametrize("git_is_there", [True, False])
def test_outside_git_a_baseline_cannot_be_judged(run: Run, monkeypatch: pytest.MonkeyPatch, git_is_there: bool) -> None:
    """A tarball has no revisions, nor has a machine without git; without --baseline it is judged."""
    write(DROP)
    if not git_is_there:
        monkeypatch.setenv("PATH", "")
    reason = "`git rev-parse` failed (fatal: not a git repository" if git_is_there else "git does not run"

    assert run()[0] == 0
    assert refused(run, "--baseline", "HEAD").startswith(f"{UNJUDGED}: {reason}")


@pytest.mark.usefixtures("repository")
def test_paths_are_relative_to_the_files_as_given(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project in a subdirectory of a repository, judged from elsewhere, is compared with its own files."""
    Path("deep").mkdir()
    for name in ("params.yaml", "reports"):
        Path(name).rename(Path("deep") / name)
    commit()
    Path("deep/reports/metrics.json").write_text(json.dumps(changed("cnn", test_accuracy=0.98)))
    files = ("--params", f"{tmp_path}/deep/params.yaml", "--metrics", f"{tmp_path}/deep/reports/metrics.json")
    monkeypatch.chdir("/")

    code, output = run(*files, "--baseline", "main")

    assert code == 1
    assert ["cnn", "test_accuracy", "max_drop", "0.98", "0.003 below 0.9902", "FAIL"] in rows(output)


def test_the_summary_is_appended_as_markdown(run: Run) -> None:
    """What the summary holds stays, and the table that is printed follows as Markdown with the same closing lines."""
    write(FLOOR, changed("cnn", test_accuracy=0.5))
    Path("summary.md").write_text("# Before\n")

    _, output = run("--summary", "summary.md")
    run("--summary", "summary.md")

    text = Path("summary.md").read_text()
    assert text.startswith(
        "# Before\n\n### Gate\n\n| model | metric | check | value | bound | status |\n|---|---|---|---|---|---|\n"
    )
    assert text.count("### Gate") == 2
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert [[cell.strip() for cell in line.strip("|").split("|")] for line in lines] == rows(output) * 2
    assert all(line in text for line in output.splitlines()[-2:])


def test_a_summary_that_cannot_be_written_is_an_input_error(run: Run) -> None:
    """1 means a failed check and nothing else, so this is 2."""
    write(FLOOR)

    os.mkfifo("pipe")

    message = refused(run, "--summary", "nowhere/summary.md")

    assert message == "nowhere/summary.md: --summary cannot be written (No such file or directory)"
    assert refused(run, "--summary", "pipe") == "pipe: --summary: expected a file"


def test_a_text_marks_nothing_up_in_the_summary(run: Run) -> None:
    """A revision's name may hold a bar, and what a message quotes HTML or a picture."""
    check = gate.Check("m", "a", "min", "-", "1", gate.CheckStatus.UNJUDGED, "x|y: missing")
    write({"<img>![a](b)": {}})

    assert r"\<img>!\[a\](b)" not in refused(run, "--summary", "summary.md")
    assert r"\<img>!\[a\](b)" in Path("summary.md").read_text()
    assert gate.as_markdown([check]).splitlines()[-1] == r"| m | a | min | - | 1 | CANNOT JUDGE: x\|y: missing |"


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Call the gate as CI does."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-m", "pipeline.gate", *arguments]
    return subprocess.run(line, capture_output=True, text=True, env=environment, check=False)


@pytest.mark.usefixtures("repository")
def test_the_command_ends_with_the_exit_code() -> None:
    """The real command line returns 0, 1 and 2, and an error is one line without a traceback."""
    passed = command("--baseline", "HEAD", "--summary", "summary.md")
    write(DROP, changed("cnn", test_accuracy=0.98))
    failed = command("--baseline", "HEAD")
    unjudged = command("--baseline", "nowhere")

    assert (passed.returncode, failed.returncode, unjudged.returncode) == (0, 1, 2), passed.stderr
    assert (passed.stderr, failed.stderr) == ("", "")
    assert failed.stdout.endswith("gate: 5 pass, 1 FAIL\n")
    assert unjudged.stderr.startswith(f"error: {UNJUDGED}: git knows no revision 'nowhere'")
    assert unjudged.stderr.count("\n") == 1
    assert Path("summary.md").read_text().endswith("gate: 6 pass\n")


@pytest.mark.fault("dvc.lock that tells of another experiment than the model was trained in")
def test_metrics_of_another_experiment_than_dvc_lock_has_cannot_be_judged(
    run: Run, reproduced: Path, tmp_path: Path
) -> None:
    """The record of each model that is judged must be that of its training in dvc.lock: 2 otherwise."""
    for name in ("params.yaml", "dvc.lock"):
        shutil.copy(reproduced / name, tmp_path)
    shutil.copytree(reproduced / "reports", tmp_path / "reports")
    assert run()[0] == 0
    lock = files.read_yaml(Path("dvc.lock"))
    lock["stages"]["train@cnn"]["params"]["params.yaml"]["train"]["seed"] += 1
    Path("dvc.lock").write_text(json.dumps(lock))

    assert refused(run).startswith("dvc.lock: cnn: was not trained with the params and data that are recorded")
