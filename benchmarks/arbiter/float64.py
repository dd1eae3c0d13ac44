"""A copy of a model that computes in float64, as far as ONNX Runtime has the kernels."""

from __future__ import annotations

from typing import Final

import numpy as np
import onnx
from onnx import TensorProto
from onnx.helper import make_node

# ONNX Runtime reads one and writes the other as a Cast.
_WITHOUT: Final = ("Constant", "CastLike")


def lacking(model: onnx.ModelProto) -> list[str]:
    """The operators of a model that ONNX Runtime's CPU has no kernel in float64 for."""
    from onnxruntime.capi.onnxruntime_pybind11_state import get_all_opkernel_def

    known = {
        kernel.op_name
        for kernel in get_all_opkernel_def()
        if kernel.provider == "CPUExecutionProvider" and kernel.domain == ""
        if any("tensor(double)" in types for types in kernel.type_constraints.values())
    }
    used = dict.fromkeys(node.op_type for node in model.graph.node)
    return [operator for operator in used if operator not in known and operator not in _WITHOUT]


def in_float64(model: onnx.ModelProto, narrow: list[str]) -> onnx.ModelProto:
    """The model with every float32 made float64, and every value an output.

    Args:
        model: is changed.
        narrow: operators that stay float32, between casts.
    """
    graph = model.graph
    attributes = [attribute for node in graph.node for attribute in node.attribute]
    for tensor in (*graph.initializer, *(a.t for a in attributes if a.HasField("t"))):
        if tensor.data_type == TensorProto.FLOAT:
            values = onnx.numpy_helper.to_array(tensor).astype(np.float64)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    for attribute in attributes:
        if attribute.name in ("to", "dtype") and attribute.i == TensorProto.FLOAT:
            attribute.i = TensorProto.DOUBLE
    for value in (*graph.input, *graph.output):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = TensorProto.DOUBLE
    del graph.value_info[:]
    given = {value.name for value in graph.output}
    for node in graph.node:
        names = (name for name in node.output if name and name not in given)
        graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    nodes = [made for node in graph.node for made in _between_casts(node, narrow)]
    del graph.node[:]
    graph.node.extend(nodes)
    return model


def _between_casts(node: onnx.NodeProto, narrow: list[str]) -> list[onnx.NodeProto]:
    if node.op_type not in narrow:
        return [node]
    inputs = [f"{node.name}/in/{name}" if name else "" for name in node.input]
    outputs = [f"{node.name}/out/{name}" for name in node.output]
    before = [
        make_node("Cast", [name], [cast], to=TensorProto.FLOAT)
        for name, cast in zip(node.input, inputs, strict=True)
        if name
    ]
    after = [
        make_node("Cast", [cast], [name], to=TensorProto.DOUBLE)
        for name, cast in zip(node.output, outputs, strict=True)
    ]
    kept = onnx.NodeProto()
    kept.CopyFrom(node)
    kept.input[:], kept.output[:] = inputs, outputs
    return [*before, kept, *after]
