"""PyTorch to ONNX, by tracing the structure alone.

The model is on the ``meta`` device, where tensors have a shape and no memory, and is called with
its weights as arguments. What the arguments were traced as, the linker turns into initializers.
"""

from __future__ import annotations

import onnx_ir as ir

from export.constants import traced_shape
from export.trace import torch_exporter
from vgg16_spec.architecture import Configuration
from vgg16_spec.names import torchvision_keys


def trace(configuration: Configuration) -> ir.Model:
    """The network's graph as PyTorch computes it.

    Args:
        configuration: the network, with or without its classifier.

    The graph's first input is ``images``, (batch, 3, H, W); the others are the weights by canonical
    name, in canonical layout. Its output is ``logits`` (batch, classes), or without the classifier
    ``features`` (batch, C, H, W).
    """
    import torch

    from torch_impl import VGG

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = VGG(
                configuration.name,
                include_top=configuration.include_top,
                classes=configuration.classes,
            )

        def forward(self, images: torch.Tensor, weights: list[torch.Tensor]) -> torch.Tensor:
            given = dict(zip(torchvision_keys(configuration).values(), weights, strict=True))
            outputs: torch.Tensor = torch.func.functional_call(
                self.network, given, (images,), strict=True
            )
            return outputs

    with torch.device("meta"):
        network = Network()
        images = torch.empty(traced_shape(configuration))
        weights = [torch.empty(shape) for shape in configuration.weight_shapes.values()]
    return torch_exporter.convert(network, images, weights, configuration)
