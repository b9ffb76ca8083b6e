"""What training runs cost, as far as it can be known in advance: the multiply-adds of their networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline import schema
from pipeline.training import architecture
from pipeline.training.architecture import Network, Shape, with_channels
from pipeline.training.layers import Dense
from pipeline.training.settings import Model
from pipeline.trials.plan import Trajectory


def multiply_adds(network: Network, shape: Shape, classes: int) -> int:
    """Return the multiply-adds of the convolutions and dense layers for one image of `shape`, (h, w) or (h, w, c).

    A layer has its number of outputs times the number of inputs to each.
    """
    every = (*network.hidden().values(), Dense(name="dense", units=classes))
    return architecture.multiply_adds(every, with_channels(shape))


def of_run(trajectory: Trajectory, summary: Mapping[str, Any]) -> float:
    """Return the multiply-adds of a training run on the data set that `summary` is of, without their constant factor.

    The factor is that of the gradients, about 3.
    """
    model = schema.validate(Model, trajectory.longest.ingredients["model"], key="model")
    one = multiply_adds(model.network, tuple(summary["image"]), len(summary["classes"]))
    return float(one * summary["splits"]["train"]["count"] * model.epochs)
