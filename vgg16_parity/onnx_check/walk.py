"""The steps of an ONNX graph, whichever exporter wrote it.

The graph is walked once. ONNX's reference evaluator computes whatever depends on constants alone,
and moves the images' positions as the graph moves the images (``symbolic``).
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
from vgg16_parity.onnx_check.layers import LAYERS, NodeContext
from vgg16_parity.onnx_check.symbolic import (
    NAMES,
    Constant,
    Step,
    SymbolicTensor,
    UnsupportedNode,
    Untraceable,
    Value,
    arrange,
    label,
)
from vgg16_spec.architecture import IMAGE_CHANNELS
from vgg16_spec.images.preprocessing import Layout

# How many images are followed, unless the file is fixed to fewer: exporters trace with one or two,
# so that this number is not in a file by chance.
_IMAGES: Final = 3
# The pixels that are followed through preprocessing: all 256 values, in each channel another first.
LEVELS: Final = (np.arange(256)[:, np.newaxis] + (0, 85, 170)) % 256

_MOVES: Final = ("Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
# Also of the images before the first layer, where some may be left out.
_PICKS: Final = ("Gather", "Slice")
# How exporters compute shapes. Operands are so small that two, broadcast, stay small.
_ARITHMETIC: Final = (
    *("Add", "Concat", "Constant", "Div", "Mul", "ReduceMin", "ReduceProd", "Round", "Sub"),
    *_PICKS,
)
_LARGEST_OPERAND: Final = 4096


@dataclass(frozen=True)
class TracedGraph:
    """A graph, followed from its images to its outputs.

    Attributes:
        layout: of the images.
        images: their name in the file.
        shape: of the images, ``None`` for the sizes that the file leaves open.
        dtype: of the images.
        output: the name of the output that was followed.
        end: that output.
        extra_inputs: names of the other inputs.
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
        """The number of images where the file fixes it."""
        return self.shape[0] if self.shape else None


def follow(model: ir.Model, size: int, resized: int, classes: int) -> TracedGraph:
    """Follow a graph from its images to its output, the last of those with a value for each class.

    The layout is that of the images' shape; where the shape allows both, the one that can be
    followed.

    Args:
        model: as ``export.load.open_model`` returns it.
        size: height and width in pixels where the file leaves them open.
        resized: the same for raw pixels, which the graph then resizes and crops.
        classes: of the checkpoint.
    """
    graph = model.graph
    inputs = [value for value in graph.inputs if str(value.name) not in graph.initializers]
    if not inputs:
        problem = "the graph has no input besides its weights"
        return TracedGraph("nchw", "", (), ir.DataType.UNDEFINED, "", Untraceable(problem))
    images, *others = inputs
    extra = tuple(printable(str(value.name)) for value in others)
    shape = tuple(s if isinstance(s, int) else None for s in images.shape or ())
    dtype = images.dtype or ir.DataType.FLOAT
    side = resized if dtype == ir.DataType.UINT8 else size
    walks = []
    for layout in _layouts(shape):
        output, end = _follow(model, images, shape, layout, side, classes)
        walks.append(TracedGraph(layout, str(images.name), shape, dtype, output, end, extra))
    return next((walk for walk in walks if isinstance(walk.end, SymbolicTensor)), walks[0])


def _layouts(shape: tuple[int | None, ...]) -> tuple[Layout, ...]:
    if len(shape) == 4 and IMAGE_CHANNELS in (shape[1], shape[3]):
        return ("nchw",) if shape[1] == IMAGE_CHANNELS else ("nhwc",)
    return ("nchw", "nhwc")


def _follow(
    model: ir.Model,
    images: ir.Value,
    shape: tuple[int | None, ...],
    layout: Layout,
    side: int,
    classes: int,
) -> tuple[str, SymbolicTensor | Untraceable]:
    """The last output with a value for each class, by name, or the last of all."""
    sizes = {"N": _IMAGES, "C": IMAGE_CHANNELS, "H": side, "W": side}
    if len(shape) == len(sizes):
        sizes |= {name: given for name, given in zip(layout.upper(), shape, strict=True) if given}
    batch, *rest = (sizes[name] for name in NAMES)
    maps = (min(batch, _IMAGES), *rest)
    try:
        positions = arrange(maps, tuple((name,) for name in layout.upper()))
    except UnsupportedNode as error:
        return str(model.graph.outputs[-1].name), Untraceable(f"the images: {error}")
    dtype = images.dtype or ir.DataType.FLOAT
    begin = SymbolicTensor(positions, maps, dtype, LEVELS.astype(np.float32))
    walk = _Walk(model, images, begin, batch)
    found = [(str(output.name), walk.values.get(output)) for output in model.graph.outputs]
    of_classes = [
        (name, value)
        for name, value in found
        if isinstance(value, SymbolicTensor) and value.positions.shape[1:] == (classes,)
    ]
    name, value = (of_classes or found)[-1]
    if isinstance(value, SymbolicTensor | Untraceable):
        return name, value
    return name, Untraceable(f"the output {printable(name)} does not depend on the images")


