"""Where a training step's time goes, on one thread: by operation, and against what a large matrix product reaches."""

import argparse
import json
import math
import re
import tempfile
import timeit
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

STEPS = 20
ROUNDS = 5
# Large enough that a product of two such matrices is arithmetic and little else.
SIDE = 2048
# An operation is traced as its name in the graph, a colon, and its kind; fused and oneDNN's kinds have prefixes.
_OPERATION = re.compile(r"[^:]+:_?(Mkl(Native)?)?(?P<kind>[A-Z]\w*)")


def arithmetic(network: Any) -> int:
    """Return the floating-point operations of one image's training step in the products of a network's layers.

    A product of the forward pass has two equally large ones in the backward pass, the gradients of its kernel and of
    its inputs; the first layer needs no gradient of its inputs.
    """
    layers = [layer for layer in network.layers if hasattr(layer, "kernel")]
    # A kernel is applied once for every place of a convolution's output, and once by a dense layer.
    forward = [2 * math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:-1]) for layer in layers]
    return 3 * sum(forward) - forward[0]


def operations(work: Callable[[], object]) -> Counter[str]:
    """Return the seconds of TensorFlow's operations, by kind, while `work` is done."""
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace()
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            work()
        (trace,) = Path(folder).rglob("*.xplane.pb")
        space.ParseFromString(trace.read_bytes())
    seconds: Counter[str] = Counter()
    for plane in space.planes:
        for event in (event for line in plane.lines for event in line.events):
            if found := _OPERATION.fullmatch(plane.event_metadata[event.metadata_id].name):
                seconds[found["kind"]] += event.duration_ps / 1e12
    return seconds


def fastest(work: Callable[[], object]) -> float:
    """Return the seconds of `work` at its fastest: the limit, without what else the machine did."""
    return min(timeit.repeat(work, number=1, repeat=ROUNDS))


def main() -> None:
    """Train for some steps and print seconds per step, their shares by operation, and speeds in FLOP/s, as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--data", type=Path, required=True, help="npz made by preprocess")
    parser.add_argument("--precision", default="float32")
    arguments = parser.parse_args()
    from pipeline import params
    from pipeline.data import dataset
    from pipeline.training import backend, networks, optimizers
    from pipeline.training.loop import Loop

    backend.start(inter_op=1)
    import tensorflow as tf

    values = params.load(Path("params.yaml"))
    model, batch = values.model(arguments.model), values.train.batch_size
    images = dataset.load(arguments.data).train
    network = networks.build(model.network, (28, 28), 10, seed=0, precision=arguments.precision)
    optimizer = optimizers.build(model.optimizer)
    optimizer.build(network.trainable_variables)
    loop = Loop(network, optimizer, networks.loss(model.loss), batch_size=batch, parts=1)

    def steps() -> None:
        loop.fit(images, np.arange(STEPS * batch), lambda _: None)

    kind = "bfloat16" if "bfloat16" in arguments.precision else "float32"
    matrix = tf.cast(tf.random.uniform((SIDE, SIDE)), kind)
    steps()
    seconds = fastest(steps) / STEPS
    found = operations(steps)
    answer = {
        "seconds": seconds,
        "speed": batch * arithmetic(network) / seconds,
        "product": 2 * SIDE**3 / fastest(lambda: tf.linalg.matmul(matrix, matrix).numpy()),
        "shares": {kind: taken / found.total() for kind, taken in found.most_common(6)},
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
