"""Small ONNX files for tests of the arbiter's command, and their reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

helper, numpy_helper = onnx.helper, onnx.numpy_helper
Axis = int | str


def small_model(
    path: Path,
    *,
    shape: Sequence[Axis] = (1, 3, 8, 8),
    weight: float | None = None,
    more: Sequence[onnx.NodeProto] = (),
) -> Path:
    """Write a network of two convolutions and a dense layer: ``x`` in, ``y`` (N, 10) out.

    Args:
        path: where to.
        shape: of the input.
        weight: put into the first convolution.
        more: nodes after the last, which read ``y``; their outputs are the graph's too.
    """
    rng = np.random.default_rng(0)

    def drawn(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(weights(shape), name)

    def weights(shape: Sequence[int]) -> NDArray[np.float32]:
        made: NDArray[np.float32] = rng.standard_normal(shape, np.float32)
        if weight is not None and shape == (8, 3, 3, 3):
            made[1, 2, 0, 1] = weight
        return made

    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["/layer1/c"], name="/layer1/conv", pads=[1] * 4),
        helper.make_node("Conv", ["/layer1/c", "w2"], ["d"], name="/layer2/conv", pads=[1] * 4),
        helper.make_node("Flatten", ["d"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "w3", "b"], ["y"], name="fc"),
        *more,
    ]
    held = [drawn("w1", 8, 3, 3, 3), drawn("w2", 8, 8, 3, 3), drawn("w3", 512, 10), drawn("b", 10)]
    outputs = ["y", *(name for node in more for name in node.output)]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [None, None]) for n in outputs],
        held,
    )
    domains = {node.domain: 1 for node in more if node.domain}
    opsets = [helper.make_opsetid(domain, version) for domain, version in domains.items()]
    opsets.append(helper.make_opsetid("", 17))
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


def computed(path: Path, x: NDArray[Any], *values: str) -> dict[str, NDArray[Any]]:
    """What ONNX Runtime computes for values of a file, its outputs if none are named."""
    model = onnx.load(path)
    given = {value.name for value in model.graph.output}
    missing = [name for name in values if name not in given]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in missing)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    names = list(values or sorted(given))
    return dict(zip(names, session.run(names, {"x": x}), strict=True))


def save(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write an ``.npz`` file of arrays of any names but ``file``."""
    values: dict[str, Any] = dict(arrays)
    np.savez(path, **values)
