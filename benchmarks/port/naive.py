"""Porting weights without this project: load everything, build the other model, save it.

Keras runs on PyTorch (``KERAS_BACKEND=torch``). Frameworks are imported inside the functions, so
that the workers of other tasks do not load them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from benchmarks.export.prepare import TORCHVISION
from vgg16_spec.architecture import Configuration
from vgg16_spec.names import torchvision_keys

if TYPE_CHECKING:
    import torch

_FC1: Final = "fc1"

Port = Callable[[Path, Path], object]


def torch_to_keras(network: Configuration) -> Port:
    """``torch.load``, a Keras model, ``set_weights``, ``save_weights``."""

    def work(source: Path, out: Path) -> None:
        import torch

        state = torch.load(source, map_location="cpu", weights_only=True)
        model, keys = _keras_model(network), torchvision_keys(network)
        channels, height, width = network.feature_shape
        for layer in network.weighted_layers:
            kernel = state[keys[f"{layer.name}.weight"]].numpy()
            bias = state[keys[f"{layer.name}.bias"]].numpy()
            if layer.name == _FC1:  # (out, C * H * W) -> (H * W * C, out)
                kernel = kernel.reshape(-1, channels, height, width).transpose(2, 3, 1, 0)
                kernel = kernel.reshape(-1, kernel.shape[-1])
            else:  # OIHW -> HWIO, (out, in) -> (in, out)
                kernel = kernel.transpose(2, 3, 1, 0) if kernel.ndim == 4 else kernel.transpose()
            model.get_layer(layer.name).set_weights([kernel, bias])
        model.save_weights(out)

    return work


def keras_to_torch(network: Configuration) -> Port:
    """A Keras model, ``load_weights``, a PyTorch model, ``load_state_dict``, ``torch.save``."""
    new_model = _torch_model(network)

    def work(source: Path, out: Path) -> None:
        import torch

        keras_model, keys = _keras_model(network), torchvision_keys(network)
        keras_model.load_weights(source)
        channels, height, width = network.feature_shape
        state = {}
        for layer in network.weighted_layers:
            kernel, bias = keras_model.get_layer(layer.name).get_weights()
            if layer.name == _FC1:  # (H * W * C, out) -> (out, C * H * W)
                kernel = kernel.reshape(height, width, channels, -1).transpose(3, 2, 0, 1)
                kernel = kernel.reshape(len(kernel), -1)
            else:  # HWIO -> OIHW, (in, out) -> (out, in)
                kernel = kernel.transpose(3, 2, 0, 1) if kernel.ndim == 4 else kernel.transpose()
            for part, values in (("weight", kernel), ("bias", bias)):
                key = keys[f"{layer.name}.{part}"]
                state[key] = torch.from_numpy(np.ascontiguousarray(values))
        model = new_model()
        model.load_state_dict(state, strict=True)
        torch.save(model.state_dict(), out)

    return work


def _keras_model(network: Configuration) -> Any:
    import keras_impl

    return keras_impl.functional(network.name, classes=network.classes)


def _torch_model(network: Configuration) -> Callable[[], torch.nn.Module]:
    """A constructor, torchvision's if it has one, of a model with random weights.

    torchvision is imported here and not when the constructor is called: the tiny network, which is
    ported first, is none of torchvision's, so that the import would be timed.
    """
    if network.name in TORCHVISION:
        import torchvision

        made: Callable[[], torch.nn.Module] = getattr(torchvision.models, TORCHVISION[network.name])
        return made
    from torch_impl import VGG

    return partial(VGG, network.name, classes=network.classes)


# Source and target format -> a configuration's port.
NAIVE: Final[Mapping[tuple[str, str], Callable[[Configuration], Port]]] = MappingProxyType(
    {
        ("torchvision", "keras-weights-h5"): torch_to_keras,
        ("keras-weights-h5", "torchvision"): keras_to_torch,
    }
)
