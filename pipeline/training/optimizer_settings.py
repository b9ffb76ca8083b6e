"""Optimizers and schedules of the learning rate, as params.yaml describes them."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.schema import Block, Epsilon, Fraction, Positive

Rate = Annotated[float, Field(gt=0)]


class _Optimizer(Block):
    name: str
    learning_rate: Rate
    """The learning rate, in the first epoch if there is a schedule."""


class RmspropParams(_Optimizer):
    """RMSprop (Tieleman and Hinton, 2012)."""

    name: Literal["rmsprop"]
    rho: Fraction
    """Decay rate of the mean square of the gradients."""
    epsilon: Epsilon
    """Added to a divisor, so that it is not 0."""
    epsilon_in_root: bool
    """Whether epsilon is added inside the root, as in Keras 3, or to the root, as the original did."""


class AdadeltaParams(_Optimizer):
    """Adadelta (Zeiler, 2012, arXiv:1212.5701)."""

    name: Literal["adadelta"]
    rho: Fraction
    """Decay rate of the mean squares of gradients and steps."""
    epsilon: Epsilon
    """Added to both mean squares."""


class SgdParams(_Optimizer):
    """Stochastic gradient descent, with momentum or without."""

    name: Literal["sgd"]
    momentum: Fraction
    """The share of a step that the next one keeps; 0: none."""
    nesterov: bool
    """Whether the momentum is Nesterov's."""


class _Adam(_Optimizer):
    beta_1: Fraction
    """Decay rate of the mean of the gradients."""
    beta_2: Fraction
    """Decay rate of the mean square of the gradients."""
    epsilon: Epsilon
    """Added to a divisor, so that it is not 0."""


class AdamParams(_Adam):
    """Adam (Kingma and Ba, 2015, arXiv:1412.6980)."""

    name: Literal["adam"]


class AdamwParams(_Adam):
    """Adam with decoupled weight decay of all trained weights (Loshchilov and Hutter, 2019, arXiv:1711.05101)."""

    name: Literal["adamw"]
    weight_decay: Annotated[float, Field(ge=0, lt=1)]
    """The share of each weight, times the learning rate, that a step subtracts."""


AnyOptimizer = Annotated[
    RmspropParams | AdadeltaParams | SgdParams | AdamParams | AdamwParams, Field(discriminator="name")
]


class Constant(Block):
    """The optimizer's learning rate in every epoch."""

    name: Literal["constant"]


class Cosine(Block):
    """Half a cosine, from the optimizer's learning rate in the first epoch towards 0 after the last."""

    name: Literal["cosine"]


class Step(Block):
    """The learning rate times `factor` after every `epochs` epochs."""

    name: Literal["step"]
    epochs: Positive
    """The number of epochs between two changes, less than the model's."""
    factor: Annotated[float, Field(gt=0, lt=1)]
    """What the learning rate is multiplied by."""


AnySchedule = Annotated[Constant | Cosine | Step, Field(discriminator="name")]
