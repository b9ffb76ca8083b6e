"""What MLflow's pages show first of the current runs: training and validation in one chart, and a few columns.

MLflow keeps a saved view as a tag of the experiment, in the form in which its own pages write it.
"""

from __future__ import annotations

import json
from typing import Any

# The view's name in an address, and the tag that holds it.
KEY = "current"
TAG = f"mlflow.sharedViewState.{KEY}"
_COLUMNS = (
    *(f"metrics.`{name}`" for name in ("test_accuracy", "test_errors", "train_accuracy", "val_loss")),
    *(f"params.`{name}`" for name in ("network.name", "optimizer.name", "epochs")),
)
_SECTION = {"uuid": "curves", "name": "Training and validation by epoch", "display": True, "columns": 2}


def saved(query: str) -> str:
    """Return the tag's value for a view of the runs that `query` finds."""
    state = {
        "searchFilter": query,
        "selectedColumns": _COLUMNS,
        "compareRunCharts": [_chart("loss", "val_loss"), _chart("accuracy", "val_accuracy")],
        "compareRunSections": [_SECTION],
    }
    # No time of making: the same view is the same tag.
    return json.dumps({"name": "Current models", "createdAt": 0, "state": json.dumps(state)})


def _chart(*metrics: str) -> dict[str, Any]:
    """Return a chart with a line per run and metric, each metric in a style of its own."""
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
