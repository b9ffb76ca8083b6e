"""Stage train: one model of params.yaml, from its first weights to its last epoch."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from pipeline import cli, dvc_lock, files, params, tracking
from pipeline.data import dataset
from pipeline.data.dataset import Dataset
from pipeline.errors import PipelineError
from pipeline.params import Model, Training
from pipeline.training import backend, history, model_file, networks, optimizers, recipe
from pipeline.training.backend import keras
from pipeline.training.checkpoint import Checkpoints, TrainingState
from pipeline.training.loop import Loop

# The random stream of the order; the networks have others.
_ORDER = 2


def train(
    network: keras.Sequential,
    data: Dataset,
    model: Model,
    training: Training,
    *,
    state: TrainingState | None = None,
    on_epoch: Callable[[TrainingState], None] = lambda _: None,
) -> TrainingState:
    """Train `network` up to `model.epochs` epochs and return its final state.

    Order and dropout are functions of (seed, epoch), so a run resumed from `state` ends in the same bits as one that
    was never interrupted. `on_epoch` is called with the state after each epoch.

    Raises:
        PipelineError: Loss or weights became NaN or infinite.
    """
    optimizer, loss = optimizers.build(model.optimizer), networks.loss(model.loss)
    optimizer.build(network.trainable_variables)
    changing = [*network.trainable_variables, *optimizer.variables]
    state = _restore(changing, state)
    loop = Loop(network, optimizer, loss, batch_size=training.batch_size, threads=training.threads)
    for epoch in range(len(state.rows) + 1, model.epochs + 1):
        networks.seed_dropout(network, training.seed, epoch)
        order = epoch_order(training.seed, epoch, len(data.train))
        started = time.perf_counter()
        with tqdm(desc=f"epoch {epoch}", total=len(order), unit="image", leave=False, disable=None) as bar:
            scores = [*loop.fit(data.train, order, bar.update), *loop.score(data.monitored)]
        seconds = time.perf_counter() - started
        row = {"epoch": epoch, **dict(zip(history.SCORES, scores, strict=True)), "seconds": seconds}
        state = TrainingState((*state.rows, row), _values(changing))
        _check_finite(state)
        on_epoch(state)
    return state


def epoch_order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """Return the order (count,) in which `epoch` (from 1) visits the images: a function of (seed, epoch) alone."""
    return np.random.default_rng([seed, _ORDER, epoch]).permutation(count)


def _restore(changing: Sequence[Any], state: TrainingState | None) -> TrainingState:
    if state is None:
        return TrainingState((), _values(changing))
    for variable, value in zip(changing, state.variables, strict=True):
        variable.assign(value)
    return state


def _values(changing: Sequence[Any]) -> tuple[NDArray[Any], ...]:
    return tuple(np.asarray(variable) for variable in changing)


def _check_finite(state: TrainingState) -> None:
    row = state.rows[-1]
    broken = [name for name in history.SCORES if not np.isfinite(row[name])]
    if not all(np.isfinite(value).all() for value in state.variables):
        broken.append("weights")
    if broken:
        what = ", ".join(broken)
        raise PipelineError(
            f"diverged in epoch {row['epoch']:.0f}: {what} not finite", fix="try a smaller learning rate"
        )


def main() -> int:
    """Train one model; write the model file, the history and the seconds per epoch."""
    arguments = _arguments()
    values = params.load(arguments.params)
    name, model = arguments.model, values.model(arguments.model)
    for output in (arguments.output, arguments.history, arguments.timing):
        files.check_writable(output)
    dvc_lock.verify(arguments.data)
    data, data_md5 = dataset.load(arguments.data), files.md5(arguments.data)
    backend.start(inter_op=values.train.threads)
    # The format of checkpoints counts too: one in an older format could not be read.
    code = (*recipe.TRAINING, "training/checkpoint")
    identity = recipe.of(code, name=name, data=data_md5, model=model.model_dump(), train=values.train.model_dump())
    checkpoints = Checkpoints(arguments.work, name, identity)
    described = values.data.model_dump(include={"dataset", "validation", "split_seed"})
    description = tracking.RunDescription(name, identity, data_md5, model, values.train, described)
    with checkpoints.alone():
        with tracking.training_run(description, data, required=arguments.require_tracking) as run:

            def on_epoch(state: TrainingState) -> None:
                checkpoints.save(state)
                _write_history(arguments, state)
                run.log_epochs(state.rows)
                _print_epoch(name, model.epochs, state.rows[-1])

            network = networks.build(model.network, seed=values.train.seed, precision=values.train.precision)
            if (saved := _saved(checkpoints)) is not None:
                _write_history(arguments, saved)
            state = train(network, data, model, values.train, state=saved, on_epoch=on_epoch)
            model_file.save(arguments.output, network, {"recipe": identity, **recipe.versions()})
            run.log_epochs(state.rows)
            run.log_model(arguments.output)
        checkpoints.discard()
    return 0


def _saved(checkpoints: Checkpoints) -> TrainingState | None:
    state = checkpoints.load()
    if state is not None:
        print(f"resuming after epoch {len(state.rows)}, from {checkpoints.directory}", flush=True)
    return state


def _print_epoch(name: str, epochs: int, row: dict[str, float]) -> None:
    numbers = "  ".join(f"{key} {row[key]:.4f}" for key in history.SCORES)
    print(f"{name}  epoch {row['epoch']:2.0f}/{epochs}  {numbers}  {row['seconds']:.1f} s", flush=True)


def _write_history(arguments: argparse.Namespace, state: TrainingState) -> None:
    """Write the epochs so far, so that they can be watched; the model file, written last, says that they are all."""
    table = pd.DataFrame(state.rows).astype({"epoch": int})
    files.write_csv(arguments.history, table[[*history.COLUMNS]])
    files.write_csv(arguments.timing, table[["epoch", "seconds"]].round({"seconds": 3}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pipeline.train", description=__doc__)
    parser.add_argument("model", help="name of a model in params.yaml")
    parser.add_argument("--data", type=Path, required=True, help="npz made by preprocess")
    parser.add_argument("--output", type=Path, required=True, help="model file to write")
    parser.add_argument("--history", type=Path, required=True, help="CSV to write: scores per epoch")
    parser.add_argument("--timing", type=Path, required=True, help="CSV to write: seconds per epoch")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="the experiment's settings")
    parser.add_argument("--work", type=Path, default=Path(os.environ.get("DVC_ROOT", ".")) / "work", help="checkpoints")
    tracking.add_option(parser)
    return parser.parse_args()


if __name__ == "__main__":
    cli.run(main)
