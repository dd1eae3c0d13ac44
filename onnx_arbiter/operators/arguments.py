"""What a node is told beside its data: lists and numbers, as attributes or as inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from onnx_arbiter.graph import Array, Node


def data_of(inputs: Sequence[Array | None], index: int = 0) -> Array:
    """An input that must be there; every float type as float64."""
    values = np.asarray(inputs[index])
    # bfloat16 is of kind V
    return values.astype(np.float64, copy=False) if values.dtype.kind in "fV" else values


def given(inputs: Sequence[Array | None], index: int) -> Array | None:
    """An optional input; None where it is left out."""
    return inputs[index] if index < len(inputs) else None


def integers(
    node: Node, inputs: Sequence[Array | None], index: int, attribute: str
) -> tuple[int, ...] | None:
    """A list of integers that newer versions read as an input, older ones as an attribute."""
    values = given(inputs, index)
    if values is None:
        stated = node.get(attribute)
        return None if stated is None else tuple(int(v) for v in np.atleast_1d(stated))
    return tuple(int(v) for v in values.reshape(-1))


def number(inputs: Sequence[Array | None], index: int, default: Any) -> Any:
    """An optional input of one element."""
    values = given(inputs, index)
    return default if values is None or not values.size else values.reshape(-1)[0].item()


def from_front(axes: Sequence[int], rank: int) -> tuple[int, ...]:
    """Axes counted from the front; negative ones count from the back."""
    return tuple(axis + rank if axis < 0 else axis for axis in axes)


def shape_of(inputs: Sequence[Array | None], index: int = 0) -> tuple[int, ...]:
    """The shape of an input that must be there."""
    return np.asarray(inputs[index]).shape
