"""Every kind of layer, as the table lists them: shape, cost, bits, precision, resumption, and files for plain Keras."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pytest
from scipy.signal import correlate

from pipeline import files, params, schema
from pipeline.data.dataset import Dataset, Split
from pipeline.params import Params
from pipeline.training import architecture, forward, layers, model_file, networks, trainer
from pipeline.training.architecture import Layer, Shape, with_channels
from pipeline.training.backend import keras, tf
from pipeline.training.checkpoint import Checkpoints, TrainingState
from pipeline.training.layers import AnyLayer
from pipeline.training.settings import Model, Sequential
from pipeline.trials import run
from tests.support import frozen, small

ROOT = Path(__file__).parents[2]
CLASSES: tuple[type[Layer], ...] = get_args(get_args(AnyLayer)[0])
KINDS = [get_args(kind.model_fields["name"].annotation)[0] for kind in CLASSES]

CONV = {"name": "conv2d", "filters": 4, "kernel": 3, "stride": 1, "padding": "same"}
DEPTHWISE = {"name": "depthwise_conv2d", "kernel": 3, "stride": 2, "padding": "same"}
NORM = {"name": "batch_norm", "momentum": 0.9, "epsilon": 0.001}
POOL, RELU, MEAN = {"name": "max_pool", "size": 2}, {"name": "relu"}, {"name": "global_average_pool"}
DENSE, FLATTEN, DROPOUT = {"name": "dense", "units": 6}, {"name": "flatten"}, {"name": "dropout", "rate": 0.25}


def residual(*inner: Mapping[str, Any]) -> dict[str, Any]:
    """Return the block of a residual layer."""
    return {"name": "residual", "layers": list(inner)}


# A network with each kind, for images from 16x16. The residual one has shortcuts of both kinds, one inside another, and
# dropout, a pooled convolution and batch normalization at different depths.
EXAMPLES: dict[str, list[dict[str, Any]]] = {
    "conv2d": [CONV | {"stride": 2, "padding": "valid"}, RELU, MEAN],
    "depthwise_conv2d": [
        DEPTHWISE | {"stride": 1, "padding": "valid", "kernel": 2},
        residual(DEPTHWISE, RELU, CONV),
        {"name": "average_pool", "size": 2},
        FLATTEN,
    ],
    "max_pool": [CONV, POOL, MEAN],
    "average_pool": [{"name": "average_pool", "size": 3}, FLATTEN],
    "global_average_pool": [CONV, MEAN],
    "batch_norm": [CONV, NORM, RELU, MEAN],
    "dropout": [POOL, FLATTEN, DROPOUT],
    "relu": [POOL, FLATTEN, DENSE, RELU],
    "flatten": [FLATTEN, DENSE],
    "dense": [POOL, FLATTEN, DENSE],
    "residual": [
        CONV,
        residual(CONV, NORM, RELU, DROPOUT, CONV),
        residual(POOL, DROPOUT, CONV | {"filters": 6}, residual(CONV | {"filters": 8, "stride": 2}, NORM)),
        residual(residual(CONV | {"filters": 3, "stride": 2}, RELU), DROPOUT),
        MEAN,
        residual(DENSE | {"units": 3}, RELU, DROPOUT),
    ],
}
SHAPES = [(32, 32), (24, 16, 3)]


def network(*described: Mapping[str, Any]) -> Sequential:
    """Return the settings of a network of these layers."""
    return schema.validate(Sequential, {"name": "sequential", "layers": list(described)})


def example(kind: str) -> Sequential:
    """Return the settings of the network with a kind of layer."""
    return network(*EXAMPLES[kind])


def build(settings: Sequential, shape: Shape = (24, 16, 3), seed: int = 0, precision: str = "float32") -> keras.Model:
    """Return a network for seven classes."""
    return networks.build(settings, shape, 7, seed=seed, precision=precision)


def images(shape: Shape = (24, 16, 3), count: int = 6) -> np.ndarray:
    """Return images of noise."""
    return np.random.default_rng(0).integers(0, 256, (count, *shape), np.uint8)


def kinds_in(*examples: str) -> set[str]:
    """Return the kinds of layers in some of the examples, at any depth."""
    return {layer.name for kind in examples for layer in architecture.walk(example(kind).layers)}


# Compiling a training run takes seconds: these two examples have most kinds between them.
TRAINED = ["residual", "depthwise_conv2d"]
TRAINED += sorted(EXAMPLES.keys() - kinds_in(*TRAINED))


def data() -> Dataset:
    """Return a few digits: three batches and a half to train on."""
    digits = small.digits()
    train, test = Split(digits.train.images[:56], digits.train.labels[:56]), digits.test
    return Dataset(train, None, Split(test.images[:20], test.labels[:20]), digits.classes)


def states(kind: str, values: Params, precision: str, state: TrainingState | None = None) -> list[TrainingState]:
    """Return the state after each of two epochs of training the example of a kind, or those after `state`."""
    block = values.models["mlp_adadelta"].settings() | {"network": example(kind).model_dump(), "epochs": 2}
    model = schema.validate(Model, block)
    training = values.train.model_copy(update={"precision": precision, "batch_size": 16})
    found: list[TrainingState] = []
    trainer.train(trainer.build(model, training, data()), data(), model, training, state=state, on_epoch=found.append)
    return found


def checksum(state: TrainingState) -> str:
    """Return a checksum of every bit of a state but its seconds."""
    rows = [{key: value for key, value in row.items() if key != "seconds"} for row in state.rows]
    bits = b"".join(value.tobytes() for value in state.variables)
    return hashlib.sha256(json.dumps(rows).encode() + bits).hexdigest()


def test_every_kind_has_an_example_and_a_builder() -> None:
    """The tests below and the construction know exactly the kinds that params.yaml may have."""
    assert sorted(EXAMPLES) == sorted(KINDS)
    assert [kind for kind in KINDS if kind not in kinds_in(kind)] == []
    assert kinds_in(*TRAINED) == set(KINDS)
    assert set(networks._BUILDERS) == set(CLASSES)


class Scale(Layer):
    """A kind that nothing constructs."""

    name: Literal["scale"] = "scale"

    def output_shape(self, shape: Shape) -> Shape:
        """Return `shape`."""
        return shape

    def multiply_adds(self, shape: Shape) -> int:
        """Return one for each value."""
        return int(np.prod(shape))


@pytest.mark.parametrize(
    "wrap", [lambda layer: layer, lambda layer: layers.Residual.model_construct(name="residual", layers=(layer,))]
)
def test_a_kind_that_nothing_constructs_raises(wrap: Any) -> None:
    """A layer that has no builder, at any depth, is an error and is not left out."""
    settings = example("flatten").model_copy(update={"layers": (*example("flatten").layers, wrap(Scale()))})

    with pytest.raises(TypeError, match="nothing constructs a layer of the kind Scale"):
        build(settings)


@pytest.mark.parametrize("missing", ["output_shape", "multiply_adds"])
def test_a_kind_without_shape_or_cost_raises(missing: str) -> None:
    """What does not say its output's shape or its cost cannot be made, nor asked for them."""
    kept = {"output_shape", "multiply_adds"} - {missing}
    methods = {name: Scale.__dict__[name] for name in kept}
    incomplete = type("Incomplete", (Layer,), {"__module__": __name__, **methods})

    with pytest.raises(TypeError, match=f"abstract method '?{missing}"):
        incomplete(name="incomplete")
    with pytest.raises(AttributeError, match=missing):
        getattr(architecture, missing)([incomplete.__name__], (8, 8, 1))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_shapes_are_those_of_keras(kind: str, shape: Shape) -> None:
    """After each layer the shape is that of the output that Keras' layer of this name has."""
    settings, current = example(kind), with_channels(shape)
    built = build(settings, shape)

    settings.check_shape(shape)
    for name, layer in settings.hidden().items():
        current = layer.output_shape(current)
        assert built.get_layer(name).output.shape[1:] == current
    assert built.output_shape == (None, 7)


