"""Stage train: one model of params.yaml, from its first weights to its last epoch."""

import argparse
import os
from pathlib import Path

import pandas as pd

from pipeline import cli, dvc_lock, files, machine, params, tracking
from pipeline.data import dataset
from pipeline.training import history, model_file, recipe, trainer
from pipeline.training.checkpoint import Checkpoints, TrainingState


def main() -> int:
    """Train one model; write the model file, the history, and the seconds and processor of each epoch."""
    arguments = _arguments()
    inputs = files.Inputs(f"train@{arguments.model}", arguments.data)
    values = params.load(arguments.params)
    name, model = arguments.model, values.model(arguments.model)
    for output in (arguments.output, arguments.history, arguments.timing):
        files.check_writable(output)
    dvc_lock.verify(arguments.data)
    data, data_md5 = dataset.load(arguments.data), files.md5(arguments.data)
    count, memory = len(data.train), machine.memory()
    params.check_images({name: model}, values.train, data.shape, count, arguments.params, memory=memory)
    trainer.start(model, values.train)
    identity = recipe.of_model(name, model, values.train, data_md5)
    checkpoints = Checkpoints(arguments.work, name, recipe.digest([identity, recipe.source()]))
    described = values.data.model_dump(include={"dataset", "validation", "split_seed"})
    description = tracking.RunDescription(name, identity, data_md5, model, values.train, described)
    with checkpoints.alone():
        with tracking.training_run(description, data, required=arguments.require_tracking) as run:

            def on_epoch(state: TrainingState) -> None:
                checkpoints.save(state)
                _write_history(arguments, state)
                run.log_epochs(state.rows)
                row = state.rows[-1]
                scores = "  ".join(f"{key} {row[key]:.4f}" for key in history.SCORES)
                print(f"{name}  epoch {row['epoch']:2.0f}/{model.epochs}  {scores}  {row['seconds']:.1f} s", flush=True)

            network = trainer.build(model, values.train, data)
            if (saved := checkpoints.load()) is not None:
                print(f"resuming after epoch {len(saved.rows)}, from {checkpoints.directory}", flush=True)
                _write_history(arguments, saved)
            state = trainer.train(network, data, model, values.train, state=saved, on_epoch=on_epoch)
            model_file.save(arguments.output, network, {"recipe": identity, **recipe.versions()})
            run.log_epochs(state.rows)
            run.log_model(arguments.output)
            inputs.check()
        checkpoints.discard()
    return 0


def _write_history(arguments: argparse.Namespace, state: TrainingState) -> None:
    """Write the epochs so far, so that they can be watched; the model file, written last, says that they are all."""
    table = pd.DataFrame(state.rows).astype({"epoch": int})
    files.write_csv(arguments.history, table[[*history.COLUMNS]])
    timing = table[["epoch", "seconds"]].round({"seconds": 3}).assign(processor=state.processors)
    files.write_csv(arguments.timing, timing)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pipeline.train", description=__doc__)
    parser.add_argument("model", help="name of a model in params.yaml")
    parser.add_argument("--data", type=Path, required=True, help="npz made by preprocess")
    parser.add_argument("--output", type=Path, required=True, help="model file to write")
    parser.add_argument("--history", type=Path, required=True, help="CSV to write: scores per epoch")
    parser.add_argument("--timing", type=Path, required=True, help="CSV to write: seconds and processor of each epoch")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="the experiment's settings")
    parser.add_argument("--work", type=Path, default=Path(os.environ.get("DVC_ROOT", ".")) / "work", help="checkpoints")
    tracking.add_option(parser)
    return parser.parse_args()


if __name__ == "__main__":
    cli.run(main)
