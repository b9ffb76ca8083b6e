"""A saved view in MLflow's pages: the current runs, training and validation in one chart, and a few columns.

MLflow keeps a saved view as a tag of the experiment, in the form in which its own pages write it.
"""

from __future__ import annotations

import json
from typing import Any

# The name of the view in an address, and the tag that holds it.
KEY = "current"
TAG = f"mlflow.sharedViewState.{KEY}"
_COLUMNS = (
    *(f"metrics.`{name}`" for name in ("test_accuracy", "test_errors", "train_accuracy", "val_loss", "val_loss_rise")),
    "tags.`overfitting`",
    *(f"params.`{name}`" for name in ("network.name", "optimizer.name", "epochs")),
)
_SECTION = {"uuid": "curves", "name": "Training and validation by epoch", "display": True, "columns": 2}


def saved(query: str) -> str:
    """Return the value of the tag, for a view of the runs that `query` finds."""
    state = {
        "searchFilter": query,
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
