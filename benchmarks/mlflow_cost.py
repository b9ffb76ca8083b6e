"""The processor time of MLflow in one training run: import, start of a run, each epoch, and the model."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
EPOCHS = 20
MODEL = "mlp_adadelta"


class Clock:
    """Seconds of all processor cores since it was last asked, by this process and what it started."""

    def __init__(self) -> None:
        self._last = 0.0

    def lap(self) -> float:
        """Return the seconds since the last lap."""
        times = os.times()
        now = times.user + times.system + times.children_user + times.children_system
        self._last, since = now, now - self._last
        return since


def main() -> None:
    """Log a run of a network that is not trained, and print the seconds as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True, help="npz made by preprocess")
    arguments = parser.parse_args()
    from pipeline import params
    from pipeline.data import dataset
    from pipeline.training import backend, model_file, networks

    values = params.load(ROOT / "params.yaml")
    model = values.model(MODEL)
    data = dataset.load(arguments.data)
    row = {"loss": 0.1, "accuracy": 0.9, "val_loss": 0.1, "val_accuracy": 0.9, "seconds": 1.0}
    costs, clock = {}, Clock()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        backend.start(inter_op=values.train.threads)
        network = networks.build(model.network, (28, 28), 10, seed=0, precision="float32")
        model_file.save(path, network, {"recipe": "benchmark"})
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        clock.lap()
        from pipeline import tracking
        from pipeline.tracking import experiments

        costs["import"] = clock.lap()
        experiments.connect(experiments.of_dataset("mnist"))
        costs["store"] = clock.lap()
        description = tracking.RunDescription(MODEL, "benchmark", "0" * 32, model, values.train, {"dataset": "mnist"})
        with tracking.training_run(description, data) as run:
            run.missing()
            costs["start"] = clock.lap()
            rows = []
            for epoch in range(1, EPOCHS + 1):
                rows.append({"epoch": float(epoch), **row})
                run.log_epochs(rows)
                run.missing()
            costs["epoch"] = clock.lap() / EPOCHS
            run.log_model(path)
            run.missing()
            costs["model"] = clock.lap()
        costs["end"] = clock.lap()
    print(json.dumps(costs))


if __name__ == "__main__":
    main()
