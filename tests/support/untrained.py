"""Folders with untrained models of data sets other than MNIST, for what takes a picture and answers."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from pipeline import files, params
from pipeline.data import sets
from pipeline.training import model_file, networks
from tests.support import made_sets
from tests.support.frozen import FROZEN
from tests.support.paper import saved as saved

ROOT = Path(__file__).parents[2]


def stones(**changes: Any) -> dict[str, Any]:
    """Return what describes images of 32x32 in colour with seven named classes."""
    spec = made_sets.described("npz") | changes
    spec["files"] = {"data": {"name": "stones.npz", "sha256": "0" * 64}}
    return spec | {"arrays": {name: {"file": "data", "key": name} for name in made_sets.NAMES}}


def write_set(folder: Path, name: str, spec: dict[str, Any]) -> None:
    """Write the file that describes a data set."""
    path = folder / "data" / "sets" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(spec))


def make(folder: Path, dataset: str, *models: str) -> Path:
    """Write the shipped data sets and the stones, and params and small untrained models of one; return the folder."""
    shutil.copytree(ROOT / "data" / "sets", folder / "data" / "sets")
    write_set(folder, "stones", stones())
    content = yaml.safe_load((FROZEN / "params.yaml").read_text())
    content["data"]["dataset"], content["train"]["batch_size"] = dataset, 16
    block = content["models"]["mlp_rmsprop"] | {"network": {"name": "mlp", "units": [4], "dropout": 0.2}}
    content["models"] = dict.fromkeys(models, block)
    (folder / "params.yaml").write_text(yaml.safe_dump(content))
    values, spec = params.load(folder / "params.yaml"), sets.load(folder / "data" / "sets" / f"{dataset}.yaml")
    for seed, name in enumerate(models):
        shape, classes = spec.image.shape, len(spec.classes)
        network = networks.build(values.models[name].network, shape, classes, seed=seed, precision="float32")
        model_file.save(folder / "models" / f"{name}.keras", network, {"recipe": "r"})
    record(folder, dataset, *models)
    return folder


def record(folder: Path, dataset: str, *models: str, md5: str = "d" * 32) -> None:
    """Have dvc.lock and the summary of preprocess say that models were trained on a data set as it is described now."""
    spec = sets.load(folder / "data" / "sets" / f"{dataset}.yaml")
    names = ("title", "noun", "credit", "handwriting")
    summary = {name: getattr(spec, name) for name in names}
    summary |= {"dataset": dataset, "image": list(spec.image.shape), "classes": list(spec.classes)}
    files.write_json(folder / "reports" / "data.json", summary)
    data = {"path": f"data/processed/{dataset}.npz", "md5": md5}
    outs = [data, {"path": "reports/data.json", "md5": files.md5(folder / "reports" / "data.json")}]
    stages: dict[str, Any] = {f"train@{name}": {"deps": [data]} for name in models}
    stages["preprocess"] = {"cmd": "preprocess --summary reports/data.json", "outs": outs}
    (folder / "dvc.lock").write_text(yaml.safe_dump({"stages": stages}))


def answer(folder: Path, model: str, image: np.ndarray) -> list[float]:
    """Return a model's probabilities for an image."""
    probabilities: list[float] = model_file.load(folder / "models" / f"{model}.keras")(image[None]).numpy()[0].tolist()
    return probabilities


def picture(size: tuple[int, int] = (150, 90), mode: str = "RGB") -> Image.Image:
    """Return a picture in which no two parts are alike."""
    rows, columns = np.mgrid[0 : size[1], 0 : size[0]]
    colours = [200 * rows / size[1], 200 * columns / size[0], 127 + 100 * np.sin(rows / 9) * np.cos(columns / 7)]
    return Image.fromarray(np.stack(colours, axis=-1).astype(np.uint8)).convert(mode)
