"""Two files of one network: equal within rounding, or different from a named value on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from onnx_arbiter.against.files import compare_graphs
from onnx_arbiter.judge.records import Run
from onnx_arbiter.models.inputs import seeded_inputs
from onnx_arbiter.models.network import Network
from onnx_arbiter.numeric_modes import MODES
from parity_tests.support.networks import model, residual
from vgg16_spec.errors import BadInput


def against(other: onnx.ModelProto, folder: Path, original: onnx.ModelProto | None = None) -> Run:
    """The run of another file against the residual network, or another original."""
    network = Network.open(original or residual())
    inputs = seeded_inputs(network.graph)
    folder = folder / "values"
    folder.mkdir(parents=True)
    report = compare_graphs(network, Network.open(other), inputs, MODES["float32"], folder)
    [run] = report.runs
    return run


def with_epsilon(made: onnx.ModelProto, node: str, epsilon: float) -> onnx.ModelProto:
    for each in made.graph.node:
        if each.name == node:
            each.attribute[0].f = epsilon
    return made


def renamed(made: onnx.ModelProto) -> onnx.ModelProto:
    """Every value has another name, as from another exporter."""
    for node in made.graph.node:
        node.name = f"node_{node.name}"
        node.input[:] = [f"value_{name}" for name in node.input]
        node.output[:] = [f"value_{name}" for name in node.output]
    for each in (*made.graph.input, *made.graph.output, *made.graph.initializer):
        each.name = f"value_{each.name}"
    return made


def channels_last(made: onnx.ModelProto) -> onnx.ModelProto:
    """The image is given as (N, H, W, C), and transposed."""
    [image] = made.graph.input
    batch, channels, height, width = (d.dim_value for d in image.type.tensor_type.shape.dim)
    new = helper.make_tensor_value_info("nhwc", 1, [batch, height, width, channels])
    turned = helper.make_node("Transpose", ["nhwc"], [image.name], name="turned", perm=[0, 3, 1, 2])
    made.graph.node.insert(0, turned)
    del made.graph.input[:]
    made.graph.input.append(new)
    return made


def folded(made: onnx.ModelProto) -> onnx.ModelProto:
    """Each BatchNorm in the convolution before, in float32; its output keeps the Conv's name."""
    constants = {each.name: numpy_helper.to_array(each) for each in made.graph.initializer}
    nodes = {node.name: node for node in made.graph.node}
    for conv, norm in (("conv1", "bn1"), ("conv2", "bn2")):
        scale, bias, mean, var = (constants[name] for name in nodes[norm].input[1:])
        factor = scale / np.sqrt(var + np.float32(1e-5))
        weight = constants[f"{conv}.weight"] * factor[:, None, None, None]
        new = {f"{conv}.weight": weight, f"{conv}.bias": bias - mean * factor}
        kept = [each for each in made.graph.initializer if each.name not in new]
        del made.graph.initializer[:]
        made.graph.initializer.extend(kept)
        made.graph.initializer.extend(numpy_helper.from_array(v, n) for n, v in new.items())
        nodes[conv].input.append(f"{conv}.bias")
        made.graph.node.remove(nodes[norm])
        for node in made.graph.node:
            node.input[:] = [conv if name == norm else name for name in node.input]
    return made


