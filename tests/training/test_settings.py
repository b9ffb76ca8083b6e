"""A model's settings: what fits together, and what does not."""

from typing import Any

import pytest

from pipeline import schema
from pipeline.errors import InputError
from pipeline.params import Params
from pipeline.training import networks
from pipeline.training.settings import Cnn, Model, Sequential

CONV = {"name": "conv2d", "filters": 4, "kernel": 3, "stride": 1, "padding": "valid"}
POOL, FLATTEN, DENSE = {"name": "max_pool", "size": 2}, {"name": "flatten"}, {"name": "dense", "units": 5}
NORM = {"name": "batch_norm", "momentum": 0.9, "epsilon": 1e-3}
MEAN, LOSS = {"name": "global_average_pool"}, {"name": "crossentropy", "clip": None}
VALID, SAME, LARGE = CONV, CONV | {"padding": "same"}, CONV | {"kernel": 5}


def residual(*inner: dict[str, Any]) -> dict[str, Any]:
    """Return the block of a residual layer."""
    return {"name": "residual", "layers": list(inner)}


def sequential(*layers: dict[str, Any]) -> Sequential:
    """Return the settings of a network of these layers."""
    return schema.validate(Sequential, {"name": "sequential", "layers": list(layers)})


@pytest.mark.parametrize("shape", [(28, 28), (32, 32, 3), (9, 17, 3)])
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 5])
def test_shapes_are_those_of_keras(shape: tuple[int, ...], padding: str, stride: int, kernel: int) -> None:
    """Layers that the rule admits, up to the size that they leave, are those that Keras can build."""
    convolution = CONV | {"kernel": kernel, "stride": stride, "padding": padding}
    deep = sequential(convolution, NORM, {"name": "relu"}, {"name": "average_pool", "size": 2}, FLATTEN, DENSE)

    deep.check_shape(shape)

    assert networks.build(deep, shape, 7, seed=0, precision="float32").output_shape == (None, 7)


@pytest.mark.parametrize(
    ("layers", "fault"),
    [
        ([CONV | {"kernel": 9}, FLATTEN], "layer 1, conv2d: is too large for the 8x8 that are left"),
        ([POOL, POOL, POOL, POOL, FLATTEN], "layer 4, max_pool: is too large for the 1x1 that are left"),
        ([FLATTEN, CONV], "layer 2, conv2d: needs an image"),
        ([FLATTEN, MEAN], "layer 2, global_average_pool: needs an image"),
        ([DENSE], "layer 1, dense: needs one row of numbers"),
        ([CONV], "the last layer has to give one row per image"),
        ([residual(SAME)], "the last layer has to give one row per image"),
        ([FLATTEN, residual(DENSE, CONV)], "layer 2, residual: layer 2, conv2d: needs an image"),
        ([SAME, POOL, residual(residual(LARGE))], "layer 3, residual: layer 1, residual: layer 1, conv2d"),
        ([residual(VALID)], "layer 1, residual: its layers turn 8x8x1 into 6x6x4, and a 1x1 convolution with stride 1"),
        # Not what every second pixel is, though there are as many.
        ([residual(LARGE)], "layer 1, residual: its layers turn 8x8x1 into 4x4x4, and a 1x1 convolution"),
        ([residual(POOL | {"size": 3})], "layer 1, residual: its layers turn 8x8x1 into 2x2x1, and a 1x1 convolution"),
        ([residual(FLATTEN)], "layer 1, residual: its layers turn 8x8x1 into 64, but only from image to image"),
        ([FLATTEN, residual(DENSE)], "layer 2, residual: its layers turn 64 into 5, but only from image to image"),
    ],
)
def test_layers_that_do_not_fit_are_named(layers: list[dict[str, Any]], fault: str) -> None:
    """The first layer that an image of 8x8 does not fit is named by its position, with what is wrong."""
    with pytest.raises(ValueError, match=fault):
        sequential(*layers).check_shape((8, 8))


def test_faults_inside_of_layers_are_placed() -> None:
    """A wrong value, an unknown kind and an unknown key in a residual layer are named with their place in the file."""
    inner = [CONV | {"filters": 0}, {"name": "convolution"}, MEAN | {"size": 2}]

    with pytest.raises(InputError) as caught:
        sequential(POOL, residual(residual(*inner)))

    assert [line.partition(";")[0].partition(", 'depth")[0] for line in str(caught.value).splitlines()] == [
        "layers[1].layers[0].layers[0].filters: expected greater than 0, found 0",
        "layers[1].layers[0].layers[1]: expected 'conv2d'",
        "layers[1].layers[0].layers[2]: unknown key 'size'",
    ]


def test_layers_that_contain_themselves_are_refused() -> None:
    """An alias in YAML that leads back to its own layers is a fault of one line."""
    layers: list[dict[str, Any]] = []
    layers.append(residual() | {"layers": layers})

    with pytest.raises(InputError, match="cyclic reference"):
        sequential(*layers)


def test_a_cnn_says_which_images_are_too_small() -> None:
    """Three convolutions and a pool of 2 need 8 pixels, the smaller side counts."""
    values = {"name": "cnn", "filters": [2, 2, 2], "kernel": 3, "pool": 2, "pool_dropout": 0.0, "units": 4}
    network = schema.validate(Cnn, values | {"dropout": 0.0})

    network.check_shape((8, 30, 3))
    with pytest.raises(ValueError, match="a 30x7 image is too small for 3 convolutions"):
        network.check_shape((30, 7))


def model(values: Params, **more: Any) -> Model:
    """Return a model of the project with optional parts."""
    return schema.validate(Model, values.models["mlp_rmsprop"].settings() | more)


def test_what_is_left_out_is_not_a_setting(values: Params) -> None:
    """Optional parts do not show in the settings of a model that leaves them out, so that its recipe stays."""
    assert set(values.models["cnn"].settings()) == {"network", "optimizer", "loss", "epochs"}
    assert model(values, keep="last").settings()["keep"] == "last"


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ({"schedule": {"name": "step", "epochs": 20, "factor": 0.5}}, "schedule.epochs: expected less than the 20"),
        ({"schedule": {"name": "step", "epochs": 5}}, "schedule.factor: missing"),
        ({"schedule": {"name": "linear"}}, "schedule: expected 'constant', 'cosine', 'step' for name"),
        ({"augmentation": {"shift": -1, "flip": True}}, "augmentation.shift: expected greater than or equal to 0"),
        ({"augmentation": {"zoom": 0.6}}, "augmentation.zoom: expected less than or equal to 0.5, found 0.6"),
        ({"augmentation": {"flip": 1}}, "augmentation.flip: expected a valid boolean, found 1"),
        ({"loss": LOSS | {"class_weight": "inverse"}}, "loss.class_weight: expected 'balanced', found 'inverse'"),
        ({"keep": "best"}, "keep: expected 'last', 'best_val_loss' or 'best_val_accuracy', found 'best'"),
    ],
)
def test_optional_parts_are_checked(values: Params, more: dict[str, Any], fault: str) -> None:
    """A wrong value or a missing key of an optional part is named as any other."""
    with pytest.raises(InputError) as caught:
        model(values, **more)

    assert fault in str(caught.value)
