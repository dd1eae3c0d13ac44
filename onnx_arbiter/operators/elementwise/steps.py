"""Functions with steps: signs, roundings to integers, quantised tensors.

Where an error may cross a step, it is as large as the step. Quantised integers are float64 arrays
here, of the graph's integer type, since errors reach them.
"""

# ruff: noqa: ARG001 - a rule takes the node, whether it needs it or not
from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.error_model import Float32, Float64
from onnx_arbiter.graph import Array, Node
from onnx_arbiter.numeric_modes import Mode
from onnx_arbiter.operators.elementwise.casts import type_of
from onnx_arbiter.operators.elementwise.slopes import (
    TINY,
    RoundsNothing,
    floats,
    holds_floats,
    stepped,
)
from onnx_arbiter.operators.operation import (
    REACH,
    UNIT,
    Elementwise,
    Exact,
    Operation,
    Rule,
    Slope,
    Unsupported,
    Variance,
    Variances,
    as_float,
    deviation_of,
    squares_of,
)

RANGES: Final = MappingProxyType(
    {f"int{bits}": (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) for bits in (2, 4, 8, 16, 32)}
    | {f"uint{bits}": (0.0, 2.0**bits - 1) for bits in (2, 4, 8, 16, 32)}
)
_UINT8: Final = np.dtype(np.uint8)