def optimised(made: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """As ONNX Runtime writes it after its basic optimisations."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    onnxruntime.InferenceSession(
        made.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return onnx.load(folder / "optimised.onnx")


def in_float16(made: onnx.ModelProto) -> onnx.ModelProto:
    for each in made.graph.initializer:
        values = numpy_helper.to_array(each).astype(np.float16)
        each.CopyFrom(numpy_helper.from_array(values, each.name))
    for value in (*made.graph.input, *made.graph.output):
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    return made


def quantised(
    made: onnx.ModelProto, folder: Path, changed: Mapping[str, float] = MappingProxyType({})
) -> onnx.ModelProto:
    """In int8 with QuantizeLinear and DequantizeLinear, some scales multiplied."""
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            network = Network.open(residual())
            self._left = [seeded_inputs(network.graph)]

        def get_next(self) -> Any:
            return self._left.pop() if self._left else None

    onnx.save(made, folder / "float.onnx")
    quantization.quantize_static(
        folder / "float.onnx", folder / "int8.onnx", Reader(), per_channel=True
    )
    result = onnx.load(folder / "int8.onnx")
    for each in result.graph.initializer:
        if each.name in changed:
            values = numpy_helper.to_array(each) * np.float32(changed[each.name])
            each.CopyFrom(numpy_helper.from_array(values.astype(np.float32), each.name))
    return result


SAME: dict[str, Callable[[Path], onnx.ModelProto]] = {
    "itself": lambda _: residual(),
    "other names": lambda _: renamed(residual()),
    "channels last": lambda _: channels_last(residual()),
    "folded": lambda _: folded(residual()),
    "folded and renamed": lambda _: renamed(folded(residual())),
    "optimised": lambda folder: optimised(residual(), folder),
    "float16": lambda _: in_float16(residual()),
    "int8": lambda folder: quantised(residual(), folder),
}


@pytest.mark.parametrize("name", SAME)
def test_another_file_of_the_network_holds(name: str, tmp_path: Path) -> None:
    run = against(SAME[name](tmp_path), tmp_path)
    assert run.status == "holds", run
    assert any(row.operator == "Gemm" and row.accumulated for row in run.rows)


@pytest.mark.parametrize("change", [lambda m: m, renamed, channels_last])
def test_the_first_value_that_differs_is_named(change: Any, tmp_path: Path) -> None:
    run = against(change(with_epsilon(residual(), "bn1", 1e-3)), tmp_path)
    assert run.status == "broken"
    assert run.guilty is not None
    assert run.guilty.node.removeprefix("node_") == "bn1"
    named = "as if the epsilon of BatchNormalization bn1 were 0.001"
    assert run.cause in (named, "as if its epsilon were 0.001")


def test_a_difference_is_named_in_a_file_that_was_folded(tmp_path: Path) -> None:
    made = folded(with_constant(residual(), "bn2.var", lambda var: 1.01 * var))
    run = against(made, tmp_path)
    assert run.guilty is not None
    assert run.guilty.node == "conv2"


def with_constant(made: onnx.ModelProto, name: str, change: Any) -> onnx.ModelProto:
    for each in made.graph.initializer:
        if each.name == name:
            values = np.asarray(change(numpy_helper.to_array(each)), np.float32)
            each.CopyFrom(numpy_helper.from_array(values, name))
    return made


def test_float16_hides_no_difference_beyond_its_own(tmp_path: Path) -> None:
    made = with_constant(residual(), "conv2.weight", lambda w: 1.01 * w)
    run = against(in_float16(made), tmp_path)
    assert run.guilty is not None
    assert run.guilty.node == "conv2"


def test_a_scale_that_clips_is_named_at_its_tensor(tmp_path: Path) -> None:
    run = against(quantised(residual(), tmp_path, {"relu1_scale": 0.25}), tmp_path)
    assert run.guilty is not None
    assert run.guilty.value.startswith("relu1")
    assert run.cause.startswith("whose range clips 0.")


def test_a_wrong_weight_shows_in_a_quantised_file(tmp_path: Path) -> None:
    made = with_constant(residual(), "conv2.weight", lambda w: 1.2 * w)
    run = against(quantised(made, tmp_path), tmp_path)
    assert run.guilty is not None
    assert run.guilty.value.startswith("bn2") or run.guilty.value.startswith("conv2")


def test_outputs_are_summed_up(tmp_path: Path) -> None:
    turned = with_constant(residual(), "fc.bias", lambda bias: bias + np.eye(5)[4] * 100)
    run = against(turned, tmp_path)
    assert any("the largest element changes in 2 of 2 rows" in note for note in run.notes)
    assert run.cause == ""


def test_values_that_lead_nowhere_are_no_difference(tmp_path: Path) -> None:
    made = residual()
    made.graph.node.append(helper.make_node("Exp", ["conv1"], ["unused"], name="unused"))
    assert against(made, tmp_path).status == "holds"


def test_other_inputs_and_outputs_are_bad_input(tmp_path: Path) -> None:
    made = residual(size=8)
    with pytest.raises(BadInput, match="the input x has the shape"):
        against(made, tmp_path)
    made = residual()
    made.graph.output.append(helper.make_tensor_value_info("relu1", 1, None))
    with pytest.raises(BadInput, match="has 2 outputs"):
        against(made, tmp_path / "second")


def test_an_output_that_cannot_be_judged_is_no_agreement(tmp_path: Path) -> None:
    made = residual()
    made.opset_import.append(helper.make_opsetid("somebody", 1))
    [gemm] = [node for node in made.graph.node if node.op_type == "Gemm"]
    gemm.domain = "somebody"
    run = against(made, tmp_path)
    assert run.status == "not judged"
    assert any("Gemm" in row.why for row in run.rows)


def test_both_files_are_given_the_inputs_of_the_narrower_type(tmp_path: Path) -> None:
    def relu(dtype: int) -> onnx.ModelProto:
        node = helper.make_node("Relu", ["x"], ["y"], name="relu")
        return model([node], {"x": [3, 100]}, ["y"], {}, dtype=dtype)

    narrow, wide = relu(onnx.TensorProto.FLOAT16), relu(onnx.TensorProto.FLOAT)
    assert against(narrow, tmp_path, wide).status == "holds"
