"""The version of results: a few steps of every kind of training give the numbers on record."""

import json
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from pipeline import machine
from pipeline.training import portable, recipe
from pipeline.training.settings import Augmentation, Loss, Model
from tests.support import bits, forks

PORTABLE = {"avx2", "fma"} <= set(machine.cpuinfo().get("flags", "").split())
RECORD = json.loads(bits.RECORD.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """Return the numbers of all cases as the code now gives them."""
    ways = ("avx2", "native") if PORTABLE else ("native", "elsewhere")
    printed = (forks.run(bits.ROOT, "python", "-m", "tests.support.bits", "all", way) for way in ways)
    return {name: numbers for text in printed for name, numbers in json.loads(text.splitlines()[-1]).items()}


def test_trainings_give_the_numbers_on_record(found: dict[str, Any]) -> None:
    """Weights, histories and probabilities are the recorded ones: to the bit in portable arithmetic, else closely.

    Where they are others on purpose, results made before are stale.
    """
    changed = bits.differing(RECORD["cases"], found, portable=PORTABLE)

    assert changed == [], f"raise RESULTS in {recipe.__file__}, then run `python -m tests.support.bits`"


def test_the_record_is_of_the_current_version(found: dict[str, Any]) -> None:
    """The numbers on record were recorded for RESULTS as it is, and every case is among them."""
    assert RECORD["results"] == recipe.RESULTS
    assert RECORD["cases"].keys() == found.keys() == bits.MODELS.keys()


@pytest.mark.parametrize("kind", ["size", "bit"])
def test_other_numbers_are_noticed(kind: str) -> None:
    """A norm that is off by a tenth is noticed in any arithmetic, and a single bit in portable arithmetic."""
    recorded = RECORD["cases"]
    for name, numbers in recorded.items():
        other = {**numbers, "sizes": [1.1 * size for size in numbers["sizes"]]} if kind == "size" else dict(numbers)
        other["weights"] = "0" * 32
        changed = bits.differing(recorded, {**recorded, name: other}, portable=kind == "bit")

        assert changed == ([] if kind == "bit" and name in bits.TOLERANCES else [name])


def kinds(annotation: Any, seen: set[Any]) -> Iterator[str]:
    """Yield the name of each block that a section of params may be, at any depth; `seen` ones have been."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if annotation in seen:
            return
        seen.add(annotation)
        fields = annotation.model_fields
        if "name" in fields:
            yield get_args(fields["name"].annotation)[0]
        for field in fields.values():
            yield from kinds(field.annotation, seen)
    else:
        for part in get_args(annotation):
            yield from kinds(part, seen)


def named(value: Any) -> Iterator[str]:
    """Yield the names of blocks within a model's params."""
    if isinstance(value, dict):
        yield from [value["name"]] if "name" in value else []
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from named(part)


def test_every_kind_is_on_record() -> None:
    """Each network, layer, optimizer, loss and schedule is in a case, and so is each key of loss and augmentation."""
    there = {name for model in bits.MODELS.values() for name in named(model)}
    wanted = {*kinds(Model, set())}

    assert len(wanted) > 20
    assert there == wanted
    for block, fields in (("loss", Loss.model_fields), ("augmentation", Augmentation.model_fields)):
        assert {key for model in bits.MODELS.values() for key, value in model.get(block, {}).items() if value} == {
            *fields
        }
    assert {model.get("keep", "last") for model in bits.MODELS.values()} == {
        *get_args(Model.model_fields["keep"].annotation)
    }


def test_what_has_a_tolerance_has_no_portable_arithmetic() -> None:
    """No case is compared closely that could be compared to the bit."""
    refused = set()
    for name, model in bits.MODELS.items():
        try:
            portable.check(Model.model_validate(model), bits.training(name, "avx2"))
        except Exception:
            refused.add(name)

    assert refused == set(bits.TOLERANCES)
