"""MLflow's registry: the version of the registered model that is the champion."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pipeline.tracking import client
from pipeline.tracking.client import mlflow

# The registered model, and the alias of the version that is in force.
REGISTERED, CHAMPION = "mnist", "champion"
_VERSIONS = "mlflow.modelVersions"


def champion() -> Any:
    """Return the version of the registered model that has the alias, None if none has."""
    client.connect()
    found = _registered()
    version = found[0].aliases.get(CHAMPION) if found else None
    return mlflow.MlflowClient().get_model_version(REGISTERED, version) if version else None


def crown(run: Any, tags: Mapping[str, str], description: str) -> Any:
    """Give the alias to the version of the run's model, which is made if it lacks, and return that version.

    Cut short anywhere and done again, it leaves one version: that of the run.
    """
    api = mlflow.MlflowClient()
    if not _registered():
        try:
            api.create_registered_model(REGISTERED)
        except mlflow.MlflowException:
            # On a server, another client may have been first.
            if not _registered():
                raise
    run_id, model_id = run.info.run_id, run.outputs.model_outputs[0].model_id
    versions = api.search_model_versions(f"name = '{REGISTERED}' and run_id = '{run_id}'")
    version = versions[0] if versions else None
    if version is None:
        source = f"models:/{model_id}"
        version = api.create_model_version(REGISTERED, source, run_id, dict(tags), None, description, 0, model_id)
    for key in [key for key, value in tags.items() if version.tags.get(key) != value]:
        api.set_model_version_tag(REGISTERED, version.version, key, tags[key])
    if version.description != description:
        api.update_model_version(REGISTERED, version.version, description)
    # The model's page says by this tag that it is registered. A server sets it by itself, a local store does not.
    link = json.dumps([{"name": REGISTERED, "version": version.version}])
    if api.get_logged_model(model_id).tags.get(_VERSIONS) != link:
        api.set_logged_model_tags(model_id, {_VERSIONS: link})
    api.set_registered_model_alias(REGISTERED, CHAMPION, version.version)
    return version


def _registered() -> list[Any]:
    return list(mlflow.MlflowClient().search_registered_models(f"name = '{REGISTERED}'"))
