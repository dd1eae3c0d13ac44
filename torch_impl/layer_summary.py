"""The network's layers in PyTorch's words, read from the model itself."""

from __future__ import annotations

from typing import Any

import torch

from torch_impl.model import VGG
from vgg16_spec.architecture import Configuration
from vgg16_spec.layer_summary import LayerSummary
from vgg16_spec.names import names

_FLATTEN = "flatten"


def describe(configuration: Configuration) -> list[LayerSummary]:
    """Every layer of the model that computes or moves values, in order.

    Outputs are (N, C, H, W), kernels (out, in, kH, kW) and (out, in); names are torchvision's, and
    flattening is a function. ReLU is told in the kind; dropout is left out. The model is on the
    ``meta`` device, without a value in it.
    """
    with torch.device("meta"):
        model = VGG(
            configuration.name,
            include_top=configuration.include_top,
            classes=configuration.classes,
        )
        images = torch.empty((1, *configuration.input_shape))
    outputs = _outputs(model, images)
    table = names(configuration)
    state = model.state_dict()
    layers = []
    for layer, shape in outputs.items():
        if layer == _FLATTEN:
            layers.append(LayerSummary(layer, "torch.flatten", "function", shape, {}))
            continue
        last = model.tap_modules[layer]
        name = table[layer].torchvision if layer in table else last
        modules = dict.fromkeys((name, last))
        layers.append(
            LayerSummary(
                layer,
                name,
                " + ".join(type(model.get_submodule(module)).__name__ for module in modules),
                shape,
                {k: tuple(v.shape) for k, v in state.items() if k.startswith(f"{name}.")},
            )
        )
    return layers


def _outputs(model: VGG, images: torch.Tensor) -> dict[str, tuple[int | None, ...]]:
    """The output shape of every layer in the order of the run, any number of images first."""
    shapes: dict[str, tuple[int | None, ...]] = {}

    def keep(layer: str, values: torch.Tensor) -> None:
        shapes[layer] = (None, *values.shape[1:])

    handles = []
    try:
        for layer, path in model.tap_modules.items():

            def after(_: Any, __: Any, output: torch.Tensor, layer: str = layer) -> None:
                keep(layer, output)

            handles.append(model.get_submodule(path).register_forward_hook(after))
        if model.configuration.include_top:

            def before(_: Any, inputs: tuple[torch.Tensor, ...]) -> None:
                keep(_FLATTEN, inputs[0])

            handles.append(model.classifier.register_forward_pre_hook(before))
        model.eval()(images)
    finally:
        for handle in handles:
            handle.remove()
    return shapes
