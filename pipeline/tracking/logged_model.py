"""A model file as a logged model of MLflow: put there, and fetched from there."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from pipeline.errors import InputError
from pipeline.tracking import client
from pipeline.tracking.client import mlflow
from pipeline.tracking.description import NOTE

# Where MLflow has a Keras model's file.
LOGGED_FILE = "data/model.keras"


def fetch(address: str, folder: Path) -> Path:
    """Return the `.keras` file of the model at `address` (models:/...), downloaded into `folder`.

    Raises:
        InputError: It is no such address, there is no such model, or it is none of Keras.
        UnavailableError: MLflow does not answer.
    """
    if not re.fullmatch(r"models:/[^/@\s]+([/@][^/@\s]+)?", address):
        raise InputError(f"{address!r}: expected models:/NAME@ALIAS, models:/NAME/VERSION or models:/ID")
    with client.reachable():
        client.connect()
        try:
            downloaded = mlflow.artifacts.download_artifacts(address, dst_path=str(folder))
        except mlflow.MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            raise InputError(f"{address}: {client.reason(error)}; `make ui` shows which there are") from None
    if not (path := Path(downloaded) / LOGGED_FILE).is_file():
        raise InputError(f"{address}: not a model of this project: it has no {LOGGED_FILE}")
    return path


def log(run_id: str, name: str, path: Path) -> None:
    """Give the run its model: known to it only when it is complete, so that a try that fails leaves no second one."""
    api = mlflow.MlflowClient()
    run = api.get_run(run_id)
    if run.outputs.model_outputs:
        return
    begun = api.search_logged_models([run.info.experiment_id], f"source_run_id = '{run_id}'")
    logged = begun[0] if begun else _create_model(run, name)
    with tempfile.TemporaryDirectory() as folder:
        _save_model(path, Path(folder) / "model", logged)
        api.log_model_artifacts(logged.model_id, f"{folder}/model")
    api.finalize_logged_model(logged.model_id, "READY")
    api.log_outputs(run_id, [mlflow.entities.LoggedModelOutput(logged.model_id, step=0)])


def _create_model(run: Any, name: str) -> Any:
    kept = (NOTE, "mlflow.user", "mlflow.source.")
    told = {key: value for key, value in run.data.tags.items() if key.startswith(kept)}
    return mlflow.MlflowClient().create_logged_model(
        run.info.experiment_id, name, run.info.run_id, told, run.data.params, model_type="classifier"
    )


def _save_model(path: Path, folder: Path, logged: Any) -> None:
    import mlflow.keras
    import numpy as np

    from pipeline.training import model_file, recipe

    network = model_file.load(path)
    packages = {"mlflow": mlflow.__version__, **recipe.versions()}
    images = np.zeros((2, *network.input_shape[1:]), network.input_dtype)
    answers = np.zeros((2, *network.output_shape[1:]), np.float32)
    mlflow.keras.save_model(
        network,
        str(folder),
        mlflow_model=mlflow.models.Model(
            logged.artifact_location, logged.source_run_id, model_uuid=logged.model_id, model_id=logged.model_id
        ),
        signature=mlflow.models.infer_signature(images, answers),
        pip_requirements=[f"{package}=={version}" for package, version in packages.items()],
    )
    # The very bytes that model.md5 names: Keras writes no file twice alike.
    shutil.copyfile(path, folder / LOGGED_FILE)
