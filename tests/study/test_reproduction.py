"""The lines after `make repro`: this run against the committed one, and against what other seeds give."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import files, params
from pipeline.study import prediction, reproduction
from tests.support import programs, small

SCORES = {
    "mlp_rmsprop": {"test_accuracy": 0.9844, "test_loss": 0.11, "val_loss_rise": 1.41},
    "mlp_adadelta": {"test_accuracy": 0.9836, "test_loss": 0.06, "val_loss_rise": 1.06},
    "cnn": {"test_accuracy": 0.9905, "test_loss": 0.03, "val_loss_rise": 1.01},
}
PREDICTIONS = """variant,outcome,n,low,high,original,within
mlp_rmsprop,test_accuracy,10,0.98,0.986,0.9834,True
mlp_rmsprop,rise,10,1.2,1.6,1.52,True
mlp_adadelta,test_accuracy,10,0.981,0.986,0.9831,True
cnn,test_accuracy,5,0.992,0.994,0.9902,False
cnn,test_loss,5,0.025,0.035,0.0281,True
"""

OTHER = "the study has no model with these settings on mnist"

Call = Callable[[], list[str]]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Return a call of the command in a folder with params and such scores, all of them committed."""
    small.copy(tmp_path, "params.yaml", "study/params.yaml")
    # The images that the study holds out as well.
    settings = (tmp_path / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(settings.replace("validation: test", "validation: 5000"))
    for name in SCORES:
        files.write_text(tmp_path / "reports" / "history" / f"{name}.csv", "epoch,accuracy\n1,0.9\n2,0.97\n")
    (tmp_path / "reports" / "metrics.json").write_text(json.dumps(SCORES))
    (tmp_path / "study" / "reports").mkdir()
    (tmp_path / "study" / "reports" / "prediction.csv").write_text(PREDICTIONS)
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    for words in (("init", "-q"), ("add", "."), (*identity, "commit", "-qm", "results")):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["reproduction"])

    def run() -> list[str]:
        assert reproduction.main() == 0
        return capsys.readouterr().out.splitlines()

    return run


def change(path: str, before: str, after: str) -> None:
    """Replace a text in a file, in which it is there."""
    content = Path(path).read_text()
    assert before in content
    Path(path).write_text(content.replace(before, after))


def test_each_model_has_a_line(call: Call) -> None:
    """It says that all scores are as committed, which lie within the intervals, and which do not, with both."""
    first, second, third = call()

    assert first == (
        "mlp_rmsprop: test accuracy 98.44%, every score as committed; 2 of 2 scores within the 95% intervals of one "
        "more seed"
    )
    assert second.endswith("; 1 of 1 scores within the 95% intervals of one more seed")
    assert third.endswith(
        "; 1 of 2 scores within the 95% intervals of one more seed, not test accuracy 0.9905 (0.992 to 0.994); "
        "by chance, 1 in 20 is outside"
    )
    assert max(map(len, (first, second))) <= 120


def test_a_difference_from_the_committed_scores_is_stated(call: Call) -> None:
    """Another test accuracy is said in points, and another last digit of any score is not called the same."""
    change("reports/metrics.json", '"test_accuracy": 0.9844', '"test_accuracy": 0.9841')
    found = json.loads(Path("reports/metrics.json").read_text())
    found["cnn"]["test_loss"] += 1e-9
    Path("reports/metrics.json").write_text(json.dumps(found))

    first, second, third = call()

    assert "test accuracy 98.41%, \u22120.03 points from the committed 98.44%; " in first
    assert "every score as committed" in second
    assert "test accuracy 99.05%, as committed; other scores differ; " in third


def test_a_model_of_too_few_epochs_has_no_rise_to_compare(call: Call) -> None:
    """Its other scores are compared with their intervals all the same."""
    found = json.loads(Path("reports/metrics.json").read_text())
    del found["mlp_rmsprop"]["val_loss_rise"]
    Path("reports/metrics.json").write_text(json.dumps(found))

    assert call()[0].endswith("; 1 of 1 scores within the 95% intervals of one more seed")


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("dataset: mnist", "dataset: another", "the study has nothing on another"),
        ("epochs: 20", "epochs: 21", OTHER),
        ("batch_size: 128", "batch_size: 64", OTHER),
        ("precision: float32", "precision: mixed_bfloat16", OTHER),
    ],
    ids=["data", "epochs", "batch", "precision"],
)
def test_what_the_study_did_not_train_has_no_interval(before: str, after: str, reason: str, call: Call) -> None:
    """Other data and other settings are said to have none, and the run is still compared with the committed one."""
    change("params.yaml", before, after)
    change("params.yaml", "\n  mnist:", "\n  another: {}\n  mnist:")

    first = call()[0]

    assert first == f"mlp_rmsprop: test accuracy 98.44%, every score as committed; no prediction interval: {reason}"


