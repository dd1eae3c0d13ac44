"""Keras and PyTorch to ONNX, by tracing the structure alone."""

from __future__ import annotations

import onnx_ir as ir

from export.constants import Framework
from export.graph import canonical, naming
from export.trace import from_keras, from_torch
from vgg16_spec.architecture import Configuration


def canonical_graph(framework: Framework, configuration: Configuration) -> ir.Model:
    """The network's graph as a framework computes it, brought to one form and named.

    Its inputs are the images and the weights. No weight is loaded.
    """
    tracer = {"keras": from_keras, "torch": from_torch}[framework]
    model: ir.Model = tracer.trace(configuration)
    canonical.canonicalise(model)
    naming.name(model)
    return model
