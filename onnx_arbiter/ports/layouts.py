"""Channels first or last: (N, C, H, W) in PyTorch, (N, H, W, C) in Keras."""

from __future__ import annotations

import numpy as np

from onnx_arbiter.graph import Array


def moved(values: Array, *, from_last: bool, to_last: bool) -> Array:
    """An array's channels moved from where one layout has them to where another has them."""
    if from_last == to_last:
        return values
    return np.moveaxis(values, -1, 1) if from_last else np.moveaxis(values, 1, -1)


def fitted(
    values: Array, shape: tuple[int, ...], from_last: bool | None, to_last: bool
) -> Array | None:
    """An array in the layout of another of the same values; None if it is of no such shape.

    Where the shape leaves both possible, arrays of four axes and more are of their frameworks'
    layouts, and those of three, sequences, are the same in all. Axes of size 1 come and go: one
    framework's global average is (N, C), another's (N, C, 1, 1).

    Args:
        values: the array.
        shape: that it is to have.
        from_last: whether its last axis is that of channels; None if that is unknown.
        to_last: the same of the shape.
    """
    if values.ndim < 3:
        ways = [values]
    else:
        other = moved(values, from_last=not to_last, to_last=to_last)
        changes = from_last is not None and from_last != to_last and values.ndim > 3
        ways = [other, values] if changes else [values, other]
    for way in ways:
        if way.shape == shape:
            return np.ascontiguousarray(way)
    for way in ways:
        if _without_ones(way.shape) == _without_ones(shape):
            return np.ascontiguousarray(way).reshape(shape)
    return None


def _without_ones(shape: tuple[int, ...]) -> list[int]:
    return [size for size in shape if size != 1]
