"""Any ONNX graph is read as it is, walked, and judged node by node."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from onnx_arbiter.arbiter import Arbiter
from onnx_arbiter.evaluate import walk
from onnx_arbiter.graph import Constant, Graph, Input, Node
from onnx_arbiter.judge.explain import explain
from onnx_arbiter.models.network import Network
from onnx_arbiter.numeric_modes import MODES
from onnx_arbiter.runtimes.onnxruntime import RUNTIME
from onnx_arbiter.runtimes.runtime import observe
from onnx_arbiter.spill import Spill
from onnx_arbiter.values import Value
from parity_tests.support.networks import model, residual
from parity_tests.support.operator_tolerances import OWN_LEAST
from parity_tests.support.tolerances import FLOAT64
from vgg16_spec.errors import BadInput

FLOAT32 = MODES["float32"]


def changed(name: str, **attributes: Any) -> onnx.ModelProto:
    """The residual network with other attributes at one node."""
    made = residual()
    node = next(node for node in made.graph.node if node.name == name)
    kept = [each for each in node.attribute if each.name not in attributes]
    del node.attribute[:]
    node.attribute.extend([*kept, *map(helper.make_attribute, attributes, attributes.values())])
    return made


def outputs_of(made: onnx.ModelProto, arbiter: Arbiter) -> dict[str, Any]:
    """Every value of a network in ONNX Runtime, for an arbiter's inputs."""
    network = Network.open(made)
    [_, optimised, _] = observe(network, arbiter.inputs, RUNTIME, arbiter.folder)
    return dict(optimised.values)


class Tensor:
    """A tensor of a framework: no array, and no sequence, but iterated over as both are."""

    dtype = "float32"

    def __init__(self, values: Any) -> None:
        self._values = values

    def detach(self) -> Tensor:
        return self

    def cpu(self) -> Any:
        return self._values

    def __iter__(self) -> Any:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def test_a_frameworks_tensor_is_one_output_and_not_one_for_each_image() -> None:
    made = residual()
    with Arbiter(made) as arbiter:
        [name] = arbiter.network.graph.outputs
        right = outputs_of(made, arbiter)[name]
        for given in (Tensor(right), [Tensor(right)], {name: Tensor(right)}):
            arbiter.assert_within_rounding(given)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(5))
def test_onnx_runtime_is_within_rounding_of_its_own_graph(seed: int) -> None:
    with Arbiter(residual(seed), seed=seed) as arbiter:
        report = arbiter.judge_runs(
            observe(arbiter.network, arbiter.inputs, RUNTIME, arbiter.folder)
        )
    assert report.holds, explain(report)
    *_, node_by_node = report.runs
    assert len(node_by_node.rows) == report.nodes
    assert all(row.accumulated and row.local for row in node_by_node.rows)


def test_a_mistake_is_named_at_its_node_alone() -> None:
    made = changed("bn2", epsilon=1e-3)
    with Arbiter(residual()) as arbiter:
        report = arbiter.judge(outputs_of(made, arbiter), name="a port")
    [run] = report.runs
    assert run.status == "broken"
    assert run.guilty is not None
    assert run.guilty.node == "bn2"
    assert "BatchNormalization bn2" in explain(report)


def test_outputs_alone_are_enough_to_see_a_mistake() -> None:
    with Arbiter(residual()) as arbiter:
        arbiter.assert_within_rounding(outputs_of(residual(), arbiter)["y"])
        wrong = outputs_of(changed("bn1", epsilon=1e-3), arbiter)["y"]
        with pytest.raises(AssertionError, match=r"Gemm fc: errors are .* the predicted size"):
            arbiter.assert_within_rounding(wrong)


def test_sigma_is_of_any_value() -> None:
    with Arbiter(residual()) as arbiter:
        assert arbiter.sigma("bn1").shape == arbiter.value("bn1").shape == (2, 8, 16, 16)
        with pytest.raises(BadInput, match="bn3: is no value that the network computes"):
            arbiter.sigma("bn3")


