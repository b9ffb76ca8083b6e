"""The ledger: replicates are appended in whole, damage is noticed, and their state is recognised."""

import hashlib
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import PipelineError
from pipeline.trials import cluster, ledger, plan, run
from pipeline.trials.ledger import Entry, EntryState
from pipeline.trials.plan import Replicate
from pipeline.trials.prepared import PreparedData
from tests.support import changes, study_ledger
from tests.support.study_ledger import ROOT, params, write_params

COLUMNS = ("loss", "accuracy", "val_loss", "val_accuracy", "train_loss", "train_accuracy")
HISTORY = {"epoch": [1, 2], **{name: [0.1, 1 / 3] for name in COLUMNS}}
TRAIN, TEST = {"count": 90, "errors": 0, "accuracy": 1.0}, {"count": 10, "errors": 1, "accuracy": 0.1 + 0.2}
ERRORS = {"image": [7], "label": [3], "answer": [5]}
NO_ERRORS: dict[str, list[int]] = {"image": [], "label": [], "answer": []}


@pytest.fixture
def replicate(tmp_path: Path) -> Replicate:
    """Return a planned replicate."""
    return plan.replicates(plan.load_study(write_params(tmp_path / "params.yaml", params())), {"mnist": "d" * 64})[0]


def content(replicate: Replicate, **changes: Any) -> dict[str, Any]:
    """Return the content of a line, with `changes` of the ingredients."""
    return {
        **{"variant": replicate.variant, "seed": replicate.seed, "recipe": replicate.recipe},
        **{"ingredients": {**replicate.ingredients, **changes}, "parameters": 7, "processor": "-", "commit": None},
        **{"splits": {"train": TRAIN, "test": TEST}, "history": HISTORY, "errors": ERRORS},
    }


def read(folder: Path, replicate: Replicate) -> Entry | None:
    """Return the replicate's entry in the ledger."""
    ((_, entry, _),) = ledger.look_up(folder, [replicate])
    return entry


def test_what_is_written_is_read(tmp_path: Path, replicate: Replicate) -> None:
    """A replicate comes back with its record, its history and its errors to the last bit, and is current."""
    ledger.append(tmp_path / "runs", content(replicate))

    entry = read(tmp_path / "runs", replicate)

    assert entry is not None
    assert entry.record == {key: value for key, value in content(replicate).items() if key not in ("history", "errors")}
    assert entry.score("test", "accuracy") == 0.1 + 0.2
    assert entry.history.to_dict("list") == HISTORY
    assert entry.errors.to_dict("list") == ERRORS
    assert ledger.entry_state(entry, replicate) is EntryState.CURRENT
    assert [one.seed for one in ledger.read(tmp_path / "runs")] == [replicate.seed]


def test_a_network_without_errors_has_a_table_without_rows(tmp_path: Path, replicate: Replicate) -> None:
    """Its images are numbers all the same, as an index wants them."""
    entry = ledger.append(tmp_path, content(replicate) | {"errors": NO_ERRORS})

    assert (len(entry.errors), str(entry.errors["image"].dtype)) == (0, "int64")


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"versions": {"keras": "0"}}, EntryState.OTHER_VERSIONS),
        ({"results": 0}, EntryState.STALE),
        ({"revisions": {"batch_norm": 0}}, EntryState.STALE),
        ({"results": 0, "versions": {}}, EntryState.STALE),
        ({"data": "0"}, EntryState.FOREIGN),
        ({"permutation_seed": 9}, EntryState.FOREIGN),
        ({"model": {}, "results": 0}, EntryState.FOREIGN),
    ],
)
def test_the_state_of_a_replicate_is_recognised(
    tmp_path: Path, replicate: Replicate, changes: dict[str, Any], state: EntryState
) -> None:
    """Other library versions, another version of results and another experiment are distinguished."""
    ledger.append(tmp_path, content(replicate, **changes))

    assert ledger.entry_state(read(tmp_path, replicate), replicate) is state


