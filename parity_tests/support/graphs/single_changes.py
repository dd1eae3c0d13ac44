"""Every small change of a graph, enumerated from the graph and from the operators' schemas."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
from onnx import helper, numpy_helper

from mistakes.in_onnx import Edit, node_of, remove, set_attribute, set_operator

# What the attributes of type string may be; the schemas leave it to their text.
_STRINGS: Final = {
    "auto_pad": ("SAME_UPPER", "SAME_LOWER", "VALID"),
    "mode": ("nearest", "linear", "cubic"),
    "coordinate_transformation_mode": ("align_corners", "asymmetric", "pytorch_half_pixel"),
    "keep_aspect_ratio_policy": ("not_larger", "not_smaller"),
    "nearest_mode": ("floor", "ceil"),
    "round_mode": ("down",),
}
# What a cast makes of a number, some with fewer bits.
_TYPES: Final = (
    *(onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16),
    *(onnx.TensorProto.BFLOAT16, onnx.TensorProto.INT32, onnx.TensorProto.INT64),
)
# Another operator of as many inputs.
_SIBLINGS: Final = {
    "Add": ("Mul", "Sub"),
    "Sub": ("Add",),
    "Mul": ("Add", "Div"),
    "Div": ("Mul",),
    "Relu": ("Sigmoid", "LeakyRelu", "Abs", "Neg", "Elu", "Softplus"),
    "MaxPool": ("AveragePool",),
    "AveragePool": ("MaxPool",),
    "Softmax": ("LogSoftmax", "Sigmoid", "Hardmax"),
    "ReduceMin": ("ReduceMax", "ReduceMean"),
    "Round": ("Floor", "Ceil"),
}


@dataclass(frozen=True)
class Change:
    """One change of a graph.

    Attributes:
        name: what is changed.
        node: the name of the node that is changed, or behind which another is inserted.
        edit: makes it.
    """

    name: str
    node: str
    edit: Edit


def attributes(model: onnx.ModelProto) -> Iterator[Change]:
    """Each attribute that a node's operator has, given or not, set to each of some other values."""
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    for node in model.graph.node:
        schema = onnx.defs.get_schema(node.op_type, opsets[node.domain], node.domain)
        given = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
        for name, attribute in schema.attributes.items():
            default = helper.get_attribute_value(attribute.default_value)
            for value in _other_values(node.op_type, name, attribute, given.get(name, default)):
                edit = set_attribute(node.name, name, value)
                yield Change(f"{node.name}: {name} = {value}", node.name, edit)


def _other_values(operator: str, name: str, attribute: Any, value: Any) -> Iterator[Any]:
    kinds = onnx.defs.OpSchema.AttrType
    if name == "to":
        yield from set(_TYPES) - {value}
        return
    if isinstance(value, bytes):
        value = value.decode()
    match attribute.type:
        case kinds.INT:
            yield from {0, 1, 2, -1 if name == "axis" else 0} - {value}
        case kinds.FLOAT:
            yield from {0.0, 0.5, 1.0, 2.0} - {value}
        case kinds.STRING:
            yield from set(_STRINGS[name]) - {value}
        case kinds.INTS if name == "perm":
            yield from ([*p] for p in itertools.permutations(range(len(value))) if [*p] != value)
        case kinds.INTS:
            given = value or _usual(operator, name)
            for index in range(len(given)):
                yield [n + (i == index) for i, n in enumerate(given)]
        case _:
            raise AssertionError(f"{operator} has an attribute {name} of type {attribute.type}")


def _usual(operator: str, name: str) -> list[int]:
    """What an absent attribute of numbers stands for, for two spatial axes."""
    return {"pads": [0] * 4, "axes": [0]}.get(name, [1, 1])


def operands(model: onnx.ModelProto) -> Iterator[Change]:
    """Two inputs of a node exchanged; an input left out."""
    for node in model.graph.node:
        given = [index for index, name in enumerate(node.input) if name]
        for first, second in itertools.combinations(given, 2):
            yield Change(
                f"{node.name}: inputs {first} and {second} exchanged",
                node.name,
                _rewire(node.name, {first: node.input[second], second: node.input[first]}),
            )
        for index in given:
            yield Change(
                f"{node.name}: without input {index}", node.name, _rewire(node.name, {index: ""})
            )


def rewired(model: onnx.ModelProto) -> Iterator[Change]:
    """An input read from another value of the same type and shape."""
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    kinds = {
        value.name: value.type.SerializeToString()
        for value in (*inferred.value_info, *inferred.input, *inferred.output)
    }
    for tensor in model.graph.initializer:
        kind = helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
        kinds[tensor.name] = kind.SerializeToString()
    known = [value.name for value in (*model.graph.input, *model.graph.initializer)]
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            for other in known:
                if other != name and kinds.get(other, "") == kinds.get(name):
                    yield Change(
                        f"{node.name}: reads {other} for {name}",
                        node.name,
                        _rewire(node.name, {index: other}),
                    )
        known += node.output


def _rewire(node: str, inputs: dict[int, str]) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        found = node_of(model, node)
        for index, name in inputs.items():
            found.input[index] = name
        while found.input and not found.input[-1]:
            found.input.pop()

    return edit