def counted(built: keras.Model) -> int:
    """Return half of the floating-point operations that TensorFlow counts in convolutions and products of matrices."""
    graph = tf.function(lambda some: built(some)).get_concrete_function(
        tf.TensorSpec((1, *built.input_shape[1:]), "uint8")
    )
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation() | {"output": "none"}
    root = tf.compat.v1.profiler.profile(graph.graph, cmd="op", options=options)

    def operations(node: Any) -> Iterator[Any]:
        yield node
        for child in node.children:
            yield from operations(child)

    of_layers = ("Conv2D", "DepthwiseConv2dNative", "MatMul")
    return sum(node.float_ops for node in operations(root) if node.name in of_layers) // 2


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_costs_are_those_that_tensorflow_counts(kind: str, shape: Shape) -> None:
    """Multiply-adds, at any depth, are half of what TensorFlow's profiler counts in the network's graph."""
    assert run.multiply_adds(example(kind), shape, 7) == counted(build(example(kind), shape)) > 0


@pytest.mark.parametrize("kind", KINDS)
def test_precision_is_that_of_every_layer(kind: str) -> None:
    """At any depth layers compute in bfloat16 and keep weights in float32; probabilities are float32's but for that."""
    single, mixed = (build(example(kind), precision=precision) for precision in ("float32", "mixed_bfloat16"))
    hidden = [layer for layer in mixed.layers[:-1] if not isinstance(layer, keras.layers.InputLayer)]

    assert {layer.compute_dtype for layer in hidden} == {"bfloat16"}
    assert {weights.dtype.name for weights in mixed.get_weights()} == {"float32"}
    assert mixed(images()).dtype == "float32"
    np.testing.assert_allclose(mixed(images()), single(images()), atol=0.02)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("kind", TRAINED)
