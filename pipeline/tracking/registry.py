"""MLflow's registry: the version of the registered model that is the champion."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pipeline.tracking import client, logged_model
from pipeline.tracking.client import mlflow

# The registered model, and the alias of its version that is in use.
REGISTERED, CHAMPION = "mnist", "champion"
_VERSIONS = "mlflow.modelVersions"


def champion() -> Any:
    """Return the version of the registered model that has the alias, None if none has."""
    with client.open_store():
        found = _registered()
        version = found[0].aliases.get(CHAMPION) if found else None
        return mlflow.MlflowClient().get_model_version(REGISTERED, version) if version else None


def set_champion(run: Any, tags: Mapping[str, str], description: str) -> Any:
    """Give the alias to the version of the run's model, created if it is missing, and return that version.

    Interrupted anywhere and repeated, it leaves one version of that run.
    """
    api = mlflow.MlflowClient()
    if not _registered():
        try:
            api.create_registered_model(REGISTERED)
        except mlflow.MlflowException:
            # On a server, another client may have been first.
            if not _registered():
                raise
    run_id, model_id = run.info.run_id, logged_model.of_run(run).model_id
    versions = api.search_model_versions(f"name = '{REGISTERED}' and run_id = '{run_id}'")
    version = next((one for one in versions if one.source == f"models:/{model_id}"), None)
    if version is None:
        source = f"models:/{model_id}"
        version = api.create_model_version(REGISTERED, source, run_id, dict(tags), None, description, 0, model_id)
    for key in [key for key, value in tags.items() if version.tags.get(key) != value]:
        api.set_model_version_tag(REGISTERED, version.version, key, tags[key])
    if version.description != description:
        api.update_model_version(REGISTERED, version.version, description)
    # On the model's page, this tag says that it is registered. A server sets it by itself, a local store does not.
    link = json.dumps([{"name": REGISTERED, "version": version.version}])
    if api.get_logged_model(model_id).tags.get(_VERSIONS) != link:
        api.set_logged_model_tags(model_id, {_VERSIONS: link})
    api.set_registered_model_alias(REGISTERED, CHAMPION, version.version)
    return version


def _registered() -> list[Any]:
    return list(mlflow.MlflowClient().search_registered_models(f"name = '{REGISTERED}'"))
