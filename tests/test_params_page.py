"""docs/params.md against the code: every key has its row, bounds and defaults hold, and the example trains."""

import inspect
import re
import shutil
from functools import cache
from pathlib import Path
from typing import Annotated, Any, get_args

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from pipeline import bounds, params, smallest_effect
from pipeline.data import sets
from pipeline.data.dataset import Dataset, Split
from pipeline.data.image_set import ImageSet
from pipeline.params import Params
from pipeline.schema import Block
from pipeline.training import trainer
from pipeline.training.augmentation import Augmentation
from pipeline.training.optimizer_settings import Cosine
from tests.support import params_page

ROOT = Path(__file__).parents[1]
# Sections of params.yaml that their users read: a key each, which is one of Params, too.
SECTIONS = {bounds._Section, smallest_effect._EffectsSection}
# The largest number of 32 bits, far from every other bound.
FAR = 2**31 - 1
NUMBER = re.compile(r"(integer|number)((?: ?[<>≥≤] [\d.]+,?)*)")


def blocks_in(annotation: Any) -> set[type[Block]]:
    """Return the blocks that an annotation names, at any depth of unions, lists and mappings."""
    if isinstance(annotation, type) and issubclass(annotation, Block):
        return {annotation}
    return {block for argument in get_args(annotation) for block in blocks_in(argument)}


def reachable() -> list[type[Block]]:
    """Return all blocks that params.yaml or a file of a data set may contain, and both themselves."""
    found: set[type[Block]] = set()
    waiting = {Params, *SECTIONS, *sets.FORMATS.values()}
    while waiting:
        block = waiting.pop()
        found.add(block)
        waiting |= {one for field in block.model_fields.values() for one in blocks_in(field.annotation)} - found
    return sorted(found - SECTIONS, key=lambda block: block.__name__)


@cache
def sections() -> dict[str, dict[str, list[str]]]:
    """Return the rows of each section of the page by key, without the key; a section is known by its first sentence."""
    found = {}
    for section in re.split(r"^#+ .*$", params_page.page(), flags=re.MULTILINE):
        text, _, table = section.strip().partition("\n\n")
        rows = [re.split(r" \| ", line.strip("| ")) for line in table.splitlines()[2:]]
        found[text] = {row[0].strip("`"): row[1:] for row in rows}
    return found


def rows(block: type[Block]) -> dict[str, list[str]]:
    """Return the rows of a block's keys on the page: value, default, meaning."""
    own = sections()[" ".join((inspect.getdoc(block) or "").split())]
    common = sections()[inspect.getdoc(ImageSet)] if issubclass(block, ImageSet) else {}
    return common | own


BLOCKS = pytest.mark.parametrize("block", reachable(), ids=lambda block: block.__name__)


@BLOCKS
def test_every_key_has_a_row_with_a_sentence(block: type[Block]) -> None:
    """Each key of each block, and no other, is listed with three cells, of which the last says what it does."""
    assert set(rows(block)) == set(block.model_fields)
    assert [key for key, cells in rows(block).items() if len(cells) != 3 or not re.search(r"\w.*\.$", cells[2])] == []


@BLOCKS
def test_keys_are_required_where_the_page_says_so(block: type[Block]) -> None:
    """An empty block is missing exactly the keys that have no default on the page."""
    required = {key for key in block.model_fields if rows(block)[key][1] == "required"}
    missing: set[Any] = set()
    try:
        block.model_validate({})
    except ValidationError as error:
        missing = {fault["loc"][0] for fault in error.errors() if fault["type"] == "missing"}

    assert missing == required


def refuses(block: type[Block], key: str, value: Any) -> bool:
    """Return whether a key takes no such value."""
    field = block.model_fields[key]
    try:
        # Annotated takes no type alone.
        TypeAdapter(Annotated[(field.annotation, *field.metadata, None)]).validate_python(value, strict=True)
    except ValidationError:
        return True
    return False


NUMBERS = [(block, key) for block in reachable() for key, cells in rows(block).items() if NUMBER.search(cells[0])]


@pytest.mark.parametrize(("block", "key"), NUMBERS, ids=lambda one: one if isinstance(one, str) else one.__name__)
def test_numbers_have_the_bounds_of_the_page(block: type[Block], key: str) -> None:
    """Within a bound a number is accepted, just beyond it refused; without one any of 32 bits is accepted."""
    cell = rows(block)[key][0]
    kind, stated = NUMBER.findall(cell)[0]
    if key == "verdict":
        block = smallest_effect._EffectsSection

    def refused(number: float) -> bool:
        whole = {"mnist": {"accuracy": number}} if key == "verdict" else [number] if "list" in cell else number
        return refuses(block, key, whole)

    step, low, high = (1 if kind == "integer" else 1e-6), -FAR, FAR
    for sign, text in re.findall(r"([<>≥≤]) ([\d.]+)", stated):
        bound = int(text) if kind == "integer" else float(text)
        if sign in ">≥":
            low = bound + step * (sign == ">")
        else:
            high = bound - step * (sign == "<")
    assert [refused(low), refused(high)] == [False, False]
    assert low == -FAR or refused(low - step)
    assert high == FAR or refused(high + step)


def test_the_example_trains(tmp_path: Path) -> None:
    """The page's params are valid with their data set, gate and verdict, and one step changes the weights."""
    shutil.copytree(ROOT / "data" / "sets", tmp_path / "data" / "sets")
    path = tmp_path / "params.yaml"
    path.write_text(re.findall(r"```yaml\n(.*?)```", params_page.page(), flags=re.DOTALL)[0])
    values = params.load(path)
    model = values.model("resnet")
    about = sets.load(tmp_path / "data" / "sets" / f"{values.data.dataset}.yaml")

    assert about.image.shape == (32, 32, 3)
    assert bounds.load(path).models["resnet"]["test_accuracy"].min == 0.7
    assert smallest_effect.find(values, values.data.dataset, "accuracy", Path("params.yaml")) == 0.005
    assert model.normalizes_batches
    assert {layer.name for layer in model.network.layers} >= {"batch_norm", "residual"}
    assert (type(model.augmentation), type(model.schedule)) == (Augmentation, Cosine)

    rng = np.random.default_rng(0)
    parts = [
        Split(rng.integers(0, 256, (count, *about.image.shape), np.uint8), rng.integers(0, 10, count, np.uint8))
        for count in (values.train.batch_size, 20, 20)
    ]
    data = Dataset(*parts, about.classes)
    network = trainer.build(model, values.train, data)
    before = network.get_weights()
    one_epoch = model.model_copy(update={"epochs": 1})
    state = trainer.train(network, data, one_epoch, values.train)

    assert len(state.best) == len(before)
    assert any(not np.array_equal(one, other) for one, other in zip(before, network.get_weights(), strict=True))
