"""The images on their way through a graph: positions take the place of values.

Transposing, reshaping and flattening a tensor of positions shows where each value goes, however an
exporter arranges the moves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final, TypeAlias

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from export.load import printable
from vgg16_spec.architecture import Shape

Axis: TypeAlias = tuple[str, ...]
Window: TypeAlias = Mapping[str, tuple[int, ...]]

MAPS: Final[tuple[Axis, ...]] = (("N",), ("C",), ("H",), ("W",))
NAMES: Final = ("N", "C", "H", "W")
# Seven times as many as three images have in VGG16's largest maps: 256 MB.
_MOST_POSITIONS: Final = 1 << 26
WEIGHTED: Final = ("convolution", "dense layer")


class UnsupportedNode(Exception):
    """A node does something that none of the network's layers does."""


@dataclass(frozen=True)
class Constant:
    """An array that does not depend on the images, and its name in the file."""

    array: NDArray[Any]
    name: str


@dataclass(frozen=True)
class Untraceable:
    """A value that could not be followed: why, and the steps before it."""

    problem: str
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True)
class Step:
    """An operation of the graph that is not a move.

    Attributes:
        kind: ``convolution``, ``dense layer``, ``ReLU``, ``max pooling``, ``average pooling``,
            ``softmax``, or the operator of an operation that VGG lacks.
        node: operator and name of the node.
        weight: (out, in, kH, kW), or (out, in) of a dense layer.
        bias: (out,).
        order: the axes that a dense layer reads as one: (C, H, W) or (H, W, C) for fc1.
        window: ``kernel``, ``strides``, ``dilations``, ``pads`` and ``group``.
    """

    kind: str
    node: str
    weight: Constant | None = None
    bias: Constant | None = None
    order: Axis = ()
    window: Window = field(default_factory=dict)


@dataclass(frozen=True)
class SymbolicTensor:
    """The images on their way through the graph.

    Attributes:
        positions: each value's index into the flattened maps that the last step made.
        maps: the sizes N, C, H, W of these maps.
        dtype: of the values.
        pixels: what preprocessing has made of pixels of known values, (256, 3).
        steps: the operations so far.
    """

    positions: NDArray[np.int32]
    maps: Shape
    dtype: ir.DataType
    pixels: NDArray[np.float32]
    steps: tuple[Step, ...] = ()

    @property
    def axes(self) -> tuple[Axis, ...]:
        """What lies along each axis: nothing along one of size 1, (C, H, W) along a flattened one.

        Raises ``UnsupportedNode`` where no order of N, C, H, W explains the positions.
        """
        if self.positions.shape == self.maps and np.array_equal(self.positions, arrange(self.maps)):
            return MAPS
        first = (0,) * self.positions.ndim
        lines = [
            self.positions[(*first[:i], slice(None), *first[i + 1 :])] for i in range(len(first))
        ]
        found = tuple(_axis(line, self.maps) for line in lines)
        if not np.array_equal(arrange(self.maps, found), self.positions):
            raise UnsupportedNode("reads values in an order that no layer of the network uses")
        return found

    def then(self, step: Step, maps: Shape = (), axes: tuple[Axis, ...] = MAPS) -> SymbolicTensor:
        """The images after one more step, which may make new maps, with these axes."""
        positions = arrange(maps, axes) if maps else self.positions
        steps = (*self.steps, step)
        return replace(self, steps=steps, maps=maps or self.maps, positions=positions)

    def move(self, positions: NDArray[np.int32]) -> SymbolicTensor:
        """The images after their values have moved.

        Before the first step the channels may change their order and the centre may be cut out.

        Raises ``UnsupportedNode`` where other values are left out.
        """
        if self.steps:
            if positions.size != self.positions.size:
                raise UnsupportedNode("picks some of the values")
            return replace(self, positions=positions)
        n, c, h, w = np.unravel_index(positions, self.maps)
        rows, columns = np.unique(h), np.unique(w)
        channels = c.reshape(-1)[np.sort(np.unique(c, return_index=True)[1])]  # as they come
        maps = (self.maps[0], self.maps[1], len(rows), len(columns))
        if positions.size != math.prod(maps) or len(channels) != self.maps[1]:
            raise UnsupportedNode("picks some of the values")
        for kept, whole in ((rows, self.maps[2]), (columns, self.maps[3])):
            if kept[0] != round((whole - len(kept)) / 2):
                raise UnsupportedNode("crops elsewhere than in the centre")
        moved = (n, np.argsort(channels)[c], h - rows[0], w - columns[0])
        positions = np.ravel_multi_index(moved, maps).astype(np.int32)
        return replace(self, positions=positions, maps=maps, pixels=self.pixels[:, channels])


Value: TypeAlias = SymbolicTensor | Constant | Untraceable


def arrange(maps: Shape, axes: tuple[Axis, ...] = MAPS) -> NDArray[np.int32]:
    """The positions of whole maps, with these axes."""
    positions = _positions(maps)
    order = [NAMES.index(name) for axis in axes for name in axis]
    rest = [i for i in range(len(maps)) if i not in order]
    shape = [math.prod(maps[NAMES.index(name)] for name in axis) for axis in axes]
    if math.prod(shape) != positions.size:
        return positions  # an axis is not whole
    return positions.transpose(*order, *rest).reshape(shape)


@lru_cache(maxsize=1)  # consecutive layers often have maps of the same sizes
def _positions(maps: Shape) -> NDArray[np.int32]:
    if math.prod(maps) > _MOST_POSITIONS:
        raise UnsupportedNode(f"has maps of {' × '.join(map(str, maps))}, too large to follow")
    positions = np.arange(math.prod(maps), dtype=np.int32).reshape(maps)
    positions.flags.writeable = False
    return positions


def _axis(line: NDArray[np.int32], maps: Shape) -> Axis:
    """The coordinates that vary along a line of positions, the slowest first."""
    coordinates = zip(NAMES, np.unravel_index(line, maps), strict=True)
    changed = {name: int(np.argmax(values != values[0])) for name, values in coordinates}
    return tuple(sorted(filter(changed.get, changed), key=lambda n: changed[n], reverse=True))


def label(node: ir.Node) -> str:
    """A node's operator and name, as reports show them."""
    operator = node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"
    return printable(f"{operator} {node.name or node.outputs[0].name}")


def words(axes: tuple[Axis, ...]) -> str:
    """Axes as reports show them."""
    return f"({', '.join('·'.join(axis) or '1' for axis in axes)})"
