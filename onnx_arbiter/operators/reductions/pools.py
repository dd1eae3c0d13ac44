"""Pools: the largest element or the mean of windows that slide over maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import reduce
from math import prod
from typing import Any, Final

import numpy as np

from onnx_arbiter.graph import Array, Node
from onnx_arbiter.operators.arguments import data_of, shape_of
from onnx_arbiter.operators.operation import (
    REACH,
    Operation,
    Rule,
    Unsupported,
    Variance,
    Variances,
    deviation_of,
)
from onnx_arbiter.operators.reductions.maxima import reduce_to_largest
from onnx_arbiter.operators.reductions.norms import norm_of
from onnx_arbiter.operators.reductions.totals import mean_over
from onnx_arbiter.operators.reductions.weighted import WeightedSum
from onnx_arbiter.operators.sums.windows import Window


class Pool:
    """Where the windows of a pool lie.

    Attributes:
        window: with as much behind the maps as the last window reaches over.
        positions: how many windows there are along each axis.
        padded: how many elements along each axis that the node states are padding, behind the maps.
    """

    def __init__(self, node: Node, sizes: Sequence[int]) -> None:
        stated = Window.of(node, sizes, tuple(node.get("kernel_shape")))
        automatic = node.get("auto_pad", "NOTSET")
        if automatic.startswith("SAME") and not _is_common(stated, sizes):
            raise Unsupported("runtimes do not agree on the automatic padding of such windows")
        self.sizes, self.padded = tuple(sizes), stated.after
        positions, after = [], []
        for size, before, behind, span, stride in zip(
            sizes, stated.before, stated.after, stated.spans(), stated.strides, strict=True
        ):
            room = size + before + behind - span
            number = room // stride + 1
            if node.get("ceil_mode", 0) and automatic == "NOTSET":
                number = -(-room // stride) + 1
                # A window that would start behind the map's end is left out.
                number -= (number - 1) * stride >= size + before
            positions.append(number)
            after.append(max(0, (number - 1) * stride + span - size - before))
        self.positions = tuple(positions)
        self.window = replace(stated, after=tuple(after))

    def taps(self, maps: Array, value: Any) -> Iterator[Array]:
        """Each element of the windows in turn: (N, C, *positions), beside the maps the value."""
        views = self.window.views(self.window.padded(maps, value))
        kept = tuple(slice(number) for number in self.positions)
        for place in np.ndindex(*self.window.kernel):
            yield views[(slice(None), slice(None), *kept)][(..., *place)]

    def counts(self, with_padding: bool) -> Array:
        """How many elements each window has: (*positions,)"""
        along = []
        for axis, (size, number) in enumerate(zip(self.sizes, self.positions, strict=True)):
            window, before = self.window, self.window.before[axis]
            starts = np.arange(number) * window.strides[axis] - before
            places = starts[:, None] + np.arange(window.kernel[axis]) * window.dilations[axis]
            first, end = (-before, size + self.padded[axis]) if with_padding else (0, size)
            along.append(((places >= first) & (places < end)).sum(axis=1))
        return np.asarray(reduce(np.multiply.outer, along))


def _is_common(window: Window, sizes: Sequence[int]) -> bool:
    """Whether runtimes agree on automatic padding.

    Where they compute it, ONNX Runtime leaves dilations out, and crops maps that windows smaller
    than their steps do not reach the end of.
    """
    reached = (
        (-(-size // stride) - 1) * stride + kernel >= size
        for size, stride, kernel in zip(sizes, window.strides, window.kernel, strict=True)
    )
    return max(window.dilations) == 1 and all(reached)


class _MaxPool(Operation):
    """y = max of a window; v_out = the largest v that may belong to it; own = none.

    The second output, if it is read, are the places of the maxima.
    """

    selects = True

    def __init__(self, inputs: Sequence[Array | None], pool: Pool, node: Node) -> None:
        self._pool = pool
        maps = data_of(inputs)
        self._least = -np.inf if maps.dtype.kind == "f" else np.iinfo(maps.dtype).min
        self._maps = maps
        largest = reduce(np.maximum, pool.taps(maps, self._least))
        self._places = len(node.outputs) > 1 and bool(node.outputs[1])
        outputs = [np.array(largest)]
        if self._places:
            outputs.append(self._winners(largest))
        super().__init__(inputs, outputs)

    def _winners(self, largest: Array) -> Array:
        """Where the first maximum of each window lies in the whole tensor, flattened."""
        batch, channels, *sizes = self._maps.shape
        inside = np.arange(prod(sizes)).reshape(1, 1, *sizes)
        winners = np.full(largest.shape, -1, np.int64)
        taps = zip(
            self._pool.taps(self._maps, self._least), self._pool.taps(inside, -1), strict=True
        )
        for values, places in taps:
            first = (winners < 0) & (values == largest) & (places >= 0)
            winners = np.where(first, places, winners)
        maps = np.arange(batch * channels).reshape(batch, channels, *[1] * len(sizes))
        return np.asarray(winners + maps * prod(sizes))

    def carried(self, variances: Sequence[Variance]) -> Variances:
        nothing = (None,) * (len(self.outputs) - 1)
        if (variance := variances[0]) is None:
            return (None, *nothing)
        largest, carried = self.outputs[0], np.zeros(self.outputs[0].shape, np.float32)
        for values, part in self._both(variance):
            may_win = values + REACH * deviation_of(part) >= largest
            np.maximum(carried, part, out=carried, where=may_win)
        if self._places and not self.decides[1]:
            self.decides[1] = self._has_rivals(variance)
        return (carried, *nothing)

    def _both(self, variance: Array) -> Iterator[tuple[Array, Array]]:
        return zip(
            self._pool.taps(self._maps, self._least), self._pool.taps(variance, 0), strict=True
        )

    def _has_rivals(self, variance: Array) -> bool:
        """Whether a window has another element that errors may make the maximum."""
        largest = self.outputs[0]
        deviation = deviation_of(variance)
        winner = deviation.reshape(-1)[self.outputs[1].reshape(-1)].reshape(largest.shape)
        rivals = np.zeros(largest.shape, np.int64)
        for values, part in self._both(variance):
            reach = REACH * (deviation_of(part) + winner)
            rivals += (values + reach >= largest) & (reach > 0)
        return bool((rivals > 1).any())


def max_pool(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """MaxPool: the largest element of each window, and its place."""
    if node.get("storage_order", 0) and len(node.outputs) > 1:
        raise Unsupported("counts places column by column")
    return _MaxPool(inputs, Pool(node, shape_of(inputs)[2:]), node)


def average_pool(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """AveragePool over K elements: v_out = Σ v / K²,  own = S (1 + K/6) + y² (K/3 + 2).

    S is the sum of the squares of x / K. What pads the maps counts where ``count_include_pad``
    says so, but not what windows of ``ceil_mode`` reach over behind it. A runtime divides by K, or
    multiplies by 1 / K, which is rounded.
    """
    pool = Pool(node, shape_of(inputs)[2:])
    counts = np.maximum(pool.counts(bool(node.get("count_include_pad", 0))), 1)

    def weigh(values: Array, squared: bool) -> Array:
        total = np.zeros((*values.shape[:2], *pool.positions), values.dtype)
        for tap in pool.taps(values, 0):
            total += tap
        total /= counts**2 if squared else counts
        return total

    return WeightedSum(inputs, weigh, pool.counts(False), roundings=2)


def global_average_pool(node: Node, inputs: Sequence[Array | None]) -> Operation:  # noqa: ARG001
    """GlobalAveragePool: the mean over all axes but two."""
    return mean_over(inputs, tuple(range(2, len(shape_of(inputs)))), keep=True)


def global_max_pool(node: Node, inputs: Sequence[Array | None]) -> Operation:  # noqa: ARG001
    """GlobalMaxPool: the maximum over all axes but two."""
    return reduce_to_largest(inputs, tuple(range(2, len(shape_of(inputs)))), keep=True)


def lp_pool(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """LpPool: the norm of each window."""
    pool = Pool(node, shape_of(inputs)[2:])

    def total(values: Array) -> Array:
        return np.asarray(sum(pool.taps(values, 0)))

    return norm_of(inputs, total, pool.counts(with_padding=False), _order(node))


def global_lp_pool(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """GlobalLpPool: the norm over all axes but two."""
    shape = shape_of(inputs)
    axes = tuple(range(2, len(shape)))
    return norm_of(
        inputs, lambda values: values.sum(axes, keepdims=True), prod(shape[2:]), _order(node)
    )


def _order(node: Node) -> float:
    if (p := node.get("p", 2)) < 1:
        raise Unsupported(f"takes a norm of order {p}")
    return float(p)


RULES: Final[dict[str, Rule]] = {
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "GlobalAveragePool": global_average_pool,
    "GlobalMaxPool": global_max_pool,
    "LpPool": lp_pool,
    "GlobalLpPool": global_lp_pool,
}
