"""The compiled loop against Keras' own training, batch by batch."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pipeline import schema
from pipeline.analysis import metrics
from pipeline.data.dataset import Dataset, Split
from pipeline.params import Params
from pipeline.training import networks
from pipeline.training.backend import keras
from pipeline.training.loop import Loop
from pipeline.training.settings import Loss, Sequential

BATCH = 32
RATE = 0.05
CLIPPED, UNBOUNDED = Loss(name="crossentropy", clip=1e-7), Loss(name="crossentropy", clip=None)


@pytest.fixture(params=["mlp_rmsprop", "cnn"])
def network(request: pytest.FixtureRequest, values: Params) -> Callable[[], Any]:
    """Return a maker of one network without dropout, so that nothing is random in a step."""
    model = values.models[request.param].network
    calm = model.model_copy(update={key: 0.0 for key in ("dropout", "pool_dropout") if hasattr(model, key)})
    return lambda: networks.build(calm, (28, 28), 10, seed=0, precision="float32")


def some(digits: Dataset, count: int) -> tuple[Split, np.ndarray]:
    """Return images, and the order of those of them that are trained on."""
    return digits.train, np.random.default_rng(0).permutation(len(digits.train))[:count]


def loop(network: Any, loss: Loss = CLIPPED, threads: int = 2) -> Loop:
    """Return the loop of a network under plain gradient descent, whose steps are the gradients."""
    optimizer = keras.optimizers.SGD(RATE)
    optimizer.build(network.trainable_variables)
    return Loop(network, optimizer, networks.loss(loss), batch_size=BATCH, parts=threads)


def assert_moved_alike(network: Any, other: Any) -> None:
    """Compare the weights of two networks after the same steps, whose sums were added up in different orders.

    Rounding alone leaves them within 1e-7. But its last bit can decide which of two nearly equal values is a pool's
    maximum, or on which side of a ReLU an activation lies, and then the gradient of one image takes another path. That
    touches the kernel of one filter, 3% of its layer, and moves it by at most one image's share of a step: the learning
    rate over the size of the batch, times a gradient below 1. A wrong gradient moves nearly all weights.
    """
    for weight, expected in zip(network.get_weights(), other.get_weights(), strict=True):
        apart = np.abs(weight - expected)
        assert np.mean(apart <= 1e-6 + 1e-5 * np.abs(expected)) >= 0.95
        assert apart.max() < RATE / BATCH


# The loss has nothing to do with the number of parts, and each combination is compiled, which takes a second.
@pytest.mark.parametrize(
    ("threads", "loss"), [(1, CLIPPED), (2, UNBOUNDED), (5, CLIPPED)], ids=["1-clipped", "2-unbounded", "5-clipped"]
)
def test_in_parts_it_is_keras_own_training(
    network: Callable[[], Any], digits: Dataset, loss: Loss, threads: int
) -> None:
    """Cut into any number of parts, three batches and a smaller one move weights and loss as Keras' train_on_batch."""
    split, order = some(digits, 3 * BATCH + 11)
    keras_own, ours = network(), network()
    keras_own.compile(keras.optimizers.SGD(RATE), networks.loss(loss))
    batches = [order[first : first + BATCH] for first in range(0, len(order), BATCH)]
    losses = [float(keras_own.train_on_batch(split.images[b], split.labels[b])) for b in batches]
    mean = np.average(losses, weights=[len(batch) for batch in batches])

    found, _ = loop(ours, loss, threads).fit(split, order, lambda _: None)

    assert found == pytest.approx(mean, rel=1e-4)
    assert_moved_alike(ours, keras_own)


def sliced(monkeypatch: pytest.MonkeyPatch, network: Any, images: float) -> None:
    """Leave room for the values of so many images in a thread."""
    outputs = [math.prod(layer.output.shape[1:]) for layer in network.layers]
    monkeypatch.setattr(networks, "_TRAINING_BYTES", 4 * images * sum(outputs))


