"""What the nodes that only move values make of the images: the same values, other axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final

import onnx_ir as ir

from vgg16_parity.onnx_check.symbolic import (
    Axes,
    Axis,
    NodeContext,
    SymbolicTensor,
    UnsupportedNode,
    words,
)


def _transpose(at: NodeContext) -> SymbolicTensor:
    x = at.x
    order = at.integers("perm") or tuple(reversed(range(len(x.axes))))
    return replace(x, axes=tuple(x.axes[i] for i in order))


def _reshape(at: NodeContext) -> SymbolicTensor:
    x = at.x
    wanted = at.constant(1)
    sizes = [int(size) for size in wanted.array.reshape(-1)]
    if not at.integer("allowzero", 0):
        sizes = [size or x.shape[i] for i, size in enumerate(sizes)]
    if -1 in sizes:
        known = math.prod(size for size in sizes if size != -1)
        sizes[sizes.index(-1)] = math.prod(x.shape) // max(known, 1)
    return replace(x, axes=_regroup(x, sizes))


def _regroup(x: SymbolicTensor, sizes: Sequence[int]) -> Axes:
    """The same names in the same order, as axes of these sizes."""
    names = [name for axis in x.axes for name in axis]
    axes: list[Axis] = []
    for size in sizes:
        count = 0
        while count < len(names) and x.size((*names[:count],)) < size:
            count += 1
        if size == 1 and names and x.sizes[names[0]] == 1:
            count = 1  # the name that has this size, rather than none
        axes.append((*names[:count],))
        del names[:count]
    if names or [x.size(axis) for axis in axes] != list(sizes):
        raise UnsupportedNode(f"cuts across the axes of {words(x.axes)}: {tuple(sizes)}")
    return tuple(axes)


def _flatten(at: NodeContext) -> SymbolicTensor:
    x = at.x
    axis = at.integer("axis", 1)
    first, last = x.axes[:axis], x.axes[axis:]
    return replace(x, axes=(sum(first, ()), sum(last, ())))


def _squeeze(at: NodeContext) -> SymbolicTensor:
    x = at.x
    chosen = _axes(at, len(x.axes))
    if not chosen:
        chosen = {i for i, size in enumerate(x.shape) if size == 1}
    if any(x.shape[i] != 1 for i in chosen):
        raise UnsupportedNode(f"removes axes of {words(x.axes)}")
    return replace(x, axes=tuple(axis for i, axis in enumerate(x.axes) if i not in chosen))


def _unsqueeze(at: NodeContext) -> SymbolicTensor:
    before = list(at.x.axes)
    count = len(before) + len(_axes(at, 0))
    chosen = _axes(at, count)
    return replace(at.x, axes=tuple(() if i in chosen else before.pop(0) for i in range(count)))


def _axes(at: NodeContext, count: int) -> set[int]:
    """The axes that a node names, from the front; an input since opset 13, an attribute before."""
    given = at.optional(1)
    numbers = given.array.reshape(-1).tolist() if given is not None else at.integers("axes")
    return {axis % count if count else axis for axis in numbers}


def _keep(at: NodeContext) -> SymbolicTensor:
    return at.x


def _drop_out(at: NodeContext) -> SymbolicTensor:
    training = at.optional(2)
    return at.other() if training is not None and training.array.any() else at.x


def _cast(at: NodeContext) -> SymbolicTensor:
    x = at.x
    wanted = ir.DataType(at.integer("to", 0))
    if wanted == x.dtype:
        return x
    if not x.steps and wanted == ir.DataType.FLOAT:
        return replace(x, dtype=wanted)
    return replace(at.other(), dtype=wanted)


def _gather(at: NodeContext) -> SymbolicTensor:
    """Another order of the channels, before the first layer."""
    x = at.x
    order = at.constant(1)
    axis = x.axes[at.integer("axis", 0)]
    if x.steps or axis != ("C",) or sorted(order.array.reshape(-1) % 3) != [0, 1, 2]:
        raise UnsupportedNode("picks some of the values")
    return replace(x, pixels=x.pixels[:, order.array.reshape(-1)])


def _resize(at: NodeContext) -> SymbolicTensor:
    """Pictures have the size already that the recipe resizes them to: here it has to keep it.

    How another size would be filtered is said by the attributes, and not looked at further.
    """
    x = at.x
    kept = [x.shape[i] for i in at.integers("axes")] or list(x.shape)
    if at.constant(3).array.tolist() != kept:
        raise UnsupportedNode("resizes to another size than the recipe does")
    if at.node.attributes.get_string("mode", "nearest") != "linear":
        raise UnsupportedNode("does not resize linearly, as the recipe does")
    if not at.integer("antialias", 0):
        raise UnsupportedNode("resizes without antialiasing, unlike the recipe")
    return x


def _slice(at: NodeContext) -> SymbolicTensor:
    """A crop of the centre, before the first layer."""
    x = at.x
    starts, ends, axes = (at.constant(i).array.reshape(-1).tolist() for i in (1, 2, 3))
    steps = at.optional(4)
    sizes = dict(x.sizes)
    if x.steps or (steps is not None and (steps.array != 1).any()):
        raise UnsupportedNode("picks some of the values")
    for start, end, axis in zip(starts, ends, axes, strict=True):
        if x.axes[axis] not in (("H",), ("W",)):
            raise UnsupportedNode("picks some of the values")
        (name,) = x.axes[axis]
        spare = sizes[name] - (end - start)
        if start != round(spare / 2):
            raise UnsupportedNode("crops elsewhere than in the centre")
        sizes[name] = end - start
    return replace(x, sizes=sizes)


MOVES: Final[Mapping[str, Callable[[NodeContext], SymbolicTensor]]] = MappingProxyType(
    {
        "Cast": _cast,
        "Dropout": _drop_out,
        "Flatten": _flatten,
        "Gather": _gather,
        "Identity": _keep,
        "Reshape": _reshape,
        "Resize": _resize,
        "Slice": _slice,
        "Squeeze": _squeeze,
        "Transpose": _transpose,
        "Unsqueeze": _unsqueeze,
    }
)
