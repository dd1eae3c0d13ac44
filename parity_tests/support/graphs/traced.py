"""What a change to a model leaves in the canonical graph: the nodes that differ, or a refusal."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Final, TypeAlias

import onnx_ir as ir

from export.graph import canonical, naming
from export.weights import link
from parity_tests.support.graphs.graphs import attributes
from vgg16_spec.architecture import Configuration, configuration
from vgg16_spec.checkpoint.seeded import generate

TINY: Final = configuration("tiny")
# What traces a model: `export.trace.from_keras.trace` or `export.trace.from_torch.trace`.
Trace: TypeAlias = Callable[[Configuration], ir.Model]

CONV: Final = "dilations=(1, 1) group=1 kernel_shape=(3, 3) pads=(1, 1, 1, 1) strides=(1, 1)"
POOL: Final = "kernel_shape=(2, 2) pads=(0, 0, 0, 0) strides=(2, 2)"
REFUSED: Final = "refused: "
# A refusal that names the node.
KEPT: Final = rf"{REFUSED}the traced graph keeps \w+ \S+; expected one of Conv, Relu"


def traced(trace: Trace) -> list[str]:
    """The tiny network's nodes once its weights are linked, in order.

    Each says what it is and stands behind the layer that was the last to read a weight:
    ``block1_conv1: Relu``.

    Raises ``ValueError`` where the export does.
    """
    model = trace(TINY)
    canonical.canonicalise(model)
    naming.name(model)
    lines, layer = [], "images"
    for node in model.graph:
        read = [str(value.name) for value in node.inputs[1:] if value is not None]
        if read:
            layer = read[0].rpartition(".")[0]
        biases = [name for name in read[1:] if name != f"{layer}.bias"]
        unbiased = ["unbiased"] if len(read) == 1 else []
        lines.append(" ".join([f"{layer}:", node.op_type, *biases, *unbiased, *attributes(node)]))
    link.take_weights(model, generate(TINY))
    return lines


def outcome(trace: Trace, unchanged: list[str]) -> list[str]:
    """The lines that a changed model's graph lacks and has besides, or one that says why not."""
    try:
        lines = traced(trace)
    except (ValueError, RuntimeError) as refusal:  # PyTorch's tracer turns any into the second
        return [f"{REFUSED}{refusal}"]
    return [line for line in difflib.ndiff(unchanged, lines) if line[0] in "+-"]
