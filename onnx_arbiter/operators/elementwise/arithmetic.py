"""Arithmetic, element by element: sums, products, powers, extremes, choices.

Integers are computed exactly, in their own type. A rounding of y is a variance of y² in u²/3.
"""

# ruff: noqa: ARG001 - a rule takes the node, whether it needs it or not
from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.error_model import Float32
from onnx_arbiter.graph import Array, Node
from onnx_arbiter.operators.elementwise.slopes import (
    TINY,
    RoundsNothing,
    arithmetic,
    curved,
    floats,
    holds_floats,
    stepped,
)
from onnx_arbiter.operators.operation import (
    REACH,
    Exact,
    Move,
    Operation,
    Rule,
    Slope,
    Unsupported,
    as_float,
    squares_of,
)


def add(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = a + b: ``v = v_a + v_b + y²``."""
    return _sum(node, inputs, 1.0)


def sub(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = a - b: ``v = v_a + v_b + y²``."""
    return _sum(node, inputs, -1.0)


def _sum(node: Node, inputs: Sequence[Array | None], sign: float) -> Operation:
    if not any(map(holds_floats, inputs)):
        left, right = map(np.asarray, inputs)
        return Exact(inputs, [np.asarray(left + right if sign > 0 else left - right)])
    left, right = floats(inputs)
    total = left + right if sign > 0 else left - right
    # One value twice brings one error twice: twice its size, or none of it.
    slope = 0.0 if sign < 0 and node.inputs[0] == node.inputs[1] else 1.0
    return arithmetic(inputs, np.asarray(total), [slope, slope])


def mul(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = a b: ``v = b² v_a + a² v_b + y²``; of a square, ``4 a² v_a + 3 v_a² + y²``."""
    if not any(map(holds_floats, inputs)):
        left, right = map(np.asarray, inputs)
        return Exact(inputs, [np.asarray(left * right)])
    left, right = floats(inputs)
    slopes: list[Slope | None] = [right, left]
    if node.inputs[0] == node.inputs[1]:
        # Each of the two gets 2 v: 2 · 2 v (x² + 2 v c) is 4 x² v + 3 v² for c = ¾ (1 / √2)².
        slopes = [curved(left, 0.5**0.5)] * 2
    return arithmetic(inputs, np.asarray(left * right), slopes)


def div(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = a / b: ``v = v_a / b² + (y / b)² v_b + y²``. Integers are truncated."""
    if not any(map(holds_floats, inputs)):
        return Exact(inputs, [_truncated_quotient(*map(np.asarray, inputs))])
    above, below = floats(inputs)
    quotient = np.asarray(above / below)
    inverse = 1 / np.maximum(np.abs(below), TINY)
    if node.inputs[0] == node.inputs[1]:
        return arithmetic(inputs, quotient, [0.0, 0.0])
    return arithmetic(inputs, quotient, [inverse, quotient * inverse])


def _truncated_quotient(above: Array, below: Array) -> Array:
    quotient = np.floor_divide(above, below)
    inexact = quotient * below != above
    negative = (above < 0) != (below < 0)
    return np.asarray(quotient + (inexact & negative).astype(quotient.dtype))


def neg(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = -x: ``v = v_x``."""
    return _unrounded(inputs, np.negative)


def absolute(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = ∣x∣: ``v = v_x``."""
    return _unrounded(inputs, np.abs)


def _unrounded(inputs: Sequence[Array | None], function: Any) -> Operation:
    if not holds_floats(inputs[0]):
        return Exact(inputs, [np.asarray(function(inputs[0]))])
    return RoundsNothing(inputs, np.asarray(function(*floats(inputs))), [1.0])


def mod(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = a - b q with an integer q: ``v = v_a + q² v_b``, and a step of b where q may change.

    ``fmod`` gives y the sign of a, and is exact; else y has the sign of b.
    """
    function = np.fmod if node.get("fmod", 0) else np.mod
    if not any(map(holds_floats, inputs)):
        return Exact(inputs, [np.asarray(function(*map(np.asarray, inputs)))])
    left, right = floats(inputs)
    remainder = np.asarray(function(left, right))
    quotient, size = np.rint((left - remainder) / right), np.abs(right)
    distance = np.minimum(np.abs(remainder), size - np.abs(remainder))
    slopes: list[Slope | None] = [
        stepped(distance, size, 1.0),
        stepped(
            distance / np.maximum(np.abs(quotient), TINY), size, np.abs(quotient), np.abs(quotient)
        ),
    ]
    if node.get("fmod", 0):
        return RoundsNothing(inputs, remainder, slopes)
    return arithmetic(inputs, remainder, slopes)


def reciprocal(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = 1 / x: ``v = y⁴ v_x + y²``."""
    [values] = floats(inputs)
    return arithmetic(inputs, np.asarray(1 / values), [1 / np.maximum(values**2, TINY)])


def sqrt(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = √x: ``v = v_x / 4x + y²``; near zero, where that is infinite, an error of √d."""
    [values] = floats(inputs)
    root = np.sqrt(np.maximum(values, 0))

    def slope(deviation: Float32) -> NDArray[Any]:
        lower = np.sqrt(np.maximum(values - deviation, deviation / 4))
        return np.asarray(1 / np.maximum(root + lower, TINY))

    return arithmetic(inputs, np.asarray(np.sqrt(values)), [slope])


def exp(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = eˣ: ``v = y² v_x + 1.5 y²``: libraries err by 0.75 to 1.07 of √(u²/3) y."""
    [values] = floats(inputs)
    result = np.asarray(np.exp(values))
    return arithmetic(inputs, result, [result], 1.5)


def log(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = ln x: ``v = v_x / x² + 2.5 y²``: libraries err by 0.7 to 1.6 of √(u²/3) y."""
    [values] = floats(inputs)
    return arithmetic(
        inputs, np.asarray(np.log(values)), [1 / np.maximum(np.abs(values), TINY)], 2.5
    )


def power(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = aᵇ: ``v = (b a^{b-1})² v_a + (y ln a)² v_b + 2 y²``; a square is rounded once."""
    if not any(map(holds_floats, inputs)):
        base, exponent = map(np.asarray, inputs)
        return Exact(inputs, [np.asarray(np.power(base, exponent)).astype(base.dtype)])
    if not holds_floats(inputs[0]):
        raise Unsupported("an integer to the power of a float")
    base, exponent = floats(inputs)
    result = np.asarray(np.power(base, exponent))
    size = np.abs(base)

    def slope(deviation: Float32) -> NDArray[Any]:
        # A root's slope is infinite at 0, and a cube's is of the second order: errors move x away.
        least = np.maximum(size, np.maximum(deviation, TINY))
        first = exponent * np.where(exponent < 1, least, size) ** (exponent - 1)
        curve = exponent * (exponent - 1)
        second = curve * least ** (exponent - 2)
        second = np.where(curve == 0, 0, second)
        return curved(first, second)(deviation)

    of_exponent = np.abs(result) * np.abs(np.log(np.maximum(size, TINY)))
    roundings = 1.0 if np.all((exponent == 1) | (exponent == 2)) else 2.0
    return arithmetic(inputs, result, [slope, of_exponent], roundings)


def maximum(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = max(x₁, x₂, …): ``v = Σ vᵢ`` of those that may be the largest, within `REACH`."""
    return _extreme(inputs, np.maximum, 1)


def minimum(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = min(x₁, x₂, …): ``v = Σ vᵢ`` of those that may be the smallest, within `REACH`."""
    return _extreme(inputs, np.minimum, -1)


def _extreme(inputs: Sequence[Array | None], function: np.ufunc, sign: int) -> Operation:
    if not holds_floats(inputs[0]):
        arrays = [np.asarray(values) for values in inputs]
        return Exact(inputs, [np.array(reduce(function, arrays))])
    values = floats(inputs)
    result = np.array(reduce(function, values))

    def slope_of(own: NDArray[Any]) -> Slope:
        return lambda deviation: (sign * (result - own) <= REACH * deviation).astype(np.float32)

    return RoundsNothing(inputs, result, [slope_of(own) for own in values])


def clip(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = min(max(x, low), high): ``v`` of those that y may be, within `REACH`.

    Limits are attributes before version 11, inputs since.
    """
    values, low, high = (*inputs, None, None)[:3]
    if node.version < 11:
        stated = node.get("min"), node.get("max")
        low, high = (None if limit is None else np.asarray(limit) for limit in stated)
    assert values is not None
    if not holds_floats(values):
        result = values if low is None else np.maximum(values, low)
        result = result if high is None else np.minimum(result, high)
        return Exact(inputs, [np.array(result).astype(values.dtype)])
    x = as_float(values)
    least = np.asarray(-np.inf) if low is None else as_float(low)
    most = np.asarray(np.inf) if high is None else as_float(high)

    def of_x(deviation: Float32) -> NDArray[Any]:
        reach = REACH * deviation
        return ((x + reach >= least) & (x - reach <= most)).astype(np.float32)

    slopes: list[Slope | None] = [
        of_x,
        lambda deviation: (x <= least + REACH * deviation).astype(np.float32),
        lambda deviation: (x >= most - REACH * deviation).astype(np.float32),
    ]
    return RoundsNothing(inputs, np.minimum(np.maximum(x, least), most), slopes[: len(inputs)])


def total(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = Σ xᵢ: ``v = Σ vᵢ`` and the squares of the partial sums."""
    values = floats(inputs)
    result, own = _partial_sums(values)
    return arithmetic(inputs, result, [1.0] * len(values), 0.0, own)


def mean(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = Σ xᵢ / n: ``v = (Σ vᵢ + squares of the partial sums) / n² + y²``."""
    values = floats(inputs)
    result, own = _partial_sums(values)
    count = len(values)
    # A quotient by a power of two is exact.
    roundings = 0.0 if count & (count - 1) == 0 else 1.0
    slopes = [1 / count] * count
    return arithmetic(inputs, np.asarray(result / count), slopes, roundings, own / count**2)


def _partial_sums(values: Sequence[NDArray[Any]]) -> tuple[Array, Any]:
    result, own = values[0], np.zeros((), np.float32)
    for addend in values[1:]:
        result = np.asarray(result + addend)
        own = own + squares_of(result)
    return np.array(result), own


def where(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """A choice by an exact condition: moves the variances as it moves the values."""
    condition, *branches = (np.asarray(values) for values in inputs)
    if any(map(holds_floats, branches)):
        branches = [as_float(values) for values in branches]
    return Move.apply([condition, *branches], lambda *them: [np.where(condition, *them)], (1, 2))


RULES: Final[dict[str, Rule]] = {
    "Add": add,
    "Sub": sub,
    "Mul": mul,
    "Div": div,
    "Neg": neg,
    "Abs": absolute,
    "Mod": mod,
    "Reciprocal": reciprocal,
    "Sqrt": sqrt,
    "Exp": exp,
    "Log": log,
    "Pow": power,
    "Max": maximum,
    "Min": minimum,
    "Clip": clip,
    "Sum": total,
    "Mean": mean,
    "Where": where,
}
