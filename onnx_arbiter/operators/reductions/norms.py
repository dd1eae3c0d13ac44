"""Norms of elements and logarithms of their sums, along axes or in windows.

K is the number of elements that are reduced to one, S the sum of their squares.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import numpy as np

from onnx_arbiter.graph import Array, Node
from onnx_arbiter.operators.arguments import data_of
from onnx_arbiter.operators.operation import (
    REACH,
    UNIT,
    Operation,
    Rule,
    deviation_of,
    squares_of,
)
from onnx_arbiter.operators.reductions.sloped import Sloped
from onnx_arbiter.operators.reductions.totals import of_integers, sizes_of
from onnx_arbiter.operators.reductions.weighted import rounded_sum

_NONZERO: Final = np.float64(1e-300)


def reduce_l1(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """ReduceL1: v_out = Σ v, own = S (1 + K/6) + y² K/3"""
    if (exact := of_integers(node, inputs, _absolute_sum)) is not None:
        return exact
    axes, keep, length = sizes_of(node, inputs)
    values = data_of(inputs)
    output = _absolute_sum(values, axis=axes, keepdims=keep)
    total = partial(np.sum, axis=axes, keepdims=keep)
    return Sloped(
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
    if (exact := of_integers(node, inputs, _square_sum)) is not None:
        return exact
    axes, keep, length = sizes_of(node, inputs)
    values = data_of(inputs)
    total = partial(np.sum, axis=axes, keepdims=keep)

    def through(variance: Array) -> Array:
        slopes = 2 * (np.abs(values) + REACH * deviation_of(variance))
        return np.asarray(total(np.square(slopes) * variance))

    return Sloped(
        inputs,
        total(np.square(values)),
        through,
        lambda: _of_squares(values, total, length),
    )


def norm_of(
    inputs: Sequence[Array | None], total: Callable[[Array], Array], length: Any, p: float
) -> Operation:
    """The norm y = P^(1/p) with P = Σ |x|^p over K elements:

        v_out = Σ (|x| / y)^(2p - 2) v,    own = own of P · (y / pP)² + y² (1 + c)

    P is rounded like a sum of K products; unless p is 2, c = 1 and powers are rounded twice. Where
    y may be zero, v_out = Σ v.

    Args:
        inputs: what the node read.
        total: adds up elements.
        length: K.
        p: the order of the norm, at least 1.
    """
    values = np.abs(data_of(inputs).astype(np.float64))
    powers = values**p
    whole = np.maximum(total(powers), _NONZERO)
    output = total(powers) ** (1 / p)
    more = 0 if p == 2 else 1

    def through(variance: Array) -> Array:
        most = total(variance)
        near = output <= REACH * UNIT * np.sqrt(most)
        slopes = total(values ** (2 * p - 2) * variance) / whole ** (2 - 2 / p)
        return np.asarray(np.where(near, most, slopes))

    def own() -> Array:
        squares, ends = total(np.square(powers)), np.square(whole)
        of_powers = rounded_sum(squares, ends, length) + more * squares
        return np.asarray((of_powers / (p**2 * ends) + 1 + more) * np.square(output))

    return Sloped(inputs, output, through, own)


def reduce_l2(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """ReduceL2: the norm of order 2."""
    axes, keep, length = sizes_of(node, inputs)
    return norm_of(inputs, partial(np.sum, axis=axes, keepdims=keep), length, 2)


def reduce_log_sum(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """ReduceLogSum: with s = Σ x, v_out = Σ v / s², own = (S (1 + K/6) + s² K/3) / s² + 2 y²"""
    axes, keep, length = sizes_of(node, inputs)
    values = data_of(inputs).astype(np.float64)
    total = partial(np.sum, axis=axes, keepdims=keep)
    inner = total(values)
    output, ends = np.log(inner), np.maximum(np.square(inner), _NONZERO)
    return Sloped(
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
    axes, keep, length = sizes_of(node, inputs)
    values = data_of(inputs).astype(np.float64)
    top = values.max(axis=axes, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0)
    total = partial(np.sum, axis=axes, keepdims=True)
    raised = np.log(total(np.exp(values - top)))
    whole = raised + top
    output = whole if keep else whole.reshape(values.sum(axis=axes).shape)

    def shares() -> Array:
        return np.asarray(np.square(np.exp(values - whole)))

    def own() -> Array:
        less = np.where(np.isfinite(values), np.square(values - top), 0)
        parts = total(shares() * (3 + length / 6 + less))
        return np.asarray(parts + length / 3 + 2 * np.square(raised) + np.square(whole)).reshape(
            output.shape
        )

    return Sloped(
        inputs,
        output,
        lambda variance: total(shares() * variance).reshape(output.shape),
        own,
    )


RULES: Final[dict[str, Rule]] = {
    "ReduceL1": reduce_l1,
    "ReduceL2": reduce_l2,
    "ReduceSumSquare": reduce_sum_square,
    "ReduceLogSum": reduce_log_sum,
    "ReduceLogSumExp": reduce_log_sum_exp,
}
