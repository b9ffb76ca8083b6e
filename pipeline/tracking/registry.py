"""MLflow's registry: the champion on each data set, a version of the registered model with that one's name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pipeline.tracking import client, logged_model
from pipeline.tracking.client import mlflow

# The alias of the version that is in use.
CHAMPION = "champion"
_VERSIONS = "mlflow.modelVersions"


def champion(name: str) -> Any:
    """Return the version of the registered model `name` that has the alias, None if none has."""
    with client.open_store():
        found = _registered(name)
        version = found[0].aliases.get(CHAMPION) if found else None
        return mlflow.MlflowClient().get_model_version(name, version) if version else None


def set_champion(name: str, run: Any, tags: Mapping[str, str], description: str) -> Any:
    """Give the alias to the version of the run's model under `name`, created if it is missing, and return that version.

    Interrupted anywhere and repeated, it leaves one version of that run.
    """
    api = mlflow.MlflowClient()
    if not _registered(name):
        try:
            api.create_registered_model(name)
        except mlflow.MlflowException:
            # On a server, another client may have been first.
            if not _registered(name):
                raise
    run_id, model_id = run.info.run_id, logged_model.of_run(run).model_id
    versions = api.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
    version = next((one for one in versions if one.source == f"models:/{model_id}"), None)
    if version is None:
        source = f"models:/{model_id}"
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


def _registered(name: str) -> list[Any]:
    return list(mlflow.MlflowClient().search_registered_models(f"name = '{name}'"))