def test_of_two_lines_for_a_seed_the_later_counts(tmp_path: Path, replicate: Replicate) -> None:
    """A replicate that is made again replaces the stale one."""
    ledger.append(tmp_path, content(replicate, results=0))
    ledger.append(tmp_path, content(replicate))

    assert [one.record["recipe"] for one in ledger.read(tmp_path)] == [replicate.recipe]
    assert ledger.entry_state(read(tmp_path, replicate), replicate) is EntryState.CURRENT


@pytest.mark.fault("replicate truncated, edited, or in another one's place")
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"accuracy": 0.30000000000000004', '"accuracy": 0.4'),
        ('"accuracy": 0.30000000000000004', '"accuracy": NaN'),
        ("[7]", "[8]"),
        ('"sha256": "', '"sha256": "0'),
        ("}\n", "\n"),
    ],
)
def test_a_damaged_replicate_is_not_used(
    tmp_path: Path, replicate: Replicate, old: str, new: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It counts as missing, so that it is run again, a notice names its line, and the others are read."""
    ledger.append(tmp_path, content(replicate))
    ledger.append(tmp_path, content(replicate) | {"seed": 5})
    path = tmp_path / "short.jsonl"
    first, second = path.read_text().splitlines(keepends=True)
    assert old in first
    path.write_text(first.replace(old, new) + second)

    assert read(tmp_path, replicate) is None
    assert capsys.readouterr().err == f"notice: {path}, line 1: damaged (its checksum does not match); ignored\n"
    assert [one.seed for one in ledger.read(tmp_path)] == [5]


@pytest.mark.fault("ledger: lines of another shape")
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"seed": "0"}, "seed: Input should be a valid integer"),
        ({"splits": {"train": TRAIN, "test": TEST | {"accuracy": None}}}, "splits.test.accuracy.int: Input should be"),
        ({"splits": {"train": TRAIN}}, "test is missing"),
        ({"ingredients": {}}, "ingredients.model: Field required"),
        ({"splits": []}, "splits: Input should be a valid dictionary"),
        ({"history": HISTORY | {"epoch": 1}}, "history.epoch: Input should be a valid list"),
        ({"history": {"epoch": [1], "loss": [0.5]}}, "accuracy is missing"),
        ({"errors": ERRORS | {"image": ["x"]}}, "errors.image.0: Input should be a valid integer"),
        ({"errors": NO_ERRORS | {"image": [1]}}, "All arrays must be of the same length"),
        ({"errors": ERRORS | {"image": [10]}}, "errors: expected test images"),
        ({"variant": "long"}, "belongs to long"),
        ([], "its checksum does not match"),
    ],
)
def test_a_line_of_another_shape_is_one_notice(
    tmp_path: Path, replicate: Replicate, change: Any, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever wrote it, with a checksum that matches: it is ignored with the key that is wrong, and no traceback."""
    value = content(replicate) | change if isinstance(change, dict) else change
    text = json.dumps(value)[:-1]
    checksum = hashlib.sha256(text.encode()).hexdigest()
    (tmp_path / "short.jsonl").write_text(f'{text}, "sha256": "{checksum}"}}\n' if value else "[]\n")

    assert [*ledger.read(tmp_path)] == []
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"notice: {tmp_path / 'short.jsonl'}, line 1: damaged (")
    assert reason in line


def test_what_could_not_be_read_is_not_written(tmp_path: Path, replicate: Replicate) -> None:
    """Other code may give results of another shape: its run failed, and the ledger is as it was."""
    with pytest.raises(PipelineError, match=r"short, seed 0: .* cannot be kept \(train is missing\)"):
        ledger.append(tmp_path, content(replicate) | {"splits": {}})

    assert [*tmp_path.glob("*.jsonl")] == []


