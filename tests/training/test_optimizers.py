"""The update rules against float64 arithmetic written down from their definition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pipeline.params import AdadeltaParams, RmspropParams
from pipeline.training import optimizers
from pipeline.training.backend import keras

STEPS = 100
RMSPROP = RmspropParams(name="rmsprop", learning_rate=0.001, rho=0.9, epsilon=1e-8, epsilon_in_root=False)
ADADELTA = AdadeltaParams(name="adadelta", learning_rate=1.0, rho=0.95, epsilon=1e-8)

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


def distance(optimizer: Any, rule: Rule, scale: float) -> float:
    """Return how far the optimizer's total move is from the rule's, relative to the latter."""
    gradients = np.random.default_rng(0).normal(0, scale, (STEPS, 500)).astype(np.float32)
    variable = keras.Variable(np.zeros(500, np.float32))
    optimizer.build([variable])
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
    expected = rule(gradients.astype(np.float64))
    return float(np.linalg.norm(np.asarray(variable) - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize("scale", [1, 1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize(("params", "rule"), [(RMSPROP, rmsprop), (ADADELTA, adadelta)], ids=["rmsprop", "adadelta"])
def test_a_hundred_steps_follow_the_rule(params: Any, rule: Rule, scale: float) -> None:
    """Both optimizers move as the report's rules say, within float32's rounding, for gradients of any size."""
    assert distance(optimizers.build(params), rule, scale) < 1e-5


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
