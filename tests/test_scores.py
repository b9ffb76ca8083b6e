"""A score is declared once: the report, DVC, the gate, MLflow, verdicts and the ledger then have it."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import top_k_accuracy_score

from pipeline import files, gate, report, schema, smallest_effect, verdict
from pipeline.analysis import metrics
from pipeline.analysis.metrics import SCORES, Score
from pipeline.analysis.verdicts import Verdict
from pipeline.bounds import Bounds, ModelBounds
from pipeline.data.dataset import Dataset, Split
from pipeline.errors import InputError
from pipeline.params import OverfittingRule, Params
from pipeline.report import Report
from pipeline.reporting.inputs import DataSummary, Metrics, ModelResult, SplitSummary
from pipeline.study import groups
from pipeline.study.groups import Rules, VariantGroup
from pipeline.tracking import EvaluationArtifacts
from pipeline.trials import ledger, replicate, tracker
from pipeline.trials.ledger import Entry, EntryState
from pipeline.trials.plan import Replicate, Study, Trajectory
from pipeline.verdicts import judgement, training
from pipeline.verdicts.judgement import ImageSample, Question, Scores
from pipeline.verdicts.training import JudgedImages
from tests.support import study_ledger

RULE = {"window": 2, "onset": 1.1, "slight": 1.05, "strong": 1.25, "tolerance": 0.002}
MODEL = {
    "network": {"name": "mlp", "units": [4], "dropout": 0.2},
    "optimizer": {"name": "adadelta", "learning_rate": 1.0, "rho": 0.95, "epsilon": 1.0e-8},
    "loss": {"name": "crossentropy", "clip": 1.0e-7},
    "epochs": 3,
}
TRAIN = {"seed": 0, "batch_size": 16, "precision": "float32", "threads": 1}
SIZES = {"train": 80, "validation": 60, "test": 90}


class World:
    """A made-up experiment with one model, `m`, on images of so many classes."""

    def __init__(self, classes: int) -> None:
        random = np.random.default_rng(classes)
        names = tuple(f"class {number}" for number in range(classes))
        splits = {
            name: Split(np.zeros((count, 4, 4), np.uint8), random.integers(0, classes, count, np.uint8))
            for name, count in SIZES.items()
        }
        self.data = Dataset(splits["train"], splits["validation"], splits["test"], names)
        self.probabilities = {
            name: random.dirichlet(np.ones(classes), count).astype(np.float32) for name, count in SIZES.items()
        }
        self.scores = {
            name: metrics.score(self.probabilities[name], split.labels, 1e-7) for name, split in splits.items()
        }
        sections = {"data": {"dataset": "made", "validation": SIZES["validation"], "split_seed": 0}, "train": TRAIN}
        self.params = schema.validate(
            Params, {**sections, "models": {"m": MODEL}, "overfitting": RULE, "gate": {}, "verdict": {}}
        )

    def history(self) -> pd.DataFrame:
        """Return a made-up history."""
        losses, accuracies = [0.4, 0.3, 0.35], [0.7, 0.8, 0.8]
        return pd.DataFrame(
            {"epoch": [1, 2, 3], "loss": losses, "accuracy": accuracies, "val_loss": losses, "val_accuracy": accuracies}
        )

    def report(self) -> Report:
        """Return the report on it."""
        described = {name: SplitSummary(count, [1], 0.1, 0.2) for name, count in SIZES.items()}
        about = ("Made", "image", "Somebody", None, [4, 4], list(self.data.classes))
        summary = DataSummary("made", *about, SIZES["validation"], 0, "", described, True, [])
        measured = Metrics("m", 7, 3, {"keras": "3"}, list(self.data.classes), self.scores)
        seconds, tests = np.ones(3), self.probabilities["test"]
        result = ModelResult(
            "m",
            self.params.models["m"],
            measured,
            self.history(),
            seconds,
            ("A processor",),
            tests,
            self.data.test.labels,
        )
        return report.report(self.params, self.data, summary, [result], {})

    def artifacts(self, folder: Path) -> EvaluationArtifacts:
        """Write the files of evaluate and return what MLflow gets of them."""
        content = {"splits": self.scores, "classes": list(self.data.classes), "parameters": 7}
        files.write_json(folder / "m.json", content)
        files.write_csv(folder / "m.csv", self.history())
        paths = folder / "m.json", folder / "m.csv", None
        return EvaluationArtifacts("m", *paths, OverfittingRule(**RULE), folder / "m.npz", folder)

    def replicate(self, monkeypatch: pytest.MonkeyPatch) -> Entry:
        """Return a replicate of the study, trained by a stand-in, as the ledger would have it."""
        answers = {len(split): self.probabilities[name] for name, split in self.data.splits().items()}
        layer = SimpleNamespace(compute_dtype="float32", input=np.empty((1, 16)), output=np.empty((1, 16)))
        network = SimpleNamespace(
            predict=lambda images, **_: answers[len(images)], count_params=lambda: 7, layers=[layer]
        )
        rows = self.history().assign(seconds=1.0).to_dict("records")

        def train(*_: Any, on_epoch: Any, **__: Any) -> None:
            for count in range(1, len(rows) + 1):
                on_epoch(SimpleNamespace(rows=rows[:count]))

        monkeypatch.setattr(replicate.trainer, "build", lambda *_: network)
        monkeypatch.setattr(replicate.trainer, "train", train)
        ingredients = {"model": MODEL, "train": TRAIN, "permutation_seed": None, "data": "d" * 64, "versions": {}}
        (made,) = replicate.run(Trajectory((Replicate("short", 0, ingredients),)), self.data)
        return Entry("short", 0, made, self.history(), pd.DataFrame())


def top(k: int, probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return scikit-learn's share of labels among the `k` most probable classes."""
    return float(top_k_accuracy_score(labels, probabilities, k=k, labels=range(probabilities.shape[1])))


