"""Evaluate part of a graph in float64, one node of it changed, without variances."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from onnx_arbiter.graph import Array, Graph, Node, read_by
from onnx_arbiter.judge.hypotheses.mistake import Arrays, outputs_of
from onnx_arbiter.numeric_modes import is_float

# What a node computes in place of what it says; None leaves it as it is.
Instead = Callable[[Node, Arrays], "Sequence[Array] | None"]


class Region:
    """What a value is computed from, back to values that are given.

    Args:
        graph: the network.
        given: values by name: the graph's inputs, and what a runtime computed.
        target: a value; that it is given itself does not count.
        tick: called before each node; what it raises ends the evaluation.
    """

    def __init__(
        self,
        graph: Graph,
        given: Mapping[str, Array],
        target: str,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        self.nodes = between(graph, given, target)
        self.target = target
        self.given = given
        self._graph = graph
        self._tick = tick

    def with_given(self, name: str, values: Array) -> Region:
        """The region with another value given."""
        return Region(self._graph, {**self.given, name: values}, self.target, self._tick)

    def reads(self, name: str) -> bool:
        """Whether any node of the region reads a value."""
        return any(name in read_by(node) for node in self.nodes)

    def evaluate(self, instead: Instead) -> Array:
        """The target with some nodes changed; values are dropped once they were read."""
        readers = Counter(name for node in self.nodes for name in set(read_by(node)))
        known = dict[str, Array]()
        for node in self.nodes:
            known.update(self._computed(node, self.read(node, known), instead))
            for name in set(read_by(node)):
                readers[name] -= 1
                if not readers[name] and name != self.target:
                    known.pop(name, None)
        return known[self.target]

    def all_values(self) -> dict[str, Array]:
        """Every value of the region, unchanged."""
        known = dict[str, Array]()
        for node in self.nodes:
            known.update(self._computed(node, self.read(node, known), lambda _n, _i: None))
        return known

    def after(self, node: Node, outputs: Sequence[Array], known: Mapping[str, Array]) -> Array:
        """The target if a node's outputs are these, all other values being known."""
        changed = dict(zip(node.outputs, outputs, strict=False))
        start = self.nodes.index(node) + 1
        for later in self.nodes[start:]:
            if any(name in changed for name in read_by(later)):
                read = self.read(later, {**known, **changed})
                changed.update(self._computed(later, read, lambda _n, _i: None))
        return changed[self.target]

    def read(self, node: Node, known: Mapping[str, Array]) -> Arrays:
        """What a node reads: constants in their own type, other floats as float64."""
        return [self._value(name, known) if name else None for name in node.inputs]

    def _value(self, name: str, known: Mapping[str, Array]) -> Array:
        if name in known:
            return known[name]
        if name in self.given:
            values = self.given[name]
            return values.astype(np.float64) if is_float(values.dtype) else values
        values = self._graph.constants[name].read()
        odd = is_float(values.dtype) and values.dtype.kind != "f"
        return values.astype(np.float32) if odd else values

    def _computed(self, node: Node, inputs: Arrays, instead: Instead) -> dict[str, Array]:
        self._tick()
        outputs = instead(node, inputs)
        if outputs is None:
            outputs = outputs_of(node, inputs)
        return dict(zip(node.outputs, outputs, strict=False))


def between(graph: Graph, given: Collection[str], target: str) -> tuple[Node, ...]:
    """The nodes that compute a value from values that are given, in order."""
    wanted, nodes = {target}, list[Node]()
    for node in reversed(graph.nodes):
        if wanted.intersection(node.outputs):
            wanted.update(name for name in read_by(node) if name not in given)
            nodes.append(node)
    return tuple(reversed(nodes))
