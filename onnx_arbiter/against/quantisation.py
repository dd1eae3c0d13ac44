"""The error that quantising a tensor is expected to have, beside that of rounding.

A value that is quantised in steps of s differs from what it was by up to s / 2 either way. The
variance of s²/12 is added at ``DequantizeLinear``, of weights and of computed values; what arrives
passes ``QuantizeLinear`` unchanged. What a range clips is no such error.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from onnx_arbiter.evaluate import Step
from onnx_arbiter.graph import Array, Graph, Node
from onnx_arbiter.numeric_modes import FLOAT32_ROUNDOFF, Mode, is_float
from onnx_arbiter.operators.operation import Variance, add_up
from onnx_arbiter.values import Value


def is_quantised(graph: Graph) -> bool:
    """Whether a graph has quantised tensors between its nodes."""
    return any(node.operator == "DequantizeLinear" for node in graph.nodes)


def with_quantisation(step: Step, mode: Mode) -> Step:
    """The step of a walk with the errors of quantising in its output's variance."""
    node = step.node
    if node.operator not in ("QuantizeLinear", "DequantizeLinear") or not step.outputs:
        return step
    [(name, value)] = step.outputs.items()
    read, scale = step.inputs[:2]
    assert read is not None
    assert scale is not None
    steps = _spread(node, scale.values, value.values.ndim)
    if steps is None:
        return step
    if node.operator == "QuantizeLinear":
        before = read.accumulated.get(mode.name)
        variance = None if before is None else (before / np.square(steps)).astype(np.float32)
    else:
        half = np.square(steps / (2 * FLOAT32_ROUNDOFF)).astype(np.float32)
        whole = np.broadcast_to(half, value.values.shape)
        variance = add_up(value.accumulated.get(mode.name), whole)
    return replace(step, outputs={name: _with(value, mode, variance)})


def _with(value: Value, mode: Mode, variance: Variance) -> Value:
    return replace(value, accumulated={**value.accumulated, mode.name: variance})


def _spread(node: Node, scale: Array, rank: int) -> Array | None:
    """Scales shaped to broadcast to the values; None for those of blocks."""
    steps = scale.astype(np.float64)
    if steps.size == 1:
        return steps.reshape(())
    if steps.ndim != 1:
        return None
    shape = [1] * rank
    shape[node.get("axis", 1)] = -1
    return steps.reshape(shape)


def clipped_share(step: Step) -> float:
    """Which share of its values a ``QuantizeLinear`` clips; 0 of any other node."""
    if step.node.operator != "QuantizeLinear" or not step.outputs:
        return 0.0
    [value] = step.outputs.values()
    read, scale = step.inputs[:2]
    if read is None or scale is None or is_float(value.dtype) or value.dtype.kind not in "iu":
        return 0.0
    steps = _spread(step.node, scale.values, value.values.ndim)
    if steps is None:
        return 0.0
    zero = step.inputs[2] if len(step.inputs) > 2 else None
    offset = np.zeros(()) if zero is None else _spread(step.node, zero.values, value.values.ndim)
    if offset is None:
        return 0.0
    limits = np.iinfo(value.dtype)
    wanted = read.values / steps + offset
    # By more than the half step that rounding takes anyway. A range that begins at 0 is a ReLU.
    below = (wanted < limits.min - 0.5) & (offset > limits.min)
    return float(np.mean(below | (wanted > limits.max + 0.5)))
