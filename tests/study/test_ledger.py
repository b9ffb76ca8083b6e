"""The ledger: replicates are there whole or not at all, and known for what they are."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from pipeline.study import ledger, plan
from pipeline.study.ledger import Entry, State
from pipeline.study.plan import Replicate
from tests.support.study_ledger import params, write_params

HISTORY = "epoch,loss,accuracy,val_loss,val_accuracy,train_loss,train_accuracy\n1,0.1,0.9,0.2,0.8,0.1,0.95\n"
ERRORS = "image,label,answer\n7,3,5\n"


@pytest.fixture
def replicate(tmp_path: Path) -> Replicate:
    """Return a planned replicate."""
    return plan.replicates(plan.load(write_params(tmp_path / "params.yaml", params())), "d" * 64)[0]


def keep(folder: Path, replicate: Replicate, **changes: Any) -> None:
    """Write the replicate to the ledger, as made by other ingredients if `changes` says so."""
    record = {"recipe": replicate.recipe, "ingredients": {**replicate.ingredients, **changes}, "splits": {}}
    ledger.write(folder, replicate.variant, replicate.seed, record, HISTORY, ERRORS)


def read(folder: Path, replicate: Replicate) -> Entry | None:
    """Return what the ledger has of the replicate."""
    return ledger.read(folder, replicate.variant, replicate.seed)


def test_what_is_written_is_read(tmp_path: Path, replicate: Replicate) -> None:
    """A replicate comes back with its record, its history and its errors, and is current."""
    keep(tmp_path / "runs", replicate)

    entry = read(tmp_path / "runs", replicate)

    assert entry is not None
    assert entry.record["recipe"] == replicate.recipe
    assert entry.history.to_csv(index=False) == HISTORY
    assert entry.errors.to_csv(index=False) == ERRORS
    assert ledger.state(entry, replicate) is State.CURRENT


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"versions": {"keras": "0"}}, State.OTHER_VERSIONS),
        ({"code": "0"}, State.STALE),
        ({"code": "0", "versions": {}}, State.STALE),
        ({"data": "0"}, State.FOREIGN),
        ({"permutation_seed": 9}, State.FOREIGN),
        ({"model": {}, "code": "0"}, State.FOREIGN),
    ],
)
def test_a_replicate_is_known_for_what_it_is(
    tmp_path: Path, replicate: Replicate, changes: dict[str, Any], state: State
) -> None:
    """Other versions, other code and another experiment are told apart."""
    keep(tmp_path, replicate, **changes)

    assert ledger.state(read(tmp_path, replicate), replicate) is state


def test_a_replicate_that_is_not_there_is_missing(tmp_path: Path, replicate: Replicate) -> None:
    """Without a folder, and without a record in it, there is nothing."""
    assert ledger.state(read(tmp_path, replicate), replicate) is State.MISSING

    keep(tmp_path, replicate)
    (tmp_path / "short" / "0" / "record.json").unlink()

    assert read(tmp_path, replicate) is None


@pytest.mark.fault("replicate cut short, edited, or in another's place")
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
    """It counts as missing, so that it is made again, and a notice names it."""
    keep(tmp_path, replicate)
    place = tmp_path / "short" / "0"
    (place / file).unlink()
    if content is not None:
        (place / file).write_text(content)

    assert read(tmp_path, replicate) is None
    assert capsys.readouterr().err.startswith(f"notice: {place}: damaged (")


def test_a_replicate_in_anothers_place_is_not_used(tmp_path: Path, replicate: Replicate) -> None:
    """A folder that was renamed does not become the result of another seed."""
    keep(tmp_path, replicate)
    (tmp_path / "short" / "0").rename(tmp_path / "short" / "1")

    assert read(tmp_path, dataclasses.replace(replicate, seed=1)) is None
