"""Update rules, the original's exactly among them, and the learning rate by epoch, built from params."""

import math
from typing import Any

from pipeline.training.backend import keras, tf
from pipeline.training.optimizer_settings import (
    AdadeltaParams,
    AdamParams,
    AdamwParams,
    AnyOptimizer,
    Cosine,
    RmspropParams,
    SgdParams,
    Step,
)
from pipeline.training.settings import Model


class RMSprop(keras.optimizers.RMSprop):
    """RMSprop with epsilon added to the root, as the original prints it and Keras computed it before version 3.

    r <- rho r + (1 - rho) g^2;  w <- w - learning_rate g / (sqrt(r) + epsilon)

    Keras 3 divides by sqrt(r + epsilon) instead, which slows every weight whose r is near epsilon.
    Source: Tieleman and Hinton, Lecture 6.5 of Neural Networks for Machine Learning, 2012.
    """

    def build(self, variables: Any) -> None:
        """Create a mean square for each of `variables`, and memory that the kernel writes to and takes nothing from."""
        super().build(variables)
        self._unused = [tf.Variable(tf.zeros_like(variable)) for variable in variables]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Apply one step to `variable`, a tensor of any shape; `gradient` has the same shape.

        This is a step of Adam with Nesterov's momentum where the momentum is 0 and nothing is corrected for a start
        from 0, and TensorFlow has a kernel that makes it in one go.
        """
        index = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._unused[index].handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.constant(0, variable.dtype),
            beta2_power=tf.constant(0, variable.dtype),
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=tf.constant(0, variable.dtype),
            beta2=tf.constant(self.rho, variable.dtype),
            epsilon=tf.constant(self.epsilon, variable.dtype),
            grad=gradient,
            use_nesterov=True,
        )


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


def build(params: AnyOptimizer) -> keras.optimizers.Optimizer:
    """Return the optimizer that `params` describe, leaving nothing that changes a step to a default.

    SGD is w <- w - rate g without momentum; with it v <- momentum v - rate g, w <- w + v, or Nesterov's w <- w +
    momentum v - rate g (Sutskever et al., On the importance of initialization and momentum in deep learning, 2013).
    Adam is algorithm 1 of Kingma and Ba, 2015, arXiv:1412.6980, in the form with epsilon outside of the corrected root:
    m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;
    w <- w - rate sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + epsilon)
    AdamW first takes rate weight_decay w from every variable (Loshchilov and Hutter, 2019, arXiv:1711.05101).
    """
    arguments = params.model_dump(exclude={"name", "epsilon_in_root"})
    match params:
        case AdadeltaParams():
            return Adadelta(**arguments)
        case RmspropParams():
            rule = keras.optimizers.RMSprop if params.epsilon_in_root else RMSprop
            return rule(**arguments, momentum=0.0, centered=False)
        case SgdParams():
            return keras.optimizers.SGD(**arguments)
        case AdamParams():
            return keras.optimizers.Adam(**arguments, amsgrad=False)
        case AdamwParams():
            return keras.optimizers.AdamW(**arguments, amsgrad=False)


def learning_rate(model: Model, epoch: int) -> float:
    """Return the learning rate of a model in an epoch (from 1): the optimizer's, as its schedule changes it."""
    rate = model.optimizer.learning_rate
    match model.schedule:
        case Cosine():
            return rate * (1 + math.cos(math.pi * (epoch - 1) / model.epochs)) / 2
        case Step():
            return float(rate * model.schedule.factor ** ((epoch - 1) // model.schedule.epochs))
    return rate
