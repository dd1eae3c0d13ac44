"""The network's layers by ONNX's names, read from the canonical graph."""

from __future__ import annotations

from dataclasses import replace

import onnx_ir as ir

from export.constants import Framework
from export.graph import canonical, naming
from export.graph.rewrites import known_sizes
from export.trace import from_keras, from_torch
from vgg16_spec.architecture import Configuration
from vgg16_spec.layer_summary import LayerSummary


def layer_summaries(configuration: Configuration, framework: Framework) -> list[LayerSummary]:
    """Every layer of the graph that the framework's exporter leaves once it is canonical, in order.

    Outputs are (N, C, H, W), weights (out, in, kH, kW) and (out, in). A layer has the name of the
    node that reads its weights; its ReLU is part of its kind. No weights are loaded.
    """
    tracer = {"keras": from_keras, "torch": from_torch}[framework]
    model: ir.Model = tracer.trace(configuration)
    canonical.canonicalise(model)
    naming.name(model)
    layers: list[LayerSummary] = []
    for node in model.graph:
        (output,) = node.outputs
        if node.op_type == "Relu":
            before = layers.pop()
            kind = f"{before.kind} + Relu"
            layers.append(replace(before, kind=kind, output=_shape(output)))
            continue
        weights = {
            str(value.name): known_sizes(value) for value in node.inputs[1:] if value is not None
        }
        name = str(node.name)
        layers.append(LayerSummary(name, name, node.op_type, _shape(output), weights))
    return layers


def _shape(value: ir.Value) -> tuple[int | None, ...]:
    """The value's shape, with a free number of images."""
    return (None, *known_sizes(value, 1))
