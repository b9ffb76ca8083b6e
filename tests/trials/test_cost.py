"""The cost of training runs: multiply-adds, against sums by hand; test_kinds.py has every kind of layer."""

import pytest

from pipeline.trials import plan, run
from tests.support import study_runs


def by_hand(variant: str) -> int:
    """Return the multiply-adds for one image of 28x28 in 10 classes: outputs times inputs to each, layer by layer."""
    convolutions = ((28, 1, 16), (28, 16, 16), (14, 16, 32), (14, 32, 32), (7, 32, 64), (7, 64, 64))
    return {
        "mlp_rmsprop": 784 * 512 + 512 * 512 + 512 * 10,
        "cnn": 26 * 26 * 32 * 9 + 24 * 24 * 64 * 9 * 32 + 12 * 12 * 64 * 128 + 128 * 10,
        "fashion_cnn_batch_norm": sum(side**2 * 9 * a * b for side, a, b in convolutions) + 64 * 10,
    }[variant]


@pytest.mark.parametrize("variant", ["mlp_rmsprop", "cnn", "fashion_cnn_batch_norm"])
def test_work_is_counted_in_multiplications(variant: str) -> None:
    """The cost of a network is the sum over its layers of outputs times inputs to each."""
    assert run.multiply_adds(study_runs.whole().variants[variant].network, (28, 28), 10) == by_hand(variant)


def test_a_training_run_costs_epochs_times_images() -> None:
    """The longest replicate of a run counts, with the training images of its data set."""
    of = study_runs.study(cnn=1, cnn_24_epochs=1)
    wanted = [one for one in study_runs.replicates(of) if one.variant in ("cnn", "cnn_24_epochs") and one.seed == 0]

    (trajectory,) = plan.trajectories(wanted)

    assert run.cost(trajectory, study_runs.SUMMARY) == 24 * 55_000 * by_hand("cnn")
