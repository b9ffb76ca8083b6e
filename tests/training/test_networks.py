"""Networks and loss against numpy and scipy."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.signal import correlate
from scipy.special import softmax, xlogy
from sklearn.utils.class_weight import compute_class_weight

from pipeline.data.dataset import Dataset
from pipeline.params import Params
from pipeline.training import networks, portable
from pipeline.training.backend import keras, tf
from pipeline.training.settings import Loss, Sequential


def build(values: Params, model: str, seed: int = 0, precision: str = "float32", **changes: object) -> keras.Sequential:
    """Return the network of one of the project's models, with changes."""
    params = values.models[model].network.model_copy(update=changes)
    return networks.build(params, (28, 28), 10, seed=seed, precision=precision)


@pytest.mark.parametrize(("model", "count"), [("mlp_rmsprop", 669_706), ("mlp_adadelta", 669_706), ("cnn", 1_199_882)])
def test_the_networks_have_as_many_parameters_as_the_reports(values: Params, model: str, count: int) -> None:
    """The layers are the report's, to the last weight."""
    assert build(values, model).count_params() == count


def test_the_mlp_computes_what_its_layers_say(values: Params, digits: Dataset) -> None:
    """Scaled pixels through two ReLU layers and a softmax, by numpy, give the MLP's probabilities."""
    network = build(values, "mlp_rmsprop")
    w1, b1, w2, b2, w3, b3 = (weights.astype(np.float64) for weights in network.get_weights())
    images = digits.test.images[:20]

    hidden = np.maximum(images.reshape(20, -1) / 255 @ w1 + b1, 0)
    hidden = np.maximum(hidden @ w2 + b2, 0)

    np.testing.assert_allclose(network(images), softmax(hidden @ w3 + b3, axis=1), rtol=1e-5)


def test_the_cnn_computes_what_its_layers_say(values: Params, digits: Dataset) -> None:
    """Valid convolutions, 2x2 maxima and two dense layers, by scipy and numpy, give the CNN's probabilities."""
    network = build(values, "cnn", filters=(3, 5), units=7)
    k1, b1, k2, b2, w1, c1, w2, c2 = (weights.astype(np.float64) for weights in network.get_weights())

    def convolve(planes: np.ndarray, kernels: np.ndarray, bias: np.ndarray) -> np.ndarray:
        maps = [correlate(planes, kernels[..., i], mode="valid")[..., 0] + bias[i] for i in range(len(bias))]
        return np.maximum(np.stack(maps, axis=-1), 0)

    for image in digits.test.images[:3]:
        maps = convolve(convolve(image[..., None] / 255, k1, b1), k2, b2)
        pooled = maps.reshape(12, 2, 12, 2, 5).max(axis=(1, 3))
        hidden = np.maximum(pooled.reshape(-1) @ w1 + c1, 0)
        np.testing.assert_allclose(network(image[None])[0], softmax(hidden @ w2 + c2), rtol=1e-4)


def test_initial_weights_are_glorot_uniform_functions_of_the_seed(values: Params) -> None:
    """The same seed gives the same weights, another seed others, all within Glorot's limit and filling it."""
    first, same, other = (build(values, "mlp_rmsprop", seed).get_weights()[0] for seed in (1, 1, 2))
    limit = np.sqrt(6 / (784 + 512))

    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)
    assert 0.99 * limit < np.abs(first).max() <= limit


def test_dropout_changes_no_initial_weight(values: Params) -> None:
    """Networks of one seed that differ in their dropout alone start from the same weights."""
    with_dropout, without = build(values, "cnn"), build(values, "cnn", dropout=0.0, pool_dropout=0.0)

    for first, second in zip(with_dropout.get_weights(), without.get_weights(), strict=True):
        assert np.array_equal(first, second)


def test_the_loss_is_the_clipped_cross_entropy() -> None:
    """The loss is minus the log of the true class's probability in [1e-7, 1 - 1e-7]: 16.118 at most."""
    probabilities = np.array([[0.7, 0.2, 0.1], [0.0, 0.4, 0.6], [1.0, 0.0, 0.0]], np.float32)
    loss = networks.loss(Loss(name="crossentropy", clip=1e-7))

    values = loss.call(tf.constant([0, 0, 0], tf.uint8), tf.constant(probabilities))

    np.testing.assert_allclose(values, -np.log([0.7, 1e-7, 1 - 1e-7]), rtol=1e-5, atol=1e-7)
    assert float(loss(np.zeros(3), probabilities)) == pytest.approx(np.mean(values))


