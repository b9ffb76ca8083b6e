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

from pipeline import cli, dvc_lock, files, machine, params, tracking
from pipeline.data import dataset
from pipeline.data.dataset import Dataset
from pipeline.errors import PipelineError
from pipeline.training import augmentation, backend, history, model_file, networks, optimizers, recipe
from pipeline.training.backend import keras
from pipeline.training.checkpoint import Checkpoints, TrainingState
from pipeline.training.loop import Loop
from pipeline.training.settings import Model, Training

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
    """Train `network` up to `model.epochs` epochs and return the final state; the network has the weights to keep.

    Order, dropout and augmentation are functions of (seed, epoch), so a run resumed from `state` ends in the same bits
    as one that was never interrupted. `on_epoch` is called with the state after each epoch.

    Raises:
        PipelineError: Loss or weights became NaN or infinite.
    """
    optimizer, loss = optimizers.build(model.optimizer), networks.loss(model.loss)
    optimizer.build(network.trainable_variables)
    # Batch normalization's moving averages change without being trained.
    changing = [*network.trainable_variables, *optimizer.variables, *network.non_trainable_weights]
    state = _restore(changing, state)
    loop = _loop(network, optimizer, loss, data, model, training)
    for epoch in range(len(state.rows) + 1, model.epochs + 1):
        networks.seed_dropout(network, training.seed, epoch)
        if model.schedule is not None:
            optimizer.learning_rate = optimizers.learning_rate(model, epoch)
        order, moves = epoch_order(training.seed, epoch, len(data.train)), _moves(model, training, epoch, data)
        started = time.perf_counter()
        with tqdm(desc=f"epoch {epoch}", total=len(order), unit="image", leave=False, disable=None) as bar:
            scores = [*loop.fit(data.train, order, bar.update, moves), *loop.score(data.monitored)]
        seconds = time.perf_counter() - started
        row = {"epoch": epoch, **dict(zip(history.SCORES, scores, strict=True)), "seconds": seconds}
        rows, processors = (*state.rows, row), (*state.processors, machine.processor())
        state = TrainingState(rows, processors, _values(changing), _best(network, model, rows, state.best))
        _check_finite(state)
        on_epoch(state)
    if state.best:
        network.set_weights(state.best)
    return state


def _loop(
    network: keras.Sequential,
    optimizer: keras.optimizers.Optimizer,
    loss: keras.losses.Loss,
    data: Dataset,
    model: Model,
    training: Training,
) -> Loop:
    return Loop(
        network,
        optimizer,
        loss,
        batch_size=training.batch_size,
        parts=1 if model.normalizes_batches else training.threads,
        labels=data.train.labels.dtype.name,
        shift=model.augmentation.shift if model.augmentation else 0,
    )


def _moves(model: Model, training: Training, epoch: int, data: Dataset) -> NDArray[np.int32] | None:
    if model.augmentation is None:
        return None
    return augmentation.draw(model.augmentation, seed=training.seed, epoch=epoch, count=len(data.train))


def _best(
    network: keras.Sequential, model: Model, rows: Sequence[dict[str, float]], before: tuple[NDArray[Any], ...]
) -> tuple[NDArray[Any], ...]:
    """Return the weights of the epoch that the model keeps, if that is not simply the last one."""
    if model.keep == "last":
        return ()
    return tuple(network.get_weights()) if history.kept_epoch(rows, model.keep) == len(rows) else before


def start(model: Model, training: Training) -> None:
    """Set TensorFlow's threads as `train` needs them: for one part of a batch each, or for operations on all of it."""
    if model.normalizes_batches:
        backend.start(intra_op=training.threads)
    else:
        backend.start(inter_op=training.threads)


def build(model: Model, training: Training, data: Dataset) -> keras.Sequential:
    """Return the untrained network of a model for the images and classes of `data`."""
    shape, classes = data.train.images.shape[1:], len(data.classes)
    return networks.build(model.network, shape, classes, seed=training.seed, precision=training.precision)


def epoch_order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """Return the order (count,) in which `epoch` (from 1) visits the images: a function of (seed, epoch) alone."""
    return np.random.default_rng([seed, _ORDER, epoch]).permutation(count)


def _restore(changing: Sequence[Any], state: TrainingState | None) -> TrainingState:
    if state is None:
        return TrainingState((), (), _values(changing))
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
    """Train one model; write the model file, the history, and the seconds and processor of each epoch."""
    arguments = _arguments()
    values = params.load(arguments.params)
    name, model = arguments.model, values.model(arguments.model)
    for output in (arguments.output, arguments.history, arguments.timing):
        files.check_writable(output)
    dvc_lock.verify(arguments.data)
    data, data_md5 = dataset.load(arguments.data), files.md5(arguments.data)
    start(model, values.train)
    # The format of checkpoints counts too: one in an older format could not be read.
    code = (*recipe.TRAINING, "training/checkpoint")
    identity = recipe.of(code, name=name, data=data_md5, model=model.settings(), train=values.train.model_dump())
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

            network = build(model, values.train, data)
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
