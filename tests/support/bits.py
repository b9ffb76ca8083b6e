"""A few steps of training with every kind of params, and their numbers: what a version of results stands for.

`python -m tests.support.bits` compares them with tests/training/results.json and adds what is new to it: cases, and the
name of this processor where it gives the same bits. Numbers that changed are recorded only after RESULTS was raised.
`python -m tests.support.bits NAME [WAY]` prints one case; WAY is `avx2` (the default), `kernels`, which prints what
oneDNN executes, too, or `native`.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.data.dataset import Dataset, Split
from pipeline.training import recipe
from pipeline.training.settings import Model, Training
from tests.support import small

RECORD = Path(__file__).parents[1] / "training" / "results.json"
ROOT = Path(__file__).parents[2]

_LOSS = {"name": "crossentropy", "clip": 1.0e-7}
_RMSPROP = {"name": "rmsprop", "learning_rate": 0.001, "rho": 0.9, "epsilon": 1.0e-8, "epsilon_in_root": False}
_ADADELTA = {"name": "adadelta", "learning_rate": 1.0, "rho": 0.95, "epsilon": 1.0e-8}
_ADAM = {"name": "adam", "learning_rate": 0.003, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1.0e-7}
_MLP = {"name": "mlp", "units": [512, 512], "dropout": 0.2}
_CNN = {"filters": [32, 64], "kernel": 3, "pool": 2, "pool_dropout": 0.25, "units": 128, "dropout": 0.5, "name": "cnn"}
_TINY = {"name": "mlp", "units": [16], "dropout": 0.25}
_LAYERS = [
    {"name": "conv2d", "filters": 4, "kernel": 3, "stride": 2, "padding": "same"},
    {"name": "relu"},
    {"name": "max_pool", "size": 2},
    {"name": "dropout", "rate": 0.1},
    {"name": "conv2d", "filters": 4, "kernel": 2, "stride": 1, "padding": "valid"},
    {"name": "average_pool", "size": 2},
    {"name": "flatten"},
    {"name": "dense", "units": 8},
    {"name": "relu"},
]
_NORMALIZED = [
    {"name": "conv2d", "filters": 4, "kernel": 3, "stride": 1, "padding": "same"},
    {"name": "batch_norm", "momentum": 0.9, "epsilon": 0.001},
    {"name": "relu"},
    {"name": "max_pool", "size": 2},
    {"name": "global_average_pool"},
]


def _model(network: Mapping[str, Any], optimizer: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"network": network, "optimizer": optimizer, "loss": _LOSS, "epochs": 1, **more}


def _layers(*layers: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": "sequential", "layers": [*layers]}


# The first three are params.yaml's own.
MODELS: dict[str, dict[str, Any]] = {
    "mlp_rmsprop": _model(_MLP, _RMSPROP),
    "mlp_adadelta": _model(_MLP, _ADADELTA),
    "cnn": _model(_CNN, _ADADELTA),
    "epsilon_in_root": _model(_TINY, _RMSPROP | {"epsilon": 1.0e-7, "epsilon_in_root": True}),
    "sgd": _model(_TINY, {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "nesterov": True}),
    "adam": _model(_TINY, _ADAM),
    "adamw": _model(_TINY, _ADAM | {"name": "adamw", "weight_decay": 0.01}),
    "sequential": _model(_layers(*_LAYERS), _ADADELTA),
    "global_average_pool": _model(_layers(_LAYERS[0], _LAYERS[1], {"name": "global_average_pool"}), _RMSPROP),
    "residual": _model(
        _layers(
            {"name": "conv2d", "filters": 4, "kernel": 3, "stride": 2, "padding": "same"},
            {
                "name": "residual",
                "layers": [
                    {"name": "depthwise_conv2d", "kernel": 3, "stride": 2, "padding": "same"},
                    {"name": "relu"},
                    {"name": "dropout", "rate": 0.25},
                    {"name": "conv2d", "filters": 6, "kernel": 1, "stride": 1, "padding": "same"},
                ],
            },
            {"name": "global_average_pool"},
        ),
        _ADADELTA,
    ),
    "standardized": _model(_CNN | {"filters": [4, 4], "units": 8}, _ADADELTA, scaling="standardized"),
    "colour": _model(_CNN | {"filters": [4, 4], "units": 8}, _ADADELTA, augmentation={"shift": 2, "flip": True}),
    "augmented": _model(
        _CNN | {"filters": [4, 4], "units": 8},
        _ADADELTA,
        augmentation={"shift": 1, "flip": True, "rotate": 20, "zoom": 0.1, "crop": 0.2}
        | {"contrast": 0.3, "brightness": 0.2, "erase": 0.4},
    ),
    "smoothed": _model(_TINY, _ADAM, loss=_LOSS | {"label_smoothing": 0.1}),
    "balanced": _model(_TINY, _RMSPROP, loss=_LOSS | {"class_weight": "balanced"}),
    "constant": _model(_TINY, _ADADELTA, schedule={"name": "constant"}),
    "cosine": _model(_TINY, _RMSPROP, epochs=3, schedule={"name": "cosine"}, keep="best_val_accuracy"),
    "step": _model(
        _TINY, _ADADELTA, epochs=3, schedule={"name": "step", "epochs": 1, "factor": 0.5}, keep="best_val_loss"
    ),
    "unclipped": _model(_TINY, _RMSPROP, loss={"name": "crossentropy", "clip": None}),
    "unclipped_smoothed": _model(_TINY, _RMSPROP, loss={"name": "crossentropy", "clip": None, "label_smoothing": 0.1}),
    "batch_norm": _model(_layers(*_NORMALIZED), _ADAM),
    "bfloat16": _model(_CNN | {"filters": [4, 4], "units": 8}, _ADADELTA),
}
# What has no portable arithmetic: its numbers may differ by so much, relatively, from those of another processor.
TOLERANCES = {"unclipped": 1e-3, "unclipped_smoothed": 1e-3, "batch_norm": 1e-2, "bfloat16": 5e-2}
# Where a processor has no portable arithmetic at all.
ELSEWHERE = 1e-2


def numbers(name: str, way: str = "avx2") -> dict[str, Any]:
    """Return the MD5 of a case's weights, history and test probabilities, and numbers that may be compared closely."""
    from pipeline.training import trainer

    model = Model.model_validate(MODELS[name])
    settings = training(name, way)
    data = _few(small.digits(), colour=name in ("colour", "augmented"))
    network = trainer.build(model, settings, data)
    state = trainer.train(network, data, model, settings)
    history = [{key: value for key, value in row.items() if key != "seconds"} for row in state.rows]
    weights = network.get_weights()
    return {
        "weights": _md5(b"".join(array.tobytes() for array in weights)),
        # A list where there are several epochs; of one, the row alone, as it was first recorded.
        "history": _md5(json.dumps(history if len(history) > 1 else history[0]).encode()),
        "probabilities": _md5(network.predict(data.test.images, verbose=0).tobytes()),
        "sizes": [float(np.linalg.norm(array)) for array in weights],
        "losses": [row[key] for row in history for key in ("loss", "val_loss")],
    }


