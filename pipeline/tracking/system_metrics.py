"""MLflow's own record of the machine's load during a run, where MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING asks for it.

MLflow starts it only for runs that its fluent interface creates, and ours are not.
"""

from __future__ import annotations

import sys
from typing import Any

from pipeline.tracking import client
from pipeline.tracking.client import mlflow


def start(run_id: str) -> Any:
    """Return a started monitor of the machine that logs to the run; None where it is not asked for or cannot be.

    It samples in a thread of its own until the run ends or its `finish` is called.
    """
    try:
        if not mlflow.environment_variables.MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING.get():
            return None
        # After our settings, and only where it is needed: it takes a while.
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        monitor = SystemMetricsMonitor(run_id, resume_logging=True)
        monitor.start()
    except Exception as error:
        # Whatever it is, a run does without.
        print(f"warning: no system metrics ({client.reason(error)})", file=sys.stderr)
        return None
    return monitor
