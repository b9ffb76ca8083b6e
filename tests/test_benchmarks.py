"""The benchmarks: fair contenders, ratios within rounds, and a page that says what was measured."""

import json
import time
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import contender, described, measure, page, plain, run, step
from benchmarks.measure import spread
from pipeline import schema
from pipeline.data import dataset
from pipeline.data.dataset import Dataset, Split
from pipeline.params import Params
from pipeline.training import networks
from pipeline.training.backend import keras
from pipeline.training.settings import Sequential

MODELS = ("mlp_rmsprop", "mlp_adadelta", "cnn")


def task(model: str, **changes: Any) -> contender.Task:
    """Return the task of training a model."""
    usual = contender.Task(model, Path(), 0, 1, 128, 2, "float32", "native", side=28, channels=1, augmented=False)
    return replace(usual, **changes)


@pytest.fixture
def results() -> dict[str, Any]:
    """Return what the committed page was written from."""
    return json.loads(run.RESULTS.read_text(encoding="utf-8"))


def verdicts(results: dict[str, Any]) -> dict[str, str]:
    """Return the last column of the table of targets by its first."""
    table = page.render(results).split("## Targets\n\n")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {row[0]: row[-1] for row in rows}


def test_every_benchmark_was_run_on_a_known_machine(results: dict[str, Any]) -> None:
    """Each section states commit, processor and versions; the page names those that were not measured."""
    assert results.keys() <= run.BENCHMARKS.keys() == page.SECTIONS.keys()
    missing = [line for line in page.render(results).splitlines() if line.startswith("Not measured yet")]
    assert len(missing) == len(run.BENCHMARKS) - len(results)
    for section in results.values():
        assert section["commit"]
        assert section["machine"]["processor"]
        assert "keras" in section["machine"]["versions"]


@pytest.mark.parametrize(("median", "verdict"), [(1.24, "**no**"), (1.25, "yes"), (2.0, "yes")])
def test_a_target_is_reached_or_not_by_its_number(results: dict[str, Any], median: float, verdict: str) -> None:
    """The verdict follows the measured ratio, whatever was reached on the day."""
    changed = deepcopy(results)
    changed["training"]["cnn"]["ratio"]["project"]["median"] = median

    assert verdicts(changed)["cnn: training in float32, times as fast as plain"] == verdict


def test_ratios_are_taken_within_a_round() -> None:
    """A machine that slows down for a round changes no ratio."""
    taken = {"plain": [4.0, 8.0, 4.0], "project": [2.0, 4.0, 2.0]}

    assert run.ratios(taken, over="plain")["project"] == spread([2.0, 2.0, 2.0])


def test_everybody_has_a_turn_in_every_round() -> None:
    """Within each round all contenders run once, and each is first in turn."""
    order: list[str] = []

    run.turns(3, {name: partial(order.append, name) for name in "abc"})

    assert "".join(order) == "abc" + "bca" + "cab"


@pytest.mark.parametrize("name", MODELS)
def test_the_plain_network_is_the_projects(values: Params, name: str) -> None:
    """The yardstick has the same weights in the same shapes, the same dropout, and the same optimizer's settings."""
    model = values.model(name)
    ours, theirs = (
        networks.build(model.network, (28, 28), 10, seed=0, precision="float32"),
        plain.build(keras, task(name)),
    )

    def dropouts(network: Any) -> list[float]:
        return [layer.rate for layer in network.layers if isinstance(layer, keras.layers.Dropout)]

    assert [weight.shape for weight in theirs.weights] == [weight.shape for weight in ours.weights]
    assert dropouts(theirs) == dropouts(ours)
    assert type(theirs.optimizer).__name__.lower() == model.optimizer.name
    assert float(theirs.optimizer.learning_rate) == pytest.approx(model.optimizer.learning_rate)
    assert (theirs.optimizer.rho, theirs.optimizer.epsilon) == (model.optimizer.rho, model.optimizer.epsilon)


def _shapes(network: Any) -> list[tuple[int, ...]]:
    """Return the shapes of a network's weights, without the states of its random generators."""
    return sorted(tuple(weight.shape) for weight in network.weights if "seed" not in weight.path)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", described.NETWORKS)
def test_the_described_networks_are_the_projects(name: str, channels: int) -> None:
    """Plain Keras' network has the same weights in the same shapes, whatever the images."""
    asked = task(name, side=32, channels=channels, augmented=True)
    network = schema.validate(Sequential, {"name": "sequential", "layers": described.NETWORKS[name]})
    ours = networks.build(network, asked.shape, 10, seed=0, precision="float32")

    theirs = plain.build(keras, asked)

    assert _shapes(theirs) == _shapes(ours)


