"""`train.instructions: avx2`: the arithmetic itself, what it refuses, and its bits on other processors."""

import shutil
from typing import Any

import numpy as np
import pytest
from scipy import special

from pipeline import machine
from pipeline.errors import InputError
from pipeline.params import Params
from pipeline.training import model_file, networks, optimizers, portable
from pipeline.training.backend import keras, tf
from pipeline.training.settings import Loss, Sequential, Training
from tests.support import bits, forks
from tests.support.study_ledger import ROOT

QEMU = shutil.which("qemu-x86_64")
HAS_AVX2 = {"avx2", "fma"} <= set(machine.cpuinfo().get("flags", "").split())
NORMALIZED = Sequential(name="sequential", layers=[{"name": "batch_norm", "momentum": 0.9, "epsilon": 0.001}])
# Stays: other processors have no such arithmetic; that they are refused is tested everywhere.
needs_avx2 = pytest.mark.skipif(not HAS_AVX2, reason="needs a processor with AVX2 and FMA")


def test_softmax_and_its_gradient_are_those_of_scipy() -> None:
    """Values agree with scipy's; the gradient of entry k is p_k (1 - p_k), and -p_k p_j for the others."""
    logits = np.random.default_rng(0).normal(0, 30, (64, 10)).astype(np.float32)
    values = tf.Variable(logits)

    with tf.GradientTape() as tape:
        found = portable.softmax(values)
        first = tf.reduce_sum(found[:, 0])

    expected = special.softmax(logits.astype(np.float64), axis=1)
    slope = expected[:, :1] * (np.eye(10)[0] - expected)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-30)
    np.testing.assert_allclose(tape.gradient(first, values), slope, rtol=1e-4, atol=1e-6)


def test_the_loss_has_the_values_and_the_gradient_of_the_native_one() -> None:
    """They differ in their last bits at most; outside of the clip the gradient is zero."""
    params = Loss(name="crossentropy", clip=1e-7)
    scores = np.array([[0.2, 0.5, 0.3], [1e-9, 0.5, 0.5], [0.9, 0.05, 0.05]], np.float32)
    gradients = []
    for loss in (portable.loss(params), networks.loss(params)):
        probabilities = tf.Variable(scores)
        with tf.GradientTape() as tape:
            values = loss.call(tf.constant([0, 0, 1]), probabilities)
        gradients.append((values.numpy(), tape.gradient(values, probabilities).numpy()))

    np.testing.assert_allclose(gradients[0][0], -np.log([0.2, 1e-7, 0.05]), rtol=1e-5)
    np.testing.assert_allclose(gradients[0][1], gradients[1][1], rtol=1e-6)
    assert gradients[0][1][1].tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", ["mlp_rmsprop", "mlp_adadelta"])
def test_an_optimizer_steps_as_the_native_one(values: Params, name: str) -> None:
    """After 20 steps weights differ by rounding alone."""
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=50).astype(np.float32), rng.normal(size=(20, 50)).astype(np.float32)
    ends = []
    for rule in (portable.optimizer(values.models[name].optimizer), optimizers.build(values.models[name].optimizer)):
        variable = keras.Variable(start)
        rule.build([variable])
        for gradient in gradients:
            rule.apply([tf.constant(gradient)], [variable])
        ends.append(np.asarray(variable))

    assert np.abs(ends[0] - start).max() > 1e-3
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-5, atol=1e-6)


def test_a_model_is_saved_with_keras_own_softmax(values: Params, tmp_path: Any) -> None:
    """Whoever loads the file needs nothing of this project for it."""
    network = portable.apply(
        networks.build(values.models["mlp_rmsprop"].network, (28, 28), 10, seed=0, precision="float32")
    )
    model_file.save(tmp_path / "m.keras", network, {"recipe": "r"})

    assert model_file.load(tmp_path / "m.keras").layers[-1].activation is keras.activations.softmax


@pytest.mark.parametrize(
    ("of_model", "of_training", "named"),
    [
        ({}, {"precision": "mixed_bfloat16"}, "mixed_bfloat16"),
        ({"loss": Loss(name="crossentropy", clip=None)}, {}, "loss.clip: null"),
        ({"network": NORMALIZED}, {}, "a batch_norm layer"),
    ],
)
def test_what_has_no_such_arithmetic_is_refused(
    values: Params, of_model: dict[str, Any], of_training: dict[str, Any], named: str
) -> None:
    """Before anything is trained, one line names the setting."""
    model, training = values.models["cnn"].model_copy(update=of_model), values.train.model_copy(update=of_training)

    with pytest.raises(InputError, match=named) as caught:
        portable.check(model, training)
    assert "native" in caught.value.fix
    portable.check(values.models["cnn"], values.train)


def test_a_processor_without_the_instructions_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line names the processor."""
    monkeypatch.setattr(machine, "cpuinfo", lambda: {"flags": "fpu avx", "model name": "An old one"})

    with pytest.raises(InputError, match="found An old one"):
        portable.start()


def test_native_results_keep_their_recipe() -> None:
    """A choice that is not made leaves no trace in what a recipe is made of; the other one does."""
    settings = {"seed": 0, "batch_size": 128, "precision": "float32", "threads": 2}

    assert Training(**settings, instructions="native").model_dump() == settings
    assert Training(**settings, instructions="avx2").model_dump() == settings | {"instructions": "avx2"}


@needs_avx2
def test_onednn_executes_nothing_beyond_avx2() -> None:
    """No kernel that it says to execute is of AVX-512 or AMX, and some are of AVX2."""
    printed = forks.run(ROOT, "python", "-m", "tests.support.bits", "cnn", "kernels")

    said = [line for line in printed.splitlines() if ",exec,cpu," in line]

    assert any("jit:avx2" in line for line in said)
    assert [line for line in said if "avx512" in line or "amx" in line] == []


# Stays: an emulator is no Python package, so the environment cannot bring it; only this test needs it.
@pytest.mark.slow
@needs_avx2
@pytest.mark.skipif(not QEMU, reason="needs qemu-x86_64 on PATH")
@pytest.mark.parametrize("name", ["mlp_rmsprop", "mlp_adadelta"])
def test_the_bits_are_those_of_an_emulated_processor(name: str) -> None:
    """On a Haswell of QEMU's, with other caches and other estimates, native bits differ and those of avx2 do not."""
    emulated = (str(QEMU), "-cpu", "Haswell-v4")

    assert bits.of_program(name, "avx2", before=emulated) == bits.of_program(name, "avx2")
    assert bits.of_program(name, "native", before=emulated) != bits.of_program(name, "native")
