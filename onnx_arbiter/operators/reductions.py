"""Reductions along axes: sums, means, norms, products, logarithms of sums.

K is the number of elements that are reduced to one, S the sum of their squares.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from typing import Any, Final

import numpy as np

from onnx_arbiter.graph import Array, Node
from onnx_arbiter.numeric_modes import Mode, float32_units
from onnx_arbiter.operators.arguments import (
    data_of,
    from_front,
    integers,
    number,
    shape_of,
)
from onnx_arbiter.operators.moves import identity
from onnx_arbiter.operators.operation import (
    REACH,
    UNIT,
    Exact,
    Operation,
    Rule,
    Variance,
    Variances,
    deviation_of,
    squares_of,
)
from onnx_arbiter.operators.weighted import WeightedSum, rounded_sum

_NONZERO: Final = np.float64(1e-300)


def axes_of(node: Node, inputs: Sequence[Array | None]) -> tuple[int, ...]:
    """The axes that a node reduces; all if it states none, unless it says that none is meant."""
    rank = len(shape_of(inputs))
    axes = integers(node, inputs, 1, "axes") or ()
    if not axes and not node.get("noop_with_empty_axes", 0):
        axes = tuple(range(rank))
    return from_front(axes, rank)


def _sizes(node: Node, inputs: Sequence[Array | None]) -> tuple[tuple[int, ...], bool, int]:
    """The axes, whether they are kept, and K."""
    axes, shape = axes_of(node, inputs), shape_of(inputs)
    return axes, bool(node.get("keepdims", 1)), prod(shape[axis] for axis in axes)


def _integers(
    node: Node, inputs: Sequence[Array | None], reduce: Callable[..., Array]
) -> Operation | None:
    """The exact reduction of integers; None for floats."""
    values = data_of(inputs)
    if values.dtype.kind == "f":
        return None
    axes, keep, _ = _sizes(node, inputs)
    result = np.asarray(reduce(values, axis=axes, keepdims=keep)).astype(values.dtype)
    return Exact(inputs, [result])


def reduce_sum(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """ReduceSum: v_out = Σ v,  own = S (1 + K/6) + y² K/3"""
    if (exact := _integers(node, inputs, np.sum)) is not None:
        return exact
    axes, keep, length = _sizes(node, inputs)
    if not axes:
        return identity(node, inputs)
    return WeightedSum(inputs, lambda values, _: values.sum(axes, keepdims=keep), length)


def mean_over(inputs: Sequence[Array | None], axes: tuple[int, ...], keep: bool) -> Operation:
    """The mean over axes: v_out = Σ v / K²,  own = S (1 + K/6) + y² (K/3 + 2), S of x / K.

    A mean is divided, or multiplied by 1 / K, which is rounded.
    """
    length = prod(shape_of(inputs)[axis] for axis in axes)

    def weigh(values: Array, squared: bool) -> Array:
        total = np.asarray(values.sum(axes, keepdims=keep))
        return np.asarray(total / total.dtype.type(max(1, length) ** (2 if squared else 1)))

    return WeightedSum(inputs, weigh, length, roundings=2)


def reduce_mean(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """ReduceMean; integers are divided without a remainder."""
    axes, keep, length = _sizes(node, inputs)
    divided = _integers(node, inputs, lambda *a, **k: np.trunc(np.sum(*a, **k) / length))
    if divided is not None:
        return divided
    return mean_over(inputs, axes, keep) if axes else identity(node, inputs)


class _Slopes(Operation):
    """y = f(x₁ … x_K), with v_out = Σ (∂y/∂xᵢ)² vᵢ.

    Args:
        inputs: what the node read.
        output: y.
        through: Σ (∂y/∂xᵢ)² vᵢ of given variances.
        own: in units of u²/3.
    """

    def __init__(
        self,
        inputs: Sequence[Array | None],
        output: Array,
        through: Callable[[Array], Array],
        own: Callable[[], Array],
    ) -> None:
        super().__init__(inputs, [np.asarray(output)])
        self._through, self._own = through, own

    def carried(self, variances: Sequence[Variance]) -> Variances:
        if variances[0] is None:
            return (None,)
        with np.errstate(all="ignore"):
            return (np.asarray(self._through(variances[0])).astype(np.float32),)

    def own(self, mode: Mode) -> Variances:
        with np.errstate(all="ignore"):
            return (float32_units(mode.sums) * np.asarray(self._own()).astype(np.float32),)


def reduce_prod(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """ReduceProd: slopes are the products of the others, own = K y²"""
    if (exact := _integers(node, inputs, np.prod)) is not None:
        return exact
    axes, keep, length = _sizes(node, inputs)
    if not axes:
        return identity(node, inputs)
    values = data_of(inputs)
    output = np.prod(values, axis=axes, keepdims=keep)
    last = tuple(range(values.ndim - len(axes), values.ndim))
    flat = np.moveaxis(values, axes, last).reshape(-1, length)

    def through(variance: Array) -> Array:
        # The products of those before and of those after: no division by a zero.
        ones = np.ones((len(flat), 1))
        before = np.hstack([ones, np.cumprod(flat[:, :-1], axis=1)])
        after = np.hstack([np.cumprod(flat[:, :0:-1], axis=1)[:, ::-1], ones])
        moved = np.moveaxis(variance, axes, last).reshape(-1, length)
        total: Array = (np.square(before * after) * moved).sum(axis=1)
        return total.reshape(output.shape)

    return _Slopes(inputs, output, through, lambda: np.float32(length) * squares_of(output))


def reduce_l1(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """ReduceL1: v_out = Σ v, own = S (1 + K/6) + y² K/3"""
    if (exact := _integers(node, inputs, _absolute_sum)) is not None:
        return exact
    axes, keep, length = _sizes(node, inputs)
    values = data_of(inputs)
    output = _absolute_sum(values, axis=axes, keepdims=keep)
    total = partial(np.sum, axis=axes, keepdims=keep)
    return _Slopes(
        inputs,
        output,
        total,
        lambda: rounded_sum(total(squares_of(values)), squares_of(output), length),
    )


def _absolute_sum(values: Array, **along: Any) -> Array:
    return np.asarray(np.abs(values).sum(**along))


def _square_sum(values: Array, **along: Any) -> Array:
    return np.asarray(np.square(values).sum(**along))


def _of_squares(values: Array, total: Callable[[Array], Array], length: int) -> Array:
    """The rounding of Σ x²."""
    squares = np.square(values)
    return rounded_sum(total(np.square(squares)), np.square(total(squares)), length)


def reduce_sum_square(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """ReduceSumSquare: v_out = Σ 4 x² v, own that of a sum of x²; x is as far off as may be."""
    if (exact := _integers(node, inputs, _square_sum)) is not None:
        return exact
    axes, keep, length = _sizes(node, inputs)
    values = data_of(inputs)
    total = partial(np.sum, axis=axes, keepdims=keep)

    def through(variance: Array) -> Array:
        slopes = 2 * (np.abs(values) + REACH * deviation_of(variance))
        return np.asarray(total(np.square(slopes) * variance))

    return _Slopes(
        inputs,
        total(np.square(values)),
        through,
        lambda: _of_squares(values, total, length),
    )


def reduce_l2(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """ReduceL2: v_out = Σ x² v / y², own = that of Σ x² / (4 y²) + y²; near y = 0, v_out = Σ v."""
    axes, keep, length = _sizes(node, inputs)
    values = data_of(inputs).astype(np.float64)
    total = partial(np.sum, axis=axes, keepdims=keep)
    output = np.sqrt(total(np.square(values)))
    squares = np.maximum(np.square(output), _NONZERO)

    def through(variance: Array) -> Array:
        most = total(variance)
        near = output <= REACH * UNIT * np.sqrt(most)
        return np.asarray(np.where(near, most, total(np.square(values) * variance) / squares))

    return _Slopes(
        inputs,
        output,
        through,
        lambda: _of_squares(values, total, length) / (4 * squares) + np.square(output),
    )


def reduce_log_sum(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """ReduceLogSum: with s = Σ x, v_out = Σ v / s², own = (S (1 + K/6) + s² K/3) / s² + 2 y²"""
    axes, keep, length = _sizes(node, inputs)
    values = data_of(inputs).astype(np.float64)
    total = partial(np.sum, axis=axes, keepdims=keep)
    inner = total(values)
    output, ends = np.log(inner), np.maximum(np.square(inner), _NONZERO)
    return _Slopes(
        inputs,
        output,
        lambda variance: total(variance) / ends,
        lambda: rounded_sum(total(np.square(values)), ends, length) / ends + 2 * np.square(output),
    )


def reduce_log_sum_exp(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """ReduceLogSumExp: with m = max x, p = exp(x - y), l = y - m:

        v_out = Σ p² v,    own = Σ p² (3 + K/6 + (x - m)²) + K/3 + 2 l² + y²

    which counts one rounding of x - m, two of exp, a sum, two of log and the addition of m.
    """
    axes, keep, length = _sizes(node, inputs)
    values = data_of(inputs).astype(np.float64)
    top = values.max(axis=axes, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    total = partial(np.sum, axis=axes, keepdims=True)
    raised = np.log(total(np.exp(values - top)))
    whole = raised + top
    output = whole if keep else whole.reshape(values.max(axis=axes).shape)

    def shares() -> Array:
        return np.asarray(np.square(np.exp(values - whole)))

    def own() -> Array:
        less = np.where(np.isfinite(values), np.square(values - top), 0)
        parts = total(shares() * (3 + length / 6 + less))
        return np.asarray(parts + length / 3 + 2 * np.square(raised) + np.square(whole)).reshape(
            output.shape
        )

    return _Slopes(
        inputs,
        output,
        lambda variance: total(shares() * variance).reshape(output.shape),
        own,
    )


def cumsum(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """CumSum: each output is a sum of K elements, K growing along the axis."""
    values = data_of(inputs)
    axis = from_front([int(number(inputs, 1, 0))], values.ndim)[0]
    exclusive, backwards = node.get("exclusive", 0), node.get("reverse", 0)
    order = [slice(None)] * values.ndim
    order[axis] = slice(None, None, -1) if backwards else slice(None)
    turned = tuple(order)

    def weigh(values: Array, squared: bool) -> Array:  # noqa: ARG001
        given = values[turned]
        total = np.cumsum(given, axis, dtype=values.dtype)
        if exclusive:
            total = np.roll(total, 1, axis)
            total[(slice(None),) * axis + (slice(1),)] = 0
        return total[turned]

    if values.dtype.kind != "f":
        return Exact(inputs, [weigh(values, False)])
    along = [size if i == axis else 1 for i, size in enumerate(values.shape)]
    lengths = weigh(np.ones(along, np.float32), False)
    return WeightedSum(inputs, weigh, lengths)


RULES: Final[dict[str, Rule]] = {
    "ReduceSum": reduce_sum,
    "ReduceMean": reduce_mean,
    "ReduceProd": reduce_prod,
    "ReduceL1": reduce_l1,
    "ReduceL2": reduce_l2,
    "ReduceSumSquare": reduce_sum_square,
    "ReduceLogSum": reduce_log_sum,
    "ReduceLogSumExp": reduce_log_sum_exp,
    "CumSum": cumsum,
}
