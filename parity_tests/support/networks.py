"""Small ONNX networks that are not VGG, with weights that tell every element apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Array = NDArray[Any]
Shape = Sequence[int | str]


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Shape],
    outputs: Sequence[str],
    constants: Mapping[str, Array],
    *,
    opset: int = 21,
    dtype: int = onnx.TensorProto.FLOAT,
    **options: Any,
) -> onnx.ModelProto:
    """A model of nodes; inputs are of one type, the outputs' shapes are inferred."""
    graph = helper.make_graph(
        list(nodes),
        "network",
        [helper.make_tensor_value_info(name, dtype, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, dtype, None) for name in outputs],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset), *options.pop("opsets", [])]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=10, **options)
    return onnx.shape_inference.infer_shapes(made)


def residual(seed: int = 0, size: int = 16) -> onnx.ModelProto:
    """Two convolutions with BatchNorm and a shortcut, a global average, a dense layer."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int, scale: float = 1.0) -> Array:
        return (scale * rng.standard_normal(shape)).astype(np.float32)

    constants: dict[str, Array] = {
        "conv1.weight": normal(8, 3, 3, 3, scale=0.27),
        "conv2.weight": normal(8, 8, 3, 3, scale=0.17),
        "fc.weight": normal(5, 8, scale=0.35),
        "fc.bias": normal(5),
    }
    for name in ("bn1", "bn2"):
        constants |= {
            f"{name}.weight": rng.uniform(0.5, 1.5, 8).astype(np.float32),
            f"{name}.bias": normal(8, scale=0.3),
            f"{name}.mean": normal(8, scale=0.3),
            f"{name}.var": rng.uniform(0.5, 2, 8).astype(np.float32),
        }

    def norm(name: str, given: str) -> onnx.NodeProto:
        read = [given, *(f"{name}.{part}" for part in ("weight", "bias", "mean", "var"))]
        return helper.make_node("BatchNormalization", read, [name], name=name, epsilon=1e-5)

    nodes = [
        helper.make_node("Conv", ["x", "conv1.weight"], ["conv1"], name="conv1", pads=[1] * 4),
        norm("bn1", "conv1"),
        helper.make_node("Relu", ["bn1"], ["relu1"], name="relu1"),
        helper.make_node("Conv", ["relu1", "conv2.weight"], ["conv2"], name="conv2", pads=[1] * 4),
        norm("bn2", "conv2"),
        helper.make_node("Add", ["bn2", "relu1"], ["sum"], name="sum"),
        helper.make_node("Relu", ["sum"], ["relu2"], name="relu2"),
        helper.make_node("GlobalAveragePool", ["relu2"], ["pool"], name="pool"),
        helper.make_node("Flatten", ["pool"], ["flat"], name="flat"),
        helper.make_node("Gemm", ["flat", "fc.weight", "fc.bias"], ["y"], name="fc", transB=1),
    ]
    return model(nodes, {"x": [2, 3, size, size]}, ["y"], constants)
