"""What MLflow's pages show above the runs and in their charts: a saved view of the current runs, a colour per model.

The view has training and validation in one chart, and a few columns. MLflow keeps it as a tag of the experiment, in the
form in which its own pages write it.

A run's colour is derived from its random id, so that two models may get the same, unless a tag gives it one.
"""

from __future__ import annotations

import colorsys
import json
from collections.abc import Collection
from typing import Any

from pipeline.reporting import colours

# The tag that separates the runs of the files in the workspace from earlier ones, and the query for the former.
STATE = "dvc.state"
CURRENT = f"tags.`{STATE}` = 'current'"
# The name of the view in an address, and the tag that holds it.
KEY = "current"
TAG = f"mlflow.sharedViewState.{KEY}"
_COLUMNS = (
    *(f"metrics.`{name}`" for name in ("test_accuracy", "test_errors", "train_accuracy", "val_loss", "val_loss_rise")),
    "tags.`overfitting`",
    *(f"params.`{name}`" for name in ("network.name", "optimizer.name", "epochs")),
)
_SECTION = {"uuid": "curves", "name": "Training and validation by epoch", "display": True, "columns": 2}
# The tag that MLflow's pages read, and write where somebody chooses another colour there.
COLOUR = "mlflow.runColor"
_HUES, _LIGHTNESSES, _SATURATION = 60, (0.35, 0.45, 0.55, 0.65), 0.65


def saved() -> str:
    """Return the value of the tag with the saved view."""
    state = {
        "searchFilter": CURRENT,
        "selectedColumns": _COLUMNS,
        "compareRunCharts": [_chart("loss", "val_loss"), _chart("accuracy", "val_accuracy")],
        "compareRunSections": [_SECTION],
    }
    # No time of creation: the same view is the same tag.
    return json.dumps({"name": "Current models", "createdAt": 0, "state": json.dumps(state)})


def _chart(*metrics: str) -> dict[str, Any]:
    """Return a chart with a line per run and metric, and a line style per metric."""
    return {
        "type": "LINE",
        "uuid": metrics[0],
        "metricSectionId": _SECTION["uuid"],
        "metricKey": metrics[0],
        "selectedMetricKeys": metrics,
        "xAxisKey": "step",
        "lineSmoothness": 0,
        "displayPoints": False,
        "runsCountToCompare": 10,
    }


def free_colour(name: str, taken: Collection[str]) -> str:
    """Return the first colour of our figures that is not `taken`, from `name`'s own on; else the least similar one."""
    own = colours.PALETTE.index(colours.of_models([name])[name].colour)
    used = {colour.lower() for colour in taken}
    for colour in (*colours.PALETTE[own:], *colours.PALETTE[:own]):
        if colour.lower() not in used:
            return colour
    known = [_channels(colour) for colour in used]
    return max(_more(), key=lambda colour: min(_distance(_channels(colour), other) for other in known))


def _more() -> list[str]:
    return [
        "#" + "".join(f"{round(255 * part):02x}" for part in colorsys.hls_to_rgb(hue / _HUES, lightness, _SATURATION))
        for lightness in _LIGHTNESSES
        for hue in range(_HUES)
    ]


def _channels(colour: str) -> tuple[int, ...]:
    digits = colour.removeprefix("#")
    try:
        return tuple(int(digits[first : first + 2], 16) for first in (0, 2, 4))
    except ValueError:
        # Whatever somebody wrote there by hand.
        return (0, 0, 0)


def _distance(first: tuple[int, ...], second: tuple[int, ...]) -> int:
    return sum((one - other) ** 2 for one, other in zip(first, second, strict=True))