def test_beyond_the_clip_nothing_is_learnt() -> None:
    """The clipped loss has no gradient where the true class's probability is below the clip; Keras 3's has."""
    logits = tf.constant([[-30.0, 0.0]])

    def gradient(loss: keras.losses.Loss) -> float:
        @tf.function
        def compute() -> object:
            with tf.GradientTape() as tape:
                tape.watch(logits)
                value = loss(tf.constant([0]), tf.nn.softmax(logits))
            return tape.gradient(value, logits)

        return float(np.abs(compute()).max())

    assert gradient(networks.loss(Loss(name="crossentropy", clip=1e-7))) == 0
    assert gradient(networks.loss(Loss(name="crossentropy", clip=None))) == pytest.approx(1)


def test_without_a_clip_the_loss_is_unbounded() -> None:
    """Keras 3's loss of a certain error is the difference of the logits, far above 16.118."""
    loss = networks.loss(Loss(name="crossentropy", clip=None))
    value = tf.function(lambda logits: loss(tf.constant([0]), tf.nn.softmax(logits)))(tf.constant([[-40.0, 0.0]]))

    assert float(value) == pytest.approx(40)


@pytest.mark.parametrize(
    ("build_loss", "clip"),
    [(networks.loss, 1e-7), (networks.loss, 0.01), (networks.loss, None), (portable.loss, 1e-7), (portable.loss, 0.01)],
)
def test_smoothed_targets_are_spread_over_all_classes(build_loss: Callable[[Loss], Any], clip: float | None) -> None:
    """The loss is scipy's cross-entropy against a target of which a share is spread evenly, of clipped probabilities.

    Where nothing is clipped, its gradient is Keras' own for such targets.
    """
    logits = np.random.default_rng(0).normal(0, 2, (50, 7)).astype(np.float32)
    labels = np.arange(50, dtype=np.uint8) % 7
    ours = build_loss(Loss(name="crossentropy", clip=clip, label_smoothing=0.2))
    keras_own = keras.losses.CategoricalCrossentropy(label_smoothing=0.2)
    target = 0.8 * np.eye(7)[labels] + 0.2 / 7
    probabilities = softmax(logits.astype(np.float64), axis=1)
    clipped = probabilities if clip is None else np.clip(probabilities, clip, 1 - clip)

    @tf.function
    def gradient(loss: Any, truth: Any) -> Any:
        values = tf.constant(logits)
        with tf.GradientTape() as tape:
            tape.watch(values)
            found = loss(truth, tf.nn.softmax(values))
        return found, tape.gradient(found, values)

    losses, slopes = gradient(ours.call, labels)
    np.testing.assert_allclose(losses, -xlogy(target, clipped).sum(axis=1), rtol=1e-4)
    if clip != 0.01:
        np.testing.assert_allclose(slopes, gradient(keras_own.call, tf.one_hot(labels, 7))[1], atol=1e-4)


def test_class_weights_are_those_of_scikit_learn() -> None:
    """Balanced weights are scikit-learn's, of mean 1 over the images; a class without images weighs nothing."""
    labels = np.repeat(np.array([0, 1, 3], np.uint8), [1, 10, 25])
    balanced = Loss(name="crossentropy", clip=1e-7, class_weight="balanced")

    weights = networks.class_weights(balanced, labels, 5)

    expected = compute_class_weight("balanced", classes=np.array([0, 1, 3]), y=labels)
    np.testing.assert_allclose(weights[[0, 1, 3]], expected, rtol=1e-6)
    assert weights[[2, 4]].tolist() == [0, 0]
    assert weights[labels].mean() == pytest.approx(1)
    assert networks.class_weights(balanced.scored, labels, 5) is None


@pytest.mark.fault("convolution of 1x1 with a stride, on a processor with AVX2 alone")
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_a_strided_convolution_of_one_pixel_is_keras_own(padding: str) -> None:
    """It is made without oneDNN's kernel for it, which breaks the memory of the process, and computes the same."""
    layer = {"name": "conv2d", "filters": 6, "kernel": 1, "stride": 2, "padding": padding}
    params = Sequential.model_validate({"name": "sequential", "layers": [layer, {"name": "global_average_pool"}]})
    network = networks.build(params, (9, 12), 3, seed=0, precision="float32")
    convolutions = [one for one in network.layers if isinstance(one, keras.layers.Conv2D)]
    kernel, bias = convolutions[0].get_weights()
    images = np.random.default_rng(0).integers(0, 256, (5, 9, 12), np.uint8)

    own = keras.layers.Conv2D(6, 1, strides=2, padding=padding)
    own.build((None, 9, 12, 1))
    own.set_weights([kernel, bias])
    wanted = own(images[..., None] / np.float32(255))

    inside = keras.Model(network.inputs[0], convolutions[0].output)
    assert [one.strides for one in convolutions] == [(1, 1)]
    assert np.allclose(inside(images), wanted, atol=1e-6)
