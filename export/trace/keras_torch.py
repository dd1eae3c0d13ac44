"""A function of Keras's PyTorch backend to ONNX, by PyTorch's exporter."""

from __future__ import annotations

import onnx_ir as ir

from export.constants import Stateless, traced_shape
from export.trace import torch_exporter
from vgg16_spec.architecture import Configuration


def convert(network: Stateless, configuration: Configuration) -> ir.Model:
    """The graph of a function of the images and of the weights; see ``from_keras.trace``."""
    import torch

    class Network(torch.nn.Module):
        def forward(self, images: torch.Tensor, weights: list[torch.Tensor]) -> torch.Tensor:
            outputs: torch.Tensor = network(images, *weights)
            return outputs

    # Not on `meta`, where Keras leaves operations out. Memory that is never written costs none.
    images = torch.empty(traced_shape(configuration))
    weights = [torch.empty(shape) for shape in configuration.weight_shapes.values()]
    return torch_exporter.convert(Network(), images, weights, configuration)
