"""What an ONNX graph computes, as a list of steps, whichever exporter wrote it.

The graph is walked once, with a description of the images instead of their values. Its axes have
names, so that transposing, reshaping and flattening, however an exporter arranges them, are
followed and not guessed at: in the end it is known which axes a convolution works along, and in
which order fc1 reads the maps. What depends on constants alone is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from export.load import printable
from vgg16_parity.onnx_check.layers import LAYERS
from vgg16_parity.onnx_check.moves import MOVES
from vgg16_parity.onnx_check.symbolic import (
    Constant,
    NodeContext,
    SymbolicTensor,
    UnsupportedNode,
    Untraceable,
    Value,
    label,
)
from vgg16_spec.architecture import IMAGE_CHANNELS
from vgg16_spec.images.preprocessing import Layout

# Stands for any number of images: a prime that no size in a graph is by chance.
_ANY_BATCH: Final = 1009
# The pixels that are followed through preprocessing: every value, of each channel in turn another.
LEVELS: Final = (np.arange(256)[:, np.newaxis] + (0, 85, 170)) % 256

# Of constants, computed at any size: they only move values, mostly without copying them.
_MOVES: Final = ("Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
# What exporters compute shapes with. Operands so small that two, broadcast, stay small.
_ARITHMETIC: Final = (
    *("Add", "Concat", "Div", "Gather", "Mul", "ReduceMin", "ReduceProd", "Round", "Slice", "Sub"),
)
_LARGEST_OPERAND: Final = 4096


@dataclass(frozen=True)
class TracedGraph:
    """A graph, followed from its images to its outputs.

    Attributes:
        layout: of the images.
        images: what the file calls them.
        shape: of the images, as far as the file fixes it.
        dtype: of the images.
        output: what the file calls the output that was followed.
        end: that output.
        extra_inputs: inputs besides the images.
    """

    layout: Layout
    images: str
    shape: tuple[int | None, ...]
    dtype: ir.DataType
    output: str
    end: SymbolicTensor | Untraceable
    extra_inputs: tuple[str, ...] = ()

    @property
    def any_size(self) -> bool:
        """Whether the file leaves height and width open."""
        spatial = self.shape[2:] if self.layout == "nchw" else self.shape[1:3]
        return set(spatial) == {None}

    @property
    def batch(self) -> int | None:
        """The number of images that the file is fixed to, if it is."""
        return self.shape[0] if self.shape else None


def follow(model: ir.Model, size: int, resized: int, classes: int) -> TracedGraph:
    """Follow a graph from its images to its output, the last of those with a value for each class.

    Args:
        model: as ``export.load.open_model`` gives it.
        size: height and width in pixels where the file leaves them open.
        resized: the same, of raw pixels, which the graph then resizes and crops.
        classes: of the checkpoint.

    The layout is what the images' shape tells; where it tells none, the one that can be followed.
    """
    graph = model.graph
    inputs = [value for value in graph.inputs if str(value.name) not in graph.initializers]
    if not inputs:
        problem = "the graph has no input besides its weights"
        return TracedGraph("nchw", "", (), ir.DataType.UNDEFINED, "", Untraceable(problem))
    images, *extra = inputs
    shape = tuple(s if isinstance(s, int) else None for s in images.shape or ())
    walks = []
    for layout in _layouts(shape):
        raw = images.dtype == ir.DataType.UINT8
        begin = _begin(images, shape, layout, resized if raw else size)
        values = _Walk(model, images, begin).values
        output, end = _choose(graph.outputs, values, classes)
        walk = TracedGraph(layout, str(images.name), shape, begin.dtype, output, end)
        walks.append(replace(walk, extra_inputs=tuple(printable(str(v.name)) for v in extra)))
    return next((walk for walk in walks if isinstance(walk.end, SymbolicTensor)), walks[0])


def _layouts(shape: tuple[int | None, ...]) -> tuple[Layout, ...]:
    if len(shape) == 4 and IMAGE_CHANNELS in (shape[1], shape[3]):
        return ("nchw",) if shape[1] == IMAGE_CHANNELS else ("nhwc",)
    return ("nchw", "nhwc")


def _begin(
    images: ir.Value, shape: tuple[int | None, ...], layout: Layout, size: int
) -> SymbolicTensor:
    names = "NCHW" if layout == "nchw" else "NHWC"
    sizes = {"N": _ANY_BATCH, "C": IMAGE_CHANNELS, "H": size, "W": size}
    if len(shape) == len(names):
        sizes |= {name: given for name, given in zip(names, shape, strict=True) if given}
    dtype = images.dtype or ir.DataType.FLOAT
    return SymbolicTensor(tuple((name,) for name in names), sizes, dtype, LEVELS.astype(np.float32))


def _choose(
    outputs: Sequence[ir.Value], values: dict[ir.Value, Value], classes: int
) -> tuple[str, SymbolicTensor | Untraceable]:
    """Name and description of the last output with a value for each class, or of the last."""
    found = [(str(output.name), values.get(output)) for output in outputs]
    named = [
        (name, v)
        for name, v in found
        if isinstance(v, SymbolicTensor) and v.shape[1:] == (classes,)
    ]
    name, value = (named or found)[-1]
    if isinstance(value, SymbolicTensor | Untraceable):
        return name, value
    return name, Untraceable(f"the output {printable(name)} does not depend on the images")


class _Walk:
    """One pass over a graph; ``values`` is what each of its values is, as far as it got."""

    def __init__(self, model: ir.Model, images: ir.Value, begin: SymbolicTensor) -> None:
        self.opset = model.opset_imports.get("", 1)
        self.values: dict[ir.Value, Value] = {images: begin}
        for node in model.graph:
            self.values |= dict.fromkeys(
                node.outputs[1:], Untraceable(f"{label(node)}: a second output")
            )
            try:
                self.values[node.outputs[0]] = self._result(node)
            except UnsupportedNode as error:
                self.values[node.outputs[0]] = Untraceable(
                    f"{label(node)}: {error}", self._steps(node)
                )

    def _steps(self, node: ir.Node) -> Any:
        values = (self._value(value) for value in node.inputs if value is not None)
        return next(
            (v.steps for v in values if isinstance(v, SymbolicTensor | Untraceable) and v.steps), ()
        )

    def _value(self, value: ir.Value) -> Value:
        if value not in self.values:
            if (tensor := value.const_value) is None:
                name = printable(str(value.name))
                return Untraceable(f"{name}: a value that nothing in the graph gives")
            self.values[value] = Constant(tensor.numpy(), printable(str(value.name)))
        return self.values[value]

    def _result(self, node: ir.Node) -> Value:
        inputs = [None if value is None else self._value(value) for value in node.inputs]
        for value in inputs:
            if isinstance(value, Untraceable):
                return value
        signals = [value for value in inputs if isinstance(value, SymbolicTensor)]
        if len(signals) > 1:
            raise UnsupportedNode("joins two paths, where the network has one")
        if any(attribute.type == ir.AttributeType.GRAPH for attribute in node.attributes.values()):
            raise UnsupportedNode("is a branch or a loop, where the network has none")
        if not signals:
            return _compute(node, inputs, self.opset)
        (x,) = signals
        at = NodeContext(node, x, inputs, self.opset)
        if node.domain not in ("", "ai.onnx"):
            return at.other()
        if node.op_type in ("Shape", "Size"):
            sizes = np.array(x.shape, np.int64)
            start, end = at.integer("start", 0), at.integer("end", len(sizes))
            return Constant(sizes.prod() if node.op_type == "Size" else sizes[start:end], "")
        handle = LAYERS.get(node.op_type) or MOVES.get(node.op_type)
        if handle is None:
            return at.other()
        try:
            return handle(at)
        except (IndexError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise UnsupportedNode(f"has attributes or inputs that do not fit ({error})") from error


def _compute(node: ir.Node, inputs: Sequence[Value | None], opset: int) -> Constant:
    """What a node makes of constants; it has the name of the weight among them."""
    constants = [value for value in inputs if isinstance(value, Constant)]
    if node.op_type == "Constant" and "value" in node.attributes:
        return Constant(node.attributes["value"].as_tensor().numpy(), label(node))
    if node.op_type == "DequantizeLinear":
        raise UnsupportedNode("reads quantised weights, which are not the checkpoint's")
    small = all(constant.array.size <= _LARGEST_OPERAND for constant in constants)
    if not (node.op_type in _MOVES or (node.op_type in ("Constant", *_ARITHMETIC) and small)):
        raise UnsupportedNode("computes with constants in a way that is not followed")
    given = {
        str(value.name): constant.array
        for value, constant in zip(node.inputs, inputs, strict=True)
        if value is not None and isinstance(constant, Constant)
    }
    try:
        (result,) = ReferenceEvaluator(ir.to_proto(node), opsets={"": opset}).run(None, given)
    except Exception as error:  # whatever a stranger's node makes the evaluator raise
        raise UnsupportedNode(f"cannot be computed ({printable(str(error))})") from error
    weights = [constant for constant in constants if constant.array.dtype.kind == "f"]
    array: NDArray[Any] = np.asarray(result)
    return Constant(array, weights[0].name if weights else label(node))
