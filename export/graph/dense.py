"""The canonical graph applied densely: section 3.2 of the paper.

The network's own size is in one place of the graph, its Flatten. Without it, images may have any
height and width.
"""

from __future__ import annotations

from typing import Any, Final

import onnx_ir as ir

from export.graph.edges import NamedTape
from export.graph.rewrites import known_sizes

_FIXED: Final[dict[str, Any]] = {"dilations": (1, 1), "group": 1}


def apply_densely(model: ir.Model) -> None:
    """Have a canonical graph with its weights take images of any size, in place.

    Gemm(Flatten(x), w, b) -> Conv(x, w as (out, C, h, w), b), of x's own size (C, h, w)
    Gemm(x, w, b)          -> Conv(x, w as (out, in, 1, 1), b)
    output                 -> Flatten(GlobalAveragePool(output))

    The last maps' size is read from the graph, whose shapes are known. Weights keep their values
    and their bytes, wherever these are: fc1's inputs are in the order C, h, w.

    Raises:
        ValueError: the graph has no classifier, or not one of its dense layers alone.
    """
    graph = model.graph
    flattening = [node for node in graph if node.op_type == "Flatten"]
    dense = [node for node in graph if node.op_type == "Gemm"]
    if len(flattening) != 1 or not dense:
        raise ValueError("the graph has no classifier to apply densely")
    (maps,), (flat,) = flattening[0].inputs, flattening[0].outputs
    sides = known_sizes(maps, start=2)
    if [use.node for use in flat.uses()] != dense[:1] or len(sides) != 2 or maps is None:
        raise ValueError("the first dense layer does not read the last maps")
    ir.convenience.replace_all_uses_with(flat, maps)
    graph.remove(flattening[0], safe=True)
    for node in dense:
        scores = _as_convolution(graph, node, sides)
        sides = (1, 1)
    _average(graph, scores)


def _as_convolution(graph: ir.Graph, node: ir.Node, sides: tuple[int, ...]) -> ir.Value:
    """Put a convolution of this size in the place of a dense layer; its value."""
    weight, (before,) = node.inputs[1], node.outputs
    assert weight is not None
    assert weight.const_value is not None
    outputs, inputs = weight.const_value.shape.numpy()
    shape = (outputs, inputs // (sides[0] * sides[1]), *sides)
    weight.const_value, weight.shape = reshaped(weight.const_value, shape), ir.Shape(shape)
    attributes = _FIXED | {"kernel_shape": sides, "pads": (0, 0, 0, 0), "strides": (1, 1)}
    value = ir.Value(name=before.name, type=before.type)
    convolution = ir.Node(
        "",
        "Conv",
        node.inputs,
        ir.convenience.convert_attributes(attributes),
        outputs=[value],
        name=node.name,
    )
    graph.insert_before(node, convolution)
    ir.convenience.replace_all_uses_with(before, value, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    return value


def _average(graph: ir.Graph, scores: ir.Value) -> None:
    """Average the scores over space; what read them, and their name, are the mean's."""
    convolution, name, tape = scores.producer(), str(scores.name), NamedTape()
    assert convolution is not None
    scores.name = str(convolution.name)
    mean = tape.node(f"{scores.name}_mean", "GlobalAveragePool", scores)  # (N, K, 1, 1)
    flat = tape.node(name, "Flatten", mean, axis=1)  # (N, K)
    tape.nodes[-1].name = "flatten"
    mean.type = flat.type = scores.type
    for use in tuple(scores.uses()):
        if use.node is not mean.producer():
            use.node.replace_input_with(use.idx, flat)
    graph.outputs[:] = [flat if output is scores else output for output in graph.outputs]
    graph.insert_after(convolution, tape.nodes)


def reshaped(tensor: ir.TensorProtocol, shape: tuple[int, ...]) -> ir.TensorProtocol:
    """The same values in another shape; one in a file stays where it is."""
    if isinstance(tensor, ir.ExternalTensor):
        place = (tensor.location, tensor.offset, tensor.length, tensor.dtype)
        return ir.ExternalTensor(
            *place, name=str(tensor.name), shape=ir.Shape(shape), base_dir=tensor.base_dir
        )

    def read() -> ir.TensorProtocol:
        return ir.Tensor(tensor.numpy().reshape(shape), name=tensor.name)

    return ir.LazyTensor(read, tensor.dtype, ir.Shape(shape), name=tensor.name)
