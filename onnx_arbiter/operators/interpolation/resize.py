"""Resize and Upsample: nearest elements, or sums with the weights of an interpolation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import floor
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.graph import Array, Node
from onnx_arbiter.operators.arguments import data_of, from_front, given, integers, shape_of
from onnx_arbiter.operators.interpolation.coordinates import Axis
from onnx_arbiter.operators.moves.arrangement import moved
from onnx_arbiter.operators.operation import (
    REACH,
    UNIT,
    Operation,
    Rule,
    Unsupported,
    squares_of,
)
from onnx_arbiter.operators.reductions.weighted import WeightedSum

# Of coordinates that are multiples of 1 / 128, float32 has even the cubes.
_FEW_BITS: Final = 64


@dataclass(frozen=True)
class Taps:
    """What each element of a resized axis is a sum of; all arrays are (elements, taps).

    Attributes:
        axis: of the tensor.
        indices: of the elements read; each counts only once in a sum.
        weights: their weights.
        roundings: the variance of a weight's own rounding, in u²/3.
        slopes: the indices, and how much their weights change with the coordinate, where rounding
            may put it: to the left and to the right.
        shifts: the variance of the coordinate's rounding, in u²/3; (elements,)
    """

    axis: int
    indices: Array
    weights: Array
    roundings: Array
    slopes: tuple[tuple[Array, Array], ...]
    shifts: Array

    def weigh(self, values: Array, weights: Array, indices: Array | None = None) -> Array:
        """The sums of elements times weights along the axis, in the elements' type."""
        read = self.indices if indices is None else indices
        total: Array | None = None
        for places, factors in zip(read.T, weights.T, strict=True):
            part = np.take(values, places, self.axis)
            part *= self.along(factors.astype(values.dtype), values.ndim)
            total = part if total is None else total + part
        assert total is not None
        return total

    def along(self, values: Array, rank: int) -> Array:
        """One value for each element of the axis, to broadcast to a tensor."""
        return values.reshape([-1 if axis == self.axis else 1 for axis in range(rank)])


def _taps(
    axis: int, found: Axis, weights_at: Callable[[NDArray[np.float64]], tuple[Array, ...]]
) -> Taps:
    """Taps of weights at coordinates: their indices, weights, slopes and roundings."""
    indices, weights, _, roundings = weights_at(found.coordinates)
    if found.is_exact and found.scale <= _FEW_BITS:
        roundings = np.zeros_like(roundings)
    reach = REACH * UNIT * np.sqrt(found.shifts)
    sides = (weights_at(found.coordinates + side * reach) for side in (-1, 1))
    slopes = tuple((places, slopes) for places, _, slopes, _ in sides)
    return Taps(axis, indices, weights, roundings, slopes, found.shifts)


def _linear(axis: int, found: Axis) -> Taps:
    """Weights 1 - d and d of the two neighbours at the distance d; the end's beyond an end."""

    def weights_at(coordinates: NDArray[np.float64]) -> tuple[Array, ...]:
        places = np.clip(coordinates, 0, found.size - 1)
        left = np.minimum(np.floor(places).astype(np.int64), max(0, found.size - 2))
        right = np.minimum(left + 1, found.size - 1)
        weight = np.where(right > left, places - left, 0.0)
        slope = ((places == coordinates) & (right > left)).astype(np.float64)
        weights = np.stack([1 - weight, weight], -1)
        return (
            np.stack([left, right], -1),
            weights,
            np.stack([-slope, slope], -1),
            np.square(weights),
        )

    return _taps(axis, found, weights_at)


def _cubic(axis: int, found: Axis, factor: float, exclude_outside: bool) -> Taps:
    """Weights of the four neighbours; beyond an end, the end's element is read again."""

    def weights_at(coordinates: NDArray[np.float64]) -> tuple[Array, ...]:
        first = np.floor(coordinates).astype(np.int64)
        places = first[:, None] + np.arange(-1, 3)
        parts = list(_polynomials(coordinates[:, None] - places, factor))
        if exclude_outside:
            inside = (places >= 0) & (places < found.size)
            whole = (parts[0] * inside).sum(axis=1, keepdims=True)
            parts = [part * inside / whole for part in parts]
        indices = np.clip(places, 0, found.size - 1)
        for column, before in ((c, b) for c in range(1, 4) for b in range(c)):
            again = indices[:, before] == indices[:, column]
            for values in parts:
                values[:, before] += np.where(again, values[:, column], 0)
                values[:, column] = np.where(again, 0, values[:, column])
        return (indices, *parts)

    return _taps(axis, found, weights_at)


def _polynomials(away: Array, a: float) -> tuple[Array, Array, Array]:
    """Weights at distances, their slopes, and the variance of their rounding by Horner's rule."""
    d = np.abs(away)
    near = d <= 1
    q = (a + 2) * d - (a + 3)
    p, r = a * (d - 5), a * (d**2 - 5 * d + 8)
    weights = np.where(near, q * d**2 + 1, r * d - 4 * a)
    slopes = np.sign(away) * np.where(
        near, 3 * (a + 2) * d**2 - 2 * (a + 3) * d, a * (3 * d**2 - 10 * d + 8)
    )
    inner = (((a + 2) * d) ** 2 + 2 * q**2) * d**4 + (q * d**2) ** 2
    outer = ((a * d) ** 2 + p**2) * d**4 + ((p * d) ** 2 + r**2) * d**2 + (r * d) ** 2
    return weights, slopes, np.where(near, inner, outer) + weights**2


