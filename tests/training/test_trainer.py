"""Training: order, resumption, refusal of what diverged."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from pipeline import schema
from pipeline.analysis import metrics
from pipeline.data.dataset import Dataset, Split
from pipeline.errors import PipelineError
from pipeline.params import Params
from pipeline.training import history, model_file, trainer
from pipeline.training.backend import keras
from pipeline.training.checkpoint import Checkpoints, TrainingState
from pipeline.training.optimizer_settings import Constant
from pipeline.training.settings import Model
from pipeline.training.trainer import epoch_order


def short(values: Params, name: str, epochs: int = 3) -> Model:
    """Return a model of the project with fewer epochs."""
    return values.models[name].model_copy(update={"epochs": epochs})


def with_everything(values: Params, keep: str = "best_val_accuracy") -> Model:
    """Return a model with batch normalization, dropout, augmentation, a schedule, and the best epoch kept."""
    layers = [
        {"name": "conv2d", "filters": 4, "kernel": 3, "stride": 2, "padding": "same"},
        {"name": "batch_norm", "momentum": 0.5, "epsilon": 1e-3},
        {"name": "relu"},
        {"name": "dropout", "rate": 0.1},
        {"name": "flatten"},
    ]
    adamw = {"name": "adamw", "learning_rate": 0.01, "beta_1": 0.9, "beta_2": 0.99, "epsilon": 1e-7}
    block = values.models["cnn"].settings() | {
        "network": {"name": "sequential", "layers": layers},
        "optimizer": adamw | {"weight_decay": 0.01},
        "augmentation": {"shift": 1, "flip": True},
        "schedule": {"name": "cosine"},
        "epochs": 3,
        "keep": keep,
    }
    return schema.validate(Model, block)


def few(data: Dataset) -> Dataset:
    """Return the data with 300 training images: where bits are compared, more of them show nothing more."""
    return replace(data, train=Split(data.train.images[:300], data.train.labels[:300]))


def run(values: Params, model: Model, data: Dataset, state: TrainingState | None = None) -> list[TrainingState]:
    """Train `model` and return the state after each epoch."""
    states: list[TrainingState] = []
    network = trainer.build(model, values.train, data)
    trainer.train(network, data, model, values.train, state=state, on_epoch=states.append)
    return states


def equal(first: TrainingState, second: TrainingState) -> bool:
    """Tell whether two states hold the same history and, bit for bit, the same variables."""
    histories = [[{k: v for k, v in row.items() if k != "seconds"} for row in s.rows] for s in (first, second)]
    pairs = zip((*first.variables, *first.best), (*second.variables, *second.best), strict=True)
    return histories[0] == histories[1] and all(np.array_equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("colour", [False, True])
def test_standardized_pixels_have_mean_0_and_deviation_1(values: Params, tmp_path: Path, colour: bool) -> None:
    """The first layer standardizes by the training images, per channel, as numpy does; in the stored model as well."""
    shape = (90, 8, 9, 3) if colour else (90, 8, 9)
    images = np.random.default_rng(5).integers(0, 90, shape).astype(np.uint8) * np.uint8(2)
    if colour:
        images[..., 1] = 7
    split = Split(images, (np.arange(90) % 3).astype(np.uint8))
    model = values.model("mlp_rmsprop").model_copy(update={"scaling": "standardized"})

    network = trainer.build(model, values.train, Dataset(split, None, split, ("a", "b", "c")))
    model_file.save(tmp_path / "m.keras", network, {"recipe": "r"})

    axes = (0, 1, 2)
    deviation = images.std(axis=axes, dtype=np.float64)
    expected = (images - images.mean(axis=axes, dtype=np.float64)) / np.where(deviation == 0, 1, deviation)
    for layer in (network.get_layer("scaling"), model_file.load(tmp_path / "m.keras").get_layer("scaling")):
        np.testing.assert_allclose(layer(images), expected, atol=1e-5)


def test_every_epoch_has_an_order_of_its_own() -> None:
    """Each order visits every image once; epochs and seeds differ, and asking again gives the same."""
    orders = [epoch_order(seed, epoch, 1000) for seed in (0, 1) for epoch in (1, 2, 3)]

    assert all(np.array_equal(np.sort(order), np.arange(1000)) for order in orders)
    assert len({order.tobytes() for order in orders}) == 6
    assert np.array_equal(orders[0], epoch_order(0, 1, 1000))


@pytest.mark.fault("training interrupted")
@pytest.mark.parametrize("name", ["mlp_rmsprop", "mlp_adadelta", "cnn", "everything"])
def test_a_resumed_run_ends_in_the_bits_of_an_uninterrupted_one(
    values: Params, digits: Dataset, name: str, tmp_path: Path
) -> None:
    """Dropout, order, augmentation, schedule, averages, optimizer and best epoch go on from a stored state."""
    model = with_everything(values) if name == "everything" else short(values, name)
    whole = run(values, model, few(digits))
    checkpoints = Checkpoints(tmp_path, name, "r" * 64)
    checkpoints.save(whole[0])

    resumed = run(values, model, few(digits), state=checkpoints.load())

    assert len(whole) == 3
    assert equal(whole[-1], resumed[-1])


@pytest.mark.parametrize(("keep", "best"), [("best_val_loss", np.argmin), ("best_val_accuracy", np.argmax)])
def test_the_best_epoch_is_kept(values: Params, digits: Dataset, keep: str, best: Callable[..., np.intp]) -> None:
    """The trained network has the weights of the epoch with the best score on the monitored images, not the last."""
    model = with_everything(values, keep).model_copy(update={"epochs": 6, "schedule": None})
    # Labels that were mixed up more and more: later epochs fit them and score worse.
    noisy = np.where(np.arange(len(digits.train)) % 2, digits.train.labels[::-1], digits.train.labels)
    data = replace(digits, train=Split(digits.train.images, noisy))
    network = trainer.build(model, values.train, data)

    state = trainer.train(network, data, model, values.train)

    scores = [row[keep.removeprefix("best_")] for row in state.rows]
    found = metrics.score(network.predict(digits.test.images, verbose=0), digits.test.labels, model.loss.clip)
    kept = {"best_val_loss": found["loss"], "best_val_accuracy": found["accuracy"]}[keep]
    assert kept == pytest.approx(scores[int(best(scores))], rel=1e-4)
    assert history.kept_epoch(state.rows, keep) == int(best(scores)) + 1
    assert history.kept_epoch(state.rows, "last") == 6


def test_a_schedule_and_augmentation_change_a_run(values: Params, digits: Dataset) -> None:
    """Without its schedule, or without its augmentation, a model ends in other weights; a constant schedule is none."""
    model, data = with_everything(values).model_copy(update={"epochs": 2}), few(digits)
    ends = {part: run(values, model.model_copy(update={part: None}), data)[-1] for part in ("schedule", "augmentation")}
    constant = model.model_copy(update={"schedule": Constant(name="constant")})
    whole = run(values, model, data)[-1]

    assert not any(equal(whole, end) for end in ends.values())
    assert equal(run(values, constant, data)[-1], ends["schedule"])


@pytest.mark.parametrize(
    "more",
    [{"label_smoothing": 0.2}, {"class_weight": "balanced"}, {"label_smoothing": 0.1, "class_weight": "balanced"}],
)
def test_smoothing_and_class_weights_are_those_of_keras(
    values: Params, digits: Dataset, more: dict[str, float | str]
) -> None:
    """An epoch moves the weights as Keras does with its own smoothing and `class_weight`, on unequal classes.

    The history has the loss without either.
    """
    kept = np.flatnonzero((digits.train.labels > 6) | (np.arange(len(digits.train)) % 9 == 0))[:311]
    data = replace(digits, train=Split(digits.train.images[kept], digits.train.labels[kept]))
    sgd = {"name": "sgd", "learning_rate": 0.05, "momentum": 0.0, "nesterov": False}
    block = values.models["mlp_rmsprop"].settings() | {"optimizer": sgd, "epochs": 1}
    block |= {"network": {"name": "mlp", "units": [16], "dropout": 0.0}}
    model = schema.validate(Model, block | {"loss": {"name": "crossentropy", "clip": None, **more}})
    ours, keras_own = (trainer.build(model, values.train, data) for _ in range(2))
    smoothing = keras.losses.CategoricalCrossentropy(label_smoothing=more.get("label_smoothing", 0))
    keras_own.compile(keras.optimizers.SGD(0.05), smoothing)
    present = np.unique(data.train.labels)
    balanced = compute_class_weight("balanced", classes=present, y=data.train.labels)
    weights = dict(zip(present.tolist(), balanced, strict=True)) if "class_weight" in more else None
    order, losses = epoch_order(values.train.seed, 1, len(kept)), []
    for first in range(0, len(order), values.train.batch_size):
        batch = order[first : first + values.train.batch_size]
        images, labels = data.train.images[batch], data.train.labels[batch]
        losses += [metrics.score(keras_own.predict(images, verbose=0), labels, None)["loss"] * len(batch)]
        keras_own.train_on_batch(images, np.eye(10)[labels], class_weight=weights)

    state = trainer.train(ours, data, model, values.train)

    for found, expected in zip(ours.get_weights(), keras_own.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)
    assert state.rows[0]["loss"] == pytest.approx(sum(losses) / len(kept), rel=1e-4)
    assert not equal(state, run(values, model.model_copy(update={"loss": model.loss.scored}), data)[-1])


def test_two_trainings_of_one_seed_are_equal_and_another_seed_differs(values: Params, digits: Dataset) -> None:
    """A training is a function of its seed."""
    model, data = short(values, "mlp_rmsprop", 2), few(digits)
    other = values.model_copy(update={"train": values.train.model_copy(update={"seed": 1})})

    first = run(values, model, data)[-1]

    assert equal(first, run(values, model, data)[-1])
    assert not equal(first, run(other, model, data)[-1])


def test_the_values_of_an_epoch_stay_while_training_goes_on(values: Params, digits: Dataset) -> None:
    """What a checkpoint holds of an epoch is not changed by the next one, whether it was written before or not."""
    model, data = short(values, "mlp_adadelta", epochs=2), few(digits)
    states: list[TrainingState] = []
    at_once: list[list[np.ndarray]] = []

    def keep(state: TrainingState) -> None:
        states.append(state)
        at_once.append([np.array(value) for value in state.variables])

    trainer.train(trainer.build(model, values.train, data), data, model, values.train, on_epoch=keep)

    for state, copies in zip(states, at_once, strict=True):
        for value, copied in zip(state.variables, copies, strict=True):
            np.testing.assert_array_equal(value, copied)
    assert any((one != other).any() for one, other in zip(*at_once, strict=True))


def test_a_held_out_split_is_watched_instead_of_the_test_images(values: Params, digits: Dataset) -> None:
    """Where images are held out, the history is about them and the test images are not looked at."""
    held_out = Split(digits.test.images[:100], digits.test.labels[:100])
    unusable = Split(digits.test.images, (digits.test.labels + 1) % 10)
    model = short(values, "mlp_rmsprop", 1)

    watched = run(values, model, replace(digits, validation=held_out, test=unusable))[-1].rows[-1]

    assert watched["val_accuracy"] == run(values, model, replace(digits, test=held_out))[-1].rows[-1]["val_accuracy"]


@pytest.mark.fault("training diverges: NaN")
def test_a_training_that_diverges_is_stopped(values: Params, digits: Dataset) -> None:
    """NaN in loss or weights ends the training with the epoch's number instead of a model."""
    model = short(values, "mlp_adadelta")
    wild = model.model_copy(update={"optimizer": model.optimizer.model_copy(update={"learning_rate": 1e30})})

    with pytest.raises(PipelineError, match=r"diverged in epoch 1: .*not finite"):
        run(values, wild, digits)
