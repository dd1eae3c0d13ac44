"""The network's layers as PyTorch has them, read from the model itself."""

from __future__ import annotations

import torch

from torch_impl.model import VGG
from torch_impl.taps import tapped
from vgg16_spec.architecture import Configuration, Flatten
from vgg16_spec.layer_summary import LayerSummary
from vgg16_spec.names import names


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
    shapes: dict[str, tuple[int | None, ...]] = {}
    with tapped(model, lambda name, output: shapes.update({name: (None, *output.shape[1:])})):
        model(torch.empty((1, *configuration.input_shape), device="meta"))
    table, state = names(configuration), model.state_dict()
    layers = []
    for layer in configuration.layers:
        if isinstance(layer, Flatten):
            flat = (None, state["classifier.0.weight"].shape[1])
            layers.append(LayerSummary(layer.name, "torch.flatten", "function", flat, {}))
            continue
        last = model.tap_modules[layer.name]
        name = table[layer.name].torchvision if layer.name in table else last
        kinds = [type(model.get_submodule(path)).__name__ for path in dict.fromkeys((name, last))]
        weights = {k: tuple(v.shape) for k, v in state.items() if k.startswith(f"{name}.")}
        summary = LayerSummary(layer.name, name, " + ".join(kinds), shapes[layer.name], weights)
        layers.append(summary)
    return layers