def test_a_value_is_dropped_when_its_last_reader_has_read_it() -> None:
    network = Network.open(residual())
    alive = dict[str, weakref.ref[Any]]()

    def keep(name: str, value: Value) -> Value:
        alive[name] = weakref.ref(value.values)
        return value

    inputs = {"x": np.ones((2, 3, 16, 16), np.float32)}
    for step in walk(network.graph, inputs, [FLOAT32], keep=keep):
        name = step.node.name
        del step
        gc.collect()
        if name == "sum":  # relu1 is read by conv2 and by sum
            assert alive["conv1"]() is None
            assert alive["conv2"]() is None
        if name == "relu2":
            assert alive["relu1"]() is None


def test_large_values_in_files_give_the_same(tmp_path: Path) -> None:
    network = Network.open(residual())
    inputs = {"x": np.linspace(-1, 1, 2 * 3 * 256, dtype=np.float32).reshape(2, 3, 16, 16)}

    def last(**options: Any) -> Value:
        *_, step = walk(network.graph, inputs, [FLOAT32], **options)
        return step.outputs["y"]

    kept, spilled = last(), last(keep=Spill(tmp_path, least=1))
    assert np.array_equal(kept.values, spilled.values)
    assert np.array_equal(kept.deviation(FLOAT32), spilled.deviation(FLOAT32))
    assert not list(tmp_path.iterdir())  # a file that is mapped has no name any more


def test_weights_beside_the_file_are_read(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(
        residual(), path, save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    inside = Network.open(residual()).graph.constants
    with Arbiter(path) as arbiter:
        graph = arbiter.network.graph
        assert all(np.array_equal(graph.constants[n].read(), inside[n].read()) for n in inside)
        assert arbiter.judge_runs(
            observe(arbiter.network, arbiter.inputs, RUNTIME, arbiter.folder)
        ).holds
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.onnx", "weights.bin"]


@pytest.mark.parametrize("beside", [False, True], ids=["one file", "weights beside it"])
def test_nodes_may_be_in_any_order_and_outputs_without_a_shape(
    tmp_path: Path, beside: bool
) -> None:
    made = residual()
    sorted_nodes = list(made.graph.node)
    del made.graph.node[:]
    made.graph.node.extend(reversed(sorted_nodes))
    for output in made.graph.output:
        output.type.tensor_type.ClearField("shape")
    path = tmp_path / "model.onnx"
    onnx.save(made, path, save_as_external_data=beside, location="w.data", size_threshold=0)
    with Arbiter(tmp_path / "model.onnx") as arbiter:
        assert arbiter.judge_runs(
            observe(arbiter.network, arbiter.inputs, RUNTIME, arbiter.folder)
        ).holds


def test_every_node_has_a_name_of_its_own() -> None:
    names = ["a", "a", "", "a_0", "", "Relu_0", "a"]
    values = [f"v{number}" for number in range(len(names) + 1)]
    nodes = [
        helper.make_node("Relu", [given], [made], name=name)
        for name, given, made in zip(names, values, values[1:], strict=False)
    ]
    graph = Network.open(model(nodes, {"v0": [3]}, [values[-1]], {})).graph
    found = [node.name for node in graph.nodes]
    assert len(set(found)) == len(names)
    assert [found[index] for index in (0, 3, 5)] == ["a", "a_0", "Relu_0"]


def test_a_graph_built_by_hand_is_judged(tmp_path: Path) -> None:
    weight = np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32)
    graph = Graph(
        (Node("product", "MatMul", ("x", "w"), ("y",)), Node("relu", "Relu", ("y",), ("z",))),
        {"x": Input(weight.dtype, (3, 8))},
        ("z",),
        {"w": Constant.of(weight)},
        "by hand",
    )
    with Arbiter(graph) as arbiter:
        computed = np.maximum(arbiter.inputs["x"] @ weight, 0)
        arbiter.assert_within_rounding(computed)
        with pytest.raises(AssertionError, match="Relu relu"):
            arbiter.assert_within_rounding(arbiter.inputs["x"] @ weight)
        with pytest.raises(BadInput, match="by hand: is a graph that was built by hand"):
            arbiter.network.tapped(["y"], tmp_path)


def test_an_input_may_have_no_shape_if_one_is_given(tmp_path: Path) -> None:
    made = residual()
    [declared] = made.graph.input
    shape = tuple(axis.dim_value for axis in declared.type.tensor_type.shape.dim)
    declared.type.tensor_type.ClearField("shape")
    onnx.save(made, tmp_path / "model.onnx")
    with pytest.raises(BadInput, match="does not say how many axes it has"):
        Arbiter(tmp_path / "model.onnx")
    with Arbiter(tmp_path / "model.onnx", shapes={declared.name: shape}) as arbiter:
        assert arbiter.inputs[declared.name].shape == shape


def test_only_what_is_wanted_is_evaluated() -> None:
    graph = Network.open(residual()).graph
    assert [node.name for node in graph.needed_for(["bn1"])] == ["conv1", "bn1"]


def test_what_follows_an_unknown_operator_is_said_not_to_be_judged() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="first"),
        helper.make_node("Mystery", ["a"], ["b"], name="mystery", domain="their.own"),
        helper.make_node("Relu", ["b"], ["y"], name="last"),
        helper.make_node("Neg", ["a"], ["z"], name="beside"),
    ]
    opsets = [helper.make_opsetid("their.own", 1)]
    made = model(nodes, {"x": [1, 4]}, ["y", "z"], {}, opsets=opsets)
    given = np.array([[1.0, -2.0, 3.0, -4.0]], np.float32)
    with Arbiter(made, {"x": given}) as arbiter:
        rectified = np.maximum(given, 0)
        report = arbiter.judge({"a": rectified, "b": given, "y": given, "z": -rectified})
    assert report.holds
    assert report.not_judged == {"their.own.Mystery has no rule": 2}
    assert [row.status for row in report.runs[0].rows] == [
        "holds",
        "not judged",
        "not judged",
        "holds",
    ]


