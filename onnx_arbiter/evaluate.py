"""Walk a graph in float64, and carry beside each value the variance of a runtime's error.

Nodes are evaluated in topological order, and a value is dropped when its last reader has read it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

import numpy as np

from onnx_arbiter.error_model import Float64
from onnx_arbiter.graph import Array, Graph, Node, read_by
from onnx_arbiter.independence import independent_errors
from onnx_arbiter.inline import with_outer_values
from onnx_arbiter.numeric_modes import FLOAT32_ROUNDOFF, Mode, float32_units
from onnx_arbiter.operators.operation import (
    UNIT,
    Operation,
    Unsupported,
    Variance,
    add_up,
    squares_of,
)
from onnx_arbiter.operators.rules import rule_of

# Half the gap between 1 and the next number of a type; types with fewer bits than float32 round
# what is stored in them.
_ROUNDOFFS: Final = {"float64": 2.0**-53, "float16": 2.0**-11, "bfloat16": 2.0**-8}
# Below this, a type's errors are as large as its values.
_SMALLEST: Final = {"float16": 2.0**-24}


Progress: TypeAlias = Callable[[int, int, Node], None]
Keep: TypeAlias = "Callable[[str, Value], Value]"


@dataclass(frozen=True)
class Value:
    """A value of the graph, as the arbiter has it.

    Attributes:
        values: float64 for every float type; integers and booleans in their own.
        dtype: the graph's type.
        exact: whether a runtime has it exactly, so that it is not rounded where it is read.
        accumulated: mode -> the variance of a runtime's error after all nodes so far; None if exact.
        independent: mode -> the number of independent errors that its error is made of.
        is_constant: whether it is a constant of the graph.
    """

    values: Array
    dtype: np.dtype[Any]
    exact: bool = True
    accumulated: Mapping[str, Variance] = field(default_factory=dict)
    independent: Mapping[str, float] = field(default_factory=dict)
    is_constant: bool = False

    def deviation(self, mode: Mode) -> Float64:
        """The predicted standard deviation of an error after all nodes so far."""
        return in_own_units(self.accumulated.get(mode.name), self, mode)


@dataclass(frozen=True)
class Step:
    """One node of the walk.

    Attributes:
        node: the node.
        inputs: the values that it read; None for an optional one that is left out.
        outputs: its values by name; empty where it cannot be evaluated.
        local: output -> mode -> the variance of an error if the node alone computed it from its
            exact inputs, rounded; None if exact.
        why: why its values cannot be judged; empty if they can.
        why_not_alone: why it cannot be judged alone; empty if it can.
    """

    node: Node
    inputs: tuple[Value | None, ...] = ()
    outputs: Mapping[str, Value] = field(default_factory=dict)
    local: Mapping[str, Mapping[str, Variance]] = field(default_factory=dict)
    why: str = ""
    why_not_alone: str = ""

    def local_deviation(self, output: str, mode: Mode) -> Float64:
        """The predicted standard deviation of an error of this node alone."""
        return in_own_units(self.local[output].get(mode.name), self.outputs[output], mode)


def in_own_units(variance: Variance, value: Value, mode: Mode) -> Float64:
    """The standard deviation that a variance stands for, at least the smallest number's."""
    if variance is None:
        return np.zeros(value.values.shape)
    smallest = max(mode.smallest, _SMALLEST.get(value.dtype.name, 0.0))
    deviation: Float64 = np.hypot(UNIT * np.sqrt(variance, dtype=np.float64), smallest)
    return deviation


