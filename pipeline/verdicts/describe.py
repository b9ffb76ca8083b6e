"""What a side's params make its own code train: run as a program, from that code."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pipeline import cli, files, params, schema
from pipeline.params import Params
from pipeline.training import recipe
from pipeline.trials import plan


def main() -> int:
    """Answer a JSON object on standard input with one on standard output.

    Asked: `name` and content (`params`) of a params.yaml, the `image` shape and the `count` of training images.
    Answered: the blocks `data` and `models`, each model as the ingredients of its recipe, and which code and libraries
    (`implementation`) would train it.
    """
    asked = json.loads(sys.stdin.read())
    path = Path(asked["name"])
    values = schema.validate(Params, files.parse_yaml(asked["params"].encode(), path), path)
    params.check_images(values.models, values.train.batch_size, tuple(asked["image"]), asked["count"], path)
    models = {name: plan.ingredients(model, values.train) for name, model in values.models.items()}
    answer = {"data": values.data.model_dump(mode="json"), "models": models, "implementation": recipe.implementation()}
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    cli.run(main)
