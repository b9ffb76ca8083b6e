"""The one door to Keras and TensorFlow: the settings that a result depends on stand before the first use."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import PipelineError

os.environ["KERAS_BACKEND"] = "tensorflow"
# Part of a result; stated, so that a user's environment cannot change it.
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what C++ code writes to stderr, and let it out after an error alone.

    TensorFlow greets at import with lines that no setting turns off.
    """
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


with _quiet():
    import keras
    import tensorflow as tf

__all__ = ["keras", "start", "tf"]


def start(*, side_by_side: int = 1, within: int = 1) -> None:
    """Give TensorFlow `side_by_side` threads for operations that do not need each other, and `within` for each of them.

    The numbers are part of a result: with others, sums add up in another order.

    Raises:
        PipelineError: TensorFlow has been used in this process before, with other settings.
    """
    try:
        tf.config.threading.set_inter_op_parallelism_threads(side_by_side)
        tf.config.threading.set_intra_op_parallelism_threads(within)
    except RuntimeError:
        raise PipelineError("TensorFlow runs already; its threads cannot be set any more") from None
