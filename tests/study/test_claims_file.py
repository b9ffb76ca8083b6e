"""A claims file: what it may say, and one line with its key for everything that is wrong in it."""

import copy
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import params
from pipeline.errors import InputError
from pipeline.study import claims
from pipeline.study.claims import Claims
from tests.support import study_runs
from tests.support.frozen import FROZEN

ROOT = study_runs.ROOT
VALUES = yaml.safe_load((FROZEN / "study" / "claims.yaml").read_text())


def load(folder: Path, values: Any) -> Claims:
    """Return the claims in a file with this content, about the project's plan."""
    path = folder / "claims.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return claims.load(path, study_runs.whole(), study_runs.rules(params.load(FROZEN / "params.yaml")))


def test_texts_take_their_numbers_from_the_plan(tmp_path: Path) -> None:
    """Settings of variants, the smallest effect and the rule for overfitting are filled in where a text names them."""
    values = copy.deepcopy(VALUES)
    text = "{window}, {strong}, {1/slight}, {smallest_effect}, {cnn.network.dropout}, {fashion_cnn.optimizer.name}"
    values["claims"][1]["readings"][0]["measure"] = text

    found = load(tmp_path, values).claims[1].readings[0].measure

    assert found == "3, 1.25, 0.952, 0.10 points, 0.5, adadelta"


NO_VARIANT = "is not a variant of the plan; did you mean"
NO_PAIR = "are not among the comparisons of the plan"
NO_COLUMN = "is not a column of the histories; did you mean"
NO_READING = "'the MLP uses shape' is not an earlier reading; did you mean the CNN uses shape?"
SHARED = "cnn and cnn_permuted share initial weights and image order by seed"
OVERLAP = "{}: supported, not_supported: the bounds overlap"
# By claim and reading, or other part of it: what other values of keys lead to; without a value, a key is left out.
OUTCOMES = {"columns": None, "measure": None, "axis": "x", "outcomes": {"x": "test_eror", "y": "test_error"}}
FAULTS: list[tuple[int, int | str, dict[str, Any], str]] = [
    (1, 0, {"contrasts.it": {"mlp_rmspop": 1}}, f"{{}}.contrasts.it.mlp_rmspop: 'mlp_rmspop' {NO_VARIANT} "),
    (6, 2, {"pairs": [["cnn_permuted", "mlp_rmsprop"]]}, f"{{}}.pairs[0]: cnn_permuted and mlp_rmsprop {NO_PAIR}"),
    (3, 2, {"outcome": "tets_accuracy"}, "{}.outcome: 'tets_accuracy' is not an outcome; did you mean test_accuracy?"),
    (4, 0, {"outcome": "accuracies in epoch 12"}, f"{{}}.outcome: 'accuracies' {NO_COLUMN} accuracy?"),
    (4, 0, {"outcome": "accuracy in epoch 13"}, "{}: outcome: cnn has 12 epochs"),
    (2, 1, {"unless.condition": "any > 0"}, "{}.unless: expected bounds above 0 for a factor"),
    (4, 2, {"outcome": "epochs until val_loss reaches 0.1"}, "{}.outcome: 'val_loss' is not a column of accuracies"),
    (3, 2, {"supported": "all >= 0.988", "not_supported": "any < 0.99"}, OVERLAP),
    (3, 2, {"supported": "any > 0.988", "not_supported": "any < 0.988"}, OVERLAP),
    (3, 2, {"supported": "all > 0.988", "not_supported": "all > 0.9"}, OVERLAP),
    (1, 0, {"supported": "all > 0", "not_supported": "all < 0"}, "{}: expected bounds above 0 for a factor"),
    (1, 0, {"supported": "> 1"}, "{}.supported: expected all or any, then >, >= or <, then a number or one of "),
    (1, 0, {"contrasts": None}, "{}: expected contrasts, pairs, opposite_of or only_in: nothing decides this reading"),
    (1, 0, {"contrasts": {}}, "{}.contrasts: expected one item or more"),
    (7, 0, {"contrasts": {"it": [{"cnn": 1}, {"cnn_permuted": -1}]}}, f"{{}}.contrasts.it: {SHARED}"),
    (7, 1, {"opposite_of": "the MLP uses shape"}, f"claims.7: {NO_READING}"),
    (7, 0, {"contrasts": {"it": {"fashion_cnn": 1}}}, "claims.7: datasets: fashion_cnn is on fashion_mnist"),
    (1, 0, {"measure": "of {windows} epochs"}, "{}.measure: 'windows' is not a setting; did you mean window?"),
    (5, 2, {"verdicts.best": "supported"}, "{}.verdicts.best: expected "),
    (5, 2, {"verdicts": None}, "{}: expected verdicts or any_difference, one of "),
    (6, 3, {"verdicts": {"better": "supported"}}, "{}: expected verdicts or any_difference, one of the two"),
    (6, 3, {"any_difference": {"other": "supported"}}, "{}.any_difference.other: expected "),
    (1, 0, {"note": "x"}, "{}: unknown key 'note'"),
    (2, "answer", {"text": "It is {b9}."}, "claims.2: 'b9' is not a result of the readings"),
    (7, "answer", {"text": "It is {b1}."}, "claims.7: 'b1' is not a result of the readings"),
    (7, "answer", {"text": "It is {slght}."}, "{}.text: 'slght' is not a setting; did you mean slight?"),
    (3, "answer", {"verdicts": ["supported"]}, "claims.3: answer.verdicts: expected one for each reading"),
    (1, "answer", {"verdicts": ["true"]}, "{}.verdicts[0]: expected "),
    (1, "figure", {"columns": {"x": "val_los"}}, "{}.columns.x: expected "),
    (4, "figure", {"variants": ["cnm"]}, f"{{}}.variants[0]: 'cnm' {NO_VARIANT} cnn?"),
    (8, "figure", {"pairs.cnn": "fashion_cn"}, f"{{}}.pairs.cnn: 'fashion_cn' {NO_VARIANT} fashion_cnn?"),
    (8, "figure", {"outcome": "test_eror"}, "{}.outcome: 'test_eror' is not an outcome; did you mean test_error?"),
    (1, "figure", {"variants": None}, "{}.variants: missing"),
    (8, "figure", {"variants": ["cnn"]}, "{}: unknown key 'variants'"),
    (4, "figure", OUTCOMES, "{}.outcomes.x: 'test_eror' is not an outcome; did you mean test_error?"),
    (8, "figure", {"name": "permuted"}, "figure.name: permuted is another figure's"),
    (8, "figure", {"name": "rises-x"}, "figure.name: rises-x is another figure's"),
]


