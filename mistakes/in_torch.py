"""Mistakes planted in the PyTorch model; those in its weights and pictures are mistakes.py's."""

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
    """The project's own model; what is planted is gone when weights are loaded."""

    def __init__(self, configuration: str) -> None:
        with torch.device("meta"):
            self.model = torch_impl.VGG(configuration)

    def load(self, checkpoint: Checkpoint) -> None:
        for module in self.model.modules():
            vars(module).pop("forward", None)
        torch_impl.load_checkpoint(self.model, checkpoint)

    def plant(self, name: str) -> None:
        if name in CHANGES:
            CHANGES[name](self.model)

    def taps(self, images: Values) -> dict[str, Values]:
        return torch_impl.run_with_taps(self.model, images)

    def layers(self, images: Values, given: dict[str, NDArray[np.float32]]) -> dict[str, Values]:
        return torch_impl.run_layers_locally(self.model, images, given)


def layer_of(model: torch_impl.VGG, name: str) -> Any:
    """The module that has the layer's weights."""
    key = torchvision_keys(model.configuration)[f"{name}.weight"]
    return model.get_submodule(key.rpartition(".")[0])


def _replace(module: Any, forward: Forward) -> None:
    # On the instance: the module's place, its name and its weights stay.
    module.forward = forward


def _no_relu(model: torch_impl.VGG) -> None:
    _replace(model.get_submodule(model.tap_modules["block3_conv2"]), lambda values: values)


def _average(model: torch_impl.VGG) -> None:
    for module in model.features:
        if isinstance(module, torch.nn.MaxPool2d):
            _replace(module, lambda values: functional.avg_pool2d(values, 2))


def _softmax(model: torch_impl.VGG) -> None:
    layer = layer_of(model, "predictions")
    _replace(
        layer,
        lambda values: functional.softmax(functional.linear(values, layer.weight, layer.bias), 1),
    )


def _one_side(model: torch_impl.VGG) -> None:
    layer = layer_of(model, "block2_conv1")
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
