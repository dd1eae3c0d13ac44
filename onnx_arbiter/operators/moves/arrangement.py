"""Moves of whole tensors: every output element is an input element, and rounds nothing.

v_out = the same move of v_in,    own = none
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from types import MappingProxyType
from typing import Final

import numpy as np

from onnx_arbiter.graph import Array, Node
from onnx_arbiter.operators.arguments import (
    data_of,
    from_front,
    given,
    integers,
    number,
    shape_of,
)
from onnx_arbiter.operators.operation import Move, Operation, Rule, Unsupported, Variance, Variances

_PADDING: Final = MappingProxyType(
    {"constant": "constant", "reflect": "reflect", "edge": "edge", "wrap": "wrap"}
)


def moved(
    inputs: Sequence[Array | None], move: Callable[[Array], Array], *, rearranges: bool = False
) -> Move:
    """A move of the first input; the others say how."""
    values = np.asarray(inputs[0])
    # What is moved may be far smaller than a constant that it is taken from.
    result = data_of([move(values)])
    return Move(inputs, [result], lambda part: [move(part)], rearranges=rearranges)


def identity(node: Node, inputs: Sequence[Array | None]) -> Operation:  # noqa: ARG001
    """Identity: y = x"""
    return moved(inputs, lambda values: values, rearranges=True)


class _Dropout(Operation):
    """Inference: y = x, and a mask that is true everywhere."""

    selects = True

    def carried(self, variances: Sequence[Variance]) -> Variances:
        return (variances[0], None)


def dropout(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Dropout in inference: y = x; the mask is of the data's type before version 10."""
    if number(inputs, 2, False) and number(inputs, 1, 0.5):
        raise Unsupported("draws random numbers in training mode")
    values = data_of(inputs)
    mask = np.ones(values.shape, np.bool_ if node.version >= 10 else values.dtype)
    return _Dropout(inputs, [values, mask])


