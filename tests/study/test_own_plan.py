"""Another plan on the same ledger, and replicates on their way to MLflow: nothing is lost without a word."""

import re
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline import files, tracking
from pipeline.errors import InputError
from pipeline.study import run
from pipeline.trials import cluster, plan
from pipeline.trials import run as trials
from pipeline.trials import tracker as trackers
from pipeline.trials.tracker import Tracker
from tests.support import study_ledger, study_runs
from tests.support.study_ledger import params, write_params

Values = dict[str, Any]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that collects the names of runs instead of MLflow."""
    names: list[str] = []
    monkeypatch.setattr(tracking.FinishedRuns, "add", lambda _, run: names.append(run.name))
    return names


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: list[str]) -> Callable[[Values], int]:
    """Return a function that runs the stage with the given params on a complete ledger of the small study."""
    sha256 = prepare(tmp_path, b"data")
    for replicate in plan.replicates(
        plan.load_study(write_params(tmp_path / "params.yaml", params())), {"mnist": sha256}
    ):
        study_runs.write(tmp_path / "runs", study_runs.entry(replicate))
    # Training would start here.
    monkeypatch.setattr(cluster, "connected", lambda *_: pytest.fail("a training run was started"))

    def start(values: Values) -> int:
        sent.clear()
        write_params(tmp_path / "params.yaml", values)
        options = {"study": "params.yaml", "data": "data", "summaries": "data", "runs": "runs"}
        monkeypatch.setattr("sys.argv", ["run", *(f"--{name}={tmp_path / file}" for name, file in options.items())])
        return run.main()

    return start


def prepare(folder: Path, content: bytes) -> str:
    """Write data and its summary as prepare does, and return its SHA-256."""
    path = folder / "data" / "mnist.npz"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    files.write_json(path.with_suffix(".json"), study_runs.SUMMARY | {"sha256": files.sha256(path)})
    return files.sha256(path)


def contents(folder: Path) -> dict[Path, bytes]:
    """Return all files of the ledger."""
    return {path: path.read_bytes() for path in (folder / "runs").rglob("*.*")}


def more_data(folder: Path) -> None:
    """Replace the data."""
    prepare(folder, b"other data")


@pytest.mark.fault("study: plan of another experiment under the same names")
@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda values, _: values["variants"]["cnn"].update(epochs=2), "cnn (1)"),
        (lambda values, _: values["variants"]["long"].update(precision="mixed_bfloat16"), "long (2)"),
        (lambda values, _: values["data"].update(permutation_seed=7), "permuted (1)"),
        (lambda values, _: values["train"].update(batch_size=32), "short (2), long (2), permuted (1), cnn (1)"),
        (lambda _, folder: more_data(folder), "short (2), long (2), permuted (1), cnn (1)"),
    ],
    ids=["epochs", "precision", "permutation", "batch size", "data"],
)
def test_results_of_another_experiment_are_never_overwritten(
    tmp_path: Path, start: Callable[[Values], int], sent: list[str], change: Callable[[Values, Path], None], named: str
) -> None:
    """The run stops before it trains or logs anything, and lists the variants; the ledger keeps its bytes."""
    before, values = contents(tmp_path), params()
    change(values, tmp_path)

    with pytest.raises(InputError) as refused:
        start(values)

    assert refused.value.path == tmp_path / "runs"
    count = sum(map(int, re.findall(r"\((\d+)\)", named)))
    assert refused.value.what.startswith(f"{count} replicate{'s' if count > 1 else ''} of another experiment ")
    assert refused.value.what.endswith(f" would be overwritten: {named}")
    assert "--runs" in refused.value.fix
    assert contents(tmp_path) == before
    assert sent == []


def test_a_renamed_variant_stands_next_to_the_old_one(
    tmp_path: Path, start: Callable[[Values], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A changed variant with a name of its own is wanted, and the old one's results stay."""
    values = params()
    values["variants"]["cnn_2"] = values["variants"].pop("cnn") | {"epochs": 2}
    values["statistics"]["comparisons"] = [["short", "long"]]
    wanted: list[str] = []
    monkeypatch.setattr(cluster, "connected", lambda *_: nullcontext())
    monkeypatch.setattr(cluster, "dashboard", lambda _: "")
    monkeypatch.setattr(trials, "train", lambda _, found, *__: wanted.extend(one.variant for one in found) or ())
    before = contents(tmp_path)

    assert start(values) == 0

    assert wanted == ["cnn_2"]
    assert contents(tmp_path) == before


def test_replicates_outside_the_plan_are_counted_and_kept(
    tmp_path: Path, start: Callable[[Values], int], capsys: pytest.CaptureFixture[str]
) -> None:
    """With fewer seeds and variants, all that are planned are there, and the others are said to be there too."""
    values = params()
    values["variants"]["short"]["seeds"] = 1
    del values["variants"]["cnn"]
    values["statistics"]["comparisons"] = [["short", "long"]]
    before = contents(tmp_path)

    assert start(values) == 0

    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"4 replicates planned, 4 of them in {tmp_path / 'runs'}; ")
    assert "2 more there are not in this plan" in line
    assert contents(tmp_path) == before


