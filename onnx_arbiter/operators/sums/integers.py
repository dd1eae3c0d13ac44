"""Sums of products of quantised integers: ConvInteger, MatMulInteger, QLinearConv, QLinearMatMul.

The sums of integers are exact in every runtime. They are float64 arrays here, since a value before
them may be off by a step:

    y = Σ (x - z_x) (w - z_w)
    v_out = Σ (w - z_w)² v_x + Σ (x - z_x)² v_w + (Σ (w - z_w))² v_zx + (Σ (x - z_x))² v_zw

Outside of padded maps, x - z_x is 0. Quantising a sum gives q = y s_x s_w / s_y, rounded to an
integer and saturated: a step of 1 where an error may carry q over a half.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.error_model import Float32, Float64, path_rounding
from onnx_arbiter.graph import Array, Node
from onnx_arbiter.numeric_modes import Mode
from onnx_arbiter.operators.elementwise.steps import RANGES, quantized
from onnx_arbiter.operators.operation import (
    REACH,
    UNIT,
    Operation,
    Rule,
    Unsupported,
    Variance,
    Variances,
    add_up,
    as_float,
    deviation_of,
    squares_of,
)
from onnx_arbiter.operators.sums.convolution import conv
from onnx_arbiter.operators.sums.products import SumOfProducts, matmul

Spread: TypeAlias = "Callable[[NDArray[Any]], NDArray[Any]]"
_INT32: Final = np.dtype(np.int32)
_UINT8: Final = np.dtype(np.uint8)
# Of q = y s_x s_w / s_y: y in float32, the product of the scales, its quotient, and q.
_ROUNDINGS: Final = 4


@dataclass(frozen=True)
class _Way:
    """How a node multiplies, and how what it has for each row or channel meets the elements.

    Attributes:
        multiply: the rule of the same sum of floats.
        left: shapes what x has one of, or one for each row, to broadcast to x and to y.
        right: shapes what w has one of, or one for each column or channel, to broadcast to w.
        channels: shapes the same to broadcast to y.
    """

    multiply: Rule
    left: Spread
    right: Spread
    channels: Spread


def _shaped(*trailing: int) -> Spread:
    """One number for all, or one for each element of an axis that so many axes follow."""
    return lambda values: (
        values.reshape(())
        if values.size == 1
        else values.reshape(-1, *trailing)
        if values.ndim == 1
        else values
    )


def _convolution(kernels: Array) -> _Way:
    rank = kernels.ndim - 2
    return _Way(conv, _SINGLE, _shaped(*[1] * (rank + 1)), _shaped(*[1] * rank))


_SINGLE: Final = _shaped()
_PRODUCT: Final = _Way(matmul, _shaped(1), _SINGLE, _SINGLE)


class _Sum:
    """Σ (x - z_x) (w - z_w), and the variance that errors of x, w, z_x and z_w bring it."""

    def __init__(self, node: Node, way: _Way, operands: Sequence[Array | None]) -> None:
        self._node, self._way = node, way
        left, right, left_zero, right_zero = operands
        assert left is not None
        assert right is not None
        self._left = as_float(left)
        if left_zero is not None:
            self._left = self._left - way.left(as_float(left_zero))
        # float32 holds differences of 8 bits.
        self._right = right.astype(np.float32) if right.dtype.kind in "iu" else right
        if right_zero is not None:
            self._right = self._right - way.right(right_zero.astype(self._right.dtype))
        self.products = self._multiplied(self._left, self._right)
        self.values: Float64 = self.products.outputs[0]

    def _multiplied(self, left: Array, right: Array) -> SumOfProducts:
        operation = self._way.multiply(self._node, [left, right])
        assert isinstance(operation, SumOfProducts)
        return operation

    def carried(self, variances: Sequence[Variance]) -> Variance:
        of_left, of_right, of_left_zero, of_right_zero = variances
        [total] = self.products.carried([of_left, of_right])
        # The error of a zero is the same for all elements of a sum.
        if of_left_zero is not None:
            ones = np.ones_like(self._left)
            slopes = self._multiplied(ones, self._right).outputs[0]
            total = add_up(total, squares_of(slopes) * self._way.left(of_left_zero))
        if of_right_zero is not None:
            ones = np.ones_like(self._right)
            slopes = self._multiplied(self._left, ones).outputs[0]
            total = add_up(total, squares_of(slopes) * self._way.channels(of_right_zero))
        return total


class IntegerSum(Operation):
    """y = Σ (x - z_x) (w - z_w), of int32; own = 0."""

    selects = True

    def __init__(self, node: Node, way: _Way, inputs: Sequence[Array | None]) -> None:
        self._missing = 4 - len(inputs)
        self._sum = _Sum(node, way, (*inputs, *[None] * self._missing))
        super().__init__(inputs, [self._sum.values], [_INT32])

    def carried(self, variances: Sequence[Variance]) -> Variances:
        return (self._sum.carried((*variances, *[None] * self._missing)),)

    def own(self, mode: Mode) -> Variances:  # noqa: ARG002 - integers are exact in every mode
        # A variance, though of nothing: the node alone must give exactly this.
        return (np.zeros(self.outputs[0].shape, np.float32),)


class QuantizedSum(Operation):
    """y = round(q) + z_y, saturated, of q = s_x s_w / s_y (Σ (x - z_x) (w - z_w) + b).

    With d² = (q / y)² v_sum + (q / s)² v_s, and S the sum of the squared terms of q:

        v_out = (1 + d)² where d may carry q over a half, otherwise 0
        own = 1 where the roundings of q may: of the deviation u / √3 √(S (1 + K/6) + q² (K/3 + 4))

    A runtime may add up integers, which is exact, or the floats that they stand for.
    """

    def __init__(self, node: Node, way: _Way, inputs: Sequence[Array | None]) -> None:
        filled = (*inputs, None)[:9]
        left, left_scale, left_zero, right, right_scale, right_zero, scale, zero, bias = filled
        assert left_scale is not None
        assert right_scale is not None
        assert scale is not None
        kind = _UINT8 if zero is None or zero.dtype == np.float64 else zero.dtype
        if kind.name not in RANGES:
            raise Unsupported(f"quantising to {kind.name}")
        self._way, self._sum = way, _Sum(node, way, (left, right, left_zero, right_zero))
        self._scales = {
            1: way.left(as_float(left_scale)),
            4: way.channels(as_float(right_scale)),
            6: _SINGLE(as_float(scale)),
        }
        self._factor = self._scales[1] * self._scales[4] / self._scales[6]
        total = self._sum.values
        self._bias = None if bias is None else way.channels(as_float(bias))
        if self._bias is not None:
            total = total + self._bias
        self._quotient = total * self._factor
        offset = np.zeros(()) if zero is None else _SINGLE(as_float(zero))
        result, self._distance = quantized(self._quotient, offset, *RANGES[kind.name])
        super().__init__(inputs, [result], [kind])

    def carried(self, variances: Sequence[Variance]) -> Variances:
        filled = (*variances, None)[:9]
        total = self._sum.carried([filled[index] for index in (0, 3, 2, 5)])
        if (of_bias := filled[8]) is not None:
            total = add_up(total, self._way.channels(of_bias))
        found: Variance = None if total is None else squares_of(self._factor) * total
        spreads = {1: self._way.left, 4: self._way.channels, 6: _SINGLE}
        for index, spread in spreads.items():
            if (of_scale := filled[index]) is not None:
                slopes = squares_of(self._quotient) / squares_of(self._scales[index])
                found = add_up(found, slopes * spread(of_scale))
        crossed: Variance = None
        if found is not None:
            deviation = deviation_of(found)
            height = np.square((1 + deviation) / UNIT)
            crossed = self._where_near(deviation, height.astype(np.float32))
        if (of_zero := filled[7]) is not None:
            moved: Float32 = np.broadcast_to(_SINGLE(of_zero), self._quotient.shape)
            crossed = add_up(crossed, moved)
        return (crossed,)

    def own(self, mode: Mode) -> Variances:  # noqa: ARG002 - every mode in use has sums of float32
        products, sums = path_rounding(self._sum.products.length)
        squares = self._sum.products.squares
        if self._bias is not None:
            squares = squares + squares_of(self._bias)
        of_sum = squares_of(self._factor) * squares * np.float32(1 + products)
        own = of_sum + squares_of(self._quotient) * np.float32(sums + _ROUNDINGS)
        return (self._where_near(deviation_of(own), np.float32(UNIT**-2)),)

    def _where_near(self, deviation: Float32, variance: Any) -> Float32:
        near = self._distance <= REACH * deviation
        found: Float32 = np.where(near, variance, np.float32(0))
        return found


def conv_integer(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """ConvInteger: y = Σ (x - z_x) (w - z_w), v_out as the module says."""
    return IntegerSum(node, _convolution(np.asarray(inputs[1])), inputs)


def matmul_integer(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """MatMulInteger: y = Σ (x - z_x) (w - z_w), v_out as the module says."""
    return IntegerSum(node, _PRODUCT, inputs)


def q_linear_conv(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """QLinearConv: y = round(s_x s_w / s_y (Σ (x - z_x) (w - z_w) + b)) + z_y, saturated."""
    return QuantizedSum(node, _convolution(np.asarray(inputs[3])), inputs)


def q_linear_matmul(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """QLinearMatMul: y = round(s_x s_w / s_y Σ (x - z_x) (w - z_w)) + z_y, saturated."""
    return QuantizedSum(node, _PRODUCT, inputs)


RULES: Final[dict[str, Rule]] = {
    "ConvInteger": conv_integer,
    "MatMulInteger": matmul_integer,
    "QLinearConv": q_linear_conv,
    "QLinearMatMul": q_linear_matmul,
}
