"""Bring MLflow up to date with the files in the workspace: add missing runs and files, complete interrupted runs."""

import argparse
import os
import sys
from pathlib import Path

from pipeline import cli, params, tracking
from pipeline.errors import InputError, PipelineError, UnavailableError


def sync(params_path: Path, work: Path, *, served: bool = True) -> tuple[int, dict[str, str]]:
    """Bring MLflow up to date with the models of the params file, print the results, and return exit code and states.

    An error of one model does not stop the others. `served` is whether somebody is about to look at the address of the
    current runs.
    """
    values = params.load(params_path)
    models = {name: tracking.trained_model(name, values.overfitting) for name in values.models}
    trained = [model for model in models.values() if model]
    states = {name: "out of date" for name, model in models.items() if model is None}
    for name in states:
        print(f"{name}: out of date: code or params changed since it was trained or evaluated; run `make repro`")
    for other in {model.dataset for model in trained} - {values.data.dataset}:
        print(f"trained on {other}; {params_path} names {values.data.dataset}, on which `make repro` trains")
    with tracking.reachable():
        for name in tracking.retire_others(list(models)):
            print(f"{name}: its run is not current any more, its model is not in the workspace")
    runs, complete, code = [], [], 0
    for model in trained:
        try:
            with tracking.reachable():
                run, added = tracking.sync_model(model, work)
        except UnavailableError:
            raise
        except PipelineError as error:
            print(f"error: {model.name}: {error}", file=sys.stderr)
            states[model.name], code = f"error: {error}", max(code, error.exit_code)
        else:
            runs.append(run)
            complete.append((model.name, model.dataset))
            states[model.name] = "added to MLflow" if added else "complete in MLflow"
            print(f"{model.name}: {states[model.name]}", flush=True)
    code = max(code, _restore_champion(complete))
    if runs:
        # A local store has no server but that of `make ui`, which sets the port.
        at_server = os.environ.get("MLFLOW_TRACKING_URI", "").lower().startswith("http") or "MLFLOW_PORT" in os.environ
        print(f"current runs: {tracking.page_of(runs)}" if served and at_server else "`make ui` shows the current runs")
    return code, states


def _restore_champion(complete: list[tuple[str, str]]) -> int:
    """Restore the champion that promotion.json records, if MLflow has lost it, and return the exit code.

    `complete` has the models in MLflow, each with its data set: if it cannot be restored, one of them may be promoted.
    """
    try:
        with tracking.reachable():
            done = tracking.registry.restore(complete)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    if done:
        print(done)
    return 0


def main() -> int:
    """Bring MLflow up to date with the trained models in the workspace."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.sync", description=main.__doc__)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="the experiment's settings")
    parser.add_argument("--work", type=Path, default=Path(os.environ.get("DVC_ROOT", ".")) / "work", help="checkpoints")
    parser.add_argument(
        "--optional", action="store_true", help="exit with 0 whatever happens; what went wrong is still printed"
    )
    cli.add_json_argument(parser)
    arguments = parser.parse_args()
    states: dict[str, str] = {}
    try:
        code, states = sync(arguments.params, arguments.work, served=not arguments.optional)
    except PipelineError as error:
        if not arguments.optional:
            raise
        print(f"notice: {error}; `make sync` tries again", file=sys.stderr)
        code = 0
    return cli.answer(arguments.json, "", {"models": states}, 0 if arguments.optional else code)


if __name__ == "__main__":
    cli.run(main)
