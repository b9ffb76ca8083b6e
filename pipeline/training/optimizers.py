"""The original's update rules, exactly, built from params."""

from __future__ import annotations

from typing import Any

from pipeline.params import AdadeltaParams, RmspropParams
from pipeline.training.backend import keras, tf


@keras.saving.register_keras_serializable(package="pipeline")
class RMSprop(keras.optimizers.RMSprop):
    """RMSprop with epsilon added to the root, as the original prints it and Keras computed it before version 3.

    r <- rho r + (1 - rho) g^2;  w <- w - learning_rate g / (sqrt(r) + epsilon)

    Keras 3 divides by sqrt(r + epsilon) instead, which slows every weight whose r is near epsilon.
    Source: Tieleman and Hinton, Lecture 6.5 of Neural Networks for Machine Learning, 2012.
    """

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Apply one step to `variable`, a tensor of any shape; `gradient` has the same shape."""
        rate = keras.ops.cast(learning_rate, variable.dtype)
        gradient = keras.ops.cast(gradient, variable.dtype)
        mean_square = self._velocities[self._get_variable_index(variable)]
        self.assign(mean_square, self.rho * mean_square + (1 - self.rho) * keras.ops.square(gradient))
        self.assign_sub(variable, rate * gradient / (keras.ops.sqrt(mean_square) + self.epsilon))


@keras.saving.register_keras_serializable(package="pipeline")
class Adadelta(keras.optimizers.Adadelta):
    """Adadelta in one pass over the weights: TensorFlow's fused kernel, where Keras chains a dozen operations.

    r <- rho r + (1 - rho) g^2;  v = sqrt(s + epsilon) / sqrt(r + epsilon) g;  w <- w - learning_rate v;
    s <- rho s + (1 - rho) v^2

    Source: Zeiler, ADADELTA: An Adaptive Learning Rate Method, 2012, arXiv:1212.5701.
    """

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Apply one step to `variable`, a tensor of any shape; `gradient` has the same shape."""
        index = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdadelta(
            var=variable.handle,
            accum=self._accumulated_grads[index].value.handle,
            accum_update=self._accumulated_delta_vars[index].value.handle,
            lr=tf.cast(learning_rate, variable.dtype),
            rho=tf.constant(self.rho, variable.dtype),
            epsilon=tf.constant(self.epsilon, variable.dtype),
            grad=gradient,
        )


def build(params: RmspropParams | AdadeltaParams) -> keras.optimizers.Optimizer:
    """Return the optimizer that `params` describe, leaving nothing that changes a step to a default."""
    arguments = {"learning_rate": params.learning_rate, "rho": params.rho, "epsilon": params.epsilon}
    if params.name == "adadelta":
        return Adadelta(**arguments)
    rule = keras.optimizers.RMSprop if params.epsilon_in_root else RMSprop
    return rule(**arguments, momentum=0.0, centered=False)
