"""The history of a training run: one row per epoch, which train writes and everything after it reads."""

# `loss` and `accuracy` are Keras' running means over the epoch, with dropout on; `val_*` are measured after it, in
# inference mode, on the validation images or, under the original's protocol, on the test images. Epochs count from 1.
COLUMNS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy")
SCORES = COLUMNS[1:]
