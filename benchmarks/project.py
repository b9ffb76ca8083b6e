"""The project's own training on the terms of the benchmark: without MLflow, without checkpoints."""

from pathlib import Path

from benchmarks import contender


def main() -> None:
    """Train one network and print its seconds per epoch."""
    task = contender.task()
    from benchmarks import described
    from pipeline import params, schema
    from pipeline.data.dataset import Dataset, Split
    from pipeline.training import trainer
    from pipeline.training.settings import Model

    values = params.load(Path("params.yaml"))
    if task.model in described.NETWORKS:
        block: dict[str, object] = {
            "network": {"name": "sequential", "layers": described.NETWORKS[task.model]},
            "optimizer": described.ADAM,
            "loss": {"name": "crossentropy", "clip": None},
            "epochs": task.epochs,
        }
        model = schema.validate(Model, block | ({"augmentation": described.AUGMENTATION} if task.augmented else {}))
    else:
        model = values.model(task.model).model_copy(update={"epochs": task.epochs})
    training = values.train.model_copy(
        update={key: getattr(task, key) for key in ("batch_size", "precision", "threads", "instructions")}
    )
    trainer.start(model, training)
    images, labels, test_images, test_labels = task.arrays()
    data = Dataset(Split(images, labels), None, Split(test_images, test_labels), tuple("0123456789"))

    rows = trainer.train(trainer.build(model, training, data), data, model, training).rows
    contender.answer([row["seconds"] for row in rows], rows[-1]["val_accuracy"])


if __name__ == "__main__":
    main()