@pytest.mark.parametrize(("claim", "part", "changes", "line"), FAULTS)
def test_a_fault_is_one_line_with_its_key(
    tmp_path: Path, claim: int, part: int | str, changes: dict[str, Any], line: str
) -> None:
    """What the plan does not have, a reading that nothing decides and bounds that both could be met are refused.

    So is what an answer or a figure names and is not there, and an answer without a verdict for each reading.
    """
    values = copy.deepcopy(VALUES)
    whole = values["claims"][claim]
    for path, value in changes.items():
        *parents, key = path.split(".")
        block = reduce(getitem, parents, whole["readings"][part] if isinstance(part, int) else whole[part])
        block.update({key: value})
        if value is None:
            del block[key]

    with pytest.raises(InputError) as caught:
        load(tmp_path, values)

    place = f"claims.{claim}.{f'readings[{part}]' if isinstance(part, int) else part}"
    assert len(str(caught.value).splitlines()) == 1
    assert caught.value.what.startswith(line.format(place)), caught.value.what
    assert caught.value.path == tmp_path / "claims.yaml"


@pytest.mark.parametrize("target", [0, 1, 98, "much"])
def test_a_target_is_an_accuracy(tmp_path: Path, target: object) -> None:
    """It lies between 0 and 1; without one there is no table of convergence."""
    assert load(tmp_path, {key: value for key, value in VALUES.items() if key != "target"}).target is None
    with pytest.raises(InputError, match="target: expected"):
        load(tmp_path, VALUES | {"target": target})


def test_each_fault_has_a_line(tmp_path: Path) -> None:
    """Two wrong readings are two lines, each with the file and the key."""
    values = copy.deepcopy(VALUES)
    for claim in (1, 3):
        values["claims"][claim]["readings"][0]["outcome"] = "unknown"

    with pytest.raises(InputError) as caught:
        load(tmp_path, values)

    lines = str(caught.value).splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        [str(tmp_path / "claims.yaml"), f"claims.{claim}.readings[0].outcome"] for claim in (1, 3)
    ]
