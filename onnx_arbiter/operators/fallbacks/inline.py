"""Nodes that stand for several others, evaluated as one: functions of ONNX, the branch of an If.

The nodes inside are evaluated one by one. A variance at the inputs goes through all of them, and so
does that of each one's own rounding:

    carried(v)   v at the inputs, nothing rounded inside
    own(mode)    exact inputs, every node inside rounding as it does
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import numpy as np

from onnx_arbiter.graph import Array, Graph, Node, read_by
from onnx_arbiter.numeric_modes import Mode, float32_units
from onnx_arbiter.operators.fallbacks.function_bodies import expand, has_body, schema_of
from onnx_arbiter.operators.fallbacks.perturbation import perturbed
from onnx_arbiter.operators.operation import (
    Operation,
    Rule,
    Unsupported,
    Variance,
    Variances,
    add_up,
    squares_of,
)

RuleOf: TypeAlias = "Callable[[Node], Rule | None]"
_NOTHING: Final = np.zeros(0)


@dataclass(frozen=True)
class _Part:
    """One node inside, evaluated; names are those of values."""

    operation: Operation
    reads: tuple[str, ...]
    makes: tuple[str, ...]


class Inlined(Operation):
    """Several nodes as one.

    Args:
        node: what reads the inputs and has the outputs.
        inputs: its inputs.
        nodes: what it stands for, in topological order.
        results: for each output, the name that it has inside; empty for one that nobody reads.
        rule_of: finds the rules of the nodes.
        constants: of the graph inside.

    Raises:
        Unsupported: one of the nodes cannot be evaluated.
    """

    def __init__(
        self,
        node: Node,
        inputs: Sequence[Array | None],
        nodes: Sequence[Node],
        results: Sequence[str],
        rule_of: RuleOf,
        constants: Mapping[str, Array] | None = None,
    ) -> None:
        self._reads, self._constants = node.inputs, dict(constants or {})
        self._rule_of, self._parts = rule_of, list[_Part]()
        self._renamed = dict[str, str]()
        known = self._constants | {
            name: values
            for name, values in zip(node.inputs, inputs, strict=True)
            if name and values is not None
        }
        self._evaluate(nodes, results, known)
        self._results = tuple(self._inner(name) for name in results)
        super().__init__(
            inputs, [_as_computed(known[name]) if name else _NOTHING for name in self._results]
        )
        operations = [part.operation for part in self._parts]
        self.selects = all(operation.selects for operation in operations)
        self.why_not_alone = next(filter(None, (o.why_not_alone for o in operations)), "")

    def _inner(self, name: str) -> str:
        """The value that a name stands for: an output of an If is one of the branch taken."""
        while name in self._renamed:
            name = self._renamed[name]
        return name

    def _evaluate(
        self, nodes: Sequence[Node], results: Sequence[str], known: dict[str, Array]
    ) -> None:
        graph = Graph(tuple(nodes), {}, tuple(results))
        for node in graph.needed_for(filter(None, results)):
            if node.operator == "If":
                self._branch(node, known)
                continue
            rule = self._rule_of(node)
            if rule is None:
                raise Unsupported(f"{node.operator} has no rule")
            reads = tuple(map(self._inner, node.inputs))
            operation = rule(node, [known[name] if name else None for name in reads])
            self._parts.append(_Part(operation, reads, node.outputs))
            known |= {
                name: values
                for name, values in zip(node.outputs, operation.outputs, strict=False)
                if name
            }

    def _branch(self, node: Node, known: dict[str, Array]) -> None:
        branch = branch_of(node, known[self._inner(node.inputs[0])])
        constants = {name: constant.read() for name, constant in branch.constants.items()}
        self._constants |= constants
        known |= constants
        self._evaluate(branch.nodes, branch.outputs, known)
        outputs = zip(node.outputs, branch.outputs, strict=True)
        self._renamed |= {outer: inner for outer, inner in outputs if outer}

    def carried(self, variances: Sequence[Variance]) -> Variances:
        """The variance that the inputs' errors have at each output."""
        given: dict[str, Variance] = {}
        for name, variance in zip(self._reads, variances, strict=True):
            given[name] = add_up(given.get(name), variance)
        return self._through(given, None)

    def own(self, mode: Mode) -> Variances:
        """The variance of what the nodes inside round."""
        given: dict[str, Variance] = {}
        if mode.stored:
            stored = float32_units(mode.stored)
            given = {
                name: stored * squares_of(values)
                for name, values in self._constants.items()
                if values.dtype.kind == "f"
            }
        return self._through(given, mode)

    def _through(self, variances: dict[str, Variance], mode: Mode | None) -> Variances:
        for part in self._parts:
            times = Counter(part.reads)  # a value that is read twice brings the same error twice
            given = [
                None if (v := variances.get(name)) is None else np.float32(times[name]) * v
                for name in part.reads
            ]
            operation = part.operation
            found: Variances = (None,) * len(operation.outputs)
            if any(v is not None for v in given):
                operation.decides = [False] * len(operation.outputs)
                found = operation.carried(given)
                if any(operation.decides):
                    self.decides = [True] * len(self.outputs)
            rounding = operation.own(mode) if mode else found[:0]
            for index, name in enumerate(part.makes[: len(found)]):
                total = add_up(found[index], *rounding[index : index + 1])
                if mode and mode.stored and name not in self._results:
                    total = add_up(total, _stored(operation, index, mode))
                if name and operation.outputs[index].dtype.kind == "f":
                    variances[name] = total
        return tuple(variances.get(name) if name else None for name in self._results)


