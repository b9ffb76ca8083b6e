"""The yardstick: one network trained as the report did it, by `model.fit` on float arrays, with nothing around it."""

import time
from typing import Any

import numpy as np

from benchmarks import contender, described


def build(keras: Any, task: contender.Task) -> Any:
    """Return the compiled network of a task, as its Keras example has it."""
    layers, name = keras.layers, task.model
    if name in described.NETWORKS:
        images = values = keras.Input((*task.shape, 1)[:3])
        if task.augmented:
            share = described.AUGMENTATION["shift"] / task.shape[0]
            values = layers.RandomTranslation(share, share, fill_mode="constant")(values)
            values = layers.RandomFlip("horizontal")(values)
        values = described.keras_layers(keras, described.NETWORKS[name], values)
        network = keras.Model(images, layers.Dense(10, activation="softmax", dtype="float32")(values))
        network.compile(keras.optimizers.Adam(), "categorical_crossentropy", metrics=["accuracy"])
        return network
    if name == "cnn":
        hidden = [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Dropout(0.25),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.5),
        ]
    else:
        hidden = [
            keras.Input((784,)),
            layers.Dense(512, activation="relu"),
            layers.Dropout(0.2),
            layers.Dense(512, activation="relu"),
            layers.Dropout(0.2),
        ]
    network = keras.Sequential([*hidden, layers.Dense(10, activation="softmax")])
    adadelta = keras.optimizers.Adadelta(learning_rate=1.0, epsilon=1e-8)
    optimizer = keras.optimizers.RMSprop(epsilon=1e-8) if name == "mlp_rmsprop" else adadelta
    network.compile(optimizer, "categorical_crossentropy", metrics=["accuracy"])
    return network


def main() -> None:
    """Train one network and print its seconds per epoch."""
    task = contender.task()
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(task.threads)
    tf.config.threading.set_inter_op_parallelism_threads(task.threads)
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(task.precision)
    network = build(keras, task)
    shape = network.input_shape[1:]
    images, labels, test_images, test_labels = task.arrays()
    x, x_test = (values.reshape(-1, *shape).astype("float32") / 255 for values in (images, test_images))
    y, y_test = (keras.utils.to_categorical(values, 10) for values in (labels, test_labels))

    ends = [time.perf_counter()]
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: ends.append(time.perf_counter()))
    validation = (x_test, y_test)
    fitted = network.fit(
        x, y, batch_size=task.batch_size, epochs=task.epochs, validation_data=validation, verbose=0, callbacks=[note]
    )
    contender.answer(np.diff(ends), fitted.history["val_accuracy"][-1])


if __name__ == "__main__":
    main()
