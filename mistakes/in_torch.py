"""Mistakes planted in the computation of the PyTorch model."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

import torch_impl
from mistakes.catalogue import Values
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.names import torchvision_keys

Forward = Callable[[torch.Tensor], torch.Tensor]


class Port:
    """The project's own model, as ``mistakes.catalogue.Port`` describes it."""

    def __init__(self, configuration: str) -> None:
        with torch.device("meta"):
            self.model = torch_impl.VGG(configuration)

    def load(self, checkpoint: Checkpoint) -> None:
        """Load weights, and remove a planted mistake."""
        for module in self.model.modules():
            vars(module).pop("forward", None)
        torch_impl.load_checkpoint(self.model, checkpoint)

    def plant(self, name: str) -> None:
        """Plant the mistake of that name, if it is one in the computation."""
        if name in CHANGES:
            CHANGES[name](self.model)

    def taps(self, images: Values) -> dict[str, Values]:
        """Every tap by name."""
        return torch_impl.run_with_taps(self.model, images)

    def layers(self, images: Values, given: dict[str, NDArray[np.float32]]) -> dict[str, Values]:
        """Return every layer's output for the given inputs."""
        return torch_impl.run_layers_locally(self.model, images, given)


def _layer(model: torch_impl.VGG, name: str) -> Any:
    """The module with a layer's weights."""
    key = torchvision_keys(model.configuration)[f"{name}.weight"]
    return model.get_submodule(key.rpartition(".")[0])


def _replace(module: Any, forward: Forward) -> None:
    # On the instance: the module keeps its place, its name and its weights.
    module.forward = forward


def _no_relu(model: torch_impl.VGG) -> None:
    _replace(model.get_submodule(model.tap_modules["block3_conv2"]), lambda values: values)


def _average(model: torch_impl.VGG) -> None:
    for module in model.features:
        if isinstance(module, torch.nn.MaxPool2d):
            _replace(module, lambda values: functional.avg_pool2d(values, 2))


def _softmax(model: torch_impl.VGG) -> None:
    layer = _layer(model, "predictions")
    _replace(
        layer,
        lambda values: functional.softmax(functional.linear(values, layer.weight, layer.bias), 1),
    )


def _one_side(model: torch_impl.VGG) -> None:
    layer = _layer(model, "block2_conv1")
    _replace(
        layer,
        lambda values: functional.conv2d(
            functional.pad(values, (0, 2, 0, 2)), layer.weight, layer.bias
        ),
    )


def _dropout(model: torch_impl.VGG) -> None:
    torch.manual_seed(0)
    for module in model.classifier:
        if isinstance(module, torch.nn.Dropout):
            _replace(module, lambda values: functional.dropout(values, training=True))


CHANGES: Final = MappingProxyType(
    {
        "no ReLU": _no_relu,
        "average pooling": _average,
        "softmax": _softmax,
        "padding on one side": _one_side,
        "dropout left on": _dropout,
    }
)
