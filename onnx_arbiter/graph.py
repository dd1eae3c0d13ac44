"""A network as the arbiter walks it: nodes in topological order, inputs, and lazily read constants.

Nothing here knows ONNX files (``from_onnx.py`` does) or VGG; a graph may also be built by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
# An axis is a number, or the name or nothing by which a file leaves its size open.
Axis: TypeAlias = int | str | None
Attribute: TypeAlias = (
    "int | float | str | tuple[int, ...] | tuple[float, ...] | tuple[str, ...] | Array | Graph"
)


@dataclass(frozen=True)
class Constant:
    """A tensor that a graph has, read when it is needed.

    Attributes:
        dtype, shape: what reading gives.
        read: reads it; it may be mapped from a file, and is never written to.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    read: Callable[[], Array]

    @classmethod
    def of(cls, values: Array) -> Constant:
        """A constant that is in memory."""
        return cls(values.dtype, values.shape, lambda: values)


@dataclass(frozen=True)
class Input:
    """What a graph says of one of its inputs: its type, and its shape if it has one."""

    dtype: np.dtype[Any]
    shape: tuple[Axis, ...] | None


@dataclass(frozen=True)
class Node:
    """One node.

    Attributes:
        name: unique in the graph.
        operator: ``Conv``, ``Relu``, …
        inputs, outputs: names of values; an optional input that is left out is ``""``.
        attributes: those that the node states; rules know the defaults.
        domain: ``""`` for ONNX's own operators.
        version: the version of the domain that the graph was written for.
    """

    name: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    domain: str = ""
    version: int = 21

    def get(self, attribute: str, default: Any = None) -> Any:
        """An attribute's value, or what it is where the node does not state it."""
        return self.attributes.get(attribute, default)


@dataclass(frozen=True)
class Graph:
    """A network.

    Attributes:
        nodes: in topological order.
        inputs: by name, without those that are constants.
        outputs: names of values.
        constants: by the name of the value.
        name: for messages.
    """

    nodes: tuple[Node, ...]
    inputs: Mapping[str, Input]
    outputs: tuple[str, ...]
    constants: Mapping[str, Constant] = field(default_factory=dict)
    name: str = "graph"

    @property
    def producers(self) -> dict[str, Node]:
        """Value -> the node that computes it."""
        return {value: node for node in self.nodes for value in node.outputs if value}

    def needed_for(self, values: Iterable[str]) -> tuple[Node, ...]:
        """The nodes that values are computed from, in order."""
        wanted, nodes = set(values), list[Node]()
        for node in reversed(self.nodes):
            if wanted.intersection(node.outputs):
                wanted.update(read_by(node))
                nodes.append(node)
        return tuple(reversed(nodes))


def read_by(node: Node) -> Sequence[str]:
    """The values that a node reads: its inputs, and what its subgraphs take from outside."""
    names = [name for name in node.inputs if name]
    for attribute in node.attributes.values():
        if isinstance(attribute, Graph):
            inside = set(attribute.producers) | set(attribute.inputs) | set(attribute.constants)
            for inner in attribute.nodes:
                names += [name for name in read_by(inner) if name not in inside]
            names += [name for name in attribute.outputs if name not in inside]
    return names
