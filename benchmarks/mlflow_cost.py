"""The processor time of MLflow in one training run: import, start of a run, each epoch, and the model."""

import argparse
import json
import os
import tempfile
from pathlib import Path

EPOCHS = 20
MODEL = "mlp_adadelta"


def used() -> float:
    """Return the seconds of all processor cores so far, of this process and what it started."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> None:
    """Log a run of a network that is not trained, and print the seconds as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True, help="npz made by preprocess")
    arguments = parser.parse_args()
    from pipeline import params
    from pipeline.data import dataset
    from pipeline.training import backend, model_file, networks

    values = params.load(Path("params.yaml"))
    model = values.model(MODEL)
    data = dataset.load(arguments.data)
    row = {"loss": 0.1, "accuracy": 0.9, "val_loss": 0.1, "val_accuracy": 0.9, "seconds": 1.0}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        backend.start(inter_op=values.train.threads)
        network = networks.build(model.network, (28, 28), 10, seed=0, precision="float32")
        model_file.save(path, network, {"recipe": "benchmark"})
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        marks = {"": used()}
        from pipeline import tracking
        from pipeline.tracking import experiments

        marks["import"] = used()
        experiments.connect(experiments.of_dataset("mnist"))
        marks["store"] = used()
        description = tracking.RunDescription(MODEL, "benchmark", "0" * 32, model, values.train, {"dataset": "mnist"})
        with tracking.training_run(description, data) as run:
            run.missing()
            marks["start"] = used()
            rows = []
            for epoch in range(1, EPOCHS + 1):
                rows.append({"epoch": float(epoch), **row})
                run.log_epochs(rows)
                run.missing()
            marks["epoch"] = used()
            run.log_model(path)
            run.missing()
            marks["model"] = used()
        marks["end"] = used()
    costs = {part: end - start for start, (part, end) in zip(marks.values(), [*marks.items()][1:], strict=False)}
    print(json.dumps(costs | {"epoch": costs["epoch"] / EPOCHS}))


if __name__ == "__main__":
    main()
