"""The compiled training loop: each thread computes one part of a batch, from its images to its gradients.

Where the values of all layers would take much memory, as with large images, a thread takes its part slice by slice.

By default TensorFlow divides every single operation among its threads, which then wait for each other hundreds of times
per step. `benchmarks/` measures both.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain, pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.dataset import Split
from pipeline.training import augmentation, forward, networks
from pipeline.training.backend import keras, tf

# What `augmentation.draw` returns.
Changes = Mapping[str, NDArray[Any]]
# Steps per call into TensorFlow: a call has a cost, and no signal is handled during it.
_STEPS = 16


class Loop:
    """Trains and scores one network, each batch of `batch_size` divided into `parts`, one for each thread.

    The gradients of the parts add up to that of the batch's mean loss. `loss` is what is scored, and also what is
    minimized, unless that is another `objective`, which returns the loss (n,) for labels and probabilities. `fit` is
    given changes of the kinds in `example`.
    """

    def __init__(
        self,
        network: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        loss: keras.losses.Loss,
        *,
        batch_size: int,
        parts: int,
        labels: str = "uint8",
        objective: Callable[[Any, Any], Any] | None = None,
        example: Changes = MappingProxyType({}),
    ) -> None:
        self._network, self._optimizer, self._loss, self._objective = network, optimizer, loss, objective
        self._batch_size, self._parts = batch_size, parts
        self._normalizes = any(isinstance(layer, keras.layers.BatchNormalization) for layer in network.layers)
        self._slices = networks.slices(network, -(-batch_size // parts))
        self._weights = [variable.value for variable in network.trainable_variables]
        split = (tf.TensorSpec(network.input_shape, "uint8"), tf.TensorSpec((None,), labels))
        changes = {name: tf.TensorSpec((None, *some.shape[1:]), some.dtype) for name, some in example.items()}
        self._fit = _compiled(self._fit_steps, *split, changes, tf.TensorSpec((None,), "int64"))
        self._score = _compiled(self._score_batch, *split)

    def fit(
        self,
        split: Split,
        order: NDArray[np.int64],
        on_images: Callable[[int], object],
        changes: Changes = MappingProxyType({}),
    ) -> tuple[float, float]:
        """Train on the images of `split` in `order`; the last batch may be smaller.

        `on_images` is called with the number of images trained on since its last call. Returns the running means of
        loss and accuracy: each image is scored with dropout on, as its batch is trained on. `changes` are those of
        `augmentation.draw`, which are made to each image first.
        """
        images, labels = tf.constant(split.images), tf.constant(split.labels)
        constant = {name: tf.constant(some) for name, some in changes.items()}
        sums = np.zeros(2)
        for first in range(0, len(order), self._batch_size * _STEPS):
            some = order[first : first + self._batch_size * _STEPS]
            sums += np.asarray(self._fit(images, labels, constant, tf.constant(some)))
            on_images(len(some))
        return _means(sums, len(order))

    def score(self, split: Split) -> tuple[float, float]:
        """Return the means of loss and accuracy over `split`, in inference mode."""
        sums = np.zeros(2)
        size = networks.scoring_batch(self._network)
        for first in range(0, len(split), size):
            batch = slice(first, first + size)
            sums += np.asarray(self._score(tf.constant(split.images[batch]), tf.constant(split.labels[batch])))
        return _means(sums, len(split))

    def _fit_steps(self, images: Any, labels: Any, changes: Any, order: Any) -> Any:
        def body(first: Any, sums: Any) -> tuple[Any, Any]:
            end = first + self._batch_size
            batch = tf.nest.map_structure(lambda rows: tf.gather(rows, order[first:end]), (images, labels, changes))
            return end, sums + self._step(*batch)

        return tf.while_loop(lambda first, _: first < tf.size(order), body, (0, tf.zeros(2)))[1]

    def _step(self, images: Any, labels: Any, changes: Any) -> Any:
        count, counted = tf.size(labels), tf.ones_like(labels, "bool")
        parts = _cut(self._parts, counted, images, labels, changes)
        # What is normalized together has its gradients from one tape.
        computed = (
            [self._gradients(count, parts)] if self._normalizes else [self._in_slices(count, part) for part in parts]
        )
        gradients, sums = zip(*computed, strict=True)
        whole = [tf.add_n(parts) for parts in zip(*gradients, strict=True)]
        self._optimizer.apply(whole, self._network.trainable_variables)
        return tf.add_n([*chain.from_iterable(sums)])

    def _in_slices(self, count: Any, part: tuple[Any, ...]) -> tuple[list[Any], list[Any]]:
        """Return what `_gradients` does of one part, of which the values of only one slice are in memory."""
        first, *others = _cut(self._slices, *part)
        total, sums = self._gradients(count, [first])
        for some in others:
            with tf.control_dependencies(total):
                waiting = tf.nest.map_structure(tf.identity, some)
            gradients, more = self._gradients(count, [waiting])
            total, sums = [one + other for one, other in zip(total, gradients, strict=True)], sums + more
        return total, sums

    def _gradients(self, count: Any, parts: Sequence[tuple[Any, ...]]) -> tuple[list[Any], list[Any]]:
        """Return the gradients of the batch's mean loss that come from `parts`, and the sums of each part's scores."""
        batch = tf.cast(count, tf.float32)
        changed = [augmentation.apply(images, changes) for _, images, _, changes in parts]
        with tf.GradientTape() as tape:
            shares = [tf.reduce_sum(tf.cast(counts, tf.float32)) / batch for counts, *_ in parts]
            outputs = forward.forward(self._network, changed, shares)
            sums, losses = [], []
            for (counts, _, labels, _), probabilities in zip(parts, outputs, strict=True):
                sums.append(self._sums(counts, labels, probabilities))
                minimized = sums[-1][0]
                if self._objective is not None:
                    minimized = tf.reduce_sum(tf.where(counts, self._objective(labels, probabilities), 0.0))
                losses.append(minimized / batch)
        return tape.gradient(losses, self._weights, unconnected_gradients=tf.UnconnectedGradients.ZERO), sums

    def _score_batch(self, images: Any, labels: Any) -> Any:
        return tf.add_n(
            [
                self._sums(counts, truth, self._network(some, training=False))
                for counts, some, truth in _cut(self._parts, tf.ones_like(labels, "bool"), images, labels)
            ]
        )

    def _sums(self, counts: Any, labels: Any, probabilities: Any) -> Any:
        """Return the sums of loss and of correct predictions over the images that count."""
        correct = tf.equal(tf.argmax(probabilities, axis=-1), tf.cast(labels, tf.int64))
        rows = tf.stack([self._loss.call(labels, probabilities), tf.cast(correct, tf.float32)])
        return tf.reduce_sum(tf.where(counts, rows, 0.0), axis=1)


def _cut(pieces: int, counted: Any, *rows: Any) -> list[tuple[Any, ...]]:
    """Return pieces of a batch: which of its images count, of those that do, and the rows of each tensor or dict."""
    if pieces == 1:
        return [(counted, *rows)]
    edges = [number * tf.size(counted) // pieces for number in range(pieces + 1)]
    # A convolution rejects an empty piece, so such a piece gets one image that does not count.
    ends = [tf.maximum(first + 1, end) for first, end in pairwise(edges)]
    cuts = zip(edges[:-1], edges[1:], ends, strict=True)
    return [
        (counted[a:c] & (tf.range(a, c) < b), *tf.nest.map_structure(lambda tensor, a=a, c=c: tensor[a:c], rows))
        for a, b, c in cuts
    ]


def _compiled(function: Callable[..., Any], *signature: Any) -> Any:
    # What AutoGraph would translate is written for TensorFlow here, and translating takes longer than tracing.
    return tf.function(function, input_signature=signature, autograph=False)


def _means(sums: NDArray[np.float64], count: int) -> tuple[float, float]:
    loss, accuracy = sums / count
    return float(loss), float(accuracy)
