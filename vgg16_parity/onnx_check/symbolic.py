"""The images on their way through a graph, and the nodes that they meet.

Behind the first layer, positions take the place of values: transposing, reshaping and flattening a
tensor of positions shows where each value goes, however an exporter arranges the moves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final, TypeAlias

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from onnx_arbiter.models.onnx_file import printable
from vgg16_spec.architecture import Shape

MAPS: Final = ("N", "C", "H", "W")
Sizes: TypeAlias = dict[str, tuple[int, ...]]

WEIGHTED: Final = ("convolution", "dense layer")
# Zeros around maps, a step of its own only until a convolution reads them.
PADDING: Final = "padding"
# ONNX's operators, and ONNX Runtime's for types that ONNX's did not always have.
QUANTIZE: Final = ("QuantizeLinear", "com.microsoft.QuantizeLinear")
DEQUANTIZE: Final = ("DequantizeLinear", "com.microsoft.DequantizeLinear")
# How the note of a node begins that makes the values have fewer bits.
ROUNDS: Final = "rounds to"
# Ten times as many as two images have in VGG16's largest maps: 256 MB.
_MOST_POSITIONS: Final = 1 << 26


class Untraceable(Exception):
    """Why a value cannot be followed, and the steps before it."""

    def __init__(self, problem: str, steps: tuple[Step, ...] = ()) -> None:
        super().__init__(problem)
        self.steps = steps


class FewerBits(Untraceable):
    """Why a value cannot be followed that is computed with fewer bits than the network's."""


@dataclass(frozen=True)
class Constant:
    """An array that does not depend on the images, and its name in the file."""

    array: NDArray[Any]
    name: str


@dataclass(frozen=True)
class Step:
    """An operation of the graph that is not a move.

    Attributes:
        kind: ``convolution``, ``dense layer``, ``ReLU``, ``max pooling``, ``average pooling``,
            ``softmax``, or the operator of an operation that VGG lacks.
        node: operator and name of the node.
        weight: (out, in, kH, kW), or (out, in) of a dense layer.
        bias: (out,).
        order: the axes that a dense layer reads as one: ``CHW`` or ``HWC`` for fc1.
        sizes: those that count, by name: ``kernel``, ``strides``, ``inputs``, …
    """

    kind: str
    node: str
    weight: Constant | None = None
    bias: Constant | None = None
    order: str = ""
    sizes: Sizes = field(default_factory=dict)


def with_bias(step: Step) -> Step:
    """A layer whose bias is absent, with one of zeros that has no name in the file."""
    if step.weight is None or step.bias is not None:
        return step
    return replace(step, bias=Constant(np.zeros(len(step.weight.array), np.float32), ""))


