"""One training run of the study, and the replicates that it gives, scored."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline import machine, params, schema
from pipeline.analysis import metrics
from pipeline.data import splits
from pipeline.data.dataset import Dataset, Split
from pipeline.training import checkpoint, networks, trainer
from pipeline.training.settings import Model, Training
from pipeline.trials.plan import Replicate, Trajectory

# The number of training images, the first ones, that are scored in inference mode after every epoch.
SAMPLE = 5000

# A replicate as the ledger has it, without the commit: JSON values.
Result = dict[str, Any]


def run_alone(trajectory: Trajectory, data: Dataset) -> list[Result]:
    """Do as `run` does in a process that has not used TensorFlow before, with the threads of the recipe.

    Raises:
        InputError: The images do not fit the model, or the model the memory.
        PipelineError: Loss or weights became NaN or infinite.
    """
    _, model, training = _settings(trajectory)
    count, memory = len(data.train), machine.memory()
    params.check_images({trajectory.name: model}, training, data.shape, count, Path("plan"), "variants", memory)
    trainer.start(model, training)
    return run(trajectory, data)


def run(trajectory: Trajectory, data: Dataset) -> list[Result]:
    """Train once and return the replicates of `trajectory`, each scored after its number of epochs.

    Raises:
        PipelineError: Loss or weights became NaN or infinite.
    """
    longest, model, training = _settings(trajectory)
    seed = longest.ingredients["permutation_seed"]
    data = data if seed is None else permuted(data, seed)
    if held_out := longest.ingredients.get("held_out"):
        data = judged_on_held_out(data, **held_out)
    data = trained_on(data, longest.ingredients.get("training_images"), training.seed)
    sample = Split(data.train.images[:SAMPLE], data.train.labels[:SAMPLE])
    of_weights, of_order, of_dropout = _seeds(training, **longest.ingredients.get("varied", {}))
    network = trainer.build(model, of_weights, data)
    rows: list[dict[str, float]] = []
    results: list[Result] = []

    def on_epoch(state: checkpoint.TrainingState) -> None:
        score, _ = _score(network, sample, model)
        rows.append(state.rows[-1] | {"train_loss": score["loss"], "train_accuracy": score["accuracy"]})
        due = [
            replicate for replicate in trajectory.replicates if replicate.epochs == len(rows) and model.keep == "last"
        ]
        results.extend(_result(replicate, network, data, model, rows) for replicate in due)

    trainer.train(network, data, model, of_dropout, order_seed=of_order.seed, on_epoch=on_epoch)
    if model.keep != "last":
        # Now the network has the weights of the epoch that it keeps.
        results.append(_result(longest, network, data, model, rows))
    return results


def _settings(trajectory: Trajectory) -> tuple[Replicate, Model, Training]:
    """Return the longest replicate, its model and how it is trained."""
    longest = trajectory.longest
    model = schema.validate(Model, longest.ingredients["model"], key="model")
    return longest, model, schema.validate(Training, longest.ingredients["train"], key="train")


def _seeds(training: Training, part: str = "", seed_of_others: int | None = None) -> list[Training]:
    """Return the training of the weights, the order and the dropout: only `part` has its seed, if one is named."""
    others = training if seed_of_others is None else training.model_copy(update={"seed": seed_of_others})
    return [training if name == part else others for name in ("weights", "order", "dropout")]


def trained_on(data: Dataset, images: str | None, seed: int) -> Dataset:
    """Return `data` with `all` training images and none held out, or with as many held out, `drawn` with `seed`."""
    if images is None or data.validation is None:
        return data
    train = splits.joined(data.train, data.validation)
    if images == "all":
        return dataclasses.replace(data, train=train, validation=None)
    train, validation = splits.split(train, len(data.validation), seed)
    return dataclasses.replace(data, train=train, validation=validation)


def judged_on_held_out(data: Dataset, count: int, seed: int | None, chosen_on: int) -> Dataset:
    """Return `data` with held-out training images in the place of the test images.

    `count` of the training and validation images are drawn with `seed`; without one, the validation images are taken.
    Of those left, `chosen_on` are drawn to choose an epoch by.
    """
    if seed is None:
        if data.validation is None:
            raise ValueError("expected validation images")
        train, held_out = data.train, data.validation
    else:
        train, held_out = splits.split(splits.joined(data.train, data.validation), count, seed)
    validation = None
    if chosen_on:
        train, validation = splits.split(train, chosen_on, seed or 0)
    return dataclasses.replace(data, train=train, validation=validation, test=held_out)


def permuted(data: Dataset, seed: int) -> Dataset:
    """Return `data` with the pixels of all images in one fixed permutation, a function of `seed`.

    It moves places: the colours of a pixel stay together and in their order.
    """
    order = np.random.default_rng(seed).permutation(math.prod(data.shape[:2]))

    def of(split: Split) -> Split:
        pixels = split.images.reshape(len(split), len(order), -1)
        return Split(pixels[:, order].reshape(split.images.shape), split.labels)

    moved: dict[str, Any] = {name: of(split) for name, split in data.splits().items()}
    return dataclasses.replace(data, **moved)


def _result(replicate: Replicate, network: Any, data: Dataset, model: Model, rows: list[dict[str, float]]) -> Result:
    scores = {}
    answers: NDArray[np.int64] = np.empty(0, np.int64)
    for name, split in data.splits().items():
        score, answers = _score(network, split, model)
        scores[name] = {key: value for key, value in score.items() if key != "per_class"}
    wrong = np.flatnonzero(answers != data.test.labels)
    errors = pd.DataFrame({"image": wrong, "label": data.test.labels[wrong], "answer": answers[wrong]})
    record = {"parameters": network.count_params(), "processor": machine.processor(), "splits": scores}
    history = pd.DataFrame(rows).drop(columns="seconds").astype({"epoch": int})
    return {
        **{"variant": replicate.variant, "seed": replicate.seed, "recipe": replicate.recipe},
        **{"ingredients": replicate.ingredients, **record},
        **{"history": history.to_dict("list"), "errors": errors.to_dict("list")},
    }


def _score(network: Any, split: Split, model: Model) -> tuple[dict[str, Any], NDArray[np.int64]]:
    probabilities = network.predict(split.images, batch_size=networks.scoring_batch(network), verbose=0)
    return metrics.score(probabilities, split.labels, model.loss.clip), probabilities.argmax(axis=1)
