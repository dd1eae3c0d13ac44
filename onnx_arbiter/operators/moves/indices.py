"""Moves that read where to move: Gather, Scatter and their kin. Indices are exact."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from onnx_arbiter.graph import Array, Node
from onnx_arbiter.numeric_modes import Mode, float32_units
from onnx_arbiter.operators.arguments import data_of, number, shape_of
from onnx_arbiter.operators.moves.arrangement import moved
from onnx_arbiter.operators.operation import (
    Move,
    Operation,
    Rule,
    Unsupported,
    Variance,
    Variances,
    squares_of,
)


def _indices(values: Array | None, size: int) -> Array:
    """Indices from the front; one that a runtime would refuse is refused."""
    found = np.asarray(values).astype(np.int64)
    if found.size and (found.min() < -size or found.max() >= size):
        raise Unsupported(f"an index is outside an axis of {size}")
    return np.where(found < 0, found + size, found)


def gather(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Gather: elements of one axis, in the order of the indices."""
    axis = node.get("axis", 0)
    indices = _indices(inputs[1], shape_of(inputs)[axis])
    return moved(inputs, lambda values: np.take(values, indices, axis))


def gather_elements(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """GatherElements: one index for each element of the result."""
    axis = node.get("axis", 0)
    values = np.asarray(inputs[0])
    indices = _indices(inputs[1], values.shape[axis])
    where = _places(indices, axis, values.ndim)
    return moved(inputs, lambda values: values[where])


def _places(indices: Array, axis: int, rank: int) -> tuple[Array, ...]:
    """The index of each element along every axis, that along ``axis`` being given."""
    places: list[Array] = list(np.indices(indices.shape, sparse=True))
    places[axis + rank if axis < 0 else axis] = indices
    return tuple(places)


def _tuples(indices: Array | None, sizes: Sequence[int], batch: int = 0) -> tuple[Array, ...]:
    """The last axis of the indices as one array for each axis of the data, after the batch's."""
    found = np.asarray(indices)
    depth = found.shape[-1]
    axes = sizes[batch : batch + depth]
    leading: tuple[Array, ...] = np.indices(found.shape[:batch], sparse=True)
    spread = [each.reshape(*each.shape, *[1] * (found.ndim - 1 - batch)) for each in leading]
    return (*spread, *(_indices(found[..., i], size) for i, size in enumerate(axes)))


def gather_nd(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """GatherND: indices of several axes, after ``batch_dims`` common ones."""
    where = _tuples(inputs[1], shape_of(inputs), node.get("batch_dims", 0))
    return moved(inputs, lambda values: values[where])


class _ScatterAdd(Operation):
    """Data to which updates are added at given places.

    With n updates at an element: v_out = v_data + Σ v_updates; own = n S, S the sum of squares
    of what is added up there, and the data's own.
    """

    def __init__(
        self, inputs: Sequence[Array | None], where: tuple[Array, ...], updates: int
    ) -> None:
        self._where, self._updates = where, updates
        data = data_of(inputs)
        super().__init__(inputs, [self._added(data, data_of(inputs, updates))])

    def _added(self, data: Array, updates: Array) -> Array:
        total = np.array(data)
        np.add.at(total, self._where, updates)
        return total

    def carried(self, variances: Sequence[Variance]) -> Variances:
        data, updates = variances[0], variances[self._updates]
        if updates is None:
            return (data,)
        start = np.zeros(self.outputs[0].shape, np.float32) if data is None else data
        return (self._added(start, updates),)

    def own(self, mode: Mode) -> Variances:
        updates = data_of(self.inputs, self._updates)
        ones = np.ones(updates.shape, np.float32)
        times = self._added(np.zeros(self.outputs[0].shape, np.float32), ones)
        squares = self._added(squares_of(data_of(self.inputs)), squares_of(updates))
        return (float32_units(mode.sums) * times * squares,)


def _scattered(node: Node, inputs: Sequence[Array | None], where: tuple[Array, ...]) -> Operation:
    data, updates = data_of(inputs), data_of(inputs, 2)
    reduction = node.get("reduction", "none")
    if reduction == "add":
        return _ScatterAdd(inputs, where, 2)
    if reduction != "none":
        raise Unsupported(f"combines what it scatters by {reduction}")

    def move(data: Array, updates: Array) -> list[Array]:
        result = np.array(data)
        result[where] = updates
        return [result]

    return Move.apply([data, inputs[1], updates], move, moved=(0, 2))


def scatter_elements(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """ScatterElements: one index for each update; they replace elements or are added."""
    axis, shape = node.get("axis", 0), shape_of(inputs)
    indices = _indices(inputs[1], shape[axis])
    return _scattered(node, inputs, _places(indices, axis, len(shape)))


def scatter_nd(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """ScatterND: indices of several axes; slices replace slices or are added."""
    return _scattered(node, inputs, _tuples(inputs[1], shape_of(inputs)))


def reverse_sequence(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """ReverseSequence: the first elements of each sequence reversed, as many as are given."""
    batch, time = node.get("batch_axis", 1), node.get("time_axis", 0)
    sizes = shape_of(inputs)
    lengths = np.asarray(inputs[1])[:, np.newaxis]
    steps = np.arange(sizes[time])[np.newaxis]
    turned = np.where(steps < lengths, lengths - 1 - steps, steps)  # (batch, time)
    shape = [1] * len(sizes)
    shape[batch], shape[time] = turned.shape
    order = (turned if batch < time else turned.T).reshape(shape)
    return moved(inputs, lambda values: np.take_along_axis(values, order, time))


def compress(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Compress: the elements of an axis, or of all in order, where a condition is true."""
    axis, condition = node.get("axis"), np.asarray(inputs[1])
    return moved(inputs, lambda values: np.compress(condition, values, axis))


def one_hot(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """OneHot: the second of two values where the place is the index, the first elsewhere."""
    indices, depth = np.asarray(inputs[0]).astype(np.int64), int(number(inputs, 1, 0))
    axis = node.get("axis", -1)
    indices = np.where(indices < 0, indices + depth, indices)
    axis = axis + indices.ndim + 1 if axis < 0 else axis
    places = np.arange(depth).reshape([-1 if i == axis else 1 for i in range(indices.ndim + 1)])
    hot = np.expand_dims(indices, axis) == places

    def move(values: Array) -> list[Array]:
        return [np.where(hot, values[1], values[0])]

    return Move.apply([*inputs[:2], data_of(inputs, 2)], move, moved=(2,))


RULES: Final[dict[str, Rule]] = {
    "Gather": gather,
    "GatherElements": gather_elements,
    "GatherND": gather_nd,
    "Scatter": scatter_elements,
    "ScatterElements": scatter_elements,
    "ScatterND": scatter_nd,
    "ReverseSequence": reverse_sequence,
    "Compress": compress,
    "OneHot": one_hot,
}
