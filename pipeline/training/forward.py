"""The forward pass of training: a network's layers, some of which are computed in a quicker way than by Keras."""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipeline.training import normalization
from pipeline.training.backend import keras, tf


def forward(network: keras.Model, parts: Sequence[Any], shares: Sequence[Any]) -> list[Any]:
    """Return the probabilities (n, classes) of each of `parts`, uint8 images (n, ...), with dropout on.

    Batch normalization is over all parts, of whose images each has one of `shares`; these add up to 1.
    """
    readers = defaultdict(list)
    for layer in network.layers:
        for tensor in keras.tree.flatten(layer.input):
            readers[id(tensor)].append(layer)

    def only_reader(layer: keras.layers.Layer, kind: type[keras.layers.Layer]) -> keras.layers.Layer | None:
        match readers[id(layer.output)]:
            case [reader] if isinstance(reader, kind):
                return reader
        return None

    # Of each part, by the tensor of the network whose place they take.
    values = {id(network.inputs[0]): parts}
    left_out = {}
    for layer in network.layers:
        if id(layer.output) in values:
            continue
        inputs: Sequence[Any]
        if isinstance(layer.input, list):
            inputs = [*zip(*(values[id(tensor)] for tensor in layer.input), strict=True)]
        else:
            inputs = values[id(layer.input)]
        relu, pool = only_reader(layer, keras.layers.ReLU), only_reader(layer, keras.layers.MaxPooling2D)
        computed = [layer]
        in_parts = len(parts) > 1
        linear = getattr(layer, "activation", None) is keras.activations.linear
        match layer:
            case keras.layers.Conv2D() if pool and layer.activation in _BACKWARD:
                computed = [pool]
                outputs = [_pooled_convolution(layer, pool, part) for part in inputs]
            case keras.layers.Conv2D() if in_parts and linear and only_reader(layer, keras.layers.BatchNormalization):
                left_out[id(layer.output)] = layer.bias
                outputs = [layer.convolution_op(part, tf.cast(layer.kernel, part.dtype)) for part in inputs]
            case keras.layers.BatchNormalization() if in_parts:
                pool = only_reader(relu, keras.layers.MaxPooling2D) if relu else pool
                computed = [each for each in (layer, relu, pool) if each]
                bias = left_out.get(id(layer.input), 0.0)
                outputs = normalization.normalize(layer, bias, relu, pool, inputs, shares)
            case _ if type(layer) is keras.layers.Dropout:
                outputs = [_dropout(layer, part) for part in inputs]
            case _:
                outputs = [layer(part, training=True) for part in inputs]
        # Nothing else reads what lies between layers that are computed together.
        values |= dict.fromkeys((id(each.output) for each in computed), outputs)
    return list(values[id(network.outputs[0])])


def _pooled_convolution(convolution: keras.layers.Conv2D, pool: keras.layers.MaxPooling2D, values: Any) -> Any:
    """Return pool(activation(convolution + bias)), with the gradient of activation(pool(convolution) + bias).

    Both are the same, since ReLU and adding a bias do not change which of several values is the largest. The first is
    quicker forwards, where oneDNN adds and cuts off while it convolves; the second is quicker backwards, on fewer
    values.
    """
    kernel, bias = (tf.cast(variable, values.dtype) for variable in (convolution.kernel, convolution.bias))

    def pooled(convolved: Any, bias: Any) -> tuple[Any, Any]:
        active = convolution.activation(tf.nn.bias_add(convolved, bias))
        with tf.GradientTape() as tape:
            tape.watch(active)
            largest = pool(active)

        def gradient(upstream: Any) -> tuple[Any, Any]:
            before = _BACKWARD[convolution.activation](upstream, largest)
            rows = tf.reshape(before, (-1, convolution.filters))
            # The gradient that TensorFlow has for a bias keeps its sum in bfloat16, where more than some hundred values
            # are lost, and takes twice as long as this product, which oneDNN keeps in float32.
            total = tf.linalg.matmul(tf.ones((1, tf.shape(rows)[0]), rows.dtype), rows)[0]
            return tape.gradient(largest, active, before), total

        return largest, gradient

    return tf.custom_gradient(pooled)(convolution.convolution_op(values, kernel), bias)


# The gradient of the inputs from that of the results, and the results, of activations that never exchange the largest
# value for another.
_BACKWARD: Mapping[Any, Callable[[Any, Any], Any]] = {
    keras.activations.linear: lambda upstream, _: upstream,
    keras.activations.relu: lambda upstream, results: tf.raw_ops.ReluGrad(gradients=upstream, features=results),
}


def _dropout(layer: keras.layers.Dropout, values: Any) -> Any:
    """Return float `values` (n, ...) with dropout of the layer's rate, from 8 or 16 random bits per value.

    8 are exact where the rate is a multiple of 1/256. With 16 it is the multiple of 1/65536 next to the given rate,
    0.19999695 for 0.2. What is kept is divided by the share that this rate keeps, so its mean is exactly the input.
    Keras draws a float for each value, from 32 bits: that takes longer than all else in dropout.
    """
    if layer.rate == 0:
        return values
    bits = 8 if (256 * layer.rate).is_integer() else 16
    dropped = min(round(2**bits * layer.rate), 2**bits - 1)
    drawn = _random(bits, tf.shape(values)[0], values.shape[1:], layer.seed_generator.next())
    return values * (tf.cast(drawn >= dropped, values.dtype) * (2**bits / (2**bits - dropped)))


def _random(bits: int, count: Any, shape: Sequence[int], seed: Any) -> Any:
    """Return random integers (count, *shape) of 8 or 16 bits, cut from words of 32: a function of `seed` (2,)."""
    values, per_word = math.prod(shape), 32 // bits
    words = math.ceil(values / per_word)
    drawn = tf.random.stateless_uniform((count, words), seed, None, None, tf.uint32)
    pieces = tf.reshape(tf.bitcast(drawn, tf.as_dtype(f"uint{bits}")), (count, words * per_word))
    return tf.reshape(pieces[:, :values], (count, *shape))