@pytest.mark.parametrize("room", [3, 0.1], ids=["three-images", "not-even-one"])
def test_a_part_in_slices_is_keras_own_training_too(
    network: Callable[[], Any], digits: Dataset, monkeypatch: pytest.MonkeyPatch, room: float
) -> None:
    """Slice by slice, since the values of a part would take too much memory, a batch moves the weights all the same."""
    split, order = some(digits, BATCH + 5)
    keras_own, ours = network(), network()
    keras_own.compile(keras.optimizers.SGD(RATE), networks.loss(CLIPPED))
    for batch in (order[:BATCH], order[BATCH:]):
        keras_own.train_on_batch(split.images[batch], split.labels[batch])
    sliced(monkeypatch, ours, room)

    assert networks.slices(ours, BATCH // 2) == (6 if room == 3 else BATCH // 2)
    loop(ours).fit(split, order, lambda _: None)
    assert_moved_alike(ours, keras_own)


@pytest.mark.parametrize("count", [1, BATCH + 1])
def test_a_batch_may_have_fewer_images_than_parts(network: Callable[[], Any], digits: Dataset, count: int) -> None:
    """A part without an image adds nothing: a rest of one image is trained on as in one part."""
    split, order = some(digits, count)
    one, three = network(), network()

    means = [loop(net, threads=threads).fit(split, order, lambda _: None) for net, threads in ((one, 1), (three, 3))]

    assert means[1] == pytest.approx(means[0], rel=1e-4)
    assert_moved_alike(three, one)


@pytest.mark.parametrize("network", ["mlp_rmsprop"], indirect=True)
def test_progress_is_told_every_few_batches(network: Callable[[], Any], digits: Dataset) -> None:
    """The numbers of images add up to all of them, and none is so large that a signal would wait long."""
    split, order = some(digits, 1000)
    told: list[int] = []

    loop(network()).fit(split, order, told.append)

    assert sum(told) == 1000
    assert max(told) <= 16 * BATCH


@pytest.mark.parametrize("threads", [1, 3])
def test_scores_are_those_of_the_network(network: Callable[[], Any], digits: Dataset, threads: int) -> None:
    """Loss and accuracy are those of the probabilities that Keras' predict gives."""
    net = network()
    expected = metrics.score(net.predict(digits.train.images, verbose=0), digits.train.labels, CLIPPED.clip)

    loss, accuracy = loop(net, threads=threads).score(digits.train)

    assert loss == pytest.approx(expected["loss"], rel=1e-4)
    assert accuracy == pytest.approx(expected["accuracy"], abs=1e-9)


CONV = {"name": "conv2d", "filters": 4, "kernel": 3, "stride": 1, "padding": "same"}
NORM = {"name": "batch_norm", "momentum": 0.8, "epsilon": 1e-3}
RELU, POOL = {"name": "relu"}, {"name": "max_pool", "size": 2}
# Normalization before and after activations and pools, without a convolution, in residual layers and of rows.
NORMALIZED = {
    "pooled": [CONV, NORM, RELU, POOL, NORM, POOL, CONV, RELU, NORM, {"name": "flatten"}],
    "residual": [
        {"name": "depthwise_conv2d", "kernel": 3, "stride": 2, "padding": "same"},
        NORM,
        {"name": "residual", "layers": [CONV | {"stride": 2, "filters": 6}, NORM, RELU, CONV, NORM]},
        RELU,
        {"name": "global_average_pool"},
        {"name": "residual", "layers": [{"name": "dense", "units": 4}, NORM, RELU]},
    ],
}


@pytest.mark.parametrize("name", NORMALIZED)
@pytest.mark.parametrize("parts", [1, 2, 5])
def test_batch_normalization_is_keras_own(digits: Dataset, name: str, parts: int) -> None:
    """In any number of parts it is over the whole batch, and moves weights and moving averages as train_on_batch.

    The last batch has three images, fewer than parts.
    """
    settings = schema.validate(Sequential, {"name": "sequential", "layers": NORMALIZED[name]})
    keras_own, ours = (networks.build(settings, (28, 28), 10, seed=0, precision="float32") for _ in range(2))
    start = ours.get_weights()
    split, order = some(digits, 3 * BATCH + 3)
    keras_own.compile(keras.optimizers.SGD(RATE), networks.loss(CLIPPED))
    for first in range(0, len(order), BATCH):
        batch = order[first : first + BATCH]
        keras_own.train_on_batch(split.images[batch], split.labels[batch])

    loop(ours, threads=parts).fit(split, order, lambda _: None)

    for variable, expected, before in zip(ours.weights, keras_own.get_weights(), start, strict=True):
        apart, moved = np.linalg.norm(np.asarray(variable) - expected), np.linalg.norm(expected - before)
        # As above; but here the gradient of one image also moves what all others are normalized with.
        assert apart < 2e-3 * moved + 1e-5
        assert moved > 1e-4 or "bias" in variable.name
