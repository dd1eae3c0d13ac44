"""Follows nodes that work on each value alone, and nodes that pad or round."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir

from vgg16_parity.onnx_check.symbolic import (
    PADDING,
    WEIGHTED,
    Constant,
    NodeContext,
    Step,
    SymbolicTensor,
    quantized_type,
)


def neutral(at: NodeContext) -> SymbolicTensor:
    """Adding or subtracting 0, multiplying or dividing by 1."""
    x, first = at.x, at.inputs[0] is at.x
    constant = at.required(1 if first else 0).array
    same = np.broadcast_shapes(constant.shape, x.array.shape) == x.array.shape
    commutes = at.operator in ("Add", "Mul")
    if same and (first or commutes) and np.all(constant == (at.operator in ("Mul", "Div"))):
        return x
    return at.step()


def rectify(at: NodeContext) -> SymbolicTensor:
    """A ReLU. It commutes with max pooling, and a second one changes nothing."""
    steps = at.x.steps
    before = len(steps)
    while before and steps[before - 1].kind == "max pooling":
        before -= 1
    if before and steps[before - 1].kind == "ReLU":
        return at.x
    return replace(at.x, steps=(*steps[:before], Step("ReLU", at.label), *steps[before:]))


def clip(at: NodeContext) -> SymbolicTensor:
    """A ReLU if it clips from 0 to at least the largest float32."""
    attributes, limits = at.node.attributes, []
    for index, name in enumerate(("min", "max"), start=1):
        given = at.constant(index)
        limits.append(attributes.get_float(name, None) if given is None else given.array.item())
    lowest, highest = limits
    open_above = highest is None or highest >= np.finfo(np.float32).max
    return rectify(at) if lowest == 0 and open_above else at.step()


def largest(at: NodeContext) -> SymbolicTensor:
    """A ReLU if the only other operand is 0."""
    constants = [value.array for value in at.inputs if isinstance(value, Constant)]
    zero = len(constants) == 1 == len(at.inputs) - 1 and not constants[0].any()
    return rectify(at) if zero and constants[0].size == 1 else at.step()


def leak(at: NodeContext) -> SymbolicTensor:
    """A ReLU if the slope below 0 is 0."""
    return at.step() if at.node.attributes.get_float("alpha", 0.01) else rectify(at)


def pad(at: NodeContext) -> SymbolicTensor:
    """Zeros around the maps, for the convolution that reads them."""
    x, attributes = at.x, at.node.attributes
    amounts, value, axes = at.constant(1), at.constant(2), at.constant(3)
    pads = attributes.get_ints("pads") if amounts is None else amounts.array.tolist()
    filled = attributes.get_float("value", 0.0) if value is None else value.array.any()
    where = range(x.array.ndim) if axes is None else axes.array.tolist()
    table = np.array(pads).reshape(2, -1).T.tolist()
    around = {x.axes[axis]: tuple(row) for axis, row in zip(where, table, strict=True) if any(row)}
    if not around:
        return x
    zeros = attributes.get_string("mode", "constant") == "constant" and not filled
    if not zeros or not around.keys() <= {"H", "W"} or np.min(table) < 0:
        return at.step()
    (top, bottom), (left, right) = (around.get(axis, (0, 0)) for axis in "HW")
    images, channels, height, width = x.maps
    maps = (images, channels, height + top + bottom, width + left + right)
    return x.then(Step(PADDING, at.label, sizes={"pads": (top, left, bottom, right)}), maps, x.axes)


def softmax(at: NodeContext) -> SymbolicTensor:
    """The network's last step, along the classes."""
    axis = at.node.attributes.get_int("axis", -1)  # 1 in older opsets: the same of two axes
    return at.step("softmax" if at.x.array.ndim == 2 and axis in (1, -1) else "")


def drop_out(at: NodeContext) -> SymbolicTensor:
    """Nothing, unless it is in training mode."""
    training = at.constant(2)
    if training is not None and training.array.any():
        return at.note("is in training mode: export the model in evaluation mode")
    return at.x


def cast(at: NodeContext) -> SymbolicTensor:
    """A change of precision; what fewer bits cost shows in the numbers."""
    kind = ir.DataType(at.node.attributes.get_int("to"))
    if kind in (ir.DataType.FLOAT, ir.DataType.DOUBLE):
        return at.x
    if kind.is_floating_point():
        return at.rounded(kind.name.lower())
    return at.step()


def quantize(at: NodeContext) -> SymbolicTensor:
    """Rounds to integers. If the smallest integer stands for 0, it is also a ReLU."""
    kind, x = quantized_type(at), at.x
    zero = at.constant(2)
    rounded = at.rounded(str(kind))
    weighted = bool(x.steps) and x.steps[-1].kind in (*WEIGHTED, "max pooling")
    if not weighted or kind.kind not in "iu":
        return rounded
    lowest = 0 if zero is None else zero.array.astype(np.int64)
    from_zero = np.all(lowest == np.iinfo(kind).min)
    return rectify(replace(at, inputs=[rounded])) if from_zero else rounded
