"""The same networks, optimizers and batches in PyTorch, written as its own examples are."""

import time
from typing import Any

import numpy as np

from benchmarks import contender, described


def build(torch: Any, task: contender.Task) -> Any:
    """Return the network of a task; it ends in logits, as PyTorch's loss wants them."""
    nn, name = torch.nn, task.model
    if name in described.NETWORKS:
        hidden, _ = described.torch_module(torch, described.NETWORKS[name], task.channels)
        network = nn.Sequential(hidden, nn.LazyLinear(10))
        # The last layer has its size from the first images.
        network(torch.zeros(1, task.channels, task.side, task.side))
        return network
    if name == "cnn":
        convolutions = [nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2)]
        dense = [nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10)]
        return nn.Sequential(nn.Unflatten(1, (1, 28)), *convolutions, nn.Dropout(0.25), nn.Flatten(), *dense)
    first = [nn.Linear(784, 512), nn.ReLU(), nn.Dropout(0.2)]
    second = [nn.Linear(512, 512), nn.ReLU(), nn.Dropout(0.2)]
    return nn.Sequential(nn.Flatten(), *first, *second, nn.Linear(512, 10))


def main(*, tuned: bool = False) -> None:
    """Train one network and print its seconds per epoch; `tuned` with what a user changes for speed on processors."""
    task = contender.task()
    import torch

    torch.set_num_threads(task.threads)
    torch.manual_seed(0)
    network = build(torch, task)
    if tuned:
        network = network.to(memory_format=torch.channels_last)
    images, labels, test_images, test_labels = task.arrays()
    x, x_test = (torch.from_numpy(values.astype(np.float32) / 255) for values in (images, test_images))
    if task.model in described.NETWORKS:
        places = (-1, task.side, task.side, task.channels)
        x, x_test = (values.reshape(places).permute(0, 3, 1, 2) for values in (x, x_test))
    weights = network.parameters()
    if task.model in described.NETWORKS:
        optimizer = torch.optim.Adam(weights, lr=described.ADAM["learning_rate"], eps=1e-7, foreach=tuned)
    elif task.model == "mlp_rmsprop":
        optimizer = torch.optim.RMSprop(weights, lr=0.001, alpha=0.9, eps=1e-8, foreach=tuned)
    else:
        optimizer = torch.optim.Adadelta(weights, lr=1.0, rho=0.95, eps=1e-8, foreach=tuned)
    y, y_test = (torch.from_numpy(values.astype(np.int64)) for values in (labels, test_labels))
    mixed = torch.autocast("cpu", torch.bfloat16, enabled=task.precision == "mixed_bfloat16")

    def moved(batch: Any) -> Any:
        # Quicker than the project's own: one shift for the whole batch.
        reach = described.AUGMENTATION["shift"]
        padded = torch.nn.functional.pad(batch, (reach,) * 4)
        top, left = torch.randint(2 * reach + 1, (2,)).tolist()
        cut = padded[:, :, top : top + batch.shape[2], left : left + batch.shape[3]]
        return torch.where(torch.rand(len(batch), 1, 1, 1) < 0.5, cut.flip(3), cut)

    def epoch() -> float:
        network.train()
        for indices in torch.randperm(len(y)).split(task.batch_size):
            optimizer.zero_grad()
            batch = moved(x[indices]) if task.augmented else x[indices]
            with mixed:
                loss = torch.nn.functional.cross_entropy(network(batch), y[indices])
            loss.backward()
            optimizer.step()
        network.eval()
        with torch.inference_mode(), mixed:
            right = [
                network(part).argmax(1) == truth
                for part, truth in zip(x_test.split(1000), y_test.split(1000), strict=True)
            ]
        return float(torch.cat(right).float().mean())

    ends, accuracy = [time.perf_counter()], 0.0
    for _ in range(task.epochs):
        accuracy = epoch()
        ends.append(time.perf_counter())
    contender.answer(np.diff(ends), accuracy)


if __name__ == "__main__":
    main()
