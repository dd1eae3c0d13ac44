"""The images on their way through a graph, described instead of computed.

A description has an axis for each of the tensor's; an axis is a tuple of names, N images, C
channels or features, H height, W width: flattening makes (C, H, W) one axis, an axis of size 1
that was only put in has none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from export.load import printable

Axis: TypeAlias = tuple[str, ...]
Axes: TypeAlias = tuple[Axis, ...]

MAPS: Final[Axes] = (("N",), ("C",), ("H",), ("W",))
WEIGHTED: Final = ("convolution", "dense layer")


@dataclass(frozen=True)
class Constant:
    """An array that does not depend on the images, and what the file calls it."""

    array: NDArray[Any]
    name: str


@dataclass(frozen=True)
class Step:
    """Something that the graph computes, data movement aside.

    Attributes:
        kind: ``convolution``, ``dense layer``, ``ReLU``, ``max pooling``, ``average pooling``,
            ``softmax``, or the operator's own name where the network has none like it.
        node: its operator and its name.
        weight: (out, in, kH, kW), or (out, in) of a dense layer.
        bias: (out,).
        order: the names in the axis that a dense layer reads: (C, H, W) or (H, W, C) for fc1.
        settings: ``strides``, ``pads`` and their like, for height and width.
    """

    kind: str
    node: str
    weight: Constant | None = None
    bias: Constant | None = None
    order: Axis = ()
    settings: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class SymbolicTensor:
    """The images on their way through the graph.

    Attributes:
        axes: what each axis of the tensor is.
        sizes: name -> size.
        dtype: of the values.
        pixels: what has become of pixels of known values, (256, 3), before the first step.
        steps: what has been computed on the way.
    """

    axes: Axes
    sizes: Mapping[str, int]
    dtype: ir.DataType
    pixels: NDArray[np.float32]
    steps: tuple[Step, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's shape."""
        return tuple(self.size(axis) for axis in self.axes)

    def size(self, axis: Axis) -> int:
        """How many values lie along an axis."""
        return math.prod(self.sizes[name] for name in axis)

    def then(self, step: Step, **changes: Any) -> SymbolicTensor:
        """The images after one more step."""
        return replace(self, steps=(*self.steps, step), **changes)


@dataclass(frozen=True)
class Untraceable:
    """The images after a node that could not be followed: why, and the steps before it."""

    problem: str
    steps: tuple[Step, ...] = ()


Value: TypeAlias = SymbolicTensor | Constant | Untraceable
Inputs: TypeAlias = Sequence[Value | None]


class UnsupportedNode(Exception):
    """A node does something that none of the network's layers does."""


def label(node: ir.Node) -> str:
    """What reports call a node."""
    operator = node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"
    return printable(f"{operator} {node.name or node.outputs[0].name}")


@dataclass(frozen=True)
class NodeContext:
    """A node that the images arrive at.

    Attributes:
        node: the node.
        x: the images.
        inputs: all of the node's inputs, the images among them.
        opset: of the model.
    """

    node: ir.Node
    x: SymbolicTensor
    inputs: Inputs
    opset: int

    @property
    def label(self) -> str:
        """What reports call the node."""
        return label(self.node)

    def constant(self, index: int) -> Constant:
        """An input that has to be a constant. Raises ``UnsupportedNode`` for another or none."""
        found = self.optional(index)
        if found is None:
            raise UnsupportedNode("lacks an input")
        return found

    def optional(self, index: int) -> Constant | None:
        """The same, for one that may be missing."""
        value = self.inputs[index] if index < len(self.inputs) else None
        if value is None or isinstance(value, Constant):
            return value
        raise UnsupportedNode("has weights or sizes that are computed from the images")

    def integers(self, name: str) -> tuple[int, ...]:
        """An attribute of several numbers; none where it is not given."""
        return tuple(self.node.attributes.get_ints(name, ()) or ())

    def integer(self, name: str, default: int) -> int:
        """An attribute of one number."""
        return int(self.node.attributes.get_int(name, default) or 0)

    def other(self) -> SymbolicTensor:
        """The images after a node that the network has none like, taken to keep the shape."""
        return self.x.then(Step(self.label.partition(" ")[0], self.label))


def words(axes: Sequence[Axis]) -> str:
    """Axes as reports write them."""
    return f"({', '.join('·'.join(axis) or '1' for axis in axes)})"
