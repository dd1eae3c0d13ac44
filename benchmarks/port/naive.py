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

from benchmarks.export.prepare import TORCHVISION
from vgg16_spec.architecture import Configuration
from vgg16_spec.layouts import canonical_to_keras, contiguous, keras_to_canonical
from vgg16_spec.names import torchvision_keys

if TYPE_CHECKING:
    import torch

Port = Callable[[Path, Path], object]


def torch_to_keras(network: Configuration) -> Port:
    """``torch.load``, a Keras model, ``set_weights``, ``save_weights``."""

    def work(source: Path, out: Path) -> None:
        import torch

        state = torch.load(source, map_location="cpu", weights_only=True)
        model, keys = _keras_model(network), torchvision_keys(network)
        for layer in network.weighted_layers:
            names = (f"{layer.name}.weight", f"{layer.name}.bias")
            arrays = {name: state[keys[name]].numpy() for name in names}
            model.get_layer(layer.name).set_weights(
                [canonical_to_keras(*each, network.feature_shape) for each in arrays.items()]
            )
        model.save_weights(out)

    return work


def keras_to_torch(network: Configuration) -> Port:
    """A Keras model, ``load_weights``, a PyTorch model, ``load_state_dict``, ``torch.save``."""
    new_model = _torch_model(network)

    def work(source: Path, out: Path) -> None:
        import torch

        keras_model, keys = _keras_model(network), torchvision_keys(network)
        keras_model.load_weights(source)
        state = {}
        for layer in network.weighted_layers:
            arrays = keras_model.get_layer(layer.name).get_weights()
            for part, array in zip(("weight", "bias"), arrays, strict=True):
                name = f"{layer.name}.{part}"
                values = keras_to_canonical(name, array, network.feature_shape)
                state[keys[name]] = torch.from_numpy(contiguous(values))
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