@pytest.mark.parametrize(
    ("name", "forward"),
    [
        ("mlp_rmsprop", [2 * 784 * 512, 2 * 512 * 512, 2 * 512 * 10]),
        ("cnn", [2 * 26**2 * 9 * 32, 2 * 24**2 * 9 * 32 * 64, 2 * 12**2 * 64 * 128, 2 * 128 * 10]),
    ],
)
def test_the_arithmetic_of_a_step_is_counted(values: Params, name: str, forward: list[int]) -> None:
    """Each product counts once forward and twice backward; the first has no gradient of the images."""
    network = networks.build(values.model(name).network, (28, 28), 10, seed=0, precision="float32")

    assert step.arithmetic(network) == 3 * sum(forward) - forward[0]


def test_the_operations_of_a_step_are_distinguished() -> None:
    """Most of the time of a large product is that product's; what only wraps operations does not count."""
    import tensorflow as tf

    matrix = tf.random.uniform((1024, 1024))
    product = tf.function(lambda: tf.linalg.matmul(matrix, matrix) + 1.0)
    product()
    started = time.perf_counter()
    found = step.operations(lambda: product().numpy())
    seconds = time.perf_counter() - started

    assert found.most_common(1)[0][0] == "MatMul"
    assert found["MatMul"] > 0.5 * found.total()
    assert found.total() < seconds


def test_a_program_that_fails_is_not_a_measurement() -> None:
    """Its exit code and words come back as an error instead of seconds."""
    with pytest.raises(RuntimeError, match=r"exit 3: .*no such thing"):
        measure.run("sh", "-c", "echo no such thing >&2; exit 3")


def test_a_program_may_write_much() -> None:
    """Megabytes of output and of errors come back whole, whichever is written first."""
    write = "import sys; sys.stderr.write('e' * 2**21); sys.stdout.write('o' * 2**21)"

    done = measure.run(run.PYTHON, "-c", write)

    assert (len(done.output), len(done.errors)) == (2**21, 2**21)


def test_peak_memory_is_that_of_the_program() -> None:
    """A program that fills 200 MiB is seen to hold them, and one that does not is not."""
    fill = "from benchmarks.measure import run; print(run('python', '-c', \"b'x' * %d * 2**20\").peak)"
    # From a small process, as the benchmarks are: a program starts as a copy of the one that starts it.
    full, empty = (float(measure.run(run.PYTHON, "-c", fill % size).output) for size in (200, 1))

    assert 150 < full - empty < 210


def test_imports_are_counted_by_package(tmp_path: Path) -> None:
    """A package has the seconds of its own modules without those that it imports; the sum has all."""
    for name, text in {"outer/__init__": "import outer.part", "outer/part": "import inner", "inner": ""}.items():
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"import time\n{text}\ntime.sleep({0.4 if name == 'inner' else 0.1})\n", encoding="utf-8")

    imports = run.packages((run.PYTHON, "-c", "import outer"), tmp_path)

    assert list(imports["most"])[:2] == ["inner", "outer"]
    # A busy machine wakes late, never early.
    assert 0.4 <= imports["most"]["inner"] < 0.6
    assert 0.2 <= imports["most"]["outer"] < 0.4
    assert imports["all"] >= sum(imports["most"].values())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plain", "project"])
def test_contenders_train(name: str, digits: Dataset, tmp_path: Path) -> None:
    """Each contender trains on the data it is given, reports the seconds of each epoch, and has learned."""
    dataset.save(tmp_path / "digits.npz", digits)
    words = run.contender(name, "mlp_adadelta", images=1400, epochs=4)
    words[words.index("--data") + 1] = str(tmp_path / "digits.npz")

    answer = json.loads(measure.run(*words).output)

    assert len(answer["seconds"]) == 4
    assert all(seconds > 0 for seconds in answer["seconds"])
    assert answer["accuracy"] > 0.7


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("step", "mlp_adadelta"),
        ("growth", "--replicates", "2", "--workers", "1"),
        ("mlflow_cost",),
    ],
    ids=lambda words: words[0],
)
def test_the_programs_of_the_benchmarks_run(words: tuple[str, ...], digits: Dataset, tmp_path: Path) -> None:
    """On a small set of data each program that a benchmark starts ends well, and prints what it measured as JSON."""
    twice = Split(*(np.concatenate([array, array]) for array in (digits.train.images, digits.train.labels)))
    dataset.save(tmp_path / "twice.npz", Dataset(twice, None, digits.test, digits.classes))

    done = measure.run(run.PYTHON, "-m", f"benchmarks.{words[0]}", *words[1:], "--data", str(tmp_path / "twice.npz"))

    assert {"seconds", "epoch"} & json.loads(done.output).keys()
