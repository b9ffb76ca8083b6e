"""Optimizers and schedules of the learning rate, as params.yaml describes them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline.schema import Block, Epsilon, Fraction, Positive

Rate = Annotated[float, Field(gt=0)]


class RmspropParams(Block):
    """RMSprop; `epsilon_in_root: true` is Keras 3's rule, `false` the original's."""

    name: Literal["rmsprop"]
    learning_rate: Rate
    rho: Fraction
    epsilon: Epsilon
    epsilon_in_root: bool


class AdadeltaParams(Block):
    """Adadelta."""

    name: Literal["adadelta"]
    learning_rate: Rate
    rho: Fraction
    epsilon: Epsilon


class SgdParams(Block):
    """Gradient descent with momentum, which may be 0, and Nesterov's variant of it."""

    name: Literal["sgd"]
    learning_rate: Rate
    momentum: Fraction
    nesterov: bool


class AdamParams(Block):
    """Adam."""

    name: Literal["adam"]
    learning_rate: Rate
    beta_1: Fraction
    beta_2: Fraction
    epsilon: Epsilon


class AdamwParams(Block):
    """Adam with decoupled weight decay, of all trained variables alike."""

    name: Literal["adamw"]
    learning_rate: Rate
    beta_1: Fraction
    beta_2: Fraction
    epsilon: Epsilon
    weight_decay: Annotated[float, Field(ge=0, lt=1)]


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
    factor: Annotated[float, Field(gt=0, lt=1)]


AnySchedule = Annotated[Constant | Cosine | Step, Field(discriminator="name")]