def walk(
    graph: Graph,
    inputs: Mapping[str, Array],
    modes: Sequence[Mode],
    *,
    wanted: Sequence[str] | None = None,
    progress: Progress = lambda done, total, node: None,
    keep: Keep = lambda name, value: value,
) -> Iterator[Step]:
    """Evaluate a graph node by node.

    A node that cannot be evaluated, or whose outcome rounding may change (the index of a maximum
    that has a rival), gives a step that says why, and so does each node that reads its values.

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
                known[name] = keep(name, step.outputs[name])
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
    return Value(constant.read(), constant.dtype, is_constant=True)


def _widened(values: Array) -> Array:
    """A value as the walk has it: every float type as float64."""
    return values.astype(np.float64) if is_float(values.dtype) else values


def is_float(dtype: np.dtype[Any]) -> bool:
    """Whether a type is a float type, bfloat16 included, which NumPy does not know as one."""
    return dtype.kind == "f" or dtype.name in _ROUNDOFFS


def _evaluate(node: Node, read: Mapping[str, Value], modes: Sequence[Mode]) -> Step:
    node = with_outer_values(node)
    inputs = tuple(read[name] if name else None for name in node.inputs)
    rule = rule_of(node)
    if rule is None:
        return Step(node, inputs, why=f"{node.operator} has no rule")
    arrays = [None if value is None else value.values for value in inputs]
    try:
        with np.errstate(all="ignore"):  # a comparison reports what is not finite
            operation = rule(node, arrays)
    except Unsupported as error:
        return Step(node, inputs, why=f"{node.name or node.operator}: {error}")
    types = [_type(operation, index, inputs) for index in range(len(operation.outputs))]
    accumulated: list[dict[str, Variance]] = [{} for _ in types]
    local: list[dict[str, Variance]] = [{} for _ in types]
    independent: list[dict[str, float]] = [{} for _ in types]
    for mode in modes:
        with np.errstate(over="ignore", invalid="ignore"):
            found = _errors(operation, inputs, types, node, mode)
        for index, (total, alone, count) in enumerate(found):
            accumulated[index][mode.name] = total
            local[index][mode.name] = alone
            independent[index][mode.name] = count
    exact = operation.selects and all(v is None or v.exact for v in inputs)
    outputs, rounding = {}, {}
    for index, (name, values) in enumerate(zip(node.outputs, operation.outputs, strict=False)):
        if name:
            outputs[name] = Value(
                values, types[index], exact, accumulated[index], independent[index]
            )
            rounding[name] = local[index]
    why = ""
    if any(operation.decides):
        why = f"{node.name or node.operator}: rounding may change which it chooses"
    return Step(node, inputs, outputs, rounding, why, operation.why_not_alone)


def _errors(
    operation: Operation,
    inputs: Sequence[Value | None],
    types: Sequence[np.dtype[Any]],
    node: Node,
    mode: Mode,
) -> list[tuple[Variance, Variance, float]]:
    """For each output: accumulated variance, local variance, number of independent errors."""
    if types and types[0] == np.float64 and not operation.selects:
        mode = replace(mode, sums=_ROUNDOFFS["float64"], operands=0.0, stored=0.0)
    # A value that is read twice brings the same error twice.
    times = Counter(node.inputs)
    parts = list[tuple[Sequence[Variance], float]]()
    for index, value in enumerate(inputs):
        if value is None or (variance := value.accumulated.get(mode.name)) is None:
            continue
        if (often := times[node.inputs[index]]) > 1:
            variance = np.float32(often) * variance
        alone: list[Variance] = [None] * len(inputs)
        alone[index] = variance
        parts.append((operation.carried(alone), value.independent.get(mode.name, math.inf)))
    stored = float32_units(mode.stored)
    constants = [stored if v is not None and v.is_constant else 0.0 for v in inputs]
    given = [_read_rounding(value, mode) for value in inputs]
    nothing: Sequence[Variance] = (None,) * len(types)
    of_constants = operation.rounded(constants) if any(constants) else nothing
    of_inputs = operation.rounded(given) if any(given) else nothing
    found = []
    for index, own in enumerate(operation.own(mode)):
        values, kind = operation.outputs[index], types[index]
        if values.dtype.kind != "f":
            found.append((None, None, math.inf))
            continue
        own = add_up(own, _stored(operation, values, kind, inputs, mode))
        carried = [part[index] for part, _ in parts]
        total = add_up(*carried, of_constants[index], own)
        counts = [count for _, count in parts]
        independent = _combined(values, total, carried, counts)
        found.append((total, add_up(of_inputs[index], own), independent))
    return found


def _read_rounding(value: Value | None, mode: Mode) -> float:
    """By how much a value is rounded where a node alone reads it, in u²/3 of its square."""
    if value is None or not is_float(value.dtype):
        return 0.0
    if mode.stored:
        return float(float32_units(mode.stored))
    if value.exact:
        return 0.0
    return float(float32_units(_ROUNDOFFS.get(value.dtype.name, FLOAT32_ROUNDOFF)))


def _stored(
    operation: Operation,
    values: Array,
    kind: np.dtype[Any],
    inputs: Sequence[Value | None],
    mode: Mode,
) -> Variance:
    """The rounding of an output that is stored in fewer bits than float32."""
    roundoff = max(mode.stored, _ROUNDOFFS.get(kind.name, 0.0))
    narrower = any(v is not None and is_float(v.dtype) and v.dtype != kind for v in inputs)
    if roundoff <= FLOAT32_ROUNDOFF or (operation.selects and not narrower):
        return None
    return float32_units(roundoff) * np.float32(operation.stores) * squares_of(values)


def _combined(
    values: Array, total: Variance, carried: Sequence[Variance], counts: Sequence[float]
) -> float:
    """How many independent errors an output's error is made of.

    Of parts with the shares p of the variance, made of N errors each, it is 1 / Σ p²/N; and no more
    than the values themselves, of which equal ones round alike.
    """
    if total is None or not (whole := float(total.sum(dtype=np.float64))) > 0:
        return math.inf
    shares = [
        (float(np.sum(part, dtype=np.float64)) / whole) ** 2 / count
        for part, count in zip(carried, counts, strict=True)
        if part is not None
    ]
    together = 1 / sum(shares) if sum(shares) else math.inf
    return min(together, independent_errors(values.reshape(-1), total.reshape(-1)))


def _type(operation: Operation, index: int, inputs: Sequence[Value | None]) -> np.dtype[Any]:
    stated, own = operation.types[index], operation.outputs[index].dtype
    if stated is not None or own.kind != "f":
        return own if stated is None else stated
    floats = (value.dtype for value in inputs if value is not None and is_float(value.dtype))
    return next(floats, np.dtype(np.float32))
