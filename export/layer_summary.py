"""The network's layers by ONNX's names, read from the canonical graph."""

from __future__ import annotations

from dataclasses import replace

from export.constants import Framework
from export.graph.rewrites import known_sizes
from export.trace import canonical_graph
from vgg16_spec.architecture import Configuration
from vgg16_spec.layer_summary import LayerSummary


def layer_summaries(configuration: Configuration, framework: Framework) -> list[LayerSummary]:
    """Every layer of the graph that the framework's exporter leaves once it is canonical, in order.

    Outputs are (N, C, H, W), weights (out, in, kH, kW) and (out, in). A layer has the name of the
    node that reads its weights; its ReLU is part of its kind. No weights are loaded.
    """
    layers: list[LayerSummary] = []
    for node in canonical_graph(framework, configuration).graph:
        output = (None, *known_sizes(node.outputs[0], 1))  # any number of images
        if node.op_type == "Relu":
            layers[-1] = replace(layers[-1], kind=f"{layers[-1].kind} + Relu", output=output)
            continue
        weights = {str(value.name): known_sizes(value) for value in node.inputs[1:] if value}
        name = str(node.name)
        layers.append(LayerSummary(name, name, node.op_type, output, weights))
    return layers
