"""The champion on each data set in MLflow's registry: a version of the registered model of that name."""

import json
from collections.abc import Collection, Mapping
from typing import Any

from pipeline import dvc_lock, files
from pipeline.errors import InputError
from pipeline.tracking import client, logged_model, promotion, runs
from pipeline.tracking.client import mlflow
from pipeline.tracking.logged_model import CHAMPION
from pipeline.tracking.promotion import PATH, Promotion

_VERSIONS = "mlflow.modelVersions"


def champion(name: str) -> Any:
    """Return the version of the registered model `name` that has the alias, None if none has."""
    with client.open_store():
        return client.existing(mlflow.MlflowClient().get_model_version_by_alias, name, CHAMPION)


def set_champion(promoted: Promotion, run: Any) -> Any:
    """Give the alias to the version of the run's model, created if it is missing, and return that version.

    Interrupted anywhere and repeated, it leaves one version of that run.
    """
    api, name, tags = mlflow.MlflowClient(), promoted.registered_model, promoted.tags()
    description = promoted.description(run)
    if client.existing(api.get_registered_model, name) is None:
        try:
            api.create_registered_model(name)
        except mlflow.MlflowException as error:
            # On a server, another client may have been first.
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
    run_id, model_id = run.info.run_id, logged_model.of_run(run).model_id
    versions = api.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
    source = f"models:/{model_id}"
    version = next((registered for registered in versions if registered.source == source), None)
    if version is None:
        version = api.create_model_version(name, source, run_id, dict(tags), None, description, 0, model_id)
    for key in [key for key, value in tags.items() if version.tags.get(key) != value]:
        api.set_model_version_tag(name, version.version, key, tags[key])
    if version.description != description:
        api.update_model_version(name, version.version, description)
    # On the model's page, this tag says that it is registered. A server sets it by itself, a local store does not.
    link = json.dumps([{"name": name, "version": version.version}])
    if api.get_logged_model(model_id).tags.get(_VERSIONS) != link:
        api.set_logged_model_tags(model_id, {_VERSIONS: link})
    api.set_registered_model_alias(name, CHAMPION, version.version)
    return version


def is_of(version: Any, tags: Mapping[str, str]) -> bool:
    """Return whether a registered version is that of the model with these tags."""
    return all(version.tags.get(key) == tags[key] for key in ("model.md5", "data.md5"))


def fault(version: Any) -> str:
    """Return what is wrong with the files of a registered version that we created; empty if nothing."""
    return logged_model.fault(logged_model.of_version(version), version.tags["model.md5"])


def restore(trained: Collection[tuple[str, str]] = ()) -> str:
    """Restore in MLflow the champion that the file records, if it has none or has lost its files.

    Returns one line about the result, empty if the file records no model that MLflow has, as in a clone that trained
    its own. Another champion than that of the file is kept: the file may be from an older commit.

    If MLflow has none, nor what is recorded, the line has the command that makes the model with the recorded name the
    champion, if it is among the `trained`, each with its data set: on another machine, the same training run gives
    other bits.

    Raises:
        InputError: The file is damaged, or the files of the champion are lost and in DVC's cache neither.
    """
    if not PATH.exists():
        return ""
    recorded = promotion.read()
    version = champion(recorded.registered_model)
    if version and not is_of(version, recorded.tags()):
        if not runs.find_run(recorded.registered_model, recorded.tags()):
            return ""
        return f"champion: MLflow has another one than {PATH}, and keeps it; `make promote MODEL=...` changes it"
    if version and not (lost := fault(version)):
        return "champion: complete in MLflow"
    run = _complete(recorded)
    if run is None and version:
        what = f"champion: {lost}, and its run was deleted or DVC's cache does not have the file"
        fix = f"`make promote MODEL={recorded.model} REPLACE=1` promotes the model in the workspace instead"
        raise InputError(what, fix=fix)
    if run is None and (recorded.model, recorded.registered_model) in trained:
        what = f"none in MLflow; {PATH} records another {recorded.model} than this"
        return f"champion: {what}; `make promote MODEL={recorded.model} REPLACE=1` promotes this one"
    if run is None:
        return ""
    set_champion(recorded, run)
    return f"champion: {f'files of {recorded.model} put back into' if version else f'{recorded.model} added to'} MLflow"


def _complete(recorded: Promotion) -> Any:
    """Return the run of the model, which gets its file back from DVC's cache if it was lost; None without either."""
    run = runs.find_run(recorded.registered_model, recorded.tags())
    if run is None or not logged_model.run_fault(run):
        return run
    cached = dvc_lock.cached(recorded.model_md5)
    if not cached.is_file() or files.md5(cached) != recorded.model_md5:
        return None
    logged_model.restore(run, recorded.model, cached)
    return runs.find_run(recorded.registered_model, recorded.tags())