class _Interpolation(WeightedSum):
    """y = Σ wᵢ xᵢ, whose weights are products of one weight for each axis.

    Coordinates c are rounded with variances d², weights of an axis with variances r, with S and K
    as for other sums:

        own = S (1 + K/6) + y² K/3 + Σ over axes of d² (∂y/∂c)² + Σ r x²

    where the squares of the other axes' weights multiply r x².
    """

    def __init__(self, inputs: Sequence[Array | None], taps: Sequence[Taps]) -> None:
        self._taps = taps

        def weigh(values: Array, squared: bool) -> Array:
            for tap in taps:
                values = tap.weigh(values, tap.weights**2 if squared else tap.weights)
            return values

        length: Array = np.ones((), np.float32)
        for tap in taps:
            counts = (tap.weights != 0).sum(axis=1)
            length = length * tap.along(counts, len(shape_of(inputs)))
        super().__init__(inputs, weigh, length, of_weights=self._rounded_weights)

    def _rounded_weights(self) -> Array:
        values = data_of(self.inputs)
        squares, total = squares_of(values), np.zeros(self.outputs[0].shape, np.float32)
        for varied in self._taps:
            others = [tap for tap in self._taps if tap is not varied]
            spread, change = squares, values
            for tap in others:
                spread = tap.weigh(spread, tap.weights**2)
            total += varied.weigh(spread, varied.roundings)
            if not varied.shifts.any():
                continue
            for tap in others:
                change = tap.weigh(change, tap.weights)
            sides = [squares_of(varied.weigh(change, w, i)) for i, w in varied.slopes]
            total += varied.along(varied.shifts, values.ndim) * np.maximum(*sides)
        return total


def _resized(
    node: Node, inputs: Sequence[Array | None], axes: dict[int, Axis], nearest: str
) -> Operation:
    """Resize axes, of which those that keep their size and place are left out."""
    mode = node.get("mode", "nearest")
    if mode == "nearest":
        kept = {axis: found.nearest(nearest) for axis, found in axes.items()}

        def move(values: Array) -> Array:
            for axis, indices in kept.items():
                values = np.take(values, indices, axis)
            return values

        return moved(inputs, move)
    if mode == "linear":
        taps = [_linear(axis, found) for axis, found in axes.items()]
    elif mode == "cubic":
        factor, outside = node.get("cubic_coeff_a", -0.75), bool(node.get("exclude_outside", 0))
        taps = [_cubic(axis, found, factor, outside) for axis, found in axes.items()]
    else:
        raise Unsupported(f"interpolates in a mode {mode!r}")
    return _Interpolation(inputs, taps) if taps else moved(inputs, lambda values: values)


def resize(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Resize: nearest (a move), linear or cubic (sums with fixed weights)."""
    transform = node.get("coordinate_transformation_mode", "half_pixel")
    nearest = node.get("nearest_mode", "round_prefer_floor")
    scales = given(inputs, 2)
    if node.version < 11:
        transform, nearest, scales = "asymmetric", "floor", given(inputs, 1)
    if transform == "tf_crop_and_resize":
        raise Unsupported("crops while it resizes")
    shape = shape_of(inputs)
    axes = from_front(node.get("axes", tuple(range(len(shape)))), len(shape))
    sizes = integers(node, inputs, 3, "") if node.version >= 11 else None
    wanted: list[tuple[int, float]]
    if sizes:
        policy = node.get("keep_aspect_ratio_policy", "stretch")
        wanted = _with_sizes([shape[axis] for axis in axes], sizes, policy)
    else:
        given_scales = np.asarray(scales, np.float64).reshape(-1)
        wanted = [
            (floor(shape[axis] * scale), float(scale))
            for axis, scale in zip(axes, given_scales, strict=True)
        ]
    if any(scale < 1 for _, scale in wanted):
        if node.get("antialias", 0):
            raise Unsupported("smooths what it makes smaller")
        if node.version < 11 and node.get("mode", "nearest") == "nearest":
            raise Unsupported("makes maps smaller by nearest elements, as before version 11")
    found = {
        axis: Axis(transform, shape[axis], size, scale)
        for axis, (size, scale) in zip(axes, wanted, strict=True)
        if scale != 1
    }
    return _resized(node, inputs, found, nearest)


def _with_sizes(
    sizes: Sequence[int], wanted: Sequence[int], policy: str
) -> list[tuple[int, float]]:
    """Each axis's new size and scale."""
    scales = [new / old for new, old in zip(wanted, sizes, strict=True)]
    if policy == "stretch":
        return list(zip(wanted, scales, strict=True))
    scale = min(scales) if policy == "not_larger" else max(scales)
    return [(floor(scale * size + 0.5), scale) for size in sizes]


def upsample(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Upsample, the predecessor of Resize: coordinates are divided by the scales."""
    stated: Any = given(inputs, 1) if node.version >= 9 else node.get("scales")
    if stated is None:
        raise Unsupported("has no scales")
    found = {
        axis: Axis("asymmetric", size, floor(size * scale), float(scale))
        for axis, (size, scale) in enumerate(
            zip(shape_of(inputs), np.asarray(stated, np.float64), strict=True)
        )
        if scale != 1
    }
    return _resized(node, inputs, found, "floor")


RULES: Final[dict[str, Rule]] = {"Resize": resize, "Upsample": upsample}