def training(name: str, way: str) -> Training:
    """Return the settings that a case shares with the others."""
    return Training(
        seed=0,
        batch_size=128,
        precision="mixed_bfloat16" if name == "bfloat16" else "float32",
        threads=2,
        instructions="avx2" if way in ("avx2", "kernels") else "native",
    )


def start(way: str = "avx2") -> None:
    """Prepare this process, which has not used TensorFlow, for what `numbers` computes."""
    from pipeline.training import backend, portable

    if way == "kernels":
        os.environ["ONEDNN_VERBOSE"] = "1"
    if way in ("avx2", "kernels"):
        portable.start()
    backend.start(inter_op=2)


def _few(data: Dataset, *, colour: bool) -> Dataset:
    """Return two batches to train on, and one to score: an emulator takes a minute for them."""

    def part(images: Any) -> Any:
        return np.stack([images, images[:, ::-1], 255 - images], axis=-1) if colour else images

    train, test = (
        Split(part(split.images[:count]), split.labels[:count])
        for split, count in ((data.train, 256), (data.test, 128))
    )
    return Dataset(train, None, test, data.classes)


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def of_program(*words: str, before: tuple[str, ...] = ()) -> str:
    """Return what this module prints in a process of its own; `before` is the program that runs Python."""
    # Not the link in .venv: QEMU takes the program's own path.
    python = str(Path(sys.executable).resolve()) if before else sys.executable
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [*before, python, "-m", "tests.support.bits", *words]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def differing(recorded: Mapping[str, Any], now: Mapping[str, Any], *, portable: bool) -> list[str]:
    """Return the recorded cases whose numbers are others now: in any bit, or beyond their tolerance.

    `portable` is False on a processor without the portable arithmetic.
    """
    return [name for name in recorded if name in now and not _same(name, recorded[name], now[name], portable)]


def _same(name: str, recorded: Mapping[str, Any], now: Mapping[str, Any], portable: bool) -> bool:
    if portable and name not in TOLERANCES:
        return recorded == now
    shapes = [len(case[key]) for case in (recorded, now) for key in ("sizes", "losses")]
    if shapes[:2] != shapes[2:]:
        return False
    tolerance = TOLERANCES.get(name, ELSEWHERE)
    return all(np.allclose(now[key], recorded[key], rtol=tolerance, atol=tolerance) for key in ("sizes", "losses"))


def main() -> None:
    """Print one case, those of one way (`all WAY`), or bring the record up to date."""
    if not sys.argv[1:]:
        _record()
        return
    name, way = (*sys.argv[1:], "avx2")[:2]
    start(way)
    # `all elsewhere` are the others on a processor that has no portable arithmetic.
    names = [case for case in MODELS if (case in TOLERANCES) == (way == "native")] if name == "all" else [name]
    cases = {case: numbers(case, way) for case in names}
    print(json.dumps(cases if name == "all" else cases[name]))


def _record() -> None:
    from pipeline import machine

    before = json.loads(RECORD.read_text())
    cases = json.loads(of_program("all", "avx2")) | json.loads(of_program("all", "native"))
    changed = differing(before["cases"], cases, portable=True)
    if changed and before["results"] == recipe.RESULTS:
        raise SystemExit(f"other numbers than recorded: {', '.join(changed)}; raise RESULTS in {recipe.__file__} first")
    # By processor, the cases of which it has computed the bits.
    processors = {} if changed else before["processors"]
    processors |= {machine.processor(): sorted(cases.keys() - TOLERANCES.keys())}
    content = {"results": recipe.RESULTS, "processors": processors, "cases": cases}
    RECORD.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
