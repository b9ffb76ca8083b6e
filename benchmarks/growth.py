"""How the study grows: tiny trainings on a local cluster, or none at all in their place, and the seconds it takes."""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from pipeline import files, params, schema
from pipeline.data import dataset
from pipeline.data.dataset import Dataset, Split
from pipeline.trials import cluster, ledger, plan, worker

# What a tiny training is trained on.
IMAGES = 1000


def study(seeds: int) -> plan.Study:
    """Return a study with one tiny variant."""
    model = params.load(Path("params.yaml")).model("mlp_adadelta")
    small = model.model_dump() | {"network": {"name": "mlp", "units": (16,), "dropout": 0.2}, "epochs": 1}
    variant = small | {"dataset": "mnist", "precision": "float32", "pixels": "original", "seeds": seeds}
    other = variant | {"epochs": 2, "seeds": 1}
    values = {
        "data": {"sets": ("mnist",), "validation": IMAGES, "split_seed": 0, "permutation_seed": 0},
        "train": {"batch_size": 128, "threads": 1},
        "variants": {"tiny": variant, "other": other},
        "statistics": {"level": 0.05, "comparisons": (("tiny", "other"),)},
    }
    return schema.validate(plan.Study, values)


def nothing(replicates: list[dict[str, Any]], _: str) -> dict[str, Any]:
    """Stand in for a training."""
    return {"results": [], "seeds": [replicate["seed"] for replicate in replicates]}


def main() -> None:
    """Run so many replicates, and print the seconds from the first one handed out to the last one in the ledger."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True, help="npz made by preprocess")
    parser.add_argument("--replicates", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--stub", action="store_true", help="hand out a task that does nothing")
    arguments = parser.parse_args()
    whole = dataset.load(arguments.data)
    few = Split(whole.train.images[:IMAGES], whole.train.labels[:IMAGES])
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "few.npz"
        dataset.save(data, Dataset(few, few, few, whole.classes))
        planned = plan.replicates(study(arguments.replicates), {"mnist": files.sha256(data)})
        trajectories = plan.trajectories([one for one in planned if one.variant == "tiny"])
        work = nothing if arguments.stub else worker.train
        with cluster.connected(None, arguments.workers) as client:
            started = time.perf_counter()
            for outcome in cluster.outcomes(client, trajectories, {files.sha256(data): data}, work):
                if outcome.error:
                    raise RuntimeError(outcome.error)
                for result in outcome.results:
                    ledger.append(Path(folder) / "runs", {**result, "commit": None})
            print(json.dumps({"seconds": time.perf_counter() - started}))


if __name__ == "__main__":
    main()
