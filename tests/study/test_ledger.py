"""The ledger: replicates are written atomically, and their state is recognised."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from pipeline.study import ledger, plan
from pipeline.study.ledger import Entry, EntryState
from pipeline.study.plan import Replicate
from tests.support.study_ledger import params, write_params

HISTORY = "epoch,loss,accuracy,val_loss,val_accuracy,train_loss,train_accuracy\n1,0.1,0.9,0.2,0.8,0.1,0.95\n"
ERRORS = "image,label,answer\n7,3,5\n"


@pytest.fixture
def replicate(tmp_path: Path) -> Replicate:
    """Return a planned replicate."""
    return plan.replicates(plan.load_study(write_params(tmp_path / "params.yaml", params())), {"mnist": "d" * 64})[0]


def keep(folder: Path, replicate: Replicate, **changes: Any) -> None:
    """Write the replicate to the ledger, with `changes` of its ingredients."""
    record = {"recipe": replicate.recipe, "ingredients": {**replicate.ingredients, **changes}, "splits": {}}
    ledger.write_entry(folder, replicate.variant, replicate.seed, record, HISTORY, ERRORS)


def read(folder: Path, replicate: Replicate) -> Entry | None:
    """Return the replicate's entry in the ledger."""
    return ledger.read_entry(folder, replicate.variant, replicate.seed)


def test_what_is_written_is_read(tmp_path: Path, replicate: Replicate) -> None:
    """A replicate comes back with its record, its history and its errors, and is current."""
    keep(tmp_path / "runs", replicate)

    entry = read(tmp_path / "runs", replicate)

    assert entry is not None
    assert entry.record["recipe"] == replicate.recipe
    assert entry.history.to_csv(index=False) == HISTORY
    assert entry.errors.to_csv(index=False) == ERRORS
    assert ledger.entry_state(entry, replicate) is EntryState.CURRENT


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"versions": {"keras": "0"}}, EntryState.OTHER_VERSIONS),
        ({"code": "0"}, EntryState.STALE),
        ({"code": "0", "versions": {}}, EntryState.STALE),
        ({"data": "0"}, EntryState.FOREIGN),
        ({"permutation_seed": 9}, EntryState.FOREIGN),
        ({"model": {}, "code": "0"}, EntryState.FOREIGN),
    ],
)
def test_the_state_of_a_replicate_is_recognised(
    tmp_path: Path, replicate: Replicate, changes: dict[str, Any], state: EntryState
) -> None:
    """Other versions, other code and another experiment are distinguished."""
    keep(tmp_path, replicate, **changes)

    assert ledger.entry_state(read(tmp_path, replicate), replicate) is state


def test_a_replicate_without_a_record_is_missing(tmp_path: Path, replicate: Replicate) -> None:
    """Without its folder, or without a record in it, a replicate does not exist."""
    assert ledger.entry_state(read(tmp_path, replicate), replicate) is EntryState.MISSING

    keep(tmp_path, replicate)
    (tmp_path / "short" / "0" / "record.json").unlink()

    assert read(tmp_path, replicate) is None


@pytest.mark.fault("replicate truncated, edited, or in another one's place")
@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("history.csv", HISTORY.replace("0.8", "0.9")),
        ("errors.csv", ""),
        ("errors.csv", None),
        ("record.json", "{"),
        ("record.json", "{}"),
    ],
)
def test_a_damaged_replicate_is_not_used(
    tmp_path: Path, replicate: Replicate, file: str, content: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """It counts as missing, so that it is run again, and a notice names it."""
    keep(tmp_path, replicate)
    place = tmp_path / "short" / "0"
    (place / file).unlink()
    if content is not None:
        (place / file).write_text(content)

    assert read(tmp_path, replicate) is None
    assert capsys.readouterr().err.startswith(f"notice: {place}: damaged (")


def test_a_replicate_in_the_place_of_another_is_not_used(tmp_path: Path, replicate: Replicate) -> None:
    """A folder that was renamed does not become the result of another seed."""
    keep(tmp_path, replicate)
    (tmp_path / "short" / "0").rename(tmp_path / "short" / "1")

    assert read(tmp_path, dataclasses.replace(replicate, seed=1)) is None
