"""Comparisons, logic and bits: exact, but for comparisons whose outcome rounding may change."""

# ruff: noqa: ARG001 - a rule takes the node, whether it needs it or not
from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

import numpy as np

from onnx_arbiter.graph import Array, Node
from onnx_arbiter.operators.elementwise.slopes import Decision, floats, holds_floats
from onnx_arbiter.operators.operation import Exact, Operation, Rule, Unsupported


def compare(comparison: np.ufunc, node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = whether a and b compare so; undecided if ∣a - b∣ is within `REACH` deviations."""
    if not any(map(holds_floats, inputs)):
        return Exact(inputs, [np.asarray(comparison(*map(np.asarray, inputs)))])
    left, right = floats(inputs)
    if node.inputs[0] == node.inputs[1]:  # which no error changes
        return Exact(inputs, [np.asarray(comparison(left, right))])
    with np.errstate(invalid="ignore"):  # of infinities, which are exact
        distance = np.abs(left - right)
    return Decision(inputs, np.asarray(comparison(left, right)), [distance, distance])


def combine(function: np.ufunc, node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Exact: booleans, or the bits of integers."""
    return Exact(inputs, [np.asarray(function(*map(np.asarray, inputs)))])


def bit_shift(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Exact: the bits of a moved by b places; none is left where b is the type's width or more."""
    values, places = map(np.asarray, inputs)
    direction = node.get("direction")
    if direction not in ("LEFT", "RIGHT"):
        raise Unsupported(f"BitShift to {direction!r}")
    shift = np.left_shift if direction == "LEFT" else np.right_shift
    return Exact(inputs, [np.asarray(shift(values, places))])


def is_nan(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Exact: whether a value is NaN."""
    return Exact(inputs, [np.asarray(np.isnan(*floats(inputs)))])


def is_inf(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Exact: whether a value is infinite, of the signs that are asked for."""
    [values] = floats(inputs)
    found = (values == np.inf) & bool(node.get("detect_positive", 1))
    return Exact(
        inputs, [np.asarray(found | (values == -np.inf) & bool(node.get("detect_negative", 1)))]
    )


RULES: Final[dict[str, Rule]] = {
    "Equal": partial(compare, np.equal),
    "Less": partial(compare, np.less),
    "LessOrEqual": partial(compare, np.less_equal),
    "Greater": partial(compare, np.greater),
    "GreaterOrEqual": partial(compare, np.greater_equal),
    "Not": partial(combine, np.logical_not),
    "And": partial(combine, np.logical_and),
    "Or": partial(combine, np.logical_or),
    "Xor": partial(combine, np.logical_xor),
    "BitwiseNot": partial(combine, np.bitwise_not),
    "BitwiseAnd": partial(combine, np.bitwise_and),
    "BitwiseOr": partial(combine, np.bitwise_or),
    "BitwiseXor": partial(combine, np.bitwise_xor),
    "BitShift": bit_shift,
    "IsNaN": is_nan,
    "IsInf": is_inf,
}
