"""Arithmetic with the same bits on every x86-64 processor that has AVX2 and FMA: `train.instructions: avx2`.

Two things make the bits of a training depend on the processor. oneDNN chooses among its kernels by the instructions
that it finds, and they add in other orders. And where TensorFlow computes a reciprocal or a reciprocal root, it begins
with the processor's own estimate (rcpps, rsqrtps), which each maker fills in differently; a step of Newton's method
leaves some of that in the last bit. Here oneDNN is held to AVX2, and divisions and roots, which IEEE 754 defines to the
last bit, stand in the place of estimates.
"""

import os
from collections.abc import Callable
from typing import Any

from pipeline import machine
from pipeline.errors import InputError
from pipeline.training import networks, optimizers
from pipeline.training.backend import keras, tf
from pipeline.training.optimizer_settings import AdadeltaParams, AnyOptimizer
from pipeline.training.settings import Loss, Model, Training

AVX2 = "avx2"
_NEEDED = {"avx2", "fma"}
_FIX = "train with `native` instructions"


def check(model: Model, training: Training) -> None:
    """Check that a model can be trained in the same bits everywhere.

    Raises:
        InputError: One of its settings has no such arithmetic here.
    """
    faults = {
        "precision: mixed_bfloat16": training.precision != "float32",
        "a batch_norm layer": model.normalizes_batches,
        "loss.clip: null": model.loss.clip is None,
    }
    if faulty := [name for name, at_fault in faults.items() if at_fault]:
        raise InputError(f"train.instructions: avx2 does not go with {faulty[0]}", fix=_FIX)


def start() -> None:
    """Hold oneDNN and TensorFlow to this arithmetic, in a process that has not computed anything before.

    Raises:
        InputError: The processor does not have an instruction.
    """
    if not set(machine.cpuinfo().get("flags", "").split()) >= _NEEDED:
        what = f"train.instructions: avx2 needs a processor with AVX2 and FMA, found {machine.processor()}"
        raise InputError(what, fix=_FIX)
    os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX2"
    # Else it turns a division by a root into a product with a reciprocal root.
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})


def apply(network: keras.Model) -> keras.Model:
    """Return `network` with a softmax by division in its last layer; it is saved with Keras' own."""
    network.layers[-1].activation = softmax
    return network


# Keras saves an activation by its name, and reads its own by this one.
def softmax(logits: Any) -> Any:
    """Return the softmax of `logits` (n, classes) over the classes."""
    exponentials = tf.exp(logits - tf.stop_gradient(tf.reduce_max(logits, axis=-1, keepdims=True)))
    return exponentials / tf.reduce_sum(exponentials, axis=-1, keepdims=True)


def optimizer(params: AnyOptimizer) -> keras.optimizers.Optimizer:
    """Return the optimizer that `params` describe: Adadelta as Keras chains it, others as they are."""
    if isinstance(params, AdadeltaParams):
        return keras.optimizers.Adadelta(**params.model_dump(exclude={"name"}))
    return optimizers.build(params)


def loss(params: Loss) -> keras.losses.Loss:
    """Return the loss that `params` describe, if it is clipped with a logarithm whose gradient is a division."""
    return networks.loss(params) if params.clip is None else _Crossentropy(params.clip, params.label_smoothing)


class _Crossentropy(networks.ClippedCrossentropy):
    def log(self, probability: Any) -> Any:
        return tf.custom_gradient(_log)(probability)


def _log(values: Any) -> tuple[Any, Callable[[Any], Any]]:
    return tf.math.log(values), lambda upstream: upstream / values
