"""PyTorch to ONNX, by tracing the structure alone.

The model is on the ``meta`` device, where tensors have a shape and no memory, and gets its weights
as arguments; the linker turns these into initializers.
"""

from __future__ import annotations

import logging
import warnings
from contextlib import ExitStack
from typing import TYPE_CHECKING

import onnx_ir as ir

from export.constants import INPUT, OPSET, Stateless, symbolic_shape, traced_shape
from vgg16_spec.architecture import Configuration
from vgg16_spec.names import torchvision_keys

if TYPE_CHECKING:
    import torch


def trace(configuration: Configuration) -> ir.Model:
    """The network's graph as PyTorch computes it; see ``from_keras.trace``."""
    import torch

    from torch_impl import VGG

    with torch.device("meta"):
        model = VGG(
            configuration.name,
            include_top=configuration.include_top,
            classes=configuration.classes,
        ).eval()
    keys = torchvision_keys(configuration).values()

    def network(images: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        given = dict(zip(keys, weights, strict=True))
        outputs: torch.Tensor = torch.func.functional_call(model, given, (images,), strict=True)
        return outputs

    return convert(network, configuration, device="meta")


def convert(network: Stateless, configuration: Configuration, device: str = "cpu") -> ir.Model:
    """The graph of a function of the images and the weights, by PyTorch's own exporter.

    Memory that is never written costs none. Where the function runs on ``meta``, it takes none at
    all. The exporter's own optimiser stays out: it reads values.
    """
    import torch

    class Network(torch.nn.Module):
        def forward(self, images: torch.Tensor, weights: list[torch.Tensor]) -> torch.Tensor:
            outputs: torch.Tensor = network(images, *weights)
            return outputs

    images = torch.empty(traced_shape(configuration), device=device)
    weights = [torch.empty(s, device=device) for s in configuration.weight_shapes.values()]
    shape, least = symbolic_shape(configuration), configuration.minimum_size
    free = {
        axis: torch.export.Dim(name, min=least if axis else None)
        for axis, name in enumerate(shape)
        if isinstance(name, str)
    }
    registry = logging.getLogger("torch.onnx._internal.exporter._registration")
    with ExitStack() as restored, warnings.catch_warnings():
        # Without torchvision, the exporter warns about torchvision's operators, which VGG lacks.
        restored.callback(registry.setLevel, registry.level)
        registry.setLevel(logging.ERROR)
        # The exporter calls parts of PyTorch that PyTorch itself has deprecated.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        program = torch.onnx.export(
            Network().eval(),
            (images, weights),
            dynamo=True,
            opset_version=OPSET,
            dynamic_shapes=(free, [{} for _ in weights]),
            optimize=False,
            verbose=False,
        )
    assert program is not None
    model: ir.Model = program.model
    names = [INPUT, *configuration.weight_shapes]
    for value, name in zip(model.graph.inputs, names, strict=True):
        value.name = name
    model.graph.inputs[0].shape = ir.Shape(shape)
    return model