def operators(model: onnx.ModelProto) -> Iterator[Change]:
    """A node of another operator; no node; the same node twice."""
    for node in model.graph.node:
        for other in _SIBLINGS.get(node.op_type, ()):
            yield Change(f"{node.name}: {other}", node.name, set_operator(node.name, other))
        yield Change(f"{node.name}: removed", node.name, _remove(node.name))
        yield Change(f"{node.name}: twice", node.name, _twice(node.name))


def _remove(node: str) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        (last,) = model.graph.output
        if last.name in (removed := node_of(model, node)).output:
            # The value that it reads takes the place of the graph's output, under its name.
            for other in model.graph.node:
                other.output[:] = [last.name if o == removed.input[0] else o for o in other.output]
            model.graph.node.remove(removed)
        else:
            remove(model, node)

    return edit


def _twice(node: str) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        first = node_of(model, node)
        again = onnx.NodeProto()
        again.CopyFrom(first)
        again.name = f"{node}_again"
        first.output[0] = again.input[0] = f"{node}_once"
        model.graph.node.insert(list(model.graph.node).index(first) + 1, again)

    return edit


_Made = Callable[[str, str], list[onnx.NodeProto]]


def _one(operator: str, *constants: str, **values: Any) -> _Made:
    def made(given: str, result: str) -> list[onnx.NodeProto]:
        return [helper.make_node(operator, [given, *constants], [result], "inserted", **values)]

    return made


def _through(kind: int) -> _Made:
    def made(given: str, result: str) -> list[onnx.NodeProto]:
        return [
            helper.make_node("Cast", [given], ["inserted_narrow"], "inserted", to=kind),
            helper.make_node(
                "Cast", ["inserted_narrow"], [result], "widened", to=onnx.TensorProto.FLOAT
            ),
        ]

    return made


_CONSTANTS: Final = {
    "inserted_one": 1.0,
    "inserted_next": np.nextafter(np.float32(1), np.float32(2)),
}
_INSERTED: Final[dict[str, _Made]] = {
    "a ReLU": _one("Relu"),
    "a float16 and back": _through(onnx.TensorProto.FLOAT16),
    "a bfloat16 and back": _through(onnx.TensorProto.BFLOAT16),
    "a scale": _one("Mul", "inserted_next"),
    "a bias": _one("Add", "inserted_next"),
    "a sign": _one("Neg"),
    "a softmax over the batch": _one("Softmax", axis=0),
    "a dropout": _one("Dropout"),
    "an identity": _one("Identity"),
    "a factor of one": _one("Mul", "inserted_one"),
}


def insertions(model: onnx.ModelProto) -> Iterator[Change]:
    """A node between a value of float32 and its readers."""
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    ranks = {
        value.name: len(value.type.tensor_type.shape.dim)
        for value in (*inferred.value_info, *inferred.output)
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    }
    for node in model.graph.node:
        rank = ranks.get(node.output[0], 0)
        moves = {
            f"axes {a} and {b} exchanged": _one("Transpose", perm=_exchanged(rank, a, b))
            for a, b in itertools.combinations(range(rank), 2)
        }
        for what, made in (_INSERTED | moves if rank else {}).items():
            yield Change(f"{node.name}: {what} behind it", node.name, _insert(node.name, made))


def _exchanged(rank: int, first: int, second: int) -> list[int]:
    order = list(range(rank))
    order[first], order[second] = second, first
    return order


def _insert(node: str, made: _Made) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        before = node_of(model, node)
        result, before.output[0] = before.output[0], "inserted_before"
        for name, value in _CONSTANTS.items():
            tensor = numpy_helper.from_array(np.array(value, np.float32), name)
            model.graph.initializer.append(tensor)
        index = list(model.graph.node).index(before) + 1
        for other in reversed(made("inserted_before", result)):
            model.graph.node.insert(index, other)

    return edit


KINDS: Final[dict[str, Callable[[onnx.ModelProto], Iterator[Change]]]] = {
    each.__name__: each for each in (attributes, operands, rewired, operators, insertions)
}


def situations(model: onnx.ModelProto) -> dict[tuple[Any, ...], str]:
    """What nodes are, and beside which others -> the name of the first of each kind."""
    makers = {node.output[0]: node.op_type for node in model.graph.node}
    found = dict[tuple[Any, ...], str]()
    for node in model.graph.node:
        readers = [other.op_type for other in model.graph.node if node.output[0] in other.input]
        given = [makers.get(name, "") for name in node.input]
        stated = sorted(entry.SerializeToString() for entry in node.attribute)
        found.setdefault((node.op_type, *given, *readers, *stated), node.name)
    return found


def downstream(model: onnx.ModelProto, name: str) -> list[onnx.NodeProto]:
    """A node, if it is there, those that read its output, those that read theirs, and so on."""
    found = [node for node in model.graph.node if node.name == name]
    values = {value for node in found for value in node.output}
    for node in model.graph.node:
        if values & set(node.input):
            values.update(node.output)
            found.append(node)
    return found