def test_a_ledger_that_cannot_be_written_ends_the_training(
    tmp_path: Path, replicate: Replicate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What would be trained next could not be kept either: one line says so, and what is there stays."""
    (tmp_path / "runs").write_text("no folder")
    outcome = cluster.TrainingOutcome(plan.Trajectory((replicate,)), [content(replicate)], "")
    monkeypatch.setattr(cluster, "outcomes", lambda *_, **__: iter([outcome]))
    data = [PreparedData(tmp_path / "mnist.npz", {"sha256": "d" * 64})]
    code = {"other": run.Code(tmp_path, None)}

    with pytest.raises(PipelineError, match=r"runs: cannot be written \(.*\); what it has is kept; make room"):
        list(run.train(None, [replicate], data, tmp_path / "runs", "study", code))  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_not_written(tmp_path: Path, replicate: Replicate, value: float) -> None:
    """A score that is not finite never gets into the ledger, nor does a part of its line."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        ledger.append(tmp_path, content(replicate) | {"splits": {"test": {"accuracy": value}}})

    assert [*tmp_path.glob("*.jsonl")] == []


@pytest.mark.fault("kill -9 while a replicate is written")
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_line_that_was_cut_off_leaves_the_others(tmp_path: Path, replicate: Replicate, share: float) -> None:
    """After a write that ended anywhere, the next replicate begins a line of its own, and both neighbours are read."""
    ledger.append(tmp_path, content(replicate))
    path = tmp_path / "short.jsonl"
    line = path.read_bytes()
    path.write_bytes(line + line[: int(share * (len(line) - 1))])

    ledger.append(tmp_path, content(replicate) | {"seed": 5})

    assert [one.seed for one in ledger.read(tmp_path)] == [replicate.seed, 5]


def test_writers_do_not_mix_their_lines(tmp_path: Path, replicate: Replicate) -> None:
    """Of many that append at once, each leaves its line whole."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda seed: ledger.append(tmp_path, content(replicate) | {"seed": seed}), range(50)))

    assert [one.seed for one in ledger.read(tmp_path)] == [*range(50)]


def test_git_merges_two_ledgers(tmp_path: Path, replicate: Replicate) -> None:
    """Two branches that each added a seed to a variant merge without a conflict, and both seeds are there."""
    git, runs = partial(changes.git, tmp_path), tmp_path / "study" / "runs"
    git("init", "--initial-branch=main")
    (tmp_path / ".gitattributes").write_bytes((ROOT / ".gitattributes").read_bytes())
    ledger.append(runs, content(replicate))
    for words in (("add", "."), ("commit", "-m", "one"), ("checkout", "-b", "other")):
        git(*words)
    ledger.append(runs, content(replicate) | {"seed": 5})
    git("commit", "-am", "five")
    git("checkout", "main")
    ledger.append(runs, content(replicate) | {"seed": 6})
    git("commit", "-am", "six")

    git("merge", "--no-edit", "other")

    assert [one.seed for one in ledger.read(runs)] == [replicate.seed, 5, 6]


MANY = """
import resource, sys, time
from pathlib import Path
from pipeline.trials import ledger
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(sum(1 for _ in ledger.read(Path(sys.argv[1]))))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_reading_takes_the_memory_of_one_variant(tmp_path: Path, replicate: Replicate) -> None:
    """A thousand replicates with a thousand errors each, in ten variants, are read within 60 MiB."""
    errors = {name: [*range(1000)] for name in ERRORS}
    for number in range(10):
        splits = {"train": TRAIN, "test": TEST | {"count": 1000}}
        one = content(replicate) | {"variant": f"v{number}", "errors": errors, "splits": splits}
        for seed in range(100):
            ledger.append(tmp_path, one | {"seed": seed})

    printed = subprocess.run(
        [sys.executable, "-c", MANY, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()

    assert int(printed[0]) == 1000
    assert int(printed[1]) < 60


def test_the_checksum_is_of_what_stands_before_it(tmp_path: Path, replicate: Replicate) -> None:
    """Anyone can check a line: SHA-256 of the text before the key."""
    ledger.append(tmp_path, content(replicate))

    line = study_ledger.line(tmp_path, "short", 0)

    text, checksum = line.split(', "sha256": ')
    assert hashlib.sha256(text.encode()).hexdigest() == json.loads(line)["sha256"] == checksum[1:-2]