def test_a_float16_graph_is_judged_as_one() -> None:
    half = np.float16
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((40, 6)).astype(half)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"]), helper.make_node("Relu", ["y"], ["z"])]
    made = model(nodes, {"x": [30, 40]}, ["z"], {"w": weight}, dtype=onnx.TensorProto.FLOAT16)
    given = rng.standard_normal((30, 40)).astype(half)
    exact = np.maximum(given.astype(np.float64) @ weight.astype(np.float64), 0)
    with Arbiter(made, {"x": given}) as arbiter:
        report = arbiter.judge(exact.astype(half))
        assert report.holds
        # Stored in float16, so that the errors are not far below the prediction.
        assert report.runs[0].worst_ratio > OWN_LEAST.limit
        np.testing.assert_allclose(arbiter.value("z"), exact, rtol=FLOAT64.limit)
        wrong = exact * (1 + 2.0**-8)
        assert not arbiter.judge(wrong.astype(half)).holds


@pytest.mark.parametrize("scale", [1.0, 2.0**-15])
def test_values_too_small_for_float16_may_vanish(scale: float) -> None:
    """Half of such values are rounded to zero, and what follows computes with that in float32."""
    rng = np.random.default_rng(0)
    half = onnx.TensorProto.FLOAT16
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        helper.make_node("Cast", ["y"], ["z"], to=onnx.TensorProto.FLOAT),
    ]
    weight = (scale * rng.standard_normal((40, 6))).astype(np.float16)
    given = (scale * rng.standard_normal((30, 40))).astype(np.float16)
    made = model(nodes, {"x": [30, 40]}, ["z"], {"w": weight}, dtype=half)
    made.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    with Arbiter(made, {"x": given}) as arbiter:
        runs = observe(arbiter.network, arbiter.inputs, RUNTIME, arbiter.folder)
        report = arbiter.judge_runs(runs)
    assert report.holds, explain(report)
