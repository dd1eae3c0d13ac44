"""`benchmarks.arbiter` measures what it says it does; its figures are not tested."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from benchmarks.arbiter import __main__ as command
from benchmarks.arbiter.float64 import in_float64, lacking
from benchmarks.arbiter.report import Cost, targets
from benchmarks.harness.measure import Memory, Outcome, Span
from onnx_arbiter.arbiter import Arbiter
from parity_tests.support.tolerances import FLOAT32_PARTS, FLOAT64_KERNELS


def network(operator: str, shape: tuple[int, ...]) -> onnx.ModelProto:
    """A sum of products, and an error function of it."""
    rng = np.random.default_rng(0)
    weights = onnx.numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), "w")
    sizes = (2, *shape[1:], *[9] * (len(shape) - 2)) if operator == "Conv" else (5, shape[0])
    nodes = [
        make_node(operator, ["x", "w"], ["s"], name="product"),
        make_node("Tanh", ["s"], ["t"]),
        make_node("Mul", ["t", "s"], ["y"]),
    ]
    given = make_tensor_value_info("x", onnx.TensorProto.FLOAT, sizes[: len(shape)])
    result = make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None] * len(shape))
    graph = make_graph(nodes, "small", [given], [result], [weights])
    return make_model(graph, opset_imports=[make_opsetid("", 21)], ir_version=10)


@pytest.mark.parametrize(
    ("operator", "shape", "narrow", "limit"),
    [
        ("MatMul", (7, 3), [], FLOAT64_KERNELS.limit),
        ("Conv", (4, 3, 3, 3), ["Conv"], FLOAT32_PARTS.limit),
    ],
)
def test_a_model_in_float64_gives_the_values_of_the_walk(
    operator: str, shape: tuple[int, ...], narrow: list[str], limit: float
) -> None:
    model = network(operator, shape)
    assert lacking(model) == narrow
    with Arbiter(model) as arbiter:
        wide = in_float64(model, narrow)
        session = onnxruntime.InferenceSession(wide.SerializeToString())
        inputs = {name: values.astype(np.float64) for name, values in arbiter.inputs.items()}
        names = [output.name for output in session.get_outputs()]
        assert set(names) == {"s", "t", "y"}
        for name, values in zip(names, session.run(names, inputs), strict=True):
            assert values.dtype == np.float64
            np.testing.assert_allclose(values, arbiter.value(name), rtol=limit, atol=limit)


def test_targets_compare_processor_time_with_that_of_the_operations() -> None:
    memory = Memory(2 * 10**9, 0)
    spans = {"work": Span(0.0, 16.0, Memory(0, 0), memory)}
    result = {"operations": 8e9, "rate": 2e9, "processor": 10.0, "values": 1}
    cost = Cost("ResNet-50", {"walk": [Outcome(spans=spans, result=result)]})
    verdicts = {target.name: (target.measured, target.verdict) for target in targets([cost])}
    assert verdicts == {
        "ResNet-50: time over the operations at the matrix rate": (2.5, "met"),
        "ResNet-50: the walk": (16.0, "missed"),
        "ResNet-50: memory": (2.0, "met"),
    }


@pytest.mark.slow
def test_it_reports_every_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, figures = tmp_path / "page.md", tmp_path / "figures.json"
    arguments = ["--networks", "MobileNetV2", "--repeats", "1", "--folder", str(tmp_path)]
    written = ["--markdown", str(page), "--json", str(figures), "--date", "2026-11-27"]
    assert command.main([*arguments, *written]) == 0
    row = json.loads(figures.read_text("utf-8"))["networks"]["MobileNetV2"]
    assert row["over_operations"] > 1
    assert row["seconds"]["walk"] < row["seconds"]["alone"]
    assert row["errors"].keys() <= {"polygraphy"}  # where it is not installed
    [walk] = row["runs"]["walk"]
    # 300 million products, as its authors count them (Sandler et al. 2018, table 4).
    assert round(walk["result"]["operations"] / 2e7) == 30
    assert "- date: 2026-11-27" in page.read_text("utf-8")
