"""A model file as a logged model of MLflow: uploaded, checked, and downloaded."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline import dvc_lock, files
from pipeline.errors import InputError
from pipeline.tracking import client
from pipeline.tracking.client import mlflow
from pipeline.tracking.description import NOTE

# The model file, and all files of a logged model.
LOGGED_FILE, _DESCRIPTION = "data/model.keras", "MLmodel"
FILES = {
    LOGGED_FILE,
    _DESCRIPTION,
    "conda.yaml",
    "data/keras_module.txt",
    "input_example.json",
    "python_env.yaml",
    "requirements.txt",
    "serving_input_example.json",
}
# For a client of the served model. No signature can refuse other numbers: MLflow converts them to the signature's type.
INPUT = (
    "Images are whole numbers from 0 (black) to 255. Do not divide them by 255: of numbers with decimals, MLflow's "
    "server takes the whole part, here 0 for nearly every pixel."
)
# The key of its metadata with what preprocess recorded of the data.
_DATA = "data"
_PREFIX = "models:/"
# The alias of the version that is in use.
CHAMPION = "champion"
_FIX = "`make sync` puts it back"


def log(run_id: str, name: str, path: Path) -> None:
    """Give the run the model file at `path` as its model, unless it has one.

    The run refers to it once it is complete, so that a failed attempt leaves no second one.
    """
    api = mlflow.MlflowClient()
    run = api.get_run(run_id)
    if of_run(run):
        return
    model = next(iter(_all_of(run)), None) or _create(run, name)
    upload(model, path, run.data.tags["data.md5"])
    api.finalize_logged_model(model.model_id, "READY")
    api.log_outputs(run_id, [mlflow.entities.LoggedModelOutput(model.model_id, step=0)])


def of_run(run: Any) -> Any:
    """Return the logged model of a run; None if it has none, or if it was deleted."""
    complete = {output.model_id for output in run.outputs.model_outputs}
    return next((model for model in _all_of(run) if model.model_id in complete), None)


def _all_of(run: Any) -> list[Any]:
    """Return the logged models of a run, complete or not, without deleted ones."""
    query = f"source_run_id = '{run.info.run_id}'"
    return list(mlflow.MlflowClient().search_logged_models([run.info.experiment_id], query))


def _create(run: Any, name: str) -> Any:
    kept = (NOTE, "mlflow.user", "mlflow.source.")
    tags = {key: value for key, value in run.data.tags.items() if key.startswith(kept)}
    tags[NOTE] = f"{tags.get(NOTE, '')}\n\n{INPUT}".strip()
    return mlflow.MlflowClient().create_logged_model(
        run.info.experiment_id, name, run.info.run_id, tags, run.data.params, model_type="classifier"
    )


def upload(model: Any, path: Path, data_md5: str) -> None:
    """Upload the model file at `path`, trained on data with this md5, and what describes it, as a logged model."""
    about = {"input": INPUT} | ({_DATA: data} if (data := dvc_lock.summary(data_md5)) else {})
    with tempfile.TemporaryDirectory() as folder:
        _save(path, Path(folder) / "model", model, about)
        mlflow.MlflowClient().log_model_artifacts(model.model_id, f"{folder}/model")


def _save(path: Path, folder: Path, model: Any, metadata: dict[str, Any]) -> None:
    """Write a logged model's files to `folder`."""
    import numpy as np

    from pipeline.training import model_file, recipe

    network = model_file.load(path)
    # After our settings of Keras: it imports Keras.
    import mlflow.keras

    packages = {"mlflow": mlflow.__version__, **recipe.versions()}
    # On another system or processor the same version has another name.
    installed = next(name for name in recipe.TENSORFLOW if name in packages)
    tensorflow = packages.pop(installed)
    requirements = [f"{package}=={version}" for package, version in packages.items()]
    requirements += [f"{name}=={tensorflow}; {where}" for name, where in recipe.TENSORFLOW.items()]
    images = np.zeros((1, *network.input_shape[1:]), network.inputs[0].dtype)
    # An upright stroke: among digits, a 1.
    rows, columns = images.shape[1:3]
    images[:, rows // 7 : rows - rows // 7, columns // 2 - 1 : columns // 2 + 2] = 255
    probabilities = np.zeros((1, *network.output_shape[1:]), np.float32)
    folder.mkdir()  # MLflow writes the example before it creates the folder
    mlflow.keras.save_model(
        network,
        str(folder),
        mlflow_model=mlflow.models.Model(
            model.artifact_location, model.source_run_id, model_uuid=model.model_id, model_id=model.model_id
        ),
        signature=mlflow.models.infer_signature(images, probabilities),
        input_example=images,
        metadata=metadata,
        pip_requirements=requirements,
    )
    # The very bytes that model.md5 names: Keras never writes the same file twice.
    shutil.copyfile(path, folder / LOGGED_FILE)


def restore(run: Any, name: str, path: Path) -> bool:
    """Put back what the finished `run` of the model file at `path` is missing of its model; return whether it was."""
    model = of_run(run)
    if not fault(model, run.data.tags["model.md5"]):
        return False
    if model:
        upload(model, path, run.data.tags["data.md5"])
    else:
        log(run.info.run_id, name, path)
    return True


def fault(model: Any, md5: str) -> str:
    """Return what is wrong with the files of a logged model whose model file has this md5; empty if nothing."""
    if model is None:
        return "its model was deleted in MLflow"
    if absent := sorted(FILES - _names(model, None) - _names(model, "data")):
        return f"MLflow has lost {absent[0] if len(absent) == 1 else f'{len(absent)} files'} of its model"
    with tempfile.TemporaryDirectory() as folder:
        source = f"{model.artifact_location}/{LOGGED_FILE}"
        path = Path(mlflow.artifacts.download_artifacts(source, dst_path=folder))
        return "" if files.md5(path) == md5 else f"MLflow's {LOGGED_FILE} of it is damaged"


def _names(model: Any, folder: str | None) -> set[str]:
    return {file.path for file in mlflow.MlflowClient().list_logged_model_artifacts(model.model_id, folder)}


def run_fault(run: Any) -> str:
    """Return what is wrong with the files of the model of a finished run; empty if nothing."""
    return fault(of_run(run), run.data.tags["model.md5"])


def of_version(version: Any) -> Any:
    """Return the logged model of a registered version; None if it was registered from something else, or deleted."""
    if not version.source.startswith(_PREFIX):
        return None
    return client.existing(mlflow.MlflowClient().get_logged_model, version.source.removeprefix(_PREFIX))


def fetch(address: str, folder: Path) -> Path:
    """Return the `.keras` file of the model at `address` (models:/...), downloaded into `folder`.

    Raises:
        InputError: The address is malformed, there is no such model, it has no Keras file, or that was lost.
        UnavailableError: MLflow does not answer.
    """
    with _found(address):
        path = Path(mlflow.artifacts.download_artifacts(address, dst_path=str(folder))) / LOGGED_FILE
        md5 = _recorded(address).get("model.md5")
    if not path.is_file():
        if md5:
            raise InputError(f"{address}: MLflow has lost its file {LOGGED_FILE}", fix=_FIX)
        raise InputError(f"{address}: not a model of this project: it has no {LOGGED_FILE}")
    if md5 and (actual := files.md5(path)) != md5:
        raise InputError(f"{address}: MLflow's {LOGGED_FILE} has md5 {actual}, not the {md5} of its run", fix=_FIX)
    return path


def trained_on(address: str) -> dict[str, Any]:
    """Return what preprocess recorded of the data that the model at `address` was trained on, logged with the model.

    Of a model that was logged without it, the workspace has it, if its data are those with the checksum of its run.

    Raises:
        InputError: The address is malformed, there is no such model, it has lost its files, or nothing has the record.
        UnavailableError: MLflow does not answer.
    """
    with _found(address):
        api, version, tags = mlflow.MlflowClient(), _version(address), _recorded(address)
        model = of_version(version) if version else api.get_logged_model(address.removeprefix(_PREFIX))
        if model and _DESCRIPTION not in _names(model, None):
            raise InputError(f"{address}: MLflow has lost its file {_DESCRIPTION}", fix=_FIX)
        logged = _metadata(model).get(_DATA) if model else None
    record = logged or dvc_lock.summary(tags.get("data.md5", ""))
    if not isinstance(record, dict) or "dataset" not in record:
        what = f"{address}: nothing records the classes that it was trained with"
        raise InputError(what, fix="name its data set with --set data/sets/NAME.yaml")
    return record


def _metadata(model: Any) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        source = f"{model.artifact_location}/{_DESCRIPTION}"
        path = Path(mlflow.artifacts.download_artifacts(source, dst_path=folder))
        content = files.read_yaml(path)
    return (content.get("metadata") if isinstance(content, dict) else None) or {}


@contextmanager
def _found(address: str) -> Iterator[None]:
    """Let MLflow be asked for the model at `address`, and what it does not find become one line."""
    if not re.fullmatch(r"models:/[^/@\s]+([/@][^/@\s]+)?", address):
        raise InputError(f"{address!r}: expected models:/NAME@ALIAS, models:/NAME/VERSION or models:/ID")
    with client.reachable():
        with client.open_store():
            pass
        try:
            yield
        except mlflow.MlflowException as error:
            if error.error_code not in client.NOT_FOUND:
                raise
            fix = "`make ui` shows which there are"
            if address.endswith(f"@{CHAMPION}"):
                fix = f"`make sync` puts back a {CHAMPION} that was lost; {fix}"
            raise InputError(f"{address}: {client.reason(error)}", fix=fix) from None


def _version(address: str) -> Any:
    """Return the registered version at an address; None if it names a logged model."""
    api, place = mlflow.MlflowClient(), address.removeprefix(_PREFIX)
    if "@" in place:
        return api.get_model_version_by_alias(*place.split("@"))
    return api.get_model_version(*place.split("/")) if "/" in place else None


def _recorded(address: str) -> dict[str, str]:
    """Return the tags with the checksums of the model at an address, as its version or its run has them."""
    if (version := _version(address)) is not None:
        return dict(version.tags)
    api = mlflow.MlflowClient()
    return dict(api.get_run(api.get_logged_model(address.removeprefix(_PREFIX)).source_run_id).data.tags)
