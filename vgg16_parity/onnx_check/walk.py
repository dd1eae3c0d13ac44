"""The steps of an ONNX graph, whichever exporter wrote it.

ONNX's reference evaluator computes whatever depends on constants alone, and moves the images as the
graph moves them (``symbolic``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import onnx_ir as ir

from onnx_arbiter.models.onnx_file import printable
from vgg16_parity.onnx_check.constants import Constants
from vgg16_parity.onnx_check.layers import LAYERS
from vgg16_parity.onnx_check.preprocessing import (
    LAYOUTS,
    MOVES,
    PICKS,
    Front,
    preprocess,
    shape_of,
)
from vgg16_parity.onnx_check.symbolic import (
    DEQUANTIZE,
    QUANTIZE,
    Constant,
    FewerBits,
    NodeContext,
    Step,
    SymbolicTensor,
    Untraceable,
    Value,
    with_bias,
)
from vgg16_spec.architecture import IMAGE_CHANNELS, Configuration
from vgg16_spec.images.preprocessing import Recipe

# How many images are followed, unless the file is fixed to fewer: two show whether they are mixed,
# and a size that fits one number by chance does not fit the other.
_IMAGES: Final = (1, 2)
# The most numbers that a move needs: a shape, axes, or the order of the channels.
_MOST_INDICES: Final = 16


@dataclass(frozen=True)
class TracedGraph:
    """A graph, followed from its images to an output.

    Attributes:
        front: the images, and how they are preprocessed.
        output: the name of the output.
        steps: the operations on the way to it.
        problem: why it could not be followed to its end; empty if it could.
        extra_inputs: names of the inputs besides the images.
        notes: what nodes do besides the network's steps: the node, and what it does.
        ends_in_softmax: whether a softmax gives the output, even where it was not followed so far.
        is_quantised: whether it could not be followed since it computes with fewer bits.
    """

    front: Front
    output: str
    steps: tuple[Step, ...]
    problem: str
    extra_inputs: tuple[str, ...]
    notes: tuple[tuple[str, str], ...] = ()
    ends_in_softmax: bool = False
    is_quantised: bool = False

    @property
    def kind(self) -> str:
        """``probabilities`` where the graph ends in a softmax, ``logits`` otherwise."""
        last = self.steps[-1].kind if self.steps else ""
        unseen = bool(self.problem) and self.ends_in_softmax
        return "probabilities" if last == "softmax" or unseen else "logits"


def follow(model: ir.Model, configuration: Configuration, recipe: Recipe) -> TracedGraph:
    """Follow a graph from its images to its output, the last of those with a value for each class.

    The layout is that of the images' shape; where the shape allows both, the one that can be
    followed.

    Args:
        model: as ``export.load.open_model`` returns it.
        configuration: the network, with its classifier.
        recipe: the checkpoint's preprocessing, for a graph that preprocesses its images itself.
    """
    graph = model.graph
    free = [value for value in graph.inputs if str(value.name) not in graph.initializers]
    images, *others = free or graph.inputs
    extra = tuple(printable(str(value.name)) for value in others if free)
    shape = shape_of(images)
    batch = next(iter(shape), None)
    fitting = [a for a in LAYOUTS if len(shape) == 4 and shape[a.index("c")] == IMAGE_CHANNELS]
    constants = Constants(
        (value, Constant(value.const_value.numpy(), printable(str(value.name))))
        for value in graph.initializers.values()
        if value.const_value is not None and value.const_value.dtype != ir.DataType.STRING
    )
    averages = any(node.op_type == "GlobalAveragePool" for node in graph)
    traces = []
    for layout in fitting or LAYOUTS:
        for count in [min(batch, max(_IMAGES))] if batch else _IMAGES:
            front = Front(images, layout, recipe, averages=averages)
            name, end = _Walk(model, constants, front, count, batch).run(configuration)
            problem = str(end) if isinstance(end, Untraceable) else ""
            steps = tuple(map(with_bias, end.steps))
            notes = () if isinstance(end, Untraceable) else end.notes
            softmax = _ends_in_softmax(graph, name)
            fewer = isinstance(end, FewerBits)
            traces.append(TracedGraph(front, name, steps, problem, extra, notes, softmax, fewer))
    failed = [trace for trace in traces if trace.problem]
    wrong = {trace.front.layout for trace in failed}
    good = [trace for trace in traces if trace.front.layout not in wrong]
    return (good or failed)[0]


def _ends_in_softmax(graph: ir.Graph, output: str) -> bool:
    value = next((value for value in graph.outputs if str(value.name) == output), None)
    while value is not None and (node := value.producer()) is not None:
        if node.op_type == "Softmax":
            return True
        if node.op_type not in (*MOVES, *QUANTIZE, *DEQUANTIZE, "Cast"):
            return False
        value = node.inputs[0]
    return False


class _Walk:
    """One pass over a graph, with so many images; the file may be fixed to a larger batch."""

    def __init__(
        self,
        model: ir.Model,
        constants: Constants,
        front: Front,
        count: int,
        batch: int | None,
    ) -> None:
        self.model, self.front, self.count, self.batch = model, front, count, batch
        self.opset = model.opset_imports.get("", 1)
        # What depends on weights alone, which every walk shares; each value, as far as it can be
        # followed.
        self.constants, self.values = constants, dict[ir.Value, Value](constants)

    def run(self, network: Configuration) -> tuple[str, SymbolicTensor | Untraceable]:
        """The last output with a value for each class, or the last of all, by name."""
        try:
            self.values[self.front.images] = self.front.begin(self.count, network.input_size)
        except Untraceable as error:
            self.values[self.front.images] = Untraceable(f"the images: {error}")
        for node in self.model.graph:
            self._visit(node)
        outputs = self.model.graph.outputs
        ends = [(str(v.name), self.values.get(v), len(v.shape or "NC")) for v in outputs]
        name, end, _ = ends[-1]
        for other, value, rank in ends:
            # A node that takes an axis away, as ArgMax does, is followed as if it did not.
            shape = value.array.shape if isinstance(value, SymbolicTensor) else ()
            if rank == 2 and shape[1:] == (network.classes,):
                name, end = other, value
        if isinstance(end, SymbolicTensor) and end.maps and not end.keeps_images_apart:
            mixed = f"the output {printable(name)} has another axis than the images' first"
            return name, Untraceable(mixed, end.steps)
        if isinstance(end, SymbolicTensor | Untraceable):
            return name, end
        return name, Untraceable(f"the output {printable(name)} does not depend on the images")

    def _visit(self, node: ir.Node) -> None:
        if node.outputs[0] in self.constants:
            return
        inputs = [None if value is None else self._value(value) for value in node.inputs]
        at = NodeContext(node, inputs, self.opset)
        try:
            result = self._result(at)
        except (Untraceable, IndexError, KeyError, TypeError, ValueError) as error:
            steps = next(filter(None, (getattr(value, "steps", ()) for value in inputs)), ())
            problem = str(error)
            if not isinstance(error, Untraceable):
                problem = f"has attributes or inputs that do not fit ({error})"
            kind = FewerBits if isinstance(error, FewerBits) else Untraceable
            result = kind(f"{at.label}: {problem}", steps)
        self.values[node.outputs[0]] = result
        if isinstance(result, Untraceable):
            self.values |= dict.fromkeys(node.outputs, result)
        if isinstance(result, Constant) and self.constants.keys() >= {*node.inputs} - {None}:
            self.constants[node.outputs[0]] = result

    def _value(self, value: ir.Value) -> Value:
        is_text = value.dtype == ir.DataType.STRING
        unknown = "text" if is_text else "a value that nothing in the graph gives"
        return self.values.get(value) or Untraceable(f"{printable(str(value.name))}: {unknown}")

    def _result(self, at: NodeContext) -> Value:
        for value in at.inputs:
            if isinstance(value, Untraceable):
                return value
        signals = [value for value in at.inputs if isinstance(value, SymbolicTensor)]
        if len(signals) > 1:
            raise Untraceable("joins two paths, where the network has one")
        if not signals:
            return self.constants.compute(at)
        if at.operator in ("Shape", "Size"):
            return Constant(at.evaluate(), "")
        if at.operator in (*MOVES, *PICKS):
            if at.inputs[0] is not at.x:
                raise Untraceable("reads sizes or indices that depend on the images")
            if any(isinstance(v, Constant) and v.array.size > _MOST_INDICES for v in at.inputs):
                raise Untraceable(f"has more than {_MOST_INDICES} sizes or indices")
            if at.operator == "Gather":
                _require_once(at)
        if at.operator in ("Reshape", "Resize"):
            at = replace(at, inputs=[self._followed_batch(value) for value in at.inputs])
        if not at.x.maps:
            if preprocessed := preprocess(at, self.front):
                return preprocessed
            entered = self.front.enter(at.x)
            at = replace(at, inputs=[entered if value is at.x else value for value in at.inputs])
        return LAYERS.get(at.operator, NodeContext.step)(at)

    def _followed_batch(self, value: Value | None) -> Value | None:
        """A shape with the file's fixed batch in front as one of the images that are followed."""
        if isinstance(value, Constant) and value.array.ndim == 1 and self.batch:
            sizes = value.array.tolist()
            first = next((i for i, size in enumerate(sizes) if size != 1), 0)
            if sizes[first : first + 1] == [self.batch]:
                sizes[first] = self.count
                return replace(value, array=np.array(sizes, value.array.dtype))
        return value


def _require_once(at: NodeContext) -> None:
    """Raise ``Untraceable`` where a Gather makes more of the images than there is."""
    axis = at.node.attributes.get_int("axis", 0)
    if at.required(1).array.size > at.x.array.shape[axis]:
        raise Untraceable("picks values more than once")