def test_a_resumed_run_ends_in_the_same_bits(kind: str, precision: str, values: Params, tmp_path: Path) -> None:
    """In both precisions a run of each kind that goes on from a checkpoint ends as one that was not interrupted."""
    first, last = states(kind, values, precision)
    checkpoints = Checkpoints(tmp_path, kind, "r" * 64)
    checkpoints.save(first)

    (resumed,) = states(kind, values, precision, checkpoints.load())

    assert checksum(resumed) == checksum(last)
    assert any(np.abs(one - other).max() > 0 for one, other in zip(first.variables, last.variables, strict=True))


def report(folder: Path) -> None:
    """Save a network of each kind in `folder`, and print checksums of trained ones: the program of the tests below."""
    for kind in KINDS:
        model_file.save(folder / f"{kind}.keras", build(example(kind)), {"recipe": "r"})
    values = params.load(frozen.own("params.yaml"))
    print(json.dumps({kind: checksum(states(kind, values, "float32")[-1]) for kind in TRAINED}))


PROGRAM = (
    "import sys; from pathlib import Path; from tests.training import test_kinds as t; t.report(Path(sys.argv[1]))"
)
# Keras alone, far from this package.
PLAIN = """
import sys, numpy, keras
images = numpy.load("images.npy")
for kind in sys.argv[1:]:
    numpy.save(f"{kind}.npy", keras.saving.load_model(f"{kind}.keras")(images))
assert "pipeline" not in sys.modules
"""


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, dict[str, str]]]:
    """Return the folder and the checksums of two processes, which hash in different ways."""
    folders = [tmp_path_factory.mktemp("process") for _ in range(2)]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(folder)],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": str(number), "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for number, folder in enumerate(folders, start=1)
    ]
    printed = [process.communicate()[0] for process in started]
    return [(folder, json.loads(text)) for folder, text in zip(folders, printed, strict=True)]


def test_two_processes_train_and_save_the_same_bits(processes: list[tuple[Path, dict[str, str]]]) -> None:
    """Initial and trained weights, history and model file depend on nothing that differs between processes."""
    (one, first), (other, second) = processes

    assert first == second
    assert len(first) == len(TRAINED)
    assert {k: files.md5(one / f"{k}.keras") for k in KINDS} == {k: files.md5(other / f"{k}.keras") for k in KINDS}


def test_plain_keras_loads_every_kind(processes: list[tuple[Path, dict[str, str]]]) -> None:
    """Without this package Keras loads each model file, and it answers as the network that was saved."""
    folder, _ = processes[0]
    np.save(folder / "images.npy", images())
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    subprocess.run([sys.executable, "-c", PLAIN, *KINDS], cwd=folder, env=environment, check=True)

    for kind in KINDS:
        assert np.array_equal(np.load(folder / f"{kind}.npy"), build(example(kind))(images()))


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_batch_normalization_is_found_at_any_depth(values: Params, depth: int) -> None:
    """A model that normalizes over the batch inside of residual layers is known to need it whole."""
    found = []
    for layer in (NORM, RELU):
        for _ in range(depth):
            layer = residual(CONV, layer)
        block = values.models["cnn"].settings() | {"network": network(layer, MEAN).model_dump()}
        found.append(schema.validate(Model, block).normalizes_batches)

    assert found == [True, False]


