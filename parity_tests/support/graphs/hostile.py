"""Small ONNX files that mean harm: graphs that grow, or never end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

_OPSET: Final = [helper.make_opsetid("", 21)]
_OWN: Final = "own"
_WITH_OWN: Final = [*_OPSET, helper.make_opsetid(_OWN, 1)]


def _zeros(name: str, *shape: int) -> TensorProto:
    return numpy_helper.from_array(np.zeros(shape, np.float32), name)


def _numbers(name: str, *values: int) -> TensorProto:
    return numpy_helper.from_array(np.array(values, np.int64), name)


def _texts(name: str, texts: Sequence[bytes], *inner: int) -> TensorProto:
    """Without ``helper.make_tensor``, which would make an array of them."""
    shape = (len(texts), *inner)
    return TensorProto(name=name, data_type=TensorProto.STRING, dims=shape, string_data=texts)


def _graph(
    nodes: Sequence[NodeProto],
    constants: Sequence[TensorProto] = (),
    functions: Sequence[onnx.FunctionProto] = (),
    batch: int | str = "N",
    side: int = 64,
) -> onnx.ModelProto:
    """Nodes that make z of the images x, and then one value for each image."""
    ends = [
        helper.make_node("ReduceMean", ["z"], ["mean"], keepdims=1),
        helper.make_node("Reshape", ["mean", "shape"], ["y"]),
    ]
    images = helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, side, side])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", "C"])
    constants = [*constants, _numbers("shape", -1, 1)]
    graph = helper.make_graph([*nodes, *ends], "graph", [images], [output], constants)
    return helper.make_model(graph, functions=functions, opset_imports=_WITH_OWN, ir_version=10)


def _beside(nodes: Sequence[NodeProto], *constants: TensorProto) -> onnx.ModelProto:
    """Nodes that compute with constants alone, beside what is made of the images."""
    return _graph([*nodes, helper.make_node("Relu", ["x"], ["z"])], constants)


def sums() -> onnx.ModelProto:
    """A hundred sums of a column and a row, of 64 MB each."""
    nodes = [helper.make_node("Add", ["a", "b"], [f"sum_{n}"]) for n in range(100)]
    return _beside(nodes, _zeros("a", 4096, 1), _zeros("b", 1, 4096))


def maximum() -> onnx.ModelProto:
    """The largest of three rows along three axes: 69 billion values."""
    constants = (_zeros("a", 4096), _zeros("b", 4096, 1), _zeros("c", 4096, 1, 1))
    return _beside([helper.make_node("Max", ["a", "b", "c"], ["most"])], *constants)


def joined() -> onnx.ModelProto:
    """A row joined to itself half a million times."""
    return _beside([helper.make_node("Concat", ["a"] * 500_000, ["c"], axis=0)], _zeros("a", 4096))


def casts() -> onnx.ModelProto:
    """A megabyte of values in float64, 1,500 times."""
    nodes = [
        helper.make_node("Cast", ["a"], [f"cast_{n}"], to=TensorProto.DOUBLE) for n in range(1500)
    ]
    return _beside(nodes, _zeros("a", 1 << 18))


def text() -> onnx.ModelProto:
    """Eight million numbers as text: an object for each."""
    node = helper.make_node("Cast", ["a"], ["text"], to=TensorProto.STRING)
    return _beside([node], _zeros("a", 8_000_000))


def joined_text() -> onnx.ModelProto:
    """A thousand texts of 3,000 letters, each with each of 300 behind it: 2 GB."""
    a, b = _texts("a", [b"a" * 3000] * 1000, 1), _texts("b", [b"b" * 3000] * 300)
    return _beside([helper.make_node("Add", ["a", "b"], ["sum"])], a, b)


def uneven_text() -> onnx.ModelProto:
    """A long text among short ones: as an array, each has the room of the longest."""
    texts = [b"a" * 1_000_000, *(b"b" for _ in range(600))]
    made = [helper.make_node("Constant", [], ["in_node"], value_strings=texts)]
    return _beside(made, _texts("given", texts))


def repeated() -> onnx.ModelProto:
    """A large image sixteen times: 4 GB."""
    indices = _numbers("indices", *(0,) * 16)
    node = helper.make_node("Gather", ["x", "indices"], ["z"], axis=0)
    return _graph([node], [indices], batch=1, side=4700)


def expanded() -> onnx.ModelProto:
    """Each image forty thousand times: 2 GB."""
    size = _numbers("size", 40_000, 3, 64, 64)
    return _graph([helper.make_node("Expand", ["x", "size"], ["z"])], [size])


def tiled() -> onnx.ModelProto:
    repeats = _numbers("repeats", 1, 1000, 100, 100)
    return _graph([helper.make_node("Tile", ["x", "repeats"], ["z"])], [repeats])


def padded() -> onnx.ModelProto:
    pads = _numbers("pads", 0, 0, 20_000, 20_000, 0, 0, 20_000, 20_000)
    return _graph([helper.make_node("Pad", ["x", "pads"], ["z"])], [pads])


def endless() -> onnx.ModelProto:
    """A loop whose condition is always true."""
    kinds = {"round": TensorProto.INT64, "go on": TensorProto.BOOL}
    state = helper.make_tensor_value_info("state", TensorProto.FLOAT, None)
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go on"], ["and on"]),
            helper.make_node("Identity", ["state"], ["next"]),
        ],
        "body",
        [*(helper.make_tensor_value_info(name, kind, []) for name, kind in kinds.items()), state],
        [
            helper.make_tensor_value_info("and on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )
    true = numpy_helper.from_array(np.array(True), "true")
    return _graph([helper.make_node("Loop", ["", "true", "x"], ["z"], body=body)], [true])


def functions() -> onnx.ModelProto:
    """Seventeen functions, each of which calls the one before twice."""
    made = []
    for number in range(17):
        domain, name = (_OWN, f"twice_{number - 1}") if number else ("", "Relu")
        nodes = [
            helper.make_node(name, [a], [b], domain=domain) for a, b in (("a", "b"), ("b", "c"))
        ]
        made.append(helper.make_function(_OWN, f"twice_{number}", ["a"], ["c"], nodes, _WITH_OWN))
    return _graph([helper.make_node("twice_16", ["x"], ["z"], domain=_OWN)], functions=made)


def overloads() -> onnx.ModelProto:
    """The same, as overloads of one function."""
    model = functions()
    for function in model.functions:
        function.name, _, function.overload = function.name.partition("_")
    for node in (*model.graph.node, *(node for one in model.functions for node in one.node)):
        if node.domain == _OWN:
            node.op_type, _, node.overload = node.op_type.partition("_")
    return model


def calls_itself() -> onnx.ModelProto:
    again = helper.make_node("again", ["a"], ["b"], domain=_OWN)
    function = helper.make_function(_OWN, "again", ["a"], ["b"], [again], _WITH_OWN)
    return _graph([helper.make_node("again", ["x"], ["z"], domain=_OWN)], functions=[function])


def chain() -> onnx.ModelProto:
    """Sixty thousand nodes that do nothing."""
    names = ["x", *(f"x_{n}" for n in range(60_000)), "z"]
    nodes = [helper.make_node("Identity", [a], [b]) for a, b in pairwise(names)]
    return _graph(nodes)


def batch() -> onnx.ModelProto:
    return _graph([helper.make_node("Relu", ["x"], ["z"])], batch=1_000_000)


# What the file is -> how it is made, and what `vgg16 check` says of it.
GRAPHS: Final[dict[str, tuple[Callable[[], onnx.ModelProto], str]]] = {
    "sums of 64 MB": (sums, "does not match"),
    "a maximum of billions of values": (maximum, "does not match"),
    "a row joined to itself": (joined, "does not match"),
    "casts of a megabyte": (casts, "does not match"),
    "numbers as text": (text, "does not match"),
    "texts that are joined": (joined_text, "does not match"),
    "a long text among short ones": (uneven_text, "does not match"),
    "images that are picked again": (repeated, "picks values more than once"),
    "images that are expanded": (expanded, "not run, since the graph is not the network's"),
    "images that are tiled": (tiled, "not run, since the graph is not the network's"),
    "images in wide zeros": (padded, "too large to follow"),
    "a loop without an end": (endless, "not run, since the graph is not the network's"),
    "functions in functions": (functions, "has 131,074 nodes, functions inlined"),
    "overloads in overloads": (overloads, "has 131,074 nodes, functions inlined"),
    "a function in itself": (calls_itself, "must not be recursive"),
    "a chain of nodes": (chain, "has 60,003 nodes"),
    "a million images at a time": (batch, "does not match"),
}