def reached(world: World, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """Return the scores that each place has of the model."""
    made = world.report()
    made.write(folder / "reports")
    entry = world.replicate(monkeypatch)
    logged: list[Any] = []
    monkeypatch.setattr(tracker.tracking, "FinishedRuns", lambda _: SimpleNamespace(add=logged.append))
    sink = tracker.Tracker({"title": "Made", "sha256": "d" * 64, "dataset": "made"})
    sink.add(entry)
    assert sink.close() == 0
    page = [line.strip("|").split(" | ") for line in made.markdown.splitlines() if line.startswith("|")]
    return {
        "page": {row[0].strip(): row[-1].strip() for row in page},
        "comparison.csv": made.tables["comparison"].iloc[0].to_dict(),
        "metrics.json": files.read_json(folder / "reports" / "metrics.json")["m"],
        "dvc metrics show": files.read_json(folder / "reports" / "scores" / "m.json"),
        "mlflow": world.artifacts(folder).final_metrics(),
        "ledger": entry.record["splits"]["test"],
        "mlflow of the study": logged[0].final,
    }


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> Score:
    """Declare a score for three classes or more."""
    declared = Score(
        lambda probabilities, labels, _: float(probabilities[:, 0].sum() + labels.sum()),
        more_is_better=True,
        min_classes=3,
        title="Made-up score",
        form="{:.1f}",
        note="Made-up score: a sum of this and that.",
    )
    monkeypatch.setitem(SCORES, "made_up", declared)
    return declared


@pytest.mark.usefixtures("made_up")
def test_a_declared_score_is_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report's page and tables, metrics.json, DVC's and MLflow's scores and the ledger have its value."""
    world = World(3)
    test = float(world.probabilities["test"].astype(np.float64)[:, 0].sum() + world.data.test.labels.sum())

    found = reached(world, tmp_path, monkeypatch)

    assert found["page"]["Made-up score"] == f"{test:.1f}"
    assert "Made-up score: a sum of this and that." in world.report().markdown
    for place in ("comparison.csv", "metrics.json", "dvc metrics show", "mlflow", "mlflow of the study"):
        assert found[place]["test_made_up"] == test, place
    assert found["ledger"]["made_up"] == test
    assert {"train_made_up", "validation_made_up"} <= found["mlflow"].keys() & found["mlflow of the study"].keys()


@pytest.mark.usefixtures("made_up")
def test_a_declared_score_can_be_required_and_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate bounds it, verdicts take it in its direction, and the study sums it up."""
    world = World(3)
    world.report().write(tmp_path)
    bounds = ModelBounds("made", {"m": {"test_made_up": Bounds(min=1.0)}})
    (check,) = gate.judge(bounds, files.read_json(tmp_path / "metrics.json"), None)
    assert check.status is gate.CheckStatus.PASSED

    effects = world.params.model_copy(update={"verdict": {"made": {"made_up": 0.5}}})
    assert smallest_effect.find(effects, "made", "made_up", Path("params.yaml")) == 0.5
    assert Question("made_up", 0.5).sign == 1
    with pytest.raises(SystemExit):
        verdict.main(["A", "B", "--metric", "unheard_of"])
    assert "made_up" in capsys.readouterr().err

    entry = world.replicate(monkeypatch)
    made = training.scores([entry], "made_up", JudgedImages(60, 100, 0))
    assert (made.values.tolist(), made.by_image) == ([world.scores["test"]["made_up"]], None)
    group = group_of(entry)
    assert "test_made_up" in group.outcomes()
    assert group.values("test_made_up").tolist() == [world.scores["test"]["made_up"]]


def group_of(*entries: Entry) -> VariantGroup:
    """Return replicates as the variant `short` of a study."""
    study = schema.validate(Study, study_ledger.params())
    lookups = [(Replicate("short", one.seed, {}), one, EntryState.CURRENT) for one in entries]
    return groups.gather(study, Rules(OverfittingRule(**RULE), {"mnist": 0.001}), lookups).groups["short"]


@pytest.mark.usefixtures("made_up")
def test_data_with_too_few_classes_do_not_have_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On two classes no place mentions a score for three, and a verdict by it says how many it needs."""
    found = reached(World(2), tmp_path, monkeypatch)

    assert not [name for place in found.values() for name in place if "made" in name.lower()]


def test_a_replicate_older_than_a_score_is_current_without_it(made_up: Score, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read as before and has all its other scores; tables leave the score out, and asking for it says why."""
    del SCORES["made_up"]
    older = World(3).replicate(monkeypatch)
    SCORES["made_up"] = made_up
    newer = World(3).replicate(monkeypatch)

    planned = Replicate("short", 0, older.record["ingredients"])
    assert ledger.entry_state(older, planned) is EntryState.CURRENT
    assert (older.has("test", "made_up"), newer.has("test", "made_up")) == (False, True)
    assert older.score("test", "brier") == newer.score("test", "brier")
    with pytest.raises(InputError, match=r"^short, seed 0: made before the score made_up existed$"):
        older.score("test", "made_up")
    for entries, known in (((), False), ((older,), False), ((newer,), True), ((older, seeded(newer, 1)), False)):
        outcomes = group_of(*entries).outcomes()
        assert ("test_made_up" in outcomes) is known
        assert {"test_accuracy", "test_loss", "log_rise"} <= {*outcomes}


def seeded(entry: Entry, seed: int) -> Entry:
    """Return the same replicate with another seed."""
    return dataclasses.replace(entry, seed=seed)


@pytest.mark.parametrize("classes", [3, 10, 11, 20])
def test_top_3_accuracy_is_scikit_learns_for_more_than_ten_classes(classes: int) -> None:
    """On 11 classes or more each split has it, with scikit-learn's value; on fewer none has."""
    world = World(classes)

    for split, images in world.data.splits().items():
        expected = top(3, world.probabilities[split], images.labels) if classes > 10 else None
        assert world.scores[split].get("top_3_accuracy") == expected


def test_of_equal_probabilities_the_first_are_among_the_three() -> None:
    """Ties count as in the accuracy: the lower class comes first, by a loop that takes the three one by one."""
    random = np.random.default_rng(5)
    rows = random.multinomial(8, np.ones(12) / 12, 300) / 8
    labels = random.integers(0, 12, 300)

    hits = 0
    for row, label in zip(rows.tolist(), labels, strict=True):
        chosen: list[int] = []
        for _ in range(3):
            rest = [number for number in range(12) if number not in chosen]
            chosen.append(max(rest, key=lambda number: (row[number], -number)))
        hits += label in chosen

    assert metrics.score(rows, labels, None)["top_3_accuracy"] == hits / 300


def test_top_3_accuracy_is_everywhere_on_such_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report, metrics.json, DVC, MLflow and the ledger have it for 12 classes, and verdicts judge it as a share."""
    world = World(12)
    test = top(3, world.probabilities["test"], world.data.test.labels)

    found = reached(world, tmp_path, monkeypatch)

    assert found["page"]["Top-3 accuracy"] == f"{test:.2%}"
    for place in ("comparison.csv", "metrics.json", "dvc metrics show", "mlflow", "mlflow of the study"):
        assert found[place]["test_top_3_accuracy"] == test, place
    assert found["ledger"]["top_3_accuracy"] == test
    # Five seeds that gain one of 140 images each show no spread: that is due to the steps of the score.
    first = np.array([120, 122, 125, 121, 123]) / 140
    question, images = Question("top_3_accuracy", 0.001), ImageSample(140)

    def judged(change: float) -> Verdict:
        return judgement.judge(
            Scores(first, step=1 / 140), Scores(first + change, step=1 / 140), question, images
        ).verdict

    assert judged(1 / 140) is Verdict.UNDECIDED
    assert judged(-50 / 140) is Verdict.WORSE