def test_layers_at_any_depth_draw_numbers_of_their_own() -> None:
    """Kernels of one shape, in residual layers or not, differ from each other, and all change with the seed."""
    settings = network(CONV, residual(CONV, residual(CONV, RELU)), residual(CONV | {"filters": 5}), MEAN)
    kernels = [[w for w in build(settings, seed=seed).get_weights() if w.ndim == 4] for seed in (0, 0, 1)]

    assert [kernel.shape[:2] for kernel in kernels[0]] == [(3, 3)] * 4 + [(1, 1)]
    assert not np.array_equal(kernels[0][1], kernels[0][2])
    assert all(np.array_equal(one, same) for one, same, _ in zip(*kernels, strict=True))
    assert not any(np.array_equal(one, other) for one, _, other in zip(*kernels, strict=True))


def test_dropout_at_any_depth_is_a_function_of_seed_epoch_and_position() -> None:
    """Masks in residual layers come again for one seed and epoch, and differ from each other and between epochs."""
    built = build(network(FLATTEN, residual(DROPOUT, residual(DROPOUT)), residual(DROPOUT)))

    def masks(seed: int, epoch: int) -> list[np.ndarray]:
        networks.seed_dropout(built, seed, epoch)
        drops = [layer for layer in built.layers if isinstance(layer, keras.layers.Dropout)]
        assert len(drops) == 3
        return [np.asarray(layer(tf.ones((1, 1000)), training=True)) for layer in drops]

    first, same, others = masks(0, 1), masks(0, 1), [masks(0, 2), masks(1, 1)]
    assert all(np.array_equal(one, again) for one, again in zip(first, same, strict=True))
    assert len({mask.tobytes() for run in (first, *others) for mask in run}) == 9


def test_a_residual_layer_adds_its_input() -> None:
    """Where its layers give zeros, the input passes unchanged, or through the 1x1 convolution at every second pixel."""
    built = build(network(CONV, residual(CONV), residual(CONV | {"filters": 5, "stride": 2}), MEAN))
    for name in ("residual_2_conv2d_1", "residual_3_conv2d_1"):
        built.get_layer(name).set_weights([np.zeros_like(w) for w in built.get_layer(name).get_weights()])
    names = ("conv2d_1", "residual_2", "residual_3")
    before, same, projected = keras.Model(built.inputs[0], [built.get_layer(name).output for name in names])(images())
    kernel, bias = built.get_layer("residual_3_shortcut").get_weights()

    np.testing.assert_array_equal(same, before)
    np.testing.assert_allclose(projected, np.asarray(same)[:, ::2, ::2] @ kernel[0, 0] + bias, rtol=1e-5, atol=1e-6)


def test_a_depthwise_convolution_treats_each_channel_by_itself() -> None:
    """Its output is scipy's correlation of each channel with the channel's kernel, which fills Glorot's limit."""
    built = build(network(DEPTHWISE | {"stride": 1, "padding": "valid", "kernel": 5}, MEAN))
    layer = built.get_layer("depthwise_conv2d_1")
    kernel, bias = layer.get_weights()
    (given,) = np.asarray(keras.Model(built.inputs[0], layer.output)(images(count=1)))

    for channel in range(3):
        expected = correlate(images(count=1)[0, ..., channel] / 255, kernel[..., channel, 0], mode="valid")
        np.testing.assert_allclose(given[..., channel], expected + bias[channel], atol=1e-5)
    # 25 inputs to each output, and 25 outputs of each input.
    assert 0.9 * np.sqrt(6 / 50) < np.abs(kernel).max() <= np.sqrt(6 / 50)


def test_the_forward_pass_of_training_reaches_every_layer() -> None:
    """With dropout at any depth seeded alike, two passes agree, and other seeds change the probabilities."""
    built = build(network(*(layer for layer in EXAMPLES["residual"] if "batch" not in json.dumps(layer))))

    def answers(epoch: int) -> np.ndarray:
        networks.seed_dropout(built, 0, epoch)
        return np.asarray(forward.forward(built, [images()], [1.0])[0])

    assert np.array_equal(answers(1), answers(1))
    assert not np.array_equal(answers(1), answers(2))
