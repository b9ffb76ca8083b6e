"""A claims file: what it may say, and one line with its key for everything that is wrong in it."""

from __future__ import annotations

import copy
from collections.abc import Callable
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


@pytest.mark.parametrize(
    ("claim", "place", "change", "line"),
    [
        (
            1,
            0,
            lambda one: one.update(contrasts={"it": {"mlp_rmspop": 1}}),
            "claims.1.readings[0].contrasts.it.mlp_rmspop: 'mlp_rmspop' is not a variant of the plan; did you mean ",
        ),
        (
            6,
            2,
            lambda one: one["pairs"].append(["cnn_permuted", "mlp_rmsprop"]),
            "claims.6.readings[2].pairs[2]: cnn_permuted and mlp_rmsprop are not among the comparisons of the plan",
        ),
        (
            3,
            2,
            lambda one: one.update(outcome="tets_accuracy"),
            "claims.3.readings[2].outcome: 'tets_accuracy' is not an outcome; did you mean test_accuracy?",
        ),
        (
            4,
            0,
            lambda one: one.update(outcome="accuracies in epoch 12"),
            "claims.4.readings[0].outcome: 'accuracies' is not a column of the histories; did you mean accuracy?",
        ),
        (
            4,
            0,
            lambda one: one.update(outcome="accuracy in epoch 13"),
            "claims.4.readings[0]: outcome: cnn has 12 epochs",
        ),
        (
            2,
            1,
            lambda one: one["unless"].update(condition="any > 0"),
            "claims.2.readings[1].unless: expected bounds above 0 for a factor",
        ),
        (
            4,
            2,
            lambda one: one.update(outcome="epochs until val_loss reaches 0.1"),
            "claims.4.readings[2].outcome: 'val_loss' is not a column of accuracies",
        ),
        (
            3,
            2,
            lambda one: one.update(supported="all >= 0.988", not_supported="any < 0.99"),
            "claims.3.readings[2]: supported, not_supported: the bounds overlap",
        ),
        (
            3,
            2,
            lambda one: one.update(supported="any > 0.988", not_supported="any < 0.988"),
            "claims.3.readings[2]: supported, not_supported: the bounds overlap",
        ),
        (
            3,
            2,
            lambda one: one.update(supported="all > 0.988", not_supported="all > 0.9"),
            "claims.3.readings[2]: supported, not_supported: the bounds overlap",
        ),
        (
            1,
            0,
            lambda one: one.update(supported="all > 0", not_supported="all < 0"),
            "claims.1.readings[0]: expected bounds above 0 for a factor",
        ),
        (
            1,
            0,
            lambda one: one.update(supported="> 1"),
            "claims.1.readings[0].supported: expected all or any, then >, >= or <, then a number or one of ",
        ),
        (
            1,
            0,
            lambda one: one.pop("contrasts"),
            "claims.1.readings[0]: expected contrasts, pairs, opposite_of or only_in: nothing decides this reading",
        ),
        (1, 0, lambda one: one.update(contrasts={}), "claims.1.readings[0].contrasts: expected one item or more"),
        (
            7,
            0,
            lambda one: one.update(contrasts={"it": [{"cnn": 1}, {"cnn_permuted": -1}]}),
            "claims.7.readings[0].contrasts.it: cnn and cnn_permuted share initial weights and image order by seed",
        ),
        (
            7,
            1,
            lambda one: one.update(opposite_of="the MLP uses shape"),
            "claims.7: 'the MLP uses shape' is not an earlier reading; did you mean the CNN uses shape?",
        ),
        (
            7,
            0,
            lambda one: one.update(contrasts={"it": {"fashion_cnn": 1}}),
            "claims.7: datasets: fashion_cnn is on fashion_mnist",
        ),
        (
            1,
            0,
            lambda one: one.update(measure="of {windows} epochs"),
            "claims.1.readings[0].measure: 'windows' is not a setting; did you mean window?",
        ),
        (5, 2, lambda one: one["verdicts"].update(best="supported"), "claims.5.readings[2].verdicts.best: expected "),
        (5, 2, lambda one: one.pop("verdicts"), "claims.5.readings[2]: expected verdicts or any_difference, one of "),
        (
            6,
            3,
            lambda one: one.update(verdicts={"better": "supported"}),
            "claims.6.readings[3]: expected verdicts or any_difference, one of the two",
        ),
        (
            6,
            3,
            lambda one: one.update(any_difference={"other": "supported"}),
            "claims.6.readings[3].any_difference.other: expected ",
        ),
        (1, 0, lambda one: one.update(note="x"), "claims.1.readings[0]: unknown key 'note'"),
    ],
)
def test_a_fault_is_one_line_with_its_key(
    tmp_path: Path, claim: int, place: int, change: Callable[[dict[str, Any]], Any], line: str
) -> None:
    """What the plan does not have, a reading that nothing decides and bounds that both could be met are refused."""
    values = copy.deepcopy(VALUES)
    change(values["claims"][claim]["readings"][place])

    with pytest.raises(InputError) as caught:
        load(tmp_path, values)

    assert len(str(caught.value).splitlines()) == 1
    assert caught.value.what.startswith(line), caught.value.what
    assert caught.value.path == tmp_path / "claims.yaml"


@pytest.mark.parametrize(
    ("claim", "change", "line"),
    [
        (2, lambda one: one["answer"].update(text="It is {b9}."), "claims.2: 'b9' is not a result of the readings"),
        (7, lambda one: one["answer"].update(text="It is {b1}."), "claims.7: 'b1' is not a result of the readings"),
        (3, lambda one: one["answer"]["verdicts"].pop(), "claims.3: answer.verdicts: expected one for each reading"),
        (1, lambda one: one["answer"].update(verdicts=["true"]), "claims.1.answer.verdicts[0]: expected "),
        (
            1,
            lambda one: one["figure"].update(columns={"x": "val_los"}),
            "claims.1.figure.columns.x: expected ",
        ),
        (
            4,
            lambda one: one["figure"]["variants"].append("cnm"),
            "claims.4.figure.variants[3]: 'cnm' is not a variant of the plan; did you mean cnn?",
        ),
        (
            8,
            lambda one: one["figure"]["pairs"].update(cnn="fashion_cn"),
            "claims.8.figure.pairs.cnn: 'fashion_cn' is not a variant of the plan; did you mean fashion_cnn?",
        ),
        (
            8,
            lambda one: one["figure"].update(outcome="test_eror"),
            "claims.8.figure.outcome: 'test_eror' is not an outcome; did you mean test_error?",
        ),
        (1, lambda one: one["figure"].pop("variants"), "claims.1.figure.variants: missing"),
        (8, lambda one: one["figure"].update(variants=["cnn"]), "claims.8.figure: unknown key 'variants'"),
        (8, lambda one: one["figure"].update(name="permuted"), "figure.name: permuted is another figure's"),
        (8, lambda one: one["figure"].update(name="rises-x"), "figure.name: rises-x is another figure's"),
    ],
)
def test_a_fault_in_an_answer_or_a_figure_is_one_line_too(
    tmp_path: Path, claim: int, change: Callable[[dict[str, Any]], Any], line: str
) -> None:
    """What a sentence or a picture names has to be there, and a sentence has a verdict for each reading."""
    values = copy.deepcopy(VALUES)
    change(values["claims"][claim])

    with pytest.raises(InputError) as caught:
        load(tmp_path, values)

    assert len(str(caught.value).splitlines()) == 1
    assert caught.value.what.startswith(line), caught.value.what


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
