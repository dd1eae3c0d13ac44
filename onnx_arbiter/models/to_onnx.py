"""A node of a graph as an ONNX model of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from onnx_arbiter.graph import Array, Attribute, Graph, Node

if TYPE_CHECKING:
    import onnx

# The newest version of the format that every runtime in use reads.
_IR_VERSION: Final = 10


def model_of(
    nodes: Sequence[Node],
    types: Mapping[str, np.dtype[Any]],
    inputs: Mapping[str, Array],
    constants: Mapping[str, Array] = MappingProxyType({}),
) -> onnx.ModelProto:
    """Nodes as a model that reads ``inputs`` and gives every output of the nodes.

    Args:
        nodes: in topological order.
        types: the type of each output.
        inputs: what the nodes read, by name: their types and shapes.
        constants: what else they read, by name; the model has it.
    """
    import onnx

    helper = onnx.helper
    held = [onnx.numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()]
    given = [
        helper.make_tensor_value_info(n, onnx_type(v.dtype), v.shape) for n, v in inputs.items()
    ]
    made = [helper.make_tensor_value_info(name, onnx_type(types[name]), None)
            for node in nodes for name in node.outputs if name]  # fmt: skip
    graph = helper.make_graph([proto_of(node) for node in nodes], "nodes", given, made, held)
    versions = {node.domain: node.version for node in nodes}
    opsets = [helper.make_opsetid(domain, version) for domain, version in versions.items()]
    return helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)


def proto_of(node: Node) -> onnx.NodeProto:
    """A node as ONNX has it."""
    import onnx

    made = onnx.helper.make_node(
        node.operator, node.inputs, node.outputs, name=node.name, domain=node.domain
    )
    made.attribute.extend(_attributes(node.attributes))
    return made


def _attributes(attributes: Mapping[str, Attribute]) -> Iterable[onnx.AttributeProto]:
    import onnx

    for name, value in attributes.items():
        if isinstance(value, Graph):
            raise TypeError(f"the attribute {name} is a graph")
        given = onnx.numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value
        if given == ():  # of no type: ints, as every list is that may be empty
            yield onnx.helper.make_attribute(name, given, attr_type=onnx.AttributeProto.INTS)
        else:
            yield onnx.helper.make_attribute(name, given)


def onnx_type(dtype: np.dtype[Any]) -> int:
    """A type's number in ONNX."""
    import onnx

    return int(onnx.helper.np_dtype_to_tensor_dtype(dtype))
