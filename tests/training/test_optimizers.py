"""The update rules against float64 arithmetic written down from their definition."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pipeline import schema
from pipeline.params import Params
from pipeline.training import optimizers
from pipeline.training.backend import keras, tf
from pipeline.training.optimizer_settings import AdadeltaParams, AdamParams, AdamwParams, RmspropParams, SgdParams
from pipeline.training.settings import Model

STEPS = 100
RMSPROP = RmspropParams(name="rmsprop", learning_rate=0.001, rho=0.9, epsilon=1e-8, epsilon_in_root=False)
ADADELTA = AdadeltaParams(name="adadelta", learning_rate=1.0, rho=0.95, epsilon=1e-8)

ADAM = AdamParams(name="adam", learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7)
ADAMW = AdamwParams(name="adamw", learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7, weight_decay=0.01)

Rule = Callable[[np.ndarray], np.ndarray]


def rmsprop(gradients: np.ndarray, epsilon_in_root: bool = False, epsilon: float = 1e-8) -> np.ndarray:
    """Return the total move after all rows of `gradients`."""
    move, r = np.zeros(gradients.shape[1]), np.zeros(gradients.shape[1])
    for g in gradients:
        r = 0.9 * r + 0.1 * g**2
        move -= 0.001 * g / (np.sqrt(r + epsilon) if epsilon_in_root else np.sqrt(r) + epsilon)
    return move


def adadelta(gradients: np.ndarray) -> np.ndarray:
    """Return the total move after all rows of `gradients`."""
    move, r, s = (np.zeros(gradients.shape[1]) for _ in range(3))
    for g in gradients:
        r = 0.95 * r + 0.05 * g**2
        v = np.sqrt(s + 1e-8) / np.sqrt(r + 1e-8) * g
        move -= v
        s = 0.95 * s + 0.05 * v**2
    return move


def sgd(gradients: np.ndarray, momentum: float, nesterov: bool) -> np.ndarray:
    """Return the total move after all rows of `gradients`."""
    move, v = np.zeros(gradients.shape[1]), np.zeros(gradients.shape[1])
    for g in gradients:
        v = momentum * v - 0.1 * g
        move += momentum * v - 0.1 * g if nesterov else v
    return move


def adam(gradients: np.ndarray, decay: float = 0.0) -> np.ndarray:
    """Return the total move after all rows of `gradients`, from 0."""
    move, m, v = (np.zeros(gradients.shape[1]) for _ in range(3))
    for step, g in enumerate(gradients, start=1):
        move -= 0.001 * decay * move
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        move -= 0.001 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step) * m / (np.sqrt(v) + 1e-7)
    return move


def distance(optimizer: Any, rule: Rule, scale: float) -> float:
    """Return how far the optimizer's total move is from the rule's, relative to the latter."""
    gradients = np.random.default_rng(0).normal(0, scale, (STEPS, 500)).astype(np.float32)
    variable = keras.Variable(np.zeros(500, np.float32))
    optimizer.build([variable])
    # Compiled, as in the loop.
    step = tf.function(lambda gradient: optimizer.apply([gradient], [variable]))
    for gradient in gradients:
        step(tf.constant(gradient))
    expected = rule(gradients.astype(np.float64))
    return float(np.linalg.norm(np.asarray(variable) - expected) / np.linalg.norm(expected))


SGD = SgdParams(name="sgd", learning_rate=0.1, momentum=0.9, nesterov=True)
RULES: dict[str, tuple[Any, Rule]] = {
    "rmsprop": (RMSPROP, rmsprop),
    "adadelta": (ADADELTA, adadelta),
    "adam": (ADAM, adam),
    "adamw": (ADAMW, lambda g: adam(g, 0.01)),
    "sgd": (SGD.model_copy(update={"momentum": 0.0, "nesterov": False}), lambda g: sgd(g, 0.0, False)),
    "momentum": (SGD.model_copy(update={"nesterov": False}), lambda g: sgd(g, 0.9, False)),
    "nesterov": (SGD, lambda g: sgd(g, 0.9, True)),
}


@pytest.mark.parametrize("scale", [1, 1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize("name", RULES)
def test_a_hundred_steps_follow_the_rule(name: str, scale: float) -> None:
    """Optimizers move as their rules say, within float32's rounding, for gradients of any size."""
    params, rule = RULES[name]

    assert distance(optimizers.build(params), rule, scale) < 1e-5


@pytest.mark.parametrize("scale", [1, 1e-4, 1e-6])
def test_the_decay_of_weights_can_be_told(scale: float) -> None:
    """AdamW does not move as Adam does."""
    assert distance(optimizers.build(ADAMW), adam, scale) > 1e-4


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (None, [1, 1, 1, 1, 1, 1]),
        ({"name": "constant"}, [1, 1, 1, 1, 1, 1]),
        ({"name": "step", "epochs": 2, "factor": 0.1}, [1, 1, 0.1, 0.1, 0.01, 0.01]),
        ({"name": "cosine"}, (1 + np.cos(np.pi * np.arange(6) / 6)) / 2),
    ],
)
def test_the_learning_rate_follows_its_schedule(values: Params, schedule: Any, expected: Any) -> None:
    """The optimizer's rate, times what the schedule says of each epoch."""
    block = values.models["mlp_adadelta"].settings() | {"epochs": 6} | ({"schedule": schedule} if schedule else {})
    model = schema.validate(Model, block)

    rates = [optimizers.learning_rate(model, epoch) for epoch in range(1, 7)]

    np.testing.assert_allclose(rates, np.array(expected) * model.optimizer.learning_rate)


def test_epsilon_in_the_root_is_keras_own_rule() -> None:
    """With epsilon_in_root the optimizer divides by sqrt(r + epsilon)."""
    params = RMSPROP.model_copy(update={"epsilon": 1e-7, "epsilon_in_root": True})

    assert distance(optimizers.build(params), lambda g: rmsprop(g, True, 1e-7), 1e-4) < 1e-5


@pytest.mark.parametrize(
    ("default", "rule"),
    [
        (keras.optimizers.RMSprop(learning_rate=0.001, rho=0.9), rmsprop),
        (keras.optimizers.Adadelta(learning_rate=1.0, rho=0.95), adadelta),
        (keras.optimizers.Adadelta(rho=0.95, epsilon=1e-8), adadelta),
    ],
    ids=["rmsprop epsilon", "adadelta epsilon", "adadelta rate"],
)
def test_the_defaults_of_keras_are_other_rules(default: Any, rule: Rule) -> None:
    """Leaving epsilon or Adadelta's rate to Keras would be found out by this measure."""
    assert distance(default, rule, 1e-3) > 0.1
