"""PyTorch to ONNX by ``torch.onnx.export(dynamo=True)``, tracing the structure alone.

The model is on the ``meta`` device, where tensors have a shape and no memory. Its parameters come
out as initializers without values, which the linker points at the checkpoint. The exporter's own
optimiser is left out because it reads values.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import onnx_ir as ir

from export.interface import BATCH, INPUT, OPSET, OUTPUT, image_shape
from vgg16.architecture import Configuration
from vgg16.names import torchvision_keys
from vgg16.preprocessing import Layout

# Traced with two images: versions of the exporter take a batch of one for a constant
# (pytorch/pytorch#157621).
_TRACED_BATCH = 2


def trace(configuration: Configuration, *, layout: Layout = "nchw") -> ir.Model:
    """The network's graph as PyTorch computes it; its weights are initializers without values, by
    canonical name.

    Parameters
    ----------
    configuration: the network, with its classifier.
    layout: of the input ``images``: (batch, 3, H, W) or (batch, H, W, 3), batch dynamic.

    The output ``logits`` is (batch, classes).
    """
    import torch

    from torch_impl import VGG

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = VGG(configuration.name, classes=configuration.classes)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if layout == "nhwc":
                images = images.permute(0, 3, 1, 2)  # (N, H, W, C) -> (N, C, H, W)
            logits: torch.Tensor = self.network(images)
            return logits

    with torch.device("meta"):
        network = Network().eval()
        images = torch.empty(_TRACED_BATCH, *image_shape(configuration, layout))
    with _quiet_registry(), warnings.catch_warnings():
        # The exporter calls parts of PyTorch that PyTorch itself has deprecated.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        program = torch.onnx.export(
            network,
            (images,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim(BATCH)},),
            optimize=False,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("PyTorch's exporter returned nothing")
    model = program.model
    canonical = {key: name for name, key in torchvision_keys(configuration).items()}
    for value in list(model.graph.initializers.values()):
        key = str(value.name).removeprefix("network.")
        value.name = canonical.get(key, key)
    return model


@contextmanager
def _quiet_registry() -> Iterator[None]:
    """Without torchvision the exporter warns four times that it cannot export torchvision's
    operators; the network has none of them.
    """
    registry = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registry.level
    registry.setLevel(logging.ERROR)
    try:
        yield
    finally:
        registry.setLevel(level)