class _Walk:
    """One pass over a graph; ``values`` describes each value, as far as it can be followed.

    ``batch`` is the number of images that the file is fixed to, which may be more than follow it.
    """

    def __init__(
        self, model: ir.Model, images: ir.Value, begin: SymbolicTensor, batch: int
    ) -> None:
        self.batch = batch
        self.opset = model.opset_imports.get("", 1)
        self.values: dict[ir.Value, Value] = {images: begin}
        for node in model.graph:
            name = label(node)
            others = Untraceable(f"{name}: a second output")
            self.values |= dict.fromkeys(node.outputs[1:], others)
            try:
                result = self._result(node)
            except UnsupportedNode as error:
                result = Untraceable(f"{name}: {error}", self._steps(node))
            self.values[node.outputs[0]] = result

    def _steps(self, node: ir.Node) -> tuple[Step, ...]:
        values = (self._value(value) for value in node.inputs if value is not None)
        followed = (v.steps for v in values if isinstance(v, SymbolicTensor | Untraceable))
        return next(filter(None, followed), ())

    def _value(self, value: ir.Value) -> Value:
        if value not in self.values:
            name = printable(str(value.name))
            if (tensor := value.const_value) is None:
                return Untraceable(f"{name}: a value that nothing in the graph gives")
            self.values[value] = Constant(tensor.numpy(), name)
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
            return self._constant(node, inputs)
        (x,) = signals
        if node.op_type in ("Reshape", "Resize"):
            inputs = [self._followed_batch(value, x.maps[0]) for value in inputs]
        at = NodeContext(node, x, inputs, self.opset)
        if node.domain not in ("", "ai.onnx"):
            return at.other()
        if node.op_type in ("Shape", "Size"):
            return Constant(self._evaluate(node, inputs), "")
        try:
            if node.op_type in (*_MOVES, *_PICKS):
                if inputs[0] is not x:
                    raise UnsupportedNode("reads sizes or indices that depend on the images")
                longest = max(x.maps)
                if any(isinstance(v, Constant) and v.array.size > longest for v in inputs):
                    raise UnsupportedNode(f"has more than {longest} indices, the longest axis")
                return x.move(self._evaluate(node, inputs))
            handle = LAYERS.get(node.op_type)
            return at.other() if handle is None else handle(at)
        except (IndexError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise UnsupportedNode(f"has attributes or inputs that do not fit ({error})") from error

    def _followed_batch(self, value: Value | None, images: int) -> Value | None:
        """A shape with the file's fixed batch in front as one of the images that are followed."""
        if isinstance(value, Constant) and value.array.ndim == 1 and images != self.batch:
            sizes = value.array.tolist()
            first = next((i for i, size in enumerate(sizes) if size != 1), None)
            if first is not None and sizes[first] == self.batch:
                sizes[first] = images
                return replace(value, array=np.array(sizes, value.array.dtype))
        return value

    def _constant(self, node: ir.Node, inputs: Sequence[Value | None]) -> Constant:
        """What a node makes of constants, named after the weight among them."""
        constants = [value for value in inputs if isinstance(value, Constant)]
        if node.op_type == "Constant" and "value" in node.attributes:
            return Constant(node.attributes["value"].as_tensor().numpy(), label(node))
        if node.op_type == "DequantizeLinear":
            raise UnsupportedNode("reads quantised weights, which are not the checkpoint's")
        small = all(value.array.size <= _LARGEST_OPERAND for value in constants)
        if node.op_type not in (*_MOVES, "Cast") and not (small and node.op_type in _ARITHMETIC):
            raise UnsupportedNode("computes with constants in a way that is not followed")
        names = [value.name for value in constants if value.array.dtype.kind == "f"]
        return Constant(self._evaluate(node, inputs), names[0] if names else label(node))

    def _evaluate(self, node: ir.Node, inputs: Sequence[Value | None]) -> NDArray[Any]:
        """A node's result, in ONNX's reference evaluator, of constants or of positions."""
        arrays = {}
        for value, known in zip(node.inputs, inputs, strict=True):
            if value is not None and isinstance(known, SymbolicTensor | Constant):
                array = known.array if isinstance(known, Constant) else known.positions
                arrays[str(value.name)] = array
        try:
            evaluator = ReferenceEvaluator(ir.to_proto(node), opsets={"": self.opset})
            (result,) = evaluator.run(None, arrays)
        except Exception as error:  # whatever a malformed node makes the evaluator raise
            raise UnsupportedNode(f"cannot be computed ({printable(str(error))})") from error
        return np.asarray(result)