def reshape(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Reshape: 0 keeps a size unless ``allowzero``, -1 is what is left."""
    wanted = list(integers(node, inputs, 1, "shape") or ())
    sizes = shape_of(inputs)
    if not node.get("allowzero", 0):
        wanted = [sizes[i] if size == 0 else size for i, size in enumerate(wanted)]
    return moved(inputs, lambda values: values.reshape(wanted), rearranges=True)


def flatten(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Flatten: two axes, of what is before ``axis`` and what is after."""
    sizes = shape_of(inputs)
    axis = node.get("axis", 1)
    rows = int(np.prod(sizes[: axis + len(sizes) if axis < 0 else axis], dtype=np.int64))
    columns = int(np.prod(sizes, dtype=np.int64)) // rows if rows else 0
    return moved(inputs, lambda values: values.reshape(rows, columns), rearranges=True)


def transpose(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Transpose by ``perm``, or the axes reversed."""
    order = node.get("perm")
    return moved(inputs, lambda values: values.transpose(order), rearranges=True)


def squeeze(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Squeeze: drop the axes given, or all of size 1."""
    axes = integers(node, inputs, 1, "axes") or None
    return moved(inputs, lambda values: values.squeeze(axes), rearranges=True)


def unsqueeze(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Unsqueeze: axes of size 1 at places of the result."""
    axes = integers(node, inputs, 1, "axes") or ()
    return moved(inputs, lambda values: np.expand_dims(values, axes), rearranges=True)


def concat(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Concat along ``axis``, which is 1 by default in version 1."""
    axis = node.get("axis", 1)
    parts = [data_of(inputs, index) for index in range(len(inputs))]
    return Move.apply(parts, lambda *parts: [np.concatenate(parts, axis)], moved=range(len(parts)))


def split(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Split into parts of given sizes, or equal ones of which the last may be smaller."""
    values, axis = data_of(inputs), node.get("axis", 0)
    sizes = integers(node, inputs, 1, "split")
    size = values.shape[axis]
    if sizes is None:
        parts = node.get("num_outputs", len(node.outputs))
        each = -(-size // parts)
        sizes = (*(each,) * (parts - 1), size - each * (parts - 1))
    ends = list(accumulate(sizes))[:-1]
    return Move.apply(
        [values, *inputs[1:]], lambda values: list(np.split(values, ends, axis)), moved=(0,)
    )


def slice_(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Slice: starts, ends, axes and steps as inputs; attributes without steps before version 10."""
    starts = integers(node, inputs, 1, "starts") or ()
    ends = integers(node, inputs, 2, "ends") or ()
    axes = integers(node, inputs, 3, "axes")
    axes = tuple(range(len(starts))) if axes is None else axes
    steps = integers(node, inputs, 4, "steps") or (1,) * len(starts)
    cuts = [slice(None)] * len(shape_of(inputs))
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        cuts[axis] = slice(start, end, step)
    return moved(inputs, lambda values: values[tuple(cuts)])


def pad(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Pad with a constant, or with the tensor's own elements; negative pads crop."""
    values, mode = data_of(inputs), node.get("mode", "constant")
    pads = integers(node, inputs, 1, "pads") or node.get("paddings", ())
    stated = integers(node, inputs, 3, "axes")
    axes = from_front(range(values.ndim) if stated is None else stated, values.ndim)
    widths = [(0, 0)] * values.ndim
    for place, axis in enumerate(axes):
        widths[axis] = (pads[place], pads[place + len(axes)])
    kept = tuple(
        slice(max(0, -before), size - max(0, -after))
        for size, (before, after) in zip(values.shape, widths, strict=True)
    )
    beside = [(max(0, before), max(0, after)) for before, after in widths]
    if mode not in _PADDING:
        raise Unsupported(f"pads in a mode {mode!r}")
    if mode != "constant":
        return Move.apply(
            [values, *inputs[1:]],
            lambda values: [np.pad(values[kept], beside, _PADDING[mode])],  # type: ignore[call-overload]
        )

    def with_constant(values: Array, constant: Array) -> list[Array]:
        value = constant.reshape(-1)[0] if constant.size else 0
        return [np.pad(values[kept], beside, constant_values=value)]

    if given(inputs, 2) is None:
        fill = np.asarray(node.get("value", 0)).astype(values.dtype)
        read, none = [values, *inputs[1:]], np.zeros((), np.float32)
        # An attribute has no error.
        return Move(read, with_constant(values, fill), lambda part: with_constant(part, none))
    return Move.apply([values, inputs[1], data_of(inputs, 2), *inputs[3:]], with_constant, (0, 2))


def expand(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Expand: broadcast to a shape, of which sizes of 1 keep the input's."""
    shape = np.broadcast_shapes(shape_of(inputs), integers(node, inputs, 1, "shape") or ())
    return moved(inputs, lambda values: np.broadcast_to(values, shape))


def tile(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Tile: repeat the tensor along every axis."""
    if node.version < 6:
        raise Unsupported("tiles along one axis, as before version 6")
    repeats = integers(node, inputs, 1, "repeats") or ()
    return moved(inputs, lambda values: np.tile(values, repeats))


def depth_to_space(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """DepthToSpace: channels (b, b, C) (DCR) or (C, b, b) (CRD) to blocks of b x b."""
    block, columns_first = node.get("blocksize"), node.get("mode", "DCR") == "CRD"
    batch, channels, height, width = shape_of(inputs)
    less = channels // block**2
    split_sizes = (less, block, block) if columns_first else (block, block, less)
    # to (N, C, H, b, W, b)
    order = (0, 1, 4, 2, 5, 3) if columns_first else (0, 3, 4, 1, 5, 2)

    def move(values: Array) -> Array:
        blocks = values.reshape(batch, *split_sizes, height, width).transpose(order)
        return blocks.reshape(batch, less, height * block, width * block)

    return moved(inputs, move, rearranges=True)


def space_to_depth(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """SpaceToDepth: blocks of b x b to channels (b, b, C) (DCR) or (C, b, b) (CRD)."""
    block, columns_first = node.get("blocksize"), node.get("mode", "DCR") == "CRD"
    # from (N, C, H, b, W, b)
    order = (0, 1, 3, 5, 2, 4) if columns_first else (0, 3, 5, 1, 2, 4)
    batch, channels, height, width = shape_of(inputs)

    def move(values: Array) -> Array:
        blocks = values.reshape(batch, channels, height // block, block, width // block, block)
        return blocks.transpose(order).reshape(batch, -1, height // block, width // block)

    return moved(inputs, move, rearranges=True)


def trilu(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Trilu: the upper or lower triangle, zeros elsewhere."""
    diagonal = number(inputs, 1, 0)
    cut = np.triu if node.get("upper", 1) else np.tril
    return moved(inputs, lambda values: cut(values, diagonal))


RULES: Final[dict[str, Rule]] = {
    "Identity": identity,
    "Dropout": dropout,
    "Reshape": reshape,
    "Flatten": flatten,
    "Transpose": transpose,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Concat": concat,
    "Split": split,
    "Slice": slice_,
    "Pad": pad,
    "Expand": expand,
    "Tile": tile,
    "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth,
    "Trilu": trilu,
}
