"""The network's layers as PyTorch has them, read from the model itself."""

from __future__ import annotations

import torch

from torch_impl.model import VGG
from torch_impl.taps import tapped
from vgg16_spec.architecture import Configuration
from vgg16_spec.layer_summary import LayerSummary, OpenShape
from vgg16_spec.names import names

_FLATTEN = "flatten"


def layer_summaries(configuration: Configuration) -> list[LayerSummary]:
    """Every layer of the model that computes or moves values, in order.

    Outputs are (N, C, H, W), kernels (out, in, kH, kW) and (out, in). Names are torchvision's;
    flattening is a function. Dropout is left out; a layer's ReLU is part of its kind. The model
    is built on the ``meta`` device, without values.
    """
    with torch.device("meta"):
        model = VGG(
            configuration.name,
            include_top=configuration.include_top,
            classes=configuration.classes,
        )
    table = names(configuration)
    state = model.state_dict()
    layers = []
    for layer, shape in _output_shapes(model).items():
        if layer == _FLATTEN:
            layers.append(LayerSummary(layer, "torch.flatten", "function", shape, {}))
            continue
        last = model.tap_modules[layer]
        name = table[layer].torchvision if layer in table else last
        kinds = [type(model.get_submodule(path)).__name__ for path in dict.fromkeys((name, last))]
        weights = {k: tuple(v.shape) for k, v in state.items() if k.startswith(f"{name}.")}
        layers.append(LayerSummary(layer, name, " + ".join(kinds), shape, weights))
    return layers


def _output_shapes(model: VGG) -> dict[str, OpenShape]:
    """Layer -> output shape with an open batch, in the order of the run."""
    shapes: dict[str, OpenShape] = {}

    def keep(layer: str, output: torch.Tensor) -> None:
        shapes[layer] = (None, *output.shape[1:])

    if model.configuration.include_top:
        model.classifier.register_forward_pre_hook(lambda _, inputs: keep(_FLATTEN, inputs[0]))
    with tapped(model, keep):
        model(torch.empty((1, *model.configuration.input_shape), device="meta"))
    return shapes
