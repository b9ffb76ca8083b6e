"""Replicates that are judged on held-out training images: which images these are, and which epoch is kept."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import yaml

from pipeline import schema
from pipeline.data import splits
from pipeline.data.dataset import Dataset
from pipeline.errors import InputError
from pipeline.training import trainer
from pipeline.training.settings import Model, Training
from pipeline.trials import plan, replicate
from pipeline.trials.plan import Replicate, Study, Trajectory
from pipeline.trials.prepared import PreparedData
from pipeline.verdicts import training
from tests.support.small import ROOT


def rows(*parts: np.ndarray) -> list[tuple[int, ...]]:
    """Return images as sorted tuples."""
    return sorted(tuple(image.ravel()) for part in parts for image in part)


@pytest.mark.parametrize("chosen_on", [0, 100])
def test_held_out_images_stand_in_for_the_test_images(digits: Dataset, chosen_on: int) -> None:
    """They come from the training images, each class with its share; no test image is seen, and none is seen twice."""
    found = replicate.judged_on_held_out(digits, 140, 3, chosen_on)

    validation = [] if found.validation is None else [found.validation.images]
    assert [len(found.train), len(found.test), sum(map(len, validation))] == [1260 - chosen_on, 140, chosen_on]
    assert rows(found.train.images, found.test.images, *validation) == rows(digits.train.images)
    counts = np.bincount(found.test.labels) - 0.1 * np.bincount(digits.train.labels)
    assert abs(counts).max() < 1
    other = replicate.judged_on_held_out(digits, 140, 4, chosen_on)
    assert rows(other.test.images) != rows(found.test.images)


def test_validation_images_are_used_or_drawn_again(digits: Dataset) -> None:
    """With a seed, images are drawn from both; without one the validation images are those that are judged."""
    split = replicate.judged_on_held_out(digits, 200, 0, 0)
    data = dataclasses.replace(digits, train=split.train, validation=split.test)

    given = replicate.judged_on_held_out(data, 200, None, 0)
    assert rows(given.test.images) == rows(split.test.images)
    assert rows(given.train.images) == rows(split.train.images)
    drawn = replicate.judged_on_held_out(data, 200, 1, 0)
    assert rows(drawn.train.images, drawn.test.images) == rows(digits.train.images)
    assert rows(drawn.test.images) != rows(split.test.images)


def block(**changes: Any) -> dict[str, Any]:
    """Return a small model's block, as a study's plan has it, with some changes."""
    values: dict[str, Any] = yaml.safe_load((ROOT / "tests" / "frozen" / "params.yaml").read_text())
    model: dict[str, Any] = values["models"]["mlp_adadelta"] | {"epochs": 1, "seeds": 3}
    model["network"]["units"] = [8]
    return model | {"dataset": "mnist", "precision": "float32", "pixels": "original"} | changes


def planned(**changes: Any) -> list[Replicate]:
    """Return the replicates of a plan of one variant."""
    split = {"sets": ["mnist"], "validation": 140, "split_seed": 0, "permutation_seed": 0}
    statistics = {"level": 0.05, "comparisons": [["other", "longer"]]}
    values = {"data": split, "train": {"batch_size": 128, "threads": 1}, "statistics": statistics}
    others = {"other": block(epochs=2, seeds=1), "longer": block(epochs=3, seeds=1)}
    variants = {"mlp": block(**changes), **others}
    study = schema.validate(Study, values | {"variants": variants, "first_seed": 5}, key="plan")
    return [one for one in plan.replicates(study, {"mnist": "-"}) if one.variant == "mlp"]


def test_a_variant_may_be_trained_on_all_images_or_on_a_split_of_each_seed(digits: Dataset) -> None:
    """With `all` none is held out and the history is of the test images; with `drawn` each seed holds out others."""
    train, validation = splits.split(digits.train, 140, 0)
    data = dataclasses.replace(digits, train=train, validation=validation)

    def made(seed: int, images: str) -> dict[str, Any]:
        (result,) = replicate.run(Trajectory((planned(training_images=images)[seed],)), data)
        return result

    every, drawn, other = made(0, "all"), made(0, "drawn"), made(1, "drawn")
    assert {name: split["count"] for name, split in every["splits"].items()} == {"train": 1400, "test": 397}
    assert every["history"]["val_accuracy"][-1] == pytest.approx(every["splits"]["test"]["accuracy"])
    assert [len(drawn["splits"]), drawn["splits"]["train"]["count"]] == [3, 1260]
    assert drawn["recipe"] != other["recipe"] != every["recipe"]
    held_out = [replicate.trained_on(data, "drawn", seed).validation for seed in (5, 6)]
    assert rows(held_out[0].images) != rows(held_out[1].images) != rows(validation.images)


@pytest.mark.parametrize("part", ["weights", "order", "dropout"])
def test_a_part_of_the_seed_can_be_varied_alone(digits: Dataset, part: str) -> None:
    """With the first seed the bits are those of a common replicate; with another, only that part is the other's."""
    first, second = planned(varied=part)[:2]
    common = planned()
    seeds = dict.fromkeys(("weights", "order", "dropout"), 5) | {part: 6}

    losses = [replicate.run(Trajectory((one,)), digits)[0]["history"]["loss"] for one in (common[0], first, second)]

    assert losses[0] == losses[1] != losses[2]
    model = schema.validate(Model, second.ingredients["model"], key="m")
    of = {
        name: schema.validate(Training, second.ingredients["train"] | {"seed": seed}, key="t")
        for name, seed in seeds.items()
    }
    network = trainer.build(model, of["weights"], digits)
    state = trainer.train(network, digits, model, of["dropout"], order_seed=seeds["order"])
    assert [row["loss"] for row in state.rows] == losses[2]


