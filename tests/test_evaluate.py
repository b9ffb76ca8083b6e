"""Evaluation in inference mode, and what it tells MLflow."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline import evaluate
from pipeline.data.dataset import Dataset, Split
from pipeline.errors import PipelineError
from pipeline.params import Params
from pipeline.training import networks


def test_every_image_of_every_split_is_scored_without_dropout(values: Params, digits: Dataset) -> None:
    """Accuracy and loss of each split are those of the network's plain answers to all of its images."""
    data = Dataset(digits.train, Split(digits.test.images[:97], digits.test.labels[:97]), digits.test, digits.classes)
    network = networks.build(values.models["cnn"].network, (28, 28), 10, seed=0, precision="float32")

    scores, probabilities = evaluate.evaluate(network, data, clip=1e-7)

    assert {name: score.count for name, score in scores.items()} == {"train": 1400, "validation": 97, "test": 397}
    for name, split in data.splits().items():
        answers = np.asarray(network(split.images, training=False), np.float64)
        truth = answers[np.arange(len(split)), split.labels]
        assert scores[name].accuracy == pytest.approx(np.mean(answers.argmax(axis=1) == split.labels))
        assert scores[name].loss == pytest.approx(-np.log(np.clip(truth, 1e-7, 1 - 1e-7)).mean(), rel=1e-5)
    np.testing.assert_allclose(probabilities, network(data.test.images), atol=1e-6)


@pytest.mark.fault("model with NaN in its weights")
def test_a_network_with_broken_weights_is_refused(values: Params, digits: Dataset) -> None:
    """NaN in a weight gives an error with the split's name instead of scores."""
    network = networks.build(values.models["mlp_rmsprop"].network, (28, 28), 10, seed=0, precision="float32")
    weights = network.get_weights()
    weights[-1][0] = np.nan
    network.set_weights(weights)

    with pytest.raises(PipelineError, match="train images"):
        evaluate.evaluate(network, digits, clip=1e-7)
