"""Walk a graph in float64, and carry beside each value the variance of a runtime's error.

Nodes are evaluated in topological order, and a value is dropped when its last reader has read it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from onnx_arbiter.error_model import Float64
from onnx_arbiter.graph import Array, Graph, Node, read_by
from onnx_arbiter.node_errors import errors_of
from onnx_arbiter.numeric_modes import Mode, float32_units, is_float
from onnx_arbiter.operators.fallbacks.inline import with_outer_values
from onnx_arbiter.operators.operation import Operation, Unsupported, Variance, squares_of
from onnx_arbiter.operators.rules import rule_of
from onnx_arbiter.values import Value, in_own_units

Progress: TypeAlias = Callable[[int, int, Node], None]
Keep: TypeAlias = "Callable[[str, Value], Value]"


@dataclass(frozen=True)
class Step:
    """One node of the walk.

    Attributes:
        node: the node.
        inputs: the values that it read; None for an optional one that is left out.
        outputs: its values by name; empty where it cannot be evaluated.
        local: output -> mode -> the variance of an error if the node alone computed it from its
            exact inputs, rounded; None if exact.
        why: why it cannot be evaluated; empty if it can.
        why_not_alone: why it cannot be judged alone; empty if it can.
    """

    node: Node
    inputs: tuple[Value | None, ...] = ()
    outputs: Mapping[str, Value] = field(default_factory=dict)
    local: Mapping[str, Mapping[str, Variance]] = field(default_factory=dict)
    why: str = ""
    why_not_alone: str = ""

    def reason(self, mode: Mode) -> str:
        """Why its values cannot be judged in a mode; empty if they can."""
        undecided = (value.undecided.get(mode.name, "") for value in self.outputs.values())
        return self.why or next(filter(None, undecided), "")

    def local_deviation(self, output: str, mode: Mode) -> Float64:
        """The predicted standard deviation of an error of this node alone."""
        return in_own_units(self.local[output].get(mode.name), self.outputs[output], mode)


def walk(
    graph: Graph,
    inputs: Mapping[str, Array],
    modes: Sequence[Mode],
    *,
    wanted: Sequence[str] | None = None,
    progress: Progress | None = None,
    keep: Keep | None = None,
) -> Iterator[Step]:
    """Evaluate a graph node by node.

    A node that cannot be evaluated gives a step that says why, and so does each node that reads its
    values.

    Args:
        graph: the network.
        inputs: every input by name, of the graph's types.
        modes: the numeric modes to predict errors for.
        wanted: values; only what they are computed from is evaluated. None for everything.
        progress: called before each node with how many are done, how many there are, and the node.
        keep: is given each value that a later node reads, and returns it, perhaps moved to a file.
    """
    nodes = graph.nodes if wanted is None else graph.needed_for(wanted)
    readers = Counter(name for node in nodes for name in set(read_by(node)))
    known = {name: _input(values, modes) for name, values in inputs.items()}
    lost = dict[str, str]()
    for done, node in enumerate(nodes):
        if progress is not None:
            progress(done, len(nodes), node)
        if reason := next((lost[name] for name in read_by(node) if name in lost), ""):
            step = Step(node, why=reason)
        else:
            read = {name: _read(graph, known, name) for name in read_by(node)}
            step = _evaluate(node, read, modes)
        yield step
        for name in node.outputs:
            if step.why and name:
                lost[name] = step.why
            elif name in step.outputs and readers[name]:
                value = step.outputs[name]
                known[name] = value if keep is None else keep(name, value)
        for name in set(read_by(node)):
            readers[name] -= 1
            if not readers[name]:
                known.pop(name, None)


def _input(values: Array, modes: Sequence[Mode]) -> Value:
    """An input, which a mode that stores fewer bits rounds."""
    widened = _widened(values)
    rounded = {
        mode.name: float32_units(mode.stored) * squares_of(widened)
        for mode in modes
        if mode.stored and widened.dtype.kind == "f"
    }
    return Value(widened, values.dtype, accumulated=rounded)


def _read(graph: Graph, known: Mapping[str, Value], name: str) -> Value:
    if name in known:
        return known[name]
    constant = graph.constants[name]
    values = constant.read()
    if is_float(values.dtype) and values.dtype.kind != "f":
        values = values.astype(np.float32)
    return Value(values, constant.dtype, is_constant=True)


def _widened(values: Array) -> Array:
    """A value as the walk has it: every float type as float64."""
    return values.astype(np.float64) if is_float(values.dtype) else values


def _evaluate(node: Node, read: Mapping[str, Value], modes: Sequence[Mode]) -> Step:
    node = with_outer_values(node)
    inputs = tuple(read[name] if name else None for name in node.inputs)
    rule = rule_of(node)
    if rule is None:
        name = f"{node.domain}.{node.operator}" if node.domain else node.operator
        return Step(node, inputs, why=f"{name} has no rule")
    arrays = [None if value is None else value.values for value in inputs]
    try:
        with np.errstate(all="ignore"):  # a comparison reports what is not finite
            operation = rule(node, arrays)
    except Unsupported as error:
        return Step(node, inputs, why=f"{node.name or node.operator}: {error}")
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        # Shapes that do not fit, and attributes that no version of the operator has.
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        return Step(node, inputs, why=f"{node.name or node.operator}: not evaluated ({reason})")
    types = [_type(operation, index, inputs) for index in range(len(operation.outputs))]
    with np.errstate(over="ignore", invalid="ignore"):
        errors = {m.name: errors_of(operation, node, inputs, types, m) for m in modes}
    exact = operation.selects and all(v is None or v.exact for v in inputs)
    root = _root(operation, node, inputs)
    outputs, local = dict[str, Value](), dict[str, dict[str, Variance]]()
    for index, (name, values) in enumerate(zip(node.outputs, operation.outputs, strict=False)):
        if name:
            mine = {mode: found[index] for mode, found in errors.items()}
            outputs[name] = Value(
                values,
                types[index],
                exact,
                {mode: found.accumulated for mode, found in mine.items()},
                {mode: found.independent for mode, found in mine.items()},
                {mode: found.common for mode, found in mine.items()},
                root,
                {mode: found.undecided for mode, found in mine.items() if found.undecided},
            )
            local[name] = {mode: found.local for mode, found in mine.items()}
    return Step(node, inputs, outputs, local, "", operation.why_not_alone)


def _root(operation: Operation, node: Node, inputs: Sequence[Value | None]) -> str:
    """The one value with errors that the node's inputs are functions of, element by element."""
    roots = {
        value.root or name
        for name, value in zip(node.inputs, inputs, strict=True)
        if value is not None and any(errors is not None for errors in value.accumulated.values())
    }
    return roots.pop() if operation.broadcasts and len(roots) == 1 else ""


def _type(operation: Operation, index: int, inputs: Sequence[Value | None]) -> np.dtype[Any]:
    stated, own = operation.types[index], operation.outputs[index].dtype
    if stated is not None or own.kind != "f":
        return own if stated is None else stated
    # Quantised integers are computed as floats, so that they may have errors.
    floats = (v.dtype for v in inputs if v is not None and v.values.dtype.kind == "f")
    return next(floats, np.dtype(np.float32))
