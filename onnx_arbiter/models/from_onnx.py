"""A `Graph` from a model of onnx_ir."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any, Final

import numpy as np
import onnx_ir as ir

from onnx_arbiter.graph import Array, Attribute, Axis, Constant, Graph, Input, Node
from onnx_arbiter.models.onnx_file import printable
from vgg16_spec.errors import BadInput

# Attributes of kinds that no operator of ours reads keep a text that says so.
_UNREAD: Final = "unread"
# A tensor of more bytes, such as a table of which few rows are read, is not read for being checked.
_LARGEST_CHECKED: Final = 1 << 30


def graph_of(model: ir.Model, name: str) -> Graph:
    """The graph of a model without local functions; weights are read when they are needed."""
    return _graph(model.graph, model.graph.opset_imports or model.opset_imports, name)


def _graph(graph: ir.Graph, versions: dict[str, int], name: str) -> Graph:
    constants = {
        str(value.name): _constant(str(value.name), value.const_value)
        for value in graph.initializers.values()
        if value.const_value is not None
    }
    names, nodes = _Names(str(node.name) for node in graph if node.name), list[Node]()
    for node in graph:
        made = _node(node, versions, names)
        if made.operator == "Constant" and made.domain == "" and "value" in made.attributes:
            value = made.attributes["value"]
            if isinstance(value, np.ndarray):
                constants[made.outputs[0]] = Constant.of(value)
                continue
        nodes.append(made)
    inputs = {
        str(value.name): Input(_dtype(value), _shape(value))
        for value in graph.inputs
        if value.name not in constants
    }
    return Graph(
        tuple(nodes),
        inputs,
        tuple(str(value.name) for value in graph.outputs),
        constants,
        name,
    )


class _Names:
    """Gives every node a name of its own: many exporters leave it out, some repeat it."""

    def __init__(self, stated: Iterable[str]) -> None:
        self._taken = set(stated)
        self._given = set[str]()
        self._numbers = defaultdict[str, Iterator[int]](count)

    def unique(self, stated: str, operator: str) -> str:
        name = stated
        if not stated or stated in self._given:
            base = stated or operator
            numbered = (f"{base}_{number}" for number in self._numbers[base])
            name = next(other for other in numbered if other not in self._taken)
        self._taken.add(name)
        self._given.add(name)
        return name


def _node(node: ir.Node, versions: dict[str, int], names: _Names) -> Node:
    domain = "" if node.domain in ("", "ai.onnx") else node.domain
    return Node(
        names.unique(node.name or "", node.op_type),
        node.op_type,
        tuple("" if value is None else str(value.name) for value in node.inputs),
        tuple(str(value.name or "") for value in node.outputs),
        {attr.name: _attribute(attr, versions) for attr in node.attributes.values()},
        domain,
        node.version or versions.get(node.domain, versions.get(domain, 1)),
    )


def _attribute(attribute: ir.Attr, versions: dict[str, int]) -> Attribute:
    value: Any = attribute.value
    match attribute.type:
        case ir.AttributeType.INT | ir.AttributeType.FLOAT | ir.AttributeType.STRING:
            kept: Attribute = value
            return kept
        case ir.AttributeType.INTS | ir.AttributeType.FLOATS | ir.AttributeType.STRINGS:
            return tuple(value)
        case ir.AttributeType.TENSOR:
            array: Array = value.numpy()
            return array
        case ir.AttributeType.GRAPH:
            return _graph(value, versions, attribute.name)
    return _UNREAD


def _constant(name: str, tensor: Any) -> Constant:
    def read() -> Array:
        return _finite(name, _unmapped(tensor).numpy())

    return Constant(np.dtype(tensor.dtype.numpy()), tuple(map(int, tensor.shape)), read)


def _unmapped(tensor: Any) -> Any:
    """A tensor that has not been read: one in a file stays mapped for as long as it exists."""
    if not isinstance(tensor, ir.ExternalTensor):
        return tensor
    return ir.ExternalTensor(
        tensor.location,
        tensor.offset,
        tensor.length,
        tensor.dtype,
        shape=tensor.shape,
        name=tensor.name,
        base_dir=tensor.base_dir,
    )


def _finite(name: str, values: Array) -> Array:
    if values.nbytes > _LARGEST_CHECKED:
        return values
    if values.dtype.kind == "f" and np.isnan(np.min(values, initial=0)):
        raise BadInput(printable(name), "the weight has values that are not a number (NaN)")
    return values


def _dtype(value: ir.Value) -> np.dtype[Any]:
    return np.dtype(np.float32) if value.dtype is None else np.dtype(value.dtype.numpy())


def _shape(value: ir.Value) -> tuple[Axis, ...] | None:
    if value.shape is None:
        return None
    return tuple(axis if isinstance(axis, int) else axis.value for axis in value.shape)