def test_another_model_has_no_interval_and_is_not_committed(call: Call) -> None:
    """A model that the study does not have is said to have none, next to those that have one."""
    network = "mlp_adadelta:\n    network: {name: mlp, units: [512,"
    change("params.yaml", network, network.replace("mlp_adadelta", "mine").replace("512", "511"))
    change("params.yaml", "      mlp_adadelta:\n        test_accuracy", "      mine:\n        test_accuracy")
    change("reports/metrics.json", '"mlp_adadelta"', '"mine"')
    Path("reports/history/mlp_adadelta.csv").rename("reports/history/mine.csv")

    first, second, _ = call()

    assert "within the 95%" in first
    assert second.startswith("mine: test accuracy 98.36%, not among the committed results; no prediction interval: ")


@pytest.mark.fault("a study that is being worked on, after `make repro`")
@pytest.mark.parametrize(
    ("path", "content", "reason"),
    [
        ("study/params.yaml", "variants: {}\n", "study/params.yaml: "),
        ("study/reports/prediction.csv", "variant,low\ncnn,1\n", "study/reports/prediction.csv cannot be read"),
    ],
    ids=["plan", "table"],
)
def test_a_broken_study_does_not_fail_a_finished_run(path: str, content: str, reason: str, call: Call) -> None:
    """The line says what cannot be read, and the exit code is 0."""
    Path(path).write_text(content)

    assert f"; no prediction interval: {reason}" in call()[0]


@pytest.mark.fault("`make repro` without git, or without the study's report")
def test_without_git_or_a_study_it_says_so(call: Call) -> None:
    """Without a repository nothing is called committed, and without the study's report there is no interval."""
    shutil.rmtree(".git")
    Path("study/reports/prediction.csv").unlink()

    lines = call()

    assert lines[0] == (
        "mlp_rmsprop: test accuracy 98.44%, not among the committed results; no prediction interval: there is no "
        "report of a study here"
    )


def test_a_program_reads_what_people_read(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --json there are an object's documented keys, and the scores outside of their intervals by name."""
    monkeypatch.setattr("sys.argv", ["reproduction", "--json"])

    content = json.loads("".join(call()))

    assert content.keys() == programs.keys("study.reproduction")
    first, _, third = content["models"]
    assert (first["every_score_as_committed"], first["outside"]) == (True, [])
    assert (third["outside"], third["one_more_seed"]["test_accuracy"]) == (["test_accuracy"], [0.992, 0.994])


@pytest.mark.parametrize(
    ("validation", "images", "known"),
    [("test", "all", True), ("test", "shared", False), ("5000", "all", False), ("5000", "drawn", False)],
)
def test_the_intervals_are_of_networks_trained_on_the_same_images(
    call: Call, validation: str, images: str, known: bool
) -> None:
    """A model trained on all images is compared with such replicates, whatever its variant is called, and no others."""
    change("params.yaml", "validation: 5000", f"validation: {validation}")
    other = f"  other:\n    dataset: mnist\n    training_images: {images}"
    change("study/params.yaml", "  cnn:\n    dataset: mnist", other)
    # Variants without held-out images are not compared.
    content = Path("study/params.yaml").read_text().splitlines(True)
    listed = re.compile(r"    - \[(cnn, |.*, cnn\])")
    Path("study/params.yaml").write_text("".join(line for line in content if not listed.match(line)))
    change("study/reports/prediction.csv", "cnn,test_loss", "other,test_loss")

    assert call()[2].endswith("; 1 of 1 scores within the 95% intervals of one more seed" if known else OTHER)


def test_the_running_accuracy_is_that_of_the_last_epoch(call: Call) -> None:
    """Its interval is compared with the last row of the history."""
    table = Path("study/reports/prediction.csv")
    table.write_text("variant,outcome,n,low,high,original,within\ncnn,running_accuracy,5,0.97,0.97,,\n")

    assert call()[2].endswith("; 1 of 1 scores within the 95% intervals of one more seed")


@pytest.mark.usefixtures("call")
def test_every_score_that_the_study_predicts_is_compared() -> None:
    """The outcomes that the study has intervals for are those that are compared with them."""
    values, running = params.load(Path("params.yaml")), dict.fromkeys(SCORES, 0.97)

    found = reproduction.compare(values, SCORES, running, SCORES, Path("study"))

    assert {frozenset(one.scores) for one in found} == {frozenset(prediction.OUTCOMES)}
