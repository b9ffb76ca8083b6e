"""Stage run: train the replicates that are missing from the ledger, on Dask; each is kept as soon as it is done."""

import argparse
from pathlib import Path

from pipeline import cli, files, machine, params
from pipeline.trials import ledger, plan, prepared
from pipeline.trials import run as trials
from pipeline.trials.ledger import EntryState
from pipeline.trials.tracker import Tracker


def main() -> int:
    """Train the replicates that are missing from the ledger."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.study.run", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="directory with prepare's npz files")
    parser.add_argument("--summaries", type=Path, required=True, help="directory with prepare's JSON files")
    parser.add_argument("--runs", type=Path, required=True, help="directory of the ledger")
    parser.add_argument("--study", type=Path, default=Path("study/params.yaml"), help="YAML with the plan of the study")
    cli.add_engine_arguments(parser)
    arguments = parser.parse_args()
    engine = trials.Engine(arguments.scheduler, arguments.workers, arguments.runs)
    inputs = files.Inputs("study/dvc.yaml:run", arguments.data, arguments.summaries, plan=arguments.study)
    study = plan.load_study(arguments.study)
    summaries = prepared.load(arguments.summaries, study.data.sets)
    data = prepared.verified(arguments.data, summaries)
    planned = plan.replicates(study, prepared.checksums(summaries))
    lookups = list(ledger.look_up(arguments.runs, planned))
    missing = {replicate.variant for replicate, _, state in lookups if state is not EntryState.CURRENT}
    # Of workers elsewhere, each knows its own.
    memory = None if arguments.scheduler else machine.memory()
    for name, prepared_set in zip(summaries, data, strict=True):
        wanted, count = (
            {key: model for key, model in study.on(name).items() if key in missing},
            prepared_set.count("train"),
        )
        params.check_images(wanted, study.training(), prepared_set.shape, count, arguments.study, "variants", memory)
    trials.complete(lookups, data, engine, Tracker(*summaries.values()))
    inputs.check()
    return 0


if __name__ == "__main__":
    cli.run(main)
