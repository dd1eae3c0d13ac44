"""Reductions along axes: sums, means and products, and sums up to each element.

K is the number of elements that are reduced to one, S the sum of their squares.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Final

import numpy as np

from onnx_arbiter.graph import Array, Node
from onnx_arbiter.operators.arguments import (
    data_of,
    from_front,
    integers,
    number,
    shape_of,
)
from onnx_arbiter.operators.moves.arrangement import identity
from onnx_arbiter.operators.operation import (
    Exact,
    Operation,
    Rule,
    squares_of,
)
from onnx_arbiter.operators.reductions.sloped import Sloped
from onnx_arbiter.operators.reductions.weighted import WeightedSum


def axes_of(node: Node, inputs: Sequence[Array | None]) -> tuple[int, ...]:
    """The axes that a node reduces; all if it states none, unless it says that none is meant."""
    rank = len(shape_of(inputs))
    axes = integers(node, inputs, 1, "axes") or ()
    if not axes and not node.get("noop_with_empty_axes", 0):
        axes = tuple(range(rank))
    return from_front(axes, rank)


def sizes_of(node: Node, inputs: Sequence[Array | None]) -> tuple[tuple[int, ...], bool, int]:
    """The axes, whether they are kept, and K."""
    axes, shape = axes_of(node, inputs), shape_of(inputs)
    return axes, bool(node.get("keepdims", 1)), prod(shape[axis] for axis in axes)


def of_integers(
    node: Node, inputs: Sequence[Array | None], reduce: Callable[..., Array]
) -> Operation | None:
    """The exact reduction of integers; None for floats."""
    values = data_of(inputs)
    if values.dtype.kind == "f":
        return None
    axes, keep, _ = sizes_of(node, inputs)
    result = np.asarray(reduce(values, axis=axes, keepdims=keep)).astype(values.dtype)
    return Exact(inputs, [result])


def reduce_sum(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """ReduceSum: v_out = Σ v,  own = S (1 + K/6) + y² K/3"""
    if (exact := of_integers(node, inputs, np.sum)) is not None:
        return exact
    axes, keep, length = sizes_of(node, inputs)
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
    axes, keep, length = sizes_of(node, inputs)
    divided = of_integers(node, inputs, lambda *a, **k: np.trunc(np.sum(*a, **k) / length))
    if divided is not None:
        return divided
    return mean_over(inputs, axes, keep) if axes else identity(node, inputs)


def reduce_prod(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """ReduceProd: slopes are the products of the others, own = K y²"""
    if (exact := of_integers(node, inputs, np.prod)) is not None:
        return exact
    axes, keep, length = sizes_of(node, inputs)
    if not axes:
        return identity(node, inputs)
    values = data_of(inputs)
    output = np.prod(values, axis=axes, keepdims=keep)
    if not values.size:
        return Exact(inputs, [np.asarray(output)])
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

    return Sloped(inputs, output, through, lambda: np.float32(length) * squares_of(output))


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
    "CumSum": cumsum,
}