def _stored(operation: Operation, index: int, mode: Mode) -> Variance:
    """The rounding of an inner value that is stored in fewer bits."""
    values = operation.outputs[index]
    if operation.selects or values.dtype.kind != "f":
        return None
    return float32_units(mode.stored) * np.float32(operation.stores) * squares_of(values)


def _as_computed(values: Array) -> Array:
    """An output that may be a constant of the graph inside."""
    return values.astype(np.float64, copy=False) if values.dtype.kind == "f" else values


def function_rule(node: Node, rule_of: RuleOf) -> Rule | None:
    """The rule of an operator that ONNX defines as a function; None if it does not."""
    if not has_body(node):
        return None

    def rule(node: Node, inputs: Sequence[Array | None]) -> Operation:
        shapes = [None if values is None else values.shape for values in inputs]
        nodes = expand(node, types_of(inputs), shapes)
        if nodes is None:
            raise Unsupported("its function is of no use for these inputs")
        return Inlined(node, inputs, nodes, node.outputs, rule_of)

    return rule


def fallback_of(node: Node, rule_of: RuleOf) -> Rule | None:
    """The rule of an operator that has none of its own; None if ONNX does not know it."""
    if schema_of(node) is None:
        return None
    if node.operator == "If":
        return lambda node, inputs: if_rule(node, inputs, rule_of)
    by_function = function_rule(node, rule_of)
    if by_function is None:
        return perturbed

    def rule(node: Node, inputs: Sequence[Array | None]) -> Operation:
        try:
            return by_function(node, inputs)
        except Unsupported:
            return perturbed(node, inputs)

    return rule


def types_of(inputs: Sequence[Array | None]) -> list[np.dtype[Any] | None]:
    """The inputs' types in the graph as far as they show: computed floats arrive as float64.

    They are taken to be of the type of a constant if there is one, and otherwise float32.
    """
    kinds = [None if values is None else values.dtype for values in inputs]
    floats = [kind for kind in kinds if kind is not None and kind.kind == "f"]
    stated = next((kind for kind in floats if kind != np.float64), np.dtype(np.float32))
    return [kind if kind is None or kind.kind != "f" else stated for kind in kinds]


def branch_of(node: Node, condition: Array) -> Graph:
    """The branch of an If that is taken."""
    branch = node.get("then_branch" if bool(np.reshape(condition, ())) else "else_branch")
    assert isinstance(branch, Graph)
    return branch


def with_outer_values(node: Node) -> Node:
    """A node with what its subgraphs take from outside as further inputs."""
    outer = dict.fromkeys(name for name in read_by(node) if name not in node.inputs)
    return replace(node, inputs=(*node.inputs, *outer)) if outer else node


def if_rule(node: Node, inputs: Sequence[Array | None], rule_of: RuleOf) -> Operation:
    """If: the branch that is taken; the node's inputs include what that takes from outside."""
    condition = inputs[0]
    assert condition is not None
    branch = branch_of(node, condition)
    constants = {name: constant.read() for name, constant in branch.constants.items()}
    results = [
        inner if outer else "" for outer, inner in zip(node.outputs, branch.outputs, strict=True)
    ]
    operation = Inlined(node, inputs, branch.nodes, results, rule_of, constants)
    operation.why_not_alone = "the branch of an If is not run alone"
    return operation