def test_what_is_usual_is_no_part_of_a_recipe() -> None:
    """Replicates planned before there were such settings keep their recipes, and seeds of one's own are only others."""
    common, own = planned(seeds=9), planned(first_seed=8)
    assert not {"training_images", "varied"} & common[0].ingredients.keys()
    assert [one.recipe for one in own] == [one.recipe for one in common][3:6]


def summary(trained: int, validation: int | str, held: int = 0) -> PreparedData:
    """Return data of which only the summary is known."""
    splits = {"train": {"count": trained}} | ({"validation": {"count": held}} if held else {})
    return PreparedData(ROOT, {"splits": splits, "validation": validation, "split_seed": 7})


@pytest.mark.parametrize(
    ("data", "count", "seed", "trained"),
    [
        (summary(60_000, "test"), 5000, 7, None),
        (summary(20_000, "test"), 2000, 7, None),
        (summary(1400, "test"), 140, None, 1260),
        (summary(160, "test"), 40, None, 120),
        (summary(55_000, 5000, 5000), 5000, 7, None),
        (summary(900, 100, 100), 100, None, 900),
        (summary(900, "given", 100), 100, None, None),
    ],
)
def test_how_many_images_are_held_out(data: PreparedData, count: int, seed: int | None, trained: int | None) -> None:
    """A tenth, between 40 and 5,000, or those of params.yaml; of fewer than 2,000 each seed draws others."""
    found = training.hold_out(data)
    assert (found.count, found.seed, found.sample().trained) == (count, seed, trained)
    drawn = [found.ingredient(seed, choosing=False)["seed"] for seed in (1, 2)]
    assert drawn == ([1, 2] if trained else [seed, seed])


@pytest.mark.fault("verdict: too few images")
@pytest.mark.parametrize("data", [summary(70, "test"), summary(400, 30, 30)])
def test_too_few_images_are_refused(data: PreparedData) -> None:
    """Below 40 held-out images no verdict is given."""
    with pytest.raises(InputError, match=r"training images are too few to judge a change by"):
        training.hold_out(data)


@pytest.mark.slow
def test_the_epoch_that_a_model_keeps_is_the_one_that_is_scored(digits: Dataset) -> None:
    """It is chosen on other images than those that are judged, and its weights give the scores."""
    values = yaml.safe_load((ROOT / "tests" / "frozen" / "params.yaml").read_text())
    block = values["models"]["mlp_adadelta"] | {"epochs": 4, "keep": "best_val_accuracy"}
    block["network"]["units"] = [8]
    # So large a step that later epochs are no better.
    block["optimizer"] = {"name": "sgd", "learning_rate": 0.6, "momentum": 0.0, "nesterov": False}
    model, settings = schema.validate(Model, block, key="m"), schema.validate(Training, values["train"], key="train")
    held_out = {"held_out": {"count": 140, "seed": 0, "chosen_on": 140}}
    one, shorter = (
        Replicate("m", 0, plan.ingredients(kept, settings) | held_out | {"data": "-"})
        for kept in (model, model.model_copy(update={"epochs": 3}))
    )

    (result,) = replicate.run(Trajectory((one,)), digits)

    history = result["history"]
    assert result["splits"]["validation"]["accuracy"] == pytest.approx(max(history["val_accuracy"]))
    assert history["val_accuracy"][-1] < max(history["val_accuracy"])
    assert len(result["errors"]["image"]) == round(140 * (1 - result["splits"]["test"]["accuracy"]))
    # Another number of epochs may keep another one, so it is another training run.
    assert len(list(plan.trajectories([one, shorter]))) == 2
