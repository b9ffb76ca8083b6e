"""Model files: for inference, and nobody else's; test_kinds.py has that they are byte-stable."""

import json
from collections.abc import Callable
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest

from pipeline.data.dataset import Dataset
from pipeline.errors import InputError
from pipeline.params import Params
from pipeline.training import model_file, networks, optimizers


def test_a_saved_network_answers_as_before(values: Params, digits: Dataset, tmp_path: Path) -> None:
    """Loading gives a network with the same answers, without optimizer, that says what made it."""
    model = values.models["mlp_rmsprop"]
    network = networks.build(model.network, (28, 28), 10, seed=0, precision="float32")
    network.compile(optimizers.build(model.optimizer), networks.loss(model.loss))
    network.fit(digits.train.images[:256], digits.train.labels[:256], verbose=0)
    path = tmp_path / "m.keras"

    model_file.save(path, network, {"recipe": "r", "keras": "3"})

    loaded = model_file.load(path)
    images = digits.test.images[:50]
    assert np.array_equal(loaded.predict(images, verbose=0), network.predict(images, verbose=0))
    assert model_file.made_with(path) == {"recipe": "r", "keras": "3"}
    assert not loaded.compiled
    with ZipFile(path) as archive:
        assert b"optimizer" not in archive.read("model.weights.h5")
        assert "date_saved" not in json.loads(archive.read("metadata.json"))


@pytest.mark.fault("model file missing or damaged")
@pytest.mark.parametrize("content", [None, b"", b"PK junk"])
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """A missing or broken file is named in one line."""
    path = tmp_path / "m.keras"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(InputError, match=r"m\.keras: [^\n]*$"):
        model_file.load(path)


@pytest.mark.fault("model file from elsewhere")
def test_a_keras_file_from_elsewhere_is_refused(values: Params, tmp_path: Path) -> None:
    """A `.keras` file that this project did not write is not loaded."""
    network = networks.build(values.models["mlp_rmsprop"].network, (28, 28), 10, seed=0, precision="float32")
    network.save(tmp_path / "m.keras")

    with pytest.raises(InputError, match="not a model of this project"):
        model_file.load(tmp_path / "m.keras")


DAMAGE: dict[str, Callable[[dict[str, bytes]], object]] = {
    "no metadata": lambda members: members.pop("metadata.json"),
    "metadata of another form": lambda members: members.update({"metadata.json": b"[1, 2]"}),
    "made with no mapping": lambda members: members.update({"metadata.json": b'{"made_with": "keras"}'}),
    "nested too deeply": lambda members: members.update({"metadata.json": b"[" * 100_000}),
    "no config": lambda members: members.pop("config.json"),
    "a config that is not JSON": lambda members: members.update({"config.json": b"{"}),
    "a class that is not Keras'": lambda members: members.update(
        {"config.json": b'{"module": "os", "class_name": "system", "config": {"command": "true"}}'}
    ),
    "no weights": lambda members: members.pop("model.weights.h5"),
    "weights that are not HDF5": lambda members: members.update({"model.weights.h5": b"junk"}),
    "half of the weights": lambda members: members.update({"model.weights.h5": members["model.weights.h5"][:5000]}),
}


@pytest.fixture(scope="module")
def members(values: Params, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the content of a sound model file by member."""
    path = tmp_path_factory.mktemp("sound") / "m.keras"
    small = values.models["mlp_rmsprop"].network.model_copy(update={"units": (4,)})
    model_file.save(path, networks.build(small, (28, 28), 10, seed=0, precision="float32"), {"recipe": "r"})
    with ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.fault("model file crafted or damaged inside")
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_crafted_model_file_is_one_line(members: dict[str, bytes], tmp_path: Path, damage: str) -> None:
    """Whatever is wrong inside the archive, the error is one line with the path and the way out."""
    path, content = tmp_path / "m.keras", dict(members)
    DAMAGE[damage](content)
    with ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)

    with pytest.raises(InputError) as caught:
        model_file.load(path)

    assert (caught.value.path, caught.value.fix) == (path, "remove it and run `dvc repro`")
    assert "\n" not in str(caught.value)


@pytest.mark.fault("model file crafted or damaged inside")
def test_a_damaged_archive_is_one_line(members: dict[str, bytes], tmp_path: Path) -> None:
    """Compressed members whose bytes were altered are an error of one line too."""
    path = tmp_path / "m.keras"
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    content = bytearray(path.read_bytes())
    content[200:400] = bytes(200)
    path.write_bytes(content)

    with pytest.raises(InputError, match=r"^[^\n]*m\.keras: [^\n]*$"):
        model_file.load(path)
