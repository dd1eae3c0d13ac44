"""Maxima and minima: the values selected, and where they are.

What errors may make the maximum is what comes within `REACH` of its deviations. A value so selected
has the largest variance among those; a place that has such a rival cannot be judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from onnx_arbiter.graph import Array, Node
from onnx_arbiter.operators.arguments import data_of, from_front, integers, shape_of
from onnx_arbiter.operators.moves.arrangement import identity
from onnx_arbiter.operators.operation import (
    REACH,
    Exact,
    Operation,
    Rule,
    Unsupported,
    Variance,
    Variances,
    deviation_of,
)
from onnx_arbiter.operators.reductions.totals import axes_of


class _Largest(Operation):
    """y = max over axes, or min; v_out = the largest v that may belong to it; own = none."""

    selects = True

    def __init__(
        self, inputs: Sequence[Array | None], axes: tuple[int, ...], keep: bool, sign: int
    ) -> None:
        self._axes, self._sign = axes, sign
        values = data_of(inputs)
        reduce = np.max if sign > 0 else np.min
        of_none = {} if values.size else {"initial": _of_none(values.dtype, sign)}
        self._kept = np.asarray(reduce(values, axis=axes, keepdims=True, **of_none))
        self._keep = keep
        super().__init__(inputs, [self._shaped(self._kept)])

    def _shaped(self, kept: Array) -> Array:
        return kept if self._keep else kept.squeeze(self._axes)

    def carried(self, variances: Sequence[Variance]) -> Variances:
        if (variance := variances[0]) is None:
            return (None,)
        gap = self._sign * (self._kept - data_of(self.inputs))
        may_win = gap <= REACH * deviation_of(variance)
        possible = np.where(may_win, variance, np.float32(0))
        carried = possible.max(self._axes, keepdims=True, initial=0)
        return (self._shaped(carried),)


def _of_none(dtype: np.dtype[Any], sign: int) -> Any:
    """What is less than every number, or more for a sign of -1: the maximum of no elements."""
    if dtype.kind == "f":
        return -sign * np.inf
    if dtype.kind == "b":
        return sign < 0
    return np.iinfo(dtype).min if sign > 0 else np.iinfo(dtype).max


def reduce_to_largest(
    inputs: Sequence[Array | None], axes: tuple[int, ...], keep: bool, sign: int = 1
) -> Operation:
    """The maximum over axes; the minimum for a sign of -1."""
    return _Largest(inputs, axes, keep, sign)


def _reduced(node: Node, inputs: Sequence[Array | None], sign: int) -> Operation:
    axes, keep = axes_of(node, inputs), bool(node.get("keepdims", 1))
    return reduce_to_largest(inputs, axes, keep, sign) if axes else identity(node, inputs)


def reduce_max(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """ReduceMax: v_out = the largest v among possible maxima."""
    return _reduced(node, inputs, 1)


def reduce_min(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """ReduceMin: v_out = the largest v among possible minima."""
    return _reduced(node, inputs, -1)


class _Place(Exact):
    """Where along an axis the maximum is; undecided if another element may be it."""

    def __init__(
        self, inputs: Sequence[Array | None], axis: int, keep: bool, last: bool, sign: int
    ) -> None:
        values = data_of(inputs)
        self._axis, self._sign = axis, sign
        find = np.argmax if sign > 0 else np.argmin
        turned = np.flip(values, axis) if last else values
        places = find(turned, axis, keepdims=True)
        self._places = values.shape[axis] - 1 - places if last else places
        found = self._places if keep else self._places.squeeze(axis)
        super().__init__(inputs, [np.asarray(found, np.int64)])

    def carried(self, variances: Sequence[Variance]) -> Variances:
        if (variance := variances[0]) is not None:
            values, deviation = data_of(self.inputs), deviation_of(variance)
            largest = np.take_along_axis(values, self._places, self._axis)
            of_largest = np.take_along_axis(deviation, self._places, self._axis)
            reach = REACH * (deviation + of_largest)
            rivals = (self._sign * (largest - values) <= reach) & (reach > 0)
            np.put_along_axis(rivals, self._places, values=False, axis=self._axis)
            self.decides[0] |= bool(rivals.any())
        return (None,)


def _placed(node: Node, inputs: Sequence[Array | None], sign: int) -> Operation:
    [axis] = from_front([node.get("axis", 0)], len(shape_of(inputs)))
    keep, last = bool(node.get("keepdims", 1)), bool(node.get("select_last_index", 0))
    return _Place(inputs, axis, keep, last, sign)


def arg_max(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """ArgMax: exact where the maximum has no rival."""
    return _placed(node, inputs, 1)


def arg_min(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """ArgMin: exact where the minimum has no rival."""
    return _placed(node, inputs, -1)


class _TopK(Operation):
    """The k largest elements in order, and their places.

    v_out is the largest v of an element and those next to it in order, if they may change places.
    """

    selects = True

    def __init__(self, inputs: Sequence[Array | None], k: int, axis: int, node: Node) -> None:
        values = np.moveaxis(data_of(inputs), axis, -1)
        self._axis, self._k = axis, k
        largest = bool(node.get("largest", 1))
        # Equal ones in the order of their places.
        keys = -values.astype(np.result_type(values, np.int8)) if largest else values
        order = np.argsort(keys, axis=-1, kind="stable")
        self._order = order[..., : k + 1]
        self._sorted = np.take_along_axis(values, self._order, -1)
        places = len(node.outputs) > 1 and bool(node.outputs[1])
        self._places = places
        super().__init__(
            inputs,
            [self._first(self._sorted), self._first(self._order).astype(np.int64)],
        )

    def _first(self, ordered: Array) -> Array:
        return np.moveaxis(ordered[..., : self._k], -1, self._axis)

    def carried(self, variances: Sequence[Variance]) -> Variances:
        if (variance := variances[0]) is None:
            return (None, None)
        moved = np.take_along_axis(np.moveaxis(variance, self._axis, -1), self._order, -1)
        deviation = deviation_of(moved)
        reach = REACH * (deviation[..., 1:] + deviation[..., :-1])
        near = (np.abs(np.diff(self._sorted, axis=-1)) <= reach) & (reach > 0)
        if self._places:
            self.decides[1] |= bool(near.any())
        carried = moved.copy()
        for here, other in ((slice(1, None), slice(-1)), (slice(-1), slice(1, None))):
            rival = np.where(near, moved[..., other], np.float32(0))
            carried[..., here] = np.maximum(carried[..., here], rival)
        return (self._first(carried), None)


def top_k(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """TopK: a selection of values; their places are exact where the order is firm."""
    if not node.get("sorted", 1):
        raise Unsupported("leaves the order of its outputs open")
    stated = integers(node, inputs, 1, "k")
    if stated is None:
        raise Unsupported("does not say how many")
    [axis] = from_front([node.get("axis", -1)], len(shape_of(inputs)))
    return _TopK(inputs, stated[0], axis, node)


def non_max_suppression(node: Node, inputs: Sequence[Array | None]) -> Operation:  # noqa: ARG001
    """NonMaxSuppression: which boxes remain depends on all comparisons before."""
    raise Unsupported("decides which boxes remain")


RULES: Final[dict[str, Rule]] = {
    "ReduceMax": reduce_max,
    "ReduceMin": reduce_min,
    "ArgMax": arg_max,
    "ArgMin": arg_min,
    "TopK": top_k,
    "NonMaxSuppression": non_max_suppression,
}
