"""Operators that ONNX defines as functions of others, written out as the nodes of their bodies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from onnx_arbiter.graph import Attribute, Constant, Graph, Node
from onnx_arbiter.models.to_onnx import onnx_type, proto_of

if TYPE_CHECKING:
    import onnx


# onnx.defs.OpSchema, whose stubs do not know what it has of functions.
Schema: TypeAlias = Any


def has_body(node: Node) -> bool:
    """Whether ONNX defines the node's operator as a function."""
    schema = schema_of(node)
    return schema is not None and bool(schema.has_function or schema.has_context_dependent_function)


def schema_of(node: Node) -> Schema | None:
    """What ONNX says of the node's operator; None if it does not know it."""
    import onnx

    domain = "" if node.domain == "ai.onnx" else node.domain
    try:
        return onnx.defs.get_schema(node.operator, node.version, domain)
    except onnx.defs.SchemaError:
        return None


def expand(
    node: Node,
    types: Sequence[np.dtype[Any] | None],
    shapes: Sequence[tuple[int, ...] | None] = (),
) -> tuple[Node, ...] | None:
    """The nodes of an operator's body; None if it has none.

    The body's nodes and inner values are named ``"node/name"``; its inputs and outputs have the
    names that the node reads and writes. Functions in the body are left as they are.

    Args:
        node: the node.
        types: of its inputs, on which some bodies depend; None where one is left out.
        shapes: likewise; without any, bodies that depend on the rank of an input are not found.
    """
    schema = schema_of(node)
    if schema is None:
        return None
    body = _body(schema, node, types, shapes)
    if body is None or not body.node:
        return None
    prefix = node.name or next(filter(None, node.outputs))
    names = {"": ""}
    for formal, actual in _pairs(body.input, node.inputs):
        names[formal] = actual
    for formal, actual in _pairs(body.output, node.outputs):
        if actual:
            names[formal] = actual
    return _Renamed(prefix, names, _attributes(schema, body, node), body).nodes(body.node)


def _pairs(formal: Sequence[str], actual: Sequence[str]) -> list[tuple[str, str]]:
    """Formal names beside actual ones, of which the last may be left out."""
    return list(zip(formal, [*actual, *[""] * (len(formal) - len(actual))], strict=True))


def _body(
    schema: Schema,
    node: Node,
    types: Sequence[np.dtype[Any] | None],
    shapes: Sequence[tuple[int, ...] | None],
) -> onnx.FunctionProto | None:
    """The body for the node's version, or the one nearest to it."""
    import onnx

    body = onnx.FunctionProto()
    if schema.has_function:
        version = _nearest(schema.function_opset_versions, node.version)
        body.ParseFromString(schema.get_function_with_opset_version(version))
    elif schema.has_context_dependent_function:
        version = _nearest(schema.context_dependent_function_opset_versions, node.version)
        known = [*shapes, *[None] * (len(types) - len(shapes))]
        protos = [_type(*pair).SerializeToString() for pair in zip(types, known, strict=True)]
        made = schema.get_context_dependent_function_with_opset_version(
            version, proto_of(node).SerializeToString(), protos
        )
        body.ParseFromString(made)
    else:
        return None
    return body


def _nearest(versions: Sequence[int], wanted: int) -> int:
    older = [version for version in versions if version <= wanted]
    return max(older) if older else min(versions)


def _type(dtype: np.dtype[Any] | None, shape: tuple[int, ...] | None) -> onnx.TypeProto:
    import onnx

    if dtype is None:
        return onnx.TypeProto()
    return onnx.helper.make_tensor_type_proto(onnx_type(dtype), shape)


def _attributes(schema: Schema, body: onnx.FunctionProto, node: Node) -> Mapping[str, Attribute]:
    """The attributes that a body may refer to: those stated, and the defaults of the others."""
    defaults = [a.default_value for a in schema.attributes.values() if a.default_value.name]
    known = {proto.name: _value(proto) for proto in [*defaults, *body.attribute_proto]}
    return known | dict(node.attributes)


def _value(proto: onnx.AttributeProto) -> Attribute:
    """An attribute without any graph in it."""
    import onnx

    value = onnx.helper.get_attribute_value(proto)
    if isinstance(value, onnx.TensorProto):
        return np.asarray(onnx.numpy_helper.to_array(value))
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, int | float):
        return value
    return tuple(item.decode() if isinstance(item, bytes) else item for item in value)


class _Renamed:
    """Reads the nodes of a body, renamed and with its attributes put in."""

    def __init__(
        self,
        prefix: str,
        names: Mapping[str, str],
        attributes: Mapping[str, Attribute],
        body: onnx.FunctionProto,
    ) -> None:
        self._prefix, self._names, self._attributes = prefix, names, attributes
        self._versions = {opset.domain: opset.version for opset in body.opset_import}

    def nodes(self, protos: Sequence[onnx.NodeProto], inside: str = "") -> tuple[Node, ...]:
        """Nodes, named by where they are and what they are."""
        return tuple(
            self._node(proto, f"{self._prefix}/{inside}{proto.op_type}_{place}")
            for place, proto in enumerate(protos)
        )

    def _name(self, name: str) -> str:
        return self._names.get(name, f"{self._prefix}/{name}")

    def _node(self, proto: onnx.NodeProto, name: str) -> Node:
        stated = dict[str, Attribute]()
        for attribute in proto.attribute:
            if attribute.ref_attr_name:
                # One that is stated nowhere and has no default is left out here, too.
                if attribute.ref_attr_name in self._attributes:
                    stated[attribute.name] = self._attributes[attribute.ref_attr_name]
            elif attribute.HasField("g"):
                stated[attribute.name] = self._graph(attribute.g, name)
            else:
                stated[attribute.name] = _value(attribute)
        return Node(
            name,
            proto.op_type,
            tuple(map(self._name, proto.input)),
            tuple(map(self._name, proto.output)),
            stated,
            proto.domain,
            self._versions[proto.domain],
        )

    def _graph(self, graph: onnx.GraphProto, owner: str) -> Graph:
        import onnx

        inside = owner.removeprefix(f"{self._prefix}/") + f"/{graph.name}/"
        constants = {
            self._name(tensor.name): Constant.of(np.asarray(onnx.numpy_helper.to_array(tensor)))
            for tensor in graph.initializer
        }
        outputs = tuple(self._name(output.name) for output in graph.output)
        return Graph(self.nodes(graph.node, inside), {}, outputs, constants, graph.name)
