"""Networks of today's kind: described once, as params.yaml has them, and built from that by every contender."""

from collections.abc import Iterable, Mapping
from typing import Any

Layer = Mapping[str, Any]

_NORM = {"name": "batch_norm", "momentum": 0.9, "epsilon": 0.001}
_RELU = {"name": "relu"}
ADAM = {"name": "adam", "learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
AUGMENTATION = {"shift": 2, "flip": True}


def _convolution(filters: int, stride: int = 1) -> list[Layer]:
    return [{"name": "conv2d", "filters": filters, "kernel": 3, "stride": stride, "padding": "same"}, _NORM]


def _residual(filters: int, stride: int) -> list[Layer]:
    inner = [*_convolution(filters, stride), _RELU, *_convolution(filters)]
    return [{"name": "residual", "layers": inner}, _RELU]


def _pair(filters: int) -> list[Layer]:
    return [*_convolution(filters), _RELU, *_convolution(filters), _RELU, {"name": "max_pool", "size": 2}]


NETWORKS: dict[str, list[Layer]] = {
    "batch_norm": [*_pair(16), *_pair(32), *_pair(64), {"name": "flatten"}],
    "residual": [
        *_convolution(16),
        _RELU,
        *_residual(16, 1),
        *_residual(32, 2),
        *_residual(64, 2),
        {"name": "global_average_pool"},
    ],
}


def keras_layers(keras: Any, described: Iterable[Layer], values: Any) -> Any:
    """Return what Keras' layers, with its defaults but for what is described, make of the symbolic `values`."""
    layers = keras.layers
    for layer in described:
        match layer["name"]:
            case "conv2d":
                values = layers.Conv2D(layer["filters"], layer["kernel"], layer["stride"], layer["padding"])(values)
            case "batch_norm":
                values = layers.BatchNormalization(momentum=layer["momentum"], epsilon=layer["epsilon"])(values)
            case "relu":
                values = layers.ReLU()(values)
            case "max_pool":
                values = layers.MaxPooling2D(layer["size"])(values)
            case "flatten":
                values = layers.Flatten()(values)
            case "global_average_pool":
                values = layers.GlobalAveragePooling2D()(values)
            case "residual":
                inner, shortcut = keras_layers(keras, layer["layers"], values), values
                if inner.shape != values.shape:
                    stride = layer["layers"][0]["stride"]
                    shortcut = layers.Conv2D(inner.shape[-1], 1, stride, "same")(values)
                values = layers.Add()([inner, shortcut])
            case unknown:
                raise ValueError(f"no layer of Keras for {unknown}")
    return values


def torch_module(torch: Any, described: Iterable[Layer], channels: int) -> tuple[Any, int]:
    """Return PyTorch's module for images of so many channels, and how many channels it gives."""
    nn, modules = torch.nn, []

    class Residual(nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self, inner: Any, shortcut: Any) -> None:
            super().__init__()
            self.inner, self.shortcut = inner, shortcut

        def forward(self, values: Any) -> Any:
            return self.inner(values) + self.shortcut(values)

    for layer in described:
        match layer["name"]:
            case "conv2d":
                kernel, stride = layer["kernel"], layer["stride"]
                modules.append(nn.Conv2d(channels, layer["filters"], kernel, stride, padding=kernel // 2))
                channels = layer["filters"]
            case "batch_norm":
                modules.append(nn.BatchNorm2d(channels, eps=layer["epsilon"], momentum=1 - layer["momentum"]))
            case "relu":
                modules.append(nn.ReLU())
            case "max_pool":
                modules.append(nn.MaxPool2d(layer["size"]))
            case "flatten":
                modules.append(nn.Flatten())
            case "global_average_pool":
                modules += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
            case "residual":
                inner, filters = torch_module(torch, layer["layers"], channels)
                stride = layer["layers"][0]["stride"]
                same = (channels, 1) == (filters, stride)
                modules.append(Residual(inner, nn.Identity() if same else nn.Conv2d(channels, filters, 1, stride)))
                channels = filters
            case unknown:
                raise ValueError(f"no module of PyTorch for {unknown}")
    return nn.Sequential(*modules), channels