@dataclass(frozen=True)
class SymbolicTensor:
    """The images on their way through the graph.

    Attributes:
        array: before the first layer, what the graph has made of test pictures; behind it, each
            value's index into the flattened maps that the last step made.
        maps: the sizes N, C, H, W of these maps; empty before the first layer.
        steps: the operations so far.
        notes: what nodes so far do besides the network's steps: the node, and what it does.
    """

    array: NDArray[Any]
    maps: Shape = ()
    steps: tuple[Step, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()

    @property
    def axes(self) -> tuple[str, ...]:
        """What lies along each axis: nothing along one of size 1, ``CHW`` along a flattened one.

        Raises ``Untraceable`` where no order of N, C, H, W explains the positions.
        """
        if self.array.shape == self.maps and np.array_equal(self.array, arrange(self.maps)):
            return MAPS
        count = self.array.ndim
        lines = [tuple(slice(None) if i == j else 0 for j in range(count)) for i in range(count)]
        found = tuple(_varying(self.array[line], self.maps) for line in lines)
        if not np.array_equal(arrange(self.maps, found), self.array):
            raise Untraceable("reads values in an order that no layer of the network uses")
        return found

    @property
    def keeps_images_apart(self) -> bool:
        """Whether the images, and nothing else, lie along the first axis."""
        return len(self.array) == self.maps[0] and self.axes[0] in ("N", "")

    def then(self, step: Step, maps: Shape = (), axes: tuple[str, ...] = MAPS) -> SymbolicTensor:
        """The images after one more step, which may make new maps, with these axes."""
        array = arrange(maps, axes) if maps else self.array
        return SymbolicTensor(array, maps or self.maps, (*self.steps, step), self.notes)


Value: TypeAlias = SymbolicTensor | Constant | Untraceable


@lru_cache(maxsize=1)  # consecutive layers often have maps of the same sizes
def arrange(maps: Shape, axes: tuple[str, ...] = MAPS) -> NDArray[np.int32]:
    """The positions of whole maps, with these axes. Raises ``Untraceable`` for too many."""
    require_small(maps)
    positions = np.arange(math.prod(maps), dtype=np.int32).reshape(maps)
    positions.flags.writeable = False
    order = [MAPS.index(name) for axis in axes for name in axis]
    rest = [i for i in range(len(maps)) if i not in order]
    shape = [math.prod(maps[MAPS.index(name)] for name in axis) for axis in axes]
    if math.prod(shape) != positions.size:
        return positions  # an axis is not whole
    return positions.transpose(*order, *rest).reshape(shape)


def require_small(maps: Shape) -> None:
    """Raise ``Untraceable`` for maps whose positions take too much memory."""
    if math.prod(maps) > _MOST_POSITIONS:
        raise Untraceable(f"has maps of {' × '.join(map(str, maps))}, too large to follow")


def _varying(line: NDArray[np.int32], maps: Shape) -> str:
    """The coordinates that vary along a line of positions, the slowest first."""
    coordinates = zip(MAPS, np.unravel_index(line, maps), strict=True)
    changed = {name: int(np.argmax(values != values[0])) for name, values in coordinates}
    return "".join(sorted(filter(changed.get, changed), key=lambda n: changed[n], reverse=True))


def words(axes: Sequence[str]) -> str:
    """Axes as reports show them."""
    return f"({', '.join('·'.join(axis) or '1' for axis in axes)})"


@dataclass(frozen=True)
class NodeContext:
    """A node, its inputs (``None`` for an optional one that is not given), the model's opset."""

    node: ir.Node
    inputs: Sequence[Value | None]
    opset: int

    @property
    def operator(self) -> str:
        """The operator, with its domain unless that is ONNX's own."""
        own = self.node.domain in ("", "ai.onnx")
        return self.node.op_type if own else f"{self.node.domain}.{self.node.op_type}"

    @property
    def label(self) -> str:
        """Operator and name, as reports show them."""
        return printable(f"{self.operator} {self.node.name or self.node.outputs[0].name}")

    @property
    def x(self) -> SymbolicTensor:
        """The images among the inputs."""
        return next(value for value in self.inputs if isinstance(value, SymbolicTensor))

    def constant(self, index: int) -> Constant | None:
        """An optional input. Raises ``Untraceable`` where it depends on the images."""
        value = self.inputs[index] if index < len(self.inputs) else None
        if value is None or isinstance(value, Constant):
            return value
        raise Untraceable("has weights or sizes that are computed from the images")

    def required(self, index: int) -> Constant:
        """The same for an input that the operator requires."""
        if (found := self.constant(index)) is None:
            raise Untraceable("lacks an input")
        return found

    def evaluate(self) -> NDArray[Any]:
        """The node's first output, in ONNX's reference evaluator."""
        arrays = {}
        for value, known in zip(self.node.inputs, self.inputs, strict=True):
            if value is not None and isinstance(known, SymbolicTensor | Constant):
                arrays[str(value.name)] = known.array
        try:
            evaluator = ReferenceEvaluator(ir.to_proto(self.node), opsets={"": self.opset})
            with np.errstate(all="ignore"):
                (result,) = evaluator.run(None, arrays)
        except Exception as error:  # whatever a malformed node makes the evaluator raise
            raise Untraceable(f"cannot be computed ({printable(str(error))})") from error
        return np.asarray(result)

    def note(self, what: str) -> SymbolicTensor:
        """The images, with a note of what the node does."""
        return replace(self.x, notes=(*self.x.notes, (self.label, what)))

    def rounded(self, kind: str) -> SymbolicTensor:
        """The images with a note that their values have fewer bits."""
        return self.note(f"{ROUNDS} {kind}, where the network computes in float32")

    def step(self, kind: str = "") -> SymbolicTensor:
        """The images after a step that keeps their axes; by default one that VGG lacks."""
        return self.x.then(Step(kind or self.operator, self.label))


def quantized_type(at: NodeContext) -> np.dtype[Any]:
    """The type that a QuantizeLinear rounds to."""
    if (zero := at.constant(2)) is not None:
        return zero.array.dtype
    return ir.DataType(at.node.attributes.get_int("output_dtype", 0) or ir.DataType.UINT8).numpy()
