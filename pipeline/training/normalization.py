"""Batch normalization of a batch in parts: each part's moments are combined, and each part is normalized with these.

The gradients follow by the chain rule: those of the batch's mean and variance add up over all parts, and flow back into
each part through its own moments. Only what is computed from whole parts is written out here, in operations that read
and write them once.
"""

from collections.abc import Callable, Sequence
from typing import Any

from pipeline.training.backend import keras, tf


def normalize(
    layer: keras.layers.BatchNormalization,
    bias: Any,
    relu: keras.layers.ReLU | None,
    pool: keras.layers.MaxPooling2D | None,
    parts: Sequence[Any],
    shares: Sequence[Any],
) -> list[Any]:
    """Return pool(relu(layer(part))) of each of `parts` (n, ..., channels), as in training; update the moving averages.

    `shares` are the parts' shares in the batch. `bias` (c,) has not been added to the parts: it changes nothing but the
    mean, so its gradient is 0. Without `relu` or `pool` these are left out.
    """
    moments = [tf.custom_gradient(_moments)(_image(part)) for part in parts]
    weighted = [*zip(shares, moments, strict=True)]
    mean = tf.add_n([share * own for share, (own, _) in weighted])
    # Chan, Golub and LeVeque, Updating formulae and a pairwise algorithm for computing sample variances, 1979.
    variance = tf.add_n([share * (spread + tf.square(own - mean)) for share, (own, spread) in weighted])
    for moving, current in ((layer.moving_mean, mean + bias), (layer.moving_variance, variance)):
        moving.assign(moving * layer.momentum + current * (1 - layer.momentum))
    scale = tf.custom_gradient(_scaling(layer.epsilon, relu, pool))
    statistics = mean, variance, layer.gamma.value, layer.beta.value
    return [_like(scale(_image(part), *statistics), part) for part in parts]


def _image(values: Any) -> Any:
    return values if len(values.shape) == 4 else values[:, tf.newaxis, tf.newaxis, :]


def _like(values: Any, part: Any) -> Any:
    return values if len(part.shape) == 4 else values[:, 0, 0, :]


def _moments(values: Any) -> tuple[tuple[Any, Any], Callable[[Any, Any], Any]]:
    """Return the mean and variance (c,) of `values` (n, h, w, c), in float32, and the gradient."""
    ones, zeros = tf.ones(values.shape[-1]), tf.zeros(values.shape[-1])
    *_, mean, variance, _ = tf.raw_ops.FusedBatchNormV3(
        x=values, scale=ones, offset=zeros, mean=[], variance=[], is_training=True
    )

    def gradient(of_mean: Any, of_variance: Any) -> Any:
        # of_mean / count + of_variance 2 (values - mean) / count
        count = tf.cast(tf.size(values) / tf.size(mean), tf.float32)
        return tf.raw_ops.FusedBatchNormV3(
            x=values,
            scale=2 * of_variance / count,
            offset=of_mean / count,
            mean=mean,
            variance=ones,
            epsilon=0.0,
            is_training=False,
        ).y

    return (mean, variance), gradient


def _scaling(
    epsilon: float, relu: keras.layers.ReLU | None, pool: keras.layers.MaxPooling2D | None
) -> Callable[..., Any]:
    def scaled(values: Any, mean: Any, variance: Any, gamma: Any, beta: Any) -> tuple[Any, Callable[[Any], Any]]:
        results = tf.raw_ops.FusedBatchNormV3(
            x=values, scale=gamma, offset=beta, mean=mean, variance=variance, epsilon=epsilon, is_training=False
        ).y
        # Here, and not in a layer of its own, TensorFlow computes it with the scaling.
        results = tf.nn.relu(results) if relu else results
        with tf.GradientTape() as tape:
            tape.watch(results)
            largest = pool(results) if pool else results

        def gradient(upstream: Any) -> tuple[Any, ...]:
            # Of a pool's results there are fewer, and where the largest value is cut off, so are all.
            upstream = tf.raw_ops.ReluGrad(gradients=upstream, features=largest) if relu else upstream
            upstream = tape.gradient(largest, results, upstream) if pool else upstream
            of_values, of_gamma, of_beta, *_ = tf.raw_ops.FusedBatchNormGradV3(
                y_backprop=upstream,
                x=values,
                scale=gamma,
                reserve_space_1=mean,
                reserve_space_2=variance,
                reserve_space_3=variance,
                epsilon=epsilon,
                is_training=False,
            )
            spread = variance + epsilon
            return (
                of_values,
                -gamma * tf.math.rsqrt(spread) * of_beta,
                -gamma * of_gamma / (2 * spread),
                of_gamma,
                of_beta,
            )

        return largest, gradient

    return scaled
