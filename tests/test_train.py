"""Training: order, resumption, refusal of what diverged."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline import train
from pipeline.analysis import metrics
from pipeline.data.dataset import Dataset, Split
from pipeline.errors import PipelineError
from pipeline.params import Model, Params
from pipeline.train import epoch_order
from pipeline.training import networks
from pipeline.training.checkpoint import TrainingState


def short(values: Params, name: str, epochs: int = 3) -> Model:
    """Return a model of the project with fewer epochs."""
    return values.models[name].model_copy(update={"epochs": epochs})


def run(values: Params, model: Model, data: Dataset, state: TrainingState | None = None) -> list[TrainingState]:
    """Train `model` and return the state after each epoch."""
    states: list[TrainingState] = []
    network = networks.build(model.network, seed=values.train.seed, precision="float32")
    train.train(network, data, model, values.train, state=state, on_epoch=states.append)
    return states


def equal(first: TrainingState, second: TrainingState) -> bool:
    """Tell whether two states hold the same history and, bit for bit, the same variables."""
    histories = [[{k: v for k, v in row.items() if k != "seconds"} for row in s.rows] for s in (first, second)]
    pairs = zip(first.variables, second.variables, strict=True)
    return histories[0] == histories[1] and all(np.array_equal(a, b) for a, b in pairs)


def test_every_epoch_has_an_order_of_its_own() -> None:
    """Each order visits every image once; epochs and seeds differ, and asking again gives the same."""
    orders = [epoch_order(seed, epoch, 1000) for seed in (0, 1) for epoch in (1, 2, 3)]

    assert all(np.array_equal(np.sort(order), np.arange(1000)) for order in orders)
    assert len({order.tobytes() for order in orders}) == 6
    assert np.array_equal(orders[0], epoch_order(0, 1, 1000))


@pytest.mark.fault("training interrupted")
@pytest.mark.parametrize("name", ["mlp_rmsprop", "mlp_adadelta", "cnn"])
def test_going_on_ends_in_the_bits_of_an_uninterrupted_training(values: Params, digits: Dataset, name: str) -> None:
    """Dropout, order and optimizer go on from a state as if nothing had happened."""
    few = Dataset(Split(digits.train.images[:300], digits.train.labels[:300]), None, digits.test)
    whole = run(values, short(values, name), few)

    resumed = run(values, short(values, name), few, state=whole[0])

    assert len(whole) == 3
    assert equal(whole[-1], resumed[-1])


def test_two_trainings_of_one_seed_are_equal_and_another_seed_differs(values: Params, digits: Dataset) -> None:
    """A training is a function of its seed."""
    model = short(values, "mlp_rmsprop", 2)
    other = values.model_copy(update={"train": values.train.model_copy(update={"seed": 1})})

    first = run(values, model, digits)[-1]

    assert equal(first, run(values, model, digits)[-1])
    assert not equal(first, run(other, model, digits)[-1])


def test_the_last_validation_scores_are_those_of_the_network(values: Params, digits: Dataset) -> None:
    """val_loss and val_accuracy of the last epoch are what the finished network scores in inference mode."""
    model = short(values, "mlp_adadelta", 2)
    network = networks.build(model.network, seed=0, precision="float32")

    row = train.train(network, digits, model, values.train).rows[-1]

    score = metrics.score(network.predict(digits.test.images, verbose=0), digits.test.labels, model.loss.clip)
    assert row["val_accuracy"] == pytest.approx(score.accuracy, abs=1e-6)
    assert row["val_loss"] == pytest.approx(score.loss, rel=1e-4)


def test_a_held_out_split_is_watched_instead_of_the_test_images(values: Params, digits: Dataset) -> None:
    """Where images are held out, the history is about them and the test images are not looked at."""
    held_out = Split(digits.test.images[:100], digits.test.labels[:100])
    unusable = Split(digits.test.images, (digits.test.labels + 1) % 10)
    model = short(values, "mlp_rmsprop", 1)

    watched = run(values, model, Dataset(digits.train, held_out, unusable))[-1].rows[-1]

    assert (
        watched["val_accuracy"]
        == run(values, model, Dataset(digits.train, None, held_out))[-1].rows[-1]["val_accuracy"]
    )


@pytest.mark.fault("training diverges: NaN")
def test_a_training_that_diverges_is_stopped(values: Params, digits: Dataset) -> None:
    """NaN in loss or weights ends the training with the epoch's number instead of a model."""
    model = short(values, "mlp_adadelta")
    wild = model.model_copy(update={"optimizer": model.optimizer.model_copy(update={"learning_rate": 1e30})})

    with pytest.raises(PipelineError, match=r"diverged in epoch 1: .*not finite"):
        run(values, wild, digits)
