"""What training runs cost, as far as it can be known in advance: the multiply-adds of their networks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline import schema
from pipeline.study.plan import Trajectory
from pipeline.training import settings
from pipeline.training.settings import Cnn, Conv2d, Dense, Flatten, MaxPool, Mlp, Model, Sequential, Shape


def multiply_adds(network: Mlp | Cnn | Sequential, shape: Shape, classes: int) -> int:
    """Return the multiply-adds of the convolutions and dense layers for one image of `shape`, (h, w) or (h, w, c).

    A layer has its number of outputs times the number of inputs to each.
    """
    current, total = shape if len(shape) == 3 else (*shape, 1), 0
    for layer in (*_layers(network), Dense(name="dense", units=classes)):
        after = settings.after(layer, current)
        if isinstance(layer, Conv2d):
            total += math.prod(after) * layer.kernel**2 * current[2]
        elif isinstance(layer, Dense):
            total += current[0] * layer.units
        current = after
    return total


def of(trajectory: Trajectory, summary: Mapping[str, Any]) -> float:
    """Return the multiply-adds of a training run on the data set that `summary` is of, without their constant factor.

    The factor is that of the gradients, about 3.
    """
    model = schema.validate(Model, trajectory.longest.ingredients["model"], key="model")
    one = multiply_adds(model.network, tuple(summary["image"]), len(summary["classes"]))
    return float(one * summary["splits"]["train"]["count"] * model.epochs)


def _layers(network: Mlp | Cnn | Sequential) -> Iterator[Any]:
    """Yield the layers that have multiply-adds or change the shape, without the last one."""
    match network:
        case Mlp():
            yield Flatten(name="flatten")
            yield from (Dense(name="dense", units=units) for units in network.units)
        case Cnn():
            for filters in network.filters:
                yield Conv2d(name="conv2d", filters=filters, kernel=network.kernel, stride=1, padding="valid")
            yield MaxPool(name="max_pool", size=network.pool)
            yield Flatten(name="flatten")
            yield Dense(name="dense", units=network.units)
        case Sequential():
            yield from network.layers
