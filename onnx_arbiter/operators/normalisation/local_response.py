"""Divisions by a norm: LRN and LpNormalization."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.error_model import Float32, Float64
from onnx_arbiter.graph import Array, Node
from onnx_arbiter.numeric_modes import Mode, float32_units
from onnx_arbiter.operators.operation import (
    Operation,
    Variance,
    Variances,
    as_float,
    squares_of,
)


class LocalResponse(Operation):
    """y = x · D^(-β), D = k + a Σ x² over neighbouring channels.

    With g = 2 a β / D:

        v_out = D^(-2β) (vᵢ (1 - 2 g xᵢ²) + g² xᵢ² Σ xⱼ² vⱼ)
        own   = y² (2 + p² + β² ((a/D)² (Σ x⁴ (1 + K/6) + (Σ x²)² (K/3 + 2)) + 2 Σ_c D² / D²))

    of K channels: a power rounds its logarithm p = β ln D, the result and the quotient are rounded,
    and D is a sum of products. Some runtimes (ONNX Runtime) compute the D of a channel from that of
    the channel before it, adding one square and subtracting another: Σ_c sums D² of all channels
    so far, each rounded twice.

    Args:
        inputs: x, channels along axis 1.
        size: K.
        factor, bias, power: a, k, β.
    """

    def __init__(
        self, inputs: Sequence[Array | None], size: int, factor: float, bias: float, power: float
    ) -> None:
        x = as_float(np.asarray(inputs[0]))
        self._size, self._factor, self._power = size, factor, power
        self._divisor: Float64 = bias + factor * self._around(np.square(x))
        super().__init__(inputs, [x * self._divisor**-power])

    def _around(self, values: NDArray[np.float64]) -> Float64:
        """Sums over the channels from (K - 1) // 2 before to K // 2 after."""
        channels = values.shape[1]
        sums = np.zeros((values.shape[0], channels + 1, *values.shape[2:]))
        np.cumsum(values, axis=1, out=sums[:, 1:])
        positions = np.arange(channels)
        first = np.maximum(positions - (self._size - 1) // 2, 0)
        end = np.minimum(positions + self._size // 2 + 1, channels)
        total: Float64 = np.maximum(sums[:, end] - sums[:, first], 0)
        return total

    def carried(self, variances: Sequence[Variance]) -> Variances:
        [variance] = variances
        if variance is None:
            return (None,)
        x = as_float(np.asarray(self.inputs[0]))
        squares = np.square(x)
        slope = 2 * self._factor * self._power / self._divisor
        # A window of two has neighbours on one side only: element i reads j, but j need not read i.
        shared = np.square(slope) * squares * self._around(squares * variance)
        passed = np.maximum(variance * (1 - 2 * slope * squares) + shared, 0)
        return ((self._divisor ** (-2 * self._power) * passed).astype(np.float32),)

    def own(self, mode: Mode) -> Variances:
        squares = np.square(as_float(np.asarray(self.inputs[0])))
        length = min(self._size, squares.shape[1])
        sums = self._around(squares)
        of_divisor = self._around(np.square(squares)) * (1 + length / 6)
        of_divisor += np.square(sums) * (length / 3 + 2)
        of_divisor *= np.square(self._factor / self._divisor)
        # From channel to channel.
        running = np.cumsum(np.square(self._divisor), axis=1)
        of_divisor += 2 * running / np.square(self._divisor)
        of_power = np.square(self._power * np.log(self._divisor))
        relative = 2 + of_power + self._power**2 * of_divisor
        own = squares_of(self.outputs[0]) * relative.astype(np.float32)
        return (float32_units(mode.sums) * own,)


def lrn(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """LRN: a = alpha / size."""
    size = int(node.get("size"))
    alpha, beta, bias = (
        float(np.float32(node.get(name, default)))
        for name, default in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0))
    )
    return LocalResponse(inputs, size, alpha / size, bias, beta)


class NormQuotient(Operation):
    """y = x / ‖x‖ along an axis, 0 where the norm is.

        order 1: v_out = (vᵢ (1 - 2 |yᵢ|) + yᵢ² Σ v) / ‖x‖²
                 own   = y² (1 + Σ y² K/6 + K/3)
        order 2: v_out = (vᵢ (1 - 2 yᵢ²) + yᵢ² Σ y² v) / ‖x‖²
                 own   = y² (2 + ¼ (Σ y⁴ (1 + K/6) + K/3))

    Args:
        inputs: x.
        axis: along which K elements are.
        order: 1 or 2.
    """

    def __init__(self, inputs: Sequence[Array | None], axis: int, order: int) -> None:
        x = as_float(np.asarray(inputs[0]))
        self._axis, self._order = axis, order
        sizes = np.abs(x) if order == 1 else np.square(x)
        norm = sizes.sum(axis=axis, keepdims=True)
        if order == 2:
            norm = np.sqrt(norm)
        self._reciprocal: Float64 = np.divide(1, norm, out=np.zeros_like(norm), where=norm > 0)
        super().__init__(inputs, [x * self._reciprocal])

    def _sum(self, values: NDArray[np.floating]) -> Float64:
        total: Float64 = values.sum(axis=self._axis, keepdims=True, dtype=np.float64)
        return total

    def carried(self, variances: Sequence[Variance]) -> Variances:
        [variance] = variances
        if variance is None:
            return (None,)
        y = self.outputs[0]
        squares = np.square(y)
        if self._order == 1:
            passed = variance * (1 - 2 * np.abs(y)) + squares * self._sum(variance)
        else:
            passed = variance * (1 - 2 * squares) + squares * self._sum(squares * variance)
        total = np.square(self._reciprocal) * np.maximum(passed, 0)
        return (total.astype(np.float32),)

    def own(self, mode: Mode) -> Variances:
        squares: Float32 = squares_of(self.outputs[0])
        length = squares.shape[self._axis]
        if self._order == 1:
            relative = 1 + self._sum(squares) * length / 6 + length / 3
        else:
            sums = self._sum(np.square(squares)) * (1 + length / 6) + length / 3
            relative = 2 + sums / 4
        return (float32_units(mode.sums) * squares * relative.astype(np.float32),)


def lp_normalization(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """LpNormalization of order 1 or 2."""
    return NormQuotient(inputs, node.get("axis", -1), node.get("p", 2))
