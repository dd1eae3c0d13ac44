"""Softmax, LogSoftmax and Hardmax.

With t = x - max(x), p = exp(t) / Σ exp(t) and K elements along the axis, the runtime rounds t. That
error, of size |t|, is relative to the exponential, which is itself rounded twice: w = t² + 2. The
sum has the relative variance s = Σ p² K/6 + K/3, as any sum of K terms.

    Softmax     carried   p² ((1 - p)² vᵢ + Σ_{j≠i} pⱼ² vⱼ)
                own       p² (2 + s + wᵢ (1 - 2 p) + Σ p² w)        division by a reciprocal: 2
    LogSoftmax  carried   (1 - p)² vᵢ + Σ_{j≠i} pⱼ² vⱼ
                own       y² + t² + l² + s + Σ p² w                 l = log Σ exp(t)

Where p is 1, the slope is 0, but s remains of the sum's rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from onnx_arbiter.error_model import Float64
from onnx_arbiter.graph import Array, Node
from onnx_arbiter.numeric_modes import SMALLEST_NORMAL, Mode, float32_units
from onnx_arbiter.operators.operation import (
    REACH,
    Exact,
    Operation,
    Rule,
    Variance,
    Variances,
    as_float,
    deviation_of,
)

# Roundings of an exponential: libraries are right within one unit in the last place.
_EXP: Final = 2.0


class Softmax(Operation):
    """p, or its logarithm, along one axis.

    Args:
        inputs: x.
        shape: what x is viewed as.
        axis: of the view.
        logarithm: whether the output is log p.
    """

    def __init__(
        self, inputs: Sequence[Array | None], shape: Sequence[int], axis: int, logarithm: bool
    ) -> None:
        [source] = inputs
        assert source is not None
        self._shape, self._axis, self._logarithm = tuple(shape), axis, logarithm
        x = as_float(source).reshape(self._shape)
        self._t: Float64 = x - x.max(axis=axis, keepdims=True, initial=-np.inf)
        exponentials = np.exp(self._t)
        total = exponentials.sum(axis=axis, keepdims=True)
        self._p: Float64 = exponentials / total
        self._log: Float64 = np.log(total)
        y = self._t - self._log if logarithm else self._p
        super().__init__(inputs, [y.reshape(source.shape)])

    def _sum(self, values: Float64) -> Float64:
        total: Float64 = values.sum(axis=self._axis, keepdims=True)
        return total

    def carried(self, variances: Sequence[Variance]) -> Variances:
        [variance] = variances
        if variance is None:
            return (None,)
        # In float64, so that the sum less its largest term is right where one p is nearly 1.
        v = variance.reshape(self._shape).astype(np.float64)
        p = self._p
        # The error of a mask may be infinite, but has no effect where the exponential vanishes.
        parts = np.multiply(np.square(p), v, out=np.zeros_like(v), where=p > 0)
        passed = np.maximum(self._sum(parts) - parts, 0) + np.square(1 - p) * v
        if not self._logarithm:
            passed = np.multiply(np.square(p), passed, out=np.zeros_like(p), where=p > 0)
        return (passed.reshape(self.outputs[0].shape).astype(np.float32),)

    def own(self, mode: Mode) -> Variances:
        p, length = self._p, self._shape[self._axis]
        # Masks are of any size, and infinite: where the exponential vanishes, so does its error.
        t = np.where(p > 0, self._t, 0)
        of_sum = self._sum(np.square(p)) * length / 6 + length / 3
        of_terms = np.square(t) + _EXP
        own = of_sum + self._sum(np.square(p) * of_terms)
        if self._logarithm:
            y = self.outputs[0].reshape(self._shape)
            rounded = np.minimum(np.square(y) + np.square(self._t), 1e38)
            own = own + np.square(self._log) + rounded
        else:
            own = np.square(p) * (2 + own + np.maximum(of_terms * (1 - 2 * p), 0))
        # In float32, squares below the smallest number are lost: those of any p below 1e-19.
        own = float(float32_units(mode.sums)) * own + SMALLEST_NORMAL
        return (own.reshape(self.outputs[0].shape).astype(np.float32),)


def softmax(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Softmax; before opset 13 over all axes from one on."""
    return Softmax(inputs, *_layout(node, inputs), logarithm=False)


def log_softmax(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """LogSoftmax; before opset 13 over all axes from one on."""
    return Softmax(inputs, *_layout(node, inputs), logarithm=True)


class Hardmax(Exact):
    """1 at the first maximum along an axis, 0 elsewhere.

    Another element may be the maximum where it is within reach: the difference of the two is less
    than `REACH` deviations of it.
    """

    def __init__(self, inputs: Sequence[Array | None], shape: Sequence[int], axis: int) -> None:
        [source] = inputs
        assert source is not None
        self._shape, self._axis = tuple(shape), axis
        x = source.reshape(self._shape)
        self._first = np.expand_dims(x.argmax(axis=axis), axis)
        y = np.zeros(x.shape)
        np.put_along_axis(y, self._first, 1.0, axis)
        super().__init__(inputs, [y.reshape(source.shape)])

    def carried(self, variances: Sequence[Variance]) -> Variances:
        [variance] = variances
        if variance is not None:
            x = as_float(np.asarray(self.inputs[0])).reshape(self._shape)
            v = variance.reshape(self._shape)
            behind = np.take_along_axis(x, self._first, self._axis) - x
            reach = REACH * deviation_of(v + np.take_along_axis(v, self._first, self._axis))
            rivals = (behind <= reach) & (reach > 0)
            np.put_along_axis(rivals, self._first, False, self._axis)
            self.decides[0] = bool(rivals.any())
        return (None,)


def hardmax(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Hardmax; before opset 13 over all axes from one on."""
    return Hardmax(inputs, *_layout(node, inputs))


def _layout(node: Node, inputs: Sequence[Array | None]) -> tuple[Sequence[int], int]:
    """What the input is viewed as, and the axis of that."""
    shape = np.shape(np.asarray(inputs[0]))
    if node.version >= 13:
        return shape, node.get("axis", -1)
    axis = node.get("axis", 1) % len(shape) if node.get("axis", 1) < 0 else node.get("axis", 1)
    rows = int(np.prod(shape[:axis]))
    return (rows, int(np.prod(shape[axis:]))), 1


RULES: Final[dict[str, Rule]] = {
    "Softmax": softmax,
    "LogSoftmax": log_softmax,
    "Hardmax": hardmax,
}