def sign(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = sign x: a step of 2 where x is within `REACH` deviations of 0."""
    if not holds_floats(inputs[0]):
        return Exact(inputs, [np.asarray(np.sign(np.asarray(inputs[0])))])
    [x] = floats(inputs)
    return RoundsNothing(inputs, np.sign(x), [stepped(np.abs(x), 2.0)])


def to_integer(
    function: np.ufunc, offset: float, node: Node, inputs: Sequence[Array | None]
) -> Operation:
    """An integer near x: a step of 1 where x is within `REACH` of an integer plus ``offset``."""
    [x] = floats(inputs)
    return RoundsNothing(inputs, function(x), [stepped(_to_boundary(x, offset), 1.0)])


def _to_boundary(values: Float64, offset: float) -> Float64:
    distance: Float64 = np.abs(values - offset - np.rint(values - offset))
    return distance


class _Spread(Elementwise):
    """An elementwise function whose later inputs are first shaped like the first one."""

    def __init__(
        self,
        inputs: Sequence[Array | None],
        output: Array,
        slopes: Sequence[Slope | None],
        roundings: float,
        absolute: Any,
        types: Sequence[np.dtype[Any] | None] | None,
        spread: Callable[[NDArray[Any]], NDArray[Any]],
    ) -> None:
        super().__init__(inputs, np.asarray(output), slopes, roundings, absolute, types)
        self._spread = spread

    def carried(self, variances: Sequence[Variance]) -> Variances:
        first, *others = variances
        spread = [None if variance is None else self._spread(variance) for variance in others]
        return super().carried([first, *spread])


def _spread_over(
    node: Node, shape: Sequence[int], sizes: Sequence[int]
) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """How scales reach elements: one for all, one a slice of an axis, or one a block of it."""
    axis, block = node.get("axis", 1) % max(len(shape), 1), node.get("block_size", 0)
    if block:
        repeated = np.arange(shape[axis]) // block
        return lambda values: np.take(values, repeated, axis)
    if not sizes or sizes == (1,):
        return lambda values: values.reshape(())
    return lambda values: values.reshape(-1, *[1] * (len(shape) - 1 - axis))


def quantize_linear(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = round(x / s) + z, saturated: a step of 1 where x / s is near a half.

    Near is within `REACH` deviations of what x brings, or of the rounding of the quotient.
    """
    values, scale, zero = (*inputs, None)[:3]
    assert values is not None
    assert scale is not None
    kind = _UINT8 if zero is None or zero.dtype == np.float64 else zero.dtype
    if zero is None and node.get("output_dtype", 0):
        kind = type_of(node.get("output_dtype"))
    if kind.name not in RANGES:
        raise Unsupported(f"quantising to {kind.name}")
    x, spread = as_float(values), _spread_over(node, values.shape, scale.shape)
    step = spread(as_float(scale))
    offset = np.zeros(()) if zero is None else spread(as_float(zero))
    quotient = x / step
    result, distance = quantized(quotient, offset, *RANGES[kind.name])
    near = distance <= REACH * UNIT * np.abs(quotient)
    own = np.where(near, np.float32(UNIT**-2), 0)
    inverse = 1 / np.maximum(np.abs(step), TINY)
    rate = np.abs(x) * inverse**2
    slopes: list[Slope | None] = [
        stepped(distance / inverse, 1.0, rate=inverse) if holds_floats(values) else None,
        stepped(distance / np.maximum(rate, TINY), 1.0, rate=rate),
        1.0,
    ]
    return _Spread(inputs, result, slopes[: len(inputs)], 0.0, own, [kind], spread)


def quantized(
    quotient: Float64, offset: NDArray[Any], least: float, most: float
) -> tuple[Float64, Float64]:
    """The integers, and how far quotients are from the nearest step: there are none outside."""
    whole = np.clip(np.rint(quotient) + offset, least, most)
    half = np.rint(quotient - 0.5) + 0.5
    step = np.clip(half, least + 0.5 - offset, most - 0.5 - offset)
    return whole, np.abs(quotient - step)


def dequantize_linear(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = (x - z) s: ``v = s² v_x + (x - z)² v_s + y²``."""
    values, scale, zero = (*inputs, None)[:3]
    assert values is not None
    assert scale is not None
    spread = _spread_over(node, values.shape, scale.shape)
    step = spread(as_float(scale))
    from_zero = as_float(values)
    if zero is not None:
        from_zero = from_zero - spread(as_float(zero))
    slopes: list[Slope | None] = [step, from_zero, step]
    stated = node.get("output_dtype", 0)
    # A computed scale is float64 here. The quantised values' type is never the output's.
    scales = scale.dtype if scale.dtype != np.float64 else np.dtype(np.float32)
    types = [type_of(stated) if stated else scales]
    return _Spread(inputs, from_zero * step, slopes[: len(inputs)], 1.0, 0.0, types, spread)


class _DynamicallyQuantized(Operation):
    """Give y, s and z of a tensor x: s = (max - min) / 255 over x and 0, z = round(-min / s)."""

    def __init__(self, inputs: Sequence[Array | None]) -> None:
        [self._x] = floats(inputs)
        self._low, self._high = min(0.0, self._x.min()), max(0.0, self._x.max())
        self._scale = (self._high - self._low) / 255 or 1.0
        self._place = np.asarray(-self._low / self._scale)
        whole, self._zero_distance = quantized(self._place, np.zeros(()), 0.0, 255.0)
        result, self._distance = quantized(self._x / self._scale, whole, 0.0, 255.0)
        outputs = [result, np.asarray(self._scale), whole]
        super().__init__(inputs, outputs, [_UINT8, np.dtype(np.float32), _UINT8])

    def _found(self, of_scale: Float32, of_low: Float32, of_x: Variance) -> Variances:
        """What errors of s, the minimum and x bring to y, s and z: steps in y and z."""
        relative = deviation_of(of_scale) / self._scale
        reach = relative * np.abs(self._x / self._scale)
        if of_x is not None:
            reach = np.hypot(reach, deviation_of(of_x) / self._scale)
        of_zero = np.hypot(relative * self._place, deviation_of(of_low) / self._scale)
        moved = UNIT**-2 if self._zero_distance <= REACH * of_zero else 0.0
        of_y = np.where(self._distance <= REACH * reach, UNIT**-2, 0) + moved
        return (of_y.astype(np.float32), of_scale, np.asarray(moved, np.float32))

    def carried(self, variances: Sequence[Variance]) -> Variances:
        [of_x] = variances
        if of_x is None:
            return (None,) * 3
        reach = REACH * deviation_of(of_x)
        # Each end is as uncertain as the most uncertain value that may be one. A least value of
        # exactly 0 is that of a ReLU, which no error makes less.
        of_low = np.max(of_x, where=(self._x - reach <= self._low) & (self._low < 0), initial=0)
        of_high = np.max(of_x, where=self._x + reach >= self._high, initial=0)
        of_scale = np.asarray((of_low + of_high) / 255**2, np.float32)
        return self._found(of_scale, np.asarray(of_low, np.float32), of_x)

    def own(self, mode: Mode) -> Variances:  # noqa: ARG002 - every mode in use has sums of float32
        # Quotients are rounded too, by less than their scale brings.
        return self._found(2 * squares_of(self.outputs[1]), np.zeros((), np.float32), None)


def dynamic_quantize_linear(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y, s, z: ``v_s = (v_min + v_max) / 255² + 2 s²``, and steps in y and z."""
    return _DynamicallyQuantized(inputs)


RULES: Final[dict[str, Rule]] = {
    "Sign": sign,
    "Floor": partial(to_integer, np.floor, 0.0),
    "Ceil": partial(to_integer, np.ceil, 0.0),
    "Round": partial(to_integer, np.rint, 0.5),
    "QuantizeLinear": quantize_linear,
    "DequantizeLinear": dequantize_linear,
    "DynamicQuantizeLinear": dynamic_quantize_linear,
}
