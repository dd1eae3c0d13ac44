"""A runtime that computes a graph node by node, and its 3x3 convolutions by an engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from onnx_arbiter.algorithms.fft import Fft
from onnx_arbiter.graph import Array, Graph, Node
from onnx_arbiter.operators.sums.convolution import is_by_algorithm
from onnx_arbiter.runtimes.onnxruntime import run_node
from parity_tests.support.arithmetic.convolutions import by_fft, by_winograd
from parity_tests.support.arithmetic.simulated_engines import Engine

FLOAT32 = np.dtype(np.float32)


def _unchanged(node: Node, given: dict[str, Array]) -> tuple[Node, dict[str, Array]]:
    return node, given


@dataclass(frozen=True)
class NodeByNode:
    """Convolutions of 3x3 kernels by an engine, everything else by ONNX Runtime.

    Attributes:
        graph: the network.
        engine: of all 3x3 convolutions that move by ones, or by the node's name; others are sums.
        change: a mistake: what is computed in a node's place, from which values and constants.
    """

    graph: Graph
    engine: Engine | Mapping[str, Engine]
    change: Callable[[Node, dict[str, Array]], tuple[Node, dict[str, Array]]] = field(
        default=_unchanged
    )

    def values(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Every value that the nodes compute."""
        known, computed = dict(inputs), dict[str, Array]()
        for node in self.graph.nodes:
            given = {name: known[name] for name in node.inputs if name in known}
            constants = {
                name: self.graph.constants[name].read()
                for name in node.inputs
                if name in self.graph.constants
            }
            made = self.alone(node, given, constants, dict.fromkeys(node.outputs, FLOAT32))
            known.update(made)
            computed.update(made)
        return computed

    def alone(
        self,
        node: Node,
        inputs: Mapping[str, Array],
        constants: Mapping[str, Array],
        types: Mapping[str, np.dtype[Any]],
    ) -> dict[str, Array]:
        """Compute a node alone; a `NodeRunner`."""
        engine = self.engine
        if isinstance(engine, Mapping):
            engine = engine.get(node.name)
        by_engine = engine is not None and is_by_algorithm(node, self.graph)
        node, read = self.change(node, {**inputs, **constants})
        if not by_engine or engine is None:
            kept = {name: values for name, values in read.items() if name in constants}
            free = {name: values for name, values in read.items() if name not in constants}
            return dict(run_node(node, free, kept, types))
        maps, weight, *bias = (read[name] for name in node.inputs)
        pads = node.get("pads", (0, 0, 0, 0))
        # What the engine computes has a padding of one; where there is none, it is cut off.
        computed = (
            by_fft(maps, weight, engine)
            if isinstance(engine, Fft)
            else by_winograd(maps, weight, engine)
        )
        assert set(pads) == {1}
        if bias:
            computed = computed + bias[0].reshape(1, -1, 1, 1)
        return {node.outputs[0]: computed}
