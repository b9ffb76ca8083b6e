"""Pairwise tests and differences in settings, against scipy, statsmodels and brute force."""

import dataclasses
from collections.abc import Mapping
from typing import Any
from unittest.mock import sentinel

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from pipeline import schema
from pipeline.params import Params
from pipeline.reporting import pairwise
from pipeline.reporting.inputs import ModelResult
from pipeline.training.settings import Model

COUNT = 40
LABELS = np.random.default_rng(0).integers(0, 10, COUNT).astype(np.uint8)


def result(name: str, wrong: set[int]) -> ModelResult:
    """Return a result whose answers are wrong for the images in `wrong` and correct for the others."""
    answers = np.array([(label + 1) % 10 if i in wrong else label for i, label in enumerate(LABELS)])
    probabilities = np.eye(10, dtype=np.float32)[answers]
    return ModelResult(name, sentinel.model, sentinel.metrics, pd.DataFrame(), np.empty(0), (), probabilities, LABELS)


def changed(model: Model, block: str, **settings: Any) -> Model:
    """Return `model` with settings of one of its blocks replaced."""
    content: Mapping[str, Any] = model.model_dump()
    return schema.validate(Model, {**content, block: {**content[block], **settings}})


@pytest.fixture
def mlp(values: Params) -> Model:
    """Return the project's MLP with RMSprop."""
    return values.models["mlp_rmsprop"]


def test_compare_agrees_with_scipy_and_statsmodels() -> None:
    """Counts are of discordant pairs, of which one model has none; p is the binomial one, and adjusted by Holm."""
    wrong = {"a": set(range(12)), "b": set(range(10, 14)), "c": {0, 1}}

    found = pairwise.mcnemar_pairs([result(name, images) for name, images in wrong.items()])

    assert pairwise.mcnemar_pairs([result("a", {1})]) == []
    assert [(pair.first, pair.second) for pair in found] == [("a", "b"), ("a", "c"), ("b", "c")]
    for pair in found:
        first, second = wrong[pair.first], wrong[pair.second]
        assert (pair.only_first, pair.only_second) == (len(second - first), len(first - second))
        binomial = stats.binomtest(pair.only_first, pair.only_first + pair.only_second)
        assert pair.p_value == pytest.approx(binomial.pvalue)
    differs, adjusted, *_ = multipletests([pair.p_value for pair in found], method="holm")
    assert [pair.adjusted for pair in found] == pytest.approx(adjusted)
    assert [pair.differs for pair in found] == differs.tolist()


def test_missed_by_all_are_the_images_that_every_model_gets_wrong() -> None:
    """An image that one of the models classifies correctly is not among them."""
    results = [result("a", {3, 7, 20, 21}), result("b", {7, 3, 22}), result("c", {39, 7, 3})]

    assert sorted(pairwise.missed_by_all(results).tolist()) == [3, 7]
    assert sorted(pairwise.missed_by_all(results[:1]).tolist()) == [3, 7, 20, 21]
    assert pairwise.missed_by_all([*results, result("d", set())]).tolist() == []


def test_missed_by_all_are_in_turn_of_each_class_and_the_surest_first() -> None:
    """The order is that of a loop that takes, round by round, the surest that is left of each class."""
    random = np.random.default_rng(1)
    both = [result(name, set(range(COUNT))) for name in "ab"]
    both = [
        dataclasses.replace(one, probabilities=one.probabilities * random.uniform(1, 2, (COUNT, 1))) for one in both
    ]
    sure = {i: sum(float(one.probabilities[i].max()) for one in both) for i in range(COUNT)}

    left, expected = {*range(COUNT)}, []
    while left:
        surest = {
            label: max((i for i in left if LABELS[i] == label), key=sure.__getitem__) for label in LABELS[[*left]]
        }
        expected += sorted(surest.values(), key=sure.__getitem__, reverse=True)
        left -= {*surest.values()}

    assert pairwise.missed_by_all(both).tolist() == expected


def test_contrast_of_optimizers_is_one_difference(values: Params) -> None:
    """The project's two MLPs differ in the optimizer alone, and have dropout 0.2 in common."""
    models = {name: values.models[name] for name in ("mlp_rmsprop", "mlp_adadelta")}

    (contrast,) = pairwise.setting_contrasts(models)

    assert (contrast.first, contrast.second) == tuple(models)
    assert [(found.key, found.first["name"], found.second["name"]) for found in contrast.differences] == [
        ("optimizer", "rmsprop", "adadelta")
    ]
    assert contrast.shared_dropout == {"dropout": 0.2}


@pytest.mark.parametrize(
    ("block", "settings", "key", "shared"),
    [
        ("network", {"dropout": 0.5}, "network.dropout", {}),
        ("network", {"units": [512]}, "network.units", {"dropout": 0.2}),
        ("optimizer", {"epsilon_in_root": True}, "optimizer.epsilon_in_root", {"dropout": 0.2}),
        ("loss", {"clip": None}, "loss.clip", {"dropout": 0.2}),
    ],
)
def test_contrast_within_a_block_names_the_setting(
    mlp: Model, block: str, settings: dict[str, Any], key: str, shared: dict[str, float]
) -> None:
    """Where both blocks are of one kind, the setting that differs is named, with both its values."""
    other = changed(mlp, block, **settings)

    (contrast,) = pairwise.setting_contrasts({"a": mlp, "b": other})

    name = next(iter(settings))
    assert [found.key for found in contrast.differences] == [key]
    assert contrast.differences[0].first == getattr(getattr(mlp, block), name)
    assert contrast.differences[0].second == getattr(getattr(other, block), name)
    assert contrast.shared_dropout == shared


def test_contrast_lists_all_that_differs(values: Params) -> None:
    """An MLP and the CNN differ in network, optimizer and epochs; a model and its copy in nothing."""
    models = {"mlp": values.models["mlp_rmsprop"], "cnn": values.models["cnn"], "copy": values.models["mlp_rmsprop"]}

    mlp_cnn, mlp_copy, _ = pairwise.setting_contrasts(models)

    assert [found.key for found in mlp_cnn.differences] == ["network", "optimizer", "epochs"]
    assert mlp_cnn.shared_dropout == {}
    assert mlp_copy.differences == []


def test_layers_are_compared_one_by_one(mlp: Model) -> None:
    """Of as many layers, at any depth, those that differ are named; of another number, the lists are."""
    dense, relu = {"name": "dense", "units": 5}, {"name": "relu"}

    def keys(*inner: dict[str, Any]) -> list[str]:
        models = []
        for layers in ((dense, relu), inner):
            network = {"name": "sequential", "layers": [{"name": "flatten"}, {"name": "residual", "layers": layers}]}
            models.append(schema.validate(Model, mlp.model_dump() | {"network": network}))
        (contrast,) = pairwise.setting_contrasts(dict(zip("ab", models, strict=True)))
        return [found.key for found in contrast.differences]

    assert keys(dense, relu) == []
    assert keys(dense | {"units": 6}, relu) == ["network.layers[1].layers[0].units"]
    assert keys(relu, dense) == ["network.layers[1].layers[0]", "network.layers[1].layers[1]"]
    assert keys(dense) == ["network.layers[1].layers"]
