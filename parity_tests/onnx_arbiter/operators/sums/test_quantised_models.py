"""Whole quantised models: they hold in ONNX Runtime, and a wrong scale or zero is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    quantize_dynamic,
    quantize_static,
)

from onnx_arbiter.arbiter import Arbiter
from onnx_arbiter.graph import Array
from onnx_arbiter.judge.records import Report
from onnx_arbiter.judge.run import Observed
from onnx_arbiter.models.network import Network
from onnx_arbiter.runtimes.onnxruntime import run_node, run_unoptimised

SHAPE = (1, 3, 12, 12)


def floats() -> onnx.ModelProto:
    """Two convolutions, a mean over the positions, and a product."""
    rng = np.random.default_rng(0)

    def constant(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(0.2 * rng.standard_normal(shape).astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], "conv1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"], "relu1"),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], "conv2", strides=[2, 2]),
        helper.make_node("Relu", ["c2"], ["r2"], "relu2"),
        helper.make_node("Flatten", ["r2"], ["f"], "flatten"),
        helper.make_node("MatMul", ["f", "w3"], ["y"], "matmul"),
    ]
    constants = [
        *[constant("w1", 8, 3, 3, 3), constant("b1", 8), constant("w2", 6, 8, 3, 3)],
        *[constant("b2", 6), constant("w3", 150, 5)],
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 5))],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


class _Samples(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self) -> None:
        rng = np.random.default_rng(1)
        self._left = [{"x": rng.standard_normal(SHAPE, np.float32)} for _ in range(3)]

    def get_next(self) -> dict[str, Array] | None:
        return self._left.pop() if self._left else None


def dynamic(folder: Path) -> onnx.ModelProto:
    quantize_dynamic(floats(), folder / "dynamic.onnx")
    return onnx.load(folder / "dynamic.onnx")


def static(folder: Path, per_channel: bool = False) -> onnx.ModelProto:
    target = folder / "static.onnx"
    form = QuantFormat.QOperator
    quantize_static(floats(), target, _Samples(), quant_format=form, per_channel=per_channel)
    return onnx.load(target)


def of_channels(folder: Path) -> onnx.ModelProto:
    return static(folder, per_channel=True)


MADE: dict[str, tuple[Callable[[Path], onnx.ModelProto], set[str]]] = {
    "dynamic": (dynamic, {"DynamicQuantizeLinear", "ConvInteger", "MatMulInteger"}),
    "static": (static, {"QLinearConv", "QLinearMatMul"}),
    "static, of channels": (of_channels, {"QLinearConv", "QLinearMatMul"}),
}


def judged(model: onnx.ModelProto, computed: onnx.ModelProto, folder: Path) -> Report:
    """Every value of one model in ONNX Runtime, judged as another's."""
    with Arbiter(model) as arbiter:
        names = list(arbiter.network.graph.producers)
        path = Network.open(computed).tapped(names, folder)
        values = run_unoptimised(path, arbiter.inputs, names)
        return arbiter.judge_runs([Observed("onnxruntime", values, run_node)])


@pytest.mark.parametrize("name", MADE)
def test_every_value_of_a_quantised_model_holds(name: str, tmp_path: Path) -> None:
    make, operators = MADE[name]
    model = make(tmp_path)
    assert operators <= {node.op_type for node in model.graph.node}
    report = judged(model, model, tmp_path)
    assert report.holds
    assert not report.not_judged


def change_constant(model: onnx.ModelProto, ending: str, change: Callable[[Array], Array]) -> None:
    """Change the constant whose name ends so."""
    [tensor] = [t for t in model.graph.initializer if t.name.endswith(ending)]
    values = numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array(change(values), tensor.name))


@pytest.mark.parametrize(
    ("ending", "reader"),
    [
        ("w1_zero_point", "conv1"),
        ("w2_scale", "conv2"),
        ("w3_zero_point", "matmul"),
        ("w3_scale", "matmul"),
    ],
)
@pytest.mark.parametrize("name", MADE)
def test_a_wrong_scale_or_zero_is_found_where_it_is_read(
    name: str, ending: str, reader: str, tmp_path: Path
) -> None:
    make, _ = MADE[name]
    model = make(tmp_path)
    planted = onnx.ModelProto()
    planted.CopyFrom(model)

    def change(values: Array) -> Array:
        return np.asarray(values + 1 if values.dtype.kind in "iu" else values * 1.02, values.dtype)

    change_constant(planted, ending, change)
    report = judged(model, planted, tmp_path)
    [run] = report.runs
    assert run.status == "broken"
    assert run.guilty is not None
    assert run.guilty.node.startswith(reader)
