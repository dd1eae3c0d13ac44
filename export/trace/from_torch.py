"""PyTorch to ONNX, by tracing the structure alone.

The model is on the ``meta`` device, where tensors have a shape and no memory, and gets its weights
as arguments; the linker turns these into initializers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

from export.constants import symbolic_shape
from export.trace import torch_exporter
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

    graph = torch_exporter.convert(network, configuration, device="meta")
    graph.graph.inputs[0].shape = ir.Shape(symbolic_shape(configuration))
    return graph
