"""What a side's params make its own code train: run as a program, from that code."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline import cli, files, params, schema
from pipeline.params import Params
from pipeline.training import recipe
from pipeline.trials import plan


def main() -> int:
    """Answer a JSON object on standard input with one on standard output, as `describe` does."""
    print(json.dumps(describe(json.loads(sys.stdin.read()))))
    return 0


def describe(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a side would train.

    Asked: `name` and content (`params`) of a params.yaml, the `image` shape and the `count` of training images.
    Answered: the blocks `data` and `models`, each model as the ingredients of its recipe, and which code and libraries
    (`implementation`) would train it.

    Raises:
        InputError: The params break a rule, or a network does not fit the images.
    """
    path = Path(asked["name"])
    values = schema.validate(Params, files.parse_yaml(asked["params"].encode(), path), path)
    params.check_images(values.models, values.train, tuple(asked["image"]), asked["count"], path)
    models = {name: plan.ingredients(model, values.train) for name, model in values.models.items()}
    return {"data": values.data.model_dump(mode="json"), "models": models, "implementation": recipe.implementation()}


if __name__ == "__main__":
    cli.run(main)
