"""PyTorch to ONNX, by ``torch.onnx.export(dynamo=True)``."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import onnx_ir as ir

from export.constants import BATCH, HEIGHT, INPUT, OPSET, WIDTH, Stateless, traced_shape
from vgg16_spec.architecture import Configuration


def convert(network: Stateless, configuration: Configuration, device: str = "cpu") -> ir.Model:
    """The graph of a function of the images and the weights; see ``from_keras.trace``.

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
    free = {0: torch.export.Dim(BATCH)}
    if not configuration.include_top:
        least = configuration.minimum_size
        free |= {2: torch.export.Dim(HEIGHT, min=least), 3: torch.export.Dim(WIDTH, min=least)}
    with _quiet_registry(), warnings.catch_warnings():
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
    if program is None:
        raise RuntimeError("PyTorch's exporter returned nothing")
    model: ir.Model = program.model
    names = [INPUT, *configuration.weight_shapes]
    for value, name in zip(model.graph.inputs, names, strict=True):
        value.name = name
    return model


@contextmanager
def _quiet_registry() -> Iterator[None]:
    """Without torchvision, the exporter warns about torchvision's operators, which VGG lacks."""
    registry = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registry.level
    registry.setLevel(logging.ERROR)
    try:
        yield
    finally:
        registry.setLevel(level)