def test_replicates_that_will_be_replaced_are_counted(
    tmp_path: Path, start: Callable[[Values], int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those of other versions are announced before they are trained again; damaged ones are missing."""
    values = params()
    replicates = plan.replicates(
        plan.load_study(write_params(tmp_path / "params.yaml", values)),
        {"mnist": files.sha256(tmp_path / "data" / "mnist.npz")},
    )
    stale, other, damaged, *current = replicates
    study_runs.write(tmp_path / "runs", study_runs.entry(stale, results=0))
    study_runs.write(tmp_path / "runs", study_runs.entry(other, versions={"keras": "0"}))
    study_ledger.damage(tmp_path / "runs", damaged.variant, damaged.seed)
    monkeypatch.setattr(cluster, "connected", lambda *_: nullcontext())
    monkeypatch.setattr(cluster, "dashboard", lambda _: "")
    monkeypatch.setattr(trials, "train", lambda *_: ())

    assert start(values) == 0

    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"6 replicates planned, {len(current)} of them in {tmp_path / 'runs'}; ")
    assert line.endswith("2 there are of another version of results or libraries and will be made again")


@pytest.fixture
def tracker(monkeypatch: pytest.MonkeyPatch) -> Tracker:
    """Return a tracker that gives up after 0.5 seconds without progress."""
    monkeypatch.setattr(tracking, "END_TIMEOUT_S", 0.5)
    return Tracker(*study_runs.SUMMARIES.values())


def add_all(tracker: Tracker) -> int:
    """Have 13 replicates sent and return their number."""
    replicates = [one for one in study_runs.replicates(study_runs.study()) if one.seed == 0]
    for replicate in replicates:
        tracker.add(study_runs.entry(replicate))
    return len(replicates)


@pytest.mark.fault("study: many replicates to send to a slow tracking server")
def test_all_replicates_are_sent_however_many_they_are(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sending goes on for much longer than the timeout, since each replicate arrives in time."""
    names: list[str] = []

    def slowly(_: object, run: tracking.FinishedRun) -> None:
        time.sleep(0.1)
        names.append(run.name)

    monkeypatch.setattr(tracking.FinishedRuns, "add", slowly)
    count = add_all(tracker)

    tracker.close()

    assert len(names) == count == 13
    assert "missing from MLflow" not in capsys.readouterr().err


@pytest.mark.fault("study: tracking server that stops answering, or rejects the password")
@pytest.mark.parametrize("error", ["gone", "401 Client Error: Unauthorized"])
def test_replicates_that_cannot_be_sent_are_counted(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: str
) -> None:
    """Once nothing has arrived for the length of the timeout, it ends and says how many are missing, and why."""
    names: list[str] = []

    def three(_: object, run: tracking.FinishedRun) -> None:
        if len(names) == 3:
            raise OSError(error)
        names.append(run.name)

    monkeypatch.setattr(tracking.FinishedRuns, "add", three)
    count = add_all(tracker)
    started = time.monotonic()

    tracker.close()

    assert time.monotonic() - started < 5
    (warning,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert warning.startswith(f"warning: {count - 3} replicates are missing from MLflow ({error}")


def test_what_is_unusual_of_a_replicate_is_logged(tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    """One without held-out images has no scores of them, and its params say so; it takes as long as its training."""
    made: list[tracking.FinishedRun] = []
    monkeypatch.setattr(tracking.FinishedRuns, "add", lambda _, run: made.append(run))
    replicate = study_runs.replicates(study_runs.study())[0]
    usual = study_runs.entry(replicate)
    other = study_runs.entry(replicate, training_images="all", varied={"part": "order"})
    other.record["seconds"] = 7.5
    del other.record["splits"]["validation"]
    tracker.add(usual)
    tracker.add(other)

    tracker.close()

    before, after = made
    assert (after.seconds, before.seconds) == (7.5, 0)
    assert {key: after.params[key] for key in after.params.keys() - before.params.keys()} == {
        "training_images": "all",
        "varied.part": "order",
    }
    assert {key.partition("_")[0] for key in before.final.keys() - after.final.keys()} == {"validation"}


def test_progress_is_shown_on_a_terminal(tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar counts the replicates as they arrive, up to all of them."""
    steps: list[int] = []

    bar = nullcontext(SimpleNamespace(update=steps.append))
    monkeypatch.setattr(trackers, "tqdm", lambda **_: bar)
    monkeypatch.setattr(tracking.FinishedRuns, "add", lambda *_: time.sleep(0.05))
    count = add_all(tracker)

    tracker.close()

    assert len(steps) > 3
    assert count - 2 <= sum(steps) <= count
