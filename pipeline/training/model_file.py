"""Trained networks as byte-stable `.keras` files: equal weights from the same recipe give equal bytes."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import ZipFile, ZipInfo

from pipeline import errors, files
from pipeline.errors import InputError
from pipeline.training.backend import keras


def save(path: Path, network: keras.Model, made_with: dict[str, str]) -> None:
    """Write `network` without its optimizer to `path`, with `made_with` (recipe, library versions) in its metadata.

    Keras stores when a file was written and the memory addresses of its objects; both are removed here.
    """
    inference = type(network).from_config(network.get_config())
    inference.set_weights(network.get_weights())
    with files.atomic(path) as temporary:
        inference.save(temporary)
        _normalise(temporary, made_with)


def _normalise(path: Path, made_with: dict[str, str]) -> None:
    with ZipFile(path) as archive:
        members = {name: archive.read(name) for name in sorted(archive.namelist())}
    metadata = json.loads(members["metadata.json"])
    del metadata["date_saved"]
    members["metadata.json"] = _json(metadata | {"made_with": made_with})
    members["config.json"] = _json(_without_identities(json.loads(members["config.json"])))
    with ZipFile(path, "w") as archive:
        for name, content in members.items():
            # Without a time of its own a member is of 1980.
            archive.writestr(ZipInfo(name), content)


def _without_identities(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_identities(item) for key, item in value.items() if key != "shared_object_id"}
    return [_without_identities(item) for item in value] if isinstance(value, list) else value


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def load(path: Path) -> keras.Model:
    """Return the network in `path`, for inference.

    Raises:
        InputError: The file is missing or is not a `.keras` file of this project.
    """
    made_with(path)
    with _readable(path):
        return keras.saving.load_model(path, compile=False, safe_mode=True)


def made_with(path: Path) -> dict[str, str]:
    """Return the recipe and the library versions that `save` stored in the file at `path`.

    Raises:
        InputError: The file is missing or is not a `.keras` file of this project.
    """
    with _readable(path), ZipFile(path) as archive:
        return {str(key): str(value) for key, value in json.loads(archive.read("metadata.json"))["made_with"].items()}


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise errors.missing(path) from None
    # Damaged content makes zipfile, zlib, json, h5py and Keras raise a dozen types.
    except Exception as error:
        fix = "remove it and run `dvc repro`"
        raise InputError(f"not a model of this project ({errors.reason(error)})", path=path, fix=fix) from None
