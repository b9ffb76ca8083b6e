"""A training run: a network, data and settings -> the weights after the last epoch, and the scores of each."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pipeline import machine
from pipeline.data.dataset import Dataset
from pipeline.errors import PipelineError
from pipeline.training import augmentation, backend, history, networks, optimizers, portable
from pipeline.training.backend import keras, tf
from pipeline.training.checkpoint import TrainingState
from pipeline.training.loop import Loop
from pipeline.training.settings import Model, Training

# The random stream of the order; the networks have others.
_ORDER = 2


def train(
    network: keras.Model,
    data: Dataset,
    model: Model,
    training: Training,
    *,
    order_seed: int | None = None,
    state: TrainingState | None = None,
    on_epoch: Callable[[TrainingState], None] = lambda _: None,
) -> TrainingState:
    """Train `network` up to `model.epochs` epochs and return the final state; the network has the weights to keep.

    Order, dropout and augmentation are functions of (seed, epoch), so a run resumed from `state` ends in the same bits
    as one that was never interrupted; with an `order_seed`, order is a function of that one instead. `on_epoch` is
    called with the state after each epoch.

    Raises:
        PipelineError: Loss or weights became NaN or infinite.
    """
    build_optimizer = portable.optimizer if training.instructions == portable.AVX2 else optimizers.build
    optimizer = build_optimizer(model.optimizer)
    optimizer.build(network.trainable_variables)
    # Batch normalization's moving averages change without being trained.
    changing = [*network.trainable_variables, *optimizer.variables, *network.non_trainable_weights]
    if state is None:
        state = TrainingState((), (), _values(changing))
    else:
        for variable, value in zip(changing, state.variables, strict=True):
            variable.assign(value)
    loop = _loop(network, optimizer, data, model, training)
    order_seed = training.seed if order_seed is None else order_seed
    for epoch in range(len(state.rows) + 1, model.epochs + 1):
        rows, processors, best = state.rows, state.processors, state.best
        # Else the variables of two epochs would be in memory.
        del state
        networks.seed_dropout(network, training.seed, epoch)
        if model.schedule is not None:
            optimizer.learning_rate = optimizers.learning_rate(model, epoch)
        order, changes = epoch_order(order_seed, epoch, len(data.train)), _changes(model, training, epoch, data)
        started = time.perf_counter()
        with tqdm(desc=f"epoch {epoch}", total=len(order), unit="image", leave=False, disable=None) as bar:
            scores = [*loop.fit(data.train, order, bar.update, changes), *loop.score(data.monitored)]
        seconds = time.perf_counter() - started
        row = {"epoch": epoch, **dict(zip(history.SCORES, scores, strict=True)), "seconds": seconds}
        rows, processors = (*rows, row), (*processors, machine.processor())
        state = TrainingState(rows, processors, _values(changing), _best(network, model, rows, best))
        _check_finite(state)
        on_epoch(state)
    if state.best:
        network.set_weights(state.best)
    return state


def _loop(
    network: keras.Model, optimizer: keras.optimizers.Optimizer, data: Dataset, model: Model, training: Training
) -> Loop:
    rule = portable.loss if training.instructions == portable.AVX2 else networks.loss
    plain = model.loss == model.loss.scored
    return Loop(
        network,
        optimizer,
        rule(model.loss.scored),
        batch_size=training.batch_size,
        parts=training.threads,
        labels=data.train.labels.dtype.name,
        objective=None if plain else _objective(rule(model.loss), model, data),
        example=_changes(model, training, 1, data),
    )


def _objective(loss: keras.losses.Loss, model: Model, data: Dataset) -> Callable[[Any, Any], Any]:
    """Return `loss` of each image, times the weight of its class if classes have weights."""
    weights = networks.class_weights(model.loss, data.train.labels, len(data.classes))

    def objective(labels: Any, probabilities: Any) -> Any:
        losses = loss.call(labels, probabilities)
        return losses if weights is None else losses * keras.ops.take(weights, keras.ops.cast(labels, "int32"))

    return objective


def _changes(model: Model, training: Training, epoch: int, data: Dataset) -> dict[str, NDArray[Any]]:
    if model.augmentation is None:
        return {}
    return augmentation.draw(model.augmentation, seed=training.seed, epoch=epoch, shape=data.train.images.shape)


def _best(
    network: keras.Model, model: Model, rows: Sequence[dict[str, float]], before: tuple[NDArray[Any], ...]
) -> tuple[NDArray[Any], ...]:
    """Return the weights of the epoch that the model keeps, if that is not simply the last one."""
    if model.keep == "last":
        return ()
    return tuple(network.get_weights()) if history.kept_epoch(rows, model.keep) == len(rows) else before


def start(model: Model, training: Training) -> None:
    """Set TensorFlow's threads as `train` needs them: one for each part of a batch.

    Raises:
        InputError: The processor or the model does not go with the instructions.
    """
    if training.instructions == portable.AVX2:
        portable.check(model, training)
        portable.start()
    backend.start(inter_op=training.threads)


def build(model: Model, training: Training, data: Dataset) -> keras.Model:
    """Return the untrained network of a model for the images and classes of `data`."""
    shape, classes = data.train.images.shape[1:], len(data.classes)
    scaling = {"scaling": _standardizing(data.train.images)} if model.scaling == "standardized" else {}
    network = networks.build(model.network, shape, classes, seed=training.seed, precision=training.precision, **scaling)
    return portable.apply(network) if training.instructions == portable.AVX2 else network


def _standardizing(images: NDArray[np.uint8]) -> networks.Scaling:
    """Return what takes each channel to mean 0 and standard deviation 1; one that is constant, to 0."""
    count = math.prod(images.shape[:3])
    totals, squares = (
        np.ravel(values.sum(axis=(0, 1, 2), dtype=np.int64)).tolist()
        for values in (images, np.square(images, dtype=np.uint16))
    )
    # Integers are exact: the order of summation cannot change a bit.
    deviations = [math.sqrt(count * q - t * t) / count for t, q in zip(totals, squares, strict=True)]
    factors = [1 / deviation if deviation else 1.0 for deviation in deviations]
    offsets = [-total / count * factor for total, factor in zip(totals, factors, strict=True)]
    return (factors, offsets) if images.ndim == 4 else (factors[0], offsets[0])


def epoch_order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """Return the order (count,) in which `epoch` (from 1) visits the images: a function of (seed, epoch) alone."""
    return np.random.default_rng([seed, _ORDER, epoch]).permutation(count)


def _values(changing: Sequence[Any]) -> tuple[NDArray[Any], ...]:
    # A view, not a copy: TensorFlow leaves a value that someone reads as it is, and gives the variable a new one.
    return tuple(np.asarray(memoryview(tf.convert_to_tensor(variable))) for variable in changing)


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
