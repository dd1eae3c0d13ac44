"""``torch.onnx.export(dynamo=True)`` for functions whose weights are arguments."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import onnx_ir as ir

from export.constants import BATCH, HEIGHT, INPUT, OPSET, WIDTH, output_name
from vgg16_spec.architecture import Configuration

if TYPE_CHECKING:
    import torch


def convert(
    network: torch.nn.Module,
    images: torch.Tensor,
    weights: list[torch.Tensor],
    configuration: Configuration,
) -> ir.Model:
    """The graph of a module whose ``forward`` takes the images and the list of weights.

    Tensors without memory of their own will do: the exporter's own optimiser, which reads values,
    is left out.
    """
    import torch

    free = {0: torch.export.Dim(BATCH)}
    if not configuration.include_top:
        least = configuration.minimum_size
        free |= {2: torch.export.Dim(HEIGHT, min=least), 3: torch.export.Dim(WIDTH, min=least)}
    with _quiet_registry(), warnings.catch_warnings():
        # The exporter calls parts of PyTorch that PyTorch itself has deprecated.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        program = torch.onnx.export(
            network.eval(),
            (images, weights),
            dynamo=True,
            opset_version=OPSET,
            output_names=[output_name(configuration)],
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
