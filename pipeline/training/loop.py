"""The compiled training loop: each thread computes one part of a batch, from its images to its gradients.

By default TensorFlow divides every single operation among its threads, which then wait for each other hundreds of times
per step. `benchmarks/` measures both.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.dataset import Split
from pipeline.training import augmentation, forward
from pipeline.training.backend import keras, tf

# Steps per call into TensorFlow: a call has a cost, and no signal is handled during it.
_STEPS = 16
# Scoring keeps no gradients, so it can afford larger batches; the scores do not depend on the size.
_SCORING_BATCH = 1000


class Loop:
    """Trains and scores one network, each batch of `batch_size` divided into `parts`, one for each thread.

    The gradients of the parts add up to that of the batch's mean loss. A network that normalizes over the batch needs
    it in one part. Images are moved by up to `shift` pixels where `fit` is given moves.
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
        shift: int = 0,
    ) -> None:
        self._network, self._optimizer, self._loss = network, optimizer, loss
        self._batch_size, self._parts, self._shift = batch_size, parts, shift
        self._weights = [variable.value for variable in network.trainable_variables]
        split = (tf.TensorSpec(network.input_shape, "uint8"), tf.TensorSpec((None,), labels))
        order, moves = tf.TensorSpec((None,), "int64"), tf.TensorSpec((None, 3), "int32")
        self._fit = _compiled(self._fit_steps, *split, order)
        self._fit_moved = _compiled(self._fit_moved_steps, *split, order, moves)
        self._score = _compiled(self._score_batch, *split)

    def fit(
        self,
        split: Split,
        order: NDArray[np.int64],
        on_images: Callable[[int], object],
        moves: NDArray[np.int32] | None = None,
    ) -> tuple[float, float]:
        """Train on the images of `split` in `order`; the last batch may be smaller.

        `on_images` is called with the number of images trained on since its last call. Returns the running means of
        loss and accuracy: each image is scored with dropout on, as its batch is trained on. `moves` (n, 3) are those of
        `augmentation.draw`, by which each image is moved first.
        """
        images, labels = tf.constant(split.images), tf.constant(split.labels)
        step = self._fit if moves is None else self._fit_moved
        more = [] if moves is None else [tf.constant(moves)]
        sums = np.zeros(2)
        for first in range(0, len(order), self._batch_size * _STEPS):
            some = order[first : first + self._batch_size * _STEPS]
            sums += np.asarray(step(images, labels, tf.constant(some), *more))
            on_images(len(some))
        return _means(sums, len(order))

    def score(self, split: Split) -> tuple[float, float]:
        """Return the means of loss and accuracy over `split`, in inference mode."""
        sums = np.zeros(2)
        for first in range(0, len(split), _SCORING_BATCH):
            batch = slice(first, first + _SCORING_BATCH)
            sums += np.asarray(self._score(tf.constant(split.images[batch]), tf.constant(split.labels[batch])))
        return _means(sums, len(split))

    def _fit_steps(self, images: Any, labels: Any, order: Any) -> Any:
        return self._each(order, lambda batch: self._step(tf.gather(images, batch), tf.gather(labels, batch)))

    def _fit_moved_steps(self, images: Any, labels: Any, order: Any, moves: Any) -> Any:
        def step(batch: Any) -> Any:
            moved = augmentation.apply(tf.gather(images, batch), tf.gather(moves, batch), self._shift)
            return self._step(moved, tf.gather(labels, batch))

        return self._each(order, step)

    def _each(self, order: Any, step: Callable[[Any], Any]) -> Any:
        """Return the sum of what `step` returns for each batch of `order`."""

        def body(first: Any, sums: Any) -> tuple[Any, Any]:
            end = first + self._batch_size
            return end, sums + step(order[first:end])

        return tf.while_loop(lambda first, _: first < tf.size(order), body, (0, tf.zeros(2)))[1]

    def _step(self, images: Any, labels: Any) -> Any:
        count = tf.cast(tf.size(labels), tf.float32)
        gradients, sums = zip(*(self._gradients(*part, count) for part in self._cut(images, labels)), strict=True)
        whole = [tf.add_n(parts) for parts in zip(*gradients, strict=True)]
        self._optimizer.apply(whole, self._network.trainable_variables)
        return tf.add_n(sums)

    def _gradients(self, images: Any, labels: Any, counts: Any, batch: Any) -> tuple[list[Any], Any]:
        with tf.GradientTape() as tape:
            sums = self._sums(images, labels, counts, training=True)
            loss = sums[0] / batch
        return tape.gradient(loss, self._weights), sums

    def _score_batch(self, images: Any, labels: Any) -> Any:
        return tf.add_n([self._sums(*part, training=False) for part in self._cut(images, labels)])

    def _sums(self, images: Any, labels: Any, counts: Any, *, training: bool) -> Any:
        """Return the sums of loss and of correct predictions over the images that count."""
        probabilities = forward.forward(self._network, images) if training else self._network(images, training=False)
        correct = tf.equal(tf.argmax(probabilities, axis=-1), tf.cast(labels, tf.int64))
        rows = tf.stack([self._loss.call(labels, probabilities), tf.cast(correct, tf.float32)])
        return tf.reduce_sum(tf.where(counts, rows, 0.0), axis=1)

    def _cut(self, images: Any, labels: Any) -> list[tuple[Any, Any, Any]]:
        edges = [number * tf.size(labels) // self._parts for number in range(self._parts + 1)]
        # A convolution rejects an empty part, so such a part gets one image that does not count.
        ends = [tf.maximum(first + 1, end) for first, end in pairwise(edges)]
        cuts = zip(edges[:-1], edges[1:], ends, strict=True)
        return [(images[a:c], labels[a:c], tf.range(a, c) < b) for a, b, c in cuts]


def _compiled(function: Callable[..., Any], *signature: Any) -> Any:
    # What AutoGraph would translate is written for TensorFlow here, and translating takes longer than tracing.
    return tf.function(function, input_signature=signature, autograph=False)


def _means(sums: NDArray[np.float64], count: int) -> tuple[float, float]:
    loss, accuracy = sums / count
    return float(loss), float(accuracy)
