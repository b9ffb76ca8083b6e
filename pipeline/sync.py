"""Bring MLflow up to the files in the workspace: make runs that it lacks, complete those that an outage cut short."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from pipeline import cli, params, tracking
from pipeline.errors import InputError, PipelineError, UnavailableError
from pipeline.tracking import Outcome


def _sync_all(outcomes: list[Outcome], work: Path) -> int:
    """Sync each of `outcomes`, say what came of it, and return the exit code: one that is refused stops no other."""
    runs, code = [], 0
    for one in outcomes:
        try:
            with tracking.reachable():
                run, added = tracking.sync(one, work)
        except UnavailableError:
            raise
        except PipelineError as error:
            print(f"error: {one.name}: {error}", file=sys.stderr)
            code = max(code, error.exit_code)
        else:
            runs.append(run)
            print(f"{one.name}: {'added to MLflow' if added else 'complete in MLflow'}", flush=True)
    code = max(code, _restore_champion())
    if runs:
        print(f"current runs: {tracking.page_of(runs)}")
    return code


def _restore_champion() -> int:
    """Give MLflow the champion of the file that tells of one, say what came of it, and return the exit code."""
    try:
        with tracking.reachable():
            done = tracking.promotion.restore()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    if done:
        print(done)
    return 0


def main() -> int:
    """Give MLflow what it lacks of the trained models in the workspace."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.sync", description=main.__doc__)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="the experiment's settings")
    parser.add_argument("--work", type=Path, default=Path(os.environ.get("DVC_ROOT", ".")) / "work", help="checkpoints")
    arguments = parser.parse_args()
    outcomes = {name: tracking.trained(name) for name in params.load(arguments.params).models}
    for name, found in outcomes.items():
        if found is None:
            print(f"{name}: not trained and evaluated as it is now; `make repro` does it")
    return _sync_all([found for found in outcomes.values() if found], arguments.work)


if __name__ == "__main__":
    cli.run(main)
