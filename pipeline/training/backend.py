"""The only importer of Keras and TensorFlow. All settings that a result depends on are made before they are imported.

None of them is left to the user's environment or home: both libraries read dozens of variables, and Keras a file.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import PipelineError

# What Keras, TensorFlow, XLA, oneDNN and OpenMP read from the environment, and what of it changes no result.
_READ = ("KERAS_", "TF", "XLA_", "ONEDNN_", "DNNL_", "OMP_", "KMP_", "MKL_", "NVIDIA_TF32_")
_HARMLESS = {"TF_CPP_MIN_LOG_LEVEL", "TF_FORCE_GPU_ALLOW_GROWTH", "TF_GPU_ALLOCATOR"}
for _name in [name for name in os.environ if name.startswith(_READ) and name not in _HARMLESS]:
    del os.environ[_name]
os.environ["KERAS_BACKEND"] = "tensorflow"
# No folder, so that Keras reads no keras.json (floatx, epsilon, image_data_format), and writes none either.
os.environ["KERAS_HOME"] = os.devnull
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what C++ code writes to stderr, and show it only after an error.

    TensorFlow prints lines at import that no setting turns off.
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


def start(*, inter_op: int = 1, intra_op: int = 1) -> None:
    """Set the threads of TensorFlow: `inter_op` run independent operations, `intra_op` share the work of one operation.

    The numbers are part of a result: with others, sums add up in another order.

    Raises:
        PipelineError: TensorFlow has been used in this process before, with other settings.
    """
    try:
        tf.config.threading.set_inter_op_parallelism_threads(inter_op)
        tf.config.threading.set_intra_op_parallelism_threads(intra_op)
    except RuntimeError:
        raise PipelineError(
            "TensorFlow is already in use in this process; its threads cannot be set any more"
        ) from None
